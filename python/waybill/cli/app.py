# SPDX-License-Identifier: Apache-2.0
"""The application: its commands, and the one place where exceptions become a line on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

import waybill
from waybill.cli import control, db, doctor, history, importing, inspection, moving, removal, reporting, specs, watch
from waybill.cli.exit_codes import FAILED, INTERRUPTED, USAGE, exit_code_of
from waybill.cli.output import Output, complain, prepare_streams, release_stderr

__all__ = ["app", "main"]

# The base of what typer raises for a wrong command line; typer gives it no name of its own.
_CommandLineError = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="waybill",
    help="Move millions of objects between stores, and prove what happened to every one of them.",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 3 done with differences, 1 failed, 2 wrong command, 4 refused, 130 stopped.",
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        Output().line(f"waybill {waybill.__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(USAGE)


moving.add_commands(app)
removal.add_commands(app)
importing.add_commands(app)
control.add_commands(app)
inspection.add_commands(app)
history.add_commands(app)
specs.add_commands(app)
db.add_commands(app)
watch.add_commands(app)
reporting.add_commands(app)
doctor.add_commands(app)


class _Stopped(BaseException):
    """Ctrl-C; of KeyboardInterrupt typer makes an exit code without a word."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stopped


def main() -> NoReturn:
    """Run the command line and exit the process with its code; never shows a traceback."""
    prepare_streams()
    was_stopped = False

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        nonlocal was_stopped
        was_stopped = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    code = FAILED
    try:
        code = app(standalone_mode=False, prog_name="waybill") or 0
    except KeyboardInterrupt:
        was_stopped = True
    except waybill.Error as error:
        complain(error.message)
        code = exit_code_of(error)
    except SystemExit:
        code = 0  # how typer and rich say that whoever asked for help has read enough
    except typer.Abort:
        code = INTERRUPTED
    except Exception as error:
        code = _complain_of(error)
    if was_stopped:  # of which typer makes an exit code, without a word
        complain("interrupted")
        os._exit(INTERRUPTED)  # a call that was left behind may still be at work
    Output().flush()
    release_stderr()
    sys.exit(FAILED if Output.has_lost and code == 0 else code)


def _complain_of(error: Exception) -> int:
    if isinstance(error, _CommandLineError):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "waybill"
        message = error.format_message().replace(": Value error, ", ": ")  # type: ignore[attr-defined]
        complain(f"{message.rstrip('.')} (see {path} --help)")
        return USAGE
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        complain(f"{os.fsdecode(error.filename)}: {what}" if isinstance(error.filename, str | bytes) else what)
        return FAILED
    complain(f"internal error: {type(error).__name__}: {error}")
    return FAILED
