"""Key points, masks, turned boxes and classes as the page draws them, against what the lines say."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as coco
from numpy.typing import NDArray

from tests.browser import settle
from tests.report.conftest import Open
from tests.results_files import box, line, write
from videodag_cli.report import details, tuning, write_report
from videodag_cli.report.collect import collect

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 641, 361  # what a page assumes where nothing says how large the frame was
PERSON = (40.0, 60.0, 160.0, 330.0)
SHIP = (420.0, 80.0, 600.0, 240.0)
TURNED = [[500.0, 80.0], [600.0, 150.0], [520.0, 240.0], [420.0, 170.0]]
BONES = ((5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (5, 11), (6, 12))
"""COCO's, without the head's."""
POINTS = [
    *([100.0, 80.0, 0.99], [95.0, 75.0, 0.99], [105.0, 75.0, 0.99], [90.0, 80.0, 0.9], [110.0, 80.0, 0.9]),
    *([75.0, 120.0, 0.99], [125.0, 120.0, 0.99], [60.0, 165.0, 0.99], [140.0, 165.0, 0.99], [55.0, 205.0, 0.99]),
    *([145.0, 205.0, 0.05], [85.0, 200.0, 0.99], [115.0, 200.0, 0.99], [80.0, 260.0, 0.99], [120.0, 260.0, 0.3]),
    *([78.0, 320.0, 0.99], [122.0, 320.0, 0.3]),
]
"""The right wrist cannot be seen, the right leg hardly."""


def disc() -> NDArray[np.bool_]:
    """A disc with a hole, and a bar that touches the lower edge of the picture."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = (x - 300) ** 2 + (y - 180) ** 2
    return np.asarray(((away < 70**2) & (away > 30**2)) | ((x > 250) & (x < 350) & (y > HEIGHT - 30)), bool)


