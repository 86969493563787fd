# SPDX-License-Identifier: Apache-2.0
"""Runs: live ones, how they are waited for, and how they end with the interpreter.

No thread of the engine ever calls Python: everything here asks. Calls wait in slices of 100 ms with the GIL released,
so that Ctrl-C is seen in between. No signal handler of the host is touched.
"""

from __future__ import annotations

import atexit
import os
import time
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from waybill import _core
from waybill.records import Event, Report, Snapshot, make_report, make_snapshot
from waybill.tracker import own_ledgers

__all__ = ["SLICE_MS", "Progress", "Run", "followed", "started"]

Progress = bool | Callable[[Snapshot], object] | None

SLICE_MS = 100
_PROGRESS_SECONDS = 0.5
_EVENTS_AT_ONCE = 1000
_EXIT_SECONDS = 10.0

# Runs that have not been seen to end. They are kept here, so that dropping a Run never blocks in a destructor, and
# ended in an orderly way when the interpreter exits.
_live: set[_core.Run | _core.TrackedRun] = set()


class Run:
    """A run, live or ended. Made by `Migration.start` and `Migration.start_verify`.

    As a context manager it is waited for at the end of the block; an exception that leaves the block interrupts it
    first, so that the next start carries it on. Every method may be called from any thread.
    """

    def __init__(self, core: _core.Run | _core.TrackedRun) -> None:
        self._core = core
        self._report: Report | None = None
        self._is_interrupted = False
        _live.add(core)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.interrupt()
        self.wait()

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or core not in _live:
            return
        warnings.warn(f"{self!r} was dropped while it was live; it is interrupted", ResourceWarning, stacklevel=2)
        core.interrupt()

    def __repr__(self) -> str:
        return f"<waybill.Run {self._core.id}, {self._report.state if self._report else 'live'}>"

    def _repr_html_(self) -> str:
        from waybill.notebook import run_html  # noqa: PLC0415 (only where it is shown)

        return run_html(self)

    @property
    def id(self) -> int:
        """The number of the run in its ledger, from 1."""
        return self._core.id

    @property
    def snapshot(self) -> Snapshot:
        """The accounts now, read from the ledger in under 10 ms."""
        return make_snapshot(self._core.snapshot())

    @property
    def report(self) -> Report | None:
        """How the run ended, or None while it is live."""
        if self._report is None:
            self._poll(0)
        return self._report

    def cancel(self) -> None:
        """Stop: transfers in flight may end within `Options.drain_ms`, then are aborted. Returns at once."""
        self._core.cancel()

    def pause(self) -> None:
        """As `cancel`, but the run can be carried on with `Options.resume_paused`."""
        self._core.pause()

    def interrupt(self) -> None:
        """As `cancel`, but the next start carries the run on. What Ctrl-C does."""
        self._is_interrupted = True
        self._core.interrupt()

    def wait(self, timeout: float | None = None) -> Report | None:
        """Wait for the end.

        Ctrl-C interrupts the run, waits until it has drained (`Options.drain_ms`) and is raised again; a second one is
        raised at once and leaves the run to end in the background.

        Parameters
        ----------
        timeout : float, optional
            Seconds; None waits without end.

        Returns
        -------
        Report or None
            None if the run has not ended in time.
        """
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while self._report is None:
                left = SLICE_MS if end is None else max(0, min(SLICE_MS, int((end - time.monotonic()) * 1000) + 1))
                self._poll(left)
                if self._report is None and end is not None and time.monotonic() >= end:
                    return None
        except KeyboardInterrupt:
            self.interrupt()
            self._drain()
            raise
        return self._report

    def result(self) -> Report:
        """`wait` without a timeout."""
        report = self.wait()
        assert report is not None
        return report

    def events(self, after: int = 0, *, follow: bool = True) -> Iterator[Event]:
        """Events of this run with a seq above `after`, in order.

        Ctrl-C while waiting is raised to the caller and does not touch the run by itself.

        Parameters
        ----------
        after : int
            Where to go on.
        follow : bool
            Wait for more until the run ends; False ends with those that are there.
        """
        while True:
            is_over = self.report is not None or not follow
            while batch := self._core.events(after, _EVENTS_AT_ONCE):
                for fields in batch:
                    after = fields["seq"]
                    if fields["run"] == self.id:
                        yield Event(**fields)
            if is_over:
                return
            self._poll(SLICE_MS)

    def _drain(self) -> None:
        while self._report is None:
            self._poll(SLICE_MS)

    def _poll(self, timeout_ms: int) -> None:
        fields = self._core.wait(timeout_ms)
        if fields is not None:
            self._report = make_report(fields)
            _live.discard(self._core)

    def _follow(self, progress: Callable[[Snapshot], object] | None) -> Report:
        """Wait for the end and tell `progress`."""
        try:
            if progress is None:
                return self.result()
            while (report := self.wait(_PROGRESS_SECONDS)) is None:
                self._tell(progress, self.snapshot)
        except KeyboardInterrupt:
            # It may have come between two waits, which would leave the run live.
            if not self._is_interrupted:
                self.interrupt()
                self._drain()
            raise
        self._tell(progress, report.snapshot)
        return report

    def _tell(self, progress: Callable[[Snapshot], object], snapshot: Snapshot) -> None:
        try:
            progress(snapshot)
        except BaseException as error:
            if isinstance(error, Exception):
                self._core.fail(f"{type(error).__name__}: {error}")
            else:
                self.interrupt()
            self.wait()
            raise


def started(job: _core.StartJob) -> Run:
    """The run that `job` begins, once it has begun."""
    try:
        while not job.wait(SLICE_MS):
            pass
        return Run(job.take())
    except BaseException:
        # A notebook keeps this frame with the exception; a job that it kept would keep the run that it begins.
        del job
        raise


def followed(start: Callable[[], Run], progress: Progress) -> Report:
    """How the run that `start` begins has ended; `progress` as `Migration.run` says."""
    if not isinstance(progress, bool):
        return start()._follow(progress)
    if not progress:
        return start()._follow(None)
    from waybill.live import make_view  # noqa: PLC0415 (rich is loaded only where it is shown)

    # Before there is a run, so that Ctrl-C meanwhile leaves none behind.
    with make_view("auto") as view:
        run = start()
        try:
            return run._follow(view.update)
        except KeyboardInterrupt:
            if run._report is not None:
                view.update(run._report.snapshot)
            raise


def _end_live_runs() -> None:
    for core in _live:
        core.interrupt()
    end = time.monotonic() + _EXIT_SECONDS
    if own_ledgers:
        for core in _live:
            while core.wait(SLICE_MS) is None and time.monotonic() < end:
                pass
    _core.close_calls()  # what a run cannot do any more stays pending
    for core in _live:
        while core.wait(SLICE_MS) is None:
            if time.monotonic() >= end:
                core.abandon()
                break
    _live.clear()


atexit.register(_end_live_runs)
# The child of a fork has none of the engine's threads: there is nothing to end in it.
os.register_at_fork(after_in_child=_live.clear)
