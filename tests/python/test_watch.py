# SPDX-License-Identifier: Apache-2.0
"""A run seen from elsewhere: watch, and the file that its events are written to."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.cli.exit_codes import BY_STATE
from waybill.cli.watch import follow_run
from waybill.live import View

CommandLine = Any  # the class of conftest.py, which has no name that tests can import


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def held(cli: CommandLine, large_tree: Path, eventually: Callable[..., None]) -> Iterator[subprocess.Popen[str]]:
    """A run that is live and stopped: it holds its lease, and stands still until it is told to go on."""
    process = cli.start(
        "run", "--from", str(large_tree), "--to", "to", "--concurrency", "1", "--log-file", "log", "--progress", "none"
    )
    eventually(lambda: is_under_way(cli.folder))
    process.send_signal(signal.SIGSTOP)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def is_under_way(folder: Path) -> bool:
    try:
        with waybill.Tracker(folder / "waybill.db") as tracker:
            snapshot = tracker.snapshot()
    except waybill.Error:
        return False
    return snapshot.state == "running" and snapshot.items.done > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_watch_ends_with_the_run(cli: CommandLine, held: subprocess.Popen[str], number: int) -> None:
    watching = cli.start("watch", "--json")
    assert watching.stdout is not None
    try:
        first = json.loads(watching.stdout.readline())
        assert (first["run"]["state"], first["run"]["owner"]["pid"]) == ("running", held.pid)
        held.send_signal(number)
        held.send_signal(signal.SIGCONT)
        out, err = watching.communicate(timeout=60)
    finally:
        watching.kill()
        watching.communicate()
    assert (watching.returncode, err) == (130, "")
    last = lines_of(out)[-1]
    assert last["run"]["state"] == "interrupted"
    assert last["seq"] >= first["seq"]
    held.communicate(timeout=60)
    assert held.returncode in (130, -signal.SIGKILL)


def test_ctrl_c_ends_watch_and_not_the_run(cli: CommandLine, held: subprocess.Popen[str]) -> None:
    watching = cli.start("watch", "--progress", "plain")
    assert watching.stderr is not None
    try:
        assert "copy running" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        _, err = watching.communicate(timeout=60)
    finally:
        watching.kill()
        watching.communicate()
    assert watching.returncode == 130
    assert "waybill: interrupted" in err
    assert held.poll() is None
    with waybill.Tracker(cli.folder / "waybill.db") as tracker:
        assert tracker.snapshot().state == "running"


def test_watch_of_a_run_that_has_ended(cli: CommandLine, tree: Path) -> None:
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    ended = cli("watch")
    assert ended.returncode == 0
    assert "12 of 12 settled (100.0 %)" in ended.stdout
    (cli.folder / "to" / "folder 1" / "file-04.txt").unlink()
    assert cli("verify").returncode == 3
    ended = cli("watch", "--json")
    assert ended.returncode == 3
    assert ended.stdout == cli("status", "--json").stdout


class Moving:
    """A ledger in which a run ends and the next one begins between two looks."""

    def __init__(self, ledger: waybill.Tracker) -> None:
        self._ledger = ledger
        self._looks = 0

    def snapshot(self) -> waybill.Snapshot:
        self._looks += 1
        ended = self._ledger.snapshot()
        return dataclasses.replace(ended, state="running", run=ended.run if self._looks < 3 else ended.run + 1)

    def runs(self) -> Iterator[waybill.RunRecord]:
        return self._ledger.runs()


def test_watch_of_a_run_that_another_one_follows(cli: CommandLine, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    assert cli("run", "--from", tree, "--to", "to").returncode == 3
    with waybill.Tracker(cli.folder / "waybill.db") as ledger:
        last, state = follow_run(Moving(ledger), "waybill.db", View(), None)  # type: ignore[arg-type]
    assert (last.run, state) == (1, "completed_with_differences")


def test_watch_of_nothing(cli: CommandLine) -> None:
    missing = cli("watch")
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1


def test_exit_codes_are_those_of_reports(live_run: Callable[..., waybill.Run], tree: Path, tmp_path: Path) -> None:
    report = waybill.Migration(tree, tmp_path / "to", tmp_path / "t.db").run()
    assert report.exit_code == BY_STATE[report.state] == 0
    os.mkfifo(tree / "pipe")
    report = waybill.Migration(tree, tmp_path / "to", tmp_path / "t.db").run()
    assert report.exit_code == BY_STATE[report.state] == 3
    run = live_run()
    run.cancel()
    report = run.result()
    assert (report.state, report.exit_code) == ("cancelled", BY_STATE["cancelled"])


def test_the_log_file_is_what_logs_prints(cli: CommandLine, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    assert cli("run", "--from", tree, "--to", "to", "--log-file", "log").returncode == 3
    assert cli("retry", "--log-file", "log").returncode == 3
    assert cli("verify", "--log-file", "log").returncode == 3
    assert (cli.folder / "log").read_text() == cli("logs", "--level", "debug", "--json").stdout
    assert stat.S_IMODE((cli.folder / "log").stat().st_mode) == 0o600
    assert {line["run"] for line in lines_of((cli.folder / "log").read_text())} == {1, 2, 3}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_carried_on_goes_on_with_its_log(
    cli: CommandLine, held: subprocess.Popen[str], number: int
) -> None:
    held.send_signal(number)
    held.send_signal(signal.SIGCONT)
    held.communicate(timeout=60)
    assert cli("run", "--limit", "5", "--log-file", "log").returncode in (0, 3)
    written = (cli.folder / "log").read_text().splitlines()
    known = cli("logs", "--level", "debug", "--json").stdout.splitlines()
    numbers = [json.loads(line)["seq"] for line in written]
    assert numbers == sorted(set(numbers)), "each once, and in order"
    assert set(written) <= set(known)
    if number == signal.SIGINT:
        assert written == known
    else:
        assert written[-1] == known[-1], "what was not written before the kill is in the ledger"


def test_a_log_file_that_cannot_be_written_is_refused_before_anything_moves(cli: CommandLine, tree: Path) -> None:
    os.mkfifo(cli.folder / "pipe")  # that nobody reads
    for path in ("nowhere/log", ".", "pipe"):
        refused = cli("run", "--from", tree, "--to", "to", "--log-file", path)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"waybill: the log file {path} cannot be written: ")
        assert len(refused.stderr.splitlines()) == 1
    assert not (cli.folder / "waybill.db").exists()
    assert not (cli.folder / "to").exists()


def test_a_full_disk_ends_the_log_and_not_the_run(cli: CommandLine, tree: Path) -> None:
    done = cli("run", "--from", tree, "--to", "to", "--log-file", "/dev/full", "--progress", "none")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "waybill: the log file /dev/full is not written any more: No space left on device (the ledger has all events)"
    ]


def test_status_tells_the_size_of_the_ledger(cli: CommandLine, tree: Path) -> None:
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    (line,) = (line for line in cli("status").stdout.splitlines() if line.startswith("ledger "))
    size = (cli.folder / "waybill.db").stat().st_size
    assert line.split(maxsplit=1)[1] == f"waybill.db, {size / 1024:.1f} KiB"
