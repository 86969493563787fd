# SPDX-License-Identifier: Apache-2.0
"""What a report says, gathered from a ledger in one pass over its rows and in bounded memory."""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from waybill._core import shown_key
from waybill.advice import what_to_do
from waybill.errors import FailedPreconditionError, NotFoundError
from waybill.records import (
    Failure,
    Finding,
    ItemAccounts,
    MigrationInfo,
    Outcome,
    PartitionSummary,
    RateSample,
    RunSummary,
    Snapshot,
)
from waybill.text import safe
from waybill.tracker import Tracker

__all__ = [
    "ErrorGroup",
    "Extension",
    "Series",
    "SizeClass",
    "Summary",
    "Tally",
    "accounts",
    "find_run",
    "observed_history",
    "outcome_of",
    "ratios",
    "series_of",
    "size_bound",
    "size_class",
    "summarize",
    "title_of",
]

LIVE_STATES = ("running", "cancelling")
# Bounds of what is held, whatever the ledger holds.
_EXTENSIONS = 1000
_LONGEST_EXTENSION = 12
_SHOWN = 50
_SERIES = 240


def outcome_of(outcome: Outcome) -> str:
    """The state of a row in one word: as stored, or ``"waived"``."""
    return "waived" if outcome.item.waived else outcome.item.state


def observed_history(ledger: Tracker, limit: int | None = None) -> Iterator[RunSummary]:
    """As `Tracker.history`, with the newest run as observers see it: what is stored does not say whether its owner lives."""
    now = ledger.snapshot()
    for run in ledger.history(limit if limit is not None else 1_000_000):
        if run.record.run != now.run:
            yield run
            continue
        record = dataclasses.replace(run.record, state=now.state, reason=now.reason, active_seconds=now.active_seconds)
        yield dataclasses.replace(
            run,
            record=record,
            items=now.items,
            bytes_total=now.bytes_total,
            bytes_done=now.bytes_done,
            attempts_total=now.attempts_total,
            attempts_failed=now.attempts_failed,
            failed_by_class=dict(now.failed_by_class),
            references=now.run_references,
        )


@dataclass(kw_only=True, slots=True)
class SizeClass:
    """Items of a range of sizes: up to `up_to` bytes, above the class before. None: of unknown size."""

    up_to: int | None
    items: int = 0
    bytes: int = 0
    done: int = 0


@dataclass(kw_only=True, slots=True)
class Extension:
    """Items whose names end alike. ``""``: without an extension; None: those beyond the first thousand."""

    name: str | None
    items: int = 0
    bytes: int = 0
    done: int = 0


@dataclass(kw_only=True, slots=True)
class ErrorGroup:
    """Items that did not move for one class of reasons, an example of them, and what to do."""

    error_class: str
    failed: int = 0
    vanished: int = 0
    waived: int = 0
    attempts: int = 0
    retryable: int = 0
    example: str = ""
    message: str = ""

    @property
    def advice(self) -> str:
        """In one sentence."""
        return what_to_do(self.error_class)


