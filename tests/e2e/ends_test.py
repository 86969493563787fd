# SPDX-License-Identifier: Apache-2.0
"""Every way in which a run ends: the state, the reason, the end time and the exit code that it leaves, and how soon.

A full disk and a stopped owner need more than a row here; they are the last two tests.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer
from process import Waybill, check_accounts, open_folder, wait_for
from small_disk import SmallDisk

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
FAST = {"commit_interval_ms": 10, "concurrency": 4, "retry_base_ms": 1, "retry_cap_ms": 20}
# What a process needs to begin and to end on a machine that does much else; added to the promised times.
SLACK_SECONDS = 3.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-ends-") as path:
        yield path


@pytest.fixture
def store() -> Iterator[FaultServer]:
    with FaultServer("from", "to") as server:
        yield server


def last_run(waybill: Waybill) -> dict[str, Any]:
    told = waybill.run("history", "--limit", "1", "--json")
    assert told.returncode == 0, told.stderr.decode()
    record: dict[str, Any] = json.loads(told.stdout)["record"]
    return record


def check_end(waybill: Waybill, state: str, reason: str, began_ms: float, ended_by_ms: float) -> None:
    """Status and history say the same, and the end lies between the two times."""
    status = waybill.status()
    check_accounts(status)
    record = last_run(waybill)
    assert (status["run"]["state"], record["state"]) == (state, state)
    assert reason in (status["run"]["reason"] or ""), status["run"]["reason"]
    assert record["reason"] == (status["run"]["reason"] or "")
    assert status["items"]["in_progress"] == 0
    assert began_ms <= record["started_at_ms"] <= record["ended_at_ms"] <= ended_by_ms, record
    assert record["active_seconds"] * 1000 <= record["ended_at_ms"] - record["started_at_ms"] + 3


def fill(store: FaultServer) -> None:
    store.generate("from", shape="padded", count=200, size=100)


def nothing(store: FaultServer) -> None:
    """The source stays empty."""


def fail_one(store: FaultServer) -> None:
    fill(store)
    store.rule(op="GetObject", nth=5, action="status", status=403, code="AccessDenied")


def lose_the_bucket(store: FaultServer) -> None:
    store.generate("from", shape="padded", count=5_000, size=100)
    store.rule(op="ListObjectsV2", bucket="from", **{"from": 4}, action="status", status=404, code="NoSuchBucket")


def refuse_the_keys(store: FaultServer) -> None:
    """From the tenth object on, nothing is allowed any more."""
    fill(store)
    store.rule(op="*", **{"from": 30}, action="status", status=403, code="InvalidAccessKeyId")


@dataclass(frozen=True)
class End:
    code: int
    state: str
    reason: str
    prepare: Callable[[FaultServer], None] = field(default=fill)


BY_THEMSELVES = {
    "success": End(0, "completed", ""),
    "an empty source": End(0, "completed", "", nothing),
    "failed items": End(3, "completed_with_differences", "", fail_one),
    "a fatal error": End(1, "failed", "NoSuchBucket", lose_the_bucket),
    "authentication refused on the way": End(1, "failed", "InvalidAccessKeyId", refuse_the_keys),
}


@pytest.mark.parametrize("name", BY_THEMSELVES)
def test_a_run_that_ends_by_itself(folder: Path, store: FaultServer, name: str) -> None:
    end = BY_THEMSELVES[name]
    # Both sides are another store, so that there are reads to refuse.
    source = store.url("from").replace("127.0.0.1", "localhost")
    waybill = Waybill(folder, environment=ENVIRONMENT, options=FAST)
    nothing(store)
    end.prepare(store)
    began = time.time()
    done = waybill.run("run", "--from", source, "--to", store.url("to"), "--progress", "none")
    ended = time.time()
    store.clear_rules()
    assert done.returncode == end.code, done.stderr.decode()
    check_end(waybill, end.state, end.reason, began * 1000 - 1, ended * 1000 + 1)
    if end.code == 1:
        said = (done.stdout + done.stderr).decode().splitlines()
        assert len([line for line in said if end.reason in line]) == 1, said
    progress = waybill.status()["ratios"]["progress"]
    assert progress == 1.0 or end.code == 1


def test_credentials_that_never_worked_end_in_one_line(folder: Path, store: FaultServer) -> None:
    fill(store)
    store.server(checks_signatures=True, keys=[{"id": "others", "secret": "others-secret"}])
    waybill = Waybill(folder, environment=ENVIRONMENT, options=FAST)
    done = waybill.run("run", "--from", store.url("from"), "--to", store.url("to"), "--progress", "none")
    assert done.returncode in (1, 2), done.stderr.decode()
    assert len(done.stderr.decode().splitlines()) == 1
    assert sum(each["requests"] for each in store.counts().values()) <= 20


@dataclass(frozen=True)
class Interruption:
    number: signal.Signals
    code: int
    promised_seconds: float


BY_SIGNALS = {
    "ctrl-c": Interruption(signal.SIGINT, 130, 2.0),
    "sigterm": Interruption(signal.SIGTERM, 130, 2.0),
    "kill -9": Interruption(signal.SIGKILL, -signal.SIGKILL, 2.0),
}


@pytest.mark.parametrize("name", BY_SIGNALS)
def test_a_run_that_is_ended_by_a_signal(folder: Path, store: FaultServer, name: str) -> None:
    interruption = BY_SIGNALS[name]
    fill(store)
    source = store.url("from").replace("127.0.0.1", "localhost")
    held = store.rule(op="PutObject", bucket="to", **{"from": 50}, action="stall", place="answer")
    waybill = Waybill(folder, environment=ENVIRONMENT, options=FAST)
    command = ("run", "--from", source, "--to", store.url("to"), "--progress", "none")
    began = time.time()
    process = waybill.start(*command)
    try:
        wait_for(lambda: store.fired(held) > 0 or process.poll() is not None, 60, "transfers that stall")
        wait_for(lambda: waybill.status()["items"]["done"] > 0, 60, "something done")
        assert process.poll() is None
        sent = time.monotonic()
        process.send_signal(interruption.number)
        code = process.wait(timeout=30)
        wait_for(lambda: waybill.status()["run"]["state"] == "interrupted", 10, "the state `interrupted`")
        took = time.monotonic() - sent
    finally:
        waybill.stop(process)
    assert code == interruption.code
    assert took <= interruption.promised_seconds + SLACK_SECONDS
    if name == "kill -9":
        # Nobody was left to write an end; what is known is when the owner was last seen alive.
        status = waybill.status()
        check_accounts(status)
        assert status["run"]["ended_at"] is None
        assert status["run"]["heartbeat_at"] is not None
        assert last_run(waybill)["state"] == "interrupted"
    else:
        check_end(waybill, "interrupted", "", began * 1000 - 1, time.time() * 1000 + 1)
    store.clear_rules()
    done = waybill.run(*command)
    assert done.returncode == 0, done.stderr.decode()
    check_end(waybill, "completed", "", began * 1000 - 1, time.time() * 1000 + 1)
    assert store.keys("to") == store.keys("from")


RAISES = """
import os, sys, waybill

