"""The command line: one file per command, imported when the command is wanted; errors become one line and an exit code here."""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from signal import SIGINT
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from videodag_cli import __version__
from videodag_cli.errors import OutputError, RequestError, StopSignal, VideodagError, lacks_memory, no_memory, printable
from videodag_cli.system.failure_lines import OPTION, signal_line
from videodag_cli.system.loading import without_collections

COMPLETION = "_VIDEODAG_COMPLETE"
"""Set by the shell when it asks for completions."""
COMMANDS: dict[str, dict[str, str]] = {
    "Run": {
        "run": "Run a pipeline over videos and write one JSON line per sampled frame.",
        "status": "Show what an output folder contains: finished, failed, unfinished, not run, stale, orphaned; exit 4 unless all is well.",
        "plan": "Run some of a video's frames, and say what the whole run will take: time, memory, the slowest part, the command to use.",
        "cache": "Look into and clear the folder of `run --cache`.",
        "clean": "List the outputs of an output folder whose input no longer exists; with --yes, remove them.",
        "check": "Run suites of regression checks: exit 5 on a difference, 4 on a failed run, 2 on a bad suite.",
    },
    "Work with results": {
        "summary": "Show what a results file contains: frames, failures, numbers, classes, tracks, texts.",
        "report": "Write one HTML page with timelines, tracks, events, timings and a frame browser; it opens offline.",
        "ranges": "Print the time ranges in which an expression is true.",
        "duplicates": "Find clips that are copies of each other, and stretches that come more than once.",
        "static": "Print boxes that never move, and write zones with which a filter leaves them out.",
        "convert": "Write results as a table (CSV, Parquet, JSON lines), COCO JSON, MOTChallenge text or WebVTT, or cuts as EDL or OTIO.",
        "diff": "Compare two results with tolerances; exit 5 where they differ.",
        "schema": "Print the JSON Schema of frame lines, run records, suites, pipelines, or what a command prints with --json.",
    },
    "Serve": {
        "serve": "Serve jobs over HTTP, and a page to use them: upload a video, name a pipeline, read the results.",
        "worker": "Run the jobs of a service; with --queue, on as many machines as share its data folder.",
    },
    "Look things up": {
        "probe": "Show what a video file contains and what to watch for; with --full, exit 4 when it is damaged.",
        "model": "Show what an ONNX file is read as, and why: layout, input, classes; with --try, what it finds in one frame.",
        "pipelines": "List, draw and check pipelines.",
        "tools": "List and describe tools.",
        "help": "Show a page of the guide, or what it says about a command, option, tool, param or error word.",
    },
}
"""What `--help` lists, by panel; each text is the first sentence of the command's own help."""


JsonErrors = Annotated[bool, typer.Option(OPTION, help="Print errors as JSON, one object a line.")]


def _option(json_errors: JsonErrors = False) -> None:
    """Holds the option that every command has."""


def load_command(name: str) -> Any:
    """A command as its module defines it: a function of the module's name, or a group called `app`; with `--json-errors`."""
    module = import_module(f"videodag_cli.cli.{name}")
    holder = typer.Typer(rich_markup_mode="rich")
    if hasattr(module, "app"):
        holder.add_typer(module.app, name=name)
    else:
        holder.command(name)(getattr(module, name))
    holder.command("_")(_option)
    commands: Any = typer.main.get_group(holder).commands
    command, (option, *_) = commands[name], commands["_"].params
    option.expose_value = False  # for --help: who asks for it is known before the line is parsed
    for each in (command, *getattr(command, "commands", {}).values()):
        each.params.append(option)
    return command


class _LoadsWhenWanted(TyperGroup):
    """Holds commands that can only be listed; the one that is called, or completed, is loaded in its place."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        with without_collections():
            return name, None if name is None else load_command(name), rest


app = typer.Typer(
    name="videodag",
    cls=_LoadsWhenWanted,
    help="Run named pipelines of vision tools over video files; one JSON line per sampled frame.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _listed() -> None:
    """Stands for a command that is not loaded."""


for _panel, _texts in COMMANDS.items():
    for _name, _text in _texts.items():
        app.command(_name, help=_text, rich_help_panel=_panel)(_listed)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"videodag {__version__}")
        raise typer.Exit


RUNS_TOOLS = {"run", "plan", "check", "batch"}
"""Commands during which the code of tools runs."""


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    json_errors: JsonErrors = False,
) -> None:
    pass


def main() -> None:
    """Run the command line of this process and end it."""
    from videodag_cli.cli import streams
    from videodag_cli.system import loading, signals, stdio

    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # they would be looked for at every start
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime would phone home, whoever imports it first
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # frames are worked on side by side; and it crashes where memory is short
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # read when OpenCV is loaded, by whatever tool
    stdio.fill_closed()
    stdio.prepare()
    watched = "VIDEODAG_CHILD" in os.environ
    runs_tools = bool(RUNS_TOOLS.intersection(sys.argv[1:2])) and not watched
    signals.idle(loading.PARENT_TELLS in os.environ)
    with signals.stop_signals():  # never left: the process ends inside, whatever tools left running
        if loading.parent_tells():
            signals.said()
        try:
            with signals.outside_watch() if runs_tools else contextlib.nullcontext():
                code = _stoppable()
                signals.over()
                guard = sys.modules.get("videodag_cli.guard.supervise")
                if guard is not None:
                    guard.mark_finished()
        except StopSignal as signal:  # before anything began
            if signals.line_is_due():
                streams.say(signal_line(signal.number))
            code = signal.exit_code
        signals.leave(code)


def _stoppable() -> int:
    """Run the command line to its end, or to a signal; returns the exit code."""
    from videodag_cli.cli import streams
    from videodag_cli.system import signals

    try:
        return _flushed(_run_app())
    except StopSignal as signal:
        if signals.line_is_due():
            streams.say(signal_line(signal.number))
        return signal.exit_code


def _flushed(code: int) -> int:
    """Flush what is buffered; threads of tools that still hang are left behind, so the process ends at once."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return 141
    except OSError as error:
        from videodag_cli.cli import streams
        from videodag_cli.system.refusals import output_error

        failed = output_error(error, "standard output")
        streams.say_error(failed)
        return failed.exit_code
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
    return code


