# SPDX-License-Identifier: Apache-2.0
"""A program's own loop as a run."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import waybill

NAMES = [f"table-{number:02}" for number in range(20)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "work.db"


def work(ledger: Path, names: list[str] = NAMES, **more: Any) -> list[str]:
    """Do all that is to be done, and say what that was."""
    done = []
    with waybill.track("work", tracker=ledger) as run:
        for name in run.items(names, **more):
            done.append(name)
    return done


def last(ledger: Path) -> waybill.Snapshot:
    with waybill.Tracker(ledger) as tracker:
        snapshot = tracker.snapshot()
    items = snapshot.items
    assert (
        items.eligible == items.pending + items.in_progress + items.done + items.failed + items.waived + items.vanished
    )
    return snapshot


def failures(ledger: Path) -> dict[bytes, waybill.Failure]:
    with waybill.Tracker(ledger) as tracker:
        return {failure.key: failure for failure in tracker.failures()}


def test_a_loop_is_a_run_and_knows_its_items_again(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        assert run.id == 1
        for name in run.items(NAMES, size=len):
            assert name in NAMES
            assert run.snapshot.items.eligible == 20
            assert run.snapshot.progress is not None
    assert run.report is not None
    assert run.report.state == "completed"
    assert run.report.snapshot.phase == "track"
    assert run.report.snapshot.items.created == 20
    assert run.report.snapshot.bytes_done == 20 * 8
    assert run.report.snapshot.progress == 1
    assert work(ledger) == []
    snapshot = last(ledger)
    assert (snapshot.run, snapshot.state, snapshot.items.unchanged) == (2, "completed", 20)
    assert work(ledger, ["table-03", "another"]) == ["another"]
    with waybill.Tracker(ledger) as tracker:
        gone = [item.key for item in tracker.items() if item.gone_at_source]
    assert len(gone) == 19


def test_a_revision_that_differs_is_done_anew(ledger: Path) -> None:
    changed: dict[str, Any] = dict.fromkeys(NAMES, 1)
    assert work(ledger, revision=changed.get) == NAMES
    changed["table-07"] = 2
    changed["table-08"] = "2026-11-20"
    changed["table-09"] = b"\xff"
    changed["table-10"] = 1.5
    assert work(ledger, revision=changed.get) == NAMES[7:11]
    assert last(ledger).items.updated == 4
    assert work(ledger, revision=changed.get) == []


def test_an_exception_fails_its_item_and_the_run_and_the_next_run_goes_on_with_it(ledger: Path) -> None:
    def convert(name: str) -> None:
        if name == "table-05":
            raise ValueError("boom at https://ada:secret@host/x?signature=abc\nsecond line")

    with pytest.raises(ValueError, match="boom"), waybill.track("work", tracker=ledger) as run:
        for name in run.items(NAMES):
            convert(name)
    snapshot = last(ledger)
    assert snapshot.state == "failed"
    assert snapshot.reason.startswith("callback: ValueError: boom")
    assert (snapshot.items.done, snapshot.items.failed, snapshot.items.pending) == (5, 1, 14)
    failure = failures(ledger)[b"table-05"]
    assert failure.error_class == "callback"
    assert "ValueError: boom at https://***@host/x?*** second line" in failure.message
    assert "(test_track.py:" in failure.message
    assert " in convert < test_track.py:" in failure.message
    assert b"secret" not in ledger.read_bytes()
    assert work(ledger) == NAMES[5:]
    assert last(ledger).state == "completed"


def test_fail_and_skip_let_the_loop_go_on(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        for name in run.items(NAMES):
            if name == "table-01":
                run.fail("no such column")
            if name == "table-02":
                run.fail(FileNotFoundError(2, "gone"))
            if name == "table-03":
                run.skip("a view")
            if name == "table-04":
                run.fail(waybill.UnavailableError("down", code="unavailable", error_class="network", retryable=True))
    assert run.report is not None
    assert run.report.state == "completed_with_differences"
    assert run.report.exit_code == 3
    found = failures(ledger)
    assert {key: failure.error_class for key, failure in found.items()} == {
        b"table-01": "callback",
        b"table-02": "missing",
        b"table-04": "network",
    }
    assert found[b"table-01"].message == "no such column"
    assert found[b"table-04"].message == "down"
    with waybill.Tracker(ledger) as tracker:
        outcomes = {outcome.item.key: outcome for outcome in tracker.outcomes("excluded")}
    reason = outcomes[b"table-03"].failure
    assert reason is not None
    assert reason.message == "a view"
    assert work(ledger) == NAMES[1:5]
    assert last(ledger).state == "completed"


def test_results_stay_with_their_items(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        for number, name in enumerate(run.items(NAMES)):
            run.result(rows=number)
            if name == "table-03":
                run.result(note="größer\n", nested={"a": [1, None]})
            if name == "table-04":
                run.fail("not at all")
    with waybill.Tracker(ledger) as tracker:
        results = {result.key.decode(): result.to_dict() for result in tracker.results()}
        assert [result.key for result in tracker.results(prefix="table-1")] == [
            f"table-1{n}".encode() for n in range(10)
        ]
    assert len(results) == 19
    assert results["table-03"] == {"rows": 3, "note": "größer\n", "nested": {"a": [1, None]}}
    work(ledger)
    with waybill.Tracker(ledger) as tracker:
        kept = {result.key.decode(): result.to_dict() for result in tracker.results()}
    assert kept == results
    with waybill.track("work", tracker=ledger) as run, run.item("other") as item:
        for wrong in ({"x": object()}, {"x": float("nan")}):
            with pytest.raises(waybill.InvalidArgumentError, match="result: "):
                item.result(**wrong)
        item.result(**{"x": "y" * 70_000})
        with pytest.raises(waybill.InvalidArgumentError, match="at most 65535"):
            item._end()
        item._result = None


def test_what_is_logged_is_an_event_of_the_run(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        for name in run.items(["a"]):
            run.log(f"converting {name}\nnow", "warning")
        with pytest.raises(waybill.InvalidArgumentError, match="is not one of"):
            run.log("x", "loud")  # type: ignore[arg-type]
    with waybill.Tracker(ledger) as tracker:
        logs = [(event.level, event.text) for event in tracker.events() if event.kind == "log"]
    assert logs == [("warning", "converting a now")]


def test_keys_of_paths_bytes_and_by_a_function(ledger: Path, tmp_path: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        assert len(list(run.items([tmp_path, b"\xff", "text"]))) == 3
        assert list(run.items([1, 2], key=str)) == [1, 2]
        assert list(run.items(["text"], partition="other")) == ["text"]
        assert list(run.items(["text"], partition=lambda name: name + "s")) == ["text"]
    with waybill.Tracker(ledger) as tracker:
        keys = [(item.partition, item.key) for item in tracker.items()]
    assert keys == sorted(
        [
            ("", os.fsencode(tmp_path)),
            ("", b"\xff"),
            ("", b"text"),
            ("", b"1"),
            ("", b"2"),
            ("other", b"text"),
            ("texts", b"text"),
        ]
    )


@pytest.mark.parametrize(
    ("objects", "more", "message"),
    [
        ([1, 2], {}, "int objects have no key of their own"),
        ([{"name": "a"}], {}, "dict objects have no key of their own"),
        (["a", "b", "a"], {}, "a comes twice among the items of this run"),
        (iter(["a", "b", "a"]), {}, "a comes twice among the items of this run"),
        (["a", "b"], {"key": lambda _: "same"}, "same comes twice"),
        (["a"], {"key": lambda _: 7}, "key: 7 is no str"),
        ([""], {}, "empty key"),
        (["a"], {"revision": lambda _: object()}, "revision: "),
        (["a"], {"revision": lambda _: "r" * 256}, "its revision has 256 bytes"),
        (["a"], {"size": lambda _: -1}, "size: -1 is no number of bytes"),
        (["a"], {"partition": lambda _: 3}, "partition: 3 is no str"),
    ],
)
def test_bad_items_are_refused_by_name(ledger: Path, objects: Any, more: dict[str, Any], message: str) -> None:
    with (
        pytest.raises(waybill.InvalidArgumentError, match=message),
        waybill.track("work", tracker=ledger) as run,
    ):
        for _ in run.items(objects, **more):
            pass
    assert last(ledger).state == "failed"


def test_bad_arguments_are_refused_by_name(ledger: Path) -> None:
    for wrong in ("", 7):
        with pytest.raises(waybill.InvalidArgumentError, match="name: "):
            waybill.track(wrong)  # type: ignore[arg-type]
    for total in (-1, "many", True):
        with pytest.raises(waybill.InvalidArgumentError, match="total: "):
            waybill.track("work", total=total)  # type: ignore[arg-type]
    run = waybill.track("work", tracker=ledger, options=waybill.Options(max_attempts=2))
    with pytest.raises(waybill.InvalidArgumentError, match="max_attempts means nothing"), run:
        pass
    assert not ledger.exists() or last(ledger).run == 0
    run = waybill.track("work", tracker=ledger)
    with pytest.raises(waybill.FailedPreconditionError, match="has not begun"):
        _ = run.snapshot
    with run:
        with pytest.raises(waybill.FailedPreconditionError, match="no item is in work here"):
            run.fail("x")
        with pytest.raises(waybill.LockedError), waybill.track("work", tracker=ledger):
            pass
    with pytest.raises(waybill.FailedPreconditionError, match="was begun already"), run:
        pass


def test_a_ledger_is_of_one_work(ledger: Path, tree: Path, tmp_path: Path) -> None:
    work(ledger)
    with pytest.raises(waybill.FailedPreconditionError, match='tracked work "work", wanted: tracked work "other"'):
        waybill.track("other", tracker=ledger).__enter__()
    with pytest.raises(waybill.FailedPreconditionError, match='tracked work "work"'):
        waybill.Migration(tree, tmp_path / "to", ledger).run()
    waybill.Migration(tree, tmp_path / "to", tmp_path / "copy.db").run()
    with pytest.raises(waybill.FailedPreconditionError, match='wanted: tracked work "work"'):
        waybill.track("work", tracker=tmp_path / "copy.db").__enter__()


def test_a_loop_that_is_left_is_carried_on(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        for name in run.items(NAMES):
            if name == "table-03":
                break
    snapshot = last(ledger)
    assert (snapshot.state, snapshot.reason) == ("interrupted", "the loop was left before its end")
    assert snapshot.items.done == 3
    assert work(ledger) == NAMES[3:]
    assert (last(ledger).run, last(ledger).items.created) == (1, 20)


def test_an_iterator_has_no_ratio_until_its_end(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger, total=25) as run:
        for _ in run.items(iter(NAMES)):
            assert run.snapshot.progress is None
            assert run.snapshot.expected_items == 25
    assert run.report is not None
    assert run.report.snapshot.progress == 1
    with waybill.Tracker(ledger) as tracker:
        warnings = [event.text for event in tracker.events() if event.level == "warning"]
    assert warnings == ["20 items came where 25 were expected"]


def test_an_iterator_is_not_read_ahead_of_a_slow_source(ledger: Path) -> None:
    """What comes slowly is worked on before the next is asked for."""
    asked = []

    def slowly() -> Iterator[str]:
        for name in NAMES[:5]:
            time.sleep(0.02)
            asked.append(name)
            yield name

    with waybill.track("work", tracker=ledger) as run:
        for name in run.items(slowly()):
            assert asked[-1] == name


def test_items_before_a_broken_iterator_are_worked_on(ledger: Path) -> None:
    def broken() -> Iterator[str]:
        yield from NAMES[:10]
        raise OSError("no more")

    done = []
    with pytest.raises(OSError, match="no more"), waybill.track("work", tracker=ledger) as run:
        for name in run.items(broken()):
            done.append(name)
    assert done == NAMES[:10]
    assert (last(ledger).state, last(ledger).items.done, last(ledger).items.failed) == ("failed", 10, 0)


def test_a_collection_that_can_be_gone_through_once_is_refused(ledger: Path) -> None:
    class Once:
        def __init__(self) -> None:
            self.left = iter(NAMES)

        def __len__(self) -> int:
            return 20

        def __iter__(self) -> Iterator[str]:
            return self.left

    with (
        pytest.raises(waybill.InvalidArgumentError, match="Once gave 20 objects at first and 0 when"),
        waybill.track("work", tracker=ledger) as run,
    ):
        for _ in run.items(Once()):
            pass
    assert work(ledger) == NAMES


def test_two_loops_never_let_progress_fall(ledger: Path) -> None:
    seen = []
    with waybill.track("work", tracker=ledger) as run:
        for names in (NAMES[:10], NAMES[10:]):
            for _ in run.items(names):
                seen.append(run.snapshot.progress)
    assert run.report is not None
    assert run.report.snapshot.items.done == 20
    told = [progress for progress in seen[:10] if progress is not None]
    assert told == sorted(told)
    assert all(progress is None or progress >= 0.5 for progress in seen[10:])


def test_another_process_cancels_and_pauses(ledger: Path, eventually: Callable[..., None], cli: Any) -> None:
    def stop(verb: str) -> list[str]:
        done = []
        with pytest.raises(waybill.CancelledError, match=f"{verb}.* by "):
            options = waybill.Options(resume_paused=True)
            with waybill.track("work", tracker=ledger, options=options) as run:
                for name in run.items(NAMES):
                    done.append(name)
                    if len(done) == 3:
                        assert cli(verb, "--tracker", ledger).returncode == 0
                        eventually(run._native.is_stopping)
        return done

    assert stop("pause") == NAMES[:3]
    assert (last(ledger).state, last(ledger).items.done) == ("paused", 3)
    with pytest.raises(waybill.LockedError, match="resume_paused"):
        work(ledger)
    assert stop("cancel") == NAMES[3:6]
    assert (last(ledger).state, last(ledger).run, last(ledger).items.done) == ("cancelled", 1, 6)
    assert work(ledger) == NAMES[6:]
    assert last(ledger).run == 2


def test_the_program_itself_cancels(ledger: Path) -> None:
    with pytest.raises(waybill.CancelledError), waybill.track("work", tracker=ledger) as run:
        for _ in run.items(NAMES):
            run.cancel()
    assert (last(ledger).state, last(ledger).items.done) == ("cancelled", 1)


def test_threads_work_on_items_at_once(ledger: Path) -> None:
    gate = threading.Barrier(4, timeout=30)

    def one(name: str) -> None:
        with run.item(name) as item:
            assert not item.is_done
            gate.wait()
            item.result(name=name)
            if name.endswith("7"):
                run.fail(f"not {name}")

    with waybill.track("work", tracker=ledger) as run, ThreadPoolExecutor(4) as pool:
        list(pool.map(one, NAMES))
    assert (last(ledger).items.done, last(ledger).items.failed) == (18, 2)
    assert failures(ledger)[b"table-17"].message == "not table-17"
    with waybill.Tracker(ledger) as tracker:
        assert {result.key.decode() for result in tracker.results()} == {
            name for name in NAMES if not name.endswith("7")
        }
    with waybill.track("work", tracker=ledger) as run, run.item("table-01") as item:
        assert item.is_done


def test_an_item_may_be_tried_again(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        for attempt in range(3):
            try:
                with run.item("a"):
                    if attempt < 2:
                        raise ValueError(attempt)
            except ValueError:
                continue
    snapshot = last(ledger)
    assert (snapshot.state, snapshot.items.done, snapshot.attempts_total, snapshot.attempts_failed) == (
        "completed",
        1,
        3,
        2,
    )


def test_what_other_threads_have_in_work_is_still_to_be_done(ledger: Path) -> None:
    with waybill.track("work", tracker=ledger) as run:
        item = run.item("a")
        item.__enter__()
    assert last(ledger).state == "interrupted"
    assert "in other threads" in last(ledger).reason
    assert last(ledger).items.pending == 1


def test_tasks_of_asyncio_work_on_items_at_once(ledger: Path) -> None:
    async def everything() -> None:
        gate = asyncio.Barrier(5)

        async def one(name: str) -> None:
            with run.item(name):
                await gate.wait()
                run.result(task=name)
                if name == "table-03":
                    run.skip("not this one")

        for begin in range(0, 20, 5):
            await asyncio.gather(*map(one, NAMES[begin : begin + 5]))
        late = asyncio.ensure_future(one("late"))
        await asyncio.sleep(0)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late

    with waybill.track("work", tracker=ledger) as run:
        asyncio.run(everything())
    snapshot = last(ledger)
    assert (snapshot.items.done, snapshot.items.excluded, snapshot.items.pending) == (19, 1, 1)
    assert (snapshot.state, snapshot.reason) == ("interrupted", "1 item was left without an outcome")
    with waybill.Tracker(ledger) as tracker:
        assert all(result.to_dict() == {"task": result.key.decode()} for result in tracker.results())


def test_progress_is_told_and_an_exception_in_it_ends_the_run(ledger: Path, eventually: Callable[..., None]) -> None:
    told: list[waybill.Snapshot] = []
    with waybill.track("work", tracker=ledger, progress=told.append) as run:
        for _ in run.items(NAMES[:1]):
            eventually(lambda: told)
    assert told[-1].state == "completed"
    assert {snapshot.run for snapshot in told} == {1}

    def broken(_: waybill.Snapshot) -> None:
        raise RuntimeError("no screen")

    with (
        pytest.raises(RuntimeError, match="no screen"),
        waybill.track("work", tracker=ledger, progress=broken) as run,
    ):
        for _ in run.items(NAMES):
            eventually(run._native.is_stopping)
    assert last(ledger).state == "failed"
    assert "no screen" in last(ledger).reason


def test_progress_on_a_stream_that_is_no_terminal(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with waybill.track("work", tracker=ledger, progress=True) as run:
        for _ in run.items(NAMES):
            pass
    assert "track completed" in capsys.readouterr().err


SCRIPT = """
import os, signal, sys, threading, time, waybill
signal.signal(signal.SIGINT, signal.default_int_handler)
ledger, moment, done = sys.argv[1], int(sys.argv[2]), sys.argv[3]
names = [f"{number:03}" for number in range(100)]
with waybill.track("work", tracker=ledger) as run, open(done, "a") as log:
    for name in run.items(names if moment % 2 else iter(names)):
        print(name, file=log, flush=True)
        ACTION
