# SPDX-License-Identifier: Apache-2.0
"""Records: what a ledger says, as frozen dataclasses.

The words are those of the C++ headers. Keys are bytes, as stores have them; `printable` makes text of them. Times
ending in ``_ms`` and ``_ns`` are milliseconds and nanoseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from waybill import _core
from waybill._core import printable
from waybill.catalogs import ReferenceId
from waybill.stores import ItemId

__all__ = [
    "Event",
    "Failure",
    "Finding",
    "FindingKind",
    "InFlight",
    "ItemAccounts",
    "ItemRecord",
    "ItemResult",
    "ItemState",
    "JournalRecord",
    "JournalState",
    "LiveState",
    "MigrationInfo",
    "Outcome",
    "Owner",
    "PartitionSummary",
    "Phase",
    "RateSample",
    "ReferenceAccounts",
    "ReferenceRecord",
    "ReferenceState",
    "Report",
    "RunRecord",
    "RunState",
    "RunSummary",
    "Snapshot",
    "printable",
]

Phase = Literal["copy", "verify", "cutover", "rollback", "track"]
RunState = Literal[
    "created",
    "running",
    "paused",
    "cancelling",
    "completed",
    "completed_with_differences",
    "failed",
    "cancelled",
    "interrupted",
]
FindingKind = Literal["missing", "extra", "size", "checksum", "metadata", "unknown", "gone"]
ItemState = Literal["pending", "copied", "verified", "failed", "excluded", "vanished"]
ReferenceState = Literal[
    "original", "pending", "intended", "updated", "restored", "conflict", "failed", "vanished", "excluded"
]
JournalState = Literal["intended", "applied", "not_applied", "conflict", "restored"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemAccounts:
    """Accounts of items. At every instant: discovered = excluded + eligible; eligible = pending + in_progress + done +
    failed + waived + vanished; done = created + updated + unchanged; settled = done + failed + waived + vanished;
    outstanding = eligible − done."""

    discovered: int = 0
    excluded: int = 0
    eligible: int = 0
    pending: int = 0
    in_progress: int = 0
    done: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    verified: int = 0
    failed: int = 0
    waived: int = 0
    vanished: int = 0
    outstanding: int = 0
    settled: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceAccounts:
    """Accounts of references: each is in one state. total is the sum of the others."""

    total: int = 0
    original: int = 0
    pending: int = 0
    intended: int = 0
    updated: int = 0
    restored: int = 0
    conflict: int = 0
    failed: int = 0
    vanished: int = 0
    excluded: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class InFlight:
    """An item that is being moved."""

    partition: str = ""
    key: bytes = b""
    bytes_done: int = 0
    bytes_total: int | None = None
    attempt: int = 1
    started_at_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveState:
    """What the owner of a run reported with its last heartbeat."""

    in_progress: int = 0
    in_flight: tuple[InFlight, ...] = ()
    concurrency: int = 0
    items_per_second: float = 0.0
    bytes_per_second: float = 0.0
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None
    stalled_since_ms: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """The process that owns a ledger."""

    host: str = ""
    boot_id: str = ""
    pid: int = 0
    process_start: int = 0
    epoch: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """Everything that ``waybill status`` shows, at one instant. Snapshots with the same `seq` are the same.

    Attributes
    ----------
    items, migration_items : ItemAccounts
        In the frame of the run (what it saw or owed), and of the migration (every item ever seen).
    references : ReferenceAccounts
        All that the ledger knows.
    run_references : ReferenceAccounts
        Of a cutover or rollback run: those that it settled, and as `pending` those that it still owes.
    progress, completeness : float or None
        settled ÷ eligible and done ÷ eligible; None until the listing is complete.
    success : float or None
        Attempts that succeeded ÷ attempts; None without attempts.
    bytes_total, bytes_done : int
        Of eligible and of done items.
    expected_items : int or None
        How many items the program of tracked work said that there would be; a guess, and in no ratio.

    A `Tracker` of one's own leaves the ratios out: waybill computes them from the accounts.
    """

    migration: str = ""
    name: str = ""
    source: str = ""
    destination: str = ""
    run: int = 0
    phase: Phase = "copy"
    state: RunState = "created"
    reason: str = ""
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    active_seconds: float = 0.0
    heartbeat_at_ms: int | None = None
    owner: Owner | None = None
    items: ItemAccounts = ItemAccounts()
    references: ReferenceAccounts = ReferenceAccounts()
    run_references: ReferenceAccounts = ReferenceAccounts()
    migration_items: ItemAccounts = ItemAccounts()
    findings: Mapping[str, int] = field(default_factory=dict)
    failed_by_class: Mapping[str, int] = field(default_factory=dict)
    bytes_total: int = 0
    bytes_done: int = 0
    attempts_total: int = 0
    attempts_failed: int = 0
    listing_complete: bool = False
    expected_items: int | None = None
    live: LiveState = LiveState()
    last_event_at_ms: int | None = None
    seq: int = 0
    progress: float | None = None
    completeness: float | None = None
    success: float | None = None
    json: str = field(default="", repr=False, compare=False)

    def to_json(self) -> str:
        """One line: exactly what ``waybill status --json`` prints."""
        return self.json or _core.snapshot_json(self)

    def to_dict(self) -> dict[str, Any]:
        """`to_json` parsed."""
        result: dict[str, Any] = json.loads(self.to_json())
        return result

    def _repr_html_(self) -> str:
        from waybill.notebook import snapshot_html  # noqa: PLC0415 (only where it is shown)

        return snapshot_html(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened in a run. A successful item has a row, not an event.

    Attributes
    ----------
    seq : int
        Ascending over all runs of a ledger, with gaps; set by the tracker.
    data : str
        A JSON object, or empty.
    """

    seq: int = 0
    at_ms: int = 0
    run: int = 0
    kind: Literal["run", "phase", "error", "log", "progress", "request", "audit"] = "log"
    level: Literal["debug", "info", "warning", "error"] = "info"
    text: str = ""
    data: str = ""
    json: str = field(default="", repr=False, compare=False)

    def to_json(self) -> str:
        """The event as a JSON object, one line."""
        return self.json or _core.event_json(self)

    def to_dict(self) -> dict[str, Any]:
        """`to_json` parsed."""
        result: dict[str, Any] = json.loads(self.to_json())
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemRecord:
    """A row of the ledger.

    Attributes
    ----------
    size, etag, mtime_ns, stamp_version, opaque
        As the source's listing gave them, the fields of `SourceStamp`; bytes and nanoseconds.
    basis : str
        Why it counts as copied: ``"none"``, ``"written"``, ``"matched_checksum"``, ``"matched_weak"`` (size and time).
    change : str
        What the run did to a done item.
    seen : str
        What the destination's listing said about the key: ``"unknown"`` (it was not listed for it), ``"absent"``,
        ``"ours"`` (what this ledger wrote, untouched), ``"present"`` (something else).
    left : bool
        It vanished, and a later run has passed: it is in no account any more.
    revision : int
        Grows each time that the source's stamp is found changed after a copy.
    run : int
        The last one that saw or owed it.
    crc64nvme, sha256
        Digests of the source's content as it was copied; None where not computed.
    stored_size, stored_etag, stored_mtime_ns, stored_version, stored_crc64nvme, stored_sha256
        What the destination acknowledged, the fields of `Stored`; `stored_size` is None where it has nothing.
    copied_at_ms, verified_at_ms
        Whole seconds are kept.
    destination_key : bytes
        Where it goes, where a key template says so; empty: where its own key and version say.
    """

    partition: str = ""
    key: bytes
    version: str = ""
    size: int | None = None
    etag: str = ""
    mtime_ns: int | None = None
    stamp_version: str = ""
    opaque: str = ""
    state: ItemState = "pending"
    basis: Literal["none", "written", "matched_checksum", "matched_weak"] = "none"
    change: Literal["created", "updated", "unchanged"] = "created"
    seen: Literal["unknown", "absent", "ours", "present"] = "unknown"
    gone_at_source: bool = False
    waived: bool = False
    left: bool = False
    error_class: str = "none"
    revision: int = 1
    run: int = 0
    crc64nvme: int | None = None
    sha256: bytes | None = None
    stored_size: int | None = None
    stored_etag: str = ""
    stored_mtime_ns: int | None = None
    stored_version: str = ""
    stored_crc64nvme: int | None = None
    stored_sha256: bytes | None = None
    copied_at_ms: int | None = None
    verified_at_ms: int | None = None
    destination_key: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceRecord:
    """A reference as the ledger knows it: what its record held when it was last read, which item that is, and how far its
    switch has come.

    Attributes
    ----------
    catalog, record, field : str
        What it is, the fields of `ReferenceId`.
    partition, partition_name : str
        Of the record, as its catalog told it. The last name told is that of all references of the partition.
    item_partition, item_key, item_version
        The item that the value points at; empty where it points at none.
    value : str or None
        As it was last read.
    stamp : str
        The record's, then.
    intended : str or None
        What the newest plan would set, or a run has set; None where none would.
    error_class : str
        Of a failed one; why one is left as it is, of the others.
    reason : str
        One line: why it is in this state; empty where there is nothing to say.
    generation : int
        Of its newest journal record; 0: it was never switched.
    seen : int
        The last pass over the catalog that met it; passes count from 1.
    run : int
        The run that last settled it; 0: none. Set by the tracker.
    """

    catalog: str
    record: str
    field: str
    partition: str = ""
    partition_name: str = ""
    item_partition: str = ""
    item_key: bytes = b""
    item_version: str = ""
    value: str | None = None
    stamp: str = ""
    state: ReferenceState = "original"
    intended: str | None = None
    error_class: str = "none"
    reason: str = ""
    generation: int = 0
    seen: int = 0
    run: int = 0

    @property
    def id(self) -> ReferenceId:
        """What it is."""
        return ReferenceId(self.catalog, self.record, self.field)

    @property
    def item(self) -> ItemId:
        """The item that the value points at."""
        return ItemId(self.item_partition, self.item_key, self.item_version)


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalRecord:
    """A switch of one reference. One that is switched again has a new generation; nothing is ever removed.

    Attributes
    ----------
    catalog, record, field : str
        Of which reference, the fields of `ReferenceId`.
    run : int
        The cutover run that intended it.
    old, intended : str or None
        What the field held, and what it is to hold; never rewritten.
    observed : str or None
        What it was last seen to hold afterwards.
    state : str
        ``"intended"`` (how the update ended is not known yet), ``"applied"``, ``"not_applied"``, ``"conflict"`` (it holds
        what somebody else wrote), ``"restored"`` (applied, and taken back since).
    at_ms : int
        Of the last change.
    """

    catalog: str
    record: str
    field: str
    generation: int = 1
    run: int = 0
    partition: str = ""
    old: str | None = None
    intended: str | None = None
    observed: str | None = None
    state: JournalState = "intended"
    at_ms: int = 0

    @property
    def id(self) -> ReferenceId:
        """Of which reference."""
        return ReferenceId(self.catalog, self.record, self.field)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An item that did not move, and why.

    Attributes
    ----------
    error_class : str
        What to look at: ``"permission"``, ``"occupied"``, ``"unsupported"``, …
    endpoint : str
        Of the store that it failed at: scheme, host and port, or ``"file"``; empty where no store was asked.
    attempts : int
        Made in the run that gave up.
    waived_by, waived_because, waived_at_ms
        Who said that the item is not wanted, and why; empty, and None, if nobody did.
    """

    partition: str
    key: bytes
    version: str
    state: ItemState
    error_class: str
    code: str
    message: str
    retryable: bool
    http_status: int
    provider_code: str
    request_id: str
    endpoint: str
    attempts: int
    at_ms: int
    run: int
    waived_by: str
    waived_because: str
    waived_at_ms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A row of the ledger with everything that is known of it.

    Attributes
    ----------
    failure : Failure or None
        Why a failed or vanished item did not move, and who waived it; of an excluded one, the rule (its message).
    left : bool
        It vanished, and a later run has passed: it is in no account any more.
    """

    item: ItemRecord
    failure: Failure | None
    left: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemResult:
    """What a program kept of a done item of tracked work (`TrackedRun.result`).

    Attributes
    ----------
    run : int
        The last run that saw the item.
    json : str
        A JSON object, one line.
    """

    partition: str
    key: bytes
    version: str
    run: int
    json: str

    def to_dict(self) -> dict[str, Any]:
        """`json` parsed."""
        result: dict[str, Any] = json.loads(self.json)
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One difference that a verify run found."""

    run: int = 0
    kind: FindingKind = "unknown"
    partition: str = ""
    key: bytes = b""
    version: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run, as history keeps it. `options` is a JSON object; `host` and `pid` are of its last owner; `references` is how many
    a cutover or rollback was to settle."""

    run: int = 0
    phase: Phase = "copy"
    state: RunState = "created"
    reason: str = ""
    started_at_ms: int = 0
    ended_at_ms: int | None = None
    active_seconds: float = 0.0
    listing_complete: bool = False
    expected_items: int | None = None
    references: int | None = None
    options: str = ""
    engine_version: str = ""
    host: str = ""
    pid: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A run with its accounts, as they were at its end or are now.

    Attributes
    ----------
    failed_by_class : dict
        Failed items by error class.
    findings : dict
        By kind; of a verify run.
    references : ReferenceAccounts
        Of a cutover or rollback run: those that it settled.
    """

    record: RunRecord = RunRecord()
    items: ItemAccounts = ItemAccounts()
    bytes_total: int = 0
    bytes_done: int = 0
    attempts_total: int = 0
    attempts_failed: int = 0
    failed_by_class: dict[str, int] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    references: ReferenceAccounts = ReferenceAccounts()


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionSummary:
    """The accounts of one partition: in the frame of the present run, and in that of the migration, as the bytes are."""

    name: str = ""
    items: ItemAccounts = ItemAccounts()
    migration_items: ItemAccounts = ItemAccounts()
    bytes_total: int = 0
    bytes_done: int = 0
    references: ReferenceAccounts = ReferenceAccounts()


@dataclass(frozen=True, kw_only=True, slots=True)
class RateSample:
    """What a run moved in a stretch of its time, mostly a minute.

    Attributes
    ----------
    at_ms : int
        When the stretch began.
    seconds : float
        How long it was, active time only.
    items, attempts_failed : int
        What came to an end in it, well or not.
    bytes : int
        Of those items that were moved, or compared by a verify run.
    concurrency : int
        Transfers allowed at once, at its end.
    """

    run: int = 0
    at_ms: int = 0
    seconds: float = 0.0
    items: int = 0
    bytes: int = 0
    attempts_failed: int = 0
    concurrency: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationInfo:
    """What a ledger is about. The URLs are redacted, and empty for stores that were opened in code.

    Attributes
    ----------
    id : str
        16 hexadecimal digits, made by the tracker at the first `Tracker.bind`.
    fingerprint : str
        Two runs belong to one ledger exactly if these are equal.
    """

    id: str = ""
    name: str = ""
    fingerprint: str = ""
    source: str = ""
    destination: str = ""
    source_url: str = ""
    destination_url: str = ""
    created_at_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How a run ended.

    Attributes
    ----------
    exit_code : int
        0 completed, 3 with differences, 1 failed, 130 cancelled, paused or interrupted.
    message : str
        One line: why it ended so.
    """

    snapshot: Snapshot
    exit_code: int
    message: str

    @property
    def state(self) -> RunState:
        """The state that the run ended in."""
        return self.snapshot.state

    @property
    def run(self) -> int:
        """The number of the run, from 1."""
        return self.snapshot.run

    def _repr_html_(self) -> str:
        from waybill.notebook import report_html  # noqa: PLC0415 (only where it is shown)

        return report_html(self)


