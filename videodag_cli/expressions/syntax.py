"""Reads an expression into a tree: recursive descent over the text, nothing is ever evaluated as code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from videodag_cli.errors import RequestError, printable
from videodag_cli.expressions import tree
from videodag_cli.expressions.tree import Condition, Tree, Value
from videodag_cli.times import LENGTH, UNITS, microseconds, seconds_of

MAX_LENGTH = 1000
"""Characters in an expression."""
MAX_DEPTH = 32
"""Parentheses, `not` and minus signs inside each other."""
MAX_OPERATORS = 64
"""Arithmetic signs in an expression."""
MAX_DURATION_US = 24 * 3600 * 1_000_000

RESERVED = frozenset({"and", "or", "not", "for", "within", "always", "ever", "true", "false", "null", "contains"})
LINE_FIELDS = frozenset({"time_s", "frame_index"})

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INDEX = re.compile(r"[0-9]{1,9}")
_TEXT = re.compile(r"""'[^']*'|"[^"]*\"""")
_COMPARISON = re.compile(r"==|!=|<=|>=|<|>")
_FOREIGN = {"&&": "and", "||": "or", "&": "and", "|": "or", "!": "not", "=": "==", "<>": "!=", "=>": ">=", "=<": "<="}
_FOREIGN_SIGN = re.compile(r"&&|\|\||=>|=<|<>|[&|!=]")


class ExpressionError(RequestError):
    """An expression that cannot be read; `position` is the offset of the character that is wrong."""

    def __init__(self, problem: str, text: str, position: int) -> None:
        start, end = max(0, position - 40), position + 40
        before = ("…" if start else "") + text[start:position]
        after = text[position:end] + ("…" if end < len(text) else "")
        shown = f"{printable(before)}^{printable(after)}"
        super().__init__(f"expression, column {position + 1} (at ^): {problem}: {shown}")
        self.text = text
        self.position = position


