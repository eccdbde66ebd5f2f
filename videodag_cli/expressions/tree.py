"""What an expression consists of. Trees are made by `syntax` only, so what exists is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Literal:
    value: float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class RowCount:
    """Number of rows, of the given classes (names or ids) or of all."""

    classes: tuple[str | int, ...] = ()


Segment = str | int | RowCount


@dataclass(frozen=True, slots=True)
class Path:
    """`segments` from the line (`scope` "line": `time_s`, `frame_index`), its result ("node") or one row ("row")."""

    scope: str
    segments: tuple[Segment, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    operator: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Quantifier:
    """`any`, `all` (conditions) or `count` (a number) over the rows of a list."""

    word: str
    source: Path
    condition: Condition


@dataclass(frozen=True, slots=True)
class Compare:
    operator: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Truth:
    """A value that is true or false by itself."""

    value: Path | Literal


@dataclass(frozen=True, slots=True)
class Not:
    term: Condition


@dataclass(frozen=True, slots=True)
class And:
    terms: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    terms: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class For:
    """True on every frame of an unbroken stretch of the term that lasts at least this long."""

    term: Condition
    duration_us: int


@dataclass(frozen=True, slots=True)
class Within:
    """True unless the term has been missing for longer than this."""

    term: Condition
    duration_us: int


@dataclass(frozen=True, slots=True)
class Quantified:
    """`always` or `ever`: a statement about all frames."""

    word: str
    term: Condition


Value = Literal | Path | Arithmetic | Quantifier
Condition = Compare | Truth | Quantifier | Not | And | Or | For | Within | Quantified
Tree = Value | Condition


def parts(tree: Tree) -> tuple[Tree, ...]:
    """The direct parts of a tree."""
    match tree:
        case Arithmetic(_, left, right) | Compare(_, left, right):
            return (left, right)
        case Quantifier(_, source, condition):
            return (source, condition)
        case Truth(value):
            return (value,)
        case Not(term) | For(term, _) | Within(term, _) | Quantified(_, term):
            return (term,)
        case And(terms) | Or(terms):
            return terms
        case _:
            return ()


def walk(tree: Tree) -> Iterator[Tree]:
    """The tree and all its parts, outer ones first."""
    yield tree
    for part in parts(tree):
        yield from walk(part)


def is_timed(tree: Tree) -> bool:
    """Whether a word of time (`for`, `within`, `always`, `ever`) is in it."""
    return any(isinstance(part, For | Within | Quantified) for part in walk(tree))


def node_ids(tree: Tree) -> frozenset[str]:
    """The output nodes an expression speaks of."""
    return frozenset(str(p.segments[0]) for p in walk(tree) if isinstance(p, Path) and p.scope == "node")
