# SPDX-License-Identifier: Apache-2.0
"""What every Tracker keeps: binding, leases and fencing, the queue, rows and pages, accounts that equal a recount of the rows
after every commit, and what it keeps of runs, events, uploads and requests."""

from __future__ import annotations

import dataclasses
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from waybill.conformance.ledgers import NOW as _NOW
from waybill.conformance.ledgers import WANTED as _WANTED
from waybill.conformance.ledgers import run_of as _run
from waybill.conformance.tracker_references import ReferenceCases
from waybill.errors import Error
from waybill.ledger_records import (
    Batch,
    FailureRecord,
    ItemChange,
    LeaseOptions,
    ListingRecord,
    Query,
    ScanRow,
    UploadChange,
    UploadRecord,
    Waiver,
)
from waybill.records import (
    Event,
    Finding,
    InFlight,
    ItemAccounts,
    ItemRecord,
    ItemState,
    LiveState,
    RateSample,
    RunRecord,
)
from waybill.stores import ItemId, PartInfo, SourceStamp
from waybill.tracker import Tracker, as_engine_sees

__all__ = ["TrackerConformance"]


class TrackerConformance(ReferenceCases):
    """What every ledger keeps; give it a fixture ``store``, a `TrackerFixture`."""

    def test_the_first_bind_makes_the_ledger_ours(self) -> None:
        tracker = self.first()
        assert tracker.migration() is None
        bound = tracker.bind(_WANTED)
        assert len(bound.id) == 16
        assert set(bound.id) <= set("0123456789abcdef")
        assert bound.created_at_ms > 1_600_000_000_000
        assert bound == dataclasses.replace(_WANTED, id=bound.id, created_at_ms=bound.created_at_ms)
        assert tracker.bind(_WANTED).id == bound.id
        assert tracker.migration() == bound

    def test_a_ledger_of_another_migration_is_refused_and_both_are_named(self) -> None:
        tracker = self.first()
        id = tracker.bind(_WANTED).id
        other = dataclasses.replace(_WANTED, fingerprint="another one", source="memory://elsewhere")
        error = _fails_with("configuration", lambda: tracker.bind(other))
        assert "memory://from" in error.message
        assert "memory://elsewhere" in error.message
        assert "\n" not in error.message
        found = tracker.migration()
        assert found is not None
        assert found.id == id

    def test_a_ledger_that_was_committed_is_there_for_the_next_process(self) -> None:
        if not self.store.is_durable:
            pytest.skip("the ledger dies with its process")
        with self.owned() as owned:
            owned.commit_items(_pending(b"a"), _copied(b"b", 5), _failed(b"c", "permission"))
            before, migration = owned.tracker.snapshot(), owned.tracker.migration()
        tracker = self.another()
        assert tracker.migration() == migration
        assert (tracker.snapshot().items, tracker.snapshot().seq) == (before.items, before.seq)
        assert len(_scan(tracker, limit=10)) == 3

    def test_every_owner_has_a_higher_epoch(self) -> None:
        tracker = self.first()
        tracker.bind(_WANTED)
        first = tracker.acquire(LeaseOptions())
        tracker.release(first)
        second = tracker.acquire(LeaseOptions())
        assert second > first
        tracker.release(first)  # it is lost already: nothing happens
        tracker.commit(second, Batch(run=_run(1)))
        tracker.release(second)
        assert tracker.acquire(LeaseOptions()) > second

    def test_a_second_owner_is_refused_and_told_who_holds_the_ledger(self) -> None:
        with self.owned() as owned:
            other = self.another()
            error = _fails_with("locked", lambda: other.acquire(LeaseOptions()))
            assert error.code == "aborted"
            assert str(os.getpid()) in error.message
            assert socket.gethostname() in error.message
            owned.commit_items(_pending(b"a"))  # the refused one disturbed nothing
            owned.tracker.release(owned.epoch)
            epoch = other.acquire(LeaseOptions())
            assert epoch > owned.epoch
            other.release(epoch)

    def test_an_owner_that_beats_is_not_taken_over(self) -> None:
        with self.owned(lease_ms=2000) as owned:
            other = self.another()
            stop = threading.Event()

            def beat() -> None:
                while not stop.wait(0.1):
                    owned.commit(live=LiveState())

            heart = threading.Thread(target=beat)
            heart.start()
            try:
                _fails_with("locked", lambda: other.acquire(LeaseOptions(lease_ms=2000, take_over=True)))
            finally:
                stop.set()
                heart.join()

    def test_a_stopped_owner_is_taken_over_and_fenced(self) -> None:
        with self.owned(lease_ms=400) as owned:
            owned.commit_items(_pending(b"a"), _pending(b"b"))
            assert len(owned.claim(1)) == 1
            other = self.another()
            epoch = other.acquire(LeaseOptions(lease_ms=400, take_over=True))  # the first one does not beat
            assert epoch > owned.epoch
            # What the first one was doing is void, and it can do nothing more.
            _fails_with("fenced", lambda: owned.commit_items(_copied(b"a", 1)))
            _fails_with("fenced", lambda: owned.claim(1))
            owned.tracker.release(owned.epoch)
            found = other.lookup([ItemId("", b"a", "")])[0]
            assert found is not None
            assert found.state == "pending"
            other.commit(epoch, Batch(run=_run(1)))
            assert [item.record.key for item in other.claim(epoch, 10)] == [b"a", b"b"]
            other.release(epoch)

    def test_a_stale_epoch_writes_nothing_of_its_batch(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_pending(b"a"))
            before = owned.tracker.snapshot()
            batch = Batch(
                items=[ItemChange(record=_copied(b"a", 5), attempts=1), ItemChange(record=_pending(b"b"))],
                events=[Event(text="never")],
                live=LiveState(),
            )
            for epoch in (owned.epoch - 1, owned.epoch + 1, 0):
                _fails_with("fenced", partial(owned.tracker.commit, epoch, batch))
            after = owned.tracker.snapshot()
            assert (after.seq, after.items) == (before.seq, before.items)
            assert owned.tracker.lookup([ItemId("", b"b", "")]) == [None]
            assert not owned.tracker.read_events(0, 100)

    def test_claims_come_in_key_order_each_once(self) -> None:
        with self.owned() as owned:
            owned.commit_items(
                *(_pending(b"k%d" % (1000 + i * 7919 % 500)) for i in range(500)),
                _copied(b"k0", 1),
                _failed(b"k1", "server"),
            )
            keys: list[bytes] = []
            while claimed := owned.tracker.claim(owned.epoch, 64):
                assert len(claimed) <= 64
                assert {item.record.state for item in claimed} == {"pending"}
                assert not any(item.maybe_in_flight for item in claimed)
                keys += [item.record.key for item in claimed]
            assert keys == [b"k%d" % number for number in range(1000, 1500)]

    def test_claims_are_fair_to_partitions(self) -> None:
        with self.owned() as owned:
            owned.commit_items(*(_pending(b"k%d" % i, 1, name) for name in ("p1", "p2", "p3") for i in range(50)))
            claimed = [item for _ in range(6) for item in owned.tracker.claim(owned.epoch, 10)]
            assert {item.record.partition for item in claimed} == {"p1", "p2", "p3"}

    def test_rows_inserted_behind_the_claims_are_claimed_too(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_pending(b"m"), _pending(b"n"))
            assert owned.claim(10) == [b"m", b"n"]
            owned.commit_items(_pending(b"a"), _pending(b"z"))
            assert sorted(owned.claim(10)) == [b"a", b"z"]

    def test_an_outcome_releases_the_claim_and_a_retry_is_claimed_again(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_pending(b"a"), _pending(b"b"))
            assert len(owned.claim(10)) == 2
            owned.commit_items(_copied(b"a", 1), _pending(b"b"))  # b goes back into the queue
            assert owned.claim(10) == [b"b"]
            owned.commit_items(_pending(b"a"))  # a has a new revision
            assert owned.claim(10) == [b"a"]

    def test_only_the_frame_of_the_run_is_claimed(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_pending(b"old"))
            owned.commit(run=_run(1, "completed"))
            owned.commit(run=_run(2))
            assert owned.claim(10) == []
            owned.commit_items(dataclasses.replace(_pending(b"old"), run=2))
            assert owned.claim(10) == [b"old"]

    def test_every_field_of_a_row_comes_back(self) -> None:
        row = ItemRecord(
            partition="Ünal",
            key=b"k\0\xff",
            version="v1",
            size=2**63 - 1,
            etag="etag",
            mtime_ns=-1_600_000_000_123_456_789,
            stamp_version="version",
            opaque="opaque",
            state="verified",
            basis="matched_checksum",
            change="updated",
            seen="ours",
            gone_at_source=True,
            revision=7,
            run=1,
            crc64nvme=2**64 - 1,
            sha256=bytes(range(32)),
            stored_size=12,
            stored_etag="stored etag",
            stored_mtime_ns=5,
            stored_version="stored version",
            stored_crc64nvme=1,
            stored_sha256=bytes(range(32, 64)),
            copied_at_ms=_NOW,
            verified_at_ms=_NOW + 1000,
        )
        plain = ItemRecord(key=b"plain", run=1)
        waived = dataclasses.replace(_failed(b"waived", "unsupported"), waived=True, seen="present")
        left = dataclasses.replace(_pending(b"left"), state="vanished", left=True, seen="absent", error_class="missing")
        with self.owned() as owned:
            owned.commit_items(row, plain, waived, left)
            want = {one.key: one for one in (row, plain, waived, left)}
            ids = [ItemId(one.partition, one.key, one.version) for one in want.values()]
            assert owned.tracker.lookup([*ids, ItemId("", b"nothing", "")]) == [*want.values(), None]
            assert {one.record.key: one.record for one in _scan(owned.tracker, limit=2)} == want

    def test_keys_are_bytes(self) -> None:
        keys = [bytes([byte]) for byte in range(1, 256)]
        keys += [
            b"nul\0inside",
            b"nul\0inside\0",
            b"k" * 65_535,
            b"\xff\xff",
            "ü".encode(),
            b"a b",
            b"%41",
            b"..",
            b"//",
            b"a//b",
        ]
        with self.owned() as owned:
            owned.commit_items(*map(_pending, keys))
            keys.sort()
            assert [row.record.key for row in _scan(owned.tracker, limit=100)] == keys
            assert owned.claim(1000) == keys
            assert None not in owned.tracker.lookup([ItemId("", key, "") for key in keys])

    def test_scans_filter_and_keep_their_order(self) -> None:
        changes = []
        for name in ("", "p1", "p2"):
            for i in range(40):
                key = (b"even/" if i % 2 == 0 else b"odd/") + b"%d" % (100 + i)
                failure = None
                if i % 4 == 0:
                    row = _failed(key, "permission" if i % 8 == 0 else "server", name)
                    failure = FailureRecord(
                        error_class=row.error_class,
                        code="permission_denied",
                        message=f"why {i}",
                        retryable=True,
                        http_status=403,
                        provider_code="AccessDenied",
                        request_id="id",
                        endpoint="https://s3.example",
                        attempts=3,
                        at_ms=_NOW,
                    )
                else:
                    row = _copied(key, 1, name) if i % 4 == 1 else _pending(key, 1, name)
                changes.append(ItemChange(record=row, attempts=1, failure=failure))
        queries: list[tuple[Query, Callable[[ItemRecord], bool]]] = [
            (Query(), lambda row: True),
            (Query(states=("failed", "copied")), lambda row: row.state != "pending"),
            (Query(states=("failed",), error_class="permission"), lambda row: row.error_class == "permission"),
            (Query(partition="p1"), lambda row: row.partition == "p1"),
            (
                Query(partition="p1", prefix=b"even/"),
                lambda row: row.partition == "p1" and row.key.startswith(b"even/"),
            ),
            (Query(prefix=b"even/"), lambda row: row.key.startswith(b"even/")),
            (Query(prefix=b"\xff"), lambda row: False),
            (Query(not_seen_since=1), lambda row: False),
            (Query(not_seen_since=2), lambda row: True),
        ]
        with self.owned() as owned:
            owned.commit(items=changes)
            want = sorted(changes, key=lambda change: (change.record.partition, change.record.key))
            for query, matches in queries:
                for limit in (1, 7, 1000):
                    got = _scan(owned.tracker, query, limit)
                    expected = [ScanRow(record=one.record, failure=one.failure) for one in want if matches(one.record)]
                    assert got == expected, (query, limit)

    def test_a_failure_is_forgotten_once_the_item_is_done(self) -> None:
        with self.owned() as owned:
            change = ItemChange(record=_failed(b"a", "server"), attempts=3, attempts_failed=3, failure=FailureRecord())
            owned.commit(items=[change])
            assert _scan(owned.tracker)[0].failure is not None
            owned.commit_items(_copied(b"a", 1))
            assert _scan(owned.tracker)[0].failure is None
            snapshot = owned.tracker.snapshot()
            assert (snapshot.attempts_total, snapshot.attempts_failed) == (3, 3)

    def test_counters_equal_the_rows_after_every_commit(self) -> None:
        chance = random.Random(20_261_120)
        rows: dict[tuple[str, bytes], ItemRecord] = {}
        run = 1
        attempts = attempts_failed = 0
        with self.owned() as owned:
            for step in range(60):
                if step in (20, 40):  # a new run: its frame begins empty
                    owned.commit(run=_run(run, "completed_with_differences"))
                    run += 1
                    owned.commit(run=_run(run))
                    attempts = attempts_failed = 0
                changes = {}
                for _ in range(chance.randrange(40)):
                    row = _random_row(chance, run)
                    tries = chance.randrange(4)
                    failures = chance.randrange(tries + 1)
                    if (row.partition, row.key) in changes:
                        continue
                    rows[row.partition, row.key] = row
                    attempts, attempts_failed = attempts + tries, attempts_failed + failures
                    changes[row.partition, row.key] = ItemChange(record=row, attempts=tries, attempts_failed=failures)
                before = owned.tracker.snapshot().seq
                seq = owned.commit(items=changes.values())
                snapshot = owned.tracker.snapshot()
                assert seq == snapshot.seq
                assert seq > before or not changes
                held = [row for row in rows.values() if not row.left]
                of_run = [row for row in held if row.run == run]
                assert snapshot.items == _recount(of_run)
                assert snapshot.migration_items == _recount(held)
                assert (snapshot.bytes_total, snapshot.bytes_done) == _bytes(of_run)
                assert +Counter(snapshot.failed_by_class) == Counter(
                    row.error_class for row in of_run if row.state == "failed" and not row.waived
                )
                assert (snapshot.attempts_total, snapshot.attempts_failed) == (attempts, attempts_failed)
            found = {(row.record.partition, row.record.key): row.record for row in _scan(owned.tracker, limit=100)}
            assert found == rows

    def test_what_is_in_progress_is_not_pending_in_the_same_snapshot(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_pending(b"a"), _pending(b"b"), _pending(b"c"), _copied(b"d", 10))
            owned.claim(2)
            live = LiveState(
                in_progress=2,
                in_flight=(InFlight(key=b"a", bytes_done=3, bytes_total=9, attempt=2, started_at_ms=_NOW),),
                concurrency=16,
                items_per_second=1.5,
                bytes_per_second=2.5,
                eta_low_seconds=3.0,
                eta_high_seconds=4.0,
                stalled_since_ms=_NOW,
                reason="endpoint",
            )
            owned.commit(live=live)
            snapshot = owned.tracker.snapshot()
            assert (snapshot.items.in_progress, snapshot.items.pending, snapshot.items.eligible) == (2, 1, 4)
            assert snapshot.live == live
            assert snapshot.owner is not None
            assert (snapshot.owner.pid, snapshot.owner.epoch) == (os.getpid(), owned.epoch)
            assert snapshot.heartbeat_at_ms
            owned.tracker.release(owned.epoch)
            after = owned.tracker.snapshot()
            assert (after.items.in_progress, after.items.pending, after.owner) == (0, 3, None)

    def test_readers_see_whole_commits_while_others_write(self) -> None:
        with self.owned() as owned:
            stop = threading.Event()
            wrong: list[object] = []
            read = Counter[int]()

            def look(number: int, tracker: Tracker) -> None:
                last = 0
                while not stop.is_set():
                    snapshot = tracker.snapshot()
                    rows = len(tracker.scan(Query(), b"", 1_000_000).rows)
                    # Every commit adds ten items, whole.
                    if snapshot.items.discovered % 10 or snapshot.seq < last or rows % 10:
                        wrong.append((snapshot, rows))
                    last = snapshot.seq
                    read[number] += 1

            readers = [threading.Thread(target=look, args=(number, owned.tracker)) for number in range(2)]
            other = self.store.open()
            if other is not None:
                readers.append(threading.Thread(target=look, args=(2, as_engine_sees(other))))
            for reader in readers:
                reader.start()
            try:
                for i in range(30):
                    owned.commit_items(*(_pending(b"k%d" % (i * 10 + n)) for n in range(10)))
                end = time.monotonic() + 60
                while len(read) < len(readers) and time.monotonic() < end:
                    time.sleep(0.001)
            finally:
                stop.set()
                for reader in readers:
                    reader.join()
            assert not wrong
            assert len(read) == len(readers)
            assert owned.tracker.snapshot().items.discovered == 300

    def test_a_read_only_handle_reads_and_writes_nothing(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_pending(b"a"))
            opened = self.store.open_read_only()
            if opened is None:
                pytest.skip("no read-only handles")
            reader = as_engine_sees(opened)
            assert reader.snapshot().items.discovered == 1
            assert reader.snapshot().state == "running"  # its owner is alive
            calls: list[Callable[[], object]] = [
                lambda: reader.acquire(LeaseOptions()),
                lambda: reader.commit(owned.epoch, Batch()),
                lambda: reader.request("pause", "me"),
            ]
            for call in calls:
                assert _error_of(call).code == "failed_precondition"

    def test_runs_are_kept_newest_first_and_replaced(self) -> None:
        with self.owned() as owned:
            first = _run(1, "completed")
            owned.commit(run=first)
            owned.commit(run=dataclasses.replace(_run(2, phase="verify"), options='{"a":1}'))
            second = RunRecord(
                run=2,
                phase="verify",
                state="failed",
                reason="because",
                started_at_ms=_NOW,
                ended_at_ms=_NOW + 5000,
                active_seconds=2.5,
                listing_complete=True,
                expected_items=7,
                options='{"a":1}',
                engine_version="0.1.0",
                host="host",
                pid=7,
            )
            owned.commit(run=second)
            assert list(owned.tracker.read_runs(10)) == [second, first]
            assert list(owned.tracker.read_runs(1)) == [second]
            snapshot = owned.tracker.snapshot()
            assert (snapshot.run, snapshot.phase, snapshot.state, snapshot.name) == (2, "verify", "failed", "a name")
            migration = owned.tracker.migration()
            assert migration is not None
            assert snapshot.migration == migration.id

    def test_a_new_ledger_has_a_snapshot_without_a_run(self) -> None:
        tracker = self.first()
        tracker.bind(_WANTED)
        snapshot = tracker.snapshot()
        assert (snapshot.run, snapshot.items, snapshot.owner) == (0, ItemAccounts(), None)
        assert not tracker.read_runs(10)
        assert tracker.scan(Query(), b"", 10).is_last

    def test_a_run_whose_owner_is_gone_is_interrupted_for_everybody_and_then_in_the_ledger(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_pending(b"a"))
            assert owned.tracker.snapshot().state == "running"
            owned.tracker.release(owned.epoch)
            assert owned.tracker.snapshot().state == "interrupted"  # derived from the lease, by any reader
            epoch = owned.tracker.acquire(LeaseOptions())
            assert owned.tracker.read_runs(1)[0].state == "interrupted"
            owned.tracker.release(epoch)

    def test_listings_belong_to_the_run_in_force(self) -> None:
        with self.owned() as owned:
            assert not owned.tracker.listings()
            scope = b"k\0\xff"  # names of ranges are keys
            other = ListingRecord(scope=scope, last_key=scope)
            owned.commit(listings=[ListingRecord(resume=b"page 1", partition="p", last_key=b"a\0b"), other])
            last = ListingRecord(resume=b"page 2", partition="p", last_key=b"c", is_listed=True)
            owned.commit(listings=[last])
            assert sorted(owned.tracker.listings(), key=lambda one: one.scope) == [last, other]
            owned.commit(run=_run(1, "completed"))
            owned.commit(run=_run(2))
            assert not owned.tracker.listings()  # a new run lists anew

    def test_uploads_begin_grow_are_replaced_and_end(self) -> None:
        id = ItemId("", b"big", "")
        stamp = SourceStamp(size=20 << 20, etag="etag", mtime_ns=5, version="v", opaque="o")
        upload = UploadRecord(id=id, upload_id="upload 1", part_size=5 << 20, stamp=stamp)
        other = dataclasses.replace(upload, id=ItemId("", b"other", ""))
        with self.owned() as owned:
            owned.commit_items(_pending(b"big"), _pending(b"other"))
            owned.commit(uploads=[UploadChange(id=one.id, begin=one) for one in (upload, other)])
            owned.commit(uploads=[UploadChange(id=id, parts=(_part(3), _part(1)))])
            owned.commit(uploads=[UploadChange(id=id, parts=(_part(2),))])
            grown = dataclasses.replace(upload, parts=(_part(1), _part(2), _part(3)))
            assert owned.tracker.upload(id) == grown
            assert list(owned.tracker.uploads()) == [grown, other]
            newer = dataclasses.replace(upload, upload_id="upload 2")
            owned.commit(uploads=[UploadChange(id=id, begin=newer)])
            assert owned.tracker.upload(id) == newer  # the parts were the older upload's
            owned.tracker.release(owned.epoch)
            epoch = owned.tracker.acquire(LeaseOptions())
            assert list(owned.tracker.uploads()) == [newer, other]  # they outlive their owner
            for _ in range(2):  # the second time it is gone: nothing happens
                owned.tracker.commit(epoch, Batch(uploads=[UploadChange(id=id, ended=True)]))
            assert owned.tracker.upload(id) is None
            assert list(owned.tracker.uploads()) == [other]
            owned.tracker.release(epoch)

    def test_findings_belong_to_their_run(self) -> None:
        with self.owned() as owned:
            owned.commit(run=_run(1, "completed"))
            owned.commit(run=_run(2, phase="verify"))
            findings = [
                Finding(
                    run=2,
                    kind="size" if i % 5 else "extra",
                    partition="p",
                    key=b"k\0%d" % (100 + i),
                    version="v",
                    detail="expected this, found that",
                )
                for i in range(25)
            ]
            owned.commit(findings=findings)
            assert not owned.tracker.read_findings(1, 0, 100)
            assert list(owned.tracker.read_findings(2, 0, 100)) == findings
            paged = [one for offset in range(0, 30, 7) for one in owned.tracker.read_findings(2, offset, 7)]
            assert paged == findings
            assert owned.tracker.snapshot().findings == {"extra": 5, "size": 20}

    def test_a_waiver_is_kept_as_long_as_its_row_is_waived(self) -> None:
        waived = dataclasses.replace(_failed(b"pipe", "unsupported"), waived=True)
        waiver = Waiver(who="ada@host", why="not wanted", at_ms=_NOW)
        with self.owned() as owned:
            owned.commit(items=[ItemChange(record=waived, waiver=waiver)])
            assert _scan(owned.tracker)[0].waiver == waiver
            assert (owned.tracker.snapshot().items.waived, owned.tracker.snapshot().items.failed) == (1, 0)
            owned.commit_items(waived)  # another outcome that leaves it waived keeps who said so
            assert _scan(owned.tracker)[0].waiver == waiver
            owned.commit_items(_failed(b"pipe", "unsupported"))
            assert _scan(owned.tracker)[0].waiver is None

    def test_a_result_is_kept_as_long_as_its_row_is_done(self) -> None:
        done = ItemChange(record=_copied(b"b", 2), result='{"rows": 12}')

        def results() -> list[tuple[bytes, str]]:
            return [(row.record.key, row.result) for row in _scan(owned.tracker, Query(has_result=True))]

        with self.owned() as owned:
            owned.commit_items(_copied(b"a", 1), _copied(b"c", 1))
            owned.commit(items=[done])
            assert results() == [(b"b", '{"rows": 12}')]
            assert {row.result for row in _scan(owned.tracker)} == {""}  # it was not asked for
            owned.commit_items(_copied(b"b", 2))  # another look at the done row leaves it as it is
            assert len(results()) == 1
            owned.commit_items(_pending(b"b", 3))
            owned.commit_items(_copied(b"b", 2))
            assert results() == []  # it was of another try
            owned.commit(items=[ItemChange(record=_failed(b"a", "permission"), result="{}")])
            assert results() == []  # a failed item has none

    def test_history_keeps_the_accounts_of_every_run(self) -> None:
        with self.owned() as owned:
            owned.commit_items(_copied(b"a", 3), _failed(b"b", "permission"))
            owned.commit(run=dataclasses.replace(_run(1, "completed_with_differences"), host="host", pid=7))
            owned.commit(run=_run(2))
            owned.commit_items(dataclasses.replace(_copied(b"b", 5), run=2))
            second, first = owned.tracker.read_history(10)
            assert (second.record.run, second.items.done, second.bytes_done) == (2, 1, 5)
            assert (first.record.host, first.record.pid, first.items.done, first.items.failed) == ("host", 7, 1, 1)
            assert first.failed_by_class["permission"] == 1
            assert len(owned.tracker.read_history(1)) == 1

    def test_partitions_are_listed_by_name_with_their_accounts(self) -> None:
        with self.owned() as owned:
            owned.commit_items(
                _copied(b"a", 3, "north"), _failed(b"b", "permission", "north"), _copied(b"a", 4, "south")
            )
            north, south = owned.tracker.read_partitions(None, 10)
            assert (north.name, north.items.done, north.items.failed, north.bytes_done) == ("north", 1, 1, 3)
            assert (south.name, south.migration_items.done) == ("south", 1)
            assert [one.name for one in owned.tracker.read_partitions(None, 1)] == ["north"]
            assert [one.name for one in owned.tracker.read_partitions("north", 10)] == ["south"]

    def test_rates_of_a_minute_are_replaced_and_read_in_order(self) -> None:
        def sample(at_ms: int, items: int) -> RateSample:
            return RateSample(
                run=1, at_ms=at_ms, seconds=1.5, items=items, bytes=items * 10, attempts_failed=1, concurrency=16
            )

        with self.owned() as owned:
            owned.commit(rates=[sample(60_000, 1), sample(120_000, 5)])
            owned.commit(rates=[sample(60_000, 2)])
            assert list(owned.tracker.read_rates(1, -1, 10)) == [sample(60_000, 2), sample(120_000, 5)]
            assert list(owned.tracker.read_rates(1, 60_000, 10)) == [sample(120_000, 5)]
            assert not owned.tracker.read_rates(2, -1, 10)

    def test_events_ascend_and_are_read_from_any_seq(self) -> None:
        def events(stem: str) -> list[Event]:
            return [
                Event(at_ms=_NOW + i, run=1, kind="error", level="warning", text=f"{stem} {i}", data='{"n":1}')
                for i in range(5)
            ]

        with self.owned() as owned:
            owned.commit(events=events("first"))
            owned.commit(events=events("second"))
            found = list(owned.tracker.read_events(0, 100))
            seqs = [event.seq for event in found]
            assert seqs == sorted(set(seqs))
            assert [dataclasses.replace(event, seq=0) for event in found] == events("first") + events("second")
            assert len(owned.tracker.read_events(0, 3)) == 3
            assert [event.seq for event in owned.tracker.read_events(seqs[6], 100)] == seqs[7:]
            assert not owned.tracker.read_events(seqs[9], 100)
            assert seqs[9] <= owned.tracker.snapshot().seq

    def test_requests_wait_for_a_live_owner(self) -> None:
        with self.owned() as owned:
            assert not owned.tracker.requests()
            other = self.store.open()
            asker = owned.tracker if other is None else as_engine_sees(other)
            asker.request("pause", "me@here")
            asker.request("cancel", "you@there")
            pause, cancel = owned.tracker.requests()
            assert pause.id < cancel.id
            assert (pause.verb, pause.who) == ("pause", "me@here")
            assert cancel.verb == "cancel"
            assert cancel.at_ms > 1_600_000_000_000
            assert owned.tracker.snapshot().state == "running"  # the owner decides
            owned.commit(served_requests=[pause.id])
            assert list(owned.tracker.requests()) == [cancel]

    def test_requests_without_an_owner_are_carried_out_at_once(self) -> None:
        with self.owned() as owned:
            owned.tracker.release(owned.epoch)
            owned.tracker.request("pause", "me@here")
            assert owned.tracker.snapshot().state == "paused"
            owned.tracker.request("cancel", "me@here")
            assert owned.tracker.snapshot().state == "cancelled"
            assert _error_of(lambda: owned.tracker.request("pause", "me@here")).code == "failed_precondition"

    def test_without_a_run_there_is_nothing_to_pause(self) -> None:
        tracker = self.first()
        tracker.bind(_WANTED)
        assert _error_of(lambda: tracker.request("pause", "me@here")).code == "failed_precondition"

    def test_a_paused_run_stays_paused_without_an_owner(self) -> None:
        with self.owned() as owned:
            owned.commit(run=_run(1, "paused"))
            owned.tracker.release(owned.epoch)
            assert owned.tracker.snapshot().state == "paused"
            epoch = owned.tracker.acquire(LeaseOptions())
            assert owned.tracker.read_runs(1)[0].state == "paused"
            owned.tracker.release(epoch)


