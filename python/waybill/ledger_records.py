# SPDX-License-Identifier: Apache-2.0
"""What the engine and a `Tracker` exchange beside the records that everybody reads (waybill.records)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from waybill import _core
from waybill.records import (
    Event,
    Finding,
    ItemRecord,
    ItemState,
    JournalRecord,
    LiveState,
    RateSample,
    ReferenceRecord,
    ReferenceState,
    RunRecord,
)
from waybill.stores import ItemId, PartInfo, SourceStamp

__all__ = [
    "Batch",
    "Claimed",
    "CutoverPlanRecord",
    "FailureRecord",
    "ItemChange",
    "LeaseOptions",
    "ListingRecord",
    "Query",
    "ReferenceChange",
    "ReferenceQuery",
    "ReferenceRecordPage",
    "Request",
    "ScanPage",
    "ScanRow",
    "UploadChange",
    "UploadRecord",
    "Waiver",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRecord:
    """Why an item failed; with the item it is a `Failure`.

    Attributes
    ----------
    endpoint : str
        Of the store that it failed at; empty where no store was asked.
    attempts : int
        Made in the run that gave up.
    """

    error_class: str = "internal"
    code: str = "unknown"
    message: str = ""
    retryable: bool = False
    http_status: int = 0
    provider_code: str = ""
    request_id: str = ""
    endpoint: str = ""
    attempts: int = 0
    at_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiver:
    """Who (``user@host``) said that a failed or vanished item is not wanted any more."""

    who: str
    why: str
    at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemChange:
    """A new content of a row, and what it took to get there.

    The tracker inserts or replaces the row, keeps the counters of both frames from what the row was and is, and releases
    the claim on it.

    Attributes
    ----------
    attempts, attempts_failed : int
        Made for this outcome; of these.
    failure : FailureRecord or None
        Kept while the row is failed or vanished, or excluded (message: the rule).
    waiver : Waiver or None
        Kept while the row is waived.
    result : str or None
        What the program of tracked work keeps of the item, a JSON object on one line. Kept while the row is done; a change
        without one leaves it as it is.
    """

    record: ItemRecord
    attempts: int = 0
    attempts_failed: int = 0
    failure: FailureRecord | None = None
    waiver: Waiver | None = None
    result: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ListingRecord:
    """How far the listing of a scope has come.

    Attributes
    ----------
    scope : bytes
        Where a store can be listed from any key on, a range of keys, named by the key that it begins behind (empty for the
        first).
    resume : bytes
        What the lister goes on with; opaque.
    partition, last_key : str and bytes
        The last recorded item.
    is_listed : bool
        To its end.
    """

    scope: bytes = b""
    resume: bytes = b""
    partition: str = ""
    last_key: bytes = b""
    is_listed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadRecord:
    """An object in parts that is open at the destination.

    Attributes
    ----------
    stamp : SourceStamp
        Of the revision that is being written.
    parts : tuple of PartInfo
        Finished, flushed and committed, by number.
    """

    id: ItemId
    upload_id: str = ""
    part_size: int = 0
    stamp: SourceStamp = field(default_factory=SourceStamp)
    parts: tuple[PartInfo, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadChange:
    """A change of an upload: `begin` opens it (replacing an older one of the item), `parts` are added, `ended` removes it."""

    id: ItemId
    begin: UploadRecord | None = None
    parts: tuple[PartInfo, ...] = ()
    ended: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceChange:
    """A new content of a reference's row. The tracker inserts or replaces it and keeps the counters.

    Attributes
    ----------
    is_settled : bool
        The run in force has come to its end with this reference: it counts in its account.
    attempts, attempts_failed : int
        Made for this outcome; of these.
    """

    record: ReferenceRecord
    is_settled: bool = False
    attempts: int = 0
    attempts_failed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoverPlanRecord:
    """A reviewed cutover. Only the newest one can be executed.

    Attributes
    ----------
    hash : str
        16 hexadecimal digits over each reference that would be switched, what it holds and would hold.
    pass_ : int
        The pass over the catalog that it was made by.
    references : int
        That would be switched.
    is_ready : bool
        No gate refused it.
    gates : str
        A JSON array: each gate with its evidence.
    options : str
        A JSON object: what was selected.
    """

    hash: str = ""
    pass_: int = 0
    at_ms: int = 0
    references: int = 0
    is_ready: bool = False
    gates: str = ""
    options: str = ""


class Batch:
    """One transaction: all or nothing.

    Its parts are made when they are looked at: a batch that is handed on as it is costs next to nothing. It may be kept
    for as long as you like.

    Attributes
    ----------
    run : RunRecord or None
        Inserted (its frame begins at zero) or replaced.
    items : tuple of ItemChange
    listings : tuple of ListingRecord
        Of the run in force.
    uploads : tuple of UploadChange
    findings : tuple of Finding
    references : tuple of ReferenceChange
    journal : tuple of JournalRecord
        Inserted, or, where the generation is known, given a new ``observed``, ``state``, ``run`` and time: ``old`` and
        ``intended`` stay what they were.
    plan : CutoverPlanRecord or None
    events : tuple of Event
        The tracker sets their ``seq``.
    rates : tuple of RateSample
        One with the same run and time is replaced.
    live : LiveState or None
        Replaces the last one and beats the heart.
    served_requests : tuple of int
        Ids of requests that were obeyed or refused.
    """

    __slots__ = ("_core", "_parts")
    _NAMES = (
        "run",
        "items",
        "listings",
        "uploads",
        "findings",
        "references",
        "journal",
        "plan",
        "events",
        "rates",
        "live",
        "served_requests",
    )

    def __init__(
        self,
        *,
        run: RunRecord | None = None,
        items: Iterable[ItemChange] = (),
        listings: Iterable[ListingRecord] = (),
        uploads: Iterable[UploadChange] = (),
        findings: Iterable[Finding] = (),
        references: Iterable[ReferenceChange] = (),
        journal: Iterable[JournalRecord] = (),
        plan: CutoverPlanRecord | None = None,
        events: Iterable[Event] = (),
        rates: Iterable[RateSample] = (),
        live: LiveState | None = None,
        served_requests: Iterable[int] = (),
    ) -> None:
        self._core: _core.Batch | None = None
        self._parts: dict[str, Any] = {
            "run": run,
            "items": tuple(items),
            "listings": tuple(listings),
            "uploads": tuple(uploads),
            "findings": tuple(findings),
            "references": tuple(references),
            "journal": tuple(journal),
            "plan": plan,
            "events": tuple(events),
            "rates": tuple(rates),
            "live": live,
            "served_requests": tuple(served_requests),
        }

    @classmethod
    def _of(cls, core: _core.Batch) -> Batch:
        """The engine's, as it is."""
        batch = cls.__new__(cls)
        batch._core = core
        batch._parts = {}
        return batch

    def _part(self, name: str) -> Any:
        if name not in self._parts:
            assert self._core is not None
            self._parts[name] = self._core.part(name)
        return self._parts[name]

    @property
    def run(self) -> RunRecord | None:
        run: RunRecord | None = self._part("run")
        return run

    @property
    def items(self) -> tuple[ItemChange, ...]:
        items: tuple[ItemChange, ...] = self._part("items")
        return items

    @property
    def listings(self) -> tuple[ListingRecord, ...]:
        listings: tuple[ListingRecord, ...] = self._part("listings")
        return listings

    @property
    def uploads(self) -> tuple[UploadChange, ...]:
        uploads: tuple[UploadChange, ...] = self._part("uploads")
        return uploads

    @property
    def findings(self) -> tuple[Finding, ...]:
        findings: tuple[Finding, ...] = self._part("findings")
        return findings

    @property
    def references(self) -> tuple[ReferenceChange, ...]:
        references: tuple[ReferenceChange, ...] = self._part("references")
        return references

    @property
    def journal(self) -> tuple[JournalRecord, ...]:
        journal: tuple[JournalRecord, ...] = self._part("journal")
        return journal

    @property
    def plan(self) -> CutoverPlanRecord | None:
        plan: CutoverPlanRecord | None = self._part("plan")
        return plan

    @property
    def events(self) -> tuple[Event, ...]:
        events: tuple[Event, ...] = self._part("events")
        return events

    @property
    def rates(self) -> tuple[RateSample, ...]:
        rates: tuple[RateSample, ...] = self._part("rates")
        return rates

    @property
    def live(self) -> LiveState | None:
        live: LiveState | None = self._part("live")
        return live

    @property
    def served_requests(self) -> tuple[int, ...]:
        served: tuple[int, ...] = self._part("served_requests")
        return served

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Batch):
            return NotImplemented
        return all(self._part(name) == other._part(name) for name in self._NAMES)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        held = [name for name in self._NAMES if self._part(name) not in (None, ())]
        return f"<waybill.Batch of {', '.join(held) or 'nothing'}>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """An item taken from the queue.

    Attributes
    ----------
    maybe_in_flight : bool
        A process that died may have been writing it: what is at the destination may be its work.
    """

    record: ItemRecord
    maybe_in_flight: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Which rows to scan.

    Attributes
    ----------
    states : tuple of str
        Empty: all.
    not_seen_since : int or None
        Only rows whose run is less than this one.
    has_result : bool
        Only rows with a result, which `ScanRow.result` then is.
    """

    states: tuple[ItemState, ...] = ()
    error_class: str | None = None
    partition: str | None = None
    prefix: bytes = b""
    not_seen_since: int | None = None
    has_result: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanRow:
    """A row with its failure, its waiver, and its result where `Query.has_result` asked for it."""

    record: ItemRecord
    failure: FailureRecord | None = None
    waiver: Waiver | None = None
    result: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanPage:
    """Rows in order of partition, key and version; `resume` is for the next page, and opaque."""

    rows: tuple[ScanRow, ...] = ()
    resume: bytes = b""
    is_last: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceQuery:
    """Which references to scan.

    Attributes
    ----------
    states : tuple of str
        Empty: all.
    not_seen_since : int or None
        Only those whose pass is less than this one.
    run : int or None
        Only those that this run settled last.
    """

    states: tuple[ReferenceState, ...] = ()
    partition: str | None = None
    not_seen_since: int | None = None
    run: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceRecordPage:
    """References in order of catalog, record and field; `resume` is for the next page, and opaque."""

    references: tuple[ReferenceRecord, ...] = ()
    resume: bytes = b""
    is_last: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What another process asks of the owner; ids ascend, `who` is ``user@host``."""

    id: int
    verb: Literal["pause", "cancel"]
    who: str
    at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseOptions:
    """How to become the owner.

    Attributes
    ----------
    lease_ms : int
        An owner that has not beaten for so long may be taken from.
    take_over : bool
        Take the ledger from an owner that holds its lock but has not beaten for a whole lease on our own clock; that is
        watched for so long. False refuses at once.
    """

    lease_ms: int = 30_000
    take_over: bool = False
