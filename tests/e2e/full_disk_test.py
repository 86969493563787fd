# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up in the middle of a run, at either end of it: the destination's and the ledger's.

Nothing recorded is lost, nothing half written is taken for whole, and with space back the same command ends the work.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from process import Waybill, check_accounts, open_folder, run_checked
from small_disk import SmallDisk

N_FILES = 3_000
FAST = {"commit_interval_ms": 10, "retry_base_ms": 1, "retry_cap_ms": 20, "concurrency": 4}


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-full-") as path:
        (path / "small").mkdir()
        yield path


def make_source(root: Path, *, files: int, size: int) -> dict[str, bytes]:
    for number in range(files):
        path = root / f"folder {number % 7}" / f"{number:04}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((b"%06d" % number * (size // 6 + 1))[:size])
    return contents(root)


def contents(root: Path) -> dict[str, bytes]:
    """Every file below `root`, those that are being written included."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def done_by_the_ledger(ledger: Path, prefix: list[str]) -> set[str]:
    query = "SELECT key FROM item_view WHERE state IN ('copied', 'verified')"
    found = run_checked([*prefix, "sqlite3", "-readonly", str(ledger), query]).stdout.decode().splitlines()
    assert run_checked([*prefix, "sqlite3", "-readonly", str(ledger), "PRAGMA integrity_check"]).stdout == b"ok\n"
    return set(found)


def expect_end(waybill: Waybill, done: subprocess.CompletedProcess[bytes], files: int) -> None:
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    status = waybill.status()
    check_accounts(status)
    assert status["run"]["state"] == "completed"
    assert status["items"]["done"] == status["items"]["discovered"] == files
    assert waybill.run("verify", "--progress", "none").returncode == 0


@pytest.mark.parametrize("but_kib", [300, 2_500])
def test_a_destination_that_fills_up(folder: Path, but_kib: int) -> None:
    source = make_source(folder / "source", files=200, size=20_000)
    with SmallDisk(folder / "small", 16 << 10) as disk:
        waybill = Waybill(folder, prefix=disk.prefix, options=FAST)
        command = ("run", "--from", "source", "--to", "small/to", "--progress", "none")
        disk.fill(but_kib=but_kib)
        done = waybill.run(*command, timeout=120)
        assert done.returncode == 3, done.stdout.decode() + done.stderr.decode()
        failed = waybill.failed()
        assert failed, "the disk was large enough"
        assert {row["error_class"] for row in failed.values()} == {"local_io"}
        assert all("No space left on device" in row["message"] for row in failed.values())
        there = contents(disk.inside / "to")
        assert there, "nothing fitted"
        assert all(source[name] == content for name, content in there.items()), "half of a file was left"
        assert there.keys() == done_by_the_ledger(folder / "ledger.db", [])
        assert source.keys() - there.keys() == {name.decode() for name in failed}
        status = waybill.status()
        check_accounts(status)
        assert (status["items"]["done"], status["items"]["failed"]) == (len(there), len(failed))

        disk.free()
        expect_end(waybill, waybill.run(*command, timeout=120), len(source))
        assert waybill.status()["items"]["failed"] == 0
        assert contents(disk.inside / "to") == source


@pytest.mark.parametrize("but_kib", [600, 1_000, 1_400, 1_800])
def test_a_ledger_whose_disk_fills_up_and_stays_full(folder: Path, but_kib: int) -> None:
    # So many that their rows alone do not fit, however few commits write them.
    n_files = 8 * but_kib
    source = make_source(folder / "source", files=n_files, size=50)
    with SmallDisk(folder / "small", 32 << 10) as disk:
        waybill = Waybill(
            folder, tracker="small/ledger.db", prefix=disk.prefix, options=FAST | {"tracker_patience_ms": 1_000}
        )
        command = ("run", "--from", "source", "--to", "to", "--progress", "none")
        disk.fill(but_kib=but_kib)
        done = waybill.run(*command, timeout=120)
        assert done.returncode == 1, done.stdout.decode() + done.stderr.decode()
        lines = [line for line in (done.stdout + done.stderr).decode().splitlines() if "full" in line]
        assert len(lines) == 1, lines
        assert "small/ledger.db is full; free some space" in lines[0]
        status = waybill.status()
        check_accounts(status)
        assert status["run"]["state"] == "interrupted"
        recorded = done_by_the_ledger(folder / "small/ledger.db", disk.prefix)
        assert len(recorded) == status["items"]["done"] < n_files
        there = contents(folder / "to")
        assert recorded <= there.keys(), "recorded as done, and not there"
        assert all(source[name] == there[name] for name in recorded)

        disk.free()
        expect_end(waybill, waybill.run(*command, timeout=120), n_files)
        assert recorded <= done_by_the_ledger(folder / "small/ledger.db", disk.prefix)
        assert contents(folder / "to") == source


def test_a_ledger_whose_disk_has_space_again_goes_on_by_itself(folder: Path) -> None:
    source = make_source(folder / "source", files=N_FILES, size=50)
    with SmallDisk(folder / "small", 32 << 10) as disk:
        waybill = Waybill(folder, tracker="small/ledger.db", prefix=disk.prefix, options=FAST)
        disk.fill(but_kib=1_200)
        output = folder / "output"
        process = waybill.start("run", "--from", "source", "--to", "to", "--json")
        try:
            assert process.stdout is not None
            with open(output, "wb") as file:
                for line in process.stdout:
                    file.write(line)
                    if b'"state":"paused"' in line:
                        assert b'"reason":"tracker"' in line
                        disk.free()
                        break
                else:
                    pytest.fail("it was never shown as paused")
            out, errors = process.communicate(timeout=120)
        finally:
            waybill.stop(process)
        expect_end(waybill, subprocess.CompletedProcess([], process.returncode, out, errors), N_FILES)
        assert waybill.status()["run"]["id"] == 2, "the copy and the verification, and no other run"
        assert contents(folder / "to") == source
