# SPDX-License-Identifier: Apache-2.0
"""Charts of a ledger as figures of matplotlib: ``pip install 'waybill[notebook]'``.

>>> from waybill import charts
>>> with waybill.Tracker("photos.db") as tracker:
...     charts.throughput(tracker).savefig("throughput.png")

A figure is shown by a notebook as it is, and saved by ``savefig``; `matplotlib.pyplot` is not touched. They read what the
reports read (`waybill.reports`) and hold no more in memory, however large the ledger is.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

from waybill.errors import missing_package
from waybill.reports import prose
from waybill.reports.charts import nice_step
from waybill.reports.summary import Series, Tally, find_run, series_of
from waybill.text import size
from waybill.tracker import Tracker

try:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
except ImportError:
    raise missing_package("matplotlib", "notebook") from None

__all__ = ["errors", "sizes", "throughput"]

_DONE, _MOVED, _FAILED, _VANISHED, _WAIVED, _LEFT = "#23845c", "#2f66c8", "#c63a2e", "#7d5bb0", "#b98900", "#a9b2bf"
_WIDTH = 8.0
_ROW = 0.38


class _Figure(Figure):
    """Shown by a notebook also where nobody has set pyplot up."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=110)
        return image.getvalue()


def throughput(tracker: Tracker, run: int | None = None) -> Figure:
    """Items and bytes per second over the time of a run, and attempts that failed, if any did.

    Parameters
    ----------
    tracker : Tracker
        Also beside a live run.
    run : int, optional
        The newest copy run by default, or the newest of all where nothing was copied.

    Raises
    ------
    FailedPreconditionError, NotFoundError
        Nothing has been run yet; there is no such run.
    """
    record = find_run(tracker, run).record
    series = series_of(tracker, record.run)
    stretches = series.stretches
    verb = "compared" if record.phase == "verify" else "moved"
    rows = [
        ("items/s", [one.items for one in stretches], _DONE),
        (f"bytes {verb}/s", [one.bytes for one in stretches], _MOVED),
        ("failed attempts/s", [one.attempts_failed for one in stretches], _FAILED),
    ]
    shown = [row for row in rows if row[2] != _FAILED or any(row[1])]
    figure = _Figure(figsize=(_WIDTH, 1.9 * len(shown)), layout="constrained")
    figure.suptitle(f"Throughput of run {record.run} ({record.phase})")
    axes: list[Axes] = list(figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0])
    for axis, (label, amounts, colour) in zip(axes, shown, strict=True):
        values = series.per_second(amounts)
        _over_time(axis, series, values, colour)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        if colour == _MOVED:
            _in_bytes(axis.yaxis, max(values, default=0))
    return figure


def sizes(tracker: Tracker) -> Figure:
    """Items and bytes by the size of items, with the part that is done."""
    groups = _tally(tracker).sizes
    names = [prose.size_name(one) for one in groups]
    figure = _Figure(figsize=(_WIDTH, 1.4 + _ROW * len(groups)), layout="constrained")
    figure.suptitle("Sizes of items")
    items, moved = figure.subplots(1, 2, sharey=True)
    items.barh(names, [one.done for one in groups], color=_DONE, label="done")
    items.barh(
        names,
        [one.items - one.done for one in groups],
        left=[one.done for one in groups],
        color=_LEFT,
        label="not done",
    )
    moved.barh(names, [one.bytes for one in groups], color=_MOVED)
    _rows(items, "items", bool(groups))
    _rows(moved, "bytes", bool(groups))
    _in_bytes(moved.xaxis, max((one.bytes for one in groups), default=0))
    if groups:
        items.invert_yaxis()
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize="small")
    return figure


def errors(tracker: Tracker) -> Figure:
    """Items that did not move, by class of errors: failed, vanished and waived."""
    groups = _tally(tracker).errors
    names = [group.error_class for group in groups]
    figure = _Figure(figsize=(_WIDTH, 1.4 + _ROW * len(groups)), layout="constrained")
    figure.suptitle("What did not move, by class of errors")
    axis = figure.subplots()
    kinds = [("failed", _FAILED), ("vanished", _VANISHED), ("waived", _WAIVED)]
    left = [0] * len(groups)
    for word, colour in kinds:
        numbers = [getattr(group, word) for group in groups]
        if any(numbers):
            axis.barh(names, numbers, left=left, color=colour, label=word)
        left = [before + number for before, number in zip(left, numbers, strict=True)]
    _rows(axis, "items", bool(groups))
    if groups:
        axis.invert_yaxis()
        figure.legend(loc="outside lower left", ncols=len(kinds), frameon=False, fontsize="small")
    return figure


def _tally(tracker: Tracker) -> Tally:
    tally = Tally()
    for outcome in tracker.outcomes():
        tally.add(outcome)
    return tally


def _over_time(axis: Axes, series: Series, values: Sequence[float], colour: str) -> None:
    """A bar for each stretch, as wide as it was long: where no work was done there is none."""
    begins = [datetime.fromtimestamp(one.at_ms / 1000, UTC) for one in series.stretches]
    ends = [datetime.fromtimestamp(ms / 1000, UTC) for ms in series.ends_ms]
    widths = [end - begin for begin, end in zip(begins, ends, strict=True)]
    axis.bar(begins, values, width=widths, align="edge", color=colour)  # type: ignore[arg-type]
    if begins:
        locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    else:
        _nothing(axis)


def _in_bytes(axis: Axis, largest: float) -> None:
    axis.set_major_locator(MultipleLocator(nice_step(largest, True)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))


def _rows(axis: Axes, label: str, is_something: bool) -> None:
    axis.set_xlabel(label)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.spines[["top", "right"]].set_visible(False)
    if not is_something:
        _nothing(axis)


def _nothing(axis: Axes) -> None:
    axis.set_yticks([])
    axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", va="center")