def _pending(key: bytes, size: int | None = 1, partition: str = "") -> ItemRecord:
    """A row of run 1, as those that follow."""
    return ItemRecord(partition=partition, key=key, size=size, mtime_ns=1_600_000_000_000_000_001, run=1)


def _copied(key: bytes, size: int, partition: str = "") -> ItemRecord:
    row = _pending(key, size, partition)
    return dataclasses.replace(row, state="copied", basis="written", crc64nvme=0x1234, copied_at_ms=_NOW)


def _failed(key: bytes, error_class: str, partition: str = "") -> ItemRecord:
    return dataclasses.replace(_pending(key, 1, partition), state="failed", error_class=error_class)


def _random_row(chance: random.Random, run: int) -> ItemRecord:
    size = None if chance.randrange(50) == 0 else chance.randrange(1_000_000)
    row = _pending(b"k%d" % chance.randrange(300), size, "p" if chance.randrange(4) == 0 else "")
    changed: dict[str, Any] = {"run": run}
    states: list[ItemState] = ["pending", "copied", "verified", "failed", "excluded", "vanished"]
    state = chance.choice(states)
    if state in ("copied", "verified"):
        changed |= {"basis": "written", "change": chance.choice(("created", "updated", "unchanged"))}
        changed |= {"gone_at_source": chance.randrange(10) == 0, "copied_at_ms": _NOW}
    if state == "failed":
        changed |= {"error_class": chance.choice(("permission", "server", "occupied", "internal"))}
        changed |= {"waived": chance.randrange(5) == 0}
    if state == "vanished":
        changed |= {"left": chance.randrange(3) == 0}
    return dataclasses.replace(row, state=state, **changed)