def progress(snapshot):
    if snapshot.items.done > 0:
        raise LookupError("the host has had enough")

options = waybill.Options(concurrency=2, commit_interval_ms=10)
migration = waybill.Migration(sys.argv[1], sys.argv[2], tracker="ledger.db", options=options)
try:
    migration.run(progress=progress)
except LookupError as error:
    sys.exit(f"rethrown: {error}")
"""


def test_an_exception_in_a_callback_ends_the_run_and_is_rethrown(folder: Path, store: FaultServer) -> None:
    fill(store)
    store.latency(50)
    waybill = Waybill(folder, environment=ENVIRONMENT)
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", RAISES, store.url("from").replace("127.0.0.1", "localhost"), store.url("to")],
        cwd=folder,
        env=waybill.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.strip()) == (1, "rethrown: the host has had enough")
    check_end(waybill, "failed", "the host has had enough", began * 1000 - 1, time.time() * 1000 + 1)
    assert waybill.status()["items"]["outstanding"] > 0


def test_a_full_disk_under_the_ledger(folder: Path) -> None:
    source = folder / "from"
    source.mkdir()
    (folder / "small").mkdir()
    for number in range(3_000):
        (source / f"{number:060}").write_bytes(b"content")
    with SmallDisk(folder / "small", 32 << 10) as disk:
        options = FAST | {"tracker_patience_ms": 1_000}
        waybill = Waybill(folder, tracker="small/ledger.db", prefix=disk.prefix, options=options)
        command = ("run", "--from", "from", "--to", "to", "--progress", "none")
        disk.fill(but_kib=1_000)
        began = time.time()
        done = waybill.run(*command, timeout=120)
        assert done.returncode == 1, done.stderr.decode()
        status = waybill.status()
        check_accounts(status)
        assert status["run"]["state"] == "interrupted"
        assert status["items"]["outstanding"] > 0
        disk.free()
        done = waybill.run(*command, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        check_end(waybill, "completed", "", began * 1000 - 1, time.time() * 1000 + 1)


def test_a_lost_lease(folder: Path, store: FaultServer) -> None:
    """A stopped owner is taken over; awake again, it ends by itself, and its run is the new owner's."""
    fill(store)
    source = store.url("from").replace("127.0.0.1", "localhost")
    held = store.rule(op="PutObject", bucket="to", **{"from": 50}, action="stall", place="answer")
    waybill = Waybill(folder, environment=ENVIRONMENT, options=FAST | {"lease_ms": 3_000, "heartbeat_ms": 500})
    command = ("run", "--from", source, "--to", store.url("to"), "--progress", "none")
    began = time.time()
    first = waybill.start(*command)
    try:
        wait_for(lambda: store.fired(held) > 0 or first.poll() is not None, 60, "transfers that stall")
        waybill.halt_between_writes(first)
        store.clear_rules()
        done = waybill.run(*command, "--take-over", timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        ended = time.time()
        check_end(waybill, "completed", "", began * 1000 - 1, ended * 1000 + 1)
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=60) in (1, 4)
        check_end(waybill, "completed", "", began * 1000 - 1, ended * 1000 + 1)
    finally:
        waybill.stop(first)
    assert store.keys("to") == store.keys("from")
