"""`--json-errors`: whatever goes wrong is an object of the schema `error`, with the exit code the process ends with."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests import reference
from tests.commands import ERROR, ROOT, Done, call, command, finish, python, run_arguments, start
from tests.graphs import document, node, write
from videodag_cli.cli.app import load_command
from videodag_cli.errors import WORDS
from videodag_cli.schemas import load_schema
from videodag_cli.system.failure_lines import message_parts, wanted

CLIP = ROOT / "sample_videos" / "synthetic.mp4"


def said(*arguments: object) -> Done:
    """In a fresh process: the option is looked for while the command is loaded."""
    return call(command(*arguments))


def only(done: Done) -> dict[str, Any]:
    """The one failure, which is valid and the only line of its kind."""
    (found,) = done.failures
    assert not [line for line in done.err.splitlines() if ERROR.match(line)]
    Draft202012Validator(load_schema("error")).validate({"error": found})
    assert found["word"] in WORDS
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--bogus"], {"word": "usage", "exit_code": 2, "command": "run", "where": "--bogus"}),
        (["rnu"], {"word": "usage", "where": "videodag", "right": "Did you mean 'run'?"}),
        (["check", "--jobs", "0"], {"word": "usage", "where": "--jobs"}),
        (["diff", "a"], {"word": "usage", "command": "diff", "where": "B"}),
        (["run", "-p", "people", "none.mp4"], {"word": "input.missing", "exit_code": 3, "where": "none.mp4"}),
        (["probe", "n\u00f6; ne'.mp4"], {"word": "input.missing", "command": "probe"}),
        (["ranges", "-", "--where", "a >"], {"word": "usage", "exit_code": 2}),
        (
            ["run", "-p", "people", "--frame-stride", "2", "--every", "1", "x.mp4"],
            {"right": "give one of them", "where": None},
        ),
        (["tools", "show", "quality.nothing"], {"word": "plugin.unknown", "where": "plugin 'quality'"}),
        (["convert", "none.jsonl", "-o", "x.csv"], {"word": "input.missing"}),
    ],
)
def test_what_is_wrong_is_said_as_an_object(arguments: list[str], expected: dict[str, Any], tmp_path: Path) -> None:
    done = call(command(*arguments, "--json-errors"), cwd=tmp_path)
    found = only(done)
    assert {name: found[name] for name in expected} == expected
    assert (found["exit_code"], done.out) == (done.code, b"")
    assert done.err.isascii()


def test_before_the_command_it_means_the_same(tmp_path: Path) -> None:
    behind, before = said("probe", "none.mp4", "--json-errors"), said("--json-errors", "probe", "none.mp4")
    assert behind.err == before.err
    assert only(before)["command"] == "probe"


def test_after_two_dashes_it_is_a_file_name() -> None:
    assert wanted(["run", "--json-errors"])
    assert not wanted(["run", "--", "--json-errors"])
    assert said("probe", "--", "--json-errors").word == "input.missing"


def test_all_problems_of_a_pipeline_are_listed(tmp_path: Path) -> None:
    file = write(tmp_path, document([node("a:quality.sharpnes"), node("b:quality.nois")]))
    found = only(said("run", "-p", file, CLIP, "--json-errors"))
    assert found["word"] == "pipeline.invalid"
    assert len(found["problems"]) >= 2
    assert any("'quality': unknown tool 'nois'" in problem for problem in found["problems"])


def test_failures_on_record_have_their_exit_code_and_no_advice(tmp_path: Path) -> None:
    done = call(run_arguments(CLIP, write(tmp_path, document([node("hostile.stateless", at=[1])])), "--json-errors"))
    found = only(done)
    assert (done.code, found["exit_code"], found["word"], found["right"]) == (4, 4, "run.incomplete", None)


@pytest.mark.slow
def test_a_limit_kept_by_a_parent_process_is_said_once(tmp_path: Path) -> None:
    file = write(tmp_path, document([node("hostile.slow", sleep_s=5)]))
    done = call(run_arguments(CLIP, file, "--timeout", "1", "--json-errors"))
    assert (done.code, only(done)["word"]) == (7, "stopped.timeout")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_said_as_an_object(number: signal.Signals, tmp_path: Path) -> None:
    process = start(
        run_arguments(CLIP, write(tmp_path, document([node("hostile.slow", sleep_s=0.2)])), "--json-errors")
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    done = finish(process)
    assert (done.code, only(done)) == (
        128 + number,
        {
            "word": "stopped.signal",
            "exit_code": 128 + number,
            "command": "run",
            "message": f"{number.name}: stopped; run the same command again to finish",
            "where": number.name,
            "right": "run the same command again to finish",
            "problems": [],
        },
    ), done.err


def test_a_signal_while_the_command_is_loaded_is_said_as_an_object() -> None:
    code = (
        "import os, signal, sys; sys.argv = ['videodag', 'probe', '--json-errors', 'x'];"
        "from videodag_cli.system.loading import end_at_once; end_at_once(); os.kill(os.getpid(), signal.SIGTERM)"
    )
    done = call([command()[0], "-c", code])
    assert (done.code, only(done)["word"]) == (143, "stopped.signal")


@pytest.mark.slow
def test_a_killed_run_is_said_as_an_object_by_who_watched_it(tmp_path: Path) -> None:
    process = start(
        run_arguments(CLIP, write(tmp_path, document([node("hostile.slow", sleep_s=0.2)])), "--json-errors")
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    done = finish(process)
    assert only(done) | {"message": ""} == {
        "word": "stopped.crash",
        "exit_code": None,
        "command": "run",
        "message": "",
        "where": None,
        "right": "run the same command again to finish, with --isolate if a tool crashes it",
        "problems": [],
    }


@pytest.mark.parametrize("name", [name for name, _ in reference.commands()])
def test_every_command_offers_it(name: str) -> None:
    group, _, inner = name.partition(" ")
    found = load_command(group)
    found = found.commands[inner] if inner else found
    assert "--json-errors" in [option for param in found.params for option in param.opts]


def test_a_message_is_taken_apart_where_it_separates() -> None:
    assert message_parts("a.mp4: is a folder; name a file") == ("a.mp4", "name a file")
    assert message_parts("'a: b; c': is a folder") == ("'a: b; c'", None)
    assert message_parts("unknown tool 'x'; known: a, b") == (None, "known: a, b")
    assert message_parts("nothing to say") == (None, None)
    assert message_parts("x: a (b; c: d); e; f") == ("x", "f")


def test_without_it_nothing_of_json_is_loaded() -> None:
    code = "import sys; import videodag_cli.system.failure_lines; print('json' in sys.modules)"
    assert python(code).strip() == "False"
