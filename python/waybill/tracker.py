# SPDX-License-Identifier: Apache-2.0
"""Tracker: the ledger of a migration, read beside a live run or after it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from waybill import _core
from waybill.migration import PathOrUrl, this_user
from waybill.records import (
    Event,
    Failure,
    Finding,
    ItemRecord,
    ItemState,
    MigrationInfo,
    Outcome,
    PartitionSummary,
    RateSample,
    RunRecord,
    RunSummary,
    Snapshot,
    make_outcome,
    make_partition_summary,
    make_run_summary,
    make_snapshot,
)

__all__ = ["Tracker"]

_PAGE = 1000


class Tracker:
    """A ledger that is there. Any number may be open beside the process that owns it.

    Lists come as iterators that hold one page of a thousand records in memory, whatever the size of the ledger; pandas,
    polars and others take them as they are.

    Parameters
    ----------
    path : str or path
        The ledger's path, or ``sqlite:///path``.
    read_only : bool
        Nothing is ever written. `request_pause` and `request_cancel` need False.

    Raises
    ------
    NotFoundError, PermissionDeniedError
        The ledger is not there, or may not be read.
    Error
        With ``error_class`` ``"tracker"``: corrupt, of a newer schema, no ledger. Also from every method.
    """

    def __init__(self, path: PathOrUrl, read_only: bool = True) -> None:
        self._core = _core.Tracker(os.fsencode(path), read_only)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger; every later call raises."""
        self._core.close()

    def migration(self) -> MigrationInfo | None:
        """What the ledger is about; None before its first run."""
        fields = self._core.migration()
        return MigrationInfo(**fields) if fields is not None else None

    def snapshot(self) -> Snapshot:
        """The accounts at one instant. Costs the same at ten items and ten million."""
        return make_snapshot(self._core.snapshot())

    def items(
        self, state: ItemState | Iterable[ItemState] | None = None, *, prefix: bytes | str = b""
    ) -> Iterator[ItemRecord]:
        """Rows in order of partition, key and version.

        Parameters
        ----------
        state : str or iterable of str, optional
            Only these states.
        prefix : bytes or str
            Only keys that begin so.
        """
        for fields in self._scan(_words(state), None, prefix, "items"):
            yield ItemRecord(**fields)

    def outcomes(
        self, state: ItemState | Iterable[ItemState] | None = None, *, prefix: bytes | str = b""
    ) -> Iterator[Outcome]:
        """Rows as `items`, each with its failure and waiver: what reports and audits are made of."""
        for fields in self._scan(_words(state), None, prefix, "outcomes"):
            yield make_outcome(fields)

    def failures(self, error_class: str | None = None, *, prefix: bytes | str = b"") -> Iterator[Failure]:
        """Items that did not move (failed or vanished) and why, in order of partition, key and version.

        Parameters
        ----------
        error_class : str, optional
            Only this class.
        prefix : bytes or str
            Only keys that begin so.
        """
        for fields in self._scan(["failed", "vanished"], error_class, prefix, "failures"):
            yield Failure(**fields)

    def findings(self, run: int | None = None) -> Iterator[Finding]:
        """What a verify run found; of the last one by default."""
        if run is None:
            run = next((record.run for record in self.runs() if record.phase == "verify"), None)
        offset = 0
        while run is not None and (page := self._core.findings(run, offset, _PAGE)):
            offset += len(page)
            for fields in page:
                yield Finding(**fields)

    def events(self, after: int = 0) -> Iterator[Event]:
        """Events of all runs with a seq above `after`, up to now."""
        while page := self._core.events(after, _PAGE):
            for fields in page:
                after = fields["seq"]
                yield Event(**fields)

    def runs(self, limit: int = 1_000_000) -> Iterator[RunRecord]:
        """Runs, newest first, at most `limit`."""
        for fields in self._core.runs(limit):
            yield RunRecord(**fields)

    def history(self, limit: int = 1_000_000) -> Iterator[RunSummary]:
        """Runs with their accounts, newest first, at most `limit`."""
        for fields in self._core.history(limit):
            yield make_run_summary(fields)

    def partitions(self) -> Iterator[PartitionSummary]:
        """Partitions by name, with their accounts."""
        after: bytes | None = None
        while page := self._core.partitions(after, _PAGE):
            for fields in page:
                after = os.fsencode(fields["name"])
                yield make_partition_summary(fields)

    def rates(self, run: int | None = None) -> Iterator[RateSample]:
        """What a run moved, minute by minute; the present run by default."""
        if run is None:
            run = self.snapshot().run
        after = -1
        while page := self._core.rates(run, after, _PAGE):
            for fields in page:
                after = fields["at_ms"]
                yield RateSample(**fields)

    def request_pause(self) -> None:
        """Ask the owner to pause its run; obeyed within one heartbeat, or at once where no owner is alive.

        Raises
        ------
        FailedPreconditionError
            There is nothing to pause, or the tracker was opened read-only.
        """
        self._core.request("pause", this_user())

    def request_cancel(self) -> None:
        """As `request_pause`, to cancel."""
        self._core.request("cancel", this_user())

    def _scan(
        self, states: list[ItemState], error_class: str | None, prefix: bytes | str, want: str
    ) -> Iterator[dict[str, Any]]:
        resume, is_last = b"", False
        while not is_last:
            rows, resume, is_last = self._core.scan(states, error_class, os.fsencode(prefix), resume, _PAGE, want)
            yield from rows


def _words(state: ItemState | Iterable[ItemState] | None) -> list[ItemState]:
    if state is None:
        return []
    return [state] if isinstance(state, str) else list(state)
