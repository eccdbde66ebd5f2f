"""The reference parts of the guide, made from the code: `python -m tests.reference` writes them into the pages of `docs/`.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`. Each option, tool, param, exit code, error word, tolerance and
pipeline has exactly one entry: a line that begins with its name.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from videodag_cli import errors
from videodag_cli.cli.app import COMMANDS
from videodag_cli.cli.tools import param_text
from videodag_cli.compare.tolerance import Tolerance
from videodag_cli.graph.described import described
from videodag_cli.graph.pipeline import builtin_folder, load_pipeline
from videodag_cli.graph.plugins import Plugin, Registry

DOCS = Path(__file__).parent.parent / "docs"
PART = re.compile(r"(?<=^<!-- generated: )(\S+)( -->\n).*?(?=^<!-- end -->)", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every command, with its function: `run`, `pipelines list`, ..."""
    for name in [name for names in COMMANDS.values() for name in names]:
        module = import_module(f"videodag_cli.cli.{name}")
        if not hasattr(module, "app"):
            yield name, getattr(module, name)
            continue
        for command in module.app.registered_commands:
            yield f"{name} {command.name or command.callback.__name__}", command.callback


def options(function: Callable[..., Any]) -> Iterator[tuple[str, str, str]]:
    """Panel, names and the whole entry of each argument and option of a command."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = get_args(hints[name])[:2]
        is_option = isinstance(info, typer.models.OptionInfo)
        named = [*([info.default] if isinstance(info.default, str) else []), *(info.param_decls or ())]
        long = sorted(named or [f"--{name.replace('_', '-')}"], key=len, reverse=True)
        names = ", ".join(f"`{word}`" for word in long) if is_option else f"`{info.metavar or name.upper()}`"
        value = "" if not is_option or kind is bool else info.metavar or _choices(kind)
        if value:
            names = f"{names[:-1]} {value}`"
        facts = []
        if parameter.default is inspect.Parameter.empty:
            facts.append("required")
        elif parameter.default is not None and parameter.default is not False:
            shown = f"{parameter.default:g}" if isinstance(parameter.default, float) else parameter.default
            facts.append(f"default `{shown}`")
        if info.min is not None:
            facts.append(f"at least {info.min}")
        if is_option and any(get_origin(kind_) is list for kind_ in (kind, *get_args(kind))):
            facts.append("may be repeated")
        yield info.rich_help_panel or "", names, f"- {names}{_brackets(facts)}: {info.help}"


def _choices(kind: Any) -> str:
    for option in (kind, *get_args(kind)):
        if get_origin(option) is Literal:
            return "|".join(get_args(option))
    return "VALUE"


def _brackets(facts: list[str]) -> str:
    return f" ({', '.join(facts)})" if facts else ""


def command_pages() -> str:
    parts = []
    for name, function in commands():
        entries = list(options(function))
        usage = " ".join(names.strip("`") for _, names, _ in entries if not names.startswith("`-"))
        lines = [
            f"## videodag {name}",
            "",
            inspect.getdoc(function) or "",
            "",
            f"    videodag {name} [OPTIONS] {usage}".rstrip(),
        ]
        for panel in dict.fromkeys(panel for panel, _, _ in entries):
            lines += ["", *([f"**{panel}**", ""] if panel else [])]
            lines += [entry for its_panel, _, entry in entries if its_panel == panel]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def declared_plugins() -> dict[str, str]:
    """The plugins of this checkout, as `pyproject.toml` declares them: id -> module."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    return dict(project["entry-points"]["videodag.plugins"])


def built_in_plugins(registry: Registry) -> list[Plugin]:
    """The declared plugins, by their ids; an error where one is not installed, or cannot be loaded."""
    plugins, problems = registry.all()
    if problems:
        raise SystemExit("\n".join(problem.message for problem in problems))
    found = {plugin.id: plugin for plugin in plugins if plugin.distribution == "videodag"}
    absent = sorted(set(declared_plugins()) - set(found))
    if absent:
        raise SystemExit(
            f"pyproject.toml declares {', '.join(absent)}, which the installed videodag does not know; nothing is written. "
            "Install this checkout again: pip install --no-deps -e ."
        )
    return [found[plugin_id] for plugin_id in sorted(declared_plugins())]


