"""Every error this package raises on purpose.

    VideodagError                 1  internal
    ├── RequestError              2  usage            the request is wrong
    │   ├── PipelineError         2  pipeline.*       a pipeline cannot be found, read or planned
    │   ├── PluginError           2  plugin.*         a plugin or tool is missing or broken
    │   ├── ParamError            2  param.*          a parameter or its file is wrong
    │   └── MissingExtraError     2  extra.missing    an optional dependency is not installed
    ├── InputError                3  input.*          the video is refused, or holds no frame
    ├── IncompleteError           4  run.incomplete   done, with failures on record
    ├── DifferenceError           5  check.*          `check` or `--assert` found a difference
    ├── OutputError               6  output.*         the output cannot be written
    └── StoppedError              7  stopped.*        ended early by a rule the user set
    StopSignal              128 + n  stopped.signal   a signal; not among the errors that anybody may catch

Each instance carries a stable word (`input.missing`), printed in brackets on the command line and used in records and HTTP problems.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Collection
from typing import ClassVar, Literal

WORDS: dict[str, str] = {
    "internal": "an unexpected error: please report it",
    "usage": "a command line option or argument is wrong",
    "pipeline.unknown": "no pipeline of that name was found",
    "pipeline.invalid": "the pipeline file has problems; all are listed",
    "plugin.unknown": "no plugin of that name is installed",
    "plugin.broken": "a plugin could not be loaded",
    "param.invalid": "a parameter has a wrong name, type or value",
    "param.file": "a file named by a parameter cannot be used",
    "suite.invalid": "a suite, or an expected result it names, is missing or has problems",
    "extra.missing": "an optional dependency is not installed",
    "input.missing": "there is no such file",
    "input.not_file": "the path is a folder, a pipe or a device",
    "input.unreadable": "the file cannot be opened for reading",
    "input.not_mp4": "the file is not an MP4 or MOV file",
    "input.no_video": "the file has no video stream, or not the requested one",
    "input.no_frames": "no frame could be decoded, or the window contains none",
    "input.unsupported": "the codec or layout cannot be decoded correctly",
    "input.limit": "the video claims more than a limit allows; the message names the option that raises it",
    "input.changed": "the file changed while it was read",
    "input.not_results": "the file is not a results file, or one of its lines is incomplete",
    "run.incomplete": "done, with failures on record",
    "check.difference": "results differ from what was expected",
    "check.assertion": "an assertion does not hold",
    "output.exists": "the output exists and belongs to another request or input",
    "output.locked": "another run is writing this output",
    "output.folder": "the output's folder is missing or cannot be written to, or the path is a folder",
    "output.input": "the output would overwrite an input",
    "output.full": "the disk is full, or the file size limit is reached",
    "output.failed": "the output cannot be written for another reason",
    "output.closed": "the reader of standard output went away",
    "stopped.on_error": "a node failed and `--on-error stop` was given",
    "stopped.max_errors": "more failures than `--max-errors` allows",
    "stopped.strict": "a gap was found and `--strict` was given",
    "stopped.timeout": "a time limit was exceeded",
    "stopped.memory": "the memory limit was exceeded",
    "stopped.crash": "the process that ran the video died",
    "stopped.signal": "a signal ended the run",
    "service.unknown": "over HTTP: there is no such job or address",
    "service.unfinished": "over HTTP: the job has no results, or none yet",
    "service.form": "over HTTP: the upload is not a complete multipart form",
    "service.access": "over HTTP: the token is missing or wrong, or the request comes from a page of another site",
    "service.busy": "over HTTP: too many jobs are waiting",
}
"""Every stable word with what it says."""

EXIT_CODES: dict[str, str] = {
    "0": "done",
    "1": "unexpected error",
    "2": "the request is wrong: usage, pipeline, plugin, parameter, missing extra",
    "3": "the input was refused, holds no frame, or changed while it was read",
    "4": "done, with failures on record: failed or lost frames, or a file that contradicts itself",
    "5": "`check`, `diff` or `--assert` found a difference",
    "6": "the output cannot be written: it exists, is locked, has no folder, or the disk is full",
    "7": "stopped early by a rule you set (`--on-error stop`, `--max-errors`, `--strict`, limits on time and memory), or the "
    "process died under a watched run; the `.part` file remains",
    "128 + n": "ended by a signal: 130 Ctrl-C, 143 TERM, 129 HUP; 141: standard output was closed (silent)",
}
"""What the process's exit code says."""