"""


def run_script(action: str, ledger: Path, moment: int, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    script = textwrap.dedent(SCRIPT).replace("ACTION", action)
    words = [sys.executable, "-c", script, str(ledger), str(moment), str(ledger.with_suffix(".log"))]
    return subprocess.run(words, capture_output=True, timeout=timeout, check=False, encoding="utf-8")


@pytest.mark.parametrize("moment", [0, 1, 50, 51, 98, 99])
def test_a_program_that_is_killed_goes_on_where_its_ledger_is(ledger: Path, moment: int) -> None:
    kill = "if int(name) == moment: os.kill(os.getpid(), signal.SIGKILL)"
    wait = f"if int(name) == {moment - 10}: time.sleep(0.5)\n        "
    result = run_script(wait + kill, ledger, moment)
    assert result.returncode == -signal.SIGKILL, result.stderr
    snapshot = last(ledger)
    assert snapshot.state == "interrupted"
    committed = snapshot.items.done
    assert max(0, moment - 10) <= committed <= moment
    assert run_script("pass", ledger, moment).returncode == 0
    snapshot = last(ledger)
    assert (snapshot.run, snapshot.state) == (1, "completed")
    assert (snapshot.items.created, snapshot.items.discovered, snapshot.attempts_total) == (100, 100, 100)
    worked = ledger.with_suffix(".log").read_text().split()
    assert worked == [f"{n:03}" for n in range(moment + 1)] + [f"{n:03}" for n in range(committed, 100)]


FAST = """
import sys, waybill
with waybill.track("work", tracker=sys.argv[1]) as run:
    for _ in run.items([f"{number:06}" for number in range(100_000)]):
        pass
