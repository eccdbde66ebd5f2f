"""The reference parts of the guide say what the code says, and everything has exactly one entry."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests import reference
from tests.commands import ROOT
from videodag_cli import errors, guide
from videodag_cli.compare.tolerance import Tolerance
from videodag_cli.errors import PluginError
from videodag_cli.graph.pipeline import builtin_folder
from videodag_cli.graph.plugins import Plugin, Registry

PAGES = {path.stem: path.read_text() for path in sorted(reference.DOCS.glob("*.md"))}


def sections(page: str) -> dict[str, str]:
    """The page's parts by their headings of the second level."""
    parts = re.split(r"^## (.*)\n", PAGES[page], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(text: str, name: str) -> list[str]:
    """Rows and list items whose first words are this name."""
    return re.findall(rf"^(?:- |\| )(?:`[^`]*`, )*`{re.escape(name)}[ `].*$", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_generated_parts_are_those_of_the_code(page: str) -> None:
    assert PAGES[page] == reference.renewed(PAGES[page]), "run `python -m tests.reference` and look at what changed"


def test_every_part_is_on_one_page() -> None:
    shown = [name for text in PAGES.values() for name, _ in reference.PART.findall(text)]
    assert sorted(shown) == sorted(reference.PARTS)


@pytest.mark.parametrize("name", [name for name, _ in reference.commands()])
def test_every_option_has_one_entry_under_its_command(name: str) -> None:
    section = sections("cli")[f"videodag {name}"]
    for _, names, _ in reference.options(dict(reference.commands())[name]):
        for word in re.findall(r"`([^ `,]+)[^`]*`", names):
            assert len(entries(section, word)) == 1, word
            if word.startswith("--"):
                others = "\n".join(text for page, text in PAGES.items() if page != "cli")
                assert not entries(others, word), f"{word} is explained by a second entry"


def test_every_tool_has_one_section_and_every_param_one_entry() -> None:
    by_tool = sections("tools")
    for plugin in reference.built_in_plugins(Registry()):
        for spec in plugin.tools.values():
            section = by_tool[f"{plugin.id}.{spec.id}"]
            assert PAGES["tools"].count(f"\n## {plugin.id}.{spec.id}\n") == 1
            for param, field in spec.params_model.model_fields.items():
                assert field.description, f"{plugin.id}.{spec.id}.{param} has no description"
                assert len(entries(section, param)) == 1, f"{plugin.id}.{spec.id}.{param}"


def found_in(name: str) -> list[str]:
    """The sections in which a search finds an entry of this name."""
    return re.findall(r"^## (.*)$", guide.find_page(name), re.MULTILINE)


def test_a_search_finds_each_command_option_tool_and_param_once_where_it_belongs() -> None:
    belongs: dict[str, list[str]] = {}
    for name, function in reference.commands():
        belongs.setdefault(name, []).append(f"videodag {name}")
        for _, names, _ in reference.options(function):
            for word in re.findall(r"`--([^ `,]+)", names):
                belongs.setdefault(word, []).append(f"videodag {name}")
    for plugin in reference.built_in_plugins(Registry()):
        for spec in plugin.tools.values():
            assert found_in(f"{plugin.id}.{spec.id}") == [f"{plugin.id}.{spec.id}"]
            for param in spec.params_model.model_fields:
                belongs.setdefault(param, []).append(f"{plugin.id}.{spec.id}")
    reference_sections = {*sections("cli"), *sections("tools")}
    for word, places in belongs.items():
        if word not in PAGES:
            assert sorted(place for place in found_in(word) if place in reference_sections) == sorted(places), word


def test_a_plugin_that_is_not_installed_stops_the_reference_before_anything_is_written() -> None:
    installed = Registry()

    class WithoutTrack(Registry):
        def all(self) -> tuple[list[Plugin], list[PluginError]]:
            plugins, problems = installed.all()
            return [plugin for plugin in plugins if plugin.id != "track"], problems

    with pytest.raises(
        SystemExit, match=r"declares track, which the installed videodag does not know; nothing is written"
    ):
        reference.built_in_plugins(WithoutTrack())


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("outputs", list(errors.WORDS)),
        ("checks", list(Tolerance.model_fields)),
        ("pipelines", [path.stem for path in builtin_folder().glob("*.json")]),
    ],
)
def test_every_word_tolerance_and_pipeline_has_one_entry(page: str, names: list[str]) -> None:
    for name in names:
        assert len(entries(PAGES[page], name)) == 1, name


def test_errors_are_raised_with_the_exit_code_that_their_word_stands_for() -> None:
    found = 0
    for path in sorted((ROOT / "videodag_cli").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                kind = getattr(errors, call.func.id, None)
                if not (isinstance(kind, type) and issubclass(kind, errors.VideodagError)):
                    continue
                for argument in call.keywords:
                    if argument.arg == "word" and isinstance(argument.value, ast.Constant):
                        found += 1
                        documented = errors.exit_code_of_word(str(argument.value.value))
                        assert documented in (str(kind.exit_code), "128 + n"), f"{_place(path)}:{call.lineno}"
    assert found > 50


@pytest.mark.parametrize(
    ("codes", "code"),
    [([0, 5, 4], 4), ([5, 3], 3), ([3, 2], 2), ([2, 7], 7), ([7, 6], 6), ([6, 1], 1), ([0, 0], 0), ([0, 5], 5)],
)
def test_of_several_exit_codes_the_earliest_in_1_6_7_2_3_4_5_wins(codes: list[int], code: int) -> None:
    assert errors.worst(codes) == errors.worst(codes[::-1]) == code


def test_every_exit_code_has_a_place_among_those_of_several_parts() -> None:
    assert set(errors.EXIT_PRECEDENCE) == {int(code) for code in errors.EXIT_CODES if code.isdigit()}


def test_every_exit_code_of_an_error_is_explained() -> None:
    assert {errors.exit_code_of_word(word) for word in errors.WORDS} <= set(errors.EXIT_CODES)


def _place(path: Path) -> str:
    return str(path.relative_to(ROOT))
