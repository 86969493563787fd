# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer

import waybill
from waybill.cli import moving
from waybill.cli.values import parse_size

CommandLine = Any  # the class of conftest.py, which has no name that tests can import
Contents = Callable[[Path], dict[str, bytes]]

STATUS_FIELDS = {
    "schema_version", "migration", "run", "phases", "items", "references", "findings", "bytes", "attempts", "ratios",
    "rate", "eta_seconds", "listing_complete", "last_event_at", "stalled_since", "in_flight", "seq",
}  # fmt: skip
RUN_FIELDS = {
    "id", "phase", "state", "reason", "started_at", "ended_at", "active_seconds", "heartbeat_at", "expected_items", "owner",
}  # fmt: skip
ITEM_FIELDS = {
    "discovered", "excluded", "eligible", "pending", "in_progress", "done", "new", "updated", "unchanged", "failed",
    "waived", "vanished", "outstanding",
}  # fmt: skip


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def one_clear_line(result: subprocess.CompletedProcess[str]) -> str:
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("waybill: ")
    return lines[0]


@pytest.fixture
def slow(cli: CommandLine, large_tree: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``waybill run`` over a tree that takes some seconds; killed after the test if it still lives."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        arguments = ["run", "--from", str(large_tree), "--to", "to", "--concurrency", "1", *words]
        processes.append(cli.start(*arguments))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def is_under_way(folder: Path, done_before: int = 0) -> bool:
    """Whether a run is at work: it has done more than was done when it began."""
    try:
        with waybill.Tracker(folder / "waybill.db") as tracker:
            snapshot = tracker.snapshot()
    except waybill.Error:
        return False
    return snapshot.state == "running" and snapshot.items.done > done_before


def test_the_main_job(cli: CommandLine, tree: Path, contents: Contents) -> None:
    planned = cli("plan", "--from", tree, "--to", "to")
    assert planned.returncode == 0
    assert planned.stdout.splitlines()[0].split()[:2] == ["listed", "12"]
    assert not (cli.folder / "waybill.db").exists()
    ran = cli("run", "--from", tree, "--to", "to", "--name", "job")
    assert ran.returncode == 0, ran.stderr
    assert "copy completed" in ran.stdout
    assert "12 created" in ran.stdout
    assert "next: waybill verify" in ran.stdout
    assert contents(cli.folder / "to") == contents(tree)
    status = cli("status")
    assert status.returncode == 0
    assert "12 of 12 settled (100.0 %)" in status.stdout
    items = cli("items")
    assert len(items.stdout.splitlines()) == 12
    assert len(cli("items", "--limit", "5").stdout.splitlines()) == 5
    assert cli("items", "--state", "pending").stdout == ""
    failed = cli("failed")
    assert (failed.returncode, failed.stdout) == (0, "")
    verified = cli("verify")
    assert verified.returncode == 0
    assert "findings  none" in verified.stdout
    again = cli("run")
    assert again.returncode == 0
    assert "0 created, 0 updated, 12 unchanged" in again.stdout
    (tree / "late").write_bytes(b"came after the listing")
    assert json.loads(cli("status", "--json").stdout)["items"]["discovered"] == 12, "what the run itself listed"
    assert "1 created, 0 updated, 12 unchanged" in cli("run").stdout
    assert json.loads(cli("status", "--json").stdout)["items"]["discovered"] == 13


def test_what_did_not_move_is_listed_by_class(cli: CommandLine, tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    (cli.folder / "to" / "folder 1").mkdir(parents=True)
    (cli.folder / "to" / "folder 1" / "file-01.txt").write_bytes(b"foreign")
    ran = cli("run", "--from", tree, "--to", "to")
    assert ran.returncode == 3
    assert "waybill failed --class occupied" in ran.stdout
    assert "waybill failed --class unsupported" in ran.stdout
    failed = cli("failed")
    lines = failed.stdout.splitlines()
    assert sorted(line.split()[0] for line in lines if line[0] != " ") == ["occupied", "unsupported"]
    advice = [line.strip() for line in lines if line[0] == " "]
    assert [line.partition(":")[0] for line in advice] == ["occupied", "unsupported"]
    assert all(len(line) > 40 for line in advice)
    assert cli("failed", "--class", "unsupported").stdout.split()[2] == "pipe"
    rows = json_lines(cli("failed", "--json").stdout)
    assert {row["key"]: row["error_class"] for row in rows} == {
        "folder 1/file-01.txt": "occupied",
        "pipe": "unsupported",
    }
    assert all(row["message"] and row["code"] and "attempts" in row for row in rows)
    assert sorted(f"{row['error_class']}: {row['advice']}" for row in rows) == advice


def test_filters(cli: CommandLine, tree: Path, contents: Contents) -> None:
    ran = cli(
        "run", "--from", tree, "--to", "to", "--include", "folder 1/**", "--exclude", "**/file-04.txt", "--max-size",
        "0.9KiB",
    )  # fmt: skip
    assert ran.returncode == 0
    assert set(contents(cli.folder / "to")) == {"folder 1/file-01.txt", "folder 1/file-07.txt"}
    assert "10 excluded" in ran.stdout


def test_dry_run_is_plan(cli: CommandLine, tree: Path) -> None:
    dry = cli("run", "--from", tree, "--to", "to", "--dry-run", "--json")
    planned = cli("plan", "--from", tree, "--to", "to", "--json")
    assert dry.returncode == planned.returncode == 0
    assert json.loads(dry.stdout) == json.loads(planned.stdout)
    assert json.loads(dry.stdout)["to_create"] == 12


def test_status_json_has_exactly_the_fields(cli: CommandLine, tree: Path) -> None:
    cli("run", "--from", tree, "--to", "to")
    result = cli("status", "--json")
    assert len(result.stdout.splitlines()) == 1
    snapshot = json.loads(result.stdout)
    assert set(snapshot) == STATUS_FIELDS
    assert set(snapshot["run"]) == RUN_FIELDS
    assert set(snapshot["items"]) == ITEM_FIELDS
    assert set(snapshot["bytes"]) == {"total", "done"}
    assert set(snapshot["attempts"]) == {"total", "failed"}
    assert set(snapshot["ratios"]) == {"progress", "completeness", "success"}
    assert set(snapshot["rate"]) == {"items_per_second", "bytes_per_second"}
    assert snapshot["schema_version"] == 1
    with waybill.Tracker(cli.folder / "waybill.db") as tracker:
        assert result.stdout == tracker.snapshot().to_json() + "\n"


def test_run_json_is_events_progress_and_one_report(cli: CommandLine, tree: Path) -> None:
    result = cli("run", "--from", tree, "--to", "to", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    lines = json_lines(result.stdout)
    assert {line["type"] for line in lines} <= {"event", "progress", "report"}
    assert [line["type"] for line in lines].count("report") == 1
    last = lines[-1]
    assert last["type"] == "report"
    assert (last["exit_code"], last["snapshot"]["run"]["state"]) == (0, "completed")
    assert set(last["snapshot"]) == STATUS_FIELDS
    events = [line["event"]["seq"] for line in lines if line["type"] == "event"]
    assert events
    assert events == sorted(set(events))


def test_verify_json_is_findings_and_a_summary(cli: CommandLine, tree: Path) -> None:
    cli("run", "--from", tree, "--to", "to")
    (cli.folder / "to" / "folder 2" / "file-02.txt").unlink()
    for level in ("listing", "checksum"):
        result = cli("verify", "--level", level, "--json")
        assert result.returncode == 3
        finding, summary = json_lines(result.stdout)
        assert (finding["type"], finding["kind"], finding["key"]) == ("finding", "missing", "folder 2/file-02.txt")
        assert (summary["type"], summary["exit_code"]) == ("summary", 3)
        assert summary["snapshot"]["findings"]["missing"] == 1
    text = cli("verify")
    assert text.stdout.splitlines()[0].split()[0] == "missing"
    assert "1 missing" in text.stdout


def test_names_of_all_kinds(cli: CommandLine, contents: Contents) -> None:
    source = cli.folder / "source"
    source.mkdir()
    names = [b"new\nline", "émoji 🎒".encode(), b"not \xff utf-8", b"back\\slash", b"\x1b[31mred", b"a+b%20'\"", b" "]
    for name in names:
        (source / os.fsdecode(name)).write_bytes(name)
    assert cli("run", "--from", source, "--to", "to").returncode == 0
    assert contents(cli.folder / "to") == contents(source)
    text = cli("items").stdout
    assert len(text.splitlines()) == len(names)
    assert "\x1b" not in text
    assert "émoji 🎒" in text
    assert "new\\x0aline" in text
    rows = json_lines(cli("items", "--json").stdout)
    assert [row["key"] for row in rows] == [waybill.printable(name) for name in sorted(names)]
    encoded = {row["key"]: row["key_base64"] for row in rows if "key_base64" in row}
    assert encoded == {"not \\xff utf-8": base64.b64encode(b"not \xff utf-8").decode()}


def test_a_source_whose_own_name_is_not_utf8(cli: CommandLine) -> None:
    source = os.fsencode(cli.folder) + b"/so\xffurce"
    os.mkdir(source)
    with open(source + b"/file", "wb") as file:
        file.write(b"content")
    assert cli("run", "--from", source, "--to", "to").returncode == 0
    assert (cli.folder / "to" / "file").read_bytes() == b"content"
    assert cli("status").returncode == 0
    assert cli("verify").returncode == 0


def test_the_ledger_knows_its_stores_from_any_folder(cli: CommandLine, tree: Path) -> None:
    assert cli("run", "--from", "source", "--to", "to").returncode == 0
    (cli.folder / "elsewhere").mkdir()
    elsewhere = type(cli)(cli.folder / "elsewhere")
    again = elsewhere("run", "--tracker", "../waybill.db")
    assert again.returncode == 0, again.stderr
    assert "12 unchanged" in again.stdout
    assert elsewhere("verify", "--tracker", "../waybill.db").returncode == 0


def test_the_tracker_comes_from_the_environment(cli: CommandLine, tree: Path) -> None:
    environment = {"WAYBILL_TRACKER": "elsewhere.db"}
    assert cli("run", "--from", tree, "--to", "to", environment=environment).returncode == 0
    assert (cli.folder / "elsewhere.db").exists()
    assert not (cli.folder / "waybill.db").exists()
    assert cli("status", environment=environment).returncode == 0


def test_a_reader_that_leaves_early_is_no_error(cli: CommandLine, large_tree: Path) -> None:
    assert cli("run", "--from", large_tree, "--to", "to", "--progress", "none").returncode == 0
    process = cli.start("items", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


READING = [["status"], ["items"], ["failed"], ["errors"], ["history"], ["logs"], ["partitions"], ["report"], ["plan"]]


@pytest.mark.parametrize("words", [*READING, ["run"], ["verify"], ["--version"], ["--help"]], ids=" ".join)
def test_without_standard_streams_there_is_no_traceback_and_no_file_in_their_place(
    cli: CommandLine, tree: Path, contents: Contents, words: list[str]
) -> None:
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    shell = 'exec "$0" "$@" <&- >&- 2>{}'
    for errors in ("errors", "&-"):
        command = ["sh", "-c", shell.format(errors), sys.executable, "-m", "waybill", *words]
        assert subprocess.run(command, cwd=cli.folder, timeout=120, check=False).returncode == 0
    said = (cli.folder / "errors").read_text()
    assert "Traceback" not in said
    assert "error" not in said
    assert contents(cli.folder / "to") == contents(tree)
    assert waybill.check_ledger(cli.folder / "waybill.db").problems == []


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_an_output_that_cannot_be_written_is_one_clear_line(cli: CommandLine, tree: Path, words: list[str]) -> None:
    (tree / "link").symlink_to("nowhere")
    assert cli("run", "--from", tree, "--to", "to").returncode == 3
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "waybill", *words], cwd=cli.folder, stdout=full, stderr=subprocess.PIPE,
            encoding="utf-8", timeout=120, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == "waybill: standard output cannot be written: No space left on device\n"


def test_a_run_goes_on_when_its_output_cannot_be_written(cli: CommandLine, tree: Path, contents: Contents) -> None:
    command = [sys.executable, "-m", "waybill", "run", "--from", tree, "--to", "to", "--json"]
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            command, cwd=cli.folder, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", timeout=120, check=False
        )
    assert result.returncode == 1
    assert "standard output cannot be written" in one_clear_line(result)
    assert contents(cli.folder / "to") == contents(tree)
    with waybill.Tracker(cli.folder / "waybill.db") as tracker:
        assert tracker.snapshot().state == "completed"


def test_a_run_goes_on_when_nobody_reads_its_progress(cli: CommandLine, tree: Path, contents: Contents) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "waybill", "run", "--from", tree, "--to", "to", "--progress", "plain"]
    with os.fdopen(writer, "wb") as unread:
        result = subprocess.run(command, cwd=cli.folder, stdout=unread, stderr=unread, timeout=120, check=False)
    assert result.returncode == 0
    assert contents(cli.folder / "to") == contents(tree)


def test_help_that_is_not_read_to_its_end_is_no_error(cli: CommandLine) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as unread:
        result = subprocess.run(
            [sys.executable, "-m", "waybill", "run", "--help"], cwd=cli.folder, stdout=unread, stderr=subprocess.PIPE,
            timeout=120, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, b"")


def test_ctrl_c_ends_a_command_that_reads_with_one_line(cli: CommandLine, large_tree: Path) -> None:
    assert cli("run", "--from", large_tree, "--to", "to", "--progress", "none").returncode == 0
    process = cli.start("items", "--json")
    assert process.stdout is not None
    process.stdout.readline()  # the pipe holds a part of what there is, so it is at work until we read on
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr is not None
    assert process.stderr.read() == "waybill: interrupted\n"
    process.stdout.close()
    process.stderr.close()


def test_a_verification_that_did_not_end_names_the_command_that_does_it_again(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "waybill.db"
    waybill.Migration(tree, tmp_path / "to", tracker=ledger).run()
    follow = moving.follow

    def cut_off(*words: Any) -> waybill.Report:
        report = follow(*words)
        return dataclasses.replace(report, snapshot=dataclasses.replace(report.snapshot, state="interrupted"))

    monkeypatch.setattr(moving, "follow", cut_off)
    app = typer.Typer()
    moving.add_commands(app)
    app(["verify", "--tracker", str(ledger), "--level", "content", "--sample", "2/3"], standalone_mode=False)
    assert f"next: waybill verify --level content --sample 2/3 --tracker {ledger}" in capsys.readouterr().out


def test_sigint_drains_and_the_same_command_carries_on(
    cli: CommandLine, slow: Callable[..., subprocess.Popen[str]], eventually: Callable[..., None]
) -> None:
    done = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = slow()
        eventually(partial(is_under_way, cli.folder, done))
        begin = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - begin < 3
        assert process.returncode == 130, err
        assert "waybill: stopping" in err
        assert "copy interrupted" in out
        assert "next: waybill run" in out
        status = json.loads(cli("status", "--json").stdout)
        assert status["run"]["state"] == "interrupted"
        done = status["items"]["done"]
    ended = cli("run")
    assert ended.returncode == 0, ended.stderr
    status = json.loads(cli("status", "--json").stdout)
    assert status["run"]["id"] == 1
    assert status["items"]["done"] == status["items"]["new"] == 20_000
    assert sum(len(files) for _, _, files in os.walk(cli.folder / "to")) == 20_000


def test_a_second_sigint_ends_at_once(
    cli: CommandLine, slow: Callable[..., subprocess.Popen[str]], eventually: Callable[..., None]
) -> None:
    process = slow()
    eventually(lambda: is_under_way(cli.folder))
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 130
    eventually(lambda: json.loads(cli("status", "--json").stdout)["run"]["state"] == "interrupted", 10)


def test_a_kill_shows_as_interrupted(
    cli: CommandLine, slow: Callable[..., subprocess.Popen[str]], eventually: Callable[..., None]
) -> None:
    process = slow()
    eventually(lambda: is_under_way(cli.folder))
    process.kill()
    process.wait(10)
    end = time.monotonic() + 2
    with waybill.Tracker(cli.folder / "waybill.db") as tracker:
        eventually(lambda: tracker.snapshot().state == "interrupted", 2)
    assert time.monotonic() < end
    assert "copy interrupted" in cli("status").stdout
    assert cli("run", timeout=240).returncode == 0


def test_beside_a_live_run(
    cli: CommandLine, slow: Callable[..., subprocess.Popen[str]], eventually: Callable[..., None]
) -> None:
    process = slow()
    eventually(lambda: is_under_way(cli.folder))
    # Stopped, it holds its lock and its lease, and the numbers stand still.
    process.send_signal(signal.SIGSTOP)
    with waybill.Tracker(cli.folder / "waybill.db") as tracker:
        snapshot = tracker.snapshot()
        assert json.loads(cli("status", "--json").stdout) == snapshot.to_dict()
    status = cli("status")
    assert f"process {process.pid}" in status.stdout
    assert "copy running" in status.stdout
    assert len(cli("items", "--state", "copied", "--limit", "3").stdout.splitlines()) == 3
    refused = cli("run")
    assert refused.returncode == 4
    assert str(process.pid) in one_clear_line(refused)
    assert cli("resume").returncode == 4
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "20,000 created" in out


def test_pause_resume_and_cancel_from_another_process(
    cli: CommandLine, slow: Callable[..., subprocess.Popen[str]], eventually: Callable[..., None]
) -> None:
    process = slow("--exclude", "000/*")
    eventually(lambda: is_under_way(cli.folder))
    paused = cli("pause")
    assert paused.returncode == 0, paused.stderr
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "copy paused" in out
    assert "next: waybill resume" in out
    still = cli("run")
    assert still.returncode == 4
    assert "resume" in one_clear_line(still)
    assert cli("verify").returncode == 4
    done = json.loads(cli("status", "--json").stdout)["items"]["done"]
    resumed = cli.start("resume")
    eventually(lambda: is_under_way(cli.folder, done))
    # Not by the command: a busy machine may take longer to start an interpreter than the run takes.
    with waybill.Tracker(cli.folder / "waybill.db", read_only=False) as tracker:
        tracker.request_cancel()
    out, err = resumed.communicate(timeout=30)
    assert resumed.returncode == 130, err
    assert "copy cancelled" in out
    status = json.loads(cli("status", "--json").stdout)
    assert status["run"]["state"] == "cancelled"
    assert status["items"]["excluded"] == 500, "the run went on without its filter"
    with waybill.Tracker(cli.folder / "waybill.db") as tracker:
        options = json.loads(next(iter(tracker.runs(1))).options)
    assert options["concurrency"] == 1
    nothing_left = cli("cancel")
    assert nothing_left.returncode == 2
    one_clear_line(nothing_left)


def make_ledger_of_another(folder: Path) -> None:
    (folder / "other").mkdir()
    waybill.Migration(folder / "other", folder / "other-to", folder / "t.db").run()


def make_text_file(folder: Path) -> None:
    (folder / "t.db").write_text("this is a letter, not a ledger\n" * 100)


def make_foreign_database(folder: Path) -> None:
    with sqlite3.connect(folder / "t.db") as connection:
        connection.execute("create table cakes (name text)")
    connection.close()


def make_folder(folder: Path) -> None:
    (folder / "t.db").mkdir()


def make_newer_ledger(folder: Path) -> None:
    waybill.Migration(folder / "source", folder / "to", folder / "t.db").run()
    connection = sqlite3.connect(folder / "t.db")
    connection.execute("pragma user_version = 9999")
    connection.commit()
    connection.close()


def make_torn_ledger(folder: Path) -> None:
    waybill.Migration(folder / "source", folder / "to", folder / "t.db").run()
    size = (folder / "t.db").stat().st_size
    with open(folder / "t.db", "r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (size - 100))


def nothing(folder: Path) -> None:
    pass


CLOSED = "s3://bucket/prefix?endpoint=http://127.0.0.1:1&region=us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "A" * 20, "AWS_SECRET_ACCESS_KEY": "s" * 40}

BAD_INPUT = [
    # what is wrong with the command or the specification
    ("unknown scheme", nothing, ["--from", "gopher://x", "--to", "to"], 2, "gopher"),
    ("unknown scheme, destination", nothing, ["--from", "source", "--to", "gopher://x"], 2, "gopher"),
    ("unknown parameter", nothing, ["--from", "s3://b/p?colour=red", "--to", "to"], 2, "colour"),
    ("credentials in a URL", nothing, ["--from", "s3://me:secret@b/p", "--to", "to"], 2, "credential"),
    ("no source folder", nothing, ["--from", "nowhere", "--to", "to"], 2, "nowhere"),
    ("source is a file", nothing, ["--from", "source/file", "--to", "to"], 2, "source/file"),
    ("destination is a file", nothing, ["--from", "source", "--to", "source/file"], 2, "source/file"),
    ("one store only", nothing, ["--from", "source"], 2, "--to"),
    ("no stores, no ledger", nothing, [], 2, "t.db"),
    ("concurrency", nothing, ["--from", "source", "--to", "to", "--concurrency", "0"], 2, "--concurrency"),
    ("concurrency too high", nothing, ["--from", "source", "--to", "to", "--concurrency", "513"], 2, "concurrency"),
    ("size", nothing, ["--from", "source", "--to", "to", "--max-size", "big"], 2, "--max-size"),
    ("overwrite", nothing, ["--from", "source", "--to", "to", "--overwrite", "maybe"], 2, "--overwrite"),
    ("digest", nothing, ["--from", "source", "--to", "to", "--digest", "md5"], 2, "--digest"),
    ("unknown option", nothing, ["--from", "source", "--to", "to", "--fast"], 2, "--fast"),
    ("ledger of another migration", make_ledger_of_another, ["--from", "source", "--to", "to"], 2, "other"),
    ("not a ledger", make_text_file, ["--from", "source", "--to", "to"], 2, "t.db"),
    ("another database", make_foreign_database, ["--from", "source", "--to", "to"], 2, "t.db"),
    ("ledger is a folder", make_folder, ["--from", "source", "--to", "to"], 2, "t.db"),
    ("newer ledger", make_newer_ledger, ["--from", "source", "--to", "to"], 2, "newer"),
    ("ledger scheme", nothing, ["--from", "source", "--to", "to", "--tracker", "mysql://x/y"], 2, "mysql"),
    ("ledger in no folder", nothing, ["--from", "source", "--to", "to", "--tracker", "no/such/t.db"], 2, "no/such"),
    # what failed on the way
    ("corrupt ledger", make_torn_ledger, ["--from", "source", "--to", "to"], 1, "t.db"),
    ("unreachable endpoint", nothing, ["--from", "source", "--to", CLOSED], 1, "127.0.0.1:1"),
]


@pytest.mark.parametrize("case", BAD_INPUT, ids=[case[0] for case in BAD_INPUT])
def test_bad_input_is_one_clear_line(
    cli: CommandLine, case: tuple[str, Callable[[Path], None], list[str], int, str]
) -> None:
    _, prepare, words, code, named = case
    (cli.folder / "source").mkdir()
    (cli.folder / "source" / "file").write_bytes(b"content")
    prepare(cli.folder)
    before = {path: path.read_bytes() for path in cli.folder.glob("t.db") if path.is_file()}
    moved = (cli.folder / "to").exists()
    result = cli("run", "--tracker", "t.db", *words, environment=KEYS)
    line = one_clear_line(result)
    assert result.returncode == code, line
    assert named in line
    assert "secret" not in line.replace("secret access key", "")
    assert result.stdout == ""
    assert (cli.folder / "to").exists() == moved
    assert {path: path.read_bytes() for path in before} == before


def test_no_credentials_is_one_clear_line(cli: CommandLine, tree: Path) -> None:
    result = cli("run", "--from", tree, "--to", CLOSED)
    assert result.returncode == 1
    assert "credentials" in one_clear_line(result)


@pytest.mark.parametrize("command", ["status", "items", "failed", "pause", "cancel", "verify", "resume"])
def test_a_missing_ledger_is_named_and_not_made(cli: CommandLine, command: str) -> None:
    result = cli(command, "--tracker", "missing.db")
    assert result.returncode == 2
    assert "missing.db" in one_clear_line(result)
    assert list(cli.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["items", "--state", "done"], "--state"),
        (["items", "--limit", "0"], "--limit"),
        (["verify", "--level", "everything"], "--level"),
        (["frobnicate"], "frobnicate"),
        (["--fast"], "--fast"),
        (["status", "extra"], "extra"),
    ],
)
def test_a_wrong_command_line_ends_in_2(cli: CommandLine, words: list[str], named: str) -> None:
    result = cli(*words)
    assert result.returncode == 2
    assert named in one_clear_line(result)


@pytest.mark.parametrize(
    "words",
    [
        ["items", "--limit"], ["failed", "--limit"], ["findings", "--limit"], ["history", "--limit"], ["logs", "--last"],
        ["errors", "--last"], ["partitions", "--top"], ["delete-extra", "--max-delete"], ["db", "prune", "--last"],
        ["db", "backup", "--keep"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_bound_that_nothing_reaches_is_none(cli: CommandLine, tree: Path, words: list[str]) -> None:
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    assert cli("verify").returncode == 0
    result = cli(*words, str(10**30))
    assert result.returncode == 0
    assert result.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--name"], ["run", "--include"], ["run", "--exclude"], ["run", "--extension"], ["run", "--partition"],
        ["retry", "--class"], ["retry", "--partition"], ["waive", "--all", "--why"], ["failed", "--class"],
        ["delete-extra", "--execute"], ["delete-source", "--execute"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_text_that_is_not_utf8_is_named(cli: CommandLine, tree: Path, words: list[str]) -> None:
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    result = cli(*words, b"x\xffy")
    assert result.returncode == 2
    line = one_clear_line(result)
    assert words[-1] in line
    assert r"x\xffy" in line
    assert "UTF-8" in line


def test_what_would_be_silently_ignored_is_refused(cli: CommandLine, tree: Path) -> None:
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    for words, named in (
        (["logs", "--run", "2"], "no run 2"),
        (["run", "--modified-since", ""], "--modified-since"),
        (["run", "--modified-before", ""], "--modified-before"),
        (["verify", "--sample", "1/10"], "--level content"),
        (["retry", "--items-from", "missing"], "missing"),
        (["retry", "--items-from", "."], "directory"),
        (["db", "backup", "--to", "waybill.db"], "waybill.db"),
        (["db", "backup", "--to", "missing"], "missing"),
    ):
        refused = cli(*words)
        assert refused.returncode == 2, words
        assert named in one_clear_line(refused)
        assert "Errno" not in refused.stderr
        assert ".partial" not in refused.stderr
    assert cli("logs", "--run", "1").returncode == 0


def test_keys_of_a_file_end_at_line_feeds(cli: CommandLine) -> None:
    (cli.folder / "from").mkdir()
    for name in (b"car\rriage", b"\xff", b"plain", b"other"):
        (cli.folder / "from" / os.fsdecode(name)).write_bytes(name)
    assert cli("run", "--from", "from", "--to", "to").returncode == 0
    (cli.folder / "keys").write_bytes(b"car\rriage\n\n\xff\r\nplain")
    retried = cli("retry", "--items-from", "keys", "--force")
    assert retried.returncode == 0, retried.stderr
    assert "3 updated" in retried.stdout or "3 created" in retried.stdout, retried.stdout


def test_an_unknown_class_of_errors_is_named(cli: CommandLine, tree: Path) -> None:
    cli("run", "--from", tree, "--to", "to")
    result = cli("failed", "--class", "misfortune")
    assert result.returncode == 2
    assert "misfortune" in one_clear_line(result)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("10MiB", 10 << 20), ("10 M", 10 << 20), ("1.5GB", 1_500_000_000), ("2kb", 2000)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size
