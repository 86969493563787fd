# SPDX-License-Identifier: Apache-2.0
"""Whole runs in fair weather and in foul: how many requests an object takes, and what errors, throttling and an outage
of the store cost. The store's own log is the judge.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from fault_server import FaultServer, quoted
from process import Waybill, check_accounts, open_folder, wait_for

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
MIB = 1 << 20
COUNT = 2_000
# Requests for each object at most where nothing goes wrong: listings and probes included.
STREAMED = 2.01
COPIED = 1.01


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-weather-") as path:
        yield path


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer("from", "to") as running:
        yield running


def words(server: FaultServer, streamed: bool = True) -> list[str]:
    """A run from one bucket to the other. One server under two names is two stores; under one, it copies by itself."""
    source = server.url("from")
    if streamed:
        source = source.replace("127.0.0.1", "localhost")
    return ["run", "--from", source, "--to", server.url("to"), "--progress", "none"]


def content_of(server: FaultServer, bucket: str, key: bytes) -> bytes:
    with urlopen(f"{server.endpoint}/{bucket}/{quoted(key)}") as answer:
        content: bytes = answer.read()
    return content


def total(counts: dict[str, dict[str, Any]]) -> int:
    return sum(count["requests"] for count in counts.values())


def check_arrived(server: FaultServer, waybill: Waybill) -> dict[str, Any]:
    """Everything is there and nothing failed, by the store and by the accounts."""
    status = waybill.status()
    check_accounts(status)
    keys = server.keys("from")
    assert server.keys("to") == keys
    for key in keys[:: max(1, len(keys) // 20)]:
        assert content_of(server, "to", key) == content_of(server, "from", key), key
    assert status["run"]["state"] == "completed"
    assert status["items"]["done"] == len(keys)
    assert status["items"]["failed"] == 0
    return status


def run_to_end(
    folder: Path, server: FaultServer, streamed: bool, **options: Any
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What the run asked of the store, by operation, and its status."""
    waybill = Waybill(folder, environment=ENVIRONMENT, options=options)
    done = waybill.run(*words(server, streamed))
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    counts = server.counts()
    server.clear_rules()
    return counts, check_arrived(server, waybill)


@pytest.mark.parametrize(
    ("streamed", "count"),
    [
        (True, COUNT),
        (False, COUNT),
        pytest.param(True, 50_000, marks=pytest.mark.long),
        pytest.param(False, 50_000, marks=pytest.mark.long),
    ],
)
def test_the_requests_that_an_object_takes(folder: Path, server: FaultServer, streamed: bool, count: int) -> None:
    """One read and one write; inside a store one copy; and nothing of the content goes over the wire then."""
    server.generate("from", shape="hex", count=count, size=300)
    counts, _ = run_to_end(folder, server, streamed)
    taken = total(counts) / count
    print(f"requests per object: {taken:.4f}", {op: each["requests"] for op, each in counts.items()})
    if streamed:
        assert taken <= STREAMED, counts
        assert counts["GetObject"]["requests"] >= count
    else:
        assert taken <= COPIED, counts
        assert counts["CopyObject"]["requests"] >= count
        assert "GetObject" not in counts


@pytest.mark.parametrize(("streamed", "etag"), [(True, "md5"), (False, "md5"), (False, "opaque")])
def test_one_error_and_one_reset_in_a_hundred(folder: Path, server: FaultServer, streamed: bool, etag: str) -> None:
    """At most 1.05 times the requests of the same run without them, and no item fails; small objects and parts. A copy
    whose answer was lost is known by its ETag if that is an MD5, and by its content if it is none."""

    def prepare() -> None:
        server.bucket("to", etag=etag)
        for number in range(COUNT):
            more = {"etag": f"revision-{number}"} if etag == "opaque" else {}
            server.put("from", f"small/{number:06}", f"content {number}", **more)
        server.generate("from", shape="padded", count=6, size=11 * MIB, prefix="large/")

    parts = {"part_size_bytes": 5 * MIB, "part_threshold_bytes": 5 * MIB}
    prepare()
    (folder / "fair").mkdir()
    counts, _ = run_to_end(folder / "fair", server, streamed, **parts)
    fair = total(counts)

    server.reset()
    prepare()
    answer = {"action": "status", "status": 503, "code": "ServiceUnavailable"}
    server.rule(op="*", probability=0.01, seed=20261, **answer)
    server.rule(op="*", probability=0.01, seed=20262, action="reset", place="answer")
    (folder / "foul").mkdir()
    counts, status = run_to_end(folder / "foul", server, streamed, **parts)
    foul = total(counts)
    hits = sum(count["statuses"].get("503", 0) for count in counts.values())
    print(f"requests: {fair} fair, {foul} foul, x {foul / fair:.4f}; {hits} times 503; {status['attempts']}")
    assert hits > 0.005 * fair, "the weather was too good"
    assert foul <= 1.05 * fair, counts
    assert not server.uploads("to")


