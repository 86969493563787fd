# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import gc
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer

import waybill

Contents = Callable[[Path], dict[str, bytes]]


def test_run_moves_everything(tree: Path, tmp_path: Path, contents: Contents) -> None:
    destination, ledger = tmp_path / "destination", tmp_path / "ledger.db"
    report = waybill.Migration(tree, destination, ledger, name="photos").run()
    assert (report.state, report.exit_code) == ("completed", 0)
    assert contents(destination) == contents(tree)
    snapshot = report.snapshot
    assert snapshot.name == "photos"
    assert snapshot.items.created == snapshot.items.done == 12
    assert snapshot.progress == snapshot.completeness == 1
    assert snapshot.bytes_done == snapshot.bytes_total == sum(number * 100 for number in range(12))
    assert (ledger.stat().st_mode & 0o777) == 0o600


def test_running_again_changes_nothing(tree: Path, tmp_path: Path) -> None:
    migration = waybill.Migration(tree, tmp_path / "destination", tmp_path / "ledger.db")
    first = migration.run()
    second = migration.run()
    assert second.run == first.run + 1
    assert (second.snapshot.items.unchanged, second.snapshot.items.created) == (12, 0)


def test_plan_records_and_moves_nothing(tree: Path, tmp_path: Path) -> None:
    destination, ledger = tmp_path / "destination", tmp_path / "ledger.db"
    plan = waybill.Migration(
        tree, destination, ledger, options=waybill.Options(exclude=["**/file-11.txt", "file-11.txt"])
    ).plan()
    assert (plan.items, plan.to_create, plan.excluded) == (12, 11, 1)
    assert plan.bytes_to_move == sum(number * 100 for number in range(11))
    assert plan.to_dict()["to_create"] == 11
    assert not ledger.exists()
    assert not destination.exists() or not any(destination.iterdir())


def test_start_gives_a_run_that_is_waited_for(tree: Path, tmp_path: Path) -> None:
    with waybill.Migration(tree, tmp_path / "destination", tmp_path / "ledger.db").start() as run:
        assert run.id == 1
        assert run.snapshot.run == 1
    assert run.report is not None
    assert run.report.state == "completed"
    assert run.result() == run.wait(0) == run.report


def test_events_end_with_the_run(tree: Path, tmp_path: Path) -> None:
    migration = waybill.Migration(tree, tmp_path / "destination", tmp_path / "ledger.db")
    with migration.start() as run:
        events = list(run.events())
    assert events
    assert [event.seq for event in events] == sorted({event.seq for event in events})
    assert {event.run for event in events} == {1}
    assert events[0].to_dict()["seq"] == events[0].seq
    with migration.start() as second:
        assert {event.run for event in second.events()} == {2}
    with waybill.Tracker(tmp_path / "ledger.db") as ledger:
        assert [event for event in ledger.events() if event.run == 1] == events
        assert [event.seq for event in ledger.events(events[0].seq) if event.run == 1] == [
            event.seq for event in events[1:]
        ]


def test_progress_is_told_in_this_thread_and_never_falls(live_run: Callable[..., waybill.Run]) -> None:
    run = live_run()
    seen: list[waybill.Snapshot] = []

    def look(snapshot: waybill.Snapshot) -> None:
        seen.append(snapshot)
        if len(seen) == 2:
            run.cancel()

    report = run._follow(look)
    assert report.state == "cancelled"
    assert seen[-1] == report.snapshot
    assert [snapshot.seq for snapshot in seen] == sorted(snapshot.seq for snapshot in seen)
    settled = [snapshot.items.settled for snapshot in seen]
    assert settled == sorted(settled)
    for snapshot in seen:
        items = snapshot.items
        assert items.discovered == items.excluded + items.eligible
        assert items.eligible == (
            items.pending + items.in_progress + items.done + items.failed + items.waived + items.vanished
        )
        assert items.done == items.created + items.updated + items.unchanged
        assert items.outstanding == items.eligible - items.done


def test_an_exception_of_the_callback_fails_the_run_and_is_raised(live_run: Callable[..., waybill.Run]) -> None:
    run = live_run()

    def fail(snapshot: waybill.Snapshot) -> None:
        raise LookupError("the callback's own")

    with pytest.raises(LookupError, match="own"):
        run._follow(fail)
    assert run.report is not None
    assert run.report.state == "failed"
    assert run.report.snapshot.reason == "callback: LookupError: the callback's own"


def test_a_sleeping_callback_slows_nothing(live_run: Callable[..., waybill.Run]) -> None:
    run = live_run()
    counts: list[int] = []

    def sleep(snapshot: waybill.Snapshot) -> None:
        before = snapshot.items.settled
        time.sleep(1)
        counts.append(run.snapshot.items.settled - before)
        run.cancel()

    run._follow(sleep)
    assert counts[0] > 100


