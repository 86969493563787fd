# SPDX-License-Identifier: Apache-2.0
"""What can be read of a ledger, by whoever has one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeVar

from waybill import _core
from waybill.catalogs import ReferenceId
from waybill.frames import Page, Records
from waybill.records import (
    Event,
    Failure,
    Finding,
    ItemRecord,
    ItemResult,
    ItemState,
    JournalRecord,
    Outcome,
    PartitionSummary,
    RateSample,
    ReferenceRecord,
    ReferenceState,
    RunRecord,
    RunSummary,
    make_outcome,
    make_partition_summary,
    make_run_summary,
)

__all__ = ["LedgerReader"]

_PAGE = 1000

Record = TypeVar("Record")
Word = TypeVar("Word", bound=str)


class LedgerReader:
    """The lists of a ledger: the part that `Tracker` and `Migration` have in common."""

    def _reading(self) -> AbstractContextManager[_core.Tracker]:
        """Give the ledger for as long as one list is read."""
        raise NotImplementedError

    def items(
        self, state: ItemState | Iterable[ItemState] | None = None, *, prefix: bytes | str = b""
    ) -> Records[ItemRecord]:
        """Rows in order of partition, key and version.

        Parameters
        ----------
        state : str or iterable of str, optional
            Only these states.
        prefix : bytes or str
            Only keys that begin so.
        """
        return self._scan(ItemRecord, _keywords(ItemRecord), "items", states=_words(state), prefix=prefix)

    def outcomes(
        self, state: ItemState | Iterable[ItemState] | None = None, *, prefix: bytes | str = b""
    ) -> Records[Outcome]:
        """Rows as `items`, each with its failure and waiver: what reports and audits are made of."""
        return self._scan(Outcome, make_outcome, "outcomes", states=_words(state), prefix=prefix)

    def failures(self, error_class: str | None = None, *, prefix: bytes | str = b"") -> Records[Failure]:
        """Items that did not move (failed or vanished) and why, in order of partition, key and version.

        Parameters
        ----------
        error_class : str, optional
            Only this class.
        prefix : bytes or str
            Only keys that begin so.
        """
        states: list[ItemState] = ["failed", "vanished"]
        make = _keywords(Failure)
        return self._scan(Failure, make, "failures", states=states, error_class=error_class, prefix=prefix)

    def results(self, *, prefix: bytes | str = b"") -> Records[ItemResult]:
        """What a program kept of its items (`TrackedRun.result`), in order of partition and key.

        Parameters
        ----------
        prefix : bytes or str
            Only keys that begin so.
        """
        return self._scan(ItemResult, _keywords(ItemResult), "results", states=[], prefix=prefix)

    def references(
        self,
        states: ReferenceState | Iterable[ReferenceState] | None = None,
        *,
        partition: str | None = None,
        run: int | None = None,
    ) -> Records[ReferenceRecord]:
        """References in order of catalog, record and field.

        Parameters
        ----------
        states : str or iterable of str, optional
            Only these states.
        partition : str, optional
            Only records of this one.
        run : int, optional
            Only those that this run settled last.
        """
        words = _words(states)
        name = None if partition is None else os.fsencode(partition)

        def pages(core: _core.Tracker) -> Iterator[Page]:
            resume, is_last = b"", False
            while not is_last:
                page, resume, is_last = core.references(words, name, run, resume, _PAGE)
                yield page

        return self._records(ReferenceRecord, _keywords(ReferenceRecord), pages)

    def journal(self, id: ReferenceId) -> Records[JournalRecord]:
        """Every switch of one reference (`ReferenceRecord.id`), the first one first."""
        return self._records(JournalRecord, _keywords(JournalRecord), lambda core: iter([core.journal(id)]))

    def findings(self, run: int | None = None) -> Records[Finding]:
        """What a verify run found; of the last one by default."""

        def pages(core: _core.Tracker) -> Iterator[Page]:
            of = run
            if of is None:
                of = next((record["run"] for record in core.runs(1_000_000) if record["phase"] == "verify"), None)
            offset = 0
            while of is not None and (page := core.findings(of, offset, _PAGE)):
                offset += len(page)
                yield page

        return self._records(Finding, _keywords(Finding), pages)

    def events(self, after: int = 0) -> Records[Event]:
        """Events of all runs with a seq above `after`, up to now."""

        def pages(core: _core.Tracker) -> Iterator[Page]:
            last = after
            while page := core.events(last, _PAGE):
                last = page[-1]["seq"]
                yield page

        return self._records(Event, _keywords(Event), pages)

    def runs(self, limit: int = 1_000_000) -> Records[RunRecord]:
        """Runs, newest first, at most `limit`."""
        return self._records(RunRecord, _keywords(RunRecord), lambda core: iter([core.runs(limit)]))

    def history(self, limit: int = 1_000_000) -> Records[RunSummary]:
        """Runs with their accounts, newest first, at most `limit`."""
        return self._records(RunSummary, make_run_summary, lambda core: iter([core.history(limit)]))

    def partitions(self) -> Records[PartitionSummary]:
        """Partitions by name, with their accounts."""

        def pages(core: _core.Tracker) -> Iterator[Page]:
            after: bytes | None = None
            while page := core.partitions(after, _PAGE):
                after = os.fsencode(page[-1]["name"])
                yield page

        return self._records(PartitionSummary, make_partition_summary, pages)

    def rates(self, run: int | None = None) -> Records[RateSample]:
        """What a run moved, minute by minute; the present run by default."""

        def pages(core: _core.Tracker) -> Iterator[Page]:
            of = run if run is not None else core.snapshot()["run"]
            after = -1
            while page := core.rates(of, after, _PAGE):
                after = page[-1]["at_ms"]
                yield page

        return self._records(RateSample, _keywords(RateSample), pages)

    def _scan(
        self,
        kind: type[Record],
        make: Callable[[dict[str, Any]], Record],
        want: Literal["items", "outcomes", "failures", "results"],
        *,
        states: list[ItemState],
        prefix: bytes | str,
        error_class: str | None = None,
    ) -> Records[Record]:
        def pages(core: _core.Tracker) -> Iterator[Page]:
            resume, is_last = b"", False
            while not is_last:
                page, resume, is_last = core.scan(states, error_class, os.fsencode(prefix), resume, _PAGE, want)
                yield page

        return self._records(kind, make, pages)

    def _records(
        self,
        kind: type[Record],
        make: Callable[[dict[str, Any]], Record],
        pages: Callable[[_core.Tracker], Iterator[Page]],
    ) -> Records[Record]:
        def read() -> Iterator[Page]:
            with self._reading() as core:
                yield from pages(core)

        return Records(kind, make, read)


def _keywords(kind: Callable[..., Record]) -> Callable[[dict[str, Any]], Record]:
    return lambda row: kind(**row)


def _words(words: Word | Iterable[Word] | None) -> list[Word]:
    if words is None:
        return []
    return [words] if isinstance(words, str) else list(words)
