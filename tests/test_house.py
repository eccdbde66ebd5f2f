"""How the house is built: what its classes and names look like."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NewType, get_args, get_origin, get_type_hints

import pytest

import videodag_cli

PACKAGE = Path(videodag_cli.__file__).parent
PLAIN = {"ABC", "BaseModel", "Exception", "Executor", "Protocol", "TypedDict", "NamedTuple"}
"""Bases from elsewhere that make no attributes of their own; of others nobody here can tell what they make."""
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
        if all(ast.unparse(base).partition("[")[0] in {*found, *PLAIN} for base in node.bases)
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


HANDED_ON = {"Assertion", "LoadedPipeline", "Plan", "Registry", "RunRecord", "RunStart"}
"""Public types that are got from one call and given to another; what they hold may be of types that are not public."""


def named_types(hint: Any) -> Iterator[Any]:
    """The classes and new types that an annotation speaks of."""
    for argument in get_args(hint):
        for part in argument if isinstance(argument, list) else [argument]:
            yield from named_types(part)
    yield get_origin(hint) or hint


def signatures(public: Any) -> Iterator[Any]:
    """What a user of a public name sees: its signature, its fields, and those of its public methods."""
    yield public
    for name, member in vars(public).items() if isinstance(public, type) else ():
        if not name.startswith("_") or name in ("__init__", "__call__"):
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(function):
                yield function


def hints(signature: Any) -> Iterator[Any]:
    names = {**vars(import_module(signature.__module__)), "Assertion": videodag_cli.Assertion}
    for name, hint in get_type_hints(signature, globalns=names).items():
        if not (isinstance(signature, type) and name.startswith("_")):
            yield hint


def test_every_type_in_a_public_signature_is_public() -> None:
    lacking = {
        f"{kind.__name__}, in {public}"
        for public in sorted(set(videodag_cli.__all__) - {"__version__"} - HANDED_ON)
        if not isinstance(getattr(videodag_cli, public), NewType)
        for signature in signatures(getattr(videodag_cli, public))
        for hint in hints(signature)
        for kind in named_types(hint)
        if isinstance(kind, type | NewType)
        and kind.__module__.startswith("videodag_cli")
        and kind.__name__ not in videodag_cli.__all__
    }
    assert not lacking


COMMANDS = "cli"
"""The room of the commands: a command has the name of what it does, which may be that of the function it calls."""
LAYOUTS = "vision/onnx/layouts"
"""Modules of one form, each with what it knows of a family of detectors: `KINDS`."""
ONE_FORM = {
    "main": "the entry point of a process",
    "make": "what a sink is made by, in each of `run/sinks/`",
    "write": "what a format of `convert` is written by, in each of `convert/`",
    "show": "the second word of `pipelines show` and `tools show`",
    "schema": "the word of `schema` and of `pipelines schema`",
    "app": "the Typer group of a command with words of its own",
}
"""Functions that several modules have because each is one of a kind, called by one place for all of them."""
SAME_STEM = {
    "api": "what a room offers to library users: `run/`, `batch/`",
    "app": "the Typer application and the ASGI application",
    "jsonl": "the format's name, as an output of `run` and of `convert`",
    "summary": "the format's name, as an output of `run`, and what it is made by",
    "worker": "the command, and what it starts",
}
"""Files of the same name, command files aside."""


def is_tool(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Tools are named by their plugin as well: `track.objects` is another one than `detect.objects`."""
    return any(ast.unparse(decorator).partition("(")[0] == "tool" for decorator in node.decorator_list)


def is_type(node: ast.Assign) -> bool:
    """Whether it gives a type a name: `Row = Mapping[str, Any]`; type variables are of one module by nature."""
    name = ast.unparse(node.targets[0])
    return name[:1].isupper() and not name.isupper() and not ast.unparse(node.value).startswith("TypeVar(")


def public_names() -> Iterator[tuple[str, Path, ast.stmt]]:
    """The public classes, functions and types that modules define, tools aside."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            name = ""
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not is_tool(node):
                name = node.name
            elif isinstance(node, ast.Assign) and is_type(node):
                name = ast.unparse(node.targets[0])
            if name and not name.startswith("_"):
                yield name, path.relative_to(PACKAGE), node


def homes(kind: type[ast.stmt] | tuple[type[ast.stmt], ...]) -> dict[str, set[str]]:
    """Names that more than one module defines, and where."""
    found: dict[str, set[str]] = {}
    for name, path, node in public_names():
        if isinstance(node, kind):
            found.setdefault(name, set()).add(path.as_posix())
    return {name: places for name, places in found.items() if len(places) > 1}


def test_a_class_or_type_has_one_meaning_and_one_home() -> None:
    assert homes((ast.ClassDef, ast.Assign)) == {}


def test_a_function_has_one_meaning_and_one_home() -> None:
    libraries = {
        name: {p for p in places if Path(p).parent.name != COMMANDS} for name, places in homes(ast.FunctionDef).items()
    }
    assert {name: places for name, places in libraries.items() if len(places) > 1 and name not in ONE_FORM} == {}


def test_a_file_has_one_meaning_and_one_home() -> None:
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if not path.stem.startswith("__") and path.parent.name not in (COMMANDS, "tools"):
            found.setdefault(path.stem, set()).add(path.relative_to(PACKAGE).as_posix())
    assert {name: places for name, places in found.items() if len(places) > 1 and name not in SAME_STEM} == {}


WRITERS = {
    "replace",
    "rename",
    "renames",
    "link",
    "symlink",
    "write_bytes",
    "write_text",
    "touch",
    "O_CREAT",
    "O_WRONLY",
    "O_RDWR",
}
"""Names that only code uses that writes files: functions of `os` and methods of paths."""


def writes(source: str) -> set[str]:
    """What in a source writes files by itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node).rpartition(".")[0] in ("os", "path", "Path"):
            found |= {node.attr} & WRITERS
        elif isinstance(node, ast.Attribute) and node.attr in ("write_bytes", "write_text"):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "open":
            modes = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
            found |= {
                f"open {mode}"
                for mode in modes
                if isinstance(mode, str) and re.fullmatch("[rwax+bt]*[wax+][rwax+bt]*", mode)
            }
    return found


def test_files_are_written_in_one_room() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): writes(path.read_text()) for path in PACKAGE.rglob("*.py")}
    del found["schemas/__main__.py"]  # a developer's command
    assert {name: what for name, what in found.items() if what and not name.startswith("system/")} == {}
    assert found["system/files.py"] >= {"replace", "O_CREAT", "open wb"}


@pytest.mark.parametrize(
    "source", ["os.rename(a, b)", "open(a, 'wb')", "path.open(mode='a')", "x.write_text(b)", "os.open(a, os.O_CREAT)"]
)
def test_what_writes_a_file_is_seen(source: str) -> None:
    assert writes(source)
