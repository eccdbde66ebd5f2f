"""`videodag help`: the guide in the terminal."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer


def _names() -> list[str]:
    from videodag_cli.guide import topics

    return list(topics())


def help(
    topic: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TOPIC]",
            help="A page of the guide, or a command, option, tool, param or error word; none: the list of pages.",
            autocompletion=_names,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the pages as JSON; with a topic, its text too.")
    ] = False,
) -> None:
    """Show a page of the guide, or what it says about a command, option, tool, param or error word."""
    from videodag_cli.guide import find_page, topics

    if as_json:
        _print_json(" ".join(topic or ()))
        return
    if topic:
        _show(find_page(" ".join(topic)))
        return
    pages = topics().values()
    width = max(len(page.name) for page in pages)
    for page in pages:
        typer.echo(f"{page.name:{width}}  {page.about}")


def _print_json(topic: str) -> None:
    from videodag_cli.cli.streams import print_json
    from videodag_cli.guide import find_page, topics

    pages = topics()
    known = [{"name": page.name, "title": page.title, "about": page.about} for page in pages.values()]
    if topic:
        text = find_page(topic)
        found = next((page for page in known if page["name"] == topic), {"name": topic, "title": topic, "about": ""})
        known = [{**found, "text": text}]
    print_json(known)


def _show(text: str) -> None:
    """On a terminal formatted and in a pager; otherwise as the text that it is."""
    if not sys.stdout.isatty():
        typer.echo(text.rstrip())
        return
    from rich.console import Console
    from rich.markdown import Markdown

    os.environ.setdefault("LESS", "FRX")  # leave at once where it fits on the screen; show colours
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the pager
    console = Console()
    with console.pager(styles=True):
        console.print(Markdown(text))
