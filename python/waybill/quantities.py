# SPDX-License-Identifier: Apache-2.0
"""Sizes, durations and times as people write them. What is none raises ValueError with a message that says so."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime

__all__ = ["parse_duration", "parse_moment", "parse_size"]

_BYTES = {
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
_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


def parse_size(text: str) -> int:
    """``"10MiB"``, ``"1.5 GB"``, ``"4096"`` → bytes."""
    match = re.fullmatch(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)\s*", text)
    unit = _BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is not a size such as 4096, 10MiB or 1.5GB")
    value = int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    if value >= 1 << 63:
        raise ValueError(f"{text!r} is more than any store can hold")
    return value


def parse_duration(text: str) -> int:
    """``"500ms"``, ``"30s"``, ``"5m"``, ``"2h"``, ``"7d"`` → ms."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*(ms|s|m|min|h|d|w)\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 30s or 5m")
    return int(match[1]) * _MILLISECONDS[match[2]]


def parse_moment(value: str | date) -> int:
    """``"2026-11-20"``, ``"2026-11-20T08:00:00Z"``, or an age such as ``"7d"`` → ms since 1970 UTC.

    What says no time zone is UTC.
    """
    if isinstance(value, str):
        if age := re.fullmatch(r"([0-9]{1,6})([smhdw])", value):
            return int(time.time() * 1000) - int(age[1]) * _MILLISECONDS[age[2]]
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is neither a date, a time such as 2026-11-20T08:00:00Z, nor an age such as 7d"
            ) from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return int(value.timestamp() * 1000)
