"""The command line as a whole: what it lists, completes and refuses, with one command loaded at most."""

from __future__ import annotations

import os

import pytest

from tests.commands import python, videodag
from videodag_cli.cli.app import COMMANDS, load_command

LISTED = {name: text for texts in COMMANDS.values() for name, text in texts.items()}
COMMAND_MODULES = {f"videodag_cli.cli.{name}" for name in LISTED}


def completed(*words: str) -> list[str]:
    """What is offered for the last word."""
    asked = {"_VIDEODAG_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(("videodag", *words))}
    done = videodag(env={**os.environ, **asked, "COMP_CWORD": str(len(words))})
    assert (done.code, done.err) == (0, "")
    return done.text.split()


@pytest.mark.parametrize("name", LISTED)
def test_a_command_is_listed_with_the_first_sentence_of_its_own_help(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert " ".join(command.help.partition("\n\n")[0].split()) == LISTED[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--help"], set()),
        (["run", "--help"], {"videodag_cli.cli.run"}),
        (["pipelines", "show", "--help"], {"videodag_cli.cli.pipelines"}),
    ],
)
def test_only_the_command_that_is_wanted_is_loaded(arguments: list[str], wanted: set[str]) -> None:
    code = f"import sys; from videodag_cli.cli import app; assert app._run_app({arguments!r}) == 0; print(*sys.modules)"
    assert set(python(code).splitlines()[-1].split()) & COMMAND_MODULES == wanted


def test_help_lists_every_command_in_its_panel() -> None:
    text = videodag("--help", env={**os.environ, "COLUMNS": "140"}).text
    places = [text.index(f"─ {panel} ─") for panel in COMMANDS]
    assert places == sorted(places)
    for panel, start, end in zip(COMMANDS, places, [*places[1:], len(text)], strict=True):
        for name, summary in COMMANDS[panel].items():
            assert any(line.split()[1:2] == [name] and summary in line for line in text[start:end].splitlines()), name


@pytest.mark.slow
def test_commands_options_and_values_are_completed_without_a_word_on_standard_error() -> None:
    assert completed("r") == ["run", "report", "ranges"]
    assert completed("run", "--frame-s") == ["--frame-stride"]
    assert completed("run", "--decoder", "") == ["auto", "opencv", "pyav"]
    assert completed("pipelines", "v") == ["validate"]


def test_the_completion_script_is_printed() -> None:
    done = videodag(
        "--show-completion", "bash", env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    )
    assert (done.code, done.err) == (0, "")
    assert "_VIDEODAG_COMPLETE=complete_bash" in done.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["pipelines", "lits"], "No such command 'lits'. Did you mean 'list'?"),
        (["run", "--frame-strid", "5", "x.mp4"], "No such option: --frame-strid"),
        (["--hlp"], "No such option: --hlp"),
    ],
)
def test_a_mistyped_word_is_a_usage_error(arguments: list[str], said: str) -> None:
    done = videodag(*arguments)
    assert (done.code, done.text) == (2, "")
    assert done.err.startswith(f"videodag: error[usage]: {said}")
    assert done.err.count("\n") == 1
