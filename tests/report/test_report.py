"""The report, opened in a headless Chromium without a network, and what it is made of."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import results_files
from tests.browser import settle
from tests.commands import videodag
from tests.report.conftest import Open
from tests.results_files import box, line, write
from videodag_cli.errors import InputError, OutputError, RequestError
from videodag_cli.report import tuning, write_report
from videodag_cli.report.collect import collect
from videodag_cli.report.page import json_in_script
from videodag_cli.report.pick import lines_at, pick

pytestmark = pytest.mark.slow

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\u2028{{DATA}}"


@pytest.fixture(scope="module")
def pedestrians(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real run, with two moments asked for."""
    page = tmp_path_factory.mktemp("report") / "pedestrians.html"
    done = videodag("report", results_files.crossings(), "-o", page, "--at", "3s,100f")
    assert done.code == 0, done.err
    return page


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of lines with failures, several outputs and hostile texts, without a record."""
    folder = tmp_path_factory.mktemp("strange")
    lines = []
    for i in range(300):
        people = [
            box(20 + i, 30, 60 + i, 130, confidence=0.3 + k / 10, class_name=EVIL if k else "person", tracker_id=k + 1)
            for k in range(4)
        ]
        result = {
            "track": people,
            "text": [box(5, 5, 50, 20, text=EVIL)] if i % 9 < 4 else [],
            EVIL: i / 3,
            "black": i in (50, 51),
            "dwell": {
                "door": {
                    "inside": [{"tracker_id": 1, "class_name": EVIL, "entered_s": 4.0, "left_s": None}]
                    if i >= 100
                    else []
                }
            },
        }
        lines.append({EVIL: EVIL, **line(i, None if i in (7, 8) else result)})
    lines[7]["error"]["message"] = EVIL
    source = write(folder / "a.jsonl", lines)
    write_report(source, folder / "a.html")
    return folder / "a.html"


def said(page: Any, selector: str) -> str:
    """The text of an element, when all has been drawn."""
    settle(page)
    return str(page.inner_text(selector))


def texts(page: Any, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def test_every_section_of_a_real_run_has_real_content(open_page: Open, pedestrians: Path) -> None:
    page = open_page(pedestrians)
    lines = results_files.parsed(results_files.crossings())
    ids = {row["tracker_id"] for item in lines for row in item["result"]["track"]}
    assert page.title() == "pedestrians.mp4 – videodag report"
    assert said(page, "h1") == "pedestrians.mp4"
    assert said(page, "#subtitle") == "Line crossings (line_counting) · frame stride 4"
    figures = dict(zip(texts(page, ".figures dt"), texts(page, ".figures dd:first-of-type"), strict=True))
    assert (figures["Frames"], figures["Failed"], figures["Not decodable"], figures["Span"]) == (
        "51",
        "0",
        "0",
        "0:20.0",
    )
    assert figures["Tracks"] == str(len(ids))
    assert "51 sampled =" in said(page, "#accounting")
    names = texts(page, ".timeline .name")
    assert names[1:4] == ["track", "line.middle.in_count", "line.middle.out_count"]
    assert names[-2:] == ["line.middle.crossings", "track: lives of ids"]
    crossed = [c for item in lines for c in item["result"]["line"]["middle"]["crossings"]]
    rows = texts(page, "#events-body tbody tr td:nth-child(4)")
    assert rows == [f"person {c['tracker_id']} {c['direction']}" for c in crossed]
    assert texts(page, "#nodes-body tbody td:first-child") == ["detect", "track", "line"]
    assert said(page, "#failures-body") == "No frame failed."
    run = said(page, "#run-body")
    for fact in ("768 × 576", "h264", "line_counting", "onnxruntime", "frame_stride 4"):
        assert fact in run
    assert page.locator(".thumb").count() >= 12
    assert len(texts(page, ".thumb b")) == len(set(texts(page, ".thumb b")))


def ink(page: Any, selector: str) -> int:
    """How many pixels of a canvas differ from its first."""
    script = """(canvas) => { const pen = canvas.getContext('2d');
      const all = new Uint32Array(pen.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
      return all.reduce((n, pixel) => n + (pixel !== all[0]), 0); }"""
    return int(page.locator(selector).first.evaluate(script))


def test_charts_lanes_and_the_frame_are_painted(open_page: Open, pedestrians: Path) -> None:
    page = open_page(pedestrians)
    settle(page)
    assert page.locator(".timeline .uplot canvas").count() >= 3
    for selector in (".timeline .uplot canvas", ".row.axis canvas", ".row.lane canvas", ".row.lane.tall canvas"):
        assert ink(page, selector) > 100, selector
    assert ink(page, "#canvas") > 100_000


def test_the_page_opens_at_the_moment_asked_for_and_moves_by_buttons_keys_and_number(
    open_page: Open, pedestrians: Path
) -> None:
    page = open_page(pedestrians)
    assert said(page, "#frame-name") == "Frame 28"  # the sampled frame before 3 s, which lies between two
    page.click("#next")
    assert said(page, "#frame-name") == "Frame 32"
    page.focus("#canvas")
    page.keyboard.press("ArrowLeft")
    assert said(page, "#frame-name") == "Frame 28"
    page.fill("#go", "101")
    page.press("#go", "Enter")
    assert said(page, "#frame-name") == "Frame 100"
    assert said(page, "#frame-time") == "0:10.000"
    pressed = page.locator(".thumb[aria-pressed=true]")
    assert "asked for" in pressed.inner_text()


def test_the_slider_filters_boxes_and_counts_and_prints_the_setting(open_page: Open, pedestrians: Path) -> None:
    page = open_page(pedestrians)
    rows = [row for item in results_files.parsed(results_files.crossings()) for row in item["result"]["track"]]
    before = page.locator("#frame-values tr:has(.dot)").count()
    assert f"{len(rows)} of {len(rows)} boxes stay" in said(page, "#confidence-effect").replace("\u202f", "")
    page.locator("#confidence").evaluate("(s) => { s.value = '0.8'; s.dispatchEvent(new Event('input')); }")
    settle(page)
    kept = sum(row["confidence"] >= 0.8 for row in rows)
    assert 0 < kept < len(rows)
    assert f"{kept} of {len(rows)} boxes stay" in said(page, "#confidence-effect").replace("\u202f", "")
    assert said(page, "#confidence-set code") == "--set detect.confidence=0.80"
    item = next(item for item in results_files.parsed(results_files.crossings()) if item["frame_index"] == 28)
    here = sum(row["confidence"] >= 0.8 for row in item["result"]["track"])
    assert page.locator("#frame-values tr:has(.dot)").count() == here < before
    assert page.locator(".timeline .legend span").nth(1).inner_text() == str(here)


def test_pointing_shows_pixels_and_fractions_and_clicks_build_zones_and_lines(
    open_page: Open, pedestrians: Path
) -> None:
    page = open_page(pedestrians)
    area = page.locator("#canvas").bounding_box()
    spots = [(0.25, 0.25), (0.75, 0.25), (0.5, 0.75)]
    places = [{"x": area["width"] * x, "y": area["height"] * y} for x, y in spots]
    page.hover("#canvas", position=places[0])
    numbers = [float(text) for text in re.findall(r"[\d.]+", said(page, "#pointer"))]
    assert numbers == pytest.approx([192, 144, 0.25, 0.25], abs=1.5)
    for place in places:
        page.click("#canvas", position=place)
    page.select_option("#polygon-kind", "zones")
    made = json.loads(said(page, "#polygon-json"))
    assert list(made) == ["zones"]
    assert made["zones"]["units"] == "fraction"
    assert made["zones"]["zones"][0]["name"] == "zone"
    polygon = made["zones"]["zones"][0]["polygon"]
    assert [v for point in polygon for v in point] == pytest.approx([v for spot in spots for v in spot], abs=0.003)
    page.select_option("#polygon-unit", "pixels")
    page.fill("#polygon-name", "door")
    made = json.loads(said(page, "#polygon-json"))
    assert made["zones"]["zones"][0]["name"] == "door"
    assert made["zones"]["zones"][0]["polygon"][1] == pytest.approx([576, 144], abs=2)
    page.select_option("#polygon-kind", "lines")
    page.click("#polygon-undo")
    made = json.loads(said(page, "#polygon-json"))
    assert list(made) == ["line"]  # the pipeline's node with lines
    assert made["line"]["lines"][0]["end"] == pytest.approx([576, 144], abs=2)
    page.click("#polygon-clear")
    assert said(page, "#polygon-json") == "No points yet."


def test_lines_built_in_the_page_are_what_params_takes(open_page: Open, pedestrians: Path, tmp_path: Path) -> None:
    page = open_page(pedestrians)
    area = page.locator("#canvas").bounding_box()
    for x, y in ((0.4, 0.9), (0.4, 0.1)):
        page.click("#canvas", position={"x": area["width"] * x, "y": area["height"] * y})
    (tmp_path / "params.json").write_text(said(page, "#polygon-json"))
    clip = results_files.CLIPS / "pedestrians.mp4"
    done = videodag("run", "-p", "line_counting", "--params", tmp_path / "params.json", "--dry-run", clip)
    assert done.code == 0, done.err


def test_the_timeline_shows_values_chooses_frames_and_zooms(open_page: Open, pedestrians: Path) -> None:
    page = open_page(pedestrians)
    page.locator("#timeline").scroll_into_view_if_needed()
    plot = page.locator(".row.axis .plot").bounding_box()
    left, width = plot["x"] + 50, plot["width"] - 64
    y = page.locator(".timeline .uplot").first.bounding_box()["y"] + 30

    def at(share: float) -> float:
        return float(left + share * width)

    page.mouse.move(at(0.5), y)
    settle(page)
    assert "frame 100" in said(page, ".row.axis .name")
    page.mouse.click(at(0.5), y)
    settle(page)
    assert said(page, "#frame-name") == "Frame 100"
    assert page.is_hidden("#zoom-out")
    page.mouse.move(at(0.2), y)
    page.mouse.down()
    page.mouse.move(at(0.4), y, steps=4)
    page.mouse.up()
    settle(page)
    assert page.is_visible("#zoom-out")
    page.mouse.move(at(0.0), y)
    settle(page)
    assert "frame 40" in said(page, ".row.axis .name")
    page.click("#zoom-out")
    settle(page)
    assert page.is_hidden("#zoom-out")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_the_button(open_page: Open, pedestrians: Path, scheme: Any) -> None:
    page = open_page(pedestrians, color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    found = {scheme: page.evaluate(ground)}
    page.click("#theme")
    settle(page)
    found["dark" if scheme == "light" else "light"] = page.evaluate(ground)
    assert found == {"light": "rgb(247, 247, 245)", "dark": "rgb(17, 19, 22)"}
    assert ink(page, ".timeline .uplot canvas") > 100


def test_at_phone_width_nothing_is_wider_than_the_screen(open_page: Open, pedestrians: Path, strange: Path) -> None:
    for path in (pedestrians, strange):
        page = open_page(path, width=390, height=844, has_touch=True, is_mobile=True, device_scale_factor=2)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("document.querySelector('.row .plot').clientWidth") > 300


def test_hostile_texts_stay_texts(open_page: Open, strange: Path) -> None:
    page = open_page(strange)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    shown = said(page, "body")
    assert shown.count("<script>window.hacked=1</script>") >= 5
    assert "{{DATA}}" in shown
    page.locator("#events-body .chip", has_text="text").first.click()
    assert page.locator("#events-body tbody tr").count() == 25
    assert page.evaluate("window.hacked") is None


def test_without_record_and_video_the_page_says_what_is_missing(open_page: Open, strange: Path) -> None:
    page = open_page(strange)
    remarks = said(page, "#remarks")
    assert "There is no run record beside the results" in remarks
    assert "--video CLIP gives them" in remarks
    assert "No run record names the video" in said(page, "#strip")
    assert "Timings are in the run record" in said(page, "#nodes-body")
    assert "Missing for that reason" in said(page, "#run-body")
    assert said(page, "#pointer") == "frame size not known"
    assert said(page, "#confidence-set code").startswith("--set track.confidence=")
    assert "a guess" in said(page, "#confidence-set")


def test_failed_frames_flags_and_visits_have_their_rows(open_page: Open, strange: Path) -> None:
    page = open_page(strange)
    assert "2 frames without a result (read: 2)" in said(page, "#failures-body")
    assert page.locator("#failures-body tbody tr").count() == 2
    page.locator("#failures-body a").first.click()
    assert said(page, "#frame-name") == "Frame 7"
    assert "toys.read: ValueError" in said(page, "#frame-values")
    names = texts(page, ".timeline .name")
    assert {"black", "failed frames", "dwell.door", "text", "track: lives of ids"} <= set(names)
    page.locator("#events-body .chip", has_text="dwell.door").click()
    assert texts(page, "#events-body tbody td")[:2] == ["0:04.000", "8.00 s"]


def test_an_empty_results_file_is_a_page_too(open_page: Open, tmp_path: Path) -> None:
    write_report(write(tmp_path / "a.jsonl", []), tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    assert said(page, "#timelines .empty") == "The results file has no lines."
    assert said(page, "#frames .empty") == "The results file has no lines."


def test_a_hundred_thousand_frames_fit_in_one_page(open_page: Open, tmp_path: Path) -> None:
    """Long enough for the thinning of the charts, the packing of tracks and the bounds of the lists."""

    def lines() -> Iterator[dict[str, Any]]:
        for i in range(100_000):
            person = box(i % 600, 40, i % 600 + 30.25, 120, confidence=0.1 + i % 90 / 100, tracker_id=i // 400)
            yield line(i, {"track": [person], "n": i % 1000 + 0.5, "on": i % 8 == 0}, rate=10)

    write(tmp_path / "a.jsonl", lines())
    write_report(tmp_path / "a.jsonl", tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 4_000_000 < (tmp_path / "a.jsonl").stat().st_size
    page = open_page(tmp_path / "a.html")
    assert texts(page, ".figures dd:first-of-type")[0] == "100\u202f000"
    assert "250 ids, packed" in said(page, "#timeline")
    points = "document.querySelectorAll('.uplot').length"
    assert page.evaluate(points) == 2
    assert ink(page, ".timeline .uplot canvas") > 1000
    assert "7\u202f500 later events left out" in said(page, "#events-body")


# -- without a browser -------------------------------------------------------------------------------------------------------


def test_the_policy_allows_the_pages_own_scripts_and_nothing_else(pedestrians: Path, strange: Path) -> None:
    for path in (pedestrians, strange):
        text = path.read_bytes().decode()
        policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
        scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        digests = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts]
        assert len(scripts) == 3
        assert f"script-src {' '.join(digests)};" in policy
        assert policy.startswith("default-src 'none'; img-src data:;")
        assert "unsafe" not in policy
        assert "Permission is hereby granted" in scripts[1]
        assert not re.search(
            r"""(?:src|href)=["'](?!data:|#)""", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
        )


def test_json_in_a_script_cannot_end_it_and_reads_back() -> None:
    value = {"a": EVIL, "b": ["\u2029<!--", 1.5, None]}
    text = json_in_script(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_columns_equal_the_lines() -> None:
    lines = results_files.parsed(results_files.crossings())
    found = collect(iter(lines))
    boxes = found.boxes["track"]
    assert list(found.frame_index) == [item["frame_index"] for item in lines]
    assert list(found.time_s) == [item["time_s"] for item in lines]
    assert [boxes.count(i) for i in range(len(lines))] == [len(item["result"]["track"]) for item in lines]
    rows = [row for item in lines for row in item["result"]["track"]]
    assert list(boxes.tracker_id) == [row["tracker_id"] for row in rows]
    assert list(boxes.xyxy) == pytest.approx([v for row in rows for v in row["xyxy"]], abs=1e-3)
    assert list(found.numbers["line.middle.in_count"]) == [
        item["result"]["line"]["middle"]["in_count"] for item in lines
    ]


def test_moments_are_times_and_frames_and_take_the_nearest_line() -> None:
    found = collect(line(index, {}, rate=10) for index in range(0, 100, 5))
    assert lines_at(["1s,12f", "0:02.6", "-3", "9999f"], found) == [2, 2, 5, 0, 19]
    with pytest.raises(RequestError, match="soon"):
        lines_at(["soon"], found)


def test_pictures_are_picked_for_reasons_and_bounded() -> None:
    lines = [
        line(i, {"p": [box(0, 0, 1, 1)] * (9 if i == 44 else 1), "n": abs(i - 70), "cut": i in (20, 60)})
        for i in range(100)
    ]
    lines[30] = line(30, None)
    reasons = pick(collect(lines), asked=[33])
    assert reasons[33] == ["asked for"]
    assert "most in p" in reasons[44]
    assert reasons[20] == reasons[60] == ["cut"]
    assert reasons[30] == ["read failed"]
    assert reasons[70] == ["lowest n"]
    assert list(reasons) == sorted(reasons)
    many = [line(i, {f"n{k}": (i * (k + 7)) % 101 for k in range(40)}) for i in range(100)]
    assert len(pick(collect(many))) == 24
    assert pick(collect([])) == {}


def test_the_setting_is_that_of_the_nearest_node_upstream() -> None:
    record = {
        "request": {
            "params": {"detect": {"confidence": 0.45}, "track": {"max_age_s": 1.0}, "count": {"zones": []}},
            "pipeline": {"definition": {"edges": [
                {"from_node": "detect", "to_node": "track"}, {"from_node": "track", "to_node": "count"},
            ]}},
        }
    }  # fmt: skip
    assert tuning.confidence_setting(record, "detect")["note"] == "The run had 0.45."
    assert tuning.confidence_setting(record, "count")["node"] == "detect"
    assert tuning.confidence_setting({"request": {}}, "detect")["node"] is None
    assert tuning.node_with(record, "zones") == "count"


def test_the_video_is_looked_for_beside_the_results_and_can_be_named(tmp_path: Path) -> None:
    results = tmp_path / "a.jsonl"
    shutil.copy(results_files.cuts(), results)
    record = json.loads(Path(f"{results_files.cuts()}.run.json").read_text())
    record["input"]["path"] = "/nowhere/moved.mp4"
    Path(f"{results}.run.json").write_text(json.dumps(record))
    lost = write_report(results, tmp_path / "lost.html")
    assert lost.pictures == 0
    assert any("/nowhere/moved.mp4 was not found" in remark for remark in lost.remarks)
    clip = results_files.CLIPS / "synthetic.mp4"
    assert write_report(results, tmp_path / "named.html", video=clip).pictures >= 8
    shutil.copy(clip, tmp_path / "moved.mp4")
    beside = write_report(results, tmp_path / "beside.html")
    assert (beside.pictures >= 8, beside.remarks) == (True, ())
    with pytest.raises(InputError):
        write_report(results, tmp_path / "bad.html", video=tmp_path / "none.mp4")
    assert not (tmp_path / "bad.html").exists()
    with pytest.raises(OutputError):
        write_report(results, tmp_path / "named.html")


def test_the_command_names_its_page_after_the_results(tmp_path: Path) -> None:
    results = write(tmp_path / "a.jsonl", [line(0, {"n": 1})])
    done = videodag("report", results)
    assert done.code == 0
    assert (tmp_path / "a.html").read_bytes().startswith(b"<!doctype html>")
    assert done.err.splitlines()[-1] == f"1 line, 0 pictures -> {tmp_path}/a.html"
    assert videodag("report", results).code == 6
    assert videodag("report", "-", stdin=results.read_bytes()).code == 2
    piped = videodag("report", "-", "-o", "-", stdin=results.read_bytes())
    assert piped.out.startswith(b"<!doctype html>")
