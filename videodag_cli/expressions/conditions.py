"""What an expression without time words is worth on one line: true, false, or unknown.

Unknown (None) is the value of everything on a failed frame, and of what depends on a null or a missing field; `and`, `or` and `not`
follow Kleene's strong logic, so neither a condition nor its opposite is satisfied where nothing is known.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from videodag_cli.errors import RequestError, printable
from videodag_cli.expressions import tree

Known = bool | None
"""True, False, or None for unknown."""

_ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Judge:
    """Evaluates conditions on lines, and remembers which fields never turned up."""

    def __init__(self) -> None:
        self._found: set[tree.Path] = set()
        self._lacking: dict[tree.Path, str] = {}

    def judge(self, condition: tree.Condition, line: Mapping[str, Any]) -> Known:
        """The value on one line; raises RequestError where types do not fit (text compared with a number)."""
        if not isinstance(line.get("result"), dict):
            return None
        return self._known(condition, line, line)

    def unseen(self) -> list[str]:
        """One sentence for each path that could have been found and was on no line so far."""
        return [why for path, why in self._lacking.items() if path not in self._found]

    def _known(self, condition: tree.Condition, line: Mapping[str, Any], scope: Mapping[str, Any]) -> Known:
        match condition:
            case tree.Compare():
                return self._compare(condition, line, scope)
            case tree.And(terms):
                return every(self._known(term, line, scope) for term in terms)
            case tree.Or(terms):
                return some(self._known(term, line, scope) for term in terms)
            case tree.Not(term):
                return opposite(self._known(term, line, scope))
            case tree.Truth(tree.Literal(value)):
                return bool(value)
            case tree.Truth(tree.Path() as value):
                return some(_truth(found, value.text) for found in self._path(value, line, scope)[0])
            case tree.Quantifier(word, _, _):
                answers = self._rows(condition, line)
                if answers is None:
                    return None
                return every(answers) if word == "all" else some(answers)
        raise AssertionError(f"{condition} needs time")

    def _rows(self, rows: tree.Quantifier, line: Mapping[str, Any]) -> list[Known] | None:
        """The condition's value on each row, None where there are no rows to speak of."""
        values, several = self._path(rows.source, line, line)
        value = values if several else values[0]
        if value is None:
            return None
        if not isinstance(value, list):
            raise RequestError(f"{rows.source.text} is {_kind(value)}, not a list of rows: {rows.word}() needs one")
        return [self._known(rows.condition, line, row if isinstance(row, dict) else {"value": row}) for row in value]

    def _compare(self, compare: tree.Compare, line: Mapping[str, Any], scope: Mapping[str, Any]) -> Known:
        lefts, left_several = self._values(compare.left, line, scope)
        rights, right_several = self._values(compare.right, line, scope)
        if left_several and right_several:
            raise RequestError(
                f"both sides of {compare.operator!r} have several values: say which with any(rows: condition)"
            )
        asks_null = tree.Literal(None) in (compare.left, compare.right)
        return some(_compared(compare, left, right, asks_null) for left in lefts for right in rights)

    def _values(self, value: tree.Value, line: Mapping[str, Any], scope: Mapping[str, Any]) -> tuple[list[Any], bool]:
        """The values of an operand, and whether it is one per row."""
        match value:
            case tree.Literal(constant):
                return [constant], False
            case tree.Path():
                return self._path(value, line, scope)
            case tree.Quantifier():
                answers = self._rows(value, line)
                return [None if answers is None else sum(answer is True for answer in answers)], False
            case tree.Arithmetic(sign, left, right):
                return [_computed(sign, self._number(left, line, scope), self._number(right, line, scope))], False

    def _number(self, value: tree.Value, line: Mapping[str, Any], scope: Mapping[str, Any]) -> int | float | None:
        found, several = self._values(value, line, scope)
        if several:
            raise RequestError(f"{_shown(value)} has one value per row: compute with it inside any(rows: condition)")
        if found[0] is not None and _kind(found[0]) != "a number":
            raise RequestError(f"{_shown(value)} is {_kind(found[0])}, not a number")
        number: int | float | None = found[0]
        return number

    def _path(self, path: tree.Path, line: Mapping[str, Any], scope: Mapping[str, Any]) -> tuple[list[Any], bool]:
        """The values at a path, and whether a list was passed on the way, which makes them one per row."""
        values: list[Any] = [line["result"] if path.scope == "node" else scope]
        several = False
        for depth, segment in enumerate(path.segments):
            if isinstance(segment, str) and any(isinstance(value, list) for value in values):
                several = True
                values = [row for value in values for row in (value if isinstance(value, list) else [value])]
            values = [self._step(path, depth, value) for value in values]
        return values, several

    def _step(self, path: tree.Path, depth: int, value: Any) -> Any:
        segment = path.segments[depth]
        if value is None:
            return None
        if isinstance(segment, tree.RowCount):
            return self._counted(path, depth, value)
        if isinstance(value, list) and isinstance(segment, int):
            self._found.add(path)
            return value[segment] if segment < len(value) else None
        if not isinstance(value, dict):
            raise RequestError(
                f"{path.text}: {_shown_part(path, depth)} is {_kind(value)}, it has no field {segment!r}"
            )
        return self._field(path, depth, value, str(segment))

    def _field(self, path: tree.Path, depth: int, value: Mapping[str, Any], name: str) -> Any:
        if name in value:
            if depth == len(path.segments) - 1:
                self._found.add(path)
            return value[name]
        if path not in self._lacking:
            there = ", ".join(printable(key, limit=40) for key in list(value)[:12]) or "nothing"
            whose = f"{_shown_part(path, depth)} has" if depth else "there is"
            self._lacking[path] = f"no line has {path.text} ({whose} {there})"
        return None

    def _counted(self, path: tree.Path, depth: int, value: Any) -> Any:
        segment = path.segments[depth]
        classes = segment.classes if isinstance(segment, tree.RowCount) else ()
        self._found.add(path)
        if isinstance(value, list):
            if not classes:
                return len(value)
            return sum(
                isinstance(row, dict) and (row.get("class_name") in classes or row.get("class_id") in classes)
                for row in value
            )
        if isinstance(value, dict) and not classes and "count" in value:
            return value["count"]
        raise RequestError(f"{path.text}: {_shown_part(path, depth)} is {_kind(value)}, not a list that can be counted")


