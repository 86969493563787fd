# SPDX-License-Identifier: Apache-2.0
"""Progress for people, on stderr: a live view on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from types import TracebackType
from typing import Literal, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from waybill.records import Snapshot
from waybill.text import item_name, progress_line, size

__all__ = ["Mode", "View", "make_view"]

Mode = Literal["auto", "bar", "plain", "none"]

_PLAIN_SECONDS = 5.0
_IN_FLIGHT_LINES = 5


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

    def close(self) -> None:
        """Give the terminal back. May be called more than once."""


class _PlainView(View):
    """A line when the state changes, and every few seconds, for as long as they can be written."""

    def __init__(self) -> None:
        self._next = 0.0
        self._state = ""

    def update(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now >= self._next or snapshot.state != self._state:
            self._next, self._state = now + _PLAIN_SECONDS, snapshot.state
            with contextlib.suppress(OSError):
                print(progress_line(snapshot), file=sys.stderr, flush=True)


class _BarView(View):
    """A bar, the numbers, and what is in flight."""

    def __init__(self) -> None:
        self._live = Live(console=Console(file=sys.stderr, highlight=False), refresh_per_second=4, transient=True)
        self._live.start()

    def update(self, snapshot: Snapshot) -> None:
        if snapshot.progress is None:
            bar = ProgressBar(total=None, pulse=True)
        else:
            bar = ProgressBar(total=1.0, completed=snapshot.progress)
        rows = Table.grid(expand=True)
        rows.add_row(bar)
        rows.add_row(Text(progress_line(snapshot)))
        for item in snapshot.live.in_flight[:_IN_FLIGHT_LINES]:
            total = f" of {size(item.bytes_total)}" if item.bytes_total is not None else ""
            retry = f", attempt {item.attempt}" if item.attempt > 1 else ""
            text = f"  {item_name(item)}  {size(item.bytes_done)}{total}{retry}"
            rows.add_row(Text(text, style="dim", overflow="ellipsis", no_wrap=True))
        self._live.update(rows)

    def close(self) -> None:
        self._live.stop()


def make_view(mode: Mode) -> View:
    """A view on stderr. ``"auto"`` is a bar on a terminal, else plain lines."""
    if mode == "none":
        return View()
    if mode == "bar" or (mode == "auto" and sys.stderr.isatty()):
        return _BarView()
    return _PlainView()
