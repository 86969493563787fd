# SPDX-License-Identifier: Apache-2.0
"""Who owns a ledger, and how a run is stopped: by Ctrl-C, from another process, by a taker-over, by a pause.

Transfers are held still by a proxy in front of a real S3 server, so that a run lasts as long as a test wants.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from process import Waybill, check_accounts, open_folder, wait_for
from s3 import S3Server
from stall_proxy import StallProxy

N_FILES = 400
FAST: dict[str, Any] = {"commit_interval_ms": 20, "concurrency": 8}
SHORT_LEASE: dict[str, Any] = FAST | {"lease_ms": 3_000, "heartbeat_ms": 500}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server("origin", "target") as running:
        yield running


@pytest.fixture
def folder(server: S3Server) -> Iterator[Path]:
    server.empty("origin")
    server.empty("target")
    with open_folder("waybill-ownership-") as path:
        source = path / "source"
        for number in range(N_FILES):
            file = source / f"folder {number % 7}" / f"file {number:03}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"%d" % number * 700)
        yield path


@pytest.fixture
def proxy(server: S3Server) -> Iterator[StallProxy]:
    with StallProxy(server.port) as running:
        yield running


def contents(root: Path) -> dict[str, bytes]:
    hidden = (".sgwtmp", ".waybill-tmp")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not str(path.relative_to(root)).startswith(hidden)
    }


def waybill_in(folder: Path, server: S3Server, options: dict[str, Any]) -> Waybill:
    return Waybill(folder, environment=server.environment, options=options)


def to_s3(folder: Path, server: S3Server, proxy: StallProxy) -> tuple[str, ...]:
    url = server.url("target", endpoint=proxy.endpoint)
    return ("run", "--from", str(folder / "source"), "--to", url, "--progress", "none")


def start_and_hold(
    waybill: Waybill, proxy: StallProxy, command: tuple[str, ...], request: bytes = b"PUT /target/folder"
) -> subprocess.Popen[bytes]:
    """Starts a run whose connections freeze at the 60th transfer, when some items have moved and others have not."""
    proxy.freeze_at(request, 60)
    process = waybill.start(*command)
    try:
        wait_for(lambda: proxy.is_frozen or process.poll() is not None, 60, "the 60th transfer")
        assert process.poll() is None, "the run ended before it could be held"
        wait_for(lambda: waybill.status()["items"]["in_progress"] > 0, 60, "transfers under way")
    except BaseException:
        proxy.thaw()
        waybill.stop(process)
        raise
    return process


def expect_carried_on(waybill: Waybill, folder: Path, server: S3Server, command: tuple[str, ...]) -> None:
    """The same command ends the migration, and every file is there once."""
    done = waybill.run(*command)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    status = waybill.status()
    check_accounts(status)
    assert status["run"]["state"] == "completed"
    assert status["items"]["done"] == status["items"]["discovered"] == N_FILES
    assert contents(server.objects("target")) == contents(folder / "source")
    assert not server.open_uploads("target")


def test_a_second_process_is_refused_and_told_who_holds_the_ledger(
    folder: Path, server: S3Server, proxy: StallProxy
) -> None:
    waybill = waybill_in(folder, server, FAST)
    command = to_s3(folder, server, proxy)
    first = start_and_hold(waybill, proxy, command)
    try:
        # It reaches the store past the frozen connections: an endpoint's address is no part of a migration's identity.
        second = waybill.run(
            "run", "--from", str(folder / "source"), "--to", server.url("target"), "--progress", "none"
        )
        assert second.returncode == 4, second.stderr.decode(errors="replace")
        message = second.stderr.decode()
        assert socket.gethostname() in message
        assert str(first.pid) in message
        assert message.count("\n") == 1, message
        proxy.thaw()
        assert first.wait(timeout=120) == 0, "the refused process disturbed the owner"
    finally:
        proxy.thaw()
        waybill.stop(first)
    assert contents(server.objects("target")) == contents(folder / "source")


def test_a_stopped_owner_that_was_taken_over_commits_nothing_when_it_wakes(
    folder: Path, server: S3Server, proxy: StallProxy
) -> None:
    waybill = waybill_in(folder, server, SHORT_LEASE)
    command = to_s3(folder, server, proxy)
    first = start_and_hold(waybill, proxy, command)
    try:
        waybill.halt_between_writes(first)
        proxy.thaw()
        refused = waybill.run(*command)
        assert refused.returncode == 4, "a stopped owner is not dead: it is taken over only when asked for"
        done = waybill.run(*command, "--take-over", timeout=120)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        after = waybill.status()
        assert after["items"]["done"] == N_FILES

        first.send_signal(signal.SIGCONT)
        code = first.wait(timeout=60)
        assert code not in (0, 3, -signal.SIGKILL), "the old owner said that it was done"
        assert b"Traceback" not in (first.stderr.read() if first.stderr else b"")
        woken = waybill.status()
        assert woken["seq"] == after["seq"], "the old owner wrote into the ledger"
        assert woken["items"] == after["items"]
    finally:
        proxy.thaw()
        waybill.stop(first)
    assert contents(server.objects("target")) == contents(folder / "source")
    verified = waybill.run("verify", "--progress", "none")
    assert verified.returncode == 0, verified.stdout.decode(errors="replace")[-2000:]


@pytest.mark.parametrize("direction", ["reading", "writing"])
def test_ctrl_c_ends_a_run_within_two_seconds_with_every_transfer_stalled(
    folder: Path, server: S3Server, proxy: StallProxy, direction: str
) -> None:
    waybill = waybill_in(folder, server, FAST)
    command = to_s3(folder, server, proxy)
    if direction == "reading":
        up = Waybill(folder, environment=server.environment, tracker="up.db")
        done = up.run("run", "--from", str(folder / "source"), "--to", server.url("origin"), "--progress", "none")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        origin = server.url("origin", endpoint=proxy.endpoint)
        command = ("run", "--from", origin, "--to", str(folder / "copy"), "--progress", "none")
    held = b"GET /origin/folder" if direction == "reading" else b"PUT /target/folder"
    process = start_and_hold(waybill, proxy, command, held)
    try:
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=20)
        took = time.monotonic() - began
    finally:
        proxy.thaw()
        waybill.stop(process)
    assert took < 2.0, f"Ctrl-C took {took:.2f} s"
    assert code == 130
    status = waybill.status()
    check_accounts(status)
    assert status["run"]["state"] == "interrupted"
    assert status["items"]["in_progress"] == 0
    if direction == "writing":
        expect_carried_on(waybill, folder, server, command)
        return
    done = waybill.run(*command)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert contents(folder / "copy") == contents(folder / "source")


def test_ctrl_c_ends_a_run_within_two_seconds_while_another_program_has_locked_the_ledger(
    folder: Path, server: S3Server, proxy: StallProxy
) -> None:
    waybill = waybill_in(folder, server, FAST)
    command = to_s3(folder, server, proxy)
    process = start_and_hold(waybill, proxy, command)
    try:
        with closing(sqlite3.connect(folder / waybill.tracker, timeout=10, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            proxy.thaw()  # transfers end, and their outcomes cannot be committed
            time.sleep(1)
            assert process.poll() is None
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            code = process.wait(timeout=20)
            took = time.monotonic() - began
            other.execute("ROLLBACK")
    finally:
        proxy.thaw()
        waybill.stop(process)
    assert took < 2.0, f"Ctrl-C took {took:.2f} s"
    assert code == 130
    status = waybill.status()
    check_accounts(status)
    assert status["run"]["state"] == "interrupted"
    assert status["items"]["outstanding"] > 0, "the case shows nothing: everything had been committed"
    expect_carried_on(waybill, folder, server, command)


def test_a_second_ctrl_c_ends_the_process_at_once(folder: Path, server: S3Server, proxy: StallProxy) -> None:
    waybill = waybill_in(folder, server, FAST | {"drain_ms": 60_000})
    command = to_s3(folder, server, proxy)
    process = start_and_hold(waybill, proxy, command)
    try:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None, "it was to drain for a minute"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) == 130
    finally:
        proxy.thaw()
        waybill.stop(process)
    wait_for(lambda: waybill.status()["run"]["state"] == "interrupted", 2, "the state `interrupted`")
    expect_carried_on(waybill, folder, server, command)


def test_cancel_from_another_process_is_obeyed_within_a_heartbeat(
    folder: Path, server: S3Server, proxy: StallProxy
) -> None:
    waybill = waybill_in(folder, server, SHORT_LEASE)
    command = to_s3(folder, server, proxy)
    process = start_and_hold(waybill, proxy, command)
    try:
        began = time.monotonic()
        asked = waybill.run("cancel")
        assert asked.returncode == 0, asked.stderr.decode(errors="replace")
        code = process.wait(timeout=30)
        took = time.monotonic() - began
    finally:
        proxy.thaw()
        waybill.stop(process)
    assert code == 130
    # Half a second of heartbeat, a second of drain and one of aborting, and the start of the asking process.
    assert took < 4.5, f"cancel took {took:.2f} s"
    status = waybill.status()
    check_accounts(status)
    assert status["run"]["state"] == "cancelled"
    again = waybill.run("cancel")
    assert again.returncode != 0, "there was nothing left to cancel"
    # What was cancelled is over: the same command begins a new run and leaves nothing out.
    expect_carried_on(waybill, folder, server, command)
    assert waybill.status()["run"]["id"] > status["run"]["id"]


def test_pause_survives_a_restart(folder: Path, server: S3Server, proxy: StallProxy) -> None:
    waybill = waybill_in(folder, server, SHORT_LEASE)
    command = to_s3(folder, server, proxy)
    process = start_and_hold(waybill, proxy, command)
    try:
        assert waybill.run("pause").returncode == 0
        assert process.wait(timeout=30) == 130
    finally:
        proxy.thaw()
        waybill.stop(process)
    before = waybill.status()
    assert before["run"]["state"] == "paused"
    refused = waybill.run(*command)
    assert refused.returncode == 4, refused.stderr.decode(errors="replace")
    assert b"resume" in refused.stderr, refused.stderr
    after = waybill.status()
    assert after["run"]["state"] == "paused"
    assert after["items"] == before["items"]
    done = waybill.run("resume", "--progress", "none")
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert waybill.status()["run"]["id"] == before["run"]["id"], "a pause is not the end of a run"
    assert contents(server.objects("target")) == contents(folder / "source")


def test_a_killed_process_is_interrupted_for_everybody_within_two_seconds(
    folder: Path, server: S3Server, proxy: StallProxy
) -> None:
    waybill = waybill_in(folder, server, {})
    command = to_s3(folder, server, proxy)
    process = start_and_hold(waybill, proxy, command)
    try:
        assert waybill.status()["run"]["state"] == "running"
        process.kill()
        process.wait()
        wait_for(lambda: waybill.status()["run"]["state"] == "interrupted", 2, "the state `interrupted`")
    finally:
        proxy.thaw()
        waybill.stop(process)
    expect_carried_on(waybill, folder, server, command)


@pytest.mark.parametrize("target", ["filesystem", "s3"])
def test_a_foreign_object_at_the_destination_survives(folder: Path, server: S3Server, target: str) -> None:
    waybill = waybill_in(folder, server, FAST)
    there = folder / "copy" if target == "filesystem" else server.objects("target")
    url = str(folder / "copy") if target == "filesystem" else server.url("target")
    foreign = there / "folder 3" / "file 003"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"somebody else's")
    same = there / "folder 4" / "file 004"
    same.parent.mkdir(parents=True)
    same.write_bytes((folder / "source/folder 4/file 004").read_bytes())
    command = ("run", "--from", str(folder / "source"), "--to", url, "--progress", "none")
    done = waybill.run(*command)
    assert done.returncode == 3, done.stderr.decode(errors="replace")
    failed = waybill.failed()
    assert {key: row["error_class"] for key, row in failed.items()} == {b"folder 3/file 003": "occupied"}
    assert foreign.read_bytes() == b"somebody else's"
    assert waybill.status()["items"]["done"] == N_FILES - 1

    done = waybill.run(*command, "--overwrite", "always")
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert contents(there) == contents(folder / "source")


def test_a_reused_process_id_is_not_the_owner(folder: Path, server: S3Server, proxy: StallProxy) -> None:
    """A ledger whose owner died is free, whoever has its process id by now."""
    waybill = waybill_in(folder, server, {})
    command = to_s3(folder, server, proxy)
    process = start_and_hold(waybill, proxy, command)
    try:
        process.kill()
        process.wait()
    finally:
        proxy.thaw()
        waybill.stop(process)
    ledger = folder / waybill.tracker
    # As if this living process had been given the id.
    subprocess.run(["sqlite3", ledger, f"UPDATE lease SET pid = {os.getpid()}"], check=True)
    assert waybill.status()["run"]["state"] == "interrupted"
    expect_carried_on(waybill, folder, server, command)