def test_verify_and_findings(tree: Path, tmp_path: Path) -> None:
    destination, ledger = tmp_path / "destination", tmp_path / "ledger.db"
    migration = waybill.Migration(tree, destination, ledger)
    migration.run()
    clean = migration.verify()
    assert (clean.state, clean.exit_code) == ("completed", 0)
    (destination / "folder 1" / "file-04.txt").unlink()
    (destination / "folder 2" / "file-05.txt").write_bytes(b"y" * 500)
    (destination / "extra").write_bytes(b"")
    report = migration.verify("checksum")
    assert (report.state, report.exit_code) == ("completed_with_differences", 3)
    with waybill.Tracker(ledger) as tracker:
        found = {finding.key: finding.kind for finding in tracker.findings()}
        assert list(tracker.findings(clean.run)) == []
        assert [record.phase for record in tracker.runs()] == ["verify", "verify", "copy"]
    assert found[b"folder 1/file-04.txt"] == "missing"
    assert found[b"folder 2/file-05.txt"] in ("checksum", "changed_at_source")
    assert found[b"extra"] == "extra"


def test_verify_before_the_end_of_a_copy_is_refused(large_tree: Path, tmp_path: Path) -> None:
    options = waybill.Options(concurrency=1)
    migration = waybill.Migration(large_tree, tmp_path / "destination", tmp_path / "ledger.db", options=options)
    with pytest.raises(waybill.NotFoundError, match=r"ledger\.db"):
        migration.verify()
    assert not (tmp_path / "ledger.db").exists()
    with migration.start() as run:
        run.interrupt()
    with pytest.raises(waybill.LockedError, match="carry on with: waybill run") as refused:
        migration.verify()
    assert refused.value.code == "failed_precondition"


def test_records_are_lazy_typed_and_filtered(tree: Path, tmp_path: Path) -> None:
    destination, ledger = tmp_path / "destination", tmp_path / "ledger.db"
    (destination / "folder 0").mkdir(parents=True)
    (destination / "folder 0" / "file-03.txt").write_bytes(b"somebody else's")
    report = waybill.Migration(tree, destination, ledger).run()
    assert report.exit_code == 3
    with waybill.Tracker(ledger) as tracker:
        info = tracker.migration()
        assert info is not None
        assert info.id == report.snapshot.migration
        assert len(list(tracker.items())) == 12
        items = list(tracker.items("copied"))
        assert len(items) == 11
        assert [item.key for item in items] == sorted(item.key for item in items)
        assert {item.basis for item in items} == {"written"}
        assert len(list(tracker.items(["copied", "failed"]))) == 12
        assert len(list(tracker.items(prefix="folder 1/"))) == 4
        failures = list(tracker.failures())
        assert [(failure.key, failure.error_class) for failure in failures] == [(b"folder 0/file-03.txt", "occupied")]
        assert failures[0].message
        assert list(tracker.failures("permission")) == []
        assert tracker.snapshot().failed_by_class == {"occupied": 1}
        with pytest.raises(waybill.InvalidArgumentError, match="finished"):
            list(tracker.items("finished"))  # type: ignore[arg-type]
        with pytest.raises(waybill.InvalidArgumentError, match="bad luck"):
            list(tracker.failures("bad luck"))
        with pytest.raises(waybill.FailedPreconditionError):
            tracker.request_pause()
    with pytest.raises(waybill.Error, match="closed"):
        tracker.snapshot()
    assert (destination / "folder 0" / "file-03.txt").read_bytes() == b"somebody else's"
    assert dataclasses.asdict(items[0])["key"] == items[0].key


def test_keys_are_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    names = [b"new\nline", "émoji 🎒".encode(), b"not \xff utf-8", b"back\\slash", b"plus+percent%20"]
    for name in names:
        (source / os.fsdecode(name)).write_bytes(name)
    waybill.Migration(source, tmp_path / "destination", tmp_path / "ledger.db").run()
    with waybill.Tracker(tmp_path / "ledger.db") as tracker:
        assert sorted(item.key for item in tracker.items()) == sorted(names)
    assert waybill.printable(b"not \xff utf-8\n") == "not \\xff utf-8\\x0a"


def test_a_second_owner_is_refused(live_run: Callable[..., waybill.Run], large_tree: Path, tmp_path: Path) -> None:
    live_run()
    begin = time.monotonic()
    with pytest.raises(waybill.LockedError, match=str(os.getpid())):
        waybill.Migration(large_tree, tmp_path / "destination", tmp_path / "live.db").start()
    assert time.monotonic() - begin < 5


def test_pause_needs_resume(live_run: Callable[..., waybill.Run]) -> None:
    run = live_run()
    run.pause()
    report = run.wait(30)
    assert report is not None
    assert (report.state, report.exit_code) == ("paused", 130)
    with pytest.raises(waybill.LockedError):
        live_run()
    time.sleep(1)
    again = live_run(resume_paused=True)
    assert again.id == run.id
    assert again.snapshot.state == "running"
    again.interrupt()
    ended = again.result().snapshot
    assert ended.started_at_ms is not None
    assert ended.ended_at_ms is not None
    assert 0 < ended.active_seconds < (ended.ended_at_ms - ended.started_at_ms) / 1000 - 0.9, "a pause is no work"


