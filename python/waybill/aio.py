# SPDX-License-Identifier: Apache-2.0
"""Runs under asyncio: the twins of `Migration`'s calls that wait.

>>> async def main():
...     migration = waybill.Migration("/data/photos", "s3://photos/2026", "photos.db")
...     async with waybill.aio.start(migration) as run:
...         async for snapshot in run.progress():
...             print(snapshot.items.done)
...     report = await run

The loop is never blocked: the engine has its own threads, what they have come to is looked at every 20 ms (so late an
end is seen at the most), and what reads the ledger does so on a thread of asyncio's pool. Any number of runs may be live
in one loop, each of a migration of its own. Docs: docs/python.md.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from waybill import _core
from waybill.cutover import CutoverPlan
from waybill.errors import Error
from waybill.migration import _DAY_MS, Migration
from waybill.options import VerifyLevel
from waybill.plans import Plan, make_plan
from waybill.records import Event, Report, Snapshot
from waybill.run import Run as WaitedRun

__all__ = [
    "Progress",
    "Run",
    "Starting",
    "cutover",
    "plan",
    "rollback",
    "run",
    "start",
    "start_cutover",
    "start_rollback",
    "start_verify",
    "verify",
]

Progress = bool | Callable[[Snapshot], object | Awaitable[object]] | None

_POLL_SECONDS = 0.02
_PROGRESS_SECONDS = 0.5
_GIVE_UP_SECONDS = 2.0
_EVENTS_AT_ONCE = 1000


def start(migration: Migration) -> Starting:
    """Begin a copy, or carry on with the one that did not end; see `Migration.start`.

    ``run = await start(migration)``, or ``async with start(migration) as run:``. Cancelled before there is a run, it
    gives up; what a store had been asked by then ends in the background.
    """
    return Starting(lambda: migration._core.start(migration._options))


def start_verify(migration: Migration, level: VerifyLevel = "checksum") -> Starting:
    """Begin a verify run; see `Migration.start_verify`. To be used as `start`."""
    return Starting(lambda: migration._core.start_verify(level, migration._options))


def start_cutover(
    migration: Migration,
    plan: CutoverPlan | str,
    *,
    canary: int = 0,
    max_plan_age_ms: int = _DAY_MS,
    accept_window: bool = False,
) -> Starting:
    """Begin to switch what a plan says; see `Migration.start_cutover`. To be used as `start`."""
    return Starting(lambda: migration._cutover_job(plan, canary, max_plan_age_ms, accept_window))


def start_rollback(
    migration: Migration,
    *,
    partitions: Iterable[str] = (),
    run: int = 0,
    records: Iterable[str] = (),
    accept_window: bool = False,
) -> Starting:
    """Begin to set references back; see `Migration.start_rollback`. To be used as `start`."""
    return Starting(lambda: migration._rollback_job(partitions, run, records, accept_window))


async def run(migration: Migration, progress: Progress = None) -> Report:
    """`start`, and wait for the end.

    Cancelling it interrupts the run, waits until it has drained (`Options.drain_ms`) and goes on as CancelledError, so
    that running again carries on; under `asyncio.timeout`, as TimeoutError. Cancelled once more while it drains, it
    returns at once, and the run ends in the background.

    Parameters
    ----------
    progress : bool or callable, optional
        True shows progress on stderr, or in a notebook's cell. A function or coroutine function is given a `Snapshot`
        about twice a second and once at the end; a function is called in the loop and must not block it. However slow
        it is, it slows no transfer. If it raises, the run ends ``"failed"``, and the exception goes on to the caller.

    Raises
    ------
    Error
        As `Migration.start`. An item that fails raises nothing: see `Report.exit_code` and `Migration.failures`.
    """
    return await _follow(start(migration), progress)


async def verify(migration: Migration, level: VerifyLevel = "checksum", progress: Progress = None) -> Report:
    """`start_verify`, and wait for the end, as `run` does. `Migration.findings` lists the differences."""
    return await _follow(start_verify(migration, level), progress)


async def cutover(
    migration: Migration,
    plan: CutoverPlan | str,
    progress: Progress = None,
    *,
    canary: int = 0,
    max_plan_age_ms: int = _DAY_MS,
    accept_window: bool = False,
) -> Report:
    """`start_cutover`, and wait for the end, as `run` does."""
    asked = {"canary": canary, "max_plan_age_ms": max_plan_age_ms}
    return await _follow(start_cutover(migration, plan, accept_window=accept_window, **asked), progress)


async def rollback(
    migration: Migration,
    progress: Progress = None,
    *,
    partitions: Iterable[str] = (),
    run: int = 0,
    records: Iterable[str] = (),
    accept_window: bool = False,
) -> Report:
    """`start_rollback`, and wait for the end, as `run` does."""
    starting = start_rollback(migration, partitions=partitions, run=run, records=records, accept_window=accept_window)
    return await _follow(starting, progress)


async def plan(migration: Migration) -> Plan:
    """What a copy would do; see `Migration.plan`. Cancelled, it gives up, and the listing ends in the background."""
    job = migration._core.plan(migration._options)
    while not job.wait(0):
        await asyncio.sleep(_POLL_SECONDS)
    return make_plan(job.take())


class Starting:
    """What `start` gives: to be awaited for a `Run`, or entered by ``async with``; once."""

    def __init__(self, begin: Callable[[], _core.StartJob]) -> None:
        self._coroutine = _started(begin)
        self._run: Run | None = None

    def __await__(self) -> Generator[Any, None, Run]:
        return self._coroutine.__await__()

    async def __aenter__(self) -> Run:
        self._run = await self
        return self._run

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is not None:
            await self._run.__aexit__(kind, error, trace)


class Run:
    """A run, live or ended. Made by `start` and `start_verify`.

    Awaiting it waits for its end and gives its `Report`, as often as wanted. Under ``async with`` it is waited for at
    the end of the block; an exception that leaves the block, a cancellation among them, interrupts it first, so that
    the next start carries it on. To be used in one loop.
    """

    def __init__(self, run: WaitedRun) -> None:
        self._run = run

    def __await__(self) -> Generator[Any, None, Report]:
        return self.result().__await__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.result()
        else:
            self.interrupt()
            await self._ended()

    def __repr__(self) -> str:
        return f"<waybill.aio.Run {self.id}, {self.report.state if self.report else 'live'}>"

    def _repr_html_(self) -> str:
        return self._run._repr_html_()

    @property
    def id(self) -> int:
        """The number of the run in its ledger, from 1."""
        return self._run.id

    @property
    def report(self) -> Report | None:
        """How the run ended, or None while it is live."""
        return self._run.report

    async def snapshot(self) -> Snapshot:
        """The accounts now, read from the ledger."""
        return await asyncio.to_thread(lambda: self._run.snapshot)

    def cancel(self) -> None:
        """Stop: transfers in flight may end within `Options.drain_ms`, then are aborted. Returns at once."""
        self._run.cancel()

    def pause(self) -> None:
        """As `cancel`, but the run can be carried on with `Options.resume_paused`."""
        self._run.pause()

    def interrupt(self) -> None:
        """As `cancel`, but the next start carries the run on. What cancelling a task that awaits the run does."""
        self._run.interrupt()

    async def wait(self, timeout: float | None = None) -> Report | None:
        """Wait for the end.

        Cancelling interrupts the run, waits until it has drained and goes on; who only looks on awaits
        ``asyncio.shield(run.wait())``.

        Parameters
        ----------
        timeout : float, optional
            Seconds; None waits without end.

        Returns
        -------
        Report or None
            None if the run has not ended in time.
        """
        try:
            return await self._ended(timeout)
        except asyncio.CancelledError:
            self.interrupt()
            await self._ended()
            raise

    async def result(self) -> Report:
        """`wait` without a timeout."""
        report = await self.wait()
        assert report is not None
        return report

    async def events(self, after: int = 0, *, follow: bool = True) -> AsyncIterator[Event]:
        """Events of this run with a seq above `after`, in order.

        Cancelling is raised to the caller and does not touch the run by itself.

        Parameters
        ----------
        after : int
            Where to go on.
        follow : bool
            Wait for more until the run ends; False ends with those that are there.
        """
        while True:
            is_over = self.report is not None or not follow
            while page := await asyncio.to_thread(self._run._core.events, after, _EVENTS_AT_ONCE):
                after = page[-1]["seq"]
                for fields in page:
                    if fields["run"] == self.id:
                        yield Event(**fields)
            if is_over:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def progress(self, seconds: float = _PROGRESS_SECONDS) -> AsyncIterator[Snapshot]:
        """Snapshots about every `seconds`, and a last one when the run has ended. Cancelling: as `events`."""
        while (report := await self._ended(seconds)) is None:
            yield await self.snapshot()
        yield report.snapshot

    async def _ended(self, timeout: float | None = None) -> Report | None:
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        while self.report is None:
            left = _POLL_SECONDS if end is None else min(_POLL_SECONDS, end - loop.time())
            if left <= 0:
                return None
            await asyncio.sleep(left)
        return self.report

    async def _fail(self, why: str) -> None:
        self._run._core.fail(why)
        await self._ended()


async def _started(begin: Callable[[], _core.StartJob]) -> Run:
    job = begin()
    try:
        while not job.wait(0):
            await asyncio.sleep(_POLL_SECONDS)
    except asyncio.CancelledError:
        await _give_up(job)
        raise
    return Run(WaitedRun(job.take()))


async def _give_up(job: _core.StartJob) -> None:
    """Let go of a run that was being started. Where it comes soon, it is ended here, so that the ledger is free."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _GIVE_UP_SECONDS
    while not job.wait(0):
        if loop.time() >= end:
            return
        await asyncio.sleep(_POLL_SECONDS)
    with suppress(Error):
        run = Run(WaitedRun(job.take()))
        run.interrupt()
        await run._ended()


class _View(Protocol):
    def update(self, snapshot: Snapshot) -> None: ...


async def _follow(starting: Starting, progress: Progress) -> Report:
    async with starting as run:
        if progress is True:
            from waybill.live import make_view  # noqa: PLC0415 (rich is loaded only where it is shown)

            with make_view("auto") as view:
                await _show(run, view)
        elif progress is not None and progress is not False:
            async for snapshot in run.progress():
                await _tell(run, progress, snapshot)
        return await run


async def _show(run: Run, view: _View) -> None:
    try:
        async for snapshot in run.progress():
            view.update(snapshot)
    except asyncio.CancelledError:
        run.interrupt()
        if (report := await run._ended()) is not None:
            view.update(report.snapshot)
        raise


async def _tell(run: Run, progress: Callable[[Snapshot], object], snapshot: Snapshot) -> None:
    try:
        answer = progress(snapshot)
        if inspect.isawaitable(answer):
            await answer
    except Exception as error:
        await run._fail(f"{type(error).__name__}: {error}")
        raise
