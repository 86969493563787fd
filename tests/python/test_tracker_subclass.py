# SPDX-License-Identifier: Apache-2.0
"""Ledgers in Python: what a run does with a subclass of Tracker, and what becomes of its exceptions."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import waybill

_spec = importlib.util.spec_from_file_location("delegating_tracker", Path(__file__).with_name("delegating_tracker.py"))
assert _spec is not None
assert _spec.loader is not None
delegating_tracker = importlib.util.module_from_spec(_spec)
sys.modules["delegating_tracker"] = delegating_tracker
_spec.loader.exec_module(delegating_tracker)
DelegatingTracker = delegating_tracker.DelegatingTracker

MANY = 2000


class MirroredTracker(waybill.Tracker):
    """Keeps every batch as it was committed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=False, create=True)
        self.batches: list[tuple[int, waybill.Batch]] = []

    def commit(self, epoch: int, batch: waybill.Batch) -> int:
        seq = super().commit(epoch, batch)
        self.batches.append((seq, batch))
        return seq


@pytest.fixture
def many(tmp_path: Path) -> Path:
    root = tmp_path / "many"
    for number in range(MANY):
        path = root / f"{number % 20:02}" / f"{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content %d" % number)
    return root


def rows(ledger: Path | waybill.Tracker) -> dict[bytes, waybill.ItemRecord]:
    tracker = ledger if isinstance(ledger, waybill.Tracker) else waybill.Tracker(ledger)
    return {item.key: item for item in tracker.items()}


def without_times(item: waybill.ItemRecord) -> waybill.ItemRecord:
    return dataclasses.replace(item, copied_at_ms=None, verified_at_ms=None, mtime_ns=None, stored_mtime_ns=None)