def test_a_dropped_run_warns_and_is_interrupted(
    tmp_path: Path, large_tree: Path, eventually: Callable[..., None]
) -> None:
    run = waybill.Migration(
        large_tree, tmp_path / "to", tmp_path / "dropped.db", options=waybill.Options(concurrency=1)
    ).start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        begin = time.monotonic()
        del run
        gc.collect()
        assert time.monotonic() - begin < 1
    assert [warning.category for warning in caught] == [ResourceWarning]
    with waybill.Tracker(tmp_path / "dropped.db") as tracker:
        eventually(lambda: tracker.snapshot().state == "interrupted", 10)


def test_an_exception_in_the_block_interrupts(large_tree: Path, tmp_path: Path) -> None:
    migration = waybill.Migration(
        large_tree, tmp_path / "to", tmp_path / "ledger.db", options=waybill.Options(concurrency=1)
    )
    with pytest.raises(LookupError), migration.start() as run:
        raise LookupError
    assert run.report is not None
    assert run.report.state == "interrupted"
    with migration.start() as again:
        assert again.id == run.id
        again.cancel()


def of_the_views(ledger: Path) -> dict[str, int]:
    """The accounts of the newest run by the SQL views, in one transaction, without our code."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True, isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        seq = database.execute("SELECT seq FROM ledger").fetchone()["seq"]
        row = database.execute("SELECT * FROM run_view ORDER BY run DESC LIMIT 1").fetchone()
        return {"seq": seq, **{name: row[name] for name in VIEWED}, "open": row["pending_and_in_progress"]}


VIEWED = (
    *("discovered", "excluded", "eligible", "done", "new", "updated", "unchanged", "failed", "waived", "vanished"),
    *("outstanding", "bytes_total", "bytes_done", "attempts_total", "attempts_failed"),
)


def of_a_snapshot(status: dict[str, Any]) -> dict[str, int]:
    """The same, of what ``waybill status --json`` and `Snapshot.to_json` show."""
    items = status["items"]
    flat = items | {f"bytes_{name}": value for name, value in status["bytes"].items()}
    flat |= {f"attempts_{name}": value for name, value in status["attempts"].items()}
    return {
        "seq": status["seq"],
        **{name: flat[name] for name in VIEWED},
        "open": items["pending"] + items["in_progress"],
    }


def test_the_same_seq_shows_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run itself, a Tracker beside it, the command line in another process, and the SQL views."""
    for name, value in {"ACCESS_KEY_ID": "keys", "SECRET_ACCESS_KEY": "keys-secret", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    ledger = tmp_path / "live.db"
    with FaultServer("from") as store:
        store.generate("from", shape="padded", count=2_000, size=100)
        store.rule(op="GetObject", every=10, action="status", status=403, code="AccessDenied")
        store.latency(50)
        # Commits are far enough apart for all four to read between two of them.
        options = waybill.Options(concurrency=2, heartbeat_ms=1_000, commit_interval_ms=1_500)
        with waybill.Migration(store.url("from"), tmp_path / "to", ledger, options=options).start() as run:
            compare_while_live(run, ledger)
            run.interrupt()


def compare_while_live(run: waybill.Run, ledger: Path) -> None:
    compared = {"tracker": 0, "views": 0, "command line": 0}
    command = [sys.executable, "-m", "waybill", "status", "--json", "--tracker", str(ledger)]
    with waybill.Tracker(ledger) as tracker:
        end = time.monotonic() + 60
        while min(compared.values()) < 3 and time.monotonic() < end:
            ours, theirs, views = run.snapshot, tracker.snapshot(), of_the_views(ledger)
            shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            expected = of_a_snapshot(json.loads(ours.to_json()))
            if ours.seq == theirs.seq:
                assert ours == theirs
                assert ours.to_json() == theirs.to_json()
                compared["tracker"] += 1
            if views["seq"] == ours.seq:
                assert views == expected
                compared["views"] += 1
            if shown["seq"] == ours.seq:
                assert of_a_snapshot(shown) == expected
                compared["command line"] += 1
    assert min(compared.values()) >= 3, compared


def test_the_views_have_the_columns_that_the_docs_name(tree: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    waybill.Migration(tree, tmp_path / "to", ledger).run()
    text = (Path(__file__).parents[2] / "docs/ledger.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `") and "_view`" in line.split("|")[1]]
    documented = {re.findall("`([^`]+)`", row[1])[0]: set(re.findall("`([^`]+)`", row[3])) for row in rows}
    accounts = {"discovered", "excluded", "eligible", "pending_and_in_progress", "done", "verified", *VIEWED}
    documented["account_view"] |= accounts
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
        views = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")]
        columns = {view: {row[1] for row in database.execute(f"PRAGMA table_info({view})")} for view in views}
        states = database.execute("SELECT word FROM words WHERE vocabulary IN ('reference', 'journal')").fetchall()
    for view, there in columns.items():
        assert there <= documented[view], view
        # Words of values stand among the columns in the text.
        assert documented[view] - there <= {"run", "migration", "is_total 1", *(row[0] for row in states)}, view
    assert columns.keys() == documented.keys()