class VideodagError(Exception):
    """Base of the tree. `exit_code` is the process's; `word` is the stable word of this instance."""

    exit_code: ClassVar[int] = 1
    default_word: ClassVar[str] = "internal"

    def __init__(self, message: str, *, word: str | None = None) -> None:
        super().__init__(message)
        self.word = word or self.default_word
        if self.word not in WORDS:
            raise ValueError(f"unknown error word {self.word!r}")

    @property
    def message(self) -> str:
        return str(self.args[0])

    def reworded(self, message: str) -> VideodagError:
        """The same kind of error, with the same word, saying something else."""
        error = VideodagError.__new__(type(self))
        VideodagError.__init__(error, message, word=self.word)
        return error


class RequestError(VideodagError):
    exit_code = 2
    default_word = "usage"


class PipelineError(RequestError):
    default_word = "pipeline.invalid"


class PluginError(RequestError):
    default_word = "plugin.unknown"


class ParamError(RequestError):
    default_word = "param.invalid"


class MissingExtraError(RequestError):
    default_word = "extra.missing"

    def __init__(self, what: str, extra: str, *, distribution: str = "videodag") -> None:
        super().__init__(f"{what} needs the extra {extra!r}: pip install '{distribution}[{extra}]'")
        self.extra = extra


class InputError(VideodagError):
    exit_code = 3
    default_word = "input.unreadable"


class IncompleteError(VideodagError):
    exit_code = 4
    default_word = "run.incomplete"


class DifferenceError(VideodagError):
    exit_code = 5
    default_word = "check.difference"


class OutputError(VideodagError):
    exit_code = 6
    default_word = "output.failed"


class StoppedError(VideodagError):
    exit_code = 7
    default_word = "stopped.on_error"


def error_of(exit_code: int, message: str, word: str | None) -> VideodagError:
    """The error that another process told of."""
    kinds = {kind.exit_code: kind for kind in VideodagError.__subclasses__()}
    return kinds.get(exit_code, VideodagError)(message, word=word)


def exit_code_of_word(word: str) -> str:
    """The exit code that goes with a stable word, as `EXIT_CODES` names it."""
    if word in ("stopped.signal", "output.closed"):
        return "128 + n"
    kinds: list[type[VideodagError]] = [VideodagError, *VideodagError.__subclasses__(), *RequestError.__subclasses__()]
    family = word.partition(".")[0]
    return str(next((k.exit_code for k in kinds if k.default_word.partition(".")[0] == family), RequestError.exit_code))


class StopSignal(BaseException):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


OnError = Literal["record", "stop"]
"""What becomes of a run when a node fails on a frame."""
EXIT_PRECEDENCE = (1, 6, 7, 2, 3, 4, 5, 0)
"""When several exit codes apply to one command, the earliest of these wins."""


def worst(exit_codes: Collection[int]) -> int:
    """The exit code of a command whose parts ended with these."""
    for code in EXIT_PRECEDENCE:
        if code in exit_codes:
            return code
    return max(exit_codes, default=0)


_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code in (9, 10, 13):
        return {9: "\\t", 10: "\\n", 13: "\\r"}[code]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable(text: object, *, limit: int | None = None) -> str:
    """`text` on one line: control characters, bidi marks and bytes that are not UTF-8 are escaped."""
    shown = _UNPRINTABLE.sub(_escape, str(text))
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return shown


def counted(count: int, noun: str) -> str:
    """`1 video`, `1,200 videos`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_NO_MEMORY = ("can't start new thread", "failed to map segment", "Cannot allocate memory", "std::bad_alloc")
"""What Python, C++ and the loader of libraries say where memory or threads are rationed."""


def lacks_memory(message: object) -> bool:
    """Whether an error's message says that memory or threads ran out."""
    return any(text in str(message) for text in _NO_MEMORY)


def no_memory() -> StoppedError:
    return StoppedError("memory ran out; allow more, or try --workers 1", word="stopped.memory")


def told(kind: str, message: str) -> str:
    """An exception's type and message; the type alone where it says nothing."""
    return f"{kind}: {message}" if message else kind
