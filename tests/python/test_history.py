# SPDX-License-Identifier: Apache-2.0
"""What has happened, as commands tell it: retry, waive, history, logs, errors, partitions; runs over some items."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.advice import what_to_do
from waybill.cli.history import run_stats
from waybill.text import progress_line, size

CommandLine = Any  # the class of conftest.py, which has no name that tests can import


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def ran(cli: CommandLine, tree: Path) -> CommandLine:
    """Twelve files and a pipe that did not move, and one that the destination holds already as something else."""
    os.mkfifo(tree / "pipe")
    (cli.folder / "to" / "folder 0").mkdir(parents=True)
    (cli.folder / "to" / "folder 0" / "file-03.txt").write_text("somebody else's")
    done = cli("run", "--from", tree, "--to", "to")
    assert done.returncode == 3, done.stderr
    return cli


def test_retry_by_class_takes_up_only_that(ran: CommandLine) -> None:
    again = ran("retry", "--class", "occupied")
    assert again.returncode == 3
    assert "0 created, 0 updated, 0 unchanged, 1 failed" in again.stdout
    replaced = ran("retry", "--class", "occupied", "--overwrite", "always")
    assert replaced.returncode == 0, replaced.stderr
    assert "1 created" in replaced.stdout
    snapshot = json.loads(ran("status", "--json").stdout)
    assert snapshot["items"]["eligible"] == 1, "the frame of the run is what it took up"
    assert snapshot["run"]["reason"] == "of selected items only; the source was not listed"
    assert [row["key"] for row in lines_of(ran("failed", "--json").stdout)] == ["pipe"]


def test_retry_repairs_what_verify_found(ran: CommandLine, tree: Path) -> None:
    (ran.folder / "to" / "folder 1" / "file-04.txt").write_text("short")
    (ran.folder / "to" / "folder 2" / "file-05.txt").unlink()
    assert ran("verify").returncode == 3
    repaired = ran("retry", "--findings")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    for name in ("folder 1/file-04.txt", "folder 2/file-05.txt"):
        assert (ran.folder / "to" / name).read_bytes() == (tree / name).read_bytes()


def test_retry_takes_keys_from_a_file(ran: CommandLine) -> None:
    (ran.folder / "keys").write_text("folder 0/file-03.txt\n\n")
    done = ran("retry", "--items-from", "keys", "--force")
    assert done.returncode == 0, done.stderr
    assert (ran.folder / "to" / "folder 0" / "file-03.txt").read_text() == "x" * 300
    (ran.folder / "keys").write_text("\n")
    refused = ran("retry", "--items-from", "keys")
    assert refused.returncode == 2
    assert "names no key" in refused.stderr


def test_waive_says_who_and_why(ran: CommandLine) -> None:
    assert ran("waive", "--why", "no data").returncode == 2, "it has to be said which"
    waived = ran("waive", "--class", "unsupported", "--why", "a pipe is no data")
    assert waived.returncode == 0, waived.stderr
    assert waived.stdout == "1 item waived\n"
    status = json.loads(ran("status", "--json").stdout)
    assert (status["items"]["failed"], status["items"]["waived"]) == (1, 1)
    row = next(row for row in lines_of(ran("failed", "--json").stdout) if row["key"] == "pipe")
    assert row["waived_because"] == "a pipe is no data"
    assert "@" in row["waived_by"]
    assert "1 item waived by" in ran("logs").stdout
    assert "unsupported" not in ran("errors").stdout, "what is waived is no error any more"


def test_history_sums_up(ran: CommandLine) -> None:
    ran("retry")
    ran("verify")
    rows = lines_of(ran("history", "--json").stdout)
    assert [row["record"]["phase"] for row in rows] == ["verify", "copy", "copy"]
    assert all(row["record"]["pid"] > 0 and row["record"]["host"] for row in rows)
    for record in (row["record"] for row in rows):
        took = record["ended_at_ms"] - record["started_at_ms"]
        assert 0 < record["active_seconds"] * 1000 <= took + 3
    assert len(ran("history", "--limit", "2").stdout.splitlines()) == 2
    stats = json.loads(ran("history", "--stats", "--json").stdout)
    assert sum(stats["states"].values()) == stats["runs"] == 3
    assert stats["attempts_total"] == sum(row["attempts_total"] for row in rows)
    assert stats["success"] == 1.0
    with waybill.Tracker(ran.folder / "waybill.db") as tracker:
        assert [run.record.run for run in tracker.history()] == [3, 2, 1]
        assert sum(sample.items for sample in tracker.rates(1)) == 11, "what was refused came to no transfer"
        assert [part.name for part in tracker.partitions()] == [""]


def run_of(state: Any, seconds: float, attempts: tuple[int, int], phase: Any = "copy") -> waybill.RunSummary:
    record = waybill.RunRecord(
        run=1, phase=phase, state=state, reason="", started_at_ms=0, ended_at_ms=1, active_seconds=seconds,
        listing_complete=True, expected_items=None, options="{}", engine_version="0", host="", pid=0,
    )  # fmt: skip
    nothing = waybill.ItemAccounts(
        **dict.fromkeys((field.name for field in dataclasses.fields(waybill.ItemAccounts)), 0)
    )
    return waybill.RunSummary(
        record=record, items=nothing, bytes_total=0, bytes_done=0, attempts_total=attempts[0],
        attempts_failed=attempts[1], failed_by_class={}, findings={},
    )  # fmt: skip


def test_stats_by_hand() -> None:
    runs = [
        run_of("completed", 100.0, (10, 0)),
        run_of("completed_with_differences", 10.0, (20, 5)),
        run_of("completed", 7.0, (0, 0), "verify"),
        run_of("failed", 0.0, (3, 3)),
        run_of("cancelled", 40.0, (0, 0)),
        run_of("interrupted", 50.0, (7, 1)),
        run_of("running", 0.0, (1, 0)),
    ]
    stats = run_stats(runs, bytes_moved=5000)
    assert stats["states"] == {
        "completed": 2, "completed_with_differences": 1, "failed": 1, "cancelled": 1, "interrupted": 1, "running": 1,
    }  # fmt: skip
    assert sum(stats["states"].values()) == sum(stats["phases"].values()) == stats["runs"] == 7
    assert stats["active_seconds"] == 200.0, "of copies"
    assert stats["bytes_per_second"] == 25.0, "all bytes ÷ all seconds, not a mean of means"
    assert (stats["attempts_total"], stats["attempts_failed"]) == (41, 9)
    assert (stats["ended"], stats["success"]) == (5, 3 / 5), "what still runs is in no denominator"
    nothing = run_stats([], 0)
    assert (nothing["bytes_per_second"], nothing["success"], nothing["states"]) == (None, None, {})


def test_what_was_there_already_took_no_transfer(ran: CommandLine) -> None:
    first = json.loads(ran("history", "--stats", "--json").stdout)
    moved = sum(number * 100 for number in range(12) if number != 3)
    assert first["bytes_moved"] == moved
    assert first["bytes_per_second"] == pytest.approx(moved / first["active_seconds"])
    ran("run")
    ran("run")
    assert json.loads(ran("history", "--stats", "--json").stdout)["bytes_moved"] == moved
    assert f"{size(moved)} moved" in ran("history", "--stats").stdout


def test_findings_by_kind_and_run(ran: CommandLine) -> None:
    before = ran("findings")
    assert (before.returncode, before.stdout) == (2, "")
    assert before.stderr == "waybill: the ledger waybill.db has no verify run; begin one with: waybill verify\n"
    ran("verify")
    (ran.folder / "to" / "folder 1" / "file-04.txt").write_text("short")
    (ran.folder / "to" / "folder 1" / "file-01.txt").write_text("short")
    (ran.folder / "to" / "folder 2" / "file-05.txt").unlink()
    verified = ran("verify", "--json")
    assert verified.returncode == 3
    shown = ran("findings", "--json")
    assert shown.returncode == 0
    assert shown.stdout.splitlines() == verified.stdout.splitlines()[:-1], "as verify printed them"
    kinds = [row["kind"] for row in lines_of(shown.stdout)]
    assert sorted(kinds) == ["missing", "size", "size"]
    assert [row["key"] for row in lines_of(ran("findings", "--kind", "missing", "--json").stdout)] == [
        "folder 2/file-05.txt"
    ]
    assert len(ran("findings", "--kind", "missing", "--kind", "size").stdout.splitlines()) == 3
    assert len(ran("findings", "--limit", "2").stdout.splitlines()) == 2
    assert ran("findings", "--run", "2").stdout == "verify run 2 found nothing\n"
    assert ran("findings", "--kind", "extra").stdout == "verify run 3 found none of these\n"
    assert ran("findings", "--run", "2", "--json").stdout == ""
    for words, said in (
        (("--run", "1"), "run 1 of waybill.db is a copy run"),
        (("--run", "9"), "has no run 9"),
        (("--kind", "lost"), "'lost' is not one of missing, extra"),
    ):
        refused = ran("findings", *words)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_the_last_errors_are_the_last(ran: CommandLine) -> None:
    everything = lines_of(ran("errors", "--last", "99", "--json").stdout)
    assert len(everything) == 2
    assert [row["at_ms"] for row in everything] == sorted(row["at_ms"] for row in everything)
    assert ran("retry", "--class", "occupied").returncode == 3
    assert [row["key"] for row in lines_of(ran("errors", "--last", "1", "--json").stdout)] == ["folder 0/file-03.txt"]
    assert [row["key"] for row in lines_of(ran("errors", "--last", "2", "--json").stdout)] == [
        "pipe",
        "folder 0/file-03.txt",
    ]


def test_errors_are_grouped_with_what_to_do(ran: CommandLine) -> None:
    groups = {row["class"]: row for row in lines_of(ran("errors", "--json").stdout)}
    assert set(groups) == {"occupied", "unsupported"}
    assert groups["occupied"]["example"] == "folder 0/file-03.txt"
    assert groups["occupied"]["advice"] == what_to_do("occupied") != ""
    assert [row["host"] for row in lines_of(ran("errors", "--group-by", "host", "--json").stdout)]
    assert len(ran("errors", "--last", "1").stdout.splitlines()) == 1
    assert all(what_to_do(word) for word in ("auth", "permission", "missing", "archived", "checksum"))


def test_logs_by_level_and_run(ran: CommandLine) -> None:
    everything = ran("logs").stdout.splitlines()
    assert "copy run 1 started" in everything[0]
    assert len(ran("logs", "--last", "1").stdout.splitlines()) == 1
    assert all(" error " in line for line in ran("logs", "--level", "error").stdout.splitlines())
    assert ran("logs", "--run", "9").stdout == ""
    assert ran("logs", "--follow").stdout.splitlines() == everything, "an ended run is not waited for"


def test_a_trial_moves_the_first_items_and_completes_nothing(cli: CommandLine, tree: Path) -> None:
    trial = cli("run", "--from", tree, "--to", "to", "--limit", "3")
    assert trial.returncode == 0, trial.stderr
    assert "3 created" in trial.stdout
    assert json.loads(cli("status", "--json").stdout)["listing_complete"] is False
    whole = cli("run")
    assert "9 created" in whole.stdout


def test_one_item_without_a_listing(cli: CommandLine, tree: Path) -> None:
    one = cli("run", "--from", tree, "--to", "to", "--item", "folder 1/file-01.txt")
    assert one.returncode == 0, one.stderr
    assert [path.name for path in (cli.folder / "to").rglob("*.txt")] == ["file-01.txt"]
    nothing = cli("run", "--item", "nowhere")
    assert nothing.returncode == 2
    assert "nowhere" in nothing.stdout + nothing.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--extension", ".TXT"), 12),
        (("--extension", "pdf"), 0),
        (("--min-size", "1000"), 2),
        (("--modified-since", "1d"), 12),
        (("--modified-since", "2999-01-01"), 0),
        (("--modified-before", "1d"), 0),
        (("--modified-before", "2999-01-01T00:00:00+01:00"), 12),
    ],
)
def test_filters(cli: CommandLine, tree: Path, words: tuple[str, str], expected: int) -> None:
    planned = json.loads(cli("plan", "--from", tree, "--to", "to", "--json", *words).stdout)
    assert planned["to_create"] == expected
    assert planned["excluded"] == 12 - expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--modified-since", "yesterday"), "yesterday"),
        (("--min-size", "10", "--max-size", "5"), "min_size_bytes"),
        (("--modified-since", "1d", "--modified-before", "2d"), "modified_since_ms"),
    ],
)
def test_filters_that_make_no_sense(cli: CommandLine, tree: Path, words: tuple[str, ...], said: str) -> None:
    refused = cli("run", "--from", tree, "--to", "to", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (cli.folder / "waybill.db").exists()


def test_verify_reads_what_is_stored_in_parts(ran: CommandLine) -> None:
    ran("retry", "--class", "occupied", "--overwrite", "always")
    ran("waive", "--class", "unsupported", "--why", "a pipe is no data")
    changed = ran.folder / "to" / "folder 1" / "file-04.txt"
    before = changed.stat()
    changed.write_bytes(b"y" + changed.read_bytes()[1:])
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ran("verify", "--level", "listing").returncode == 0, "same size, same time"
    codes = [ran("verify", "--level", "content", "--sample", f"{part}/3").returncode for part in (1, 2, 3)]
    assert sorted(codes) == [0, 0, 3], "each part is read, and only one holds the changed file"
    for wrong in ("0/3", "4/3", "a/b", "3"):
        refused = ran("verify", "--level", "content", "--sample", wrong)
        assert refused.returncode == 2
        assert "sample such as 3/10" in refused.stderr


def test_the_line_of_progress_tells_what_matters(ran: CommandLine) -> None:
    with waybill.Tracker(ran.folder / "waybill.db") as tracker:
        ended = tracker.snapshot()
    line = progress_line(ended)
    assert line.startswith("copy completed_with_differences, 13 of 13 items (100.0 %), ")
    assert line.endswith(", 2 failed")
    live = dataclasses.replace(ended.live, stalled_since_ms=1_795_000_000_000)
    items = dataclasses.replace(ended.items, excluded=1_234)
    running = progress_line(dataclasses.replace(ended, state="running", live=live, items=items))
    assert "nothing has moved since 2026-11-18" in running
    assert f"13 of 13 items (100.0 %), {ended.items.done} done, " in line
    quiet = dataclasses.replace(ended, state="running", last_event_at_ms=int(time.time() * 1000) - 65_000)
    assert re.search(r"last event 1 min [5-9] s ago", progress_line(quiet))
    just_now = dataclasses.replace(quiet, last_event_at_ms=int(time.time() * 1000))
    assert "last event" not in progress_line(just_now)
    assert running.endswith("2 failed, 1,234 excluded")


def test_what_cannot_be_told_is_a_difference_for_the_strict(cli: CommandLine, tree: Path) -> None:
    shutil.copytree(
        tree, cli.folder / "to"
    )  # with times: what is there is the same by size and time, and has no digest
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    (tree / "folder 1" / "file-01.txt").unlink()
    verify = ["verify", "--level", "content"]
    assert "1 unknown" in cli(*verify).stdout
    assert cli(*verify).returncode == 0
    assert cli(*verify, "--strict").returncode == 3
    *_, summary = lines_of(cli(*verify, "--strict", "--json").stdout)
    assert (summary["exit_code"], summary["snapshot"]["findings"]["unknown"]) == (3, 1)