def encoded(bits: NDArray[np.bool_]) -> dict[str, Any]:
    found = coco.encode(np.asfortranarray(bits.astype(np.uint8)))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frame with all that can be drawn, and one with the same boxes alone."""
    folder = tmp_path_factory.mktemp("shapes")
    plain = [box(*PERSON, class_name="person"), box(220.0, 100.0, 380.0, 361.0), box(*SHIP, class_name="ship")]
    shapes: list[dict[str, Any]] = [
        {"keypoints": POINTS, "presence": 0.98},
        {"mask": encoded(disc())},
        {"corners": TURNED},
    ]
    drawn = [row | shape for row, shape in zip(plain, shapes, strict=True)]
    scene = [{"class_id": 3, "class_name": "harbour", "confidence": 0.91}]
    lines = [line(0, {"detect": drawn}), line(1, {"detect": plain}), line(2, {"detect": plain, "scene": scene})]
    write_report(write(folder / "a.jsonl", lines), folder / "a.html")
    return folder / "a.html"


def picture(page: Any, frame: int) -> NDArray[np.int16]:
    """The canvas for a frame, at the size of the source."""
    page.fill("#go", str(frame))
    page.press("#go", "Enter")
    settle(page)
    png = page.locator("#canvas").evaluate("(canvas) => canvas.toDataURL('image/png').split(',')[1]")
    found = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    share = found[..., 3:] / 255
    on_grey = found[..., :3] * share + 128 * (1 - share)
    return cv2.resize(on_grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.int16)


def differs(page: Any, frame: int, other: int) -> NDArray[np.bool_]:
    """Where two frames look different."""
    return np.asarray(np.abs(picture(page, frame) - picture(page, other)).max(axis=2) > 8)


def near(ink: NDArray[np.bool_], x: float, y: float) -> bool:
    return bool(ink[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].any())


def assert_drawn(ink: NDArray[np.bool_]) -> None:
    """That the disc, the points, their bones and the turned box are drawn where they are; `ink` has the picture's pixels."""
    bits = disc()[: ink.shape[0], : ink.shape[1]]
    kernel = np.ones((5, 5), np.uint8)
    inside = cv2.erode(bits.astype(np.uint8), kernel).astype(bool)
    outside = ~cv2.dilate(bits.astype(np.uint8), kernel).astype(bool)
    middle = np.zeros_like(bits)
    middle[104:356, 224:377] = True  # within the box of the mask, away from its line
    assert ink[inside & middle].mean() > 0.99
    assert ink[outside & middle].mean() < 0.01
    for point in POINTS:
        assert near(ink, point[0], point[1]) == (point[2] > 0.1), point
    for first, second in BONES:
        halfway = [(a + b) / 2 for a, b in zip(POINTS[first], POINTS[second], strict=True)]
        assert near(ink, halfway[0], halfway[1]) == (10 not in (first, second)), (first, second)
    for (x1, y1), (x2, y2) in zip(TURNED, TURNED[1:] + TURNED[:1], strict=True):
        assert near(ink, (x1 + x2) / 2, (y1 + y2) / 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_drawn_is_what_the_line_says(open_page: Open, page_file: Path, scheme: Any) -> None:
    page = open_page(page_file, color_scheme=scheme, device_scale_factor=2)
    ink = differs(page, 0, 1)
    assert_drawn(ink)
    elsewhere = ink.copy()
    for left, top, right, bottom in (PERSON, (220, 100, 380, 361), SHIP):
        elsewhere[round(top) - 24 : round(bottom) + 4, round(left) - 4 : round(right) + 4] = False
    assert elsewhere[30:].mean() < 0.001  # above are the words about the missing picture
    rows = page.locator("#frame-values tr.under").all_inner_texts()
    assert rows == []  # frame 1 is on show, whose rows are plain


def test_points_that_are_hardly_seen_are_faint(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file, device_scale_factor=2)
    change = np.abs(picture(page, 0) - picture(page, 1)).max(axis=2)

    def strength(first: int, second: int) -> int:
        x, y = ((POINTS[first][axis] + POINTS[second][axis]) / 2 for axis in (0, 1))
        return int(change[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].max())

    assert 8 < strength(14, 16) < 0.6 * strength(13, 15)
    picture(page, 0)
    assert page.locator("#frame-values tr.under").all_inner_texts() == ["presence\t0.98"]


def test_the_slider_hides_shapes_with_their_boxes(open_page: Open, tmp_path: Path) -> None:
    rows = [box(*PERSON, confidence=0.4, keypoints=POINTS), box(*SHIP, confidence=0.9)]
    lines = [line(0, {"detect": rows}), line(1, {"detect": rows[1:]})]
    write_report(write(tmp_path / "a.jsonl", lines), tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    assert differs(page, 0, 1)[30:].any()
    page.locator("#confidence").evaluate("(s) => { s.value = '0.6'; s.dispatchEvent(new Event('input')); }")
    assert not differs(page, 0, 1)[30:].any()


def test_classes_of_the_picture_are_written_on_it_and_in_the_list(open_page: Open, page_file: Path) -> None:
    page = open_page(page_file)
    assert differs(page, 2, 1)[30:60, :200].any()
    picture(page, 2)
    assert "harbour\t0.91" in page.locator("#frame-values tr").all_inner_texts()


def test_what_is_no_shape_is_not_drawn(open_page: Open, tmp_path: Path) -> None:
    strange: list[dict[str, Any]] = [
        {"mask": {"size": [HEIGHT, WIDTH], "counts": "~~~"}},
        {"mask": {"size": [HEIGHT, WIDTH], "counts": "11"}},
        {"mask": {"size": [10**6, 10**6], "counts": "o" * 50}},
        {"mask": {"size": "big", "counts": 7}},
        {"mask": 5, "corners": [[1], "a", None], "keypoints": [None, [1], ["a", "b"], {}]},
        {"corners": {}, "keypoints": {"x": 1}},
    ]
    lines = [line(i, {"detect": [box(*SHIP) | row]}) for i, row in enumerate([{}, *strange])]
    write_report(write(tmp_path / "a.jsonl", lines), tmp_path / "a.html")
    page = open_page(tmp_path / "a.html")
    for frame in range(1, len(lines)):
        assert not differs(page, frame, 0)[30:].any(), strange[frame - 1]


# -- without a browser -----------------------------------------------------------------------------------------------------------


def test_frames_beyond_the_room_of_a_page_have_boxes_alone_and_a_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [box(*PERSON, keypoints=POINTS)]
    source = write(tmp_path / "a.jsonl", [line(i, {"detect": rows}) for i in range(10)])
    monkeypatch.setattr(details, "MAX_BYTES", 2000)
    report = write_report(source, tmp_path / "a.html")
    kept = len(collect(iter([line(i, {"detect": rows}) for i in range(10)])).details.content)
    assert 0 < kept <= 2000
    assert any("later frames" in remark for remark in report.remarks)


def record(nodes: dict[str, str], edges: list[tuple[str, str]]) -> dict[str, Any]:
    definition = {"edges": [{"from_node": a, "to_node": b} for a, b in edges]}
    tools = {node: {"tool": tool} for node, tool in nodes.items()}
    return {"request": {"pipeline": {"definition": definition}, "tools": tools}}


def test_classes_belong_to_the_boxes_that_went_in_and_to_no_others() -> None:
    detect, filtered, classify = "detect.objects", "filter.detections", "classify.image"
    both = {"detect": "detect", "large": "large"}
    plain = record({"detect": detect, "kind": classify}, [("detect", "kind")])
    assert tuning.described_boxes(plain, {"detect": "detect"}) == {"kind": "detect"}
    unseen = record({"detect": detect, "large": filtered, "kind": classify}, [("detect", "large"), ("large", "kind")])
    assert tuning.described_boxes(unseen, both) == {"large": "detect", "kind": "large"}
    assert "kind" not in tuning.described_boxes(
        unseen, {"detect": "detect"}
    )  # rows of the filter are not those of the detector
    matched = record(
        {"detect": detect, "embed": "embed.image", "who": "match.embeddings"}, [("detect", "embed"), ("embed", "who")]
    )
    assert tuning.described_boxes(matched, {"detect": "detect"})["who"] == "detect"
    assert tuning.described_boxes(None, both) == {}
