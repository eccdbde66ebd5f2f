"""The page of the service in a headless Chromium: what is drawn over the video is what the lines say, on the right picture."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.clips import encode, read_index, turned, vfr_ticks
from tests.commands import ROOT
from tests.services import Server, served

PEDESTRIANS = ROOT / "sample_videos" / "pedestrians.mp4"
Open = Callable[..., Any]

PICTURE = """() => {
  const video = document.getElementById('video');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext('2d').drawImage(video, 0, 0);
  return canvas.toDataURL('image/png').split(',')[1];
}"""
"""The picture on screen, as PNG."""
INK = """() => {
  const shown = document.getElementById('canvas');
  const copy = document.createElement('canvas');
  const [width, height] = [copy.width, copy.height] = [shown.width, shown.height];
  copy.getContext('2d').drawImage(shown, 0, 0);
  const { data } = copy.getContext('2d').getImageData(0, 0, width, height);
  return [width, height, Array.from({ length: width * height }, (_, i) => (data[4 * i + 3] > 128 ? 1 : 0)).join('')];
}"""
"""Where something is drawn over it."""


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Open]:
    """Opens an address of the service and fails the test on any error or warning of the console."""
    problems: list[str] = []
    contexts = []

    def look(path: str = "/", *, width: int = 1280, height: int = 900, refusals: bool = False, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, base_url=server.address, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                None
                if message.type == "verbose" or (refusals and "the server responded with a status" in message.text)
                else problems.append(message.text)
            ),
        )
        page.goto(path)
        return page

    yield look
    for context in contexts:
        context.close()
    assert problems == []


def ready(page: Any) -> Any:
    page.wait_for_selector("html[data-ready=yes]", state="attached", timeout=60_000)
    return page


def waits(page: Any, selector: str, text: str) -> None:
    """Wait until an element holds a text; the page's policy forbids to evaluate conditions."""
    page.locator(selector, has_text=text).wait_for(timeout=60_000)


def fill_in(page: Any, file: Any, pipeline: str, stride: int | None) -> None:
    page.set_input_files("#file", file)
    page.select_option("#pipeline", pipeline)
    if stride is None:
        page.check("input[value=all]")
    else:
        page.fill("#stride", str(stride))


def show(page: Any, line: int, frame_index: int) -> None:
    """Choose a line and wait until its picture is on screen."""
    page.locator("#seek").fill(str(line))
    page.wait_for_selector(f'#canvas[data-frame="{frame_index}"][data-exact="true"]', timeout=60_000)


def test_a_job_from_upload_to_boxes_at_the_right_places(open_page: Open, server: Server) -> None:
    page = ready(open_page())
    assert page.input_value("#pipeline") == ""
    assert page.locator("input[name=sampling]:checked").count() == 0
    assert page.is_disabled("#run")
    fill_in(page, PEDESTRIANS, "people", 40)
    page.wait_for_selector("pipeline-graph svg .output")
    page.locator("pipeline-graph .output").press("Enter")
    assert "confidence" in page.inner_text("pipeline-graph .about")
    page.click("text=The same in a terminal")
    assert "videodag run -p people --frame-stride 40 pedestrians.mp4 -o pedestrians.jsonl" in page.inner_text("#same")
    page.click("#run")
    page.wait_for_url("**/?job=*")
    page.reload()  # in the middle: the job goes on
    ready(page)
    job_id = page.url.rpartition("=")[2]
    lines = [json.loads(line) for line in server.lines(job_id).splitlines()]
    assert [line["frame_index"] for line in lines] == [0, 40, 80, 120, 160, 200]
    page.uncheck("#trails")
    for number in (1, 3, 5):
        show(page, number, lines[number]["frame_index"])
        width, height, bits = page.evaluate(INK)
        ink = np.frombuffer(bits.encode(), np.uint8).reshape(height, width) == ord("1")
        assert all(is_drawn(ink, box["xyxy"]) for box in lines[number]["result"]["people"])
        others = lines[number - 1]["result"]["people"]
        assert not all(is_drawn(ink, box["xyxy"]) for box in others), "boxes of the frame before"
        assert page.inner_text("#frame-name") == f"Frame {lines[number]['frame_index']}"
    page.click("text=Raw JSON of this frame")
    waits(page, "#raw", "{")
    assert page.inner_text("#raw") == server.lines(job_id).splitlines()[5].decode()
    with page.expect_download() as download:
        page.click("text=Download JSONL")
    assert Path(download.value.path()).read_bytes() == server.lines(job_id)
    assert download.value.suggested_filename == "pedestrians.jsonl"
    page.goto("/")
    ready(page)
    assert page.locator(f'job-list a[href="/?job={job_id}"]').count() == 1


