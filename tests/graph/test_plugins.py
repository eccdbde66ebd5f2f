"""Tools from installed packages and from local files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.commands import python
from videodag_cli.errors import MissingExtraError, PluginError
from videodag_cli.graph.plugins import Registry, make_registry

GOOD = """
from typing import NewType
from videodag_cli import Frame, tool
Half = NewType("Half", int)

@tool
def half(frame: Frame) -> Half:
    \"\"\"Half the index.\"\"\"
    return Half(frame.index // 2)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "_private.py").write_text("raise RuntimeError")
    return tmp_path


def test_a_local_file_is_a_plugin_named_by_its_stem(folder: Path) -> None:
    plugin = Registry([folder]).plugin("good")
    assert list(plugin.tools) == ["half"]
    assert plugin.digest is not None
    assert plugin.source == str(folder / "good.py")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "it contains no tools"),
        (GOOD + "\n@tool(id='half')\ndef other(frame: Frame) -> Half: ...\n", "two tools have the id 'half'"),
    ],
)
def test_a_broken_plugin_is_reported_and_stops_nothing(folder: Path, body: str, cause: str) -> None:
    (folder / "broken.py").write_text(body)
    registry = Registry([folder])
    plugins, problems = registry.all()
    assert {"good", "quality"} <= {plugin.id for plugin in plugins}
    assert [p.word for p in problems] == ["plugin.broken"]
    assert cause in problems[0].message
    with pytest.raises(PluginError, match="cannot be loaded"):
        registry.plugin("broken")


def test_what_a_plugin_prints_when_it_is_loaded_is_not_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "noisy.py").write_text("print('noise')\n" + GOOD)
    Registry([folder]).plugin("noisy")
    assert capsys.readouterr() == ("", "noise\n")


def test_a_local_file_hides_an_installed_plugin_and_says_so(folder: Path) -> None:
    (folder / "quality.py").write_text(GOOD)
    registry = Registry([folder])
    assert list(registry.plugin("quality").tools) == ["half"]
    assert "hides videodag_cli.tools.quality" in registry.hidden[0]


def test_folders_in_the_environment_come_after_those_that_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(GOOD.replace("def half", f"def {name}"))
    monkeypatch.setenv("VIDEODAG_PLUGINS", os.pathsep.join([str(tmp_path / "first"), str(tmp_path / "second")]))
    assert list(make_registry().plugin("mine").tools) == ["first"]
    assert list(make_registry([tmp_path / "second"]).plugin("mine").tools) == ["second"]
    assert list(make_registry([folder]).plugin("good").tools) == ["half"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="No such file or directory"):
        Registry([tmp_path / "nowhere"])


def test_a_run_loads_only_the_plugins_its_pipeline_names(folder: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom videodag_cli.graph.plugins import Registry\n"
        f"r = Registry([Path({str(folder)!r})])\nr.plugin('good')\n"
        "print([m for m in sys.modules if m.startswith('videodag_cli.tools.')])"
    )
    assert python(code).strip() == "[]"


def _distribution(folder: Path, requires: str = "") -> None:
    """A throw-away installed distribution with an entry point."""
    (folder / "thirdparty_tools.py").write_text(
        GOOD + "\n@tool(requires='big')\ndef needy(frame: Frame) -> Half:\n    '''Needs much.'''\n    return Half(1)\n"
    )
    info = folder / "thirdparty-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: thirdparty\nVersion: 2.5\n{requires}")
    (info / "entry_points.txt").write_text("[videodag.plugins]\nthird = thirdparty_tools\n")


def test_a_plugin_of_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _distribution(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = Registry().plugin("third")
    assert plugin.source == "thirdparty 2.5"
    assert set(plugin.tools) == {"half", "needy"}


def test_a_tool_whose_extra_is_missing_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _distribution(tmp_path, "Requires-Dist: not-installed-anywhere >=3 ; extra == 'big'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    spec = registry.tool("third", "needy")
    with pytest.raises(MissingExtraError, match=r"needs the extra 'big': pip install 'thirdparty\[big\]'"):
        registry.require("third", spec)
