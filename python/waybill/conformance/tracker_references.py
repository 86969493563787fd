# SPDX-License-Identifier: Apache-2.0
"""What every Tracker keeps of references, the journal of their switches, and plans. One that keeps none (it says
unimplemented) is skipped."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import get_args

import pytest

from waybill.catalogs import ReferenceId
from waybill.conformance.ledgers import NOW, Owned, TrackerSuite, run_of
from waybill.conformance.support import error_of, fails_with
from waybill.ledger_records import Batch, CutoverPlanRecord, ReferenceChange, ReferenceQuery
from waybill.records import JournalRecord, JournalState, ReferenceAccounts, ReferenceRecord, ReferenceState
from waybill.tracker import Tracker

__all__ = ["ReferenceCases"]


class ReferenceCases(TrackerSuite):
    """The part of the suite that is about references."""

    @contextmanager
    def keeping(self) -> Iterator[Owned]:
        """A ledger that keeps references, owned, in run 1."""
        with self.owned() as owned:
            error = error_of(owned.tracker.cutover_plan)
            if error is not None and error.code == "unimplemented":
                pytest.skip("the tracker keeps no references")
            yield owned

    def test_a_reference_comes_back_as_it_was_written(self) -> None:
        full = ReferenceRecord(
            catalog="salesforce:x",
            record="r\0\udcff\n",
            field="fé",
            partition="account 1",
            partition_name='The "first" account',
            item_partition="another partition",
            item_key=b"k\0y",
            item_version="v7",
            value="https://old\0/\udcfe",
            stamp="\0stamp",
            state="failed",
            intended="https://new.example/a b",
            error_class="permission",
            reason="may not write the field",
            generation=4_000_000_000,
            seen=9_000_000_000,
        )
        null = ReferenceRecord(catalog="sql:a", record="null", field="url", partition="p", state="excluded")
        switched = _reference("switched", "updated", "p")
        rows = [
            _reference("plain"),
            full,
            null,
            replace(null, record="empty", value="", intended="", item_partition="p"),
            replace(_reference("foreign", "excluded", "p"), item_partition="", item_key=b""),
            replace(switched, intended=switched.value),
            replace(_reference("versioned", "pending", "p"), item_version="2", intended=""),
        ]
        with self.keeping() as owned:
            for _ in range(2):  # inserted, then replaced
                _write(owned, rows)
                ids = [row.id for row in rows]
                unknown = [ReferenceId("sql:a", "nobody", "url"), ReferenceId("another", "plain", "url")]
                assert owned.tracker.lookup_references([*ids, *unknown]) == [*rows, None, None]
                assert {row.id: row for row in _scan(owned.tracker)} == {row.id: row for row in rows}
                rows[0], rows[1] = replace(rows[0], value=rows[1].value), replace(rows[1], value=rows[0].value)

    def test_a_name_of_a_partition_is_that_of_all_its_references(self) -> None:
        with self.keeping() as owned:
            a = replace(_reference("a", partition="001"), partition_name="Ada")
            _write(owned, [a, _reference("b", partition="001")])
            assert [row.partition_name for row in _scan(owned.tracker)] == ["Ada", "Ada"]
            _write(owned, [replace(a, partition_name="Ada & Co")])
            assert [row.partition_name for row in _scan(owned.tracker)] == ["Ada & Co", "Ada & Co"]

    def test_references_are_counted_by_state_partition_and_run(self) -> None:
        with self.keeping() as owned:
            tracker = owned.tracker
            a, b, c = (
                _reference("a", "pending", "p"),
                _reference("b", "pending", "p"),
                _reference("c", "excluded", "q"),
            )
            _write(owned, [a, b, c])
            snapshot = tracker.snapshot()
            assert snapshot.references == ReferenceAccounts(total=3, pending=2, excluded=1)
            assert snapshot.run_references == ReferenceAccounts()
            owned.commit(run=run_of(1, "completed"))
            owned.commit(run=run_of(2, phase="cutover", references=2))
            assert tracker.read_runs(1)[0].references == 2
            _write(owned, [replace(a, state="intended")])  # settles nothing
            assert tracker.snapshot().run_references == ReferenceAccounts(total=2, pending=2)
            updated, conflict = replace(a, state="updated"), replace(b, state="conflict")
            owned.commit(
                references=[
                    ReferenceChange(record=updated, is_settled=True, attempts=3, attempts_failed=2),
                    ReferenceChange(record=conflict, is_settled=True, attempts=1),
                ]
            )
            snapshot = tracker.snapshot()
            assert snapshot.run_references == ReferenceAccounts(total=2, updated=1, conflict=1)
            assert (snapshot.attempts_total, snapshot.attempts_failed) == (4, 2)
            found = tracker.lookup_references([a.id])[0]
            assert found is not None
            assert found.run == 2
            # Counted once, as what it was settled in last; what settles nothing leaves the run's account.
            _write(owned, [replace(b, state="updated")], is_settled=True)
            _write(owned, [replace(a, state="conflict"), replace(b, state="pending")])
            snapshot = tracker.snapshot()
            assert snapshot.run_references == ReferenceAccounts(total=2, updated=2)
            assert snapshot.references == ReferenceAccounts(total=3, conflict=1, pending=1, excluded=1)
            if partitions := tracker.read_partitions(None, 10):
                assert {one.name: one.references for one in partitions} == {
                    "p": ReferenceAccounts(total=2, conflict=1, pending=1),
                    "q": ReferenceAccounts(total=1, excluded=1),
                }
            owned.commit(run=run_of(2, "completed", "cutover"))
            owned.commit(run=run_of(3, phase="rollback", references=1))
            _write(owned, [replace(a, state="restored")], is_settled=True)
            assert tracker.snapshot().run_references == ReferenceAccounts(total=1, restored=1)
            if len(history := tracker.read_history(10)) > 1:
                assert [one.references for one in history] == [
                    ReferenceAccounts(total=1, restored=1),
                    ReferenceAccounts(total=2, updated=2),
                    ReferenceAccounts(),
                ]

    def test_the_journal_never_rewrites_what_was_held_and_intended(self) -> None:
        with self.keeping() as owned:
            first = _journal("a")
            assert not owned.tracker.read_journal(first.id)
            owned.commit(journal=[first])
            assert list(owned.tracker.read_journal(first.id)) == [first]
            outcome = replace(first, observed=first.intended, state="applied", run=3, at_ms=first.at_ms + 5)
            owned.commit(journal=[replace(outcome, old=first.intended, intended="somewhere else")])
            assert list(owned.tracker.read_journal(first.id)) == [outcome]
            for observed in ("a third", None, ""):
                outcome = replace(outcome, observed=observed, state="conflict")
                owned.commit(journal=[replace(outcome, old=None, intended=observed)])
                assert list(owned.tracker.read_journal(first.id)) == [outcome]
            second = replace(first, generation=2, old=None, intended=None)
            other = replace(_journal("b"), catalog="another", generation=7)
            owned.commit(journal=[second, replace(_journal("a"), generation=2, state="not_applied"), other])
            second = replace(second, state="not_applied")
            assert list(owned.tracker.read_journal(first.id)) == [outcome, second]
            ids = [ReferenceId("sql:a", "nobody", "url"), first.id, other.id]
            assert owned.tracker.lookup_journal(ids) == [None, second, other]

    def test_the_newest_plan_is_the_one_that_counts(self) -> None:
        plan = CutoverPlanRecord(
            hash="ffff000011112222",
            pass_=3,
            at_ms=NOW,
            references=17,
            gates='[{"name":"copy"}]',
            options='{"canary":0}',
        )
        with self.keeping() as owned:
            assert owned.tracker.cutover_plan() is None
            owned.commit(plan=plan)
            newer = replace(plan, hash="0000000000000001", pass_=4, is_ready=True)
            owned.commit(plan=newer)
            _write(owned, [_reference("a")])
            assert owned.tracker.cutover_plan() == newer

    def test_a_fenced_or_refused_batch_leaves_no_reference(self) -> None:
        with self.keeping() as owned:
            tracker, a = owned.tracker, _reference("a", "pending", "p")
            _write(owned, [a])
            before = tracker.snapshot()
            changes = [ReferenceChange(record=replace(a, state="updated"), is_settled=True, attempts=1)]
            parts = {"references": changes, "journal": [_journal("a")], "plan": CutoverPlanRecord()}
            fails_with("fenced", lambda: tracker.commit(owned.epoch + 1, Batch(**parts)))  # type: ignore[arg-type]
            assert error_of(lambda: owned.commit(run=run_of(1, "created"), **parts)) is not None
            after = tracker.snapshot()
            assert (after.seq, after.references, after.attempts_total) == (before.seq, before.references, 0)
            assert tracker.lookup_references([a.id]) == [a]
            assert not tracker.read_journal(a.id)
            assert tracker.cutover_plan() is None

    def test_a_scan_of_references_goes_in_order_and_filters(self) -> None:
        states: list[ReferenceState] = ["original", "pending", "failed"]
        rows = [
            replace(
                _reference(("r\0" if i % 7 == 0 else "r") + str(i), states[i % 3], "even" if i % 2 == 0 else "odd"),
                catalog=catalog,
                field=name,
                seen=i % 5,
            )
            for catalog in ("sql:b", "sql:a", "sql:aé")
            for i in range(20)
            for name in ("url", "thumb")
        ]
        with self.keeping() as owned:
            _write(owned, rows[::2])
            _write(owned, rows[1::2], is_settled=True)
            rows[1::2] = [replace(row, run=1) for row in rows[1::2]]
            rows.sort(key=lambda row: (row.catalog, row.record, row.field))
            for query, want in (
                (ReferenceQuery(), rows),
                (ReferenceQuery(states=("failed", "pending")), [row for row in rows if row.state != "original"]),
                (ReferenceQuery(partition="odd"), [row for row in rows if row.partition == "odd"]),
                (ReferenceQuery(partition="nowhere"), []),
                (ReferenceQuery(not_seen_since=3), [row for row in rows if row.seen < 3]),
                (ReferenceQuery(run=1, states=("failed",)), [row for row in rows if row.run and row.state == "failed"]),
                (ReferenceQuery(run=0), [row for row in rows if row.run == 0]),
            ):
                for limit in (1, 7, 1000):
                    assert _scan(owned.tracker, query, limit) == want, (query, limit)

    def test_a_scan_of_references_goes_on_while_rows_change(self) -> None:
        with self.keeping() as owned:
            _write(owned, [_reference(str(i), "pending") for i in range(10, 50)])
            met: list[str] = []
            resume, is_last = b"", False
            while not is_last:
                page = owned.tracker.scan_references(ReferenceQuery(states=("pending",)), resume, 7)
                met += [row.record for row in page.references]
                _write(owned, [replace(row, state="updated") for row in page.references], is_settled=True)
                _write(owned, [_reference(f"0{len(met)}", "pending")])  # behind
                resume, is_last = page.resume, page.is_last
            assert met == [str(i) for i in range(10, 50)]

    def test_a_second_handle_sees_references_and_their_journal(self) -> None:
        with self.keeping() as owned:
            other = self.another()
            row = _reference("a", "intended", "p")
            owned.commit(
                references=[ReferenceChange(record=row)], journal=[_journal("a")], plan=CutoverPlanRecord(pass_=5)
            )
            assert _scan(other) == [row]
            assert other.snapshot().references == ReferenceAccounts(total=1, intended=1)
            assert list(other.read_journal(row.id)) == [_journal("a")]
            assert other.cutover_plan() == CutoverPlanRecord(pass_=5)

    def test_accounts_of_references_equal_a_recount_after_any_change(self) -> None:
        chance = random.Random(20_261_121)
        rows: dict[ReferenceId, ReferenceRecord] = {}
        journal: dict[ReferenceId, dict[int, JournalRecord]] = {}
        settled: dict[int, dict[ReferenceId, str]] = {1: {}}
        run = 1
        with self.keeping() as owned:
            for step in range(30):
                if step % 10 == 9:
                    owned.commit(run=run_of(run, "completed", "copy" if run == 1 else "cutover"))
                    run += 1
                    settled[run] = {}
                    owned.commit(run=run_of(run, phase="cutover"))
                changes, records = [], []
                for _ in range(chance.randrange(1, 15)):
                    state: ReferenceState = chance.choice(get_args(ReferenceState))
                    row = _reference(str(chance.randrange(20)), state, str(chance.randrange(3)))
                    is_settled = chance.random() < 0.5
                    changes.append(ReferenceChange(record=row, is_settled=is_settled))
                    known = rows.get(row.id)
                    rows[row.id] = replace(row, run=run if is_settled else known.run if known else 0)
                    if is_settled:
                        settled[run][row.id] = state
                    ended: JournalState = chance.choice(get_args(JournalState))
                    record = replace(
                        _journal(row.record),
                        generation=chance.randrange(1, 4),
                        old=str(chance.random()),
                        observed=chance.choice((None, "https://new.example/1")),
                        state=ended,
                    )
                    records.append(record)
                    kept = journal.setdefault(record.id, {}).setdefault(record.generation, record)
                    journal[record.id][record.generation] = replace(record, old=kept.old)
                owned.commit(references=changes, journal=records)
                snapshot = owned.tracker.snapshot()
                assert _counts(snapshot.references) == Counter(row.state for row in rows.values())
                if run > 1:
                    assert _counts(snapshot.run_references) == Counter(settled[run].values())
                for one in owned.tracker.read_partitions(None, 100):
                    of = [row.state for row in rows.values() if row.partition == one.name]
                    assert _counts(one.references) == Counter(of)
            assert _scan(owned.tracker) == [rows[id] for id in sorted(rows)]
            for id, generations in journal.items():
                assert list(owned.tracker.read_journal(id)) == [generations[n] for n in sorted(generations)]


def _reference(record: str, state: ReferenceState = "original", partition: str = "") -> ReferenceRecord:
    value = f"https://old.example/{record}"
    return ReferenceRecord(
        catalog="sql:a",
        record=record,
        field="url",
        partition=partition,
        item_partition=partition,
        item_key=value.encode(),
        value=value,
        stamp="2026-11-01",
        state=state,
        seen=1,
    )


def _journal(record: str) -> JournalRecord:
    return JournalRecord(
        catalog="sql:a",
        record=record,
        field="url",
        run=2,
        partition="p",
        old=f"https://old.example/{record}",
        intended=f"https://new.example/{record}",
        at_ms=NOW,
    )


def _write(owned: Owned, rows: list[ReferenceRecord], is_settled: bool = False) -> None:
    owned.commit(references=[ReferenceChange(record=row, is_settled=is_settled) for row in rows])


def _scan(
    tracker: Tracker,
    query: ReferenceQuery = ReferenceQuery(),  # noqa: B008 (it is frozen)
    limit: int = 10,
) -> list[ReferenceRecord]:
    rows: list[ReferenceRecord] = []
    resume, is_last = b"", False
    while not is_last:
        page = tracker.scan_references(query, resume, limit)
        assert len(page.references) <= limit
        rows += page.references
        resume, is_last = page.resume, page.is_last
    return rows


def _counts(accounts: ReferenceAccounts) -> Counter[str]:
    counts = asdict(accounts)
    assert counts.pop("total") == sum(counts.values())
    return +Counter(counts)
