# SPDX-License-Identifier: Apache-2.0
"""Progress for people, on stderr: a live view on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Literal, Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

from waybill.records import InFlight, Snapshot
from waybill.text import (
    LEFT,
    ascii_only,
    count,
    duration,
    eta,
    is_utf8,
    item_name,
    items_due,
    moment,
    other_references,
    percent,
    progress_line,
    safe,
    shown_state,
    size,
    switched,
    switches_references,
)

__all__ = ["Mode", "View", "make_view"]

Mode = Literal["auto", "bar", "plain", "none"]

_PLAIN_SECONDS = 5.0
_MOST_IN_FLIGHT = 8
# Lines of the view beside those of items in flight, and one that the cursor stands in.
_OTHER_LINES = 9
_LABEL = 11
# A rate of nothing says something after so long only.
_MEASURED_SECONDS = 3.0


class View:
    """Shows nothing; the base of the views that do. A context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, snapshot: Snapshot) -> None:
        """Show `snapshot`, if it is time to."""

    def say(self, line: str) -> None:
        """Write a line that stays."""
        with contextlib.suppress(OSError):
            print(_encodable(line), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Give the terminal back. May be called more than once."""


class _PlainView(View):
    """A line when the state changes, and every few seconds, for as long as they can be written."""

    def __init__(self) -> None:
        self._next = 0.0
        self._state = ""

    def update(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        state = shown_state(snapshot)
        if now >= self._next or state != self._state:
            self._next, self._state = now + _PLAIN_SECONDS, state
            self.say(progress_line(snapshot))


class _LiveView(View):
    """State, bar, numbers, errors by class, and what is in flight, drawn over and over in the same place."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        # What goes to stdout meanwhile is not ours to move to stderr.
        self._live = Live(
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._failed: Mapping[str, int] = {}
        self._latest = ""

    def update(self, snapshot: Snapshot) -> None:
        grown = [word for word, number in snapshot.failed_by_class.items() if number > self._failed.get(word, 0)]
        self._latest = grown[-1] if grown else self._latest
        self._failed = snapshot.failed_by_class
        self._live.update(_Frame(snapshot, self._latest))

    def say(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(Text(_encodable(line)))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()


class _Frame:
    """One picture of a run, for whatever width and height the terminal has when it is drawn."""

    def __init__(self, snapshot: Snapshot, latest: str) -> None:
        self._snapshot = snapshot
        self._latest = latest

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = options.max_width
        rows = [self._head(width), self._bar(width, options.ascii_only)]
        rows += [_labelled(label, text, style) for label, text, style in self._lines()]
        rows += self._in_flight(width, options.ascii_only, min(_MOST_IN_FLIGHT, console.size.height - _OTHER_LINES))
        for row in rows:
            if options.ascii_only:
                row.plain = ascii_only(row.plain)
            row.no_wrap = True
            row.truncate(width, overflow="crop" if options.ascii_only else "ellipsis")
            yield row

    def _head(self, width: int) -> Text:
        snapshot = self._snapshot
        state = shown_state(snapshot)
        is_odd = "paused" in state or snapshot.state in ("cancelling", "failed", "interrupted")
        left = Text(state, style="bold yellow" if is_odd else "bold")
        if snapshot.name:
            left.append(f"  {safe(snapshot.name)}", style="not bold")
        right = duration(snapshot.active_seconds)
        if snapshot.live.concurrency:
            right = f"{snapshot.live.concurrency} at once, {right}"
        left.truncate(max(width - len(right) - 2, 10), overflow="crop")
        left.append(" " * max(width - left.cell_len - len(right), 2) + right, style="not bold dim")
        return left

    def _bar(self, width: int, in_ascii: bool) -> Text:
        ratio = self._snapshot.progress
        text = percent(ratio) if ratio is not None else "listing"
        if ratio is None and self._snapshot.expected_items:
            # Of tracked work: a guess of its program's, which may be too low.
            ratio, text = min(self._snapshot.items.settled / self._snapshot.expected_items, 0.99), "expected"
        length = max(width - 9, 1)
        done = int(length * ratio) if ratio is not None else 0
        full, empty = ("=", "-") if in_ascii else ("━", "─")
        return Text.assemble((full * done, "green"), (empty * (length - done), "dim"), f" {text:>8}")

    def _lines(self) -> Iterator[tuple[str, str, str]]:
        snapshot = self._snapshot
        if switches_references(snapshot.phase):
            yield from self._reference_lines()
            return
        items, live = snapshot.items, snapshot.live
        so_far = "" if snapshot.listing_complete else " so far"
        is_running = snapshot.state == "running"
        is_measured = is_running and (live.items_per_second > 0 or snapshot.active_seconds > _MEASURED_SECONDS)
        speed = f"   {live.items_per_second:,.0f}/s" if is_measured else ""
        estimate = f"   {eta(snapshot)}" if is_running and eta(snapshot) else ""
        due, meant = items_due(snapshot)
        yield "items", f"{count(items.settled)} of {due}{meant}{speed}{estimate}", ""
        speed = f"   {size(live.bytes_per_second)}/s" if is_measured else ""
        yield "bytes", f"{size(snapshot.bytes_done)} of {size(snapshot.bytes_total)}{so_far}{speed}", ""
        numbers = [
            (items.created, "created"),
            (items.updated, "updated"),
            (items.unchanged, "unchanged"),
            (items.waived, "waived"),
            (items.vanished, "vanished"),
            (items.excluded, "excluded"),
        ]
        if shown := ", ".join(f"{count(number)} {word}" for number, word in numbers if number):
            yield "", shown, "dim"
        if snapshot.failed_by_class:
            yield "failed", self._classes(), "red"
        if any(snapshot.findings.values()):
            found = sorted(snapshot.findings.items(), key=lambda entry: -entry[1])
            yield "findings", ", ".join(f"{count(number)} {kind}" for kind, number in found if number), "red"
        if live.stalled_since_ms is not None and is_running:
            yield "stalled", f"nothing has moved since {moment(live.stalled_since_ms)}", "yellow"

    def _reference_lines(self) -> Iterator[tuple[str, str, str]]:
        snapshot, live = self._snapshot, self._snapshot.live
        is_running = snapshot.state == "running"
        is_measured = is_running and (live.items_per_second > 0 or snapshot.active_seconds > _MEASURED_SECONDS)
        speed = f"   {live.items_per_second:,.0f}/s" if is_measured else ""
        estimate = f"   {eta(snapshot)}" if is_running and eta(snapshot) else ""
        yield "references", f"{switched(snapshot.phase, snapshot.run_references)}{speed}{estimate}", ""
        if left := other_references(snapshot.run_references, *LEFT):
            yield "", left, "red"
        if live.stalled_since_ms is not None and is_running:
            yield "stalled", f"nothing has moved since {moment(live.stalled_since_ms)}", "yellow"

    def _classes(self) -> str:
        """The most frequent class first, and which of several was the latest."""
        classes = sorted(self._snapshot.failed_by_class.items(), key=lambda entry: -entry[1])
        text = ", ".join(f"{count(number)} {word}" for word, number in classes)
        if len(classes) == 1:
            return text
        latest = f"; latest {self._latest}" if self._latest else ""
        return f"{count(self._snapshot.items.failed)}: {text}{latest}"

    def _in_flight(self, width: int, in_ascii: bool, most: int) -> list[Text]:
        items = self._snapshot.live.in_flight
        # What is in progress may still wait for its turn, and the list of what is moved has an end.
        live = self._snapshot.live
        number = max(len(items), min(self._snapshot.items.in_progress, live.concurrency))
        if not items or most < 1:
            return []
        shown = items[:most]
        rows = [_labelled("in flight", count(number) + (f", {len(shown)} shown" if number > len(shown) else ""))]
        for item in shown:
            text = _progress_of(item)
            name = ascii_only(item_name(item)) if in_ascii else item_name(item)
            name = _shortened(name, max(width - len(text) - 4, 8))
            rows.append(Text.assemble("  ", (text, "dim"), f"  {name}"))
        return rows


def _labelled(label: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "dim"), (text, style))


def _progress_of(item: InFlight) -> str:
    total = f"of {size(item.bytes_total)}" if item.bytes_total is not None else ""
    attempt = f"attempt {item.attempt}" if item.attempt > 1 else ""
    return f"{size(item.bytes_done):>10} {total:<13}{attempt:<10}"


def _shortened(text: str, width: int) -> str:
    """Begin and end of a name in so many cells; more of the end, which tells it from its neighbours."""
    if cell_len(text) <= width:
        return text
    end = width - width // 3 - 3
    return f"{set_cell_size(text, width // 3)}...{set_cell_size(text[::-1], end)[::-1]}"


def _encodable(line: str) -> str:
    """The line, escaped as keys are where stderr cannot hold it."""
    return line if is_utf8(sys.stderr) else ascii_only(line)


def make_view(mode: Mode) -> View:
    """A view on stderr. ``"auto"`` and ``"bar"`` are a live view on a terminal that can move its cursor, else plain lines;
    ``"auto"`` is a widget in a notebook's cell."""
    if mode == "none":
        return View()
    if mode == "auto" and "ipykernel" in sys.modules:
        from waybill.notebook import make_widget  # noqa: PLC0415

        if (widget := make_widget()) is not None:
            return widget
    if mode == "plain" or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return _PlainView()
    return _LiveView()
