"""`videodag check` and `videodag diff` on real clips: what passes, what fails and how that reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.commands import videodag
from tests.shared import made_once, shared_folder
from videodag_cli.check.check import DIFFERS, FAILED, PASSED, UPDATED, CaseOutcome, check_case, write_golden
from videodag_cli.check.suite import chosen_suites, load_suite
from videodag_cli.errors import RequestError

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_videos"
SUITE = "street.videodag.toml"
Lines = list[dict[str, Any]]


@pytest.fixture(scope="session")
def made() -> Path:
    """A folder with a suite of two cases, made by `check --add`; tests work on copies."""
    return made_once(shared_folder() / "suite", _make_suite)


def _make_suite(folder: Path) -> None:
    folder.mkdir()
    for name in ("pedestrians.mp4", "synthetic.mp4"):
        (folder / name).symlink_to(SAMPLES / name)
    options = ["-p", "builtin:people_tracking", "--frame-stride", "2", "--end", "2", "--name", "walkers"]
    run = videodag(
        "check", "--add", SUITE, "pedestrians.mp4", *options, "--assert", "track.count >= 2 for 1s", cwd=folder
    )
    assert run.code == 0, run.err
    options = ["-p", "builtin:quality", "--frame-stride", "30", "--set", "black.pixel=0.08"]
    run = videodag("check", "--add", SUITE, "synthetic.mp4", *options, cwd=folder)
    assert run.code == 0, run.err


@pytest.fixture
def suite(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "suite", symlinks=True)
    return tmp_path / "suite" / SUITE


def checked(suite: Path, name: str, folder: Path, **options: Any) -> CaseOutcome:
    case = next(case for case in load_suite(suite) if case.name == name)
    return check_case(case, folder / "results", **options)


def golden_of(suite: Path, name: str) -> Path:
    return suite.parent / "street" / f"{name}.jsonl"


def change(golden: Path, edit: Callable[[Lines], None]) -> None:
    lines = [json.loads(line) for line in golden.read_text().splitlines()]
    edit(lines)
    golden.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_added_cases_stand_in_the_suite_as_they_were_asked_for(suite: Path) -> None:
    walkers, quality = load_suite(suite)
    assert (walkers.name, quality.name) == ("walkers", "synthetic-quality")
    assert walkers.sampling.as_json() == {"frame_stride": 2, "end": "2"}
    assert walkers.assertions == ("track.count >= 2 for 1s",)
    assert quality.set_params == {"black": {"pixel": 0.08}}
    assert walkers.expected == golden_of(suite, "walkers")
    assert len(golden_of(suite, "walkers").read_text().splitlines()) == 10


def test_golden_record_tells_the_request_and_nothing_of_the_machine(suite: Path) -> None:
    text = Path(f"{golden_of(suite, 'walkers')}.run.json").read_text()
    record = json.loads(text)
    assert record["input"]["path"] == "pedestrians.mp4"
    assert record["request"]["tools"]["track"]["tool"] == "track.objects"
    assert str(suite.parent) not in text
    assert not {"mtime_ns", "inode"} & record["input"].keys()
    assert not {"wall_time_s", "nodes", "profile"} & record.keys()


def test_golden_made_by_one_run_passes_with_any_number_of_workers(suite: Path, tmp_path: Path) -> None:
    for workers in (1, 4):
        outcome = checked(suite, "walkers", tmp_path, workers=workers)
        assert (outcome.status, outcome.lines(), outcome.frames) == (PASSED, [], 10)


def test_moved_detector_threshold_fails_and_is_named_first(suite: Path, tmp_path: Path) -> None:
    case = (
        '[[case]]\nname = "people"\nclip = "pedestrians.mp4"\npipeline = "builtin:people"\nexpected = "street/people.jsonl"\n'
        'sampling = {{ frame_stride = 4, start = 4.4, end = 5.4 }}\nset = {{ "people.confidence" = {confidence} }}\n'
    )
    suite.write_text(case.format(confidence=0.45))
    assert checked(suite, "people", tmp_path, update=True).status == UPDATED
    write_golden(next((tmp_path / "results").glob("*.jsonl")), golden_of(suite, "people"))
    suite.write_text(case.format(confidence=0.55))
    outcome = checked(suite, "people", tmp_path)
    assert outcome.status == DIFFERS
    changed, *differences = outcome.lines()
    assert changed == "golden: people.confidence 0.45; now: 0.55"
    assert differences[0].startswith("frame 44 t=4.40s people: person lost (best IoU ")
    assert differences[-1].startswith("in all: people: ")


def test_relabelled_ids_pass_and_exchanged_ids_fail(suite: Path, tmp_path: Path) -> None:
    def relabel(lines: Lines) -> None:
        for line in lines:
            for row in line["result"]["track"]:
                row["tracker_id"] = 50 - row["tracker_id"]

    def exchange(lines: Lines) -> None:
        relabel(lines)
        for line in lines[6:]:
            for row in line["result"]["track"]:
                row["tracker_id"] = {49: 48, 48: 49}.get(row["tracker_id"], row["tracker_id"])

    golden = golden_of(suite, "walkers")
    actual = tmp_path / "actual.jsonl"
    shutil.copy(golden, actual)
    change(golden, relabel)
    run = videodag("diff", golden, actual, cwd=tmp_path)
    assert (run.code, run.text) == (0, "equal within the tolerances: 10 common frames\n")
    shutil.copy(actual, golden)
    change(golden, exchange)
    run = videodag("diff", golden, actual, cwd=tmp_path)
    assert run.code == 5
    assert run.text == "frame 12 t=1.20s track: person id 48 goes on as 1, so far it was 2\n"
    assert run.err.startswith("videodag: error[check.difference]: ")
    assert run.err.endswith("differs from " + str(golden) + ": track: 1 x id in 10 common frames\n")


def test_dropped_frame_and_shifted_box_fail(suite: Path, tmp_path: Path) -> None:
    golden = golden_of(suite, "walkers")
    shutil.copy(golden, tmp_path / "actual.jsonl")

    def damage(lines: Lines) -> None:
        del lines[3]
        box = lines[5]["result"]["track"][0]["xyxy"]
        box[0] += 20
        box[2] += 20

    change(golden, damage)
    run = videodag("diff", golden, tmp_path / "actual.jsonl", "--json", cwd=tmp_path)
    assert run.code == 5
    found = json.loads(run.text)
    assert [(d["frame_index"], d["output"], d["kind"]) for d in found["differences"]] == [
        (6, "", "extra"),
        (12, "track", "lost"),
        (12, "track", "extra"),
    ]
    run = videodag(
        "diff", golden, tmp_path / "actual.jsonl", "--tolerance", "track.iou=0.2", "--limit", "1", cwd=tmp_path
    )
    assert run.text.splitlines() == [
        "frame 6 t=0.60s: the frame is not expected",
        "… and 1 more",
        "in all: frames: 1 x extra; track: 1 x moved",
    ]


def test_check_in_the_shell_says_differences_and_writes_every_form(suite: Path, tmp_path: Path) -> None:
    def darken(lines: Lines) -> None:
        lines[2]["result"]["brightness"] = 1.0

    golden = golden_of(suite, "synthetic-quality")
    change(golden, darken)
    text = suite.read_text()
    suite.write_text(text[: text.index("[[case]]")] + text[text.rindex("[[case]]") :])
    before = golden.read_bytes()
    summary = tmp_path / "summary.md"
    run = videodag(
        "check", "--junit", "report.xml", cwd=suite.parent, env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)}
    )
    assert run.code == 5
    head, difference = run.text.splitlines()
    assert head.startswith("differs  street.videodag.toml::synthetic-quality (4 frames, ")
    assert difference.startswith("    frame 60 t=2.40s brightness: 1 -> ")
    assert run.err.splitlines() == [
        "videodag: error[check.difference]: 1 of 1 case did not pass: synthetic-quality; "
        "1 difference (brightness: 1 x number)"
    ]
    report = ElementTree.parse(suite.parent / "report.xml").getroot()
    assert (report.get("tests"), report.get("failures"), report.get("errors")) == ("1", "1", "0")
    failure = report.find("testsuite/testcase/failure")
    assert failure is not None
    assert "brightness: 1 -> " in (failure.text or "")
    assert "| street.videodag.toml::synthetic-quality | differs | 4 |" in summary.read_text()

    run = videodag("check", "--update", cwd=suite.parent)
    assert run.code == 0
    assert "brightness: 1 -> " in run.text
    assert run.text.index("brightness: 1 -> ") < run.text.index("replaced: street/synthetic-quality.jsonl")
    assert golden.read_bytes() != before

    run = videodag("check", "--json", cwd=suite.parent)
    assert run.code == 0
    document = json.loads(run.text)
    assert (document["exit_code"], document["counts"]) == (0, {"passed": 1})


def test_failed_run_bad_suite_and_missing_suite_have_their_exit_codes(suite: Path) -> None:
    text = suite.read_text()
    quality = text[text.rindex("[[case]]") :]
    damaged = quality.replace("synthetic-quality", "damaged", 1).replace("synthetic.mp4", "damaged.mp4")
    suite.write_text(f"{quality}\n{damaged}")
    (suite.parent / "damaged.mp4").write_bytes(b"no video")
    run = videodag("check", SUITE, "--json", "-j", "2", cwd=suite.parent)
    assert run.code == 4
    assert run.err.startswith("videodag: error[run.incomplete]: 1 of 2 cases did not pass: damaged; the run failed")
    cases = json.loads(run.text)["cases"]
    assert [(case["name"], case["status"]) for case in cases] == [
        ("synthetic-quality", "passed"),
        ("damaged", "failed"),
    ]
    assert cases[1]["problem"]["word"] == "input.not_mp4"

    golden_of(suite, "synthetic-quality").unlink()
    run = videodag("check", SUITE, cwd=suite.parent)
    assert run.code == 2
    assert "error[suite.invalid]" in run.err
    assert "`videodag check --update` makes it" in run.err

    (suite.parent / "synthetic.mp4").unlink()
    suite.write_text(quality)
    run = videodag("check", SUITE, cwd=suite.parent)
    assert run.code == 2
    for missing in (golden_of(suite, "synthetic-quality").name, "synthetic.mp4"):
        assert missing in run.err.partition("are missing")[0]

    suite.write_text("[[case]]\nname = 3\n")
    run = videodag("check", cwd=suite.parent)
    assert run.code == 2
    assert run.err.startswith("videodag: error[suite.invalid]: suite street.videodag.toml: case.0.name: ")
    run = videodag("check", "missing.videodag.toml", cwd=suite.parent)
    assert (run.code, run.err) == (
        2,
        "videodag: error[suite.invalid]: suite missing.videodag.toml: there is no such suite\n",
    )


def test_frames_that_fail_make_a_failed_run_and_prints_of_tools_stay_out_of_the_output(
    suite: Path, tmp_path: Path
) -> None:
    tools = suite.parent / "tools"
    tools.mkdir()
    code = (
        "from typing import NewType\nfrom videodag_cli import Frame, tool\nBright = NewType('Bright', float)\n"
        "@tool\ndef bright(frame: Frame) -> Bright:\n    '''Mean.'''\n    print('hello')\n{fault}    return float(frame.gray.mean())\n"
    )
    (tools / "own.py").write_text(code.format(fault=""))
    node = {"id": "bright", "plugin_id": "own", "tool_id": "bright"}
    pipeline = {
        "id": "own",
        "name": "Own",
        "nodes": [node],
        "edges": [],
        "entry_nodes": ["bright"],
        "output_nodes": ["bright"],
    }
    (suite.parent / "own.json").write_text(json.dumps(pipeline))
    suite.write_text(
        'plugins_dirs = ["tools"]\n[[case]]\nname = "own"\nclip = "synthetic.mp4"\npipeline = "own.json"\n'
        'sampling = { frame_stride = 40 }\nexpected = "street/own.jsonl"\n'
    )
    run = videodag("check", "--update", "--json", cwd=suite.parent)
    assert run.code == 0, run.err
    assert json.loads(run.text)["cases"][0]["status"] == "updated"
    assert "hello" in run.err
    (tools / "own.py").write_text(code.format(fault="    if frame.index == 40:\n        raise ValueError('no')\n"))
    outcome = checked(suite, "own", tmp_path)
    assert outcome.status == FAILED
    assert outcome.lines()[0].startswith("golden: plugin own")
    assert "the run was incomplete: 1 failed of 3 frames" in outcome.lines()
    assert "frame 40 t=1.60s bright: the frame failed (ValueError: no)" in outcome.lines()

    accepted = checked(suite, "own", tmp_path, update=True)
    assert accepted.status == UPDATED
    write_golden(Path(accepted.result), golden_of(suite, "own"))
    assert checked(suite, "own", tmp_path).status == PASSED


def test_assertion_that_does_not_hold_fails_and_is_not_added(suite: Path) -> None:
    before = suite.read_bytes()
    options = ["-p", "builtin:quality", "--frame-stride", "40", "--assert", "brightness > 300"]
    run = videodag("check", "--add", SUITE, "synthetic.mp4", *options, cwd=suite.parent)
    assert run.code == 5
    assert "error[check.assertion]" in run.err
    assert "'brightness > 300' does not hold: not true on any of 3 frames: 0.00-4.80 s (frames 0-80)" in run.text
    assert suite.read_bytes() == before
    assert not golden_of(suite, "synthetic-quality-2").exists()


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--add", SUITE, "-p", "quality"], "write: videodag check --add SUITE CLIP -p PIPELINE"),
        (["--add", "a.toml", "synthetic.mp4", "-p", "quality"], "the name of a suite ends in .videodag.toml"),
        (["--add", SUITE, "synthetic.mp4", "-p", "quality", "--name", "walkers"], "called 'walkers' already"),
        (
            ["--add", SUITE, "synthetic.mp4", "-p", "quality", "--frame-stride", "0"],
            "--frame-stride 0: must be 1 or more",
        ),
        (["--add", SUITE, "synthetic.mp4", "-p", "quality", "--assert", "a >"], "expression, column 4"),
        (
            ["--add", SUITE, "synthetic.mp4", "-p", "builtin:quality", "--assert", "people.count > 1"],
            "is not an output of this",
        ),
        (["--frame-stride", "5"], "these options need --add"),
    ],
)
def test_misuse_is_refused_and_changes_nothing(suite: Path, args: list[str], problem: str) -> None:
    before = sorted(path.name for path in suite.parent.rglob("*"))
    run = videodag("check", *args, cwd=suite.parent)
    assert run.code == 2
    assert problem in run.err
    assert sorted(path.name for path in suite.parent.rglob("*")) == before


def test_suites_below_a_folder_without_hidden_folders_and_virtual_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "a/deep", ".hidden", "venv/lib"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.videodag.toml").write_text("")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    monkeypatch.chdir(tmp_path)
    assert chosen_suites([]) == [Path("a/deep/x.videodag.toml"), Path("b/x.videodag.toml")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match=r"there is no \*\.videodag\.toml below .*empty"):
        chosen_suites([tmp_path / "a", tmp_path / "empty"])


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ('clip = "a.mp4"\npipeline = "p"', "case 'x': nothing is checked"),
        ('clip = "a.mp4"\npipeline = "p"\nexpected = "e"\nsampling = { stride = 3 }', "sampling.stride: Extra inputs"),
        (
            'clip = "a.mp4"\npipeline = "p"\nexpected = "e"\nsampling = { frame_stride = 2, every = 3 }',
            "contradict each other",
        ),
        ('clip = "a.mp4"\npipeline = "p"\nassert = ["people.count"]', "case 'x': expression, column 1"),
        (
            'clip = "a.mp4"\npipeline = "p"\nexpected = "e"\ntolerance = { people = { iuo = 1 } }',
            "tolerance of 'people': iuo",
        ),
        ('clip = "a.mp4"\npipeline = "p"\nexpected = "e"\nset = { confidence = 1 }', "'confidence' is not NODE.PARAM"),
        (
            'clip = "a.mp4"\npipeline = "p"\nexpected = "e"\n[[case]]\nname = "x"\nclip = "b"\npipeline = "p"\nexpected = "e"',
            "two cases",
        ),
        ("clip = ", "is not TOML"),
    ],
)
def test_bad_suite_is_refused_naming_case_and_field(tmp_path: Path, case: str, problem: str) -> None:
    suite = tmp_path / SUITE
    suite.write_text(f'[[case]]\nname = "x"\n{case}\n')
    with pytest.raises(RequestError, match=problem) as caught:
        load_suite(suite)
    assert caught.value.word == "suite.invalid"
    assert SUITE in caught.value.message
