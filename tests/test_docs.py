"""What the README and the guide say is true: their examples run, and they name everything there is."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDE = "\n".join(page.read_text() for page in PAGES)


def fence(language: str, containing: str) -> str:
    """The one example with this text; where several pages show it, they show the same."""
    fences = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    found: set[str] = {text for text in fences if containing in text}
    assert len(found) == 1, f"{len(found)} {language} examples with {containing!r}"
    return found.pop()


def test_the_readme_is_one_screen_and_a_few_examples() -> None:
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        found = (page.parent / target) if target else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings], anchor


def videodag(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "videodag_cli", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the guide's plugin and pipeline, and the sample clips."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "blur.py").write_text(fence("python", "def sharpness("))
    (tmp_path / "blurred.json").write_text(fence("json", '"blurred"'))
    (tmp_path / "sample_videos").symlink_to(ROOT / "sample_videos")
    return tmp_path


def test_the_pipeline_and_the_tool_give_the_lines_shown(folder: Path) -> None:
    command = "run -q -p blurred.json --plugins-dir tools --every 2 sample_videos/bigbuckbunny.mp4"
    assert f"$ videodag {command}\n" in GUIDE
    done = videodag(*command.split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    shown = re.search(rf"\$ videodag {re.escape(command)}\n((?: *\{{.*\n)+)", GUIDE)
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


def test_every_command_has_help_and_is_in_the_guide() -> None:
    from videodag_cli.cli.app import COMMANDS, load_command

    for name in itertools.chain.from_iterable(COMMANDS.values()):
        command = load_command(name)
        assert command.help, name
        assert f"videodag {name}" in GUIDE, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name}"


def test_the_guide_names_no_place_of_one_machine() -> None:
    assert not re.search(r"/(root|tmp|home)/", GUIDE)
