# SPDX-License-Identifier: Apache-2.0
"""Values of options: their words, their parsers, and the declarations that several commands share."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, TypeVar

import typer

from waybill import quantities
from waybill.errors import InvalidArgumentError
from waybill.live import Mode
from waybill.text import safe
from waybill.trace import trace_http

__all__ = [
    "ANY_NUMBER",
    "DEFAULT_TRACKER",
    "JsonFlag",
    "ProgressMode",
    "TraceHttp",
    "TrackerPath",
    "capped",
    "command_line",
    "is_named",
    "parse_concurrency",
    "parse_sample",
    "parse_size",
    "parse_time",
    "utf8",
    "wrong",
    "wrong_run",
]

DEFAULT_TRACKER = "waybill.db"

TrackerPath = Annotated[
    str, typer.Option("--tracker", metavar="PATH", envvar="WAYBILL_TRACKER", help="The ledger of the migration.")
]


def _start_trace(path: str | None) -> str | None:
    if path is not None:
        trace_http(path)
    return path


TraceHttp = Annotated[
    str | None,
    typer.Option(
        "--trace-http",
        metavar="FILE",
        callback=_start_trace,
        help="A line for every HTTP request, without secrets; - is stderr.",
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
ProgressMode = Annotated[
    Mode, typer.Option("--progress", help="How progress is shown on stderr; auto looks for a terminal.")
]


# The largest number that the engine and iterators take.
ANY_NUMBER = (1 << 63) - 1


def capped(number: int | None) -> int | None:
    """A bound on a number of things; one that nothing can reach is as good as any larger one."""
    return number if number is None else min(number, ANY_NUMBER)


Text = TypeVar("Text", str | None, list[str] | None)


def utf8(text: Text) -> Text:
    """Text that is none of a path or a key, in which other bytes would be told apart from nothing."""
    for word in [text] if isinstance(text, str) else text or ():
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise typer.BadParameter(f"'{safe(word)}' is not UTF-8") from None
    return text


def parse_time(text: str, hint: str) -> int:
    """As `quantities.parse_moment`."""
    try:
        return quantities.parse_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


def parse_size(text: str, hint: str = "--max-size") -> int:
    """As `quantities.parse_size`."""
    try:
        return quantities.parse_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


def parse_sample(text: str) -> tuple[int, int]:
    """``"3/10"`` → (3, 10)."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise typer.BadParameter(f"{text!r} is not a part of a sample such as 3/10", param_hint="--sample")
    return int(match[1]), int(match[2])


def parse_concurrency(text: str) -> int:
    """``"auto"`` → 0, or the number."""
    if text == "auto":
        return 0
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= 512:
        raise typer.BadParameter(f"{text!r} is neither auto nor a number from 1 to 512", param_hint="--concurrency")
    return int(text)


def command_line(words: str, tracker: str) -> str:
    """A command on a ledger, as one would type it."""
    return f"waybill {words}" + ("" if tracker == DEFAULT_TRACKER else f" --tracker {safe(shlex.quote(tracker))}")


def wrong(message: str) -> InvalidArgumentError:
    """What to raise where the command is not the right one for this ledger: it ends in exit code 2."""
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")


def is_named(context: typer.Context, parameter: str) -> bool:
    """Whether the command line itself names a parameter, and not the environment or the default."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def wrong_run(run: int, tracker: str) -> InvalidArgumentError:
    """What to raise where the ledger has no such run."""
    return wrong(f"the ledger {tracker} has no run {run}; its runs are listed by: {command_line('history', tracker)}")