def _recount(rows: Sequence[ItemRecord]) -> ItemAccounts:
    """By the definitions of `ItemAccounts`, written apart from the library's own."""
    eligible = [row for row in rows if row.state != "excluded"]
    done = [row for row in eligible if row.state in ("copied", "verified")]
    changes = Counter(row.change for row in done)
    waived = sum(row.waived for row in eligible if row.state in ("failed", "vanished"))
    failed = sum(row.state == "failed" and not row.waived for row in eligible)
    vanished = sum(row.state == "vanished" and not row.waived for row in eligible)
    return ItemAccounts(
        discovered=len(rows),
        excluded=len(rows) - len(eligible),
        eligible=len(eligible),
        pending=len(eligible) - len(done) - waived - failed - vanished,
        done=len(done),
        created=changes["created"],
        updated=changes["updated"],
        unchanged=changes["unchanged"],
        verified=sum(row.state == "verified" for row in done),
        failed=failed,
        waived=waived,
        vanished=vanished,
        outstanding=len(eligible) - len(done),
        settled=len(done) + failed + waived + vanished,
    )


def _bytes(rows: Sequence[ItemRecord]) -> tuple[int, int]:
    eligible = [row for row in rows if row.state != "excluded"]
    done = [row for row in eligible if row.state in ("copied", "verified")]
    return sum(row.size or 0 for row in eligible), sum(row.size or 0 for row in done)


def _part(number: int) -> PartInfo:
    return PartInfo(number, 5 << 20, f"etag{number}", number)


def _scan(tracker: Tracker, query: Query = Query(), limit: int = 10) -> list[ScanRow]:  # noqa: B008 (it is frozen)
    rows: list[ScanRow] = []
    resume, is_last = b"", False
    while not is_last:
        page = tracker.scan(query, resume, limit)
        assert len(page.rows) <= limit
        rows += page.rows
        resume, is_last = page.resume, page.is_last
    return rows


def _error_of(call: Callable[[], object]) -> Error:
    with pytest.raises(Error) as raised:
        call()
    return raised.value


def _fails_with(error_class: str, call: Callable[[], object]) -> Error:
    error = _error_of(call)
    assert error.error_class == error_class, error.message
    return error