def make_snapshot(fields: dict[str, Any]) -> Snapshot:
    live = fields["live"]
    in_flight = tuple(InFlight(**entry) for entry in live["in_flight"])
    owner = fields["owner"]
    parts = {
        "items": ItemAccounts(**fields["items"]),
        "references": ReferenceAccounts(**fields["references"]),
        "run_references": ReferenceAccounts(**fields["run_references"]),
        "migration_items": ItemAccounts(**fields["migration_items"]),
        "owner": Owner(**owner) if owner is not None else None,
        "live": LiveState(**(live | {"in_flight": in_flight})),
    }
    return Snapshot(**(fields | parts))


def make_outcome(fields: dict[str, Any]) -> Outcome:
    failure = fields["failure"]
    return Outcome(
        item=ItemRecord(**fields["item"]),
        failure=Failure(**failure) if failure is not None else None,
        left=fields["left"],
    )


def make_run_summary(fields: dict[str, Any]) -> RunSummary:
    parts = {
        "record": RunRecord(**fields["record"]),
        "items": ItemAccounts(**fields["items"]),
        "references": ReferenceAccounts(**fields["references"]),
    }
    return RunSummary(**(fields | parts))


def make_partition_summary(fields: dict[str, Any]) -> PartitionSummary:
    parts = {
        "items": ItemAccounts(**fields["items"]),
        "migration_items": ItemAccounts(**fields["migration_items"]),
        "references": ReferenceAccounts(**fields["references"]),
    }
    return PartitionSummary(**(fields | parts))


def make_report(fields: dict[str, Any]) -> Report:
    return Report(**(fields | {"snapshot": make_snapshot(fields["snapshot"])}))
