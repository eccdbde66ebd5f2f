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
) -> None:
    """Show a page of the guide, or what it says about a command, option, tool, param or error word."""
    from videodag_cli.guide import find_page, topics

    if topic:
        _show(find_page(" ".join(topic)))
        return
    pages = topics().values()
    width = max(len(page.name) for page in pages)
    for page in pages:
        typer.echo(f"{page.name:{width}}  {page.about}")


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
