# SPDX-License-Identifier: Apache-2.0
"""Under multiprocessing, forked or spawned: a child makes migrations of its own, and those of its parent refuse it."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import waybill


def copy(source: Path, destination: Path, ledger: Path) -> tuple[str, int]:
    report = waybill.Migration(source, destination, ledger).run()
    return report.state, report.snapshot.items.done


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_children_run_migrations_of_their_own(
    method: str, tree: Path, tmp_path: Path, live_run: Callable[..., waybill.Run]
) -> None:
    run = live_run()
    places = [(tree, tmp_path / f"to {number}", tmp_path / f"{number}.db") for number in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(copy, places) == [("completed", 12)] * 4
    assert run.report is None
    run.interrupt()
    assert run.result().state == "interrupted"


def test_what_a_parent_has_refuses_a_forked_child(live_run: Callable[..., waybill.Run], tmp_path: Path) -> None:
    run = live_run()
    tracker = waybill.Tracker(tmp_path / "live.db")
    tracker.snapshot()

    def child(answers: Connection) -> None:
        classes = []
        for call in (run.cancel, run.wait, tracker.snapshot, lambda: run.snapshot):
            try:
                call()
                classes.append("none")
            except waybill.Error as error:
                classes.append(error.error_class)
        answers.send(classes)

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(there,))
    process.start()
    assert here.poll(30)
    assert here.recv() == ["forked"] * 4
    process.join(30)
    assert process.exitcode == 0
    assert run.report is None
    assert tracker.snapshot().state == "running"


def test_records_and_options_travel_and_handles_do_not(tree: Path, tmp_path: Path) -> None:
    migration = waybill.Migration(tree, tmp_path / "to", tmp_path / "l.db")
    report = migration.run()
    for record in (report, waybill.Options(concurrency=3), next(iter(migration.items())), waybill.Item("a", size=1)):
        assert pickle.loads(pickle.dumps(record)) == record
    for handle in (migration, migration.start(), waybill.Tracker(tmp_path / "l.db")):
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(handle)
        if isinstance(handle, waybill.Run):
            handle.result()
