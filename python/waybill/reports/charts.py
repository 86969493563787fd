# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG. Every scale is linear and begins at zero; times are UTC."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from waybill.reports.summary import Series

__all__ = ["bar", "nice_step", "over_time", "stacked"]

_WIDTH, _HEIGHT = 1000, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 8, 10, 26
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_MOST_TICKS = 8


def over_time(
    series: Series,
    values: Sequence[float],
    *,
    label: Callable[[float], str],
    kind: str,
    what: str,
    are_bytes: bool,
) -> str:
    """Bars over the time of a run, each as wide as the stretch it is of: where no work was done there is none.

    `values` has a number for each stretch, `label` makes the text of one on the axis, `what` says what is drawn.
    """
    begin = series.stretches[0].at_ms
    end = max(*series.ends_ms, begin + 1)
    step = nice_step(max(values), are_bytes)
    top = step * max(1, math.ceil(max(values) / step))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(ms: int) -> float:
        return _LEFT + width * (ms - begin) / (end - begin)

    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{what}"><title>{what}</title>'
    ]
    for place in range(round(top / step) + 1):
        y = _TOP + height * (1 - place * step / top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label(place * step)}</text>')
    for ms, text in _time_ticks(begin, end):
        parts.append(
            f'<line class="tick" x1="{x(ms):.1f}" x2="{x(ms):.1f}" y1="{_TOP + height}" y2="{_TOP + height + 4}"/>'
        )
        parts.append(f'<text x="{x(ms):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{text}</text>')
    for stretch, stretch_end, number in zip(series.stretches, series.ends_ms, values, strict=True):
        left = x(stretch.at_ms)
        wide = max(1.0, x(max(stretch_end, stretch.at_ms)) - left)
        tall = height * number / top
        parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{_TOP + height - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
        )
    return "".join([*parts, "</svg>"])


def stacked(amounts: Sequence[tuple[int, str]], what: str) -> str:
    """Parts of a whole side by side: numbers and the classes they are drawn in."""
    whole = sum(number for number, _ in amounts)
    parts = [f'<svg class="stack" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{what}">']
    parts.append('<rect class="empty" x="0" y="0" width="1000" height="10"/>')
    at = 0.0
    for number, kind in amounts:
        if number:
            wide = 1000 * number / whole
            parts.append(f'<rect class="{kind}" x="{at:.2f}" y="0" width="{wide:.2f}" height="10"/>')
            at += wide
    return "".join([*parts, "</svg>"])


def bar(number: float, largest: float, kind: str) -> str:
    """One bar of a table; the largest of its column is as wide as the cell."""
    wide = 1000 * number / largest if largest else 0
    return (
        '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{kind}" x="0" y="0" width="{wide:.1f}" height="10"/></svg>'
    )


def nice_step(largest: float, are_bytes: bool) -> float:
    """A round number of which four or a few more reach up to the largest: 1, 2 or 5 times a power of ten, or of bytes a
    power of two."""
    if largest <= 0:
        return 1
    if are_bytes:
        return 2.0 ** math.ceil(math.log2(largest / 4))
    power = 10.0 ** math.floor(math.log10(largest / 4))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= largest / 4)


def _time_ticks(begin: int, end: int) -> list[tuple[int, str]]:
    """Round moments between two, in ms, and how they are written."""
    span = (end - begin) / 1000
    step = next(
        (step for step in _STEPS_S if span / step <= _MOST_TICKS), math.ceil(span / _MOST_TICKS / 86400) * 86400
    )
    style = "%H:%M:%S" if step < 60 else "%H:%M" if span < 86400 else "%m-%d" if step >= 86400 else "%m-%d %H:%M"
    first = math.ceil(begin / 1000 / step) * step
    moments = range(first, int(end // 1000) + 1, step)
    return [(at * 1000, datetime.fromtimestamp(at, UTC).strftime(style)) for at in moments]
