# SPDX-License-Identifier: Apache-2.0
"""Values of options: their words, their parsers, and the declarations that several commands share."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import typer

from waybill import _core, quantities
from waybill.cli.output import Output
from waybill.errors import InvalidArgumentError
from waybill.live import Mode
from waybill.nearest import did_you_mean
from waybill.text import safe
from waybill.trace import trace_http

__all__ = [
    "ANY_NUMBER",
    "DEFAULT_TRACKER",
    "HOW",
    "ITEMS",
    "SHOWN",
    "STORES",
    "JsonFlag",
    "ProgressMode",
    "TraceHttp",
    "TrackerPath",
    "as_printed",
    "capped",
    "command_line",
    "error_class_option",
    "is_named",
    "keys_of",
    "parse_age",
    "parse_concurrency",
    "parse_sample",
    "parse_size",
    "parse_time",
    "utf8",
    "words_option",
    "wrong",
    "wrong_run",
]

DEFAULT_TRACKER = "waybill.db"

# Headings of options in help.
STORES, ITEMS, HOW, SHOWN = "Stores and ledger", "Which items", "How", "What is shown"

_ESCAPE = re.compile(rb"\\(?:\\|x([0-9A-Fa-f]{2}))")
_PRINTED = re.compile(rb"(?:[^\\]|\\\\|\\x[0-9A-Fa-f]{2})*", re.DOTALL)

TrackerPath = Annotated[
    str,
    typer.Option(
        "--tracker",
        metavar="PATH",
        envvar="WAYBILL_TRACKER",
        help="The ledger of the migration.",
        rich_help_panel=STORES,
    ),
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
        rich_help_panel=SHOWN,
        help="A line for every HTTP request, without secrets; - is stderr.",
    ),
]


def _expect_json(is_wanted: bool) -> bool:
    Output.is_json = Output.is_json or is_wanted
    return is_wanted


JsonFlag = Annotated[
    bool,
    typer.Option("--json", callback=_expect_json, help="JSON on stdout, one object a line.", rich_help_panel=SHOWN),
]
ProgressMode = Annotated[
    Mode,
    typer.Option(
        "--progress",
        metavar="auto|bar|plain|none",
        rich_help_panel=SHOWN,
        help="Progress on stderr: a live view, a line now and then, nothing; auto is a live view on a terminal, and with "
        "--json nothing.",
    ),
]


# More than these are not listed where a near one is named.
_MANY_WORDS = 10

# The largest number that the engine and iterators take.
ANY_NUMBER = (1 << 63) - 1


def capped(number: int | None) -> int | None:
    """A bound on a number of things; one that nothing can reach is as good as any larger one."""
    return number if number is None else min(number, ANY_NUMBER)


Text = TypeVar("Text", str | None, list[str] | None)


def as_printed(key: bytes) -> bytes:
    r"""The key that a word of the command line, or a line of a file, stands for.

    Keys are taken as they are printed, ``\\`` for a backslash and ``\xff`` for a byte; where a backslash begins neither
    of them, the word is the key itself.
    """
    if not _PRINTED.fullmatch(key):
        return key
    return _ESCAPE.sub(lambda match: b"\\" if match[1] is None else bytes([int(match[1], 16)]), key)


def keys_of(words: list[str] | None) -> list[str | bytes]:
    """The keys that ``--item`` names."""
    return [as_printed(os.fsencode(word)) for word in words or ()]


def utf8(text: Text) -> Text:
    """Text that is none of a path or a key, in which other bytes would be told apart from nothing."""
    for word in [text] if isinstance(text, str) else text or ():
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            raise typer.BadParameter(f"'{safe(word)}' is not UTF-8") from None
    return text


def words_option(name: str, metavar: str, words: Sequence[str], help: str) -> Any:
    """Declare an option for one or many of these words, which shells complete."""

    def check(found: str | list[str] | None) -> str | list[str] | None:
        for word in [found] if isinstance(found, str) else found or ():
            utf8(word)
            if word not in words:
                near = did_you_mean(word, words)
                is_named = near and len(words) > _MANY_WORDS
                wanted = f"is no {metavar.lower()}" if is_named else f"is not one of {', '.join(words)}"
                raise typer.BadParameter(f"'{safe(word)}' {wanted}{near}")
        return found

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return typer.Option(name, metavar=metavar, callback=check, autocompletion=complete, help=help)


def error_class_option(help: str) -> Any:
    """Declare ``--class``."""
    return words_option("--class", "CLASS", _core.error_classes(), help)


def parse_time(text: str, hint: str) -> int:
    """As `quantities.parse_moment`."""
    try:
        return quantities.parse_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


def parse_age(text: str, hint: str) -> int:
    """As `quantities.parse_duration`; 0 is none."""
    try:
        return 0 if text == "0" else quantities.parse_duration(text)
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