def parse_expression(text: str) -> Condition:
    """The tree of an expression; raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"an expression has at most {MAX_LENGTH} characters, this has {len(text)}", text, MAX_LENGTH
        )
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.operators = 0
        self.in_rows = False
        self.text_fits = False  # whether quoted text stands for itself here, or for a node id

    # Reading pieces

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        raise ExpressionError(problem, self.text, self.at if at is None else at)

    def skip_space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match here, space before it skipped."""
        self.skip_space()
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def sign(self, sign: str) -> bool:
        self.skip_space()
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def peek_word(self) -> str:
        self.skip_space()
        found = _NAME.match(self.text, self.at)
        return found.group() if found else ""

    def word(self, *words: str) -> str:
        """One of these words if it is next, else ""."""
        found = self.peek_word()
        if found not in words:
            return ""
        self.at += len(found)
        return found

    def expected(self, what: str) -> NoReturn:
        self.skip_space()
        foreign = _FOREIGN_SIGN.match(self.text, self.at)
        if foreign:
            self.fail(f"{foreign.group()!r} is written {_FOREIGN[foreign.group()]!r} here")
        if self.at == len(self.text):
            self.fail(f"{what} is expected, but the expression ends")
        self.fail(f"{what} is expected")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"parentheses and signs may be nested {MAX_DEPTH} deep at most")

    # Conditions

    def whole(self) -> Condition:
        found = self.expression()
        self.skip_space()
        if self.at < len(self.text):
            self.end_expected(found)
        return self.condition(found, 0)

    def end_expected(self, found: Tree) -> NoReturn:
        word = self.peek_word()
        if isinstance(found, tree.For | tree.Within) and word in {"and", "or", "for", "within"}:
            self.fail("a time applies to everything to its left; put parentheses around the part that ends with it")
        if _COMPARISON.match(self.text, self.at):
            self.fail("comparisons are not chained; combine two with 'and'")
        self.expected("'and', 'or', 'for', 'within' or the end")

    def expression(self) -> Tree:
        start = self.at
        quantifier = self.word("always", "ever")
        if quantifier:
            self.deeper()
            inner_at = self.at
            inner = self.condition(self.expression(), inner_at)
            self.depth -= 1
            self.no_quantifier(inner, self.after_space(inner_at))
            return tree.Quantified(quantifier, inner)
        found = self.either()
        word = self.word("for", "within")
        if not word:
            return found
        term = self.condition(found, start)
        self.no_quantifier(term, self.after_space(start))
        duration_us = self.duration()
        return tree.For(term, duration_us) if word == "for" else tree.Within(term, duration_us)

    def no_quantifier(self, term: Condition, at: int) -> None:
        if any(isinstance(part, tree.Quantified) for part in tree.walk(term)):
            self.fail("'always' and 'ever' speak of the whole video; they cannot be used inside another time word", at)

    def duration(self) -> int:
        self.skip_space()
        start = self.at
        found = self.take(LENGTH)
        if found is None or (found["value"] is not None and found["unit"] is None):
            self.fail("a duration like 3s, 500ms, 2m, 1h or 1:30 is expected", start)
        try:
            duration_us = microseconds(seconds_of(found))
        except ValueError as error:
            self.fail(str(error), start)
        if duration_us > MAX_DURATION_US:
            self.fail("a duration is at most 24h", start)
        return duration_us

    def either(self) -> Tree:
        start = self.at
        found = self.both()
        if self.peek_word() != "or":
            return found
        terms = [self.condition(found, start)]
        while self.word("or"):
            start = self.at
            terms.append(self.condition(self.both(), start))
        return tree.Or(tuple(terms))

    def both(self) -> Tree:
        start = self.at
        found = self.negation()
        if self.peek_word() != "and":
            return found
        terms = [self.condition(found, start)]
        while self.word("and"):
            start = self.at
            terms.append(self.condition(self.negation(), start))
        return tree.And(tuple(terms))

    def negation(self) -> Tree:
        if not self.word("not"):
            return self.comparison()
        self.deeper()
        start = self.at
        is_quantified = self.peek_word() in {"always", "ever"} and not self.in_rows
        term = self.condition(self.expression() if is_quantified else self.negation(), start)
        self.depth -= 1
        return tree.Not(term)

    def comparison(self) -> Tree:
        start = self.at
        left = self.sum()
        self.skip_space()
        sign_at = self.at
        found = self.take(_COMPARISON)
        operator = found.group() if found else self.word("contains")
        if not operator:
            return left
        if self.at < len(self.text) and self.text[self.at] in "=<>" and found:
            self.fail("a comparison is one of == != < <= > >=", sign_at)
        left_value = self.value(left, start)
        start, self.text_fits = self.at, True
        right = self.value(self.sum(), start)
        self.text_fits = False
        for side in (left_value, right):
            self.fits(operator, side, sign_at)
        return tree.Compare(operator, left_value, right)

    def fits(self, operator: str, side: Value, at: int) -> None:
        """Whether a literal can be compared so."""
        if not isinstance(side, tree.Literal):
            return
        is_number = isinstance(side.value, int | float) and not isinstance(side.value, bool)
        if operator in {"<", "<=", ">", ">="} and not is_number:
            self.fail(f"{operator!r} compares numbers", at)
        if operator == "contains" and not isinstance(side.value, str):
            self.fail("'contains' looks for text in text", at)

    # Values

    def condition(self, found: Tree, at: int) -> Condition:
        """`found` as something true or false."""
        if isinstance(found, tree.Path):
            if isinstance(found.segments[-1], tree.RowCount):
                self.fail("a count is a number; compare it, as in 'people.count >= 1'", self.after_space(at))
            return tree.Truth(found)
        if isinstance(found, tree.Literal) and isinstance(found.value, bool):
            return tree.Truth(found)
        if isinstance(found, tree.Literal | tree.Arithmetic) or (
            isinstance(found, tree.Quantifier) and found.word == "count"
        ):
            self.fail(
                "this is a value; something true or false is expected, as in 'people.count >= 1'", self.after_space(at)
            )
        return found

    def value(self, found: Tree, at: int) -> Value:
        """`found` as something to compare or to compute with."""
        is_condition = isinstance(found, tree.Quantifier) and found.word != "count"
        if is_condition or not isinstance(found, tree.Literal | tree.Path | tree.Arithmetic | tree.Quantifier):
            self.fail("a number, text or a path is expected here, not a condition", self.after_space(at))
        return found

    def after_space(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def number(self, found: Tree, at: int) -> Value:
        value = self.value(found, at)
        if isinstance(value, tree.Literal) and (isinstance(value.value, bool | str) or value.value is None):
            self.fail("arithmetic is for numbers", self.after_space(at))
        return value

    def sum(self) -> Tree:
        return self.operations(("+", "-"), self.product)

    def product(self) -> Tree:
        return self.operations(("*", "/"), self.factor)

    def operations(self, signs: tuple[str, str], operand: Callable[[], Tree]) -> Tree:
        start = self.at
        found = operand()
        while True:
            sign = next((s for s in signs if self.sign(s)), "")
            if not sign:
                return found
            self.operators += 1
            if self.operators > MAX_OPERATORS:
                self.fail(f"an expression has at most {MAX_OPERATORS} arithmetic signs")
            left = self.number(found, start)
            right_at = self.at
            found = tree.Arithmetic(sign, left, self.number(operand(), right_at))

    def factor(self) -> Tree:
        self.skip_space()
        start = self.at
        if self.sign("-"):
            self.deeper()
            value = self.number(self.factor(), self.at)
            self.depth -= 1
            if isinstance(value, tree.Literal) and isinstance(value.value, int | float):
                return tree.Literal(-value.value)
            return tree.Arithmetic("-", tree.Literal(0), value)
        if self.sign("("):
            return self.parentheses(start)
        number = self.take(_NUMBER)
        if number:
            return self.literal_number(number)
        word = self.word("true", "false", "null")
        if word:
            return tree.Literal({"true": True, "false": False, "null": None}[word])
        if self.peek_word() in {"any", "all", "count"} and re.match(r"\s*[a-z]+\s*\(", self.text[self.at :]):
            return self.rows()
        text = self.take(_TEXT)
        if text and self.text_fits and not self.text.startswith(".", self.at):
            return tree.Literal(text.group()[1:-1])
        self.at = start
        return self.path()

    def parentheses(self, start: int) -> Tree:
        self.deeper()
        text_fits, self.text_fits = self.text_fits, False
        found = self.either() if self.in_rows else self.expression()
        self.text_fits = text_fits
        if not self.sign(")"):
            if self.in_rows and self.peek_word() in {"for", "within", "always", "ever"}:
                self.fail("time words cannot be used inside any(), all() and count()")
            if isinstance(found, tree.For | tree.Within | tree.Quantified) and self.at < len(self.text):
                self.end_expected(found)
            self.expected(f"')' for the '(' in column {start + 1}")
        self.depth -= 1
        return found

    def literal_number(self, number: re.Match[str]) -> tree.Literal:
        unit = self.take(_NAME) if self.at < len(self.text) and not self.text[self.at].isspace() else None
        if unit:
            hint = "; a duration comes after 'for' or 'within'" if unit.group() in UNITS else ""
            self.fail(f"a number ends before {printable(unit.group(), limit=20)!r}{hint}", number.start())
        text = number.group()
        value = int(text) if text.isdigit() and len(text) <= 15 else float(text)
        if value in (float("inf"), float("-inf")):
            self.fail("this number is too large", number.start())
        return tree.Literal(value)

    def rows(self) -> tree.Quantifier:
        start = self.at
        word = self.word("any", "all", "count")
        if self.in_rows:
            self.fail("any(), all() and count() cannot be nested", start)
        self.sign("(")
        self.text_fits, text_fits = False, self.text_fits
        source = self.path()
        if any(isinstance(segment, tree.RowCount) for segment in source.segments):
            self.fail("rows are expected before the ':', not their count", start)
        if not self.sign(":"):
            self.expected("':' between the rows and the condition on them, as in any(people: confidence > 0.5)")
        self.in_rows, inner_at = True, self.at
        condition = self.condition(self.either(), inner_at)
        self.in_rows, self.text_fits = False, text_fits
        if not self.sign(")"):
            if self.peek_word() in {"for", "within", "always", "ever"}:
                self.fail("time words cannot be used inside any(), all() and count()")
            self.expected("')'")
        return tree.Quantifier(word, source, condition)

    def path(self) -> tree.Path:
        self.skip_space()
        start = self.at
        quoted = self.take(_TEXT)
        bare = None if quoted else self.take(_NAME)
        if quoted is None and (bare is None or bare.group() in RESERVED):
            self.at = start
            self.expected("a path like people.count, a number or a condition")
        first = quoted.group()[1:-1] if quoted else bare.group() if bare else ""
        if not first:
            self.fail("a name is empty", start)
        scope = "row" if self.in_rows else "line" if bare and first in LINE_FIELDS else "node"
        segments: list[tree.Segment] = [first]
        while self.text.startswith(".", self.at):
            if isinstance(segments[-1], tree.RowCount):
                self.fail("a count has no fields")
            self.at += 1
            segments.append(self.segment())
        return tree.Path(scope, tuple(segments), self.text[start : self.at])

    def segment(self) -> tree.Segment:
        """What follows a dot."""
        for pattern in (_INDEX, _NAME, _TEXT):
            found = pattern.match(self.text, self.at)
            if found:
                break
        else:
            self.expected("a field name, an index or 'count' after the '.'")
        self.at = found.end()
        if pattern is _INDEX:
            return int(found.group())
        if pattern is _TEXT:
            return found.group()[1:-1]
        return self.counted() if found.group() == "count" else found.group()

    def counted(self) -> tree.RowCount:
        if not self.text.startswith("(", self.at):
            return tree.RowCount()
        self.at += 1
        classes: list[str | int] = []
        while True:
            text, index = self.take(_TEXT), None
            name = None if text else self.take(_NAME)
            if text is None and name is None:
                index = self.take(_INDEX)
            if text:
                classes.append(text.group()[1:-1])
            elif name:
                classes.append(name.group())
            elif index:
                classes.append(int(index.group()))
            else:
                self.expected("the name of a class")
            if self.sign(")"):
                return tree.RowCount(tuple(classes))
            if not self.sign(","):
                self.expected("',' or ')' after the class")