"""


def test_kills_at_any_moment_leave_accounts_that_hold(ledger: Path, eventually: Callable[..., None]) -> None:
    words = [sys.executable, "-c", FAST, str(ledger)]
    done = 0
    for seed in range(5):
        program = subprocess.Popen(words)
        eventually(
            lambda program=program: (
                program.poll() is not None or (ledger.exists() and last_or_none(ledger) == "running")
            )
        )
        time.sleep(random.Random(seed).random() / 2)
        program.kill()
        program.wait(30)
        snapshot = last(ledger)
        assert snapshot.state in ("interrupted", "completed")
        assert snapshot.items.done >= done, "what was committed is done still"
        assert snapshot.items.failed == snapshot.items.vanished == 0
        done = snapshot.items.done
    assert subprocess.run(words, timeout=120, check=False).returncode == 0
    snapshot = last(ledger)
    assert snapshot.state == "completed"
    assert snapshot.migration_items.done == snapshot.migration_items.discovered == 100_000
    assert snapshot.items.created + snapshot.items.unchanged == 100_000
    assert waybill.check_ledger(ledger).problems == []


def last_or_none(ledger: Path) -> str | None:
    """The state, or None of a ledger that is just being made."""
    try:
        return last(ledger).state
    except waybill.Error:
        return None


def test_ctrl_c_ends_at_once_and_is_raised(ledger: Path) -> None:
    begin = "if name == '003': threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start(); time.sleep(30)"
    began = time.monotonic()
    result = run_script(begin, ledger, 1)
    assert result.returncode in (130, -signal.SIGINT)
    assert result.stderr.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - began < 20, "it did not wait for the body of the loop"
    snapshot = last(ledger)
    assert (snapshot.state, snapshot.items.done, snapshot.items.failed) == ("interrupted", 3, 0)
    assert run_script("pass", ledger, 1).returncode == 0
    assert (last(ledger).run, last(ledger).items.created) == (1, 100)


def test_an_interpreter_that_exits_in_the_loop_leaves_it_to_be_carried_on(ledger: Path) -> None:
    assert run_script("if name == '003': sys.exit(5)", ledger, 1).returncode == 5
    assert (last(ledger).state, last(ledger).items.done) == ("interrupted", 3)
    never = SCRIPT.replace("with waybill.track", "run = waybill.track").replace(
        " as run, open(done", ".__enter__()\nwith open(done"
    )
    words = [
        sys.executable,
        "-c",
        never.replace("ACTION", "if name == '005': break"),
        str(ledger),
        "1",
        str(ledger) + ".log",
    ]
    result = subprocess.run(words, capture_output=True, timeout=60, check=False, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    assert (last(ledger).state, last(ledger).items.done) == ("interrupted", 5)


def test_commands_that_read_work_and_those_that_move_refuse(ledger: Path, cli: Any) -> None:
    with waybill.track("work", tracker=ledger) as run:
        for name in run.items(NAMES):
            if name == "table-02":
                run.fail("no such column")
            run.log(f"worked on {name}")
    for command in ("status", "items", "failed", "errors", "logs", "history", "watch", "partitions"):
        result = cli(command, "--tracker", ledger)
        assert result.returncode in (0, 3), (command, result.stderr)
        assert result.stdout, command
    assert json.loads(cli("status", "--json", "--tracker", ledger).stdout)["run"]["phase"] == "track"
    assert "no such column" in cli("failed", "--tracker", ledger).stdout
    assert "worked on table-19" in cli("logs", "--tracker", ledger).stdout
    for kind in ("json", "csv", "md", "html"):
        result = cli("report", "--tracker", ledger, "--format", kind)
        assert result.returncode == 0, (kind, result.stderr)
        assert "table-02" in result.stdout
    for command in ("run", "plan", "verify", "retry", "resume", "waive"):
        why = ["--all", "--why", "not wanted"] if command == "waive" else []
        result = cli(command, *why, "--tracker", ledger)
        assert result.returncode == 2, command
        assert 'is of tracked work ("work"): start the program' in result.stderr, (command, result.stderr)
        assert len(result.stderr.splitlines()) == 1
    assert last(ledger).run == 1
