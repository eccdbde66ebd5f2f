"""The command line as a whole: what it lists, completes and refuses, with one command loaded at most."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from videodag_cli.cli.app import COMMANDS, load_command

LISTED = {name: text for texts in COMMANDS.values() for name, text in texts.items()}
COMMAND_MODULES = {f"videodag_cli.cli.{name}" for name in LISTED}


def videodag(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "videodag_cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def completed(*words: str) -> list[str]:
    """What is offered for the last word."""
    done = videodag(
        _VIDEODAG_COMPLETE="complete_bash", COMP_WORDS=" ".join(("videodag", *words)), COMP_CWORD=str(len(words))
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()) & COMMAND_MODULES == wanted


def test_help_lists_every_command_in_its_panel() -> None:
    text = videodag("--help", COLUMNS="140").stdout
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
    done = videodag("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "_VIDEODAG_COMPLETE=complete_bash" in done.stdout


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
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"videodag: error[usage]: {said}")
    assert done.stderr.count("\n") == 1