def _run_app(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit code, having printed the one line a failure prints."""
    from videodag_cli.cli.streams import say, say_error

    try:
        result = app(args=args, prog_name="videodag", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except StopSignal as signal:
        return _stopped(signal)
    except KeyboardInterrupt:
        say(signal_line(SIGINT))
        return 130
    except BrokenPipeError:
        return 141
    except VideodagError as error:
        if isinstance(error, OutputError) and error.word == "output.closed":
            return 141
        _debug()
        say_error(_with_folder_gone(error))
        return error.exit_code
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # the parser of the command line, or Rich, gave up writing
            return 141
        if COMPLETION in os.environ or any(word.endswith("-completion") for word in sys.argv[1:2]):
            return error.code if isinstance(error.code, int) else 1
        return _other_error(error)
    except BaseException as error:
        stop = _stop_behind(error)
        return _other_error(error) if stop is None else _stopped(stop)


def _stopped(signal: StopSignal) -> int:
    from videodag_cli.cli.streams import say
    from videodag_cli.system.signals import line_is_due, said

    if line_is_due():
        said()
        say(signal_line(signal.number))
    return signal.exit_code


def _stop_behind(error: BaseException) -> StopSignal | None:
    """The signal that an error came of: one that is raised while Python's locks are taken has them complain on the way out."""
    context = error.__context__
    while context is not None and not isinstance(context, StopSignal):
        context = context.__context__
    return context


def _other_error(error: BaseException) -> int:
    from videodag_cli.cli.streams import say, say_error
    from videodag_cli.system.refusals import output_error

    describe = getattr(error, "format_message", None)
    if callable(describe):  # a usage error of the command line parser
        if type(error).__name__ == "NoArgsIsHelpError":
            say(str(describe()))
            return 2
        say_error(RequestError(printable(str(describe()).strip())), **_usage(error))
        return 2
    if type(error).__name__ == "Abort":
        return 130
    _debug()
    if isinstance(error, MemoryError) or lacks_memory(error):
        stopped = no_memory()
        say_error(stopped)
        return stopped.exit_code
    if isinstance(error, FileNotFoundError) and error.filename is None and not _has_folder():
        lost = RequestError(f"{_FOLDER_GONE}; change to one that does")
        say_error(lost)
        return lost.exit_code
    if isinstance(error, OSError) and error.filename is None and error.errno is not None:
        failed = output_error(error, "standard output")
        say_error(failed)
        return failed.exit_code
    say_error(
        VideodagError(
            f"{type(error).__name__}: {printable(error, limit=300)}; VIDEODAG_DEBUG=1 shows where; please report it"
        )
    )
    return 1


def _usage(error: BaseException) -> dict[str, str | None]:
    """What a usage error of the parser is about: an option, an argument, or the command; and what it proposes."""
    param = getattr(error, "param", None)
    names = getattr(param, "opts", ()) if getattr(param, "param_type_name", "") == "option" else ()
    option = getattr(error, "option_name", None) or next(iter(names), getattr(param, "metavar", None))
    command = getattr(getattr(error, "ctx", None), "command_path", None)
    proposed = getattr(error, "possibilities", None)
    _, _, hint = str(getattr(error, "message", "")).partition(". ")
    return {"where": option or command, "right": " or ".join(proposed) if proposed else hint or None}


_FOLDER_GONE = "the working directory no longer exists"
_NEED_FOLDER = {
    "input.missing",
    "output.folder",
    "param.file",
    "param.invalid",
    "pipeline.unknown",
    "plugin.unknown",
    "suite.invalid",
}
"""Words of what is not found by a relative path."""


def _with_folder_gone(error: VideodagError) -> VideodagError:
    if error.word in _NEED_FOLDER and not _has_folder():
        return error.reworded(f"{error.message}; {_FOLDER_GONE}")
    return error


def _has_folder() -> bool:
    """Whether the working directory, which a relative path needs, is there."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _debug() -> None:
    if os.environ.get("VIDEODAG_DEBUG") == "1":
        import traceback

        traceback.print_exc()
