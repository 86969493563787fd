# SPDX-License-Identifier: Apache-2.0
"""`track`: any loop as a run, with the ledger, progress, resume, cancel, log and results of the engine.

No thread of the engine ever calls Python. What may have to wait for the ledger waits in slices with the GIL released,
so that Ctrl-C is seen in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextvars import ContextVar
from itertools import islice
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from waybill import _core
from waybill.errors import CancelledError, FailedPreconditionError, InternalError, InvalidArgumentError
from waybill.failures import failure_fields
from waybill.options import Options
from waybill.records import Event, Report, Snapshot
from waybill.run import Progress, Run
from waybill.stores import PathOrUrl
from waybill.tracker import Tracker, engine_ledger

__all__ = ["TrackedItem", "TrackedRun", "track"]

Thing = TypeVar("Thing")
Key = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Revision = str | bytes | int | float | None
_Entry = tuple[bytes, bytes, bytes, int | None]

_SLICE_MS = 100
_PROGRESS_SECONDS = 0.5
# Items of an iterator that are read ahead of the one in work, as long as they come this quickly.
_AHEAD = 256
_AHEAD_SECONDS = 0.01
_DECLARED_AT_ONCE = 1000
_INTERRUPTED = "interrupted by a signal or by its host"

# The items in work in this thread or task, of all runs; the innermost is the last.
_in_work: ContextVar[tuple[TrackedItem, ...]] = ContextVar("waybill_items_in_work", default=())


def track(
    name: str,
    *,
    total: int | None = None,
    tracker: PathOrUrl | Tracker = "waybill.db",
    options: Options | None = None,
    progress: Progress = None,
) -> TrackedRun:
    """Make a loop of your own a run: ``with track(…) as run: for thing in run.items(things): …``.

    Each item that the loop came through is on disk within a tenth of a second. A program that dies, is stopped or raises
    is started again and goes on with the items that are not done. Any process can look at the run and stop it
    (``waybill watch``, ``waybill cancel``). Docs: docs/track.md.

    Parameters
    ----------
    name : str
        What the work is called. A ledger belongs to one work.
    total : int, optional
        How many items there will be, where `TrackedRun.items` is given iterators without a length. It is shown beside
        what has come, and is in no ratio; the log says where it was wrong.
    tracker : str, path or Tracker
        The ledger, made where there is none; or one that is open and may write, also of your own.
    options : Options, optional
        Those of the ledger and its lease: `Options.take_over`, `Options.resume_paused`, `Options.commit_interval_ms`, …
    progress : bool or callable, optional
        True shows progress on stderr. A callable is given a `Snapshot` about twice a second, and once at the end, in a
        thread of its own; if it raises, the run ends ``"failed"`` and the exception is raised at the end of the block.

    Returns
    -------
    TrackedRun
        A context manager. At the end of the block the run has ended: ``completed``, or
        ``completed_with_differences`` where items failed; where an exception leaves the block, ``failed``, and the item
        in work has failed with it; after Ctrl-C, ``interrupted``; and the exception goes on.

    Raises
    ------
    InvalidArgumentError
        No name, an option that means nothing here. At the beginning of the block, as the next:
    FailedPreconditionError
        The ledger belongs to other work, or to a migration.
    LockedError
        Another process does the work right now (it is named), or it is paused (see `Options.resume_paused`).

    Examples
    --------
    >>> with waybill.track("convert", tracker="convert.db", progress=True) as run:
    ...     for path in run.items(Path("in").glob("*.csv"), revision=lambda path: path.stat().st_mtime_ns):
    ...         run.result(rows=convert(path))
    """
    if not isinstance(name, str) or not name:
        raise _wrong(f"name: tracked work needs a name, not {name!r}")
    if total is not None and (not isinstance(total, int) or isinstance(total, bool) or total < 0):
        raise _wrong(f"total: {total!r} is no number of items")
    return TrackedRun(name, total, tracker, options or Options(), progress)


class TrackedItem:
    """An item in work. Made by `TrackedRun.item`; a context manager."""

    __slots__ = ("_entry", "_failure", "_reason", "_result", "_run", "_ticket")

    def __init__(self, run: TrackedRun, entry: _Entry) -> None:
        self._run = run
        self._entry = entry
        self._ticket = 0
        self._failure: dict[str, Any] | None = None
        self._reason: str | None = None
        self._result: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        self._ticket = self._run._claim([self._entry], False)[0]
        if self._ticket:
            self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ticket:
            return
        if error is None:
            self._end()
        elif isinstance(error, Exception) and not isinstance(error, CancelledError):
            self.fail(error)
            self._end()
        else:
            self._forget()
            self._run._native.let_go(self._ticket)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to do: an earlier run, or this one before it was interrupted, has done it."""
        return not self._ticket

    def fail(self, error: BaseException | str) -> None:
        """Record the item as failed when its block ends; the next run tries it again. An exception that leaves the block
        does the same."""
        self._failure = _failure_of(error)

    def skip(self, reason: str) -> None:
        """Leave the item out when its block ends: excluded, with the reason. The next run asks again."""
        self._reason = reason

    def result(self, **values: Any) -> None:
        """Keep values with the item once it is done: what JSON can hold, 65,535 bytes in all. See `Tracker.results`."""
        result = (self._result or {}) | values
        try:
            json.dumps(result, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise _wrong(f"result: {error}") from None
        self._result = result

    def _begin(self) -> None:
        self._run._native.begin(self._ticket)
        _in_work.set((*_in_work.get(), self))

    def _forget(self) -> None:
        _in_work.set(tuple(item for item in _in_work.get() if item is not self))

    def _end(self) -> None:
        self._forget()
        core, ticket = self._run._native, self._ticket
        if self._failure is not None:
            while not core.failed(ticket, self._failure, _SLICE_MS):
                pass
        elif self._reason is not None:
            reason = _bytes(self._reason)
            while not core.excluded(ticket, reason, _SLICE_MS):
                pass
        else:
            result = "" if self._result is None else json.dumps(self._result)
            while not core.done(ticket, result, _SLICE_MS):
                pass


class TrackedRun:
    """A run of tracked work. Made by `track`; a context manager, whose block is the run.

    Every method may be called from any thread; items may be in work in many threads and tasks at once (`item`).
    """

    def __init__(
        self, name: str, total: int | None, tracker: PathOrUrl | Tracker, options: Options, progress: Progress
    ) -> None:
        self._name = name
        self._total = total
        self._tracker = engine_ledger(tracker)
        self._options = options
        self._progress = progress
        self._started: tuple[_core.TrackedRun, Run] | None = None
        self._loops = 0  # that have not come to their end
        self._in_loops: dict[int, TrackedItem] = {}  # what they have in work
        self._lock = threading.Lock()
        self._shower: _Shower | None = None

    def __enter__(self) -> Self:
        if self._started is not None:
            raise _not_now(f"the run of {self._name!r} was begun already; call waybill.track again")
        job = _core.track(_bytes(self._name), self._tracker, self._options._to_core(), self._total)
        try:
            while not job.wait(_SLICE_MS):
                pass
            core = job.take()
            self._started = (core, Run(core))
        except BaseException:
            # A notebook keeps this frame with the exception; a job that it kept would keep the run that it begins.
            del job
            raise
        if self._progress:
            self._shower = _Shower(self._run, self._progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._finish(error)
            report = self._run.result()
        except KeyboardInterrupt:
            self._native.leave(_INTERRUPTED)
            self._run.result()
            raise
        finally:
            if self._shower is not None:
                self._shower.close(self._run)
        if self._shower is not None and self._shower.error is not None:
            raise self._shower.error
        if error is None and report.state == "failed":
            self._claim([], False)  # raises what it failed with
            raise InternalError(report.message, code="internal", error_class="internal")

    def __repr__(self) -> str:
        return (
            f"<waybill.TrackedRun {self._name!r}>"
            if self._started is None
            else f"<waybill.TrackedRun {self._name!r}, {self._run!r}>"
        )

    @property
    def _native(self) -> _core.TrackedRun:
        return self._both[0]

    @property
    def _run(self) -> Run:
        return self._both[1]

    @property
    def _both(self) -> tuple[_core.TrackedRun, Run]:
        if self._started is None:
            raise _not_now("the run has not begun; use it as: with waybill.track(…) as run")
        return self._started

    @property
    def id(self) -> int:
        """The number of the run in its ledger, from 1. It stays the same while the run is carried on."""
        return self._native.id

    @property
    def snapshot(self) -> Snapshot:
        """The accounts now, read from the ledger in under 10 ms."""
        return self._run.snapshot

    @property
    def report(self) -> Report | None:
        """How the run ended, or None while it is live."""
        return self._run.report

    def events(self, after: int = 0, *, follow: bool = False) -> Iterator[Event]:
        """Events of this run, as `Run.events`."""
        return self._run.events(after, follow=follow)

    def items(
        self,
        objects: Iterable[Thing],
        *,
        key: Callable[[Thing], Key] | None = None,
        revision: Callable[[Thing], Revision] | None = None,
        size: Callable[[Thing], int | None] | None = None,
        partition: str | Callable[[Thing], str] = "",
    ) -> Iterator[Thing]:
        """Go through objects, those left out that are done. An item is done when the loop comes back for the next one.

        A collection with a length is gone through twice: it is written down as a whole before its first item is worked
        on, so that totals and progress are known. An iterator is read ahead by up to 256 items, as long as they come quickly.

        Parameters
        ----------
        objects : iterable
            What is to be done. The same ones are to be given when the program is started again.
        key : callable, optional
            Names the item, across runs: str, bytes or path, unlike those of all other items. By default the object
            itself, if it is one of these.
        revision : callable, optional
            What differs where a done item is to be done anew: a time of change, a checksum, a version. At most 255
            bytes. By default an item that is done stays done.
        size : callable, optional
            Bytes of the item, or None; for progress and rates.
        partition : str or callable
            Groups items in reports. Keys are compared within their partition.

        Raises
        ------
        InvalidArgumentError
            An object without a key, or two with the same. In the loop, as the next:
        CancelledError
            The run was cancelled or paused, by whomever: nothing is to be begun any more.
        Error
            With ``error_class`` ``"tracker"`` or ``"fenced"``: the ledger cannot be used any more.

        Notes
        -----
        Leave a loop early only with the run: after ``break`` the item in work, and all that did not come, are still to be
        done, and the run is ``interrupted``. Threads that work on items in parallel use `item`: a pool that is given
        ``run.items(…)`` takes them out of the loop before they are worked on.
        """

        def entry(thing: Thing) -> _Entry:
            of = partition if isinstance(partition, str) else partition(thing)
            return _entry(
                key(thing) if key is not None else _own_key(thing),
                revision(thing) if revision is not None else None,
                size(thing) if size is not None else None,
                of,
            )

        is_declared = isinstance(objects, Sized) and not isinstance(objects, Iterator)
        self._native  # noqa: B018 (raises before anything is asked of the objects)
        with self._lock:
            self._loops += 1
        n_declared = self._declare(objects, entry) if is_declared else 0
        n_seen = 0
        for things in _chunks(objects, _AHEAD) if is_declared else _ahead(objects):
            n_seen += len(things)
            entries = [entry(thing) for thing in things]
            for thing, of, ticket in zip(things, entries, self._claim(entries, is_declared), strict=True):
                if not ticket:
                    continue
                item = TrackedItem(self, of)
                item._ticket = ticket
                item._begin()
                self._in_loops[ticket] = item
                try:
                    yield thing
                except GeneratorExit:
                    item._forget()
                    raise
                item._end()
                del self._in_loops[ticket]
        if n_seen < n_declared:
            raise _wrong(
                f"{type(objects).__name__} gave {n_declared} objects at first and {n_seen} when it was gone through again; "
                "give a list of them, or an iterator"
            )
        with self._lock:
            self._loops -= 1

    def item(self, key: Key, *, revision: Revision = None, size: int | None = None, partition: str = "") -> TrackedItem:
        """One item, worked on in a ``with`` block, in any thread or task: ``with run.item(name) as item: …``.

        Where the block ends the item is done; an exception that leaves it makes it failed; what is no `Exception` (Ctrl-C,
        a cancelled task) leaves it to be done. `TrackedItem.is_done` says that there is nothing to do. An item that has
        failed may be tried again in the same run.

        Parameters
        ----------
        key : str, bytes or path
            Names the item, across runs.
        revision, size, partition
            As the values that the callables of `items` give.

        Raises
        ------
        InvalidArgumentError, CancelledError, Error
            As `items`, when the block begins.
        """
        return TrackedItem(self, _entry(key, revision, size, partition))

    def fail(self, error: BaseException | str) -> None:
        """Record the item in work here as failed, see `TrackedItem.fail`; the loop may go on."""
        self._current().fail(error)

    def skip(self, reason: str) -> None:
        """Leave the item in work here out, see `TrackedItem.skip`; the loop may go on."""
        self._current().skip(reason)

    def result(self, **values: Any) -> None:
        """Keep values with the item in work here, see `TrackedItem.result`."""
        self._current().result(**values)

    def log(self, text: str, level: Literal["info", "warning", "error"] = "info") -> None:
        """Add a line to the log of the run: an event, for ``waybill logs`` and `Tracker.events`."""
        self._native.log(level, _bytes(" ".join(str(text).split())))

    def cancel(self) -> None:
        """End the run as ``cancelled``: what is in work may end, the next item raises `CancelledError`."""
        self._native.cancel()

    def pause(self) -> None:
        """As `cancel`, but the run can be carried on with `Options.resume_paused`."""
        self._native.pause()

    def _current(self) -> TrackedItem:
        for item in reversed(_in_work.get()):
            if item._run is self:
                return item
        raise _not_now("no item is in work here; call it in the loop over run.items, or in a block of run.item")

    def _claim(self, entries: list[_Entry], is_declared: bool) -> list[int]:
        while (tickets := self._native.claim(entries, is_declared, _SLICE_MS)) is None:
            pass
        return tickets

    def _declare(self, objects: Iterable[Thing], entry: Callable[[Thing], _Entry]) -> int:
        n_declared = 0
        for things in _chunks(objects, _DECLARED_AT_ONCE):
            entries = [entry(thing) for thing in things]
            while not self._native.declare(entries, _SLICE_MS):
                pass
            n_declared += len(entries)
        self._native.end_listing()
        return n_declared

    def _finish(self, error: BaseException | None) -> None:
        """Say how it ends. Whatever the run was stopped for before stays."""
        core = self._native
        if error is None:
            is_left = self._loops > 0 or bool(self._in_loops)
            if is_left:
                core.leave("the loop was left before its end")
                return
            try:
                core.complete()
            except FailedPreconditionError:
                core.leave("items were in work still, in other threads or tasks")
        elif isinstance(error, Exception) and not (isinstance(error, CancelledError) and core.is_stopping()):
            with contextlib.suppress(KeyboardInterrupt):  # a second one is seen by who waits for the end
                for item in self._in_loops.values():
                    item.fail(error)
                    item._end()
            core.fail(_failure_of(error)["message"])
        else:
            core.leave(_INTERRUPTED)


class _Shower:
    """Tells `progress` of the run, in a thread of its own."""

    def __init__(self, run: Run, progress: Progress) -> None:
        self.error: BaseException | None = None
        self._run = run
        self._ended = threading.Event()
        self._close: Callable[[], None] = lambda: None
        if progress is True:
            from waybill.live import make_view  # noqa: PLC0415 (rich is loaded only where it is shown)

            view = make_view("auto")
            self._tell: Callable[[Snapshot], object] = view.update
            self._close = view.close
        else:
            assert callable(progress)
            self._tell = progress
        self._thread = threading.Thread(target=self._show, name="waybill-progress", daemon=True)
        self._thread.start()

    def close(self, run: Run) -> None:
        self._ended.set()
        self._thread.join()
        if self.error is None and run.report is not None:
            try:
                self._tell(run.report.snapshot)
            except Exception as error:
                self.error = error
        self._close()

    def _show(self) -> None:
        while not self._ended.wait(_PROGRESS_SECONDS):
            try:
                self._tell(self._run.snapshot)
            except Exception as error:
                self.error = error
                self._run._core.fail(_failure_of(error)["message"])
                return


def _ahead(objects: Iterable[Thing]) -> Iterator[list[Thing]]:
    """Batches of an iterator: more at once as long as they come quickly, so that none waits for the one after it."""
    iterator = iter(objects)
    most = 1
    while True:
        batch: list[Thing] = []
        failure: Exception | None = None
        began = time.monotonic()
        try:
            batch.extend(islice(iterator, most))
        except Exception as error:  # what came before it is worked on first
            failure = error
        is_quick = time.monotonic() - began < _AHEAD_SECONDS
        most = min(most * 2, _AHEAD) if is_quick else 1
        if batch:
            yield batch
        if failure is not None:
            raise failure
        if not batch:
            return


def _chunks(objects: Iterable[Thing], most: int) -> Iterator[list[Thing]]:
    iterator = iter(objects)
    while chunk := list(islice(iterator, most)):
        yield chunk


def _own_key(thing: object) -> Key:
    if isinstance(thing, (str, bytes, os.PathLike)):
        return thing
    raise _wrong(
        f"{type(thing).__name__} objects have no key of their own; say which one with key=…, a function that gives "
        f"each object a str, bytes or path unlike all others"
    )


def _entry(key: Key, revision: Revision, size: int | None, partition: str) -> _Entry:
    if not isinstance(key, (str, bytes, os.PathLike)):
        raise _wrong(f"key: {key!r} is no str, bytes or path")
    if isinstance(revision, (str, bytes)):
        word = os.fsencode(revision)
    elif revision is None:
        word = b""
    elif isinstance(revision, (int, float)):
        word = repr(revision).encode()
    else:
        raise _wrong(f"revision: {revision!r} is no str, bytes or number")
    if size is not None and (not isinstance(size, int) or not 0 <= size < 1 << 63):
        raise _wrong(f"size: {size!r} is no number of bytes")
    if not isinstance(partition, str):
        raise _wrong(f"partition: {partition!r} is no str")
    return os.fsencode(partition), os.fsencode(key), word, size


def _failure_of(error: BaseException | str) -> dict[str, Any]:
    if isinstance(error, str):
        return failure_fields(_Said(error)) | {
            "message": " ".join(error.split()),
            "error_class": "callback",
            "code": "unknown",
        }
    fields = failure_fields(error)
    if fields["error_class"] == "internal":  # a defect, but not one of waybill
        fields |= {"error_class": "callback", "code": "unknown"}
    return fields


class _Said(Exception):
    """A failure in words of the caller."""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _wrong(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")


def _not_now(message: str) -> FailedPreconditionError:
    return FailedPreconditionError(message, code="failed_precondition", error_class="configuration")
