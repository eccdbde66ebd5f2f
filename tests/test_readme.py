"""What the README says is true: its examples run, and it names everything there is."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from videodag_cli.errors import WORDS
from videodag_cli.pipeline import catalogue, search_places
from videodag_cli.plugins import Registry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def fence(language: str, containing: str) -> str:
    found = [text for text in fences(language) if containing in text]
    assert len(found) == 1, f"{len(found)} {language} examples with {containing!r}"
    return found[0]


def videodag(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "videodag_cli", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the README's plugin and pipeline, and the sample clips."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "blur.py").write_text(fence("python", "def sharpness("))
    (tmp_path / "blurred.json").write_text(fence("json", '"blurred"'))
    (tmp_path / "sample_videos").symlink_to(ROOT / "sample_videos")
    return tmp_path


def test_the_pipeline_and_the_tool_give_the_lines_shown(folder: Path) -> None:
    command = "run -q -p blurred.json --plugins-dir tools --every 2 sample_videos/bigbuckbunny.mp4"
    assert f"$ videodag {command}\n" in README
    done = videodag(*command.split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    shown = re.search(rf"\$ videodag {re.escape(command)}\n((?:    \{{.*\n)+)", README)
    assert shown is not None
    for line, expected in zip(done.stdout.splitlines(), shown[1].splitlines(), strict=True):
        got, wanted = json.loads(line), json.loads(expected)
        assert got["frame_index"] == wanted["frame_index"]
        assert got["result"]["sharpness"] == pytest.approx(wanted["result"]["sharpness"], rel=0.02)


def test_the_library_example_runs(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", fence("python", "iter_video(")], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("11 frames, exit code 0")


def test_every_command_has_help_and_is_in_the_readme() -> None:
    from videodag_cli.cli.app import COMMANDS, load_command

    for name in itertools.chain.from_iterable(COMMANDS.values()):
        command = load_command(name)
        assert command.help, name
        assert f"videodag {name}" in README, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name}"


def test_every_option_of_run_is_in_the_readme() -> None:
    from videodag_cli.cli.app import load_command

    run = load_command("run")
    missing = [p.opts[0] for p in run.params if p.param_type_name == "option" and p.opts[0] not in README]
    assert missing == ["--help"] or missing == []


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_error_word_is_in_the_readme(word: str) -> None:
    assert f"`{word}`" in README


def test_every_pipeline_and_every_tool_is_in_the_readme() -> None:
    for found in catalogue([place for place in search_places() if place.label == "builtin"]):
        assert f"`{found.id}`" in README, found.id
    plugins, problems = Registry().all()
    assert not problems
    for plugin in plugins:
        if plugin.distribution == "videodag":
            for tool_id in plugin.tools:
                assert f"`{plugin.id}.{tool_id}`" in README, f"{plugin.id}.{tool_id}"


def test_the_readme_names_no_place_of_one_machine() -> None:
    assert not re.search(r"/(root|tmp|home)/", README)
