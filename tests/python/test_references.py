# SPDX-License-Identifier: Apache-2.0
"""References and their journal as Python reads them from a ledger."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.tracker import as_engine_sees


def reference(n: int, state: Any = "pending", **fields: Any) -> waybill.ReferenceRecord:
    value = f"https://old.example/{n:05}"
    return waybill.ReferenceRecord(
        catalog="sql:crm",
        record=f"{n:05}",
        field="url",
        partition=f"account {n % 3}",
        partition_name=f"Account number {n % 3}",
        item_partition=f"account {n % 3}",
        item_key=value.encode(),
        value=value,
        state=state,
        intended=f"https://new.example/{n:05}",
        seen=1,
        **fields,
    )


def switch(n: int) -> waybill.JournalRecord:
    row = reference(n)
    return waybill.JournalRecord(
        catalog=row.catalog,
        record=row.record,
        field=row.field,
        run=2,
        partition=row.partition,
        old=row.value,
        intended=row.intended,
        observed=row.intended,
        state="applied",
        at_ms=1_790_000_000_123,
    )


def make(path: Path, n: int) -> None:
    """A ledger whose run 2, a cutover that has not ended, has switched ten references of `n`."""
    tracker = waybill.Tracker(path, read_only=False, create=True)
    tracker.bind(waybill.MigrationInfo(name="a name", fingerprint="f", source="a", destination="b"))
    epoch = tracker.acquire(waybill.LeaseOptions())
    run = waybill.RunRecord(run=1, state="completed", options="{}")
    changes = [waybill.ReferenceChange(record=reference(i)) for i in range(n)]
    tracker.commit(epoch, waybill.Batch(run=run, references=changes))
    run = waybill.RunRecord(run=2, phase="cutover", state="paused", options="{}", references=30)
    done = [waybill.ReferenceChange(record=reference(i, "updated", generation=1), is_settled=True) for i in range(10)]
    tracker.commit(epoch, waybill.Batch(run=run, references=done, journal=[switch(i) for i in range(10)]))
    tracker.release(epoch)
    tracker.close()


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[waybill.Tracker]:
    make(tmp_path / "ledger.db", 2500)  # three pages
    with waybill.Tracker(tmp_path / "ledger.db") as tracker:
        yield tracker


def test_references_are_listed_lazily_and_by_state_partition_and_run(tracker: waybill.Tracker) -> None:
    everything = tracker.references()
    assert isinstance(everything, waybill.Records)
    rows = list(everything)
    assert rows == list(everything)
    assert [row.record for row in rows] == [f"{n:05}" for n in range(2500)]
    assert rows[2000] == reference(2000)
    assert rows[3] == reference(3, "updated", generation=1, run=2)
    assert [row.record for row in tracker.references("updated")] == [f"{n:05}" for n in range(10)]
    assert len(list(tracker.references(iter(["updated", "pending"]), partition="account 1"))) == 833
    assert [row.id for row in tracker.references(run=2, partition="account 2")] == [
        waybill.ReferenceId("sql:crm", f"{n:05}", "url") for n in (2, 5, 8)
    ]
    assert list(tracker.references(partition="account 9")) == []
    assert rows[0].item == waybill.ItemId("account 0", b"https://old.example/00000", "")
    with pytest.raises(waybill.InvalidArgumentError, match=r"states: \"renewed\" is not one of original"):
        list(tracker.references("renewed"))  # type: ignore[arg-type]


def test_the_journal_of_a_reference_is_listed(tracker: waybill.Tracker) -> None:
    assert list(tracker.journal(reference(7).id)) == [switch(7)]
    assert list(tracker.journal(reference(11).id)) == []
    with pytest.raises(waybill.Error, match="ReferenceId"):
        list(tracker.journal("00007"))  # type: ignore[arg-type]


def test_accounts_of_references_are_in_snapshots_history_partitions_and_status(tracker: waybill.Tracker) -> None:
    snapshot = tracker.snapshot()
    assert snapshot.references == waybill.ReferenceAccounts(total=2500, pending=2490, updated=10)
    assert snapshot.run_references == waybill.ReferenceAccounts(total=30, pending=20, updated=10)
    words = snapshot.to_dict()["references"]
    assert words.pop("run") == dataclasses.asdict(snapshot.run_references)
    assert words == dataclasses.asdict(snapshot.references)
    cutover, copy = tracker.history()
    assert cutover.references == waybill.ReferenceAccounts(total=10, updated=10)
    assert (cutover.record.references, copy.record.references) == (30, None)
    assert [one.references.total for one in tracker.partitions()] == [834, 833, 833]
    assert waybill.Snapshot(run=1).to_dict()["references"]["run"] is None  # of a copy


def test_references_and_journal_are_tables(tracker: waybill.Tracker) -> None:
    frame = tracker.references("updated").to_pandas()
    assert list(frame.columns) == [field.name for field in dataclasses.fields(waybill.ReferenceRecord)]
    assert list(frame["value"]) == [f"https://old.example/{n:05}" for n in range(10)]
    journal = tracker.journal(reference(7).id).to_arrow().to_pylist()
    assert journal[0]["at"].timestamp() == 1_790_000_000.123
    assert journal[0]["observed"] == "https://new.example/00007"


def test_memory_of_a_list_of_references_does_not_grow(tmp_path: Path) -> None:
    def peak_of(n: int) -> int:
        make(tmp_path / f"{n}.db", n)
        with waybill.Tracker(tmp_path / f"{n}.db") as tracker:
            tracemalloc.start()
            try:
                assert sum(1 for _ in tracker.references()) == n
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak_of(3000)  # what is imported and cached
    assert peak_of(30_000) < 1.2 * peak_of(4000)


class WithoutReferences(waybill.Tracker):
    """A ledger of one's own, as those that were written before there were references."""

    def __init__(self, path: Path) -> None:
        self.place = waybill.Tracker(path, read_only=False, create=True)


def _hand_on(name: str) -> Any:
    return lambda self, *words: getattr(self.place, name)(*words)


for _name in (
    *("bind", "migration", "acquire", "release", "commit", "claim", "lookup", "scan", "uploads", "upload", "listings"),
    *("read_findings", "read_events", "read_runs", "snapshot", "request", "requests"),
):
    setattr(WithoutReferences, _name, _hand_on(_name))


def test_a_ledger_of_ones_own_without_references_works_and_says_so(tree: Path, tmp_path: Path) -> None:
    ledger = WithoutReferences(tmp_path / "l.db")
    assert waybill.Migration(tree, tmp_path / "to", ledger).run().exit_code == 0
    assert ledger.snapshot().references == waybill.ReferenceAccounts()
    seen = as_engine_sees(ledger)
    id = waybill.ReferenceId("a", "b", "c")
    for ask in (
        lambda: seen.lookup_references([id]),
        lambda: seen.scan_references(waybill.ReferenceQuery(), b"", 10),
        lambda: seen.lookup_journal([id]),
        lambda: seen.read_journal(id),
        seen.cutover_plan,
        lambda: list(ledger.references()),
        lambda: list(ledger.journal(id)),
    ):
        with pytest.raises(waybill.UnimplementedError, match="keeps no references") as caught:
            ask()
        assert caught.value.error_class == "unsupported"
