# SPDX-License-Identifier: Apache-2.0
"""Runs over many objects that have not changed: no request per item, and memory that does not grow with their number."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_server import FaultServer
from process import Waybill, check_accounts, open_folder

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
QUIET = ("--concurrency", "32", "--progress", "none")
PAGE = 1_000
# Of a whole process with its Python; what ten times the items may add is pages of SQLite's cache and the allocator's rest.
MOST_MIB = 160
MOST_GROWTH_MIB = 24


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-million-") as path:
        yield path


@dataclass(frozen=True)
class Spent:
    seconds: float
    peak_mib: float


def peak_mib_of(pid: int) -> float:
    """The most memory that a live process has had. Not of `getrusage`: there a child begins with its parent's."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0.0


def spend(waybill: Waybill, *words: str) -> Spent:
    """Runs a command to its end, and tells its time and the most memory it had."""
    begin = time.monotonic()
    peak = 0.0
    process = waybill.start(*words)
    try:
        while process.poll() is None:
            peak = max(peak, peak_mib_of(process.pid))
            time.sleep(0.02)
        seconds = time.monotonic() - begin
    finally:
        waybill.stop(process)
    assert process.returncode == 0, words
    assert peak > 0
    return Spent(seconds, peak)


def go_through(folder: Path, count: int) -> dict[str, Spent]:
    """A run that finds `count` objects there already, one that finds nothing new, and a verification."""
    folder.mkdir()
    with FaultServer("from", "to") as server:
        for bucket in ("from", "to"):
            server.generate(bucket, shape="padded", count=count, size=100, md5_etags=True)
        waybill = Waybill(folder, environment=ENVIRONMENT)
        spent = {}
        ways = {
            # Connections take memory too, and how many there are is not what is asked here.
            "first": ("run", "--from", server.url("from"), "--to", server.url("to"), *QUIET),
            "incremental": ("run", *QUIET),
            "verify": ("verify", "--level", "listing"),
        }
        for name, words in ways.items():
            server.clear_log()
            spent[name] = spend(waybill, *words)
            items = waybill.status()["items"]
            assert (items["done"], items["failed"]) == (count, 0), name
            assert items["unchanged"] == count, name
            requests = server.counts()
            assert requests.keys() == {"ListObjectsV2"}, (name, requests)
            assert requests["ListObjectsV2"]["requests"] <= 2.4 * count / PAGE + 100, (name, requests)
        check_accounts(waybill.status())
        assert not any(waybill.status()["findings"].values())
    return spent


@pytest.mark.parametrize(
    "count", [10_000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_what_has_not_changed_costs_a_listing_and_no_memory(folder: Path, count: int) -> None:
    few = go_through(folder / "few", count // 10)
    many = go_through(folder / "many", count)
    for name, spent in many.items():
        print(f"{name}: {count} items, {spent.seconds:.1f} s, {few[name].peak_mib:.0f} to {spent.peak_mib:.0f} MiB")
    for name, spent in many.items():
        assert spent.peak_mib <= MOST_MIB, name
        assert spent.peak_mib - few[name].peak_mib <= MOST_GROWTH_MIB, name
    assert many["incremental"].seconds < 60
