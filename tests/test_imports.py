"""What is loaded when: starting up stays cheap, and modules import only from those above them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

import videodag_cli
import videodag_cli.video
from tests.commands import call

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "videodag_cli"
CLIP = ROOT / "sample_videos" / "synthetic.mp4"
HEAVY = {"cv2", "av", "numpy", "onnxruntime", "scipy", "scenedetect", "zxingcpp", "pydantic"}

LAYERS = [
    "errors", "times", "guide", "data", "toolspec", "lines", "system", "results", "expressions", "graph", "engine", "video",
    "vision", "tools", "run", "guard", "batch", "compare", "check", "convert", "report", "schemas", "server", "cli", "__init__", "__main__",
]  # fmt: skip
"""Files and folders of the package; each imports only from itself and those before it."""


def loaded(*arguments: str, environment: dict[str, str] | None = None) -> set[str]:
    """Top-level packages that a command loads, as `-X importtime` tells."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "videodag_cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
        cwd=ROOT,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 20
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["pipelines", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded(*arguments) & (HEAVY - {"pydantic"})


def test_completion_loads_nothing_heavy() -> None:
    environment = {"_VIDEODAG_COMPLETE": "complete_bash", "COMP_WORDS": "videodag r", "COMP_CWORD": "1"}
    assert not loaded(environment=environment) & (HEAVY - {"pydantic"})


def test_listing_pipelines_loads_no_tool() -> None:
    assert not loaded("pipelines", "list") & (HEAVY - {"pydantic"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pipeline", "unused"),
    [
        ("quality", {"onnxruntime", "scipy", "scenedetect", "zxingcpp"}),
        ("codes", {"onnxruntime", "scipy", "scenedetect"}),
        ("scenes", {"onnxruntime", "zxingcpp"}),
        ("vehicles", {"scipy", "scenedetect", "zxingcpp"}),
    ],
)
def test_a_run_loads_only_what_its_pipeline_needs(pipeline: str, unused: set[str]) -> None:
    found = loaded("run", "-p", pipeline, "--max-frames", "2", "-q", "-o", os.devnull, str(CLIP))
    assert "av" in found
    assert not found & unused


@pytest.mark.slow
def test_a_run_loads_no_masked_arrays() -> None:
    """A tenth of what numpy takes to load, for `np.unique` alone."""
    arguments = ["run", "-p", "quality", "--max-frames", "1", "-q", "-o", os.devnull, str(CLIP)]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "videodag_cli", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numpy" in modules
    assert "numpy.ma" not in modules


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, videodag_cli; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(ast.literal_eval(done.stdout)) & HEAVY


THEIRS = """
import os, signal, sys, threading
numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
before = [signal.getsignal(n) for n in numbers], dict(os.environ), sys.excepthook, threading.active_count(), os._exit
import videodag_cli
from videodag_cli import tool
LAZY = "{lazy}"
if LAZY:
    for name in videodag_cli.__all__:
        getattr(videodag_cli, name)
assert before == ([signal.getsignal(n) for n in numbers], dict(os.environ), sys.excepthook, threading.active_count(), os._exit)
assert "videodag_cli.system.loading" not in sys.modules
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 1)
except KeyboardInterrupt:
    print("theirs")
"""


@pytest.mark.slow
@pytest.mark.parametrize("lazy", ["", "all"])
@pytest.mark.parametrize("name", ["theirs", "videodag"])
def test_a_program_that_imports_the_package_is_left_as_it_was(tmp_path: Path, name: str, lazy: str) -> None:
    """Also in the moment when a program started by `python -m` is not yet named in its arguments, and if it is called like ours."""
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text(THEIRS.replace("{lazy}", lazy))
    (package / "__main__.py").write_text("print('main')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = call([sys.executable, "-m", name], env=environment, cwd=tmp_path)
    assert (done.out, done.err, done.code) == (b"theirs\nmain\n", "", 0)
    script = tmp_path / "bin" / "videodag"
    script.parent.mkdir()
    script.write_text(THEIRS.replace("{lazy}", lazy))
    done = call([sys.executable, str(script)], env=environment, cwd=tmp_path)
    assert (done.out, done.err, done.code) == (b"theirs\n", "", 0)


def test_public_names_are_what_can_be_had() -> None:
    for name in videodag_cli.__all__:
        assert getattr(videodag_cli, name) is not None
    assert set(videodag_cli.__all__) - {"__version__"} == set(dir(videodag_cli)) == set(videodag_cli._HOMES)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = videodag_cli.nothing


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, known: Collection[str]) -> set[str]:
    """Modules that a source imports anywhere: at its top, in functions, for typing, by a name in a text, through the public names."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name not in known and node.module == "videodag_cli":
                    home = videodag_cli._HOMES.get(alias.name)
                    name = f"videodag_cli.{home}.{alias.name}" if home else "sys"
                found.add(name if name in known else name.rpartition(".")[0])
        elif isinstance(node, ast.Constant) and re.fullmatch(r"videodag_cli(\.\w+)+\.?", str(node.value)):
            found.add(str(node.value).rstrip("."))
    return {name for name in found if name.partition(".")[0] == "videodag_cli"}


def room(module: str) -> str:
    """The part of the house that a module is in."""
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize(
    "source",
    [
        "from videodag_cli.run import api",
        "from videodag_cli.run.api import run_video",
        "import videodag_cli.run.api",
        "def f():\n    from videodag_cli.run.api import run_video",
        "if TYPE_CHECKING:\n    from videodag_cli.run.api import run_video",
        "from videodag_cli import run_video",
        "from videodag_cli import __version__, run_video as x",
        "import_module('videodag_cli.run.api')",
        "import_module(f'videodag_cli.run.{name}')",
    ],
)
def test_no_import_is_overlooked(source: str) -> None:
    assert {room(name) for name in imported(source, modules())} == {"run"}


def test_no_module_waits_for_one_that_waits_for_it() -> None:
    known = modules()
    graph = {name: imported(path.read_text(), known) & set(known) - {name} for name, path in known.items()}
    assert len(graph) > 100
    assert graph["videodag_cli.video.opening"] >= {"videodag_cli.video.pyav", "videodag_cli.video.opencv"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_every_module_has_a_place_and_imports_only_from_those_above_it() -> None:
    known = modules()
    assert {room(name) for name in known} <= set(LAYERS), "a new file or folder needs a place among the layers"
    for name, path in known.items():
        rooms = set(map(room, imported(path.read_text(), known)))
        below = rooms & set(LAYERS[LAYERS.index(room(name)) + 1 :])
        assert not below, f"{path.relative_to(ROOT)} imports from below itself: {', '.join(sorted(below))}"


def test_the_installation_knows_the_entry_points_of_this_checkout() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["videodag.plugins"]
    installed = {point.name: point.value for point in metadata.entry_points(group="videodag.plugins")}
    assert declared.items() <= installed.items(), "install the checkout again: pip install --no-deps -e ."