def every(values: Iterable[Known]) -> Known:
    result: Known = True
    for value in values:
        if value is False:
            return False
        if value is None:
            result = None
    return result


def some(values: Iterable[Known]) -> Known:
    result: Known = False
    for value in values:
        if value is True:
            return True
        if value is None:
            result = None
    return result


def opposite(value: Known) -> Known:
    return None if value is None else not value


def _compared(compare: tree.Compare, left: Any, right: Any, asks_null: bool) -> Known:
    sign = compare.operator
    if asks_null:
        return (left is right) if sign == "==" else (left is not right)
    if left is None or right is None:
        return None
    kinds = {_kind(left), _kind(right)}
    if sign == "contains":
        fits = isinstance(right, str) and isinstance(left, str | list)
    elif sign in _ORDERINGS:
        fits = kinds == {"a number"}
    else:
        fits = len(kinds) == 1 and kinds <= {"a number", "text", "true or false"}
    if not fits:
        raise RequestError(
            f"{_shown(compare.left)} is {_kind(left)} and {_shown(compare.right)} is {_kind(right)}: "
            f"they cannot be compared with {sign!r}{_advice(left, compare.left)}"
        )
    if sign == "contains":
        return right in left
    if sign in _ORDERINGS:
        return _ORDERINGS[sign](left, right)
    return bool((left == right) is (sign == "=="))


def _computed(sign: str, left: int | float | None, right: int | float | None) -> int | float | None:
    """The result, unknown where there is none (division by zero, overflow)."""
    if left is None or right is None:
        return None
    try:
        if sign == "+":
            result: int | float = left + right
        elif sign == "-":
            result = left - right
        elif sign == "*":
            result = left * right
        else:
            result = left / right
        return result if math.isfinite(result) else None
    except (ZeroDivisionError, OverflowError):
        return None


def _truth(value: Any, text: str) -> Known:
    if value is None or isinstance(value, bool):
        return value
    raise RequestError(f"{text} is {_kind(value)}, not true or false: compare it{_advice(value, None, text)}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return f"a list of {len(value)}" if isinstance(value, list) else "an object"


def _shown(value: tree.Value) -> str:
    match value:
        case tree.Path(_, _, text):
            return text
        case tree.Literal(constant):
            return repr(constant)
        case tree.Quantifier(word, source, _):
            return f"{word}({source.text}: …)"
        case _:
            return "the result"


def _shown_part(path: tree.Path, depth: int) -> str:
    """The path up to a segment."""
    return ".".join(str(segment) for segment in path.segments[:depth]) or "the line"


def _advice(value: Any, tree_value: tree.Value | None, text: str = "") -> str:
    name = text or (tree_value.text if isinstance(tree_value, tree.Path) else "")
    if isinstance(value, list) and name:
        return f"; write {name}.count for the number of rows"
    if isinstance(value, dict) and name and value:
        return f"; its fields are {', '.join(f'{name}.{printable(key, limit=40)}' for key in list(value)[:8])}"
    return ""
