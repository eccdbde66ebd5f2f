"""`videodag help`: the guide in the terminal, by page and by word."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.commands import ROOT, command, quick
from tests.test_imports import loaded
from videodag_cli import errors, guide

DOCS = sorted((ROOT / "docs").glob("*.md"))


def test_without_a_topic_every_page_is_listed_with_what_it_is_about() -> None:
    done = quick(command("help"))
    listed = dict(line.split(maxsplit=1) for line in done.out.decode().splitlines())
    assert listed == {path.stem: path.read_text().split("\n")[2] for path in DOCS}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.stem)
def test_every_page_begins_with_a_title_and_one_line(path: Path) -> None:
    title, empty, about, end, *_ = path.read_text().split("\n")
    assert (title[:2], empty, end) == ("# ", "", "")
    assert about.endswith(".")
    assert len(about) < 100


def test_a_piped_page_is_the_page_as_it_is_written() -> None:
    done = quick(command("help", "trust"), cwd=ROOT / "tests")
    assert done.out.decode().strip() == (ROOT / "docs" / "trust.md").read_text().strip()


def test_a_page_with_generated_parts_shows_no_marks_of_them() -> None:
    assert "<!--" in (ROOT / "docs" / "cli.md").read_text()
    assert b"<!--" not in quick(command("help", "cli")).out


@pytest.mark.parametrize("word", errors.WORDS)
def test_an_error_word_is_found_with_its_exit_code_and_meaning(word: str) -> None:
    row = guide.find_page(word).splitlines()[-1]
    assert row == f"| `{word}` | {errors.exit_code_of_word(word)} | {errors.WORDS[word]} |"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (["quality.sharpness"], "- `ksize` ("),
        (["ksize"], "## quality.sharpness"),
        (["max-frames"], "- `--max-frames N`"),
        (["check"], "    videodag check [OPTIONS] SUITE"),
        (["tools", "list"], "    videodag tools list [OPTIONS]"),
        (["line_counting"], "| `line_counting` | `line`, `track` |"),
        (["time_s"], "| `time_s` |"),
    ],
)
def test_commands_options_tools_params_and_fields_are_found(topic: list[str], expected: str) -> None:
    assert expected in guide.find_page(" ".join(topic))


def test_an_unknown_topic_names_what_comes_near() -> None:
    done = quick(command("help", "modles"))
    assert (done.code, done.word, done.out) == (2, "usage", b"")
    assert "did you mean models" in done.error


def test_on_a_terminal_a_page_is_formatted_and_goes_through_the_pager(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    main, child = pty.openpty()
    environment = {**os.environ, "PAGER": f"cat > {seen}", "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command("help", "trust"), stdout=child, stdin=child, env=environment, check=False, timeout=60)
    os.close(child)
    os.close(main)
    assert done.returncode == 0
    text = seen.read_text()
    assert "\x1b[" in text
    assert "Exit codes" in text
    assert "## Exit codes" not in text


@pytest.mark.parametrize("arguments", [["help"], ["help", "trust"]])
def test_nothing_that_formats_is_loaded_where_nothing_is_formatted(arguments: list[str]) -> None:
    assert "markdown_it" not in loaded(*arguments)
