# SPDX-License-Identifier: Apache-2.0
"""Tracker: the ledger of a migration, read beside a live run or after it, and what a ledger of one's own derives from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Literal, Self
from weakref import WeakSet

from waybill import _core
from waybill.catalogs import ReferenceId
from waybill.errors import InvalidArgumentError, UnimplementedError
from waybill.ledger_records import (
    Batch,
    Claimed,
    CutoverPlanRecord,
    LeaseOptions,
    ListingRecord,
    Query,
    ReferenceQuery,
    ReferenceRecordPage,
    Request,
    ScanPage,
    UploadRecord,
)
from waybill.reader import LedgerReader
from waybill.records import (
    Event,
    Finding,
    ItemRecord,
    JournalRecord,
    MigrationInfo,
    PartitionSummary,
    RateSample,
    ReferenceRecord,
    RunRecord,
    RunSummary,
    Snapshot,
    make_partition_summary,
    make_run_summary,
    make_snapshot,
)
from waybill.stores import ItemId, place_of
from waybill.user import this_user

__all__ = ["Tracker"]

_Core = _core.Tracker  # within the class, `_core` is an attribute


class Tracker(LedgerReader):
    """A ledger. Any number may be open beside the process that owns it.

    Lists are lazy (`Records`): they hold one page of a thousand records in memory, whatever the size of the ledger, and
    pandas, polars and others take them as they are.

    **A ledger of your own.** ``Migration(…, tracker=…)`` takes an object of this class, or of a subclass. What a subclass
    overrides of the methods from `bind` on is called by the engine, the rest stays waybill's: override `commit`, call
    ``super().commit(epoch, batch)``, and every commit can be mirrored elsewhere. A subclass that does not call
    ``Tracker.__init__`` keeps its ledger wherever it likes, and overrides all of them but `hurry`, `read_history`,
    `read_partitions`, `read_rates`, and those of references (`lookup_references`, `scan_references`, `lookup_journal`,
    `read_journal`, `cutover_plan`): without these there is no cutover. Docs: docs/python.md.

    *Threads:* every method may be called from any thread. *Blocking:* none waits for longer than ten seconds. *Errors:* what
    a method raises is of class ``"tracker"``, unless it is a `waybill.Error` of class ``"configuration"``, ``"locked"``,
    ``"fenced"`` or ``"cancelled"``. Where it is worth another try (`Error.retryable`; `ConnectionError`, `TimeoutError`, a
    full disk), the run waits and tries again for `Options.tracker_patience_ms`, otherwise it ends.

    Parameters
    ----------
    path : str or path
        The ledger's path, or ``sqlite:///path``; ``memory:`` is one that dies with this object.
    read_only : bool
        Nothing is ever written. `request_pause`, `request_cancel` and runs need False.
    create : bool
        Make the ledger where there is none.

    Raises
    ------
    NotFoundError, PermissionDeniedError
        The ledger is not there, or may not be read.
    InvalidArgumentError
        No path; `create` of a read-only ledger.
    Error
        With ``error_class`` ``"tracker"``: corrupt, of a newer schema, no ledger. Also from every method.

    Examples
    --------
    >>> class Mirrored(waybill.Tracker):
    ...     def commit(self, epoch, batch):
    ...         seq = super().commit(epoch, batch)
    ...         publish(batch)
    ...         return seq
    >>> ledger = Mirrored("photos.db", read_only=False, create=True)
    >>> report = waybill.Migration("/data/photos", "s3://photos/2026", ledger).run()
    """

    _core: _Core | None = None
    #: The ledger's path or URL as it was given; empty for a ledger of one's own.
    path: str = ""

    def __init__(self, path: str | os.PathLike[str], read_only: bool = True, *, create: bool = False) -> None:
        place = place_of(path, "path", "a path or URL")
        if create and read_only:
            raise InvalidArgumentError(
                "create: a ledger is made only with read_only=False",
                code="invalid_argument",
                error_class="configuration",
            )
        self._core = _core.Tracker(place, read_only, create)
        self.path = os.fsdecode(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger; every later call raises. A run that was given it goes on."""
        if self._core is not None:
            self._core.close()

    def request_pause(self) -> None:
        """Ask the owner to pause its run; obeyed within one heartbeat, or at once where no owner is alive.

        Raises
        ------
        FailedPreconditionError
            There is nothing to pause, or the tracker was opened read-only.
        """
        self.request("pause", this_user())

    def request_cancel(self) -> None:
        """As `request_pause`, to cancel."""
        self.request("cancel", this_user())

    def bind(self, wanted: MigrationInfo) -> MigrationInfo:
        """Make this ledger the one of `wanted`, or check that it is; at the first call it is given an id.

        Raises
        ------
        InvalidArgumentError
            The ledger belongs to another migration; both are named.
        """
        return self._ledger("bind").bind(wanted)

    def migration(self) -> MigrationInfo | None:
        """What the ledger is about; None before its first run."""
        fields = self._ledger("migration").migration()
        return MigrationInfo(**fields) if fields is not None else None

    def acquire(self, options: LeaseOptions) -> int:
        """Become the owner: a new epoch, above every earlier one.

        Claims and live state of earlier owners are void; a run that was left running is recorded as ``"interrupted"``.

        Raises
        ------
        LockedError
            Another process owns it (host, pid, and age of its heartbeat are named); within one second, unless
            `LeaseOptions.take_over`.
        """
        return self._ledger("acquire").acquire(options)

    def release(self, epoch: int) -> None:
        """Give ownership up; nothing happens if it is lost already. What it raises is lost."""
        self._ledger("release").release(epoch)

    def hurry(self) -> None:
        """The run is to stop: until `release` no call should wait for others for longer than a quarter of a second. By
        default, of a ledger of one's own, nothing is done."""
        if self._core is not None:
            self._core.hurry()

    def commit(self, epoch: int, batch: Batch) -> int:
        """Write everything in `batch`, or nothing; on return it is durable. The new seq is returned.

        Raises
        ------
        AbortedError
            With ``error_class`` ``"fenced"``: `epoch` is not the newest.
        """
        return self._ledger("commit").commit(epoch, batch)

    def claim(self, epoch: int, limit: int) -> Sequence[Claimed]:
        """Take up to `limit` pending items of the present run's frame, in key order, round robin over partitions, none that
        is claimed already. A crash leaves them pending. Raises as `commit`."""
        return self._ledger("claim").claim(epoch, limit)

    def lookup(self, ids: Sequence[ItemId]) -> Sequence[ItemRecord | None]:
        """The rows of `ids`, in order; None for those that are not there."""
        return self._ledger("lookup").lookup(ids)

    def scan(self, query: Query, resume: bytes, limit: int) -> ScanPage:
        """Rows in order of (partition, key, version), a page of at most `limit`; `resume` is empty or `ScanPage.resume`."""
        return self._ledger("scan").scan_rows(query, resume, limit)

    def uploads(self) -> Sequence[UploadRecord]:
        """Open uploads, by id."""
        return self._ledger("uploads").uploads()

    def upload(self, id: ItemId) -> UploadRecord | None:
        """The open upload of an item."""
        return self._ledger("upload").upload(id)

    def listings(self) -> Sequence[ListingRecord]:
        """Of the present run."""
        return self._ledger("listings").listings()

    def read_findings(self, run: int, offset: int, limit: int) -> Sequence[Finding]:
        """Findings of a run, from the `offset`-th on: a page of `findings`."""
        return [Finding(**fields) for fields in self._ledger("read_findings").findings(run, offset, limit)]

    def lookup_references(self, ids: Sequence[ReferenceId]) -> Sequence[ReferenceRecord | None]:
        """What the ledger knows of references, in order; None for those that it does not know."""
        return self._ledger("lookup_references").lookup_references(ids)

    def scan_references(self, query: ReferenceQuery, resume: bytes, limit: int) -> ReferenceRecordPage:
        """References in order of (catalog, record, field), a page of at most `limit`; `resume` is empty or
        `ReferenceRecordPage.resume`. A page may have fewer, even none: only `ReferenceRecordPage.is_last` ends a scan."""
        return self._ledger("scan_references").scan_references(query, resume, limit)

    def lookup_journal(self, ids: Sequence[ReferenceId]) -> Sequence[JournalRecord | None]:
        """The newest journal record of each, in order; None for one that was never switched."""
        return self._ledger("lookup_journal").lookup_journal(ids)

    def read_journal(self, id: ReferenceId) -> Sequence[JournalRecord]:
        """All generations of one reference, ascending: `journal`."""
        return self._ledger("read_journal").read_journal(id)

    def cutover_plan(self) -> CutoverPlanRecord | None:
        """The newest plan of a cutover; None before the first."""
        return self._ledger("cutover_plan").cutover_plan()

    def read_events(self, after: int, limit: int) -> Sequence[Event]:
        """Events with a seq above `after`, ascending: a page of `events`."""
        return [Event(**fields) for fields in self._ledger("read_events").events(after, limit)]

    def read_runs(self, limit: int) -> Sequence[RunRecord]:
        """Runs, newest first: `runs`."""
        return [RunRecord(**fields) for fields in self._ledger("read_runs").runs(limit)]

    def read_history(self, limit: int) -> Sequence[RunSummary]:
        """Runs with their accounts, newest first: `history`. By default, of a ledger of one's own, those of the present
        run."""
        return [make_run_summary(fields) for fields in self._ledger("read_history").history(limit)]

    def read_partitions(self, after: str | None, limit: int) -> Sequence[PartitionSummary]:
        """Partitions by name, those after `after` (None: from the first): a page of `partitions`. By default, of a ledger of
        one's own, none."""
        name = None if after is None else os.fsencode(after)
        pages = self._ledger("read_partitions").partitions(name, limit)
        return [make_partition_summary(fields) for fields in pages]

    def read_rates(self, run: int, after_ms: int, limit: int) -> Sequence[RateSample]:
        """Of a run, in order of time, those that began after `after_ms`: a page of `rates`. By default, of a ledger of one's
        own, none."""
        return [RateSample(**fields) for fields in self._ledger("read_rates").rates(run, after_ms, limit)]

    def snapshot(self) -> Snapshot:
        """The accounts at one instant. Costs the same at ten items and ten million."""
        return make_snapshot(self._ledger("snapshot").snapshot())

    def request(self, verb: Literal["pause", "cancel"], who: str) -> None:
        """Ask the owner for something, from any process; where no owner is alive it is carried out at once.

        Raises
        ------
        FailedPreconditionError
            There is nothing to pause or cancel, or the tracker was opened read-only.
        """
        self._ledger("request").request(verb, who)

    def requests(self) -> Sequence[Request]:
        """Requests not yet served, oldest first; asked for twice a second."""
        return self._ledger("requests").requests()

    def _ledger(self, method: str) -> _Core:
        if self._core is not None:
            return self._core
        raise UnimplementedError(
            f"{type(self).__name__} has no ledger of waybill's beneath it, and no {method}()",
            code="unimplemented",
            error_class="configuration",
        )

    def _reading(self) -> AbstractContextManager[_Core]:
        return nullcontext(core_tracker(self))


class _EngineSide(Tracker):
    """A tracker behind the adapter that a run calls it through."""

    def __init__(self, core: _Core) -> None:
        self._core = core


def core_tracker(tracker: Tracker) -> _core.Tracker:
    """What the engine takes for `tracker`."""
    if type(tracker) in (Tracker, _EngineSide):
        return tracker._ledger("__init__")
    return _core.adapt_tracker(tracker, tracker._core)


def engine_ledger(tracker: str | os.PathLike[str] | Tracker) -> bytes | _Core:
    """What a run is given: the place of a ledger, or one that is open."""
    if not isinstance(tracker, Tracker):
        return place_of(tracker, "tracker", "a path, a URL, or a waybill.Tracker")
    if type(tracker) is not Tracker:
        own_ledgers.add(tracker)
    return core_tracker(tracker)


# Ledgers in Python that runs write to: those runs need Python to their very end.
own_ledgers: WeakSet[Tracker] = WeakSet()


def as_engine_sees(tracker: Tracker) -> Tracker:
    """A tracker behind the very adapter that a run calls it through; for the conformance suite."""
    return _EngineSide(core_tracker(tracker))
