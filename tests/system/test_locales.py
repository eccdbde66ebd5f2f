"""Locales that are not UTF-8, and names of files that are not: every command gives the same, and says the names."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests import results_files
from tests.clips import encode
from tests.commands import ROOT, Done, call, command, finish, quick
from tests.system.test_surroundings import COMMANDS

LATIN = os.fsdecode(b"caf\xe9")
UTF_8 = "café→"
ESCAPED = "caf\\xe9"
LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LC_ALL": "POSIX"},
    "ascii": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii:strict"},
    "latin": {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"},
    "japanese": {"LC_ALL": "ja_JP.EUC-JP", "PYTHONUTF8": "0"},
}


@pytest.fixture(scope="module")
def latin_locale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed")
    for place, encoding in (("en_US", "ISO-8859-1"), ("ja_JP", "EUC-JP")):
        line: list[str | Path] = ["localedef", "-i", place, "-f", encoding, folder / f"{place}.{encoding}"]
        if subprocess.run(line, capture_output=True, check=False).returncode:
            pytest.skip("the sources of locales are not installed")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("work")
    encode(made / "clip.mp4", indices=range(4))
    shutil.copy(results_files.codes(), made / "codes.jsonl")
    for name in (LATIN, UTF_8):
        shutil.copy(made / "clip.mp4", made / f"{name}.mp4")
        done = call(command("run", "-q", "-p", "codes", f"{name}.mp4", "-o", f"{name}.jsonl"), cwd=made)
        assert done.code == 0
    return made


def surroundings(name: str, latin_locale: Path) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    return {**plain, "PYTHONPATH": str(ROOT), "LOCPATH": str(latin_locale), **LOCALES[name]}


@pytest.mark.parametrize("name", ["\u65e5\u672c", os.fsdecode("\u65e5\u672c".encode("euc_jp")), LATIN, UTF_8])
def test_a_name_is_found_where_text_does_not_lead_back_to_its_bytes(
    name: str, folder: Path, tmp_path: Path, latin_locale: Path
) -> None:
    shutil.copy(folder / "clip.mp4", tmp_path / f"{name}.mp4")
    where = surroundings("japanese", latin_locale)
    done = call(command("run", "-q", "-p", "quality", f"{name}.mp4", "-o", f"{name}.jsonl"), cwd=tmp_path, env=where)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / f"{name}.jsonl").read_bytes().count(b"\n") == 4


def outcome(done: Done) -> tuple[int, bytes, str]:
    return done.code, done.out, done.err


@pytest.mark.parametrize(
    ("line", "locale"),
    [
        pytest.param(line, list(LOCALES)[number % len(LOCALES)], marks=[pytest.mark.slow] if number % 7 else [])
        for number, line in enumerate(COMMANDS)
        if "--dry-run" not in line  # it is not the same twice
    ],
)
def test_a_command_writes_the_same_in_every_locale(line: str, locale: str, folder: Path, latin_locale: Path) -> None:
    expected = quick(command(*line.split()), cwd=folder, env={**os.environ, "LC_ALL": "C.UTF-8"})
    done = call(command(*line.split()), cwd=folder, env=surroundings(locale, latin_locale))
    assert outcome(done) == outcome(expected)
    assert done.code == 0


@pytest.mark.parametrize(
    ("name", "locale"),
    [
        pytest.param(name, locale, marks=[] if locale in ("C", "latin") else [pytest.mark.slow])
        for name in (LATIN, UTF_8)
        for locale in LOCALES
    ],
)
def test_names_of_files_mean_the_same_in_every_locale(
    name: str, locale: str, folder: Path, latin_locale: Path, tmp_path: Path
) -> None:
    env = surroundings(locale, latin_locale)
    shown = ESCAPED if name == LATIN else UTF_8
    table, page = tmp_path / f"{name}.csv", tmp_path / f"{name}.html"
    assert call(command("convert", f"{name}.jsonl", "-o", table), cwd=folder, env=env).code == 0
    assert table.read_text("utf-8").splitlines()[1].startswith(f"{shown}.jsonl,")
    report = call(command("report", f"{name}.jsonl", "-o", page), cwd=folder, env=env)
    assert report.code == 0
    assert "not found" not in report.err
    assert f"<title>{shown}.mp4" in page.read_text("utf-8")
    output = tmp_path / f"{name}.jsonl"
    assert call(command("run", "-q", "-p", "codes", f"{name}.mp4", "-o", output), cwd=folder, env=env).code == 0
    record = orjson.loads(Path(f"{output}.run.json").read_bytes())
    assert record["input"]["path"] == f"{shown}.mp4"


@pytest.mark.slow
@pytest.mark.parametrize("name", [LATIN, UTF_8])
def test_a_batch_in_the_c_locale_opens_files_of_every_name(
    name: str, folder: Path, latin_locale: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    line = command("run", "-q", "-p", "codes", f"{name}.mp4", "--output-dir", made)
    done = call(line, cwd=folder, env=surroundings("C", latin_locale))
    assert (done.code, done.err) == (0, "")
    assert [path.name for path in made.glob("*.jsonl")] == [f"{name}.mp4.codes.jsonl"]


def test_a_table_of_a_name_that_is_not_utf_8_can_be_read_by_others(folder: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = tmp_path / "t.parquet"
    assert call(command("convert", f"{LATIN}.jsonl", "-o", table), cwd=folder).code == 0
    assert set(pandas.read_parquet(table)["source"]) == {f"{ESCAPED}.jsonl"}


@pytest.mark.slow
def test_many_videos_from_a_list_of_names_that_are_not_utf_8(folder: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_bytes(b"".join(os.fsencode(f"{folder}/{name}.mp4\n") for name in (LATIN, UTF_8)))
    made = tmp_path / "made"
    done = call(command("run", "-q", "-p", "codes", "--from-file", names, "--output-dir", made))
    assert done.code == 0
    assert sorted(path.name for path in made.glob("*.jsonl")) == sorted(
        f"{name}.mp4.codes.jsonl" for name in (LATIN, UTF_8)
    )
    listed = (made / "batch.json").read_text("utf-8")
    assert f"{ESCAPED}.mp4".replace("\\", "\\\\") in listed
    assert f"{UTF_8}.mp4" in listed


@pytest.mark.parametrize("what", ["suite", "clip", "name"])
def test_suites_do_not_take_what_text_cannot_hold(what: str, folder: Path, tmp_path: Path) -> None:
    suite = tmp_path / f"{LATIN if what == 'suite' else 'x'}.videodag.toml"
    clip = folder / f"{LATIN if what == 'clip' else 'clip'}.mp4"
    more = ["--name", LATIN] if what == "name" else []
    done = call(command("check", "--add", suite, clip, "-p", "codes", *more))
    assert (done.code, done.word) == (2, "usage")
    assert ESCAPED in done.error
    assert "is not valid UTF-8, and suites are UTF-8 text" in done.error
    assert not suite.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of Unix")
def test_a_terminal_is_given_what_its_locale_can_show(folder: Path, latin_locale: Path) -> None:
    """Latin-1 has no arrows and no lines, but it has é."""
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        command("probe", f"{UTF_8}.mp4"),
        cwd=folder,
        env=surroundings("latin", latin_locale),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    os.close(terminal)
    assert finish(process).code == 0
    shown = os.read(control, 65536)
    os.close(control)
    assert shown.startswith("café->.mp4".encode("latin-1"))