def tool_pages() -> str:
    parts = []
    for plugin in built_in_plugins(Registry()):
        for spec in plugin.tools.values():
            facts = described(plugin, spec)
            takes = ", ".join(f"`{label['label']}`" for label in facts["inputs"])
            gives = " and ".join(f"`{kind}`" for kind in facts["outputs"])
            calls = "calls are independent" if facts["stateless"] else "called in the order of the frames"
            needs = f"; needs the extra `{facts['requires']}`" if facts["requires"] else ""
            lines = [
                f"## {facts['id']}",
                "",
                facts["doc"],
                "",
                f"Takes {takes}; gives {gives}; version {facts['version']}; {calls}{needs}.",
            ]
            lines += ["", *map(param_entry, facts["params"])] if facts["params"] else []
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def param_entry(param: dict[str, Any]) -> str:
    return f"- `{param['name']}` ({param_text(param)}): {param['description']}"


def exit_codes() -> str:
    rows = [f"| {code} | {meaning} |" for code, meaning in errors.EXIT_CODES.items()]
    return "\n".join(["| exit code | meaning |", "|---|---|", *rows])


def error_words() -> str:
    rows = [f"| `{word}` | {errors.exit_code_of_word(word)} | {meaning} |" for word, meaning in errors.WORDS.items()]
    return "\n".join(["| word | exit code | meaning |", "|---|---|---|", *rows])


def tolerances() -> str:
    rows = []
    for name, field in Tolerance.model_fields.items():
        default = "none" if field.default == () else field.default
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(["| tolerance | default | what it allows |", "|---|---|---|", *rows])


def pipelines() -> str:
    rows = []
    for path in sorted(builtin_folder().glob("*.json")):
        pipeline = load_pipeline(path).pipeline
        outputs = ", ".join(f"`{node}`" for node in pipeline.output_nodes)
        rows.append(f"| `{pipeline.id}` | {outputs} | {pipeline.description} |")
    return "\n".join(["| pipeline | output nodes | what a line holds |", "|---|---|---|", *rows])


def one_page() -> str:
    """Everything by name, as short as it can be said; entries do not begin with code, so that `help` finds each in its own place."""
    parts = ["## Commands", ""]
    for name, function in commands():
        entries = list(options(function))
        usage = " ".join(names.strip("`") for _, names, _ in entries if not names.startswith("`-"))
        given = ", ".join(names for _, names, _ in entries if names.startswith("`-"))
        about = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
        parts.append(
            f"- {' '.join(('videodag', name, usage)).strip()}: {about}{f' Options: {given}.' if given else ''}"
        )
    parts += ["", "## Exit codes", "", *(f"- {code}: {meaning}" for code, meaning in errors.EXIT_CODES.items())]
    parts += ["", f"Error words: {', '.join(errors.WORDS)}.", "", "## Pipelines", ""]
    for path in sorted(builtin_folder().glob("*.json")):
        pipeline = load_pipeline(path).pipeline
        parts.append(f"- {pipeline.id} (outputs {', '.join(pipeline.output_nodes)}): {pipeline.description}")
    parts += ["", "## Tools", ""]
    plugins, _ = Registry().all()
    for plugin in plugins:
        if plugin.distribution != "videodag":
            continue
        for spec in plugin.tools.values():
            facts = described(plugin, spec)
            takes = ", ".join(label["label"] for label in facts["inputs"])
            params = ", ".join(param["name"] for param in facts["params"])
            gives = " and ".join(facts["outputs"])
            parts.append(
                f"- {facts['id']} ({takes}; gives {gives}): {facts['summary']}{f' Params: {params}.' if params else ''}"
            )
    parts += ["", "## Pages", ""]
    pages = [path for path in sorted(DOCS.glob("*.md")) if path.stem != "llms"]
    parts += [f"- [{path.stem}]({path.name}): {path.read_text().split(chr(10))[2]}" for path in pages]
    return "\n".join(parts)


PARTS: dict[str, Callable[[], str]] = {
    "commands": command_pages,
    "tools": tool_pages,
    "exit-codes": exit_codes,
    "words": error_words,
    "tolerances": tolerances,
    "pipelines": pipelines,
    "one-page": one_page,
}


def renewed(text: str) -> str:
    """A page with its generated parts as the code says them now."""
    return PART.sub(lambda match: f"{match[1]}{match[2]}{PARTS[match[1]]()}\n", text)


if __name__ == "__main__":
    pages = {page: page.read_text() for page in sorted(DOCS.glob("*.md"))}
    for page, new in [(page, renewed(old)) for page, old in pages.items()]:  # all are made before one is written
        if new != pages[page]:
            page.write_text(new)
            print(f"written: docs/{page.name}")