def is_drawn(ink: np.ndarray[Any, Any], box: list[float]) -> bool:
    """Whether all four sides of a box of the source, which has 768 x 576 pixels, are drawn at their middle."""
    height, width = ink.shape
    x1, y1, x2, y2 = np.array(box) * [width / 768, height / 576, width / 768, height / 576]
    points = ((x1, (y1 + y2) / 2), (x2, (y1 + y2) / 2), ((x1 + x2) / 2, y1), ((x1 + x2) / 2, y2))
    return all(
        ink[max(0, round(y) - 1) : round(y) + 2, max(0, round(x) - 1) : round(x) + 2].any()
        for x, y in points
        if 2 <= x <= width - 2 and 2 <= y <= height - 2
    )


def test_skeletons_are_drawn_where_the_line_has_them(open_page: Open, server: Server) -> None:
    job_id = server.accepted("people_pose", PEDESTRIANS, options={"frame_stride": 110})
    server.over(job_id)
    lines = [json.loads(line) for line in server.lines(job_id).splitlines()]
    page = ready(open_page(f"/?job={job_id}"))
    for number in (1, 0):
        show(page, number, lines[number]["frame_index"])
        page.locator("#frame-values tr.under", has_text="presence").first.wait_for()  # the line itself has arrived
        width, height, bits = page.evaluate(INK)
        ink = np.frombuffer(bits.encode(), np.uint8).reshape(height, width) == ord("1")
        hits = [
            [
                ink[round(y * height / 576), round(x * width / 768)]
                for person in line["result"]["pose"]
                for x, y, visibility in person["keypoints"] or []
                if visibility >= 0.5 and 0 <= x < 767 and 0 <= y < 575
            ]
            for line in (lines[number], lines[1 - number])
        ]
        assert len(hits[0]) > 30
        assert all(hits[0])
        assert not all(hits[1]), "points of another frame"


