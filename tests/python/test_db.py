# SPDX-License-Identifier: Apache-2.0
"""The file of a ledger in order: db check, backup, vacuum, prune, recover. Their work is tested in maintenance_test.cpp."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer

import waybill

CommandLine = Any  # the class of conftest.py, which has no name that tests can import


def events_of(folder: Path) -> list[waybill.Event]:
    with waybill.Tracker(folder / "waybill.db") as tracker:
        return list(tracker.events())


@pytest.fixture
def ran(cli: CommandLine, tree: Path) -> CommandLine:
    """A ledger of two runs, the second of which moved nothing."""
    for _ in range(2):
        assert cli("run", "--from", tree, "--to", "to").returncode == 0
    return cli


def damage(path: Path) -> None:
    """Overwrite a page of the items, and only that."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'items'").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 8192 : page * 8192] = b"\xa5" * 8192
    path.write_bytes(content)


def test_check_says_sound_or_what_is_wrong(ran: CommandLine) -> None:
    sound = ran("db", "check")
    assert sound.returncode == 0, sound.stderr
    assert sound.stdout.startswith("waybill.db is sound: 12 items, ")
    with sqlite3.connect(ran.folder / "waybill.db") as database:
        database.execute("UPDATE counters SET failed = failed + 3 WHERE frame = 0 AND partition = 0")
    wrong = ran("db", "check")
    assert wrong.returncode == 1
    assert "the accounts of the migration say 3 failed, its rows 0" in wrong.stdout
    assert "waybill.db is damaged" in wrong.stdout
    found = json.loads(ran("db", "check", "--json").stdout)
    assert len(found["problems"]) == 2
    assert found["items"] == 12
    missing = ran("db", "check", "--tracker", "none.db")
    assert missing.returncode == 2
    assert "none.db" in missing.stderr


def test_backups_are_ledgers_and_rotate(ran: CommandLine) -> None:
    folder = ran.folder / "backups"
    folder.mkdir()
    first = ran("db", "backup", "--to", "backups")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("backed up to backups/waybill-2")
    made = [json.loads(ran("db", "backup", "--to", "backups", "--keep", "2", "--json").stdout) for _ in range(3)]
    assert sorted(str(path.relative_to(ran.folder)) for path in folder.iterdir()) == sorted(
        backup["path"] for backup in made[1:]
    )
    assert [len(backup["removed"]) for backup in made] == [0, 1, 1]
    status = json.loads(ran("status", "--json", "--tracker", made[-1]["path"]).stdout)
    now = json.loads(ran("status", "--json").stdout)
    assert status == now
    assert ran("db", "backup", "--keep", "0").returncode == 2
    assert ran("db", "backup", "--to", "none").returncode == 2


def test_prune_is_by_explicit_command_and_keeps_audit_events(ran: CommandLine) -> None:
    os.mkfifo(ran.folder / "source" / "pipe")
    assert ran("run").returncode == 3
    assert ran("waive", "--all", "--why", "not wanted").returncode == 0
    before = events_of(ran.folder)
    audits = [event for event in before if event.kind == "audit"]
    assert len(audits) == 1
    assert ran("db", "prune").returncode == 2, "nothing goes unless it is said what"
    nonsense = ran("db", "prune", "--before", "sometime")
    assert nonsense.returncode == 2
    assert "--before" in nonsense.stderr
    assert ran("db", "prune", "--before", "1d").stdout == "0 events removed\n"
    assert events_of(ran.folder) == before
    removed = json.loads(ran("db", "prune", "--last", "2", "--json").stdout)["removed"]
    after = events_of(ran.folder)
    assert removed == len(before) - 3
    assert [event.kind for event in after].count("audit") == 2
    assert audits[0] in after
    assert waybill.user.this_user() in after[-1].text
    history = [json.loads(line) for line in ran("history", "--json").stdout.splitlines()]
    assert len(history) == 3, "no run goes"
    assert ran("db", "check").returncode == 0


def test_vacuum_gives_room_back(ran: CommandLine) -> None:
    before = ran("logs").stdout.splitlines()
    with sqlite3.connect(ran.folder / "waybill.db") as database:
        database.execute("INSERT INTO events SELECT 1000 + value, 0, 1, 3, 1, printf('%.*c', 1000, 'x'), '' FROM json_each(?)",
                         [json.dumps(list(range(1000)))])  # fmt: skip
        database.execute("UPDATE ledger SET seq = 2000")
    logged = ran("logs").stdout.splitlines()
    assert logged[: len(before)] == before, "nothing is cut off, and the oldest are there"
    assert len(logged) == len(before) + 1000
    assert ran("db", "prune", "--last", "1").returncode == 0
    sizes = json.loads(ran("db", "vacuum", "--json").stdout)
    assert sizes["bytes_before"] > 1_000_000 > sizes["bytes_after"]
    assert ran("db", "check").returncode == 0
    assert ran("run").returncode == 0