def test_every_commit_can_be_mirrored(many: Path, tmp_path: Path) -> None:
    ledger = MirroredTracker(tmp_path / "l.db")
    migration = waybill.Migration(many, tmp_path / "to", ledger)
    report = migration.run()
    assert (report.exit_code, report.snapshot.items.created) == (0, MANY)
    mirrored: dict[bytes, waybill.ItemRecord] = {}
    for _, batch in ledger.batches:
        mirrored |= {change.record.key: change.record for change in batch.items}
    # Whole seconds are kept of the times.
    kept = {
        key: dataclasses.replace(item, copied_at_ms=item.copied_at_ms and item.copied_at_ms // 1000 * 1000)
        for key, item in mirrored.items()
    }
    assert kept == rows(tmp_path / "l.db")
    assert [seq for seq, _ in ledger.batches] == sorted({seq for seq, _ in ledger.batches})
    last = ledger.batches[-1][1].run
    assert last is not None
    assert (last.state, last.run) == ("completed", 1)
    assert {item.key for item in migration.items("copied")} == set(mirrored)
    info = ledger.migration()
    assert info is not None
    assert info.source_url == f"file://{many}"  # as without a ledger in Python


def test_what_is_not_overridden_does_not_go_through_python(tree: Path, tmp_path: Path) -> None:
    threads = set()

    class Quiet(waybill.Tracker):
        def requests(self) -> Sequence[waybill.Request]:
            threads.add(threading.get_ident())
            return super().requests()

        def __getattribute__(self, name: str) -> Any:
            if threading.current_thread() is not threading.main_thread():
                asked.append(name)
            return super().__getattribute__(name)

    asked: list[str] = []
    report = waybill.Migration(tree, tmp_path / "to", Quiet(tmp_path / "l.db", read_only=False, create=True)).run()
    assert report.exit_code == 0
    assert threading.get_ident() not in threads
    assert set(asked) <= {"requests", "_ledger", "_core"}
    assert "requests" in asked


def test_a_built_in_tracker_is_taken_as_it_is(tree: Path, tmp_path: Path) -> None:
    with waybill.Tracker(tmp_path / "l.db", read_only=False, create=True) as ledger:
        assert waybill.Migration(tree, tmp_path / "to", tracker=ledger).run().exit_code == 0
        assert waybill.Migration(tree, tmp_path / "to", tracker=ledger).verify().exit_code == 0
        assert ledger.snapshot().items.verified == 12
    memory = waybill.Tracker("memory:", read_only=False, create=True)
    migration = waybill.Migration(tree, tmp_path / "to again", memory)
    assert migration.run().exit_code == 0
    assert len(list(migration.items())) == len(list(memory.items())) == 12


def test_wrong_ledgers_are_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(waybill.NotFoundError):
        waybill.Tracker(tmp_path / "l.db", read_only=False)
    with pytest.raises(waybill.InvalidArgumentError, match="read_only=False"):
        waybill.Tracker(tmp_path / "l.db", create=True)
    with pytest.raises(waybill.InvalidArgumentError, match=r"tracker: 3 is not a path, a URL, or a waybill\.Tracker"):
        waybill.Migration(tree, tmp_path / "to", 3)  # type: ignore[arg-type]
    waybill.Migration(tree, tmp_path / "to", tmp_path / "l.db").run()
    with pytest.raises(waybill.FailedPreconditionError, match="opened read-only"):
        waybill.Migration(tree, tmp_path / "to", waybill.Tracker(tmp_path / "l.db")).run()

    class Nothing(waybill.Tracker):
        def __init__(self) -> None:
            pass

        def hurry(self) -> None:
            pass

        def snapshot(self) -> waybill.Snapshot:
            return waybill.Snapshot()

    with pytest.raises(waybill.InvalidArgumentError, match=r"Nothing has no ledger .* lacks bind, migration, acquire"):
        waybill.Migration(tree, tmp_path / "to", Nothing())
    with pytest.raises(NotImplementedError, match=r"Nothing has no ledger of waybill's beneath it, and no claim\(\)"):
        Nothing().claim(1, 1)


@pytest.mark.parametrize("level", ["checksum", "content"])
def test_a_ledger_that_goes_through_python_is_that_of_a_native_run(level: Any, many: Path, tmp_path: Path) -> None:
    os.mkfifo(many / "pipe")
    options = waybill.Options(exclude=["*7"])
    native = waybill.Migration(many, tmp_path / "to", tmp_path / "native.db", options=options)
    ledger = DelegatingTracker(tmp_path / "python.db", read_only=False, create=True)
    own = waybill.Migration(many, tmp_path / "to too", ledger, options=options)
    for migration in (native, own):
        migration.run()
        (many / "01" / "00001").write_bytes(b"changed")
        (many / "02" / "00002").unlink(missing_ok=True)
        migration.run()
        migration.waive("not wanted", who="ada@host")
        migration.verify(level)
        (many / "01" / "00001").write_bytes(b"content 1")
        (many / "02" / "00002").write_bytes(b"content 2")
    mine, theirs = rows(tmp_path / "python.db"), rows(tmp_path / "native.db")
    assert {key: without_times(row) for key, row in mine.items()} == {
        key: without_times(row) for key, row in theirs.items()
    }
    there = waybill.Tracker(tmp_path / "native.db")
    here = waybill.Tracker(tmp_path / "python.db")
    for name in (
        "items",
        "migration_items",
        "findings",
        "bytes_total",
        "bytes_done",
        "attempts_total",
        "failed_by_class",
    ):
        assert getattr(here.snapshot(), name) == getattr(there.snapshot(), name), name
    failures = [
        [dataclasses.replace(one, at_ms=0, waived_at_ms=0) for one in tracker.failures()] for tracker in (here, there)
    ]
    assert failures[0] == failures[1]
    assert failures[0]
    assert [(one.phase, one.state) for one in here.runs()] == [(one.phase, one.state) for one in there.runs()]
    assert {name for name, count in ledger.called.items() if count} >= {
        *("bind", "migration", "acquire", "release", "commit", "claim", "lookup", "scan", "uploads", "listings"),
        *("snapshot", "requests", "read_runs"),
    }


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import waybill
from delegating_tracker import DelegatingTracker

class Dying(DelegatingTracker):
    items = 0

    def commit(self, epoch, batch):
        seq = super().commit(epoch, batch)
        self.items += sum(change.record.state == "copied" for change in batch.items)
        if self.items >= {after}:
            os.kill(os.getpid(), signal.SIGKILL)
        return seq

options = waybill.Options(commit_interval_ms=10)
waybill.Migration({source!r}, {to!r}, Dying({ledger!r}, read_only=False, create=True), options=options).run()
print("came to its end")
"""


def test_a_killed_run_carries_on(many: Path, tmp_path: Path) -> None:
    script = KILLED.format(
        tests=str(Path(__file__).parent),
        after=500,
        source=str(many),
        to=str(tmp_path / "to"),
        ledger=str(tmp_path / "l.db"),
    )
    killed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=120, check=False, encoding="utf-8"
    )
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, ""), killed.stderr
    before = waybill.Tracker(tmp_path / "l.db").snapshot()
    assert before.state == "interrupted"
    assert 500 <= before.items.done < MANY
    ledger = DelegatingTracker(tmp_path / "l.db", read_only=False)
    report = waybill.Migration(many, tmp_path / "to", ledger).run()
    assert (report.exit_code, report.run, report.snapshot.items.created) == (0, 1, MANY)
    assert waybill.Migration(many, tmp_path / "to", ledger).verify().exit_code == 0


def run_with(
    commit: Callable[[Callable[[], int], int], int], tree: Path, tmp_path: Path, **options: Any
) -> waybill.Report:
    class Raising(waybill.Tracker):
        calls = 0

        def commit(self, epoch: int, batch: waybill.Batch) -> int:
            self.calls += 1
            return commit(lambda: super(Raising, self).commit(epoch, batch), self.calls)

    ledger = Raising(tmp_path / "l.db", read_only=False, create=True)
    return waybill.Migration(tree, tmp_path / "to", ledger, options=waybill.Options(**options)).run()


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("the database is away"),
        waybill.Error("busy", retryable=True),
        OSError(28, "No space left on device"),
    ],
)
def test_a_ledger_that_fails_for_a_while_is_waited_for(error: Exception, tree: Path, tmp_path: Path) -> None:
    failed = []

    def commit(real: Callable[[], int], call: int) -> int:
        if call in (2, 3):
            failed.append(call)
            raise error
        return real()

    report = run_with(commit, tree, tmp_path, commit_interval_ms=10)
    assert failed == [2, 3]
    assert (report.exit_code, report.snapshot.items.created, report.snapshot.attempts_total) == (0, 12, 12)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("a defect"), r"KeyError: 'a defect' \(test_tracker_subclass.py:\d+ in commit"),
        (waybill.Error("the schema is of another version"), "the schema is of another version"),
    ],
)
def test_a_ledger_that_cannot_go_on_ends_the_run(error: Exception, said: str, tree: Path, tmp_path: Path) -> None:
    def commit(real: Callable[[], int], call: int) -> int:
        if call >= 3:
            raise error
        return real()

    report = run_with(commit, tree, tmp_path, commit_interval_ms=10)
    assert report.exit_code == 1
    assert re.search(said, report.message), report.message
    again = waybill.Migration(tree, tmp_path / "to", tmp_path / "l.db").run()
    assert (again.exit_code, again.snapshot.items.done) == (0, 12)


def test_patience_with_a_ledger_has_an_end(tree: Path, tmp_path: Path) -> None:
    def commit(real: Callable[[], int], call: int) -> int:
        if call >= 3:
            raise TimeoutError("the database is away")
        return real()

    report = run_with(commit, tree, tmp_path, commit_interval_ms=10, tracker_patience_ms=500)
    assert report.exit_code == 1
    assert "the database is away" in report.message


def test_errors_in_other_methods_are_the_ledgers_too(tree: Path, tmp_path: Path) -> None:
    class Refusing(waybill.Tracker):
        def acquire(self, options: waybill.LeaseOptions) -> int:
            raise waybill.LockedError("held by ada@host", code="aborted", error_class="locked")

    ledger = Refusing(tmp_path / "l.db", read_only=False, create=True)
    with pytest.raises(waybill.LockedError, match="held by ada@host"):
        waybill.Migration(tree, tmp_path / "to", ledger).run()

    class Wrong(waybill.Tracker):
        def migration(self) -> Any:
            return "nothing"

        def bind(self, wanted: waybill.MigrationInfo) -> Any:
            return dataclasses.replace(super().bind(wanted), created_at_ms="yesterday")  # type: ignore[arg-type]

    wrong = Wrong(tmp_path / "l.db", read_only=False)
    with pytest.raises(
        waybill.Error, match=r"created_at_ms: 'yesterday' is not an integer in range|migration: 'nothing'"
    ) as raised:
        waybill.Migration(tree, tmp_path / "to", wrong).run()
    assert raised.value.error_class == "tracker"


EXITS = """
import sys, time
sys.path.insert(0, {tests!r})
import waybill
from delegating_tracker import DelegatingTracker

ledger = DelegatingTracker({ledger!r}, read_only=False, create=True)
run = waybill.Migration({source!r}, {to!r}, ledger, options=waybill.Options(concurrency=1)).start()
while run.snapshot.items.done == 0:
    time.sleep(0.01)
"""


def test_an_interpreter_that_exits_leaves_the_ledger_in_order(large_tree: Path, tmp_path: Path) -> None:
    script = EXITS.format(
        tests=str(Path(__file__).parent), source=str(large_tree), to=str(tmp_path / "to"), ledger=str(tmp_path / "l.db")
    )
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, timeout=120, check=False, encoding="utf-8"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    with waybill.Tracker(tmp_path / "l.db") as ledger:
        runs = list(ledger.runs())
        assert [run.state for run in runs] == ["interrupted"]  # written down by its owner
        assert runs[0].reason
        assert 0 < ledger.snapshot().items.done < 20_000


def test_requests_reach_a_ledger_in_python(large_tree: Path, tmp_path: Path) -> None:
    ledger = DelegatingTracker(tmp_path / "l.db", read_only=False, create=True)
    run = waybill.Migration(large_tree, tmp_path / "to", ledger, options=waybill.Options(concurrency=1)).start()
    ledger.request_pause()
    report = run.wait(60)
    assert report is not None
    assert report.state == "paused"
    assert ledger.called["request"] == 1


def test_a_ledger_lives_as_long_as_it_is_used(tree: Path, tmp_path: Path) -> None:
    migration = waybill.Migration(
        tree, tmp_path / "to", DelegatingTracker(tmp_path / "l.db", read_only=False, create=True)
    )
    run = migration.start()
    del migration
    end = time.monotonic() + 60
    while run.report is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert run.report.exit_code == 0


class ElsewhereTracker(waybill.Tracker):
    """A ledger without one of waybill's beneath it, as far as the engine can tell: Tracker.__init__ is not called."""

    def __init__(self, path: Path) -> None:
        self.place = waybill.Tracker(path, read_only=False, create=True)


def _hand_on(name: str) -> Callable[..., Any]:
    return lambda self, *words: getattr(self.place, name)(*words)


for _name in (
    *("bind", "migration", "acquire", "release", "commit", "claim", "lookup", "scan", "uploads", "upload", "listings"),
    *("read_findings", "read_events", "read_runs", "snapshot", "request", "requests"),
):
    setattr(ElsewhereTracker, _name, _hand_on(_name))


def test_a_ledger_that_is_kept_elsewhere(many: Path, tmp_path: Path) -> None:
    ledger = ElsewhereTracker(tmp_path / "l.db")
    migration = waybill.Migration(many, tmp_path / "to", ledger)
    assert migration.run().exit_code == 0
    (tmp_path / "to" / "01" / "00001").unlink()
    assert migration.verify().exit_code == 3
    assert rows(ledger) == rows(tmp_path / "l.db")
    assert [finding.key for finding in migration.findings()] == [b"01/00001"]
    assert list(ledger.runs()) == list(ledger.place.runs())
    assert [event.text for event in ledger.events()] == [event.text for event in ledger.place.events()]
    # What it leaves out has the defaults of C++: the accounts of the present run, and nothing of partitions and rates.
    present, first = ledger.history()
    assert (present.record.run, present.items) == (2, ledger.snapshot().items)
    assert first.items == waybill.ItemAccounts()
    assert list(ledger.partitions()) == list(ledger.rates()) == []


def test_tracked_work_takes_a_ledger_too(tmp_path: Path) -> None:
    ledger = MirroredTracker(tmp_path / "l.db")
    with waybill.track("work", tracker=ledger) as run:
        for _ in run.items(["a", "b", "c"]):
            pass
    done = {
        change.record.key for _, batch in ledger.batches for change in batch.items if change.record.state == "copied"
    }
    assert done == {b"a", b"b", b"c"} == set(rows(tmp_path / "l.db"))
    assert ledger.batches[-1][1].run == next(iter(ledger.runs()))


def test_snapshots_and_events_that_were_made_in_python_speak_json() -> None:
    event = waybill.Event(seq=3, at_ms=1, run=1, text="said", data='{"n":1}')
    assert event.to_dict() | {"seq": 3, "run": 1, "kind": "log", "text": "said"} == event.to_dict()
    assert waybill.Snapshot(run=4).to_dict()["run"]["id"] == 4