def picture(page: Any) -> Any:
    """The picture on screen."""
    found = cv2.imdecode(np.frombuffer(base64.b64decode(page.evaluate(PICTURE)), np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found.astype(np.uint8)


def test_the_picture_on_screen_is_that_of_the_line(open_page: Open, server: Server, tmp_path: Path) -> None:
    """The clip paints its frame index, which is read back from the screen."""
    clip = encode(tmp_path / "clip.mp4", indices=range(60), options={"bf": "2"})
    job_id = server.accepted("count", clip, options={"frame_stride": 7})
    server.over(job_id)
    lines = [json.loads(line) for line in server.lines(job_id).splitlines()]
    page = ready(open_page(f"/?job={job_id}"))
    for number in (6, 1, 8):
        show(page, number, lines[number]["frame_index"])
        assert read_index(picture(page)) == lines[number]["frame_index"]
    page.click("#play")
    page.wait_for_selector('#canvas[data-frame="56"][data-exact="false"]', timeout=60_000)  # frame 59 was not sampled


CHOOSES_EARLY = """(() => {
  let chosen = false;
  window.addEventListener('loadeddata', (event) => {
    if (chosen) return;
    event.stopImmediatePropagation();
    setTimeout(() => { if (!chosen) { chosen = true; event.target.dispatchEvent(new Event('loadeddata')); choose(); } }, 5000);
  }, true);
  const choose = () => {
    const seek = document.getElementById('seek');
    seek.value = '6';
    seek.dispatchEvent(new Event('input'));
  };
  const callback = HTMLVideoElement.prototype.requestVideoFrameCallback;
  HTMLVideoElement.prototype.requestVideoFrameCallback = function (tell) {
    return callback.call(this, (now, facts) => {
      const first = !chosen;
      if (first) { chosen = true; choose(); }
      tell(now, facts);
      if (first) this.dispatchEvent(new Event('loadeddata'));
    });
  };
})()"""
"""Somebody who chooses a line after the first picture was put on screen, before the page was told so and before it knew the video loaded.

Where the browser shows no picture before a seek, after."""


def test_a_line_chosen_while_the_video_loads_stays_chosen(open_page: Open, server: Server, tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", indices=range(60), options={"bf": "2"})
    job_id = server.accepted("count", clip, options={"frame_stride": 7})
    server.over(job_id)
    page = open_page()
    page.add_init_script(CHOOSES_EARLY)
    page.goto(f"/?job={job_id}")
    page.wait_for_selector('#canvas[data-frame="42"][data-exact="true"]', timeout=60_000)
    assert read_index(picture(page)) == 42


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["begins at 5 s", "variable frame rate", "turned"])
def test_the_picture_on_screen_is_that_of_the_line_in_any_container(
    open_page: Open, server: Server, tmp_path: Path, kind: str
) -> None:
    clip = tmp_path / "clip.mp4"
    if kind == "turned":
        turned(clip, 90)
    elif kind == "variable frame rate":
        encode(clip, indices=range(20), ticks=vfr_ticks(20), time_base=Fraction(1, 1000))
    else:
        made = encode(tmp_path / "made.mp4", indices=range(20), options={"bf": "2"})
        subprocess.run(["ffmpeg", "-v", "error", "-i", made, "-c", "copy", "-output_ts_offset", "5", clip], check=True)
    job_id = server.accepted("count", clip)
    server.over(job_id)
    lines = [json.loads(line) for line in server.lines(job_id).splitlines()]
    assert (lines[0]["time_s"] == 5.0) == (kind == "begins at 5 s")
    page = ready(open_page(f"/?job={job_id}"))
    for number in (12, 3, len(lines) - 1):
        show(page, number, lines[number]["frame_index"])
        assert read_index(picture(page)) == lines[number]["frame_index"]


@pytest.mark.slow
def test_a_video_that_the_browser_cannot_play_has_its_results_all_the_same(
    open_page: Open, server: Server, tmp_path: Path
) -> None:
    clip = encode(tmp_path / "clip.mp4", indices=range(20), codec="mpeg4")
    job_id = server.accepted("count", clip, options={"frame_stride": 3})
    server.over(job_id)
    page = ready(open_page(f"/?job={job_id}"))
    page.wait_for_selector("#blind:not([hidden])")
    assert page.is_hidden("#play")
    for number, frame_index in ((4, 12), (1, 3)):
        show(page, number, frame_index)
        assert page.inner_text("#frame-name") == f"Frame {frame_index}"
        assert page.inner_text("#pointer") == f"0:00.{frame_index * 40:03d}"


def test_a_job_is_watched_cancelled_and_removed(open_page: Open, server: Server) -> None:
    job_id = server.accepted("slow")
    page = open_page(f"/?job={job_id}", width=390, color_scheme="dark")
    waits(page, "#job-text", "frames/s")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("#cancel")
    page.wait_for_selector("#remove:not([hidden])")
    assert page.inner_text("#job-status") == "cancelled"
    page.click("#remove")
    ready(page)
    assert page.locator(f'job-list a[href="/?job={job_id}"]').count() == 0


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(60):
        if page.locator(f"{selector}:focus").count():
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not reach {selector}")


def test_a_keyboard_is_enough(open_page: Open, server: Server) -> None:
    page = ready(open_page())
    keys = page.keyboard
    page.set_input_files("#file", PEDESTRIANS)  # the browser's own window, which keys open
    tab_to(page, 'input[value="all"]')
    keys.press("Space")
    for field in ("stride", "every", "num_frames"):
        tab_to(page, f"#{field}")
    assert page.is_checked("input[value=all]"), "the focus alone has chosen something"
    keys.type("3")
    assert page.is_checked("input[value=number]")
    tab_to(page, "#step-3 summary")
    keys.press("Enter")
    tab_to(page, "#timecode")
    keys.press("Space")
    tab_to(page, "#pipeline")
    page.locator("#pipeline").select_option("slow")  # what a list of the system does with keys
    page.wait_for_selector("pipeline-graph .output")
    tab_to(page, "pipeline-graph .output")
    keys.press("Enter")
    tab_to(page, "pipeline-graph .about")
    keys.press("Escape")
    assert page.is_hidden("pipeline-graph .about")
    assert page.locator("pipeline-graph .output:focus").count() == 1
    said = page.locator("#same").text_content()
    assert "videodag run -p slow --num-frames 3 --timecode pedestrians.mp4 -o pedestrians.jsonl" in said
    page.uncheck("#timecode")
    tab_to(page, "#run")
    keys.press("Enter")
    page.wait_for_url("**/?job=*")
    ready(page)
    tab_to(page, "#canvas")
    keys.press("ArrowRight")
    page.wait_for_selector('#canvas[data-frame="100"][data-exact="true"]')
    tab_to(page, "#timeline")
    keys.press("ArrowLeft")
    page.wait_for_selector('#canvas[data-frame="0"][data-exact="true"]')
    keys.press("+")
    page.wait_for_selector("#zoom-out:not([hidden])")
    keys.press("Escape")
    page.wait_for_selector("#zoom-out", state="hidden")
    for control in ("#frame-table a.frame-link", "footer a"):
        tab_to(page, control)


def test_the_focus_stays_where_a_button_makes_room_for_another(open_page: Open, server: Server) -> None:
    page = open_page(f"/?job={server.accepted('slow')}")
    page.wait_for_selector("#cancel:not([hidden])")
    tab_to(page, "#cancel")
    page.keyboard.press("Enter")
    page.wait_for_selector("#remove:focus")
    page.keyboard.press("Enter")
    ready(page)


def test_errors_say_what_to_do(open_page: Open, server: Server) -> None:
    page = ready(open_page(refusals=True))
    fill_in(page, {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"#EXTM3U\n"}, "count", None)
    page.click("#run")
    page.wait_for_selector("#problem:not([hidden])")
    assert "Choose an MP4 or MOV file. [input.not_mp4]" in page.inner_text("#problem")
    page.click("text=A part of the video")
    page.fill("#set", "mean.scale=-1")
    page.set_input_files("#file", PEDESTRIANS)
    page.click("#run")
    waits(page, "#problem", "param.invalid")
    assert "greater than 0" in page.inner_text("#problem")
    assert page.is_enabled("#run")
    cut = server.accepted("count", PEDESTRIANS.read_bytes()[:3000])
    server.over(cut)
    page.goto(f"/?job={cut}")
    waits(page, "#job-error", "could be decoded. Check that the file plays")
    page.goto("/?job=nobody")
    waits(page, "#problem", "service.unknown")


def test_the_page_asks_for_the_token_once(browser: Any, tmp_path: Path) -> None:
    with served(tmp_path, "--jobs", "0", token="s3cret") as server:
        page = browser.new_page()
        page.goto(server.address)
        page.wait_for_selector("#token-form:not([hidden])")
        assert page.is_hidden("#new")
        page.fill("#token", "wrong")
        page.click("text=Continue")
        page.wait_for_selector("#problem:not([hidden])")
        page.fill("#token", "s3cret")
        page.click("text=Continue")
        ready(page)
        assert page.is_visible("#new")
        assert page.evaluate("document.cookie") == ""
        page.reload()
        ready(page)
        page.close()
