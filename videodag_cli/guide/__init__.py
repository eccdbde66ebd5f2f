"""The guide: the pages of `docs/`, which ship with the package, by topic; and the entries of its reference pages, by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from videodag_cli.errors import RequestError, printable

_COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE)


@dataclass(frozen=True)
class Topic:
    """A page of the guide. It begins with `# Title`, an empty line, and one line that says what it is about."""

    name: str
    text: str

    @property
    def title(self) -> str:
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def about(self) -> str:
        return self.text.split("\n")[2]


def folder() -> Path:
    """Where the pages are: inside the package when it is installed, in `docs/` of a checkout otherwise."""
    here = Path(__file__).parent
    inside = here / "pages"
    return inside if os.path.isdir(inside) else here.parent.parent / "docs"


def topics() -> dict[str, Topic]:
    """Every page by its name, which is the stem of its file."""
    found = sorted(folder().glob("*.md"))
    return {path.stem: Topic(path.stem, _COMMENT.sub("", path.read_text("utf-8"))) for path in found}


def find_page(name: str) -> str:
    """The page of this name, or else the reference entries of a command, an option, a tool, a param or an error word.

    Raises `RequestError` that names what comes near.
    """
    pages = topics()
    if name in pages:
        return pages[name].text
    known: dict[str, list[str]] = {}
    for page in pages.values():
        for word, entry in _entries(page.text):
            known.setdefault(word, []).append(entry)
    if name.lstrip("-") in known:
        return "\n\n".join(known[name.lstrip("-")])
    near = get_close_matches(name, [*pages, *known], n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise RequestError(f"the guide has no topic {printable(name, limit=80)!r}; {hint}`videodag help` lists the topics")


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Names with what a page says of them: sections of commands and tools, rows and list items by the names they begin with."""
    for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        section = re.fullmatch(r"## (?:videodag )?([a-z]+(?: [a-z]+)?|[a-z_]+\.[a-z_]+)", heading)
        if section:
            yield section[1], part.strip()
        columns = previous = ""
        for line in body.split("\n"):
            if line.startswith("|---"):
                columns = f"{previous}\n{line}\n"
            previous = line
            names = re.match(r"(?:- |\| )((?:`[^`]+`(?:, )?)+)", line)
            for word in re.findall(r"`-*([^ `,=]+)[^`]*`", names[1]) if names else ():
                yield word, f"{heading}\n\n{columns if line.startswith('|') else ''}{line}"
