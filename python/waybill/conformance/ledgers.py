# SPDX-License-Identifier: Apache-2.0
"""What both files of the suite for trackers use: a ledger that is opened, and one that is owned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from waybill.conformance.fixtures import TrackerFixture
from waybill.ledger_records import Batch, ItemChange, LeaseOptions
from waybill.records import ItemRecord, MigrationInfo, Phase, RunRecord, RunState
from waybill.tracker import Tracker, as_engine_sees

__all__ = ["NOW", "WANTED", "Owned", "TrackerSuite", "run_of"]

WANTED = MigrationInfo(
    name="a name",
    fingerprint="memory://from memory://to plain",
    source="memory://from",
    destination="memory://to",
    source_url="memory://from?x=***",
    destination_url="memory://to",
)
NOW = 1_790_000_000_000


def run_of(run: int, state: RunState = "running", phase: Phase = "copy", references: int | None = None) -> RunRecord:
    """A run's record."""
    is_ended = state in ("completed", "completed_with_differences", "failed", "cancelled")
    return RunRecord(
        run=run,
        phase=phase,
        state=state,
        started_at_ms=NOW,
        ended_at_ms=NOW + 1000 if is_ended else None,
        references=references,
        options="{}",
        engine_version="0.1.0",
    )


class Owned:
    """A ledger that this process owns, in run 1."""

    def __init__(self, tracker: Tracker, lease_ms: int = 30_000) -> None:
        self.tracker = tracker
        tracker.bind(WANTED)
        self.epoch = tracker.acquire(LeaseOptions(lease_ms=lease_ms))
        self.commit(run=run_of(1))

    def commit(self, **parts: Any) -> int:
        return self.tracker.commit(self.epoch, Batch(**parts))

    def commit_items(self, *rows: ItemRecord) -> int:
        return self.commit(items=[ItemChange(record=row) for row in rows])

    def claim(self, limit: int) -> list[bytes]:
        return [item.record.key for item in self.tracker.claim(self.epoch, limit)]


class TrackerSuite:
    """Ways to the ledger of a fixture ``store``."""

    store: TrackerFixture

    @pytest.fixture(autouse=True)
    def _begin(self, store: TrackerFixture) -> None:
        self.store = store

    def first(self) -> Tracker:
        """The ledger, opened for the first time."""
        tracker = self.store.open()
        assert tracker is not None
        return as_engine_sees(tracker)

    def another(self) -> Tracker:
        """The ledger, as another process has it. Skips the case where that cannot be."""
        tracker = self.store.open()
        if tracker is None:
            pytest.skip("the ledger cannot be opened twice")
        return as_engine_sees(tracker)

    @contextmanager
    def owned(self, lease_ms: int = 30_000) -> Iterator[Owned]:
        """The ledger, owned, in run 1; given up at the end."""
        owned = Owned(self.first(), lease_ms)
        try:
            yield owned
        finally:
            owned.tracker.release(owned.epoch)
