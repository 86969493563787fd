# SPDX-License-Identifier: Apache-2.0
"""Ledgers under the conformance suite: the built-in ones as Python has them, and one whose every record goes through Python."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.conformance import TrackerConformance, TrackerFixture

_spec = importlib.util.spec_from_file_location("delegating_tracker", Path(__file__).with_name("delegating_tracker.py"))
assert _spec is not None
assert _spec.loader is not None
delegating_tracker = importlib.util.module_from_spec(_spec)
sys.modules["delegating_tracker"] = delegating_tracker
_spec.loader.exec_module(delegating_tracker)


class File(TrackerFixture):
    def __init__(self, folder: Path, kind: type[waybill.Tracker]) -> None:
        self._path = folder / "a ledger.db"
        self._kind = kind

    def open(self) -> waybill.Tracker:
        return self._kind(self._path, read_only=False, create=True)

    def open_read_only(self) -> waybill.Tracker:
        return self._kind(self._path)


class Memory(TrackerFixture):
    is_durable = False

    def __init__(self) -> None:
        self._is_open = False

    def open(self) -> waybill.Tracker | None:
        if self._is_open:
            return None
        self._is_open = True
        return waybill.Tracker("memory:", read_only=False, create=True)


class TestSqlite(TrackerConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> TrackerFixture:
        return File(tmp_path, waybill.Tracker)


class TestMemory(TrackerConformance):
    @pytest.fixture
    def store(self) -> TrackerFixture:
        return Memory()


class TestInPython(TrackerConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> TrackerFixture:
        return File(tmp_path, delegating_tracker.DelegatingTracker)


class LosesAField(waybill.Tracker):
    def commit(self, epoch: int, batch: waybill.Batch) -> int:
        items = [
            dataclasses.replace(change, record=dataclasses.replace(change.record, opaque="")) for change in batch.items
        ]
        return super().commit(epoch, waybill.Batch(run=batch.run, items=items, live=batch.live))


class LosesWaivers(waybill.Tracker):
    def commit(self, epoch: int, batch: waybill.Batch) -> int:
        items = [dataclasses.replace(change, waiver=None) for change in batch.items]
        return super().commit(epoch, waybill.Batch(run=batch.run, items=items, live=batch.live))


class TakesAnyEpoch(waybill.Tracker):
    newest = 0

    def acquire(self, options: waybill.LeaseOptions) -> int:
        self.newest = super().acquire(options)
        return self.newest

    def commit(self, epoch: int, batch: waybill.Batch) -> int:
        return super().commit(self.newest, batch)


class ClaimsTwice(waybill.Tracker):
    once: Sequence[waybill.Claimed] | None = None

    def claim(self, epoch: int, limit: int) -> Sequence[waybill.Claimed]:
        if self.once is None:
            self.once = super().claim(epoch, limit)
            return self.once
        again, self.once = self.once, ()
        return again or super().claim(epoch, limit)


class CountsLate(waybill.Tracker):
    last: waybill.Snapshot | None = None

    def snapshot(self) -> waybill.Snapshot:
        now = super().snapshot()
        before, self.last = self.last or now, now
        return dataclasses.replace(now, bytes_done=before.bytes_done)


class IgnoresPrefixes(waybill.Tracker):
    def scan(self, query: waybill.Query, resume: bytes, limit: int) -> waybill.ScanPage:
        return super().scan(dataclasses.replace(query, prefix=b""), resume, limit)


class ForgetsParts(waybill.Tracker):
    def upload(self, id: waybill.ItemId) -> waybill.UploadRecord | None:
        found = super().upload(id)
        return found and dataclasses.replace(found, parts=found.parts[:1])


class RepeatsAnEvent(waybill.Tracker):
    def read_events(self, after: int, limit: int) -> Sequence[waybill.Event]:
        return super().read_events(max(after - 1, 0), limit)


class HearsNothing(waybill.Tracker):
    def requests(self) -> Sequence[waybill.Request]:
        return ()


class SettlesNothing(waybill.Tracker):
    def commit(self, epoch: int, batch: waybill.Batch) -> int:
        changes = [dataclasses.replace(change, is_settled=False) for change in batch.references]
        return super().commit(epoch, waybill.Batch(run=batch.run, references=changes))


class RewritesTheJournal(waybill.Tracker):
    """As one that takes the newest record for the truth."""

    newest: waybill.JournalRecord | None = None

    def commit(self, epoch: int, batch: waybill.Batch) -> int:
        self.newest = batch.journal[-1] if batch.journal else self.newest
        return super().commit(epoch, batch)

    def read_journal(self, id: waybill.ReferenceId) -> Sequence[waybill.JournalRecord]:
        return [self.newest] if self.newest else []


class ForgetsItsPlace(waybill.Tracker):
    def scan_references(self, query: waybill.ReferenceQuery, resume: bytes, limit: int) -> waybill.ReferenceRecordPage:
        page = super().scan_references(query, resume, limit)
        return dataclasses.replace(page, references=page.references[1:] if resume else page.references)


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (LosesAField, "test_every_field_of_a_row_comes_back"),
        (LosesWaivers, "test_a_waiver_is_kept_as_long_as_its_row_is_waived"),
        (TakesAnyEpoch, "test_a_stale_epoch_writes_nothing_of_its_batch"),
        (ClaimsTwice, "test_claims_come_in_key_order_each_once"),
        (CountsLate, "test_counters_equal_the_rows_after_every_commit"),
        (IgnoresPrefixes, "test_scans_filter_and_keep_their_order"),
        (ForgetsParts, "test_uploads_begin_grow_are_replaced_and_end"),
        (RepeatsAnEvent, "test_events_ascend_and_are_read_from_any_seq"),
        (HearsNothing, "test_requests_wait_for_a_live_owner"),
        (SettlesNothing, "test_references_are_counted_by_state_partition_and_run"),
        (RewritesTheJournal, "test_the_journal_never_rewrites_what_was_held_and_intended"),
        (ForgetsItsPlace, "test_a_scan_of_references_goes_in_order_and_filters"),
    ],
)
def test_the_suite_finds(kind: type[waybill.Tracker], case: str, tmp_path: Path) -> None:
    suite: Any = TrackerConformance()
    suite.store = File(tmp_path, kind)
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        getattr(suite, case)()
