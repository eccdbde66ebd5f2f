"""Expressions: what they mean, how they are refused, and that streaming gives what a naive reading of the definition gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videodag_cli.errors import RequestError
from videodag_cli.expressions import tree
from videodag_cli.expressions.assertions import parse_assertion
from videodag_cli.expressions.syntax import ExpressionError, parse_expression
from videodag_cli.expressions.timing import find_ranges, parse_where

Line = dict[str, Any]


def person(confidence: float = 0.9, name: str = "person", **fields: Any) -> dict[str, Any]:
    return {"xyxy": [10.0, 20.0, 50.0, 120.0], "confidence": confidence, "class_id": 0, "class_name": name, **fields}


def line(index: int, result: dict[str, Any] | None, *, step_s: float = 0.1) -> Line:
    found: Line = {"frame_index": index, "time_s": round(index * step_s, 6), "result": result}
    if result is None:
        found["error"] = {"node": "n", "tool": "t", "type": "E", "message": "m"}
    return found


def satisfied(text: str, result: dict[str, Any] | None) -> bool:
    """Whether an expression without time words is satisfied on one frame."""
    return bool(list(find_ranges([line(0, result)], parse_where(text))))


def flags(pattern: str) -> list[Line]:
    """One line per character: `x` true, `.` false, `!` failed, `?` null."""
    values = {"x": {"a": True}, ".": {"a": False}, "!": None, "?": {"a": None}}
    return [line(i, values[c]) for i, c in enumerate(pattern)]


def holds(text: str, lines: list[Line]) -> bool:
    assertion = parse_assertion(text)
    for one in lines:
        assertion.feed(one)
    return assertion.finish().holds


RESULT = {
    "people": [person(0.9), person(0.4, tracker_id=7), person(0.6, "dog")],
    "quality": {"good": False, "problems": ["dark", "blurred"], "score": 3.5, "nothing": None},
    "zones": {"entrance": {"count": 2}, "north gate": {"person": 1}},
    "codes": [{"text": "F000001", "xyxy": [0, 0, 1, 1]}],
    "none": [],
    "my-node": 4,
    "time_s": 99,
    "left": 3,
    "right": 5,
}


@pytest.mark.parametrize(
    "text",
    [
        "people.count == 3",
        "people.count(person) == 2 and people.count(dog) == 1",
        "people.count(person, dog) == 3 and people.count('traffic light') == 0 and people.count(0) == 3",
        "not people.count > 3",
        "people.confidence > 0.8",
        "any(people: confidence > 0.8 and class_name == 'person')",
        "not any(people: confidence > 0.8 and class_name == 'dog')",
        "all(people: confidence >= 0.4)",
        "all(none: confidence > 2) and not any(none: confidence < 2)",
        "count(people: confidence < 0.7) == 2",
        "any(people: xyxy.2 - xyxy.0 == 40)",
        "people.0.confidence == 0.9 and people.1.tracker_id == 7",
        "quality.good == false and not quality.good",
        "quality.problems contains 'dark' and not quality.problems contains 'noisy'",
        "quality.score - 0.5 == 3 and -quality.score < 0 and quality.score * 2 / 7 == 1",
        "quality.nothing == null and quality.score != null",
        "zones.entrance.count >= 2 and zones.'north gate'.person == 1",
        "codes.text == 'F000001' and codes.text contains \"F0\"",
        '"my-node" == 4',
        '4 == "my-node"."x" or 1 == 1',
        'time_s == 0 and frame_index == 0 and "time_s" == 99',
        "left - right == -2 and left * 2 + right == 11 and (left + right) * 2 == 16",
        "true and not false",
        "2 < 3 or people.count == 0",
    ],
)
def test_expression_is_satisfied(text: str) -> None:
    if '"x"' in text:
        with pytest.raises(RequestError, match="no field 'x'"):
            satisfied(text, RESULT)
        return
    assert satisfied(text, RESULT)


@pytest.mark.parametrize(
    "text",
    [
        "quality.nothing > 1",
        "not quality.nothing > 1",
        "quality.missing == 1",
        "not quality.missing == 1",
        "left / (right - 5) > 0",
        "not left / (right - 5) > 0",
        "people.5.confidence > 0",
    ],
)
def test_unknown_satisfies_neither_a_condition_nor_its_opposite(text: str) -> None:
    assert not satisfied(text, RESULT)


@pytest.mark.parametrize("text", ["a", "not a", "a == null", "true", "1 == 1", "a or not a", "a within 9s"])
def test_failed_frame_satisfies_nothing(text: str) -> None:
    assert not satisfied(text, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("people > 3", "people is a list of 3 and 3 is a number.*people.count"),
        ("people", "people is a list of 3, not true or false"),
        ("quality == 1", "quality is an object.*quality.good"),
        ("codes.text > 3", "text and 3 is a number"),
        ("left contains 'x'", "left is a number"),
        ("left.count > 1", "left is a number, not a list that can be counted"),
        ("people.confidence + 1 > 1", "one value per row"),
        ("people.confidence > people.tracker_id", "both sides"),
        ("any(left: x > 1)", "left is a number, not a list of rows"),
        ("peple.count > 1", "'peple' is not an output.*people"),
    ],
)
def test_types_that_do_not_fit_are_told(text: str, problem: str) -> None:
    with pytest.raises(RequestError, match=problem):
        satisfied(text, RESULT)


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "the expression ends"),
        ("people.count >= ", 17, "the expression ends"),
        ("people.count >> 1", 14, "one of == !="),
        ("people.count = 1", 14, "written '=='"),
        ("a && b", 3, "written 'and'"),
        ("people.count", 1, "a count is a number"),
        ("1 < a < 3", 7, "not chained"),
        ("a > 1 for 3", 11, "a duration like 3s"),
        ("a > 3s", 5, "after 'for' or 'within'"),
        ("a for 3s and b", 10, "parentheses"),
        ("(a for 3s and b)", 11, "parentheses"),
        ("(always a) for 3s", 1, "speak of the whole video"),
        ("always ever a", 8, "speak of the whole video"),
        ("a < 'text'", 3, "compares numbers"),
        ("a contains 3", 3, "text in text"),
        ("1 + true == 3", 5, "arithmetic is for numbers"),
        ("any(people: any(people: x))", 13, "cannot be nested"),
        ("any(people: a for 3s)", 15, "time words"),
        ("any(people: (a for 3s))", 16, "time words"),
        ("any(people.count: a)", 1, "not their count"),
        ("(a", 3, r"'\)' for the '\(' in column 1"),
        ("a b", 3, "the end"),
        ("a.", 3, "a field name"),
        ("a.count.b > 1", 8, "a count has no fields"),
        ("a.count(", 9, "name of a class"),
        ("a.count(b c) > 1", 11, "',' or"),
        ("and", 1, "a path"),
        ("'' > 1", 1, "a name is empty"),
        ("5", 1, "a value"),
        ("(a and b) > 3", 1, "not a condition"),
        ("a > 1e999", 5, "too large"),
        ("a for 25h", 7, "at most 24h"),
        ("a; import os", 2, "the end"),
        ("not " * 40 + "a", 132, "nested 32 deep"),
        ("(" * 40 + "a", 34, "nested 32 deep"),
        ("a" * 1001, 1001, "at most 1000 characters"),
        ("a" + " + 1" * 70 + " > 0", 260, "at most 64 arithmetic"),
    ],
)
def test_malformed_text_is_refused_with_its_column(text: str, column: int, problem: str) -> None:
    with pytest.raises(ExpressionError, match=problem) as caught:
        parse_expression(text)
    assert caught.value.position + 1 == column
    assert f"column {column} " in caught.value.message
    assert "\n" not in caught.value.message


def test_node_ids_of_an_expression() -> None:
    text = "people.count > 1 and any(track: tracker_id == 3) and time_s > 2 and \"odd id\" == 'text' for 3s"
    assert parse_assertion(text).nodes == {"people", "track", "odd id"}


def test_assertion_requires_nodes_that_are_outputs() -> None:
    with pytest.raises(
        RequestError, match="'people' is not an output of this pipeline; its outputs are: detect, track"
    ):
        parse_assertion("people.count > 1").require(["detect", "track"])
    parse_assertion("track.count > 1").require(["detect", "track"])


# Over time. Frames are 0.1 s apart.


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("a", "xxx", True),
        ("a", "xx.", False),
        ("a", "xx!", False),
        ("a", "", False),
        ("not a", "...", True),
        ("not a", "..!", False),
        ("always a", "xxx", True),
        ("ever a", "..x..", True),
        ("ever a", "..?!.", False),
        ("not ever a", ".....", True),
        ("not (always a)", "xx.x", True),
        ("a for 300ms", "..xxx..", True),
        ("a for 300ms", "..xx.xx", False),
        ("a for 300ms", "xx!x.xx", False),
        ("a for 300ms", "....xxx", True),
        ("not (a for 300ms)", "xx.xx.xx", True),
        ("a within 300ms", "...x...", True),
        ("a within 300ms", "....xxx", False),
        ("not (a within 300ms)", "....xxx", True),
        ("always (a within 300ms)", "...x...x", True),
        ("always (a within 300ms)", "x....x", False),
        ("always (a within 300ms)", "x...", True),
        ("(a for 200ms) and (ever not a)", "xx.", True),
        ("(a for 200ms) and (ever not a)", "xxx", False),
        ("(a for 500ms) or (ever not a)", "xx.", True),
        ("(a for 500ms) or (ever not a)", "xx", False),
        ("ever (a for 200ms)", ".xx.", True),
        ("always (a for 200ms)", "xx", True),
        ("always (a for 200ms)", "xx.x", False),
        ("always ((a for 200ms) or not a)", ".xx.xxx", True),
        ("always ((a for 200ms) or not a)", ".xx.x.x", False),
    ],
)
def test_statement_about_the_whole_video(text: str, pattern: str, expected: bool) -> None:
    assert holds(text, flags(pattern)) is expected


def test_failing_assertion_names_its_ranges() -> None:
    assertion = parse_assertion("not a")
    for one in flags("..xx...x!"):
        assertion.feed(one)
    outcome = assertion.finish()
    assert not outcome.holds
    assert [(r.start_s, r.end_s, r.start_frame, r.end_frame, r.frames) for r in outcome.ranges] == [
        (0.2, 0.4, 2, 3, 2),
        (0.7, 0.9, 7, 8, 2),
    ]
    assert outcome.message == (
        "'not a' does not hold: not true on 4 of 9 frames: 0.20-0.40 s (frames 2-3), 0.70-0.90 s (frames 7-8); "
        "1 failed frame satisfies nothing"
    )


def test_failing_stretch_names_the_longest_one() -> None:
    assertion = parse_assertion("a for 2s")
    for one in flags("x.xxx.xx"):
        assertion.feed(one)
    assert (
        assertion.finish().message == "'a for 2s' does not hold: the longest stretch is 0.3 s, 0.20-0.50 s (frames 2-4)"
    )


def test_misspelt_field_cannot_pass_by_never_being_seen() -> None:
    assertion = parse_assertion("not (ever quality.brightnes > 200)")
    for i in range(3):
        assertion.feed(line(i, {"quality": {"brightness": 250.0}}))
    outcome = assertion.finish()
    assert not outcome.holds
    assert "no line has quality.brightnes (quality has brightness)" in outcome.message


def test_type_error_inside_a_run_is_told_at_its_end() -> None:
    assertion = parse_assertion("people > 1")
    assertion.feed(line(0, {"people": []}))
    assertion.feed(line(1, {"people": []}))
    assert "cannot be judged: people is a list" in assertion.finish().message


def test_time_is_that_of_the_lines_not_of_the_frame_count() -> None:
    lines = [line(i, {"a": True}, step_s=1.0) for i in (0, 1, 2, 7)]
    assert not holds("a for 13s", lines)
    assert holds("a for 12s", lines)  # 7 s up to the last line, and the last step once more


def test_rounded_times_do_not_break_a_duration() -> None:
    lines = [line(i, {"a": 30 <= i < 60}, step_s=1001 / 30000) for i in range(90)]
    assert holds("a for 1.001s", lines)
    assert not holds("a for 1.002s", lines)


# Properties


@pytest.mark.slow
@settings(max_examples=400)
@given(st.text(max_size=60) | st.text(alphabet="ab.()<>=!'\" 0123456789s+-*/,:", max_size=60))
def test_parser_never_crashes_on_any_text(text: str) -> None:
    with suppress(RequestError):
        parse_expression(text)


WORDS = [
    "a",
    "b.c",
    "people.count",
    "any(",
    "all(",
    "count(",
    "(",
    ")",
    ":",
    ",",
    "and",
    "or",
    "not",
    "for",
    "within",
    "always",
    "ever",
    "3s",
    "200ms",
    "==",
    ">",
    "contains",
    "'x'",
    "1",
    "true",
    "null",
    "-",
    "+",
]


@pytest.mark.slow
@settings(max_examples=600)
@given(st.lists(st.sampled_from(WORDS), max_size=14))
def test_parser_never_crashes_on_its_own_words(words: list[str]) -> None:
    text = " ".join(words)
    try:
        expression = parse_expression(text)
    except RequestError:
        return
    assertion = parse_assertion(text)
    assert assertion.nodes == tree.node_ids(expression)
    for i in range(3):
        assertion.feed(line(i, {"a": True, "b": {"c": 1}, "people": [person()]}))
    assert isinstance(assertion.finish().holds, bool)


_atoms = st.sampled_from(["a", "b", "n > 2", "n == 1", "rows.count >= 1", "any(rows: c > 0.5)"])


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["100ms", "250ms", "300ms", "1s"])
    return st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        inner.map(lambda t: f"not ({t})"),
        st.tuples(inner, st.sampled_from(["for", "within"]), times).map(lambda t: f"({t[0]}) {t[1]} {t[2]}"),
    )


_frame_expressions = st.recursive(_atoms, _combined, max_leaves=5)
_results = st.none() | st.fixed_dictionaries(
    {
        "a": st.booleans() | st.none(),
        "b": st.booleans(),
        "n": st.integers(0, 4) | st.none(),
        "rows": st.lists(st.fixed_dictionaries({"c": st.sampled_from([0.2, 0.9])}), max_size=2),
    }
)


@st.composite
def _videos(draw: st.DrawFn) -> list[Line]:
    results = draw(st.lists(_results, max_size=14))
    times, now, index = [], 0, 0
    lines = []
    for result in results:
        times.append(now)
        lines.append({"frame_index": index, "time_s": now / 1_000_000, "result": result})
        now += draw(st.sampled_from([100_000, 40_000, 300_000]))
        index += draw(st.integers(1, 3))
    return lines


def _spans(lines: list[Line]) -> list[tuple[int, int]]:
    starts = [round(one["time_s"] * 1_000_000) for one in lines]
    last_step = starts[-1] - starts[-2] if len(starts) > 1 else 0
    return list(zip(starts, [*starts[1:], *([starts[-1] + last_step] if starts else [])], strict=True))


def _oracle(expression: Any, lines: list[Line]) -> list[bool | None]:
    """The value on every frame, straight from the definitions, looking at the whole video at once."""
    spans, everything = _spans(lines), range(len(lines))
    match expression:
        case tree.Not(term):
            return [None if v is None else not v for v in _oracle(term, lines)]
        case tree.And(terms):
            columns = list(zip(*(_oracle(term, lines) for term in terms), strict=True))
            return [False if False in c else None if None in c else True for c in columns]
        case tree.Or(terms):
            columns = list(zip(*(_oracle(term, lines) for term in terms), strict=True))
            return [True if True in c else None if None in c else False for c in columns]
        case tree.For(term, duration_us):
            inner = _oracle(term, lines)

            def stretch(i: int) -> bool:
                first = max(j for j in range(-1, i) if j == -1 or inner[j] is not True) + 1
                last = min(j for j in range(i + 1, len(lines) + 1) if j == len(lines) or inner[j] is not True) - 1
                return spans[last][1] - spans[first][0] + 1 >= duration_us

            return [None if inner[i] is None else inner[i] is True and stretch(i) for i in everything]
        case tree.Within(term, duration_us):
            inner = _oracle(term, lines)

            def missing(i: int) -> int:
                ends = [spans[j][1] for j in range(i + 1) if inner[j] is True]
                return spans[i][1] - (ends[-1] if ends else spans[0][0])

            return [None if inner[i] is None else missing(i) <= duration_us + 1 for i in everything]
        case tree.Truth(tree.Path() as path):
            return [None if one["result"] is None else one["result"][path.segments[0]] for one in lines]
        case _:
            return [_oracle_atom(expression, one["result"]) for one in lines]


def _oracle_atom(expression: Any, result: dict[str, Any] | None) -> bool | None:
    if result is None:
        return None
    if isinstance(expression, tree.Quantifier):
        return any(row["c"] > 0.5 for row in result["rows"])
    if expression.left.segments[0] == "rows":
        return len(result["rows"]) >= 1
    number = result["n"]
    if number is None:
        return None
    return bool(number > 2 if expression.operator == ">" else number == 1)


def _oracle_ranges(
    values: list[bool | None], lines: list[Line], gap_us: int, min_us: int
) -> Iterator[tuple[int, int, int]]:
    spans = _spans(lines)
    ranges: list[list[int]] = []
    for i, value in enumerate(values):
        if value is not True:
            continue
        if ranges and (ranges[-1][-1] == i - 1 or spans[i][0] - spans[ranges[-1][-1]][1] <= gap_us):
            ranges[-1].append(i)
        else:
            ranges.append([i])
    for members in ranges:
        if spans[members[-1]][1] - spans[members[0]][0] + 1 >= min_us:
            yield lines[members[0]]["frame_index"], lines[members[-1]]["frame_index"], len(members)


@pytest.mark.slow
@settings(max_examples=300)
@given(_frame_expressions, _videos(), st.sampled_from([0, 120_000, 400_000]), st.sampled_from([0, 150_000, 500_000]))
def test_streamed_ranges_equal_the_naive_oracle(text: str, lines: list[Line], gap_us: int, min_us: int) -> None:
    expression = parse_expression(text)
    found = [
        (r.start_frame, r.end_frame, r.frames)
        for r in find_ranges(lines, parse_where(text), gap_us=gap_us, min_us=min_us)
    ]
    assert found == list(_oracle_ranges(_oracle(expression, lines), lines, gap_us, min_us))


@pytest.mark.slow
@settings(max_examples=200)
@given(_frame_expressions, _videos())
def test_statements_equal_the_naive_oracle(text: str, lines: list[Line]) -> None:
    values = _oracle(parse_expression(text), lines)
    assert holds(f"always ({text})", lines) is (bool(lines) and all(value is True for value in values))
    assert holds(f"ever ({text})", lines) is any(value is True for value in values)
    reached = [span[0] for span, value in zip(_spans(lines), values, strict=True) if value is True]
    expected = bool(reached) and reached[0] - _spans(lines)[0][0] <= 300_001
    assert holds(f"({text}) within 300ms", lines) is expected
    stretches = _oracle(tree.For(parse_expression(text), 300_000), lines)
    assert holds(f"({text}) for 300ms", lines) is any(value is True for value in stretches)


def test_memory_does_not_grow_with_the_video() -> None:
    """`for` holds back the frames of its own duration at most."""
    from videodag_cli.expressions.conditions import Judge
    from videodag_cli.expressions.timing import TimedCondition, Timeline

    watch, clock = TimedCondition(parse_expression("(a for 1s) or b"), Judge()), Timeline()
    behind = most_behind = 0
    for i in range(5000):
        ended = clock.feed(line(i, {"a": i % 97 != 0, "b": False}))
        if ended:
            behind += 1 - len(watch.feed(*ended))
            most_behind = max(most_behind, behind)
    assert most_behind <= 10
