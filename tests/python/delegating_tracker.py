# SPDX-License-Identifier: Apache-2.0
"""A tracker of which every method goes through Python, and on to waybill's own ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import waybill


class DelegatingTracker(waybill.Tracker):
    """Overrides everything with what is there, and makes the parts of every batch anew. `called` counts."""

    def __init__(self, path: str | Path, read_only: bool = True, *, create: bool = False) -> None:
        super().__init__(path, read_only, create=create)
        self.called: Counter[str] = Counter()

    def bind(self, wanted: waybill.MigrationInfo) -> waybill.MigrationInfo:
        self.called["bind"] += 1
        return super().bind(wanted)

    def migration(self) -> waybill.MigrationInfo | None:
        self.called["migration"] += 1
        return super().migration()

    def acquire(self, options: waybill.LeaseOptions) -> int:
        self.called["acquire"] += 1
        return super().acquire(options)

    def release(self, epoch: int) -> None:
        self.called["release"] += 1
        super().release(epoch)

    def hurry(self) -> None:
        self.called["hurry"] += 1
        super().hurry()

    def commit(self, epoch: int, batch: waybill.Batch) -> int:
        self.called["commit"] += 1
        anew = waybill.Batch(
            run=batch.run,
            items=batch.items,
            listings=batch.listings,
            uploads=batch.uploads,
            findings=batch.findings,
            references=batch.references,
            journal=batch.journal,
            plan=batch.plan,
            events=batch.events,
            rates=batch.rates,
            live=batch.live,
            served_requests=batch.served_requests,
        )
        return super().commit(epoch, anew)

    def claim(self, epoch: int, limit: int) -> Sequence[waybill.Claimed]:
        self.called["claim"] += 1
        return super().claim(epoch, limit)

    def lookup(self, ids: Sequence[waybill.ItemId]) -> Sequence[waybill.ItemRecord | None]:
        self.called["lookup"] += 1
        return super().lookup(ids)

    def scan(self, query: waybill.Query, resume: bytes, limit: int) -> waybill.ScanPage:
        self.called["scan"] += 1
        return super().scan(query, resume, limit)

    def uploads(self) -> Sequence[waybill.UploadRecord]:
        self.called["uploads"] += 1
        return super().uploads()

    def upload(self, id: waybill.ItemId) -> waybill.UploadRecord | None:
        self.called["upload"] += 1
        return super().upload(id)

    def listings(self) -> Sequence[waybill.ListingRecord]:
        self.called["listings"] += 1
        return super().listings()

    def lookup_references(self, ids: Sequence[waybill.ReferenceId]) -> Sequence[waybill.ReferenceRecord | None]:
        self.called["lookup_references"] += 1
        return super().lookup_references(ids)

    def scan_references(self, query: waybill.ReferenceQuery, resume: bytes, limit: int) -> waybill.ReferenceRecordPage:
        self.called["scan_references"] += 1
        return super().scan_references(query, resume, limit)

    def lookup_journal(self, ids: Sequence[waybill.ReferenceId]) -> Sequence[waybill.JournalRecord | None]:
        self.called["lookup_journal"] += 1
        return super().lookup_journal(ids)

    def read_journal(self, id: waybill.ReferenceId) -> Sequence[waybill.JournalRecord]:
        self.called["read_journal"] += 1
        return super().read_journal(id)

    def cutover_plan(self) -> waybill.CutoverPlanRecord | None:
        self.called["cutover_plan"] += 1
        return super().cutover_plan()

    def read_findings(self, run: int, offset: int, limit: int) -> Sequence[waybill.Finding]:
        self.called["read_findings"] += 1
        return super().read_findings(run, offset, limit)

    def read_events(self, after: int, limit: int) -> Sequence[waybill.Event]:
        self.called["read_events"] += 1
        return super().read_events(after, limit)

    def read_runs(self, limit: int) -> Sequence[waybill.RunRecord]:
        self.called["read_runs"] += 1
        return super().read_runs(limit)

    def read_history(self, limit: int) -> Sequence[waybill.RunSummary]:
        self.called["read_history"] += 1
        return super().read_history(limit)

    def read_partitions(self, after: str | None, limit: int) -> Sequence[waybill.PartitionSummary]:
        self.called["read_partitions"] += 1
        return super().read_partitions(after, limit)

    def read_rates(self, run: int, after_ms: int, limit: int) -> Sequence[waybill.RateSample]:
        self.called["read_rates"] += 1
        return super().read_rates(run, after_ms, limit)

    def snapshot(self) -> waybill.Snapshot:
        self.called["snapshot"] += 1
        return super().snapshot()

    def request(self, verb: Literal["pause", "cancel"], who: str) -> None:
        self.called["request"] += 1
        super().request(verb, who)

    def requests(self) -> Sequence[waybill.Request]:
        self.called["requests"] += 1
        return super().requests()
