"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_videos"
SUITE = "clips.videodag.toml"
CASE = """
[[case]]
name = "codes"
clip = "synthetic.mp4"
pipeline = "builtin:codes"
sampling = { frame_stride = 60 }
assert = ["codes.text contains 'F0000'"]
"""


def run_pytest(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "videodag_cli.check.pytest_plugin",
        "-p",
        "no:cacheprovider",
        *args,
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "synthetic.mp4").symlink_to(SAMPLES / "synthetic.mp4")
    return tmp_path


def test_each_case_is_a_test_and_failures_read_like_those_of_check(folder: Path) -> None:
    (folder / SUITE).write_text(CASE + CASE.replace('"codes"', '"other"', 1).replace("F0000", "G0000"))
    run = run_pytest(folder, "-v")
    assert run.returncode == 1
    assert "clips.videodag.toml::codes PASSED" in run.stdout
    assert "clips.videodag.toml::other FAILED" in run.stdout
    assert "does not hold: not true on any of 2 frames: 0.00-4.80 s (frames 0-60)" in run.stdout
    assert "Traceback" not in run.stdout
    assert "1 failed, 1 passed" in run.stdout


def test_bad_suite_is_a_collection_error(folder: Path) -> None:
    (folder / SUITE).write_text("[[case]]\nname = 1\n")
    run = run_pytest(folder)
    assert run.returncode == 2
    assert f"suite {folder / SUITE}: case.0.name: Input should be a valid string" in run.stdout


def test_nothing_heavy_is_loaded_without_a_suite(folder: Path) -> None:
    (folder / "test_own.py").write_text(
        "import sys\n\n\ndef test_light():\n"
        "    heavy = {'numpy', 'cv2', 'av', 'onnxruntime', 'pydantic', 'scipy', 'typer', 'videodag_cli.check.suite'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    (folder / "other.toml").write_text("not = a suite")
    run = run_pytest(folder)
    assert run.returncode == 0, run.stdout
    assert "1 passed" in run.stdout
