"""`check --report`: the page of a case that did not pass shows in its pictures what its text says."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tests import results_files
from tests.commands import videodag
from tests.results_files import CLIPS, parsed
from videodag_cli.check.check import check_case
from videodag_cli.check.suite import Case, load_suite
from videodag_cli.report import differing
from videodag_cli.report.cases import report_case

HOSTILE = "</style><script>document.title='owned'</script>{{PAGE}}\u202e"
CASE = """
[[case]]
name = {name}
clip = "{clip}"
pipeline = "codes"
sampling = {{ frame_stride = 8 }}
expected = "{expected}"
"""


def toml(**fields: str) -> str:
    return CASE.format(
        **{"name": json.dumps("moved"), "clip": CLIPS / "synthetic.mp4", "expected": "moved.jsonl"} | fields
    )


def changed() -> list[dict[str, Any]]:
    """The real result, in which a box lies elsewhere, one is called otherwise, one more was expected, and a frame is missing."""
    lines = [item for item in parsed(results_files.codes()) if item["frame_index"] % 8 == 0]
    with_code = [item for item in lines if item["result"]["codes"]]
    first, second = with_code[0]["result"]["codes"][0], with_code[1]["result"]["codes"][0]
    first["xyxy"] = [side + 70 for side in first["xyxy"]]
    second["text"] = HOSTILE
    with_code[2]["result"]["codes"].append({**second, "xyxy": [10, 20, 60, 80]})
    lines.remove(with_code[3])
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cases")
    results_files.write(made / "moved.jsonl", changed())
    cases = [toml(), toml(name=json.dumps(HOSTILE), clip="none.mp4")]
    (made / "s.videodag.toml").write_text("".join(cases))
    done = videodag(
        *("check", "s.videodag.toml", "--report", "pages", "--junit", "j.xml", "--json"),
        cwd=made,
        env={**os.environ, "GITHUB_STEP_SUMMARY": str(made / "summary.md")},
    )
    assert done.code == 4, done.err  # the clip that is not there outranks differences
    (made / "check.json").write_bytes(done.out)
    return made


def pages(folder: Path) -> list[Path]:
    return [folder / case["report"] for case in json.loads((folder / "check.json").read_bytes())["cases"]]


def shown(browser: Any, page: Path, **options: Any) -> Any:
    """The page as it is without a network; fails on any complaint of the browser."""
    opened = browser.new_context(offline=True, **options).new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on(
        "request", lambda request: said.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    opened.goto(page.as_uri())
    opened.wait_for_selector("html[data-ready=yes]")
    assert said == []
    return opened


def test_every_form_of_the_check_names_the_page(folder: Path) -> None:
    written = [str(page.relative_to(folder)) for page in pages(folder)]
    assert all((folder / page).is_file() for page in written)
    junit = ElementTree.parse(folder / "j.xml").getroot().iter("property")
    assert [(each.get("name"), each.get("value")) for each in junit] == [("report", page) for page in written]
    assert [page for page in written if f"[pictures](<{page}>)" in (folder / "summary.md").read_text()] == written


@pytest.mark.parametrize(
    ("scheme", "width", "ground"),
    [("light", 1280, "rgb(247, 247, 245)"), ("dark", 1280, "rgb(17, 19, 22)"), ("light", 390, "rgb(247, 247, 245)")],
)
def test_boxes_lie_over_the_picture_where_the_two_results_have_them(
    folder: Path, browser: Any, scheme: str, width: int, ground: str
) -> None:
    page = shown(browser, pages(folder)[0], color_scheme=scheme, viewport={"width": width, "height": 800})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    frame = next(item for item in changed() if item["result"]["codes"])
    shown_frame = page.locator(f"#frame-{frame['frame_index']}")
    assert shown_frame.locator("li").all_inner_texts() == [
        text.partition(f"t={frame['time_s']:.2f}s ")[2]
        for text in differences(folder)
        if text.startswith(f"frame {frame['frame_index']} ")
    ]
    expected = frame["result"]["codes"][0]["xyxy"]
    figures = shown_frame.locator("figure")
    for place, corners in ((0, expected), (1, [side - 70 for side in expected])):
        canvas = figures.nth(place).locator("svg").bounding_box()
        drawn = figures.nth(place).locator(".alone rect.box").first.bounding_box()
        scale = canvas["width"] / 640
        left, top = canvas["x"] + corners[0] * scale, canvas["y"] + corners[1] * scale
        assert (drawn["x"], drawn["y"]) == pytest.approx((left, top), abs=3)
        size = (corners[2] - corners[0]) * scale, (corners[3] - corners[1]) * scale
        assert (drawn["width"], drawn["height"]) == pytest.approx(size, abs=4)


def differences(folder: Path) -> list[str]:
    found = json.loads((folder / "check.json").read_bytes())["cases"][0]["differences"]
    return [
        f"frame {each['frame_index']} t={each['time_s']:.2f}s {each['output'] + ': ' if each['output'] else ''}{each['words']}"
        for each in found
    ]


def test_the_picture_is_the_frame_that_is_named(folder: Path, browser: Any) -> None:
    page = shown(browser, pages(folder)[0])
    for image in page.locator("svg image").all():
        index = int(image.get_attribute("id").removeprefix("picture-"))
        data = base64.b64decode(image.get_attribute("href").partition(",")[2])
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        command = ["ffmpeg", "-v", "error", "-i", str(CLIPS / "synthetic.mp4"), "-vf", f"select=eq(n\\,{index})"]
        raw = subprocess.run(
            [*command, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"], capture_output=True, check=True
        )
        assert picture is not None
        frame = np.frombuffer(raw.stdout, np.uint8).reshape(360, 640, 3)
        assert np.abs(picture.astype(int) - frame).mean() < 4
    assert page.locator("svg image").count() == page.locator("svg use").count() == page.locator(".frame").count()


def test_a_frame_that_only_one_result_has_says_so(folder: Path, browser: Any) -> None:
    page = shown(browser, pages(folder)[0])
    text = page.locator("#frames").inner_text()
    assert "the frame is not expected" in text
    assert "expected no such frame" in text


def test_hostile_texts_are_text(folder: Path, browser: Any) -> None:
    for path in pages(folder):
        page = shown(browser, path)
        assert page.title() != "owned"
        assert "document.title='owned'" in page.locator("body").inner_text() + page.locator("h1").inner_text()
        assert page.locator("script").count() == 2


def test_a_case_without_a_result_says_why(folder: Path, browser: Any) -> None:
    page = shown(browser, pages(folder)[1])
    assert "none.mp4: there is no such file" in page.locator("#overview").inner_text()
    assert page.locator(".frame").count() == 0


def test_the_result_that_was_found_lies_beside_the_page_and_passes_as_the_expected_one(
    folder: Path, browser: Any, tmp_path: Path
) -> None:
    page = shown(browser, pages(folder)[0])
    proposed = pages(folder)[0].parent / page.locator("a[download]").get_attribute("href")
    assert page.locator(".command code").inner_text() == "videodag check s.videodag.toml --update"
    (tmp_path / "s.videodag.toml").write_text(toml(expected=str(proposed)))
    assert videodag("check", tmp_path / "s.videodag.toml").code == 0


def test_what_passes_again_has_no_page(folder: Path, tmp_path: Path) -> None:
    case = one_case(tmp_path)
    outcome = check_case(case, tmp_path / "kept")
    page = Path(report_case(case, outcome, tmp_path / "kept", tmp_path / "pages").report)
    assert page.is_file()
    results_files.write(tmp_path / "moved.jsonl", parsed(tmp_path / "kept" / page.with_suffix(".jsonl").name))
    again = check_case(case, tmp_path / "kept")
    assert report_case(case, again, tmp_path / "kept", tmp_path / "pages").report == ""
    assert list((tmp_path / "pages").iterdir()) == []


def one_case(folder: Path) -> Case:
    results_files.write(folder / "moved.jsonl", changed())
    clip = folder / "clip.mp4"
    clip.write_bytes((CLIPS / "synthetic.mp4").read_bytes())
    (folder / "s.videodag.toml").write_text(toml(clip=str(clip)))
    (case,) = load_suite(folder / "s.videodag.toml")
    return case


def test_without_the_video_the_boxes_are_shown_and_the_page_says_so(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    outcome = check_case(case, tmp_path / "kept")
    case.clip.unlink()
    page = Path(report_case(case, outcome, tmp_path / "kept", tmp_path / "pages").report).read_text()
    assert "No pictures: " in page
    assert page.count("no picture</text>") == 2 * page.count('class="frame"') > 0
    assert 'class="alone turned"' in page  # a code has corners


def test_of_many_frames_a_few_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    case = one_case(tmp_path)
    outcome = check_case(case, tmp_path / "kept")
    lines = parsed(case.expected) if case.expected else []
    result = next((tmp_path / "kept").glob("*.jsonl"))
    many = [{**lines[0], "frame_index": i, "time_s": i / 25, "result": {"codes": [], "n": 1}} for i in range(5000)]
    results_files.write(tmp_path / "moved.jsonl", many)
    results_files.write(result, [{**item, "result": {"codes": [], "n": 900}} for item in many])
    found = differing.differing(case, outcome, result)
    assert found.frame_count == 5000
    assert len(found.moments["n"]) == 5000
    frames = [frame.frame_index for frame in found.frames]
    assert len(frames) == differing.MAX_FRAMES
    assert (frames[0], frames[-1] > 4000) == (0, True)