class Tally:
    """Rows of a ledger, counted: by outcome, size, extension and class of errors.

    Attributes
    ----------
    outcomes : Counter
        Rows by outcome; those that are in no account any more are not among them.
    unlisted : int
        Those.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.unlisted = 0
        self._sizes: dict[int, SizeClass] = {}
        self._extensions: dict[str | None, Extension] = {}
        self._groups: dict[str, ErrorGroup] = {}

    def add(self, outcome: Outcome) -> None:
        """Count a row."""
        if outcome.left:
            self.unlisted += 1
            return
        item = outcome.item
        self.outcomes[outcome_of(outcome)] += 1
        if item.state in ("failed", "vanished"):
            self._add_error(outcome)
        if item.state in ("excluded", "vanished"):
            return
        is_done = item.state in ("copied", "verified")
        number = -1 if item.size is None else size_class(item.size)
        sizes = self._sizes.setdefault(number, SizeClass(up_to=size_bound(number)))
        name: str | None = _extension(item.key)
        if name not in self._extensions and len(self._extensions) >= _EXTENSIONS:
            name = None
        extension = self._extensions.setdefault(name, Extension(name=name))
        for group in (sizes, extension):
            group.items += 1
            group.bytes += item.size or 0
            group.done += is_done

    def _add_error(self, outcome: Outcome) -> None:
        item, failure = outcome.item, outcome.failure
        word = failure.error_class if failure is not None else item.error_class
        group = self._groups.setdefault(word, ErrorGroup(error_class=word))
        # An example that somebody still has to look at, if there is one.
        if not group.example or (not item.waived and group.failed + group.vanished == 0):
            group.example, group.message = shown_key(item.key), failure.message if failure is not None else ""
        if item.waived:
            group.waived += 1
        elif item.state == "vanished":
            group.vanished += 1
        else:
            group.failed += 1
        if failure is not None:
            group.attempts += failure.attempts
            group.retryable += failure.retryable

    @property
    def sizes(self) -> list[SizeClass]:
        """Eligible items by size, from small to large, without gaps; those of unknown size last."""
        known = [number for number in self._sizes if number >= 0]
        first, last = min(known, default=0), max(known, default=-1)
        rows = [self._sizes.get(number, SizeClass(up_to=size_bound(number))) for number in range(first, last + 1)]
        return rows + [self._sizes[number] for number in self._sizes if number < 0]

    @property
    def extensions(self) -> list[Extension]:
        """Eligible items by extension, the most bytes first."""
        return sorted(self._extensions.values(), key=lambda one: (one.name is None, -one.bytes, -one.items))

    @property
    def errors(self) -> list[ErrorGroup]:
        """By class, the most items first."""
        return sorted(self._groups.values(), key=lambda one: (-one.failed - one.vanished, -one.waived, one.error_class))


def size_class(size: int) -> int:
    """0 for empty items, then 1 KiB, 4 KiB, 16 KiB, …: a class is four times as wide as the one before."""
    if size == 0:
        return 0
    return 1 + (((size - 1) >> 10).bit_length() + 1) // 2


def size_bound(number: int) -> int | None:
    """The largest size of a class; None for the one of unknown sizes, -1."""
    return None if number < 0 else 0 if number == 0 else 1024 << 2 * (number - 1)


def _extension(key: bytes) -> str:
    """What follows the last dot of the last name, in lower case, if it looks like an extension."""
    name = key.rsplit(b"/", 1)[-1]
    stem, dot, end = name.rpartition(b".")
    if not (dot and stem) or len(end) > _LONGEST_EXTENSION or not end.isalnum():
        return ""
    return end.decode("ascii").lower()


class Series:
    """Rates of a run in at most 240 stretches, however long it was: neighbours are joined as it grows."""

    def __init__(self) -> None:
        self.stretches: list[RateSample] = []
        self.ends_ms: list[int] = []
        self._joined = 1  # samples in a stretch that is full
        self._in_last = 0

    def per_second(self, amounts: Sequence[float]) -> list[float]:
        """Divide a number for each stretch by how long that was."""
        return [
            amount / one.seconds if one.seconds > 0 else 0.0
            for amount, one in zip(amounts, self.stretches, strict=True)
        ]

    def add(self, sample: RateSample) -> None:
        """Add the next sample, in order of time."""
        end = sample.at_ms + round(sample.seconds * 1000)
        if self._in_last < self._joined and self.stretches:
            self.stretches[-1], self.ends_ms[-1] = _join(self.stretches[-1], sample), end
            self._in_last += 1
            return
        self.stretches.append(sample)
        self.ends_ms.append(end)
        self._in_last = 1
        if len(self.stretches) > _SERIES:
            pairs = range(0, len(self.stretches) - 1, 2)
            rest = self.stretches[len(pairs) * 2 :]
            rest_ends = self.ends_ms[len(pairs) * 2 :]
            self.stretches = [_join(self.stretches[at], self.stretches[at + 1]) for at in pairs] + rest
            self.ends_ms = [self.ends_ms[at + 1] for at in pairs] + rest_ends
            self._joined *= 2
            self._in_last = 1 if rest else self._joined


def series_of(ledger: Tracker, run: int) -> Series:
    """The rates of a run."""
    series = Series()
    for sample in ledger.rates(run):
        series.add(sample)
    return series


def _join(one: RateSample, next_one: RateSample) -> RateSample:
    return dataclasses.replace(
        next_one,
        at_ms=one.at_ms,
        seconds=one.seconds + next_one.seconds,
        items=one.items + next_one.items,
        bytes=one.bytes + next_one.bytes,
        attempts_failed=one.attempts_failed + next_one.attempts_failed,
    )


@dataclass(kw_only=True, slots=True)
class Summary:
    """What a report for people says.

    Attributes
    ----------
    run : RunSummary
        What the report is about, with the accounts in its frame; those of the migration are in `snapshot`.
    verify : RunSummary or None
        The last verify run, or `run` if that is one; the findings are of it.
    later_copy : int or None
        A copy run that began after `verify`.
    partitions : list of PartitionSummary
        Those with the most outstanding items, then bytes.
    bytes_total, bytes_done : int
        Of the migration.
    failures : list of Failure
        The first that were not waived.
    is_live : bool
        The ledger was being written while it was read.
    """

    made_at_ms: int
    info: MigrationInfo
    snapshot: Snapshot
    run: RunSummary
    verify: RunSummary | None
    later_copy: int | None
    runs: list[RunSummary]
    runs_total: int
    partitions: list[PartitionSummary]
    partitions_total: int
    bytes_total: int
    bytes_done: int
    series: Series
    findings: list[Finding]
    failures: list[Failure] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    is_live: bool = False


def ratios(run: RunSummary) -> dict[str, float | None]:
    """Progress, completeness and success as `Snapshot` has them: None where they cannot be known."""
    items = run.items
    is_known = run.record.listing_complete
    return {
        "progress": (items.settled / items.eligible if items.eligible else 1.0) if is_known else None,
        "completeness": (items.done / items.eligible if items.eligible else 1.0) if is_known else None,
        "success": 1 - run.attempts_failed / run.attempts_total if run.attempts_total else None,
    }


def accounts(items: ItemAccounts) -> dict[str, int]:
    """In the words of ``waybill status --json``."""
    fields = dataclasses.asdict(items)
    fields["new"] = fields.pop("created")
    return fields


def find_run(ledger: Tracker, wanted: int | None) -> RunSummary:
    """The run `wanted`, or the newest copy run, or the newest of all where nothing was copied.

    Raises
    ------
    FailedPreconditionError, NotFoundError
        Nothing has been run yet; there is no such run.
    """
    newest = None
    for run in observed_history(ledger):
        newest = newest or run
        if run.record.run == wanted or (wanted is None and run.record.phase in ("copy", "track")):
            return run
    if newest is None:
        raise FailedPreconditionError(
            "nothing has been run yet: there is nothing to report",
            code="failed_precondition",
            error_class="configuration",
        )
    if wanted is None:
        return newest
    raise NotFoundError(
        f"the ledger has no run {wanted}; the newest is run {newest.record.run}",
        code="not_found",
        error_class="configuration",
    )


def summarize(ledger: Tracker, wanted: int | None = None) -> Summary:
    """Gather what a report about the run of `find_run` says.

    Raises
    ------
    FailedPreconditionError, NotFoundError
        As `find_run`.
    Error
        As `Tracker`.
    """
    run = find_run(ledger, wanted)
    info, snapshot = ledger.migration(), ledger.snapshot()
    assert info is not None, "a ledger with a run is about something"
    verify = run if run.record.phase == "verify" else None
    runs: list[RunSummary] = []
    n_runs = 0
    for one in observed_history(ledger):
        n_runs += 1
        if len(runs) < _SHOWN:
            runs.append(one)
        if verify is None and one.record.phase == "verify":
            verify = one
    newest_copy = next((one.record.run for one in runs if one.record.phase == "copy"), 0)
    summary = Summary(
        made_at_ms=int(time.time() * 1000),
        info=info,
        snapshot=snapshot,
        run=run,
        verify=verify,
        later_copy=newest_copy if verify is not None and newest_copy > verify.record.run else None,
        runs=runs,
        runs_total=n_runs,
        partitions=[],
        partitions_total=0,
        bytes_total=0,
        bytes_done=0,
        series=series_of(ledger, run.record.run),
        findings=list(islice(ledger.findings(verify.record.run), _SHOWN)) if verify is not None else [],
    )
    summary.partitions = heapq.nlargest(
        _SHOWN,
        _counted(ledger.partitions(), summary),
        key=lambda one: (one.migration_items.outstanding, one.bytes_total, one.migration_items.eligible),
    )
    for outcome in ledger.outcomes():
        summary.tally.add(outcome)
        if outcome.failure is not None and len(summary.failures) < _SHOWN:
            if outcome.item.state in ("failed", "vanished") and not outcome.item.waived and not outcome.left:
                summary.failures.append(outcome.failure)
    summary.is_live = snapshot.state in LIVE_STATES or ledger.snapshot().seq != snapshot.seq
    return summary


def _counted(partitions: Iterable[PartitionSummary], summary: Summary) -> Iterator[PartitionSummary]:
    for partition in partitions:
        summary.partitions_total += 1
        summary.bytes_total += partition.bytes_total
        summary.bytes_done += partition.bytes_done
        yield partition


def title_of(summary: Summary) -> str:
    """The name of the migration, or its id."""
    return safe(summary.info.name or summary.info.id)
