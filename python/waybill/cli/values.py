# SPDX-License-Identifier: Apache-2.0
"""Values of options: their words, their parsers, and the declarations that several commands share."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from waybill.live import Mode

__all__ = [
    "DEFAULT_TRACKER",
    "JsonFlag",
    "ProgressMode",
    "TrackerPath",
    "parse_concurrency",
    "parse_sample",
    "parse_size",
    "parse_time",
]

DEFAULT_TRACKER = "waybill.db"

TrackerPath = Annotated[
    str, typer.Option("--tracker", metavar="PATH", envvar="WAYBILL_TRACKER", help="The ledger of the migration.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
ProgressMode = Annotated[
    Mode, typer.Option("--progress", help="How progress is shown on stderr; auto looks for a terminal.")
]

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def parse_time(text: str, hint: str) -> int:
    """``"2026-11-20"``, ``"2026-11-20T08:00:00Z"``, or an age such as ``"7d"`` → ms since 1970 UTC."""
    if age := re.fullmatch(r"([0-9]{1,6})([smhdw])", text):
        return int((time.time() - int(age[1]) * _SECONDS[age[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a date, a time such as 2026-11-20T08:00:00Z, nor an age such as 7d", param_hint=hint
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def parse_size(text: str, hint: str = "--max-size") -> int:
    """``"10MiB"``, ``"1.5 GB"``, ``"4096"`` → bytes."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise typer.BadParameter(f"{text!r} is not a size such as 4096, 10MiB or 1.5GB", param_hint=hint)
    value = int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    if value >= 1 << 63:
        raise typer.BadParameter(f"{text!r} is more than any store can hold", param_hint=hint)
    return value


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
