"""How the house is built: what its classes and names look like."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import videodag_cli

PACKAGE = Path(videodag_cli.__file__).parent
MAKERS = {"__init__", "__new__", "__post_init__"}


def classes() -> Iterator[tuple[Path, ast.ClassDef]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield path, node


def assigned(function: ast.FunctionDef) -> set[str]:
    """Attributes of `self` that a method gives a value, in whatever form."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def declared(found: ast.ClassDef, known: dict[str, list[ast.ClassDef]]) -> set[str]:
    """Attributes that an instance has from the beginning, from its bases also."""
    names: set[str] = set()
    for statement in found.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in MAKERS:
            names |= assigned(statement)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names.add(statement.target.id)
        elif isinstance(statement, ast.Assign):
            names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    for base in found.bases:
        for node in known.get(ast.unparse(base).rpartition(".")[2], []):
            names |= declared(node, known)
    return names


def late_attributes(found: dict[str, list[ast.ClassDef]]) -> list[str]:
    return [
        f"{name}.{method.name} makes {', '.join(sorted(late))}"
        for name, nodes in found.items()
        for node in nodes
        for method in node.body
        if isinstance(method, ast.FunctionDef) and (late := assigned(method) - declared(node, found))
    ]


def test_no_attribute_appears_after_an_object_is_made() -> None:
    found: dict[str, list[ast.ClassDef]] = {}
    for _, node in classes():
        found.setdefault(node.name, []).append(node)
    assert len(found) > 200
    assert not late_attributes(found)


def test_an_attribute_that_appears_late_is_seen() -> None:
    source = "class A:\n    b: int\n    def f(self):\n        self.b = 1\n        with x() as self.c, y() as (self.d, z): pass"
    found = ast.parse(source).body[0]
    assert isinstance(found, ast.ClassDef)
    assert late_attributes({"A": [found]}) == ["A.f makes c, d"]
