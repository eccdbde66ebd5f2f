"""Signals and kills: whole lines, the right code, within two seconds, and the same command finishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.clips import encode
from tests.commands import ROOT, Done, call, finish, pipeline, run_arguments, start
from tests.graphs import node

pytestmark = [pytest.mark.slow, pytest.mark.waits]

FRAMES = 24
ENDS_WITHIN_S = 15
"""Generous: a busy machine is no reason to fail; what hangs would do so for a minute."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", indices=range(FRAMES))


class Run:
    """A run that comes to a chosen trouble at frame 12, once."""

    def __init__(self, clip: Path, folder: Path, kind: str, *more: str | Path, tool: str = "stateless") -> None:
        self.once = folder / "once"
        self.output = folder / "o.jsonl"
        self.part = folder / "o.jsonl.part"
        nodes: list[Any] = [node(f"hostile.{tool}", kind=kind, at=[12], once=str(self.once)), "counter"]
        self.arguments = run_arguments(clip, pipeline(folder, nodes), *more)

    def into_file(self) -> list[str]:
        return [*self.arguments, "-o", os.fspath(self.output)]

    def started(self, arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start it and wait for the trouble."""
        process = start(arguments, **options)
        end = time.monotonic() + 30
        while not self.once.exists():
            assert time.monotonic() < end
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        return process


@pytest.fixture(scope="module")
def reference(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an undisturbed run writes."""
    folder = tmp_path_factory.mktemp("reference")
    run = Run(clip, folder, "sleep")
    run.once.touch()
    assert call(run.into_file()).code == 0
    return run.output.read_bytes()


def code_of(done: Done) -> int:
    """As a shell has it."""
    return done.code if done.code >= 0 else 128 - done.code


@pytest.mark.parametrize(
    ("kind", "number"), [("sleep", signal.SIGINT), ("regex", signal.SIGTERM), ("c_hang", signal.SIGINT)]
)
def test_a_signal_ends_even_what_hangs_and_nothing_is_lost(
    clip: Path, reference: bytes, tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    run = Run(clip, tmp_path, kind)
    process = run.started(run.into_file())
    process.send_signal(number)
    done = finish(process, timeout_s=ENDS_WITHIN_S)
    assert code_of(done) == 128 + number
    assert done.word == "stopped.signal"
    kept = run.part.read_bytes()
    assert kept.endswith(b"\n")
    again = call(run.into_file())
    assert again.code == 0
    assert f"continuing after the {kept.count(10)} lines" in again.err
    assert run.output.read_bytes().startswith(kept)
    assert run.output.read_bytes() == reference


@pytest.mark.parametrize("kind", ["sigint", "sighup"])
def test_a_signal_to_a_run_on_standard_output_leaves_whole_lines(clip: Path, tmp_path: Path, kind: str) -> None:
    run = Run(clip, tmp_path, kind)
    done = call(run.arguments)
    assert done.code == 128 + getattr(signal, kind.upper())
    assert done.word == "stopped.signal"
    assert done.out.endswith(b"\n")
    assert [line["frame_index"] for line in done.lines] == list(range(len(done.lines)))


def test_a_second_signal_ends_at_once(clip: Path, tmp_path: Path) -> None:
    run = Run(clip, tmp_path, "sleep")
    process = run.started(run.into_file())
    process.send_signal(signal.SIGINT)
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    done = finish(process, timeout_s=ENDS_WITHIN_S)
    assert (done.code, done.word) == (130, "stopped.signal")


def test_a_signal_before_the_first_frame_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    run = Run(clip, tmp_path, "sigterm")
    nodes = [node("hostile.stateless", kind="sigterm", at=[0])]
    done = call(run_arguments(clip, pipeline(tmp_path, nodes, id="q"), "-o", run.output))
    assert (done.code, done.word) == (143, "stopped.signal")
    assert list(tmp_path.glob("o.jsonl*")) == []


def test_an_earlier_part_survives_a_signal_while_tools_are_made(clip: Path, tmp_path: Path) -> None:
    run = Run(clip, tmp_path, "sigkill")
    assert call_killed(run.into_file()) == -9
    kept = run.part.read_bytes()
    assert kept
    for delay_s in (0.3, 0.5):
        process = start(run.into_file())
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert (run.part if run.part.exists() else run.output).read_bytes().startswith(kept)


def call_killed(arguments: list[str]) -> int:
    process = start(arguments)
    process.communicate()
    return process.returncode


@pytest.mark.parametrize("tool", ["stateless", "batches", "kept", "replayed"])
def test_a_killed_run_ends_in_the_undisturbed_file(clip: Path, tmp_path: Path, tool: str) -> None:
    run = Run(clip, tmp_path, "sigkill", "--checkpoint-every", "0", tool=tool)
    process = start(run.into_file())
    done = finish(process)
    assert (done.code, done.word) == (-9, "stopped.crash")
    assert run.part.exists()
    assert call(run.into_file()).code == 0
    lines = [orjson.loads(line) for line in run.output.read_bytes().splitlines()]
    seen = [i + (tool in ("kept", "replayed")) for i in range(FRAMES)]
    assert [line["result"] for line in lines] == [{tool: seen[i], "counter": i + 1} for i in range(FRAMES)]


@pytest.mark.parametrize("watched", [[], ["--isolate"]])
def test_under_nohup_a_hangup_is_no_signal(clip: Path, reference: bytes, tmp_path: Path, watched: list[str]) -> None:
    """Neither in the process that runs the tools nor in the one that was started."""
    run = Run(clip, tmp_path, "sighup", *watched)
    done = call(run.into_file(), shell='trap "" HUP; "$@" & p=$!; (sleep 1; kill -HUP $p) 2>/dev/null; wait $p')
    assert done.code == 0
    assert run.output.read_bytes() == reference


def test_these_tests_hold_when_they_are_started_under_nohup() -> None:
    """What ignores SIGHUP hands that on to its children, unless they are started with care."""
    script = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "from tests.commands import call, finish, start;"
        "ask = [sys.executable, '-c', 'import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)'];"
        "print(call(ask).out, finish(start(ask)).out, signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    )
    done = call([sys.executable, "-c", script], cwd=ROOT)
    assert done.out == b"b'True\\n' b'True\\n' True\n"


def test_a_signal_while_nobody_reads_ends_the_run(clip: Path, tmp_path: Path) -> None:
    path = pipeline(tmp_path, [node("hostile.long", length=40_000)])
    process = start(run_arguments(clip, path))
    time.sleep(1.5)  # the pipe is full by then; if it is not, the signal comes between two lines
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=ENDS_WITHIN_S) in (143, -15)
    process.communicate()


@pytest.mark.parametrize("watched", [["--isolate"], ["--timeout", "100"]])
def test_a_signal_to_a_watched_run_is_one_line(clip: Path, tmp_path: Path, watched: list[str]) -> None:
    run = Run(clip, tmp_path, "sleep", *watched)
    process = run.started(run.into_file())
    process.send_signal(signal.SIGTERM)
    done = finish(process, timeout_s=ENDS_WITHIN_S)
    assert (done.code, done.word) == (143, "stopped.signal")


COMPLAINS = """
import os, signal, time
from videodag_cli.cli import app as module

def app(**options):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)
    finally:
        raise RuntimeError("cannot release un-acquired lock")

module.app = app
module.main()
"""


def test_a_complaint_that_a_signal_causes_is_the_signal() -> None:
    """As Python's locks have them where the exception of a signal comes while they are taken."""
    done = call([sys.executable, "-c", COMPLAINS])
    assert (done.code, done.err) == (
        130,
        "videodag: error[stopped.signal]: SIGINT: stopped; run the same command again to finish\n",
    )


def test_two_signals_sent_as_one_are_one(clip: Path, tmp_path: Path) -> None:
    run = Run(clip, tmp_path, "sleep")
    process = run.started(run.into_file())
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    done = finish(process, timeout_s=ENDS_WITHIN_S)
    assert code_of(done) == 143
    assert run.part.read_bytes().endswith(b"\n")


ENTRY, _, FUNCTION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["videodag"].partition(
    ":"
)
SCRIPT = f"import sys\nfrom {ENTRY} import {FUNCTION}\nsys.exit({FUNCTION}())"
"""What the installed command does."""
INTERRUPTED = "import os, signal, time\nos.kill(os.getpid(), signal.{})\ntime.sleep(30)\n"


@pytest.mark.parametrize("loaded", ["inspect", "typer", "ctypes", "cv2"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("entry", [(), ("-c", SCRIPT)], ids=["module", "script"])
def test_a_signal_while_the_command_is_loaded_is_no_traceback(
    clip: Path, tmp_path: Path, loaded: str, name: str, entry: tuple[str, ...]
) -> None:
    (tmp_path / f"{loaded}.py").write_text(INTERRUPTED.format(name))
    arguments = run_arguments(clip, "quality", "-q", "-o", tmp_path / "o.jsonl")
    done = call(
        [arguments[0], *entry, *arguments[3:]] if entry else arguments,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert (done.code, done.word) == (128 + getattr(signal, name), "stopped.signal")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "o.jsonl").exists()
