"""Options that several commands have, in the same words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer

F = TypeVar("F", bound=Callable[..., None])


def file_to_write(text: str) -> Path:
    """What an option of type `Path` makes of a file's name, before it forgets that it is a folder's."""
    from videodag_cli.system.files import file_path

    return file_path(text)


PipelinesDirs = Annotated[
    list[Path] | None, typer.Option("--pipelines-dir", metavar="DIR", help="Look for pipelines in this folder first.")
]
PluginsDirs = Annotated[
    list[Path] | None, typer.Option("--plugins-dir", metavar="DIR", help="Also load the tools in DIR/*.py.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ProgressMode = Literal["auto", "always", "never", "json"]
"""Who is told how far a run is: a person at a terminal, anybody, nobody, a machine."""


def with_options_of(
    command: Callable[..., None], names: Sequence[str], *, panel: str | None = None
) -> Callable[[F], F]:
    """Give a command options of another one: they stand in place of its `**` parameter, in a panel of help of their own."""
    known, hints = inspect.signature(command).parameters, get_type_hints(command, include_extras=True)
    taken = [
        known[name].replace(annotation=_in_panel(hints[name], panel), kind=inspect.Parameter.KEYWORD_ONLY)
        for name in names
    ]

    def decorate(decorated: F) -> F:
        own_hints = get_type_hints(decorated, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(decorated).parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                parameters += taken
            else:
                parameters.append(parameter.replace(annotation=own_hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
        signature = inspect.Signature(parameters)
        decorated.__signature__ = signature  # type: ignore[attr-defined]
        decorated.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        return decorated

    return decorate


def options_in_panel(command: Callable[..., None], panel: str) -> tuple[str, ...]:
    """The parameters of a command whose options stand in this panel of its help."""
    hints = get_type_hints(command, include_extras=True)
    return tuple(
        name
        for name, hint in hints.items()
        if any(getattr(each, "rich_help_panel", None) == panel for each in get_args(hint)[1:])
    )


def _in_panel(hint: Any, panel: str | None) -> Any:
    if panel is None or get_origin(hint) is not Annotated:
        return hint
    kind, *rest = get_args(hint)
    moved = [copy(each) for each in rest]
    for each in moved:
        each.rich_help_panel = panel
    return Annotated[kind, *moved]
