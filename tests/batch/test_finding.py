"""Which videos a command names, and how their outputs are called."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from videodag_cli.batch.finding import find_videos, read_list
from videodag_cli.batch.naming import outputs_for, require_apart
from videodag_cli.errors import InputError, RequestError
from videodag_cli.system.blindness import Blindness


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`in/` with videos in any case, other videos, hidden files and files that are none."""
    for name in ("a.mp4", "cam1/B.MOV", "cam1/c.M4v", "cam2/a.mp4", "x.mkv", "cam1/y.AVI", "cam1/z.mkv", "notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name in ("._a.mp4", ".trash/d.mp4"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str, root: str | None = None) -> list[str]:
    return [video.name for video in find_videos(arguments, root=root).videos]


def test_a_folder_is_searched_whole_and_in_order(folder: Path) -> None:
    found = find_videos(["in"])
    assert [video.name for video in found.videos] == ["a.mp4", "cam1/B.MOV", "cam1/c.M4v", "cam2/a.mp4"]
    assert [video.path for video in found.videos] == [os.path.join("in", video.name) for video in found.videos]
    assert found.told_others == "not MP4/MOV: 3 (.mkv 2, .avi 1)"


def test_a_pattern_that_no_shell_expanded_is_expanded(folder: Path) -> None:
    assert names("in/cam*/*.mp4") == ["a.mp4"]
    assert names("in/**/*.M*") == ["B.MOV", "c.M4v"]
    with pytest.raises(InputError, match="no file matches") as found:
        find_videos(["in/*.wmv4"])
    assert found.value.word == "input.missing"


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    Path("in/clip[1].mp4").touch()
    assert names("in/clip[1].mp4") == ["clip[1].mp4"]


def test_a_named_file_is_taken_whatever_it_is_called_or_missing(folder: Path) -> None:
    assert names("in/x.mkv", "in/nothing.mp4") == ["x.mkv", "nothing.mp4"]


def test_a_video_that_is_named_twice_runs_once(folder: Path) -> None:
    assert names("in/a.mp4", "./in/a.mp4", "in") == ["a.mp4", "cam1/B.MOV", "cam1/c.M4v", "cam2/a.mp4"]


def test_links_to_folders_are_not_followed(folder: Path) -> None:
    Path("in/loop").symlink_to(folder / "in")
    assert len(names("in")) == 4


def test_a_folder_that_cannot_be_listed_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", os.fspath("in"))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="in: the folder cannot be read: permission denied"):
        find_videos(["in"])


def test_outputs_are_named_below_the_folder_with_the_suffix_kept(folder: Path) -> None:
    videos = find_videos(["in"]).videos
    outputs = outputs_for(videos, ["people", "quality"], folder=Path("out"), format="jsonl")
    assert outputs[videos[1]] == (Path("out/cam1/B.MOV.people.jsonl"), Path("out/cam1/B.MOV.quality.jsonl"))
    assert outputs_for(videos[:1], ["p"], folder=Path("o"), format="list")[videos[0]] == (Path("o/a.mp4.p.json"),)


def test_outputs_that_would_collide_are_refused_with_the_way_out(folder: Path) -> None:
    with pytest.raises(
        RequestError, match=r"in/a.mp4 and in/cam2/a.mp4 would both be written to a.mp4.p.jsonl; .*--root"
    ):
        outputs_for(find_videos(["in/a.mp4", "in/cam2/a.mp4"]).videos, ["p"], folder=Path("out"), format="jsonl")
    assert names("in/a.mp4", "in/cam2/a.mp4", root="in") == ["a.mp4", "cam2/a.mp4"]
    with pytest.raises(RequestError, match="is not below --root in/cam1"):
        find_videos(["in/a.mp4"], root="in/cam1")


@pytest.mark.parametrize(
    ("data", "null", "paths"),
    [
        (b"a.mp4\nb c.mov\r\n\n\xff.mp4", False, ["a.mp4", "b c.mov", "\udcff.mp4"]),
        (b"a\nb.mp4\0c.mp4\0", True, ["a\nb.mp4", "c.mp4"]),
        (b"", False, []),
    ],
)
def test_a_list_has_one_path_a_line_or_a_nul_behind_each(
    tmp_path: Path, data: bytes, null: bool, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "list"
    file.write_bytes(data)
    assert read_list(str(file), null=null) == paths
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_list("-", null=null) == paths


def test_a_list_that_is_missing_or_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_list(str(tmp_path / "nothing"))
    file = tmp_path / "list"
    file.write_bytes(b"a.mp4\0b.mp4\0")
    with pytest.raises(RequestError, match="give -0"):
        read_list(str(file))


def test_a_folder_that_cannot_be_read_is_named_while_the_others_are_searched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "cam1":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    found = find_videos(["in"]).videos
    assert [(video.name, video.refusal) for video in found] == [
        ("a.mp4", ""), ("cam2/a.mp4", ""), ("cam1", "in/cam1: the folder cannot be read: permission denied"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="in/cam1: the folder cannot be read") as error:
        find_videos(["in/cam1"])
    assert error.value.word == "input.unreadable"


def test_a_file_reached_through_two_names_of_its_folder_runs_once(folder: Path) -> None:
    Path("again").symlink_to("in")
    videos = find_videos(["in", "again"]).videos
    outputs = outputs_for(videos, ["p", "q"], folder=Path("out"), format="jsonl")
    assert [video.path for video in outputs] == ["in/a.mp4", "in/cam1/B.MOV", "in/cam1/c.M4v", "in/cam2/a.mp4"]


@pytest.fixture
def folder_that_ignores_case(tmp_path: Path) -> Iterator[Path]:
    """An NTFS file system; skips where none can be mounted."""
    programs = [shutil.which(name) for name in ("mkntfs", "lowntfs-3g")]
    if not all(programs) or os.geteuid() != 0:
        pytest.skip("needs mkntfs and lowntfs-3g, and the right to mount")
    image, folder = tmp_path / "image", tmp_path / "blind"
    image.write_bytes(bytes(4 << 20))
    folder.mkdir()
    subprocess.run([str(programs[0]), "-F", "-Q", image], check=True, capture_output=True)
    if subprocess.run([str(programs[1]), "-o", "ignore_case", image, folder], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_outputs_that_differ_in_case_alone_are_refused_where_the_folder_ignores_it(
    tmp_path: Path, folder_that_ignores_case: Path
) -> None:
    for name in ("Clip.mp4", "clip.MP4", "caf\u00e9.mp4", "cafe\u0301.mp4"):
        (tmp_path / name).touch()

    def require(*names: str, folder: Path) -> None:
        found = find_videos([os.fspath(tmp_path / name) for name in names])
        require_apart(outputs_for(found.videos, ["p"], folder=folder, format="jsonl"), folder)

    require("Clip.mp4", "clip.MP4", folder=tmp_path)
    require("caf\u00e9.mp4", "cafe\u0301.mp4", folder=tmp_path)
    with pytest.raises(RequestError, match=r"Clip\.mp4 and .*clip\.MP4 would both be written to .*; rename one"):
        require("Clip.mp4", "clip.MP4", folder=folder_that_ignores_case)
    require("caf\u00e9.mp4", "cafe\u0301.mp4", folder=folder_that_ignores_case)  # NTFS ignores case alone
    assert list(folder_that_ignores_case.iterdir()) == []


def test_a_folder_that_ignores_case_or_forms_of_letters_has_one_key_for_such_names() -> None:
    assert Blindness(case=True, forms=False).key("Cam/A.mp4") == Blindness(case=True, forms=False).key("cam/a.MP4")
    assert Blindness(case=False, forms=True).key("caf\u00e9") == Blindness(case=False, forms=True).key("cafe\u0301")
    assert Blindness(case=False, forms=True).key("A") != Blindness(case=False, forms=True).key("a")
    assert Blindness(case=False, forms=False).key("caf\u00e9") != Blindness(case=False, forms=False).key("cafe\u0301")
