# SPDX-License-Identifier: Apache-2.0
"""The application: its commands, and the one place where exceptions become a line on stderr and an exit code."""

from __future__ import annotations

import os
import re
import signal
import sys
from itertools import pairwise
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

import waybill
from waybill.cli import (
    control,
    cutover,
    db,
    doctor,
    history,
    importing,
    inspection,
    moving,
    removal,
    reporting,
    resuming,
    rollback,
    specs,
    watch,
)
from waybill.cli.exit_codes import FAILED, INTERRUPTED, USAGE, exit_code_of
from waybill.cli.help import App, AsciiFlag
from waybill.cli.output import Output, complain, prepare_streams, release_stderr
from waybill.nearest import did_you_mean
from waybill.text import safe

__all__ = ["app", "main"]

# The base of what typer raises for a wrong command line; typer gives it no name of its own.
_CommandLineError = typer.BadParameter.__mro__[2]

_HELP = """Move millions of objects between stores, and prove what happened to every one of them.

waybill plan --from /data/photos --to s3://photos/2026

waybill run --from /data/photos --to s3://photos/2026 --tracker photos.db

waybill watch --tracker photos.db

waybill verify --tracker photos.db

Each command says more: waybill run --help.
"""

app = App(name="waybill", help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})


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
    ascii: AsciiFlag = False,
) -> None:
    if context.invoked_subcommand is None:
        context.get_help()
        raise typer.Exit(USAGE)


moving.add_commands(app)
resuming.add_commands(app)
removal.add_commands(app)
cutover.add_commands(app)
rollback.add_commands(app)
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
    except SystemExit as end:
        # Of completion, in which it has a meaning. Else it is how it says that whoever asked for help has read enough.
        code = end.code if "_WAYBILL_COMPLETE" in os.environ and isinstance(end.code, int) else 0
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
        if message := _what_is_wrong(error):
            path = context.command_path if context is not None else "waybill"
            complain(f"{message} (see {path} --help)")
        return USAGE
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        complain(f"{os.fsdecode(error.filename)}: {what}" if isinstance(error.filename, str | bytes) else what)
        return FAILED
    complain(f"internal error: {type(error).__name__}: {error}")
    return FAILED


def _what_is_wrong(error: Exception) -> str:
    """What typer says, with the closest valid word; nothing of one that has shown help instead."""
    context: Any = getattr(error, "ctx", None)
    if hasattr(error, "possibilities") and hasattr(error, "option_name") and context is not None:
        option = str(error.option_name)
        known = [name for one in context.command.get_params(context) for name in (*one.opts, *one.secondary_opts)]
        return f"unknown option {safe(option)!r}{did_you_mean(option, known)}"
    message: str = error.format_message().replace(": Value error, ", ": ").rstrip(".")  # type: ignore[attr-defined]
    if (unknown := re.match("No such command '(.*?)'", message)) and context is not None:
        return f"unknown command '{safe(unknown[1])}'{_command_like(unknown[1], context.command)}"
    if wanted := re.search("Input should be (.*?)(, unable.*)?$", message):
        return f"{message[: wanted.start()]}{_value_of(error)} is not {wanted[1]}"
    if "did you mean" not in message and (wrong := re.search("'([^']*)' is not one of (.*)$", message)):
        message += did_you_mean(wrong[1], [word.strip("' ") for word in wrong[2].split(",")])
    return message


def _value_of(error: Any) -> str:
    """The wrong value of an option, which the error does not name."""
    for word, following in pairwise([*sys.argv, ""]):
        name, equals, value = word.partition("=")
        if name in error.param.opts:
            return repr(safe(value if equals else following))
    return "it"


def _command_like(word: str, group: Any) -> str:
    """The closest command: of the group, or one of a group in it, which stands behind the name of that."""
    if near := did_you_mean(word, group.commands):
        return near
    for name, inner in group.commands.items():
        if word in getattr(inner, "commands", ()):
            return f"; did you mean '{name} {word}'?"
    return ""
