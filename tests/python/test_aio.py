# SPDX-License-Identifier: Apache-2.0
"""Runs under asyncio. The store of many of these tests is served by the very loop that the runs are awaited in, and holds
what it is asked for until a task of that loop lets it go: a loop that is blocked comes to no end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill import aio

pytestmark = pytest.mark.timeout(120)

TICK_SECONDS = 0.01


class Store:
    """A bucket of small objects; GET of an object waits at the gate."""

    def __init__(self, count: int = 3) -> None:
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()
        self.is_silent = False
        self.keys = [f"key-{number}" for number in range(count)]
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}

    async def __aenter__(self) -> Store:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.gate.set()
        self._server.close()
        for writer in self._connections:
            writer.close()
        await asyncio.gather(*self._connections.values())

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"s3://bucket/?endpoint=http://127.0.0.1:{port}&region=us-east-1&anonymous=true"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[writer] = task
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1].decode()
                self.asked.set()
                if "list-type=2" in target:
                    if self.is_silent:
                        await self.gate.wait()
                    status, kind, body = "200 OK", "application/xml", self._listing()
                else:
                    await self.gate.wait()
                    status, kind, body = "200 OK", "binary/octet-stream", b"content"
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                    'ETag: "9a0364b9e99bb480dd25e1f0284c8555"\r\n'
                    "Last-Modified: Fri, 20 Nov 2026 12:00:00 GMT\r\n\r\n".encode()
                    + (b"" if head.startswith(b"HEAD") else body)
                )
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def _listing(self) -> bytes:
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>2026-11-20T12:00:00.000Z</LastModified>"
            '<ETag>"9a0364b9e99bb480dd25e1f0284c8555"</ETag><Size>7</Size></Contents>'
            for key in self.keys
        )
        return (
            '<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys>'
            f"<KeyCount>{len(self.keys)}</KeyCount><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        ).encode()


@contextlib.asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """Times of a task that runs every 10 ms."""
    times = [time.monotonic()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            times.append(time.monotonic())

    task = asyncio.create_task(tick())
    yield times
    task.cancel()


async def ticks(times: list[float], count: int) -> None:
    wanted = len(times) + count
    while len(times) < wanted:
        await asyncio.sleep(TICK_SECONDS)


def run_async(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_run_plan_and_verify(tree: Path, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]) -> None:
    async def work() -> None:
        migration = waybill.Migration(tree, tmp_path / "to", tmp_path / "ledger.db")
        plan = await aio.plan(migration)
        assert (plan.items, plan.to_create) == (12, 12)
        report = await aio.run(migration)
        assert (report.state, report.snapshot.items.created) == ("completed", 12)
        (tmp_path / "to" / "folder 1" / "file-04.txt").unlink()
        verified = await aio.verify(migration, "listing")
        assert (verified.state, verified.snapshot.phase) == ("completed_with_differences", "verify")
        assert [finding.kind for finding in migration.findings()] == ["missing"]

    run_async(work)
    assert len(contents(tmp_path / "to")) == 11


def test_the_loop_goes_on_while_runs_are_live(tmp_path: Path) -> None:
    """Three runs wait for a store that answers only after a task of the loop has ticked fifty times more."""

    async def work() -> None:
        async with Store() as store, ticking() as times:
            migrations = [
                waybill.Migration(store.url, tmp_path / f"to-{number}", tmp_path / f"{number}.db")
                for number in range(3)
            ]
            runs = [asyncio.create_task(aio.run(migration)) for migration in migrations]
            await store.asked.wait()
            begin = len(times)
            await ticks(times, 50)
            assert not any(run.done() for run in runs)
            store.gate.set()
            reports = await asyncio.gather(*runs)
            assert [report.snapshot.items.created for report in reports] == [3, 3, 3]
            # A wait in slices of 100 ms, as the calls that block have it, would show in every other one.
            gaps = [later - earlier for earlier, later in zip(times[begin:], times[begin + 1 :], strict=False)]
            assert statistics.median(gaps) < 0.08

    run_async(work)


def test_starting_does_not_block_the_loop(tree: Path, tmp_path: Path) -> None:
    async def work() -> None:
        async with Store() as store, ticking() as times:
            store.is_silent = True
            started = asyncio.create_task(starting(waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db")))
            await store.asked.wait()
            await ticks(times, 20)
            assert not started.done()
            store.gate.set()
            run = await started
            assert (await run).state == "completed"

    async def starting(migration: waybill.Migration) -> aio.Run:
        return await aio.start(migration)

    run_async(work)


def test_cancelling_a_start_gives_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with Store() as store, ticking() as times:
            store.is_silent = True
            migration = waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db")
            task = asyncio.create_task(aio.run(migration))
            await store.asked.wait()
            begin = len(times)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(times) > begin

    run_async(work)


def test_a_second_run_is_refused_and_errors_are_raised(tree: Path, tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(waybill.NotFoundError):
            await aio.run(waybill.Migration(tmp_path / "not there", tmp_path / "to", tmp_path / "l.db"))
        async with Store() as store:
            first = await aio.start(waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db"))
            with pytest.raises(waybill.LockedError):
                await aio.start(waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db"))
            store.gate.set()
            assert (await first).state == "completed"

    run_async(work)


def test_cancelling_drains_and_the_next_run_carries_on(tmp_path: Path) -> None:
    """The transfers in flight end within the drain, which only the loop can let them."""

    async def work() -> None:
        async with Store() as store, ticking() as times:
            options = waybill.Options(concurrency=1, drain_ms=60_000)
            migration = waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db", options=options)
            task = asyncio.create_task(aio.run(migration))
            await in_flight(tmp_path / "l.db")
            task.cancel()
            await ticks(times, 20)
            assert not task.done()
            store.gate.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            (stopped,) = migration.runs()
            assert (stopped.run, stopped.state) == (1, "interrupted")
            copied = len(list(migration.items(state="copied")))
            assert 1 <= copied < 3
            report = await aio.run(migration)
            assert (report.run, report.state, report.snapshot.items.done) == (1, "completed", 3)

    run_async(work)


async def in_flight(ledger: Path) -> None:
    """Until something is being moved."""
    while True:
        with contextlib.suppress(waybill.NotFoundError), waybill.Tracker(ledger) as tracker:
            if tracker.migration() is not None and tracker.snapshot().listing_complete:
                return
        await asyncio.sleep(TICK_SECONDS)


def test_timeouts_interrupt(tmp_path: Path) -> None:
    async def work() -> None:
        async with Store() as store:
            options = waybill.Options(drain_ms=0)
            migration = waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db", options=options)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await aio.run(migration)
            with waybill.Tracker(tmp_path / "l.db") as tracker:
                assert tracker.snapshot().state == "interrupted"
            run = await aio.start(migration)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run, 0.2)
            assert run.report is not None
            assert run.report.state == "interrupted"
            run = await aio.start(migration)
            assert await run.wait(0.05) is None
            assert run.report is None
            store.gate.set()
            assert (await run).state == "completed"

    run_async(work)


def test_a_second_cancel_returns_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with Store() as store, ticking() as times:
            options = waybill.Options(drain_ms=60_000)
            migration = waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db", options=options)
            run = await aio.start(migration)
            await in_flight(tmp_path / "l.db")
            task = asyncio.ensure_future(run)
            for _ in range(2):
                await ticks(times, 3)
                assert not task.done()
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert run.report is None
            store.gate.set()
            assert (await run).state == "interrupted"

    run_async(work)


def test_an_exception_in_the_block_interrupts(tmp_path: Path) -> None:
    async def work() -> None:
        async with Store() as store:
            options = waybill.Options(drain_ms=0)
            migration = waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db", options=options)
            with pytest.raises(LookupError):
                async with aio.start(migration) as run:
                    assert "live" in repr(run)
                    raise LookupError
            assert run.report is not None
            assert run.report.state == "interrupted"
            store.gate.set()
            async with aio.start(migration) as again:
                pass
            assert again.report is not None
            assert (again.id, again.report.state) == (run.id, "completed")
            assert (await again) is (await again.result()) is again.report

    run_async(work)


def test_events_and_progress_are_iterated_over(tmp_path: Path) -> None:
    async def work() -> None:
        async with Store() as store:
            migration = waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db")
            async with aio.start(migration) as run:
                assert (await run.snapshot()).run == run.id
                follower = asyncio.create_task(collect(run.events()))
                snapshots = []
                async for snapshot in run.progress(0.02):
                    snapshots.append(snapshot)
                    if len(snapshots) == 3:
                        assert not follower.done()
                        store.gate.set()
                events = await follower
            assert run.report is not None
            assert snapshots[-1] == run.report.snapshot
            done = [snapshot.items.done for snapshot in snapshots]
            assert done == sorted(done)
            assert (done[0], done[-1]) == (0, 3)
            assert events == list(migration.events())
            assert "ended: completed" in events[-1].text or any("ended: completed" in event.text for event in events)
            assert await collect(run.events(events[0].seq, follow=False)) == events[1:]

    async def collect(events: AsyncIterator[waybill.Event]) -> list[waybill.Event]:
        return [event async for event in events]

    run_async(work)


def test_progress_is_told_to_functions_of_both_kinds(tree: Path, tmp_path: Path) -> None:
    async def work() -> None:
        seen: list[waybill.Snapshot] = []

        async def look(snapshot: waybill.Snapshot) -> None:
            await asyncio.sleep(0)
            seen.append(snapshot)

        report = await aio.run(waybill.Migration(tree, tmp_path / "1", tmp_path / "1.db"), progress=look)
        assert seen[-1] == report.snapshot
        seen.clear()
        report = await aio.run(waybill.Migration(tree, tmp_path / "2", tmp_path / "2.db"), progress=seen.append)
        assert seen[-1] == report.snapshot

    run_async(work)


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_an_exception_of_the_callback_fails_the_run_and_is_raised(tmp_path: Path, is_coroutine: bool) -> None:
    async def work() -> None:
        async with Store() as store:
            options = waybill.Options(drain_ms=0)
            migration = waybill.Migration(store.url, tmp_path / "to", tmp_path / "l.db", options=options)
            with pytest.raises(LookupError, match="own"):
                await aio.run(migration, progress=slow if is_coroutine else fail)
            with waybill.Tracker(tmp_path / "l.db") as tracker:
                snapshot = tracker.snapshot()
            assert (snapshot.state, snapshot.reason) == ("failed", "callback: LookupError: the callback's own")

    def fail(snapshot: waybill.Snapshot) -> None:
        raise LookupError("the callback's own")

    async def slow(snapshot: waybill.Snapshot) -> None:
        await asyncio.sleep(0.01)
        fail(snapshot)

    run_async(work)


def test_progress_true_shows_lines(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_async(lambda: show(waybill.Migration(tree, tmp_path / "to", tmp_path / "l.db")))
    assert capsys.readouterr().err.splitlines()[-1].startswith("copy completed, 12 of 12 items (100.0 %)")


async def show(migration: waybill.Migration) -> None:
    await aio.run(migration, progress=True)


def test_ctrl_c_under_asyncio_run(large_tree: Path, tmp_path: Path) -> None:
    script = """
    import asyncio, os, signal, sys, time, waybill
    from waybill import aio
    signal.signal(signal.SIGINT, signal.default_int_handler)

    async def main():
        migration = waybill.Migration(*sys.argv[1:4], options=waybill.Options(concurrency=1))
        async with aio.start(migration) as run:
            async for snapshot in run.progress(0.02):
                if snapshot.items.done:
                    os.kill(os.getpid(), signal.SIGINT)

    begin = time.monotonic()
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        with waybill.Tracker(sys.argv[3]) as tracker:
            print(tracker.snapshot().state)
    """
    words = [sys.executable, "-c", textwrap.dedent(script), large_tree, tmp_path / "to", tmp_path / "l.db"]
    result = subprocess.run(words, capture_output=True, timeout=60, check=False, encoding="utf-8")
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr
    assert result.returncode != -signal.SIGINT
