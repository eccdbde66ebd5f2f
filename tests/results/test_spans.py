"""When something was so, from line to line."""

from __future__ import annotations

from typing import Any

from tests.results_files import line
from videodag_cli.results.spans import Spans


def spans_of(path: str, *rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Label and number of frames of every span."""
    spans = Spans()
    found = [span for i, given in enumerate(rows) for span in spans.feed(line(i, {path: given}))]
    return sorted((span.label, span.frames) for span in [*found, *spans.finish()])


def test_a_class_lasts_while_its_score_changes() -> None:
    rows = [[{"class_id": 1, "class_name": "dog", "confidence": 0.5 + i / 100}] for i in range(5)]
    assert spans_of("scene", *rows) == [("dog", 5)]
    boxes = [[{"detection": k, "name": "anna", "similarity": 0.5 + i / 100} for k in (0, 1)] for i in range(3)]
    assert spans_of("who", *boxes) == [("anna in box 0", 3), ("anna in box 1", 3)]


def test_other_rows_keep_all_their_words() -> None:
    row = {"class_name": "person", "tracker_id": 7, "direction": "in", "confidence": 0.5}
    assert spans_of("line", [row]) == [("person 7 in 0.5", 1)]
