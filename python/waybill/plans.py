# SPDX-License-Identifier: Apache-2.0
"""What a migration would do, and what an import or a deletion has done, as frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "ImportReport",
    "Plan",
    "PlanCollision",
    "PlanExample",
    "PlanRequests",
    "PlanRow",
    "PlanSample",
    "PlanTime",
    "PlanUnreachable",
    "RemovalExample",
    "RemovalPlan",
    "RemovalReport",
    "make_plan",
    "make_removal_plan",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What became of an import.

    Attributes
    ----------
    items : int
        Of the other ledger: confirmed + refuted + failed + pending + known + unchanged.
    confirmed : int
        Said to be copied, and the destination shows an object of that size.
    refuted : int
        Said to be copied, but the destination does not show that: pending.
    known, unchanged : int
        Left as they are: a run has met them; they are as an earlier import had them.
    outside : int
        Records about other places than this migration's; left out.
    elsewhere : int
        Of pending: copied by the other tool to another key than the item's own.
    references : int
        Said to be switched, and references_found: references_confirmed + references_refuted + references_known + references_incomplete +
        references_left.
    references_confirmed : int
        The catalog shows the new value: updated, and `Migration.rollback` takes them back.
    references_refuted : int
        The catalog shows something else: the old value (original), another (conflict), or no such record (vanished).
    references_known : int
        This ledger knows of their switch already: they stay as they are.
    references_found : int
        Not said to be switched, and the catalog shows their new value all the same: taken over as those that are.
    references_incomplete : int
        The other ledger lacks the record's id, or one of two different values: told by a warning among the events each.
    references_left : int
        Not taken over, as the migration has no catalog that could confirm them: import the same file again with one.
    notes : int
        Runs, errors, lines of logs that were kept as events.
    is_repeated : bool
        The same file was imported before, with the same catalog; nothing was written.
    """

    items: int
    confirmed: int
    refuted: int
    failed: int
    pending: int
    known: int
    unchanged: int
    outside: int
    elsewhere: int
    references: int
    references_confirmed: int
    references_refuted: int
    references_known: int
    references_found: int
    references_incomplete: int
    references_left: int
    notes: int
    is_repeated: bool
    format: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalExample:
    """Something that would be deleted."""

    partition: str
    key: bytes
    version: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalPlan:
    """What `Migration.remove` would delete, as far as the ledger tells.

    Attributes
    ----------
    kind : {"extra", "source"}
        Extra objects at the destination, or verified items at the source.
    verify_run : int
        The newest verify run, on which it rests.
    hash : str
        Over what would be deleted; `Migration.remove` wants it.
    bytes : int
        Of the source's items; of extra objects it is not known: 0.
    at_destination : int
        Objects that the verification saw there; of extra objects only.
    kept : mapping of str to int
        Items of the source that would stay, by why: ``"not_copied"``, ``"not_verified"``, ``"matched_weak"``,
        ``"not_read"``, ``"finding"``.
    refusal : str
        Why it would be refused; empty if it would not.
    examples : tuple of RemovalExample
        The first 1,000.
    """

    kind: Literal["extra", "source"]
    verify_run: int
    hash: str
    items: int
    bytes: int
    at_destination: int
    kept: Mapping[str, int]
    refusal: str
    examples: tuple[RemovalExample, ...]
    json: str = field(repr=False, compare=False)

    def to_json(self) -> str:
        """The plan as a JSON object, one line."""
        return self.json


