# SPDX-License-Identifier: Apache-2.0
"""The application: its commands, and the one place where exceptions become a line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

import waybill
from waybill.cli import control, db, doctor, history, importing, inspection, moving, removal, reporting, specs, watch
from waybill.cli.exit_codes import FAILED, INTERRUPTED, USAGE, exit_code_of
from waybill.cli.output import Output, complain, prepare_streams

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


def main() -> NoReturn:
    """Run the command line and exit the process with its code; never shows a traceback."""
    prepare_streams()
    code = FAILED
    try:
        code = app(standalone_mode=False, prog_name="waybill") or 0
    except KeyboardInterrupt:
        complain("interrupted")
        os._exit(INTERRUPTED)  # a call that was left behind may still be at work
    except waybill.Error as error:
        complain(error.message)
        code = exit_code_of(error)
    except typer.Abort:
        code = INTERRUPTED
    except Exception as error:
        code = _complain_of(error)
    Output().flush()
    sys.exit(code)


def _complain_of(error: Exception) -> int:
    if isinstance(error, _CommandLineError):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "waybill"
        complain(f"{error.format_message().rstrip('.')} (see {path} --help)")  # type: ignore[attr-defined]
        return USAGE
    if isinstance(error, OSError):
        complain(str(error))
        return FAILED
    complain(f"internal error: {type(error).__name__}: {error}")
    return FAILED
