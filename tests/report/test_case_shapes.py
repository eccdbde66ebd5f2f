"""Key points, masks and turned boxes on the page of a case, against what the lines say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import results_files
from tests.report.conftest import Open
from tests.report.test_cases import one_case
from tests.report.test_shapes import HEIGHT, PERSON, POINTS, SHIP, TURNED, WIDTH, assert_drawn, disc, encoded
from tests.results_files import box, line
from videodag_cli.check.check import check_case
from videodag_cli.report.case_shapes import drawn_shapes
from videodag_cli.report.cases import report_case

PLAIN = [box(*PERSON, class_name="person"), box(220.0, 100.0, 380.0, 360.0), box(*SHIP, class_name="ship")]


def page_of(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """The page of a case in whose only frame these rows were expected, and others found."""
    folder.mkdir()
    case = one_case(folder)
    outcome = check_case(case, folder / "kept")
    result = next((folder / "kept").glob("*.jsonl"))
    case.clip.unlink()  # on plain ground it can be seen what is drawn
    found = [row | {"xyxy": [side + 200 for side in row["xyxy"]]} for row in PLAIN]
    results_files.write(folder / "moved.jsonl", [line(0, {"codes": rows})])
    results_files.write(result, [line(0, {"codes": found})])
    return Path(report_case(case, outcome, folder / "kept", folder / "pages").report)


def figure(page: Any, place: int) -> NDArray[np.int16]:
    """A drawing of the first frame at the size of the source."""
    svg = page.locator("figure svg").nth(place)
    found = cv2.imdecode(np.frombuffer(svg.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    edge = 2  # the drawing's border of one pixel, at a device scale of two
    inner = found[edge:-edge, edge:-edge]
    return cv2.resize(inner, (WIDTH - 1, HEIGHT - 1), interpolation=cv2.INTER_AREA).astype(np.int16)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_drawn_is_what_the_lines_say(open_page: Open, tmp_path: Path, scheme: Any) -> None:
    shapes: list[dict[str, Any]] = [{"keypoints": POINTS}, {"mask": encoded(disc())}, {"corners": TURNED}]
    drawn = [row | shape for row, shape in zip(PLAIN, shapes, strict=True)]
    options = {"color_scheme": scheme, "device_scale_factor": 2, "width": 1500}
    with_shapes = open_page(page_of(tmp_path / "a", drawn), **options)
    without = open_page(page_of(tmp_path / "b", PLAIN), **options)
    change = np.abs(figure(with_shapes, 0) - figure(without, 0)).max(axis=2)
    ink = np.asarray(change > 8)
    assert_drawn(ink)
    faint, plain = (change[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() for x, y in ((121, 290), (79, 290)))
    assert 8 < faint < 0.7 * plain
    assert not np.abs(figure(with_shapes, 1) - figure(without, 1)).max() > 8


@pytest.mark.parametrize(
    "strange",
    [
        {"mask": {"size": [HEIGHT, WIDTH], "counts": "~~~"}},
        {"mask": {"size": [HEIGHT, WIDTH], "counts": "11"}},
        {"mask": {"size": [10**6, 10**6], "counts": "o" * 50}},
        {"mask": {"size": "big", "counts": "1"}},
        {"mask": {"size": [True, "2"], "counts": "1"}},
        {"mask": 5, "corners": [[1], "a", None], "keypoints": [None, [1], ["a", "b"], {}]},
        {"corners": {}, "keypoints": {"x": 1}},
        {"corners": [["<script>", 1], [2, 3], [4, 5]], "keypoints": [["<b>", 1, 1]]},
        {"keypoints": [[1.0, float("inf"), 0.9], [True, 2.0, 0.9]]},
    ],
)
def test_what_is_no_shape_is_not_drawn(strange: dict[str, Any]) -> None:
    assert drawn_shapes(strange, 1.0) == ""


def test_points_that_stand_for_nothing_known_are_drawn_without_bones() -> None:
    assert drawn_shapes({"keypoints": [[1, 2], [3, 4, 0.1], [5, 6, 0.3]]}, 1.0).count("<circle") == 2
    assert "<line" not in drawn_shapes({"keypoints": [[1, 2]] * 4}, 1.0)
    assert drawn_shapes({"keypoints": [[1, 2, 1]] * 33}, 1.0).count('class="bone"') == 35