@dataclass(frozen=True, kw_only=True, slots=True)
class RemovalReport:
    """What became of a plan.

    Attributes
    ----------
    removed, gone : int
        Gone for good; not there any more.
    hidden : int
        Behind a delete marker: the store keeps versions, and their bytes are paid for until they expire.
    kept : int
        Had changed since the verification, or could not be deleted; each has an audit event that says why.
    is_stopped : bool
        By Ctrl-C, before the end.
    """

    removed: int
    hidden: int
    gone: int
    kept: int
    kept_by_class: Mapping[str, int]
    is_stopped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanExample:
    """An item that would not move."""

    key: bytes
    error_class: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanCollision:
    """An item whose destination key another one has as well.

    Attributes
    ----------
    wanted : bytes
        The key that the template makes for it.
    destination_key : bytes
        The one that it gets, with a suffix from its own id; empty where none helps, and it would fail.
    """

    partition: str
    key: bytes
    version: str
    wanted: bytes
    destination_key: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRow:
    """Items of a plan that have something in common.

    Attributes
    ----------
    name : str
        Of the partition, extension or host; `printable` where it is not UTF-8.
    title : str
        Of a partition, for people; empty where the source has none.
    groups : int
        More than one: the row stands for all that have no row of their own, and has no name.
    bytes : int
        Of the items whose size is known.
    unknown_sizes : int
        The others.
    """

    name: str
    title: str
    groups: int
    items: int
    bytes: int
    unknown_sizes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanUnreachable:
    """A host that did not answer when it was asked about one of its items, within 5 s."""

    host: str
    items: int
    error_class: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSample:
    """What came of asking for some items whose size no listing tells, drawn by chance, at most 200.

    Attributes
    ----------
    failed_by_class : mapping of str to int
        Those that did not answer; a dead link is one.
    """

    asked: int
    answered: int
    failed_by_class: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequests:
    """Calls that a copy would make, each tried once; 0 where that side is a folder.

    Attributes
    ----------
    listing : int
        HTTP requests that the plan's own listings took.
    source_looks, destination_looks : int
        Items that are asked about.
    writes : int
        Whole objects.
    copies : int
        Made by the store itself, instead of a read and a write.
    uploads : int
        Objects in parts: two calls each, to begin and to complete.
    is_lower_bound : bool
        Sizes are not known, or what is there has to be compared first.
    """

    listing: int
    source_looks: int
    reads: int
    destination_looks: int
    writes: int
    copies: int
    uploads: int
    parts: int
    is_lower_bound: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanTime:
    """How long a copy would take, at the pace of the last copy of this ledger that moved something.

    Attributes
    ----------
    seconds : float
        The longer of what the items and what the bytes take.
    run : int
        That the pace is of.
    moved_items, moved_bytes : int
        By that run.
    active_seconds : float
        In which time, listing included.
    """

    seconds: float
    run: int
    moved_items: int
    moved_bytes: int
    active_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a run would do. Nothing was recorded or moved.

    The tables have their largest rows, each exactly counted; what is left follows as one row that stands for several groups.

    Attributes
    ----------
    bytes : int
        Of the items whose size the listing tells.
    unknown_sizes : int
        The others, which are in no number of bytes.
    to_compare : int
        Something is there already; the transfer looks closer before it decides.
    to_look_at : int
        Copied before, and the listing does not tell whether they are still the same: the source is asked about each. With a
        limit they are left for a run without one.
    oversize, oversize_bytes : int
        Of the excluded, those that are larger than `Options.max_size_bytes`.
    occupied : int
        Would fail: the destination holds something else.
    unmatched_objects : int or None
        Objects at the destination that no listed item maps to: foreign ones, and those whose items are gone from the
        source. None where the listings are in no step by which this would be seen, or only some items were wanted.
    partitions : tuple of PlanRow
        The first 1,000 by bytes, then items; none where all items are in the one without a name.
    extensions : tuple of PlanRow
        The first 100 by items, in lower case; empty for none.
    hosts : tuple of PlanRow
        Of a source of links, the first 100 by items.
    unreachable : tuple of PlanUnreachable
        Of these hosts, those that did not answer.
    sample : PlanSample
        Of the items that would move and whose size is not known.
    estimated_bytes : int or None
        An estimate for all of these: the mean size in the sample, times how many would answer if the others are like it.
    requests : PlanRequests
        Calls that a copy would make.
    time : PlanTime or None
        How long it would take. None where the ledger has no run that moved something.
    collisions, items_in_collisions : int
        Destination keys that a key template makes for more than one item, and the items that get a suffix for it.
    collision_examples : tuple of PlanCollision
        The first 1,000 of these items.
    size_histogram : mapping of int to int
        Items by ⌈log2(size)⌉; −1 for empty ones; without those of unknown size.
    examples : tuple of PlanExample
        The first 1,000 that would not move.
    """

    items: int
    bytes: int
    unknown_sizes: int
    to_create: int
    to_update: int
    to_compare: int
    to_look_at: int
    unchanged: int
    excluded: int
    oversize: int
    oversize_bytes: int
    refused: int
    occupied: int
    unmatched_objects: int | None
    bytes_to_move: int
    objects_in_parts: int
    collisions: int
    items_in_collisions: int
    collision_examples: tuple[PlanCollision, ...]
    refused_by_class: Mapping[str, int]
    size_histogram: Mapping[int, int]
    partitions: tuple[PlanRow, ...]
    extensions: tuple[PlanRow, ...]
    hosts: tuple[PlanRow, ...]
    unreachable: tuple[PlanUnreachable, ...]
    sample: PlanSample
    estimated_bytes: int | None
    requests: PlanRequests
    time: PlanTime | None
    examples: tuple[PlanExample, ...]
    json: str = field(repr=False, compare=False)

    def to_json(self) -> str:
        """The plan as a JSON object, one line."""
        return self.json

    def to_dict(self) -> dict[str, Any]:
        """`to_json` parsed."""
        result: dict[str, Any] = json.loads(self.json)
        return result

    def _repr_html_(self) -> str:
        from waybill.notebook import plan_html  # noqa: PLC0415 (only where it is shown)

        return plan_html(self)


def make_plan(fields: dict[str, Any]) -> Plan:
    parts = {
        "examples": tuple(PlanExample(**entry) for entry in fields["examples"]),
        "collision_examples": tuple(PlanCollision(**entry) for entry in fields["collision_examples"]),
        "unreachable": tuple(PlanUnreachable(**entry) for entry in fields["unreachable"]),
        "sample": PlanSample(**fields["sample"]),
        "requests": PlanRequests(**fields["requests"]),
        "time": PlanTime(**fields["time"]) if fields["time"] is not None else None,
    } | {name: tuple(PlanRow(**entry) for entry in fields[name]) for name in ("partitions", "extensions", "hosts")}
    return Plan(**(fields | parts))


def make_removal_plan(fields: dict[str, Any]) -> RemovalPlan:
    return RemovalPlan(**(fields | {"examples": tuple(RemovalExample(**entry) for entry in fields["examples"])}))
