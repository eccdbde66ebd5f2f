"""The command line: one file per command; errors become one line and an exit code here."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from videodag_cli import __version__
from videodag_cli.cli import check, convert, diff, pipelines, probe, ranges, report, run, schema, summary, tools
from videodag_cli.errors import OutputError, RequestError, StoppedError, VideodagError, printable

app = typer.Typer(
    name="videodag",
    help="Run named pipelines of vision tools over video files; one JSON line per sampled frame.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
RUNNING, RESULTS, LOOKING = "Run", "Work with results", "Look things up"
app.command("run", rich_help_panel=RUNNING)(run.run)
app.command("check", rich_help_panel=RUNNING)(check.check)
app.command("summary", rich_help_panel=RESULTS)(summary.summary)
app.command("report", rich_help_panel=RESULTS)(report.report)
app.command("ranges", rich_help_panel=RESULTS)(ranges.ranges)
app.command("convert", rich_help_panel=RESULTS)(convert.convert)
app.command("diff", rich_help_panel=RESULTS)(diff.diff)
app.command("schema", rich_help_panel=RESULTS)(schema.schema)
app.command("probe", rich_help_panel=LOOKING)(probe.probe)
app.add_typer(pipelines.app, name="pipelines", rich_help_panel=LOOKING)
app.add_typer(tools.app, name="tools", rich_help_panel=LOOKING)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"videodag {__version__}")
        raise typer.Exit


NO_MEMORY = ("can't start new thread", "failed to map segment", "Cannot allocate memory")
"""What Python and the loader say where memory or threads are rationed."""
RUNS_TOOLS = {"run", "check", "batch"}
"""Commands during which the code of tools runs."""


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the command `videodag`."""
    from videodag_cli import signals
    from videodag_cli.cli import streams

    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # they would be looked for at every start
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime would phone home, whoever imports it first
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # frames are worked on side by side; and it crashes where memory is short
    streams.fill_closed()
    runs_tools = bool(RUNS_TOOLS.intersection(sys.argv[1:2])) and "VIDEODAG_CHILD" not in os.environ
    with signals.stop_signals():  # never left: the process ends inside, whatever tools left running
        with signals.outside_watch() if runs_tools else contextlib.nullcontext():
            try:
                code = _flushed(_run_app())
            except signals.StopSignal as signal:
                streams.say(signal.line)
                code = signal.exit_code
            signals.over()
            guard = sys.modules.get("videodag_cli.guard")
            if guard is not None:
                guard.mark_finished()
        signals.leave(code)


def _flushed(code: int) -> int:
    """Flush what is buffered; threads of tools that still hang are left behind, so the process ends at once."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return 141
    except OSError as error:
        from videodag_cli.cli import streams
        from videodag_cli.output import output_error

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
    from videodag_cli.signals import StopSignal, said

    try:
        result = app(args=args, prog_name="videodag", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except StopSignal as signal:
        said()
        say(signal.line)
        return signal.exit_code
    except KeyboardInterrupt:
        say("videodag: error[stopped.signal]: SIGINT")
        return 130
    except BrokenPipeError:
        return 141
    except VideodagError as error:
        if isinstance(error, OutputError) and error.word == "output.closed":
            return 141
        _debug()
        say_error(error)
        return error.exit_code
    except BaseException as error:
        return _other_error(error)


def _other_error(error: BaseException) -> int:
    from videodag_cli.cli.streams import say, say_error
    from videodag_cli.output import output_error

    describe = getattr(error, "format_message", None)
    if callable(describe):  # a usage error of the command line parser
        if type(error).__name__ == "NoArgsIsHelpError":
            say(str(describe()))
            return 2
        say_error(RequestError(printable(str(describe()).strip())))
        return 2
    if type(error).__name__ == "Abort":
        return 130
    _debug()
    if isinstance(error, MemoryError) or any(text in str(error) for text in NO_MEMORY):
        stopped = StoppedError("memory ran out; allow more, or try --workers 1", word="stopped.memory")
        say_error(stopped)
        return stopped.exit_code
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


def _debug() -> None:
    if os.environ.get("VIDEODAG_DEBUG") == "1":
        import traceback

        traceback.print_exc()