def test_lists_are_paged_by_key(cli: CommandLine) -> None:
    (cli.folder / "from").mkdir()
    for number in range(1500):  # a page holds a thousand
        (cli.folder / "from" / f"{number:04}").touch()
    assert cli("run", "--from", "from", "--to", "to").returncode == 0
    with waybill.Tracker(cli.folder / "waybill.db") as tracker:
        items = iter(tracker.items())
        first = [next(items).key for _ in range(1000)]
        with sqlite3.connect(cli.folder / "waybill.db") as database:
            assert database.execute("DELETE FROM items WHERE key < ?", [first[500]]).rowcount == 500
        rest = [item.key for item in items]
    assert first + rest == [b"%04d" % number for number in range(1500)], "what goes before a page moves none behind it"


@pytest.fixture
def held_run(cli: CommandLine, eventually: Callable[..., None]) -> Iterator[waybill.Run]:
    """A run of twenty items that has copied some, and is held at one that does not come."""
    (cli.folder / "credentials").write_text("[test]\naws_access_key_id = a\naws_secret_access_key = b\n")
    with FaultServer("from") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(cli.folder / "credentials"))
        for number in range(20):
            server.put("from", f"{number:02}", b"content")
        server.rule(op="GetObject", key="15", action="delay", delay_ms=600_000)
        options = waybill.Options(concurrency=1, drain_ms=0)
        source = f"s3://from?endpoint={server.endpoint}&region=us-east-1&profile=test"
        run = waybill.Migration(source, cli.folder / "to", cli.folder / "held.db", options=options).start()
        eventually(lambda: run.snapshot.items.done == 15)
        yield run
        run.interrupt()
        assert run.wait(60) is not None


def test_what_writes_is_refused_while_a_run_is_live_and_backups_are_not(
    cli: CommandLine, held_run: waybill.Run
) -> None:
    for words in (["vacuum"], ["prune", "--last", "0"], ["recover", "new.db"]):
        refused = cli("db", *words, "--tracker", "held.db")
        assert refused.returncode == 4, (words, refused.stderr)
        assert f"is in use by process {os.getpid()}" in refused.stderr
    backup = cli("db", "backup", "--tracker", "held.db", "--json")
    assert backup.returncode == 0, backup.stderr
    path = cli.folder / json.loads(backup.stdout)["path"]
    checked = cli("db", "check", "--tracker", "held.db")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert waybill.check_ledger(path).problems == []
    with waybill.Tracker(path) as tracker:
        snapshot = tracker.snapshot()
    assert snapshot.state == "interrupted", "the owner is live, but does not own this file"
    assert snapshot.items.done == 15
    assert held_run.report is None, "the run goes on"


def test_recover_makes_a_ledger_that_the_next_run_completes(ran: CommandLine, tree: Path) -> None:
    damage(ran.folder / "waybill.db")
    before = (ran.folder / "waybill.db").read_bytes()
    checked = ran("db", "check")
    assert checked.returncode == 1, checked.stdout
    recovered = ran("db", "recover", "new.db")
    assert recovered.returncode == 0, recovered.stderr
    assert recovered.stdout.startswith("0 of 12 items are in new.db\n"), "all rows were on that page"
    assert "items: 0 rows read, others are lost" in recovered.stdout
    assert (ran.folder / "waybill.db").read_bytes() == before, "never in place"
    assert ran("db", "check", "--tracker", "new.db").returncode == 0
    again = ran("db", "recover", "new.db")
    assert again.returncode == 2
    assert "new.db is there already" in again.stderr
    completed = ran("run", "--tracker", "new.db")
    assert completed.returncode == 0, completed.stderr + completed.stdout
    assert "12 unchanged" in completed.stdout, "what the ledger lost is found at the destination"
    assert len(list(waybill.Tracker(ran.folder / "new.db").runs())) == 3, "history was not on that page"


def test_a_damaged_ledger_is_not_backed_up(ran: CommandLine) -> None:
    damage(ran.folder / "waybill.db")
    refused = ran("db", "backup", "--to", ".", "--keep", "1")
    assert refused.returncode == 1
    assert "damaged" in refused.stderr
    assert [path.name for path in ran.folder.iterdir() if path.name.startswith("waybill-")] == []


def test_calls_of_the_package_release_the_interpreter(ran: CommandLine) -> None:
    results: list[waybill.LedgerCheck] = []
    threads = [
        threading.Thread(target=lambda: results.append(waybill.check_ledger(ran.folder / "waybill.db")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.problems for result in results] == [[]] * 4
