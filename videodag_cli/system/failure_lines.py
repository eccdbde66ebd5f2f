"""The one line that every failure prints on standard error: text for people, or with `--json-errors` an object for programs."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from itertools import takewhile

from videodag_cli.errors import DifferenceError, IncompleteError, StopSignal, VideodagError

OPTION = "--json-errors"
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\([^()]*\)|\[[^\[\]]*\]")
"""Parts of a message in which a colon or a semicolon does not separate."""
_AGAIN = "run the same command again to finish"
_COMMAND = re.compile(r"[a-z]+")


def wanted(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for objects. It is looked for before the line is parsed: what is wrong may be the line itself."""
    return OPTION in takewhile(lambda word: word != "--", arguments)


_AS_JSON = wanted(sys.argv[1:])
if _AS_JSON:  # loaded now: the line of a signal must not wait for it
    from json.encoder import encode_basestring_ascii as _quoted


def error_line(error: VideodagError, *, where: str | None = None, right: str | None = None) -> str:
    """What says that a command failed; as text, several problems follow it, one a line.

    where, right: for programs, if they are known better than from the message.
    """
    if not _AS_JSON:
        return f"videodag: error[{error.word}]: {error.message}"
    found, advice = message_parts(error.message.partition("\n")[0])
    if isinstance(error, DifferenceError | IncompleteError):
        advice = None  # these tell what came out, in several clauses
    return _object(error.word, error.message, error.exit_code, where or found, right or advice)


def signal_line(number: int) -> str:
    """What says that a signal ended a command."""
    signal = StopSignal(number)
    return _line("stopped.signal", f"{signal}: stopped; {_AGAIN}", signal.exit_code, str(signal), _AGAIN)


def crash_line() -> str:
    """What a process that watches another says when that died; how it died is the shell's to tell, so no exit code is known."""
    right = f"{_AGAIN}, with --isolate if a tool crashes it"
    return _line("stopped.crash", f"the process died; {right}", None, None, right)


def _line(word: str, message: str, exit_code: int | None, where: str | None, right: str | None) -> str:
    if not _AS_JSON:
        return f"videodag: error[{word}]: {message}"
    return _object(word, message, exit_code, where, right)


def _object(word: str, text: str, exit_code: int | None, where: str | None, right: str | None) -> str:
    """Plain ASCII, whatever the terminal's encoding."""
    message, *problems = (line.strip().removeprefix("- ") for line in text.split("\n"))
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    fields = {
        "word": _text(word),
        "exit_code": "null" if exit_code is None else str(exit_code),
        "command": _text(command if _COMMAND.fullmatch(command) else None),
        "message": _text(message),
        "where": _text(where),
        "right": _text(right),
        "problems": f"[{','.join(map(_quoted, problems))}]",
    }
    return f'{{"error":{{{",".join(f"{_quoted(name)}:{value}" for name, value in fields.items())}}}}}'


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(value)


def message_parts(message: str) -> tuple[str | None, str | None]:
    """Where it is and what would be right: messages say `where: what; right`, and leave out what there is nothing to say of."""
    masked = _QUOTED.sub(lambda match: "_" * len(match.group()), message)
    colon, first, last = masked.find(": "), masked.find("; "), masked.rfind("; ")
    where = message[:colon] if colon > 0 and (first < 0 or colon < first) else None
    return where, message[last + 2 :] if last >= 0 else None