def per_second(log: list[dict[str, Any]], begin_us: float, end_us: float) -> float:
    """Requests that were begun in that time, a second."""
    return sum(begin_us <= row["begun_us"] < end_us for row in log) / (end_us - begin_us) * 1e6


@pytest.mark.parametrize("seconds", [6, pytest.param(30, marks=pytest.mark.long)])
def test_slow_down_is_answered_by_fewer_requests_and_more_afterwards(
    folder: Path, server: FaultServer, seconds: int
) -> None:
    """Concurrency falls and recovers, and nothing fails."""
    server.generate("from", shape="hex", count=4_000, size=300)
    server.latency(100)
    waybill = Waybill(folder, environment=ENVIRONMENT, options={"max_concurrency": 64})
    process = waybill.start(*words(server))
    try:
        wait_for(lambda: server.counts().get("PutObject", {}).get("requests", 0) > 1_000, 60, "the run is under way")
        rule = server.rule(op="*", action="status", status=503, code="SlowDown")
        time.sleep(seconds)
        server.remove_rule(rule)
        _, errors = process.communicate(timeout=240)
    finally:
        waybill.stop(process)
    assert process.returncode == 0, errors.decode(errors="replace")
    status = check_arrived(server, waybill)

    # With the same latency for each, requests a second are proportional to those in flight.
    log = server.log()
    throttled = [row for row in log if row["status"] == 503]
    begin, end = throttled[0]["begun_us"], throttled[-1]["begun_us"]
    before = per_second(log, begin - 1e6, begin)
    during = per_second(log, (begin + end) / 2, end)
    after = max(per_second(log, end + s * 1e6, end + (s + 1) * 1e6) for s in range(12))
    print(f"requests a second: {before:.0f} before, {during:.0f} in the second half, {after:.0f} within 12 s after;")
    print(f"{len(throttled)} refused of {len(log)}; {status['attempts']}")
    assert during <= before / 4
    assert after >= before / 2


@pytest.mark.parametrize("seconds", [36, pytest.param(300, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_a_store_that_is_gone_pauses_the_run_which_then_carries_on(
    folder: Path, server: FaultServer, seconds: int
) -> None:
    """After 30 s everybody sees `paused (endpoint)`; no item fails, though each has no more than two attempts."""
    server.generate("from", shape="hex", count=1_000, size=300)
    server.latency(50)
    waybill = Waybill(folder, environment=ENVIRONMENT, options={"max_concurrency": 32, "max_attempts": 2})
    process = waybill.start(*words(server))
    try:
        wait_for(lambda: server.counts().get("PutObject", {}).get("requests", 0) > 300, 60, "the run is under way")
        server.down(seconds * 1000)
        gone = time.monotonic()
        seen: list[tuple[float, str, str | None]] = []
        while time.monotonic() < gone + seconds - 0.5:
            status = waybill.status()
            check_accounts(status)
            assert status["items"]["failed"] == 0
            seen.append((time.monotonic() - gone, status["run"]["state"], status["run"]["reason"]))
            time.sleep(1)
        _, errors = process.communicate(timeout=120)
        carried_on = time.monotonic() - gone - seconds
    finally:
        waybill.stop(process)
    assert process.returncode == 0, errors.decode(errors="replace")
    status = check_arrived(server, waybill)
    paused = [at for at, state, reason in seen if (state, reason) == ("paused", "endpoint")]
    print(f"paused for others after {paused[:1]} s; ended {carried_on:.1f} s after the return; {status['attempts']}")
    assert paused, "nobody was told that the run waits"
    assert 29 <= paused[0] <= 35
    assert all(state == "running" for at, state, _ in seen if at < 29)
    assert all(state == "paused" for at, state, _ in seen if at > 36)
    # While the run is paused one transfer at a time finds out about the store: the rest of an outage costs next to none.
    assert status["attempts"]["failed"] <= 4 * status["items"]["done"]
