"""Whatever writes a file writes it in one way: whole or not at all, never through a link at a part, on any file system."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.results_files import line, write
from videodag_cli.convert import convert
from videodag_cli.errors import OutputError
from videodag_cli.report import write_report
from videodag_cli.run.api import run_video
from videodag_cli.run.job import RunOptions
from videodag_cli.system.files import append, whole_file
from videodag_cli.video.sampling import Sampling

CLIP = Path(__file__).parents[2] / "sample_videos" / "synthetic.mp4"
Writer = Callable[[str | Path, bool], object]


def _convert(target: str | Path, overwrite: bool) -> object:
    return convert([_results(target)], target, to="csv", overwrite=overwrite)


def _report(target: str | Path, overwrite: bool) -> object:
    return write_report(_results(target), target, overwrite=overwrite)


def _run(target: str | Path, overwrite: bool) -> object:
    return run_video(
        CLIP, "quality", sampling=Sampling(max_frames=1), output=target, options=RunOptions(overwrite=overwrite)
    )


def _results(target: str | Path) -> Path:
    return write(Path(target).parent / "results.jsonl", [line(0, {"n": 1.5})])


@pytest.fixture(params=[_convert, _report, _run])
def writer(request: pytest.FixtureRequest) -> Writer:
    found: Writer = request.param
    return found


@pytest.mark.parametrize("name", ["new/", "new/.", "."])
def test_the_name_of_a_folder_is_no_name_of_a_file(
    writer: Writer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="name a file") as refused:
        writer(name, True)
    assert refused.value.word == "output.folder"
    assert not (tmp_path / "new").exists()


def test_a_link_at_the_part_is_refused_and_what_it_leads_to_is_untouched(writer: Writer, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "out.part").symlink_to(precious)
    with pytest.raises(OutputError, match=r"out\.part: is a symbolic link") as caught:
        writer(tmp_path / "out", True)
    assert caught.value.word == "output.failed"
    assert precious.read_text() == "precious"
    assert not (tmp_path / "out").exists()


def test_a_pipe_at_the_part_is_refused_and_nobody_waits_for_it(writer: Writer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out.part")
    with pytest.raises(OutputError, match=r"out\.part: is not a file"):
        writer(tmp_path / "out", True)


def test_an_output_that_is_a_link_stays_one_and_its_target_is_written(writer: Writer, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "target"
    target.write_text("old")
    link = tmp_path / "out"
    link.symlink_to(target)
    writer(link, True)
    assert link.is_symlink()
    assert target.stat().st_size > 20
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_system_without_locks_and_without_folder_sync_is_written(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def no_lock(fd: int, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "no locks")

    def no_folder_sync(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(errno.EINVAL, "no folders")
        sync(fd)

    monkeypatch.setattr(fcntl, "flock", no_lock)
    monkeypatch.setattr(os, "fsync", no_folder_sync)
    writer(tmp_path / "out", False)
    assert (tmp_path / "out").stat().st_size > 20


@pytest.mark.parametrize("ending", [".part", ""])
@pytest.mark.parametrize(
    "write_from",
    [
        lambda source, target: convert([source], target, to="csv", overwrite=True),
        lambda source, target: write_report(source, target, overwrite=True),
    ],
    ids=["convert", "report"],
)
def test_an_input_that_lies_where_the_output_or_its_part_would_be_is_kept(
    tmp_path: Path, ending: str, write_from: Callable[[Path, Path], object]
) -> None:
    source = write(tmp_path / f"out{ending}", [line(0, {"n": 1.5})])
    before = source.read_bytes()
    with pytest.raises(OutputError) as caught:
        write_from(source, tmp_path / "out")
    assert caught.value.word == "output.input"
    assert source.read_bytes() == before


def test_the_record_of_an_input_is_an_input(tmp_path: Path) -> None:
    source = write(tmp_path / "results.jsonl", [line(0, {"n": 1.5})])
    record = tmp_path / "results.jsonl.run.json"
    record.write_text('{"schema":"videodag.run/1"}')
    with pytest.raises(OutputError, match="would overwrite the input"):
        convert([source], record, to="csv", overwrite=True)


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def write_both() -> None:
        with whole_file(tmp_path / "out") as stream:
            stream.write(b"mine")
            (tmp_path / "out").write_text("theirs")

    with pytest.raises(OutputError, match="exists"):
        write_both()
    assert (tmp_path / "out").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_appended_comes_behind_what_was_there(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        append(tmp_path / "log", text)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    with pytest.raises(OutputError) as caught:
        append(tmp_path / "none" / "log", b"")
    assert caught.value.word == "output.folder"
