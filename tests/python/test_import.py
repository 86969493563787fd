# SPDX-License-Identifier: Apache-2.0
"""Ledgers of earlier tools: what is taken over, what a run makes of it, and what is refused.

The databases are made here from the schemas that those tools document.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill import legacy
from waybill.legacy import ledger as ledgers
from waybill.legacy import s1, s4

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from s1_ledger import LATER, S1, add_file, insert

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

OLD = 1_577_836_800  # 2020, in seconds

S4 = """
CREATE TABLE migrations (
  id TEXT PRIMARY KEY, config_source TEXT NOT NULL, config_destination TEXT NOT NULL, config_options TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'starting', progress INTEGER DEFAULT 0, start_time TEXT NOT NULL, end_time TEXT,
  log_file TEXT, errors TEXT DEFAULT '[]', stats_total_objects INTEGER DEFAULT 0,
  stats_transferred_objects INTEGER DEFAULT 0, stats_total_size INTEGER DEFAULT 0,
  stats_transferred_size INTEGER DEFAULT 0, stats_speed REAL DEFAULT 0, reconciliation_status TEXT,
  reconciliation_differences TEXT DEFAULT '[]', reconciliation_missing_files TEXT DEFAULT '[]',
  reconciliation_extra_files TEXT DEFAULT '[]', reconciliation_size_differences TEXT DEFAULT '[]',
  created_at TEXT DEFAULT CURRENT_TIMESTAMP, updated_at TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE migration_logs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, migration_id TEXT NOT NULL, timestamp TEXT NOT NULL,
  level TEXT NOT NULL DEFAULT 'info', message TEXT NOT NULL, created_at TEXT DEFAULT CURRENT_TIMESTAMP);
"""


def keys_of(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())


@pytest.fixture
def half_done(cli: CommandLine, tree: Path) -> Path:
    """The first system's ledger of twelve files, of which it has copied six, and failed with one."""
    keys = keys_of(tree)
    for key in keys:
        os.utime(tree / key, (OLD, OLD))
    path: Path = cli.folder / "migration_tracking.db"
    with sqlite3.connect(path) as database:
        database.executescript(S1)
        for key in keys[:6]:
            add_file(database, tree / key, key)
            target = cli.folder / "to" / key
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / key, target)
        insert(database, "migration_runs", run_type="backup", start_time="2021-05-31T10:00:00", status="running")
        for key, word in ((keys[6], "download"), (keys[0], "network")):
            insert(
                database,
                "migration_errors",
                run_id=1,
                doclist_entry_id="a0Bother",
                error_type=word,
                error_message=f"GET {(tree / key).as_uri()}?X-Amz-Signature=c4n4ry failed",
                original_url=f"{(tree / key).as_uri()}?X-Amz-Signature=c4n4ry",
                timestamp=LATER,
            )
    database.close()
    return path


def imported(cli: CommandLine, tree: Path, file: Path, *more: str) -> dict[str, Any]:
    done = cli("import", file, "--from", tree, "--to", "to", "--json", *more)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def audit_of(cli: CommandLine) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in cli("logs", "--json").stdout.splitlines()]
    return [event for event in events if event["kind"] == "audit"]


def test_a_half_done_migration_is_carried_on(cli: CommandLine, tree: Path, half_done: Path) -> None:
    report = imported(cli, tree, half_done)
    assert (report["items"], report["confirmed"], report["failed"], report["format"]) == (7, 6, 1, "s1")
    assert report["sha256"] == hashlib.sha256(half_done.read_bytes()).hexdigest()
    [failed] = [json.loads(line) for line in cli("failed", "--json").stdout.splitlines()]
    assert (failed["key"], failed["error_class"], failed["provider_code"]) == (keys_of(tree)[6], "server", "download")
    done = cli("run")
    assert done.returncode == 0, done.stderr
    assert "6 created, 0 updated, 6 unchanged" in done.stdout
    assert "attempts  6," in done.stdout, "nothing was copied again"
    assert keys_of(cli.folder / "to") == keys_of(tree)
    assert cli("verify", "--level", "content").returncode == 0


def test_the_same_import_again_changes_nothing(cli: CommandLine, tree: Path, half_done: Path) -> None:
    imported(cli, tree, half_done)
    before = cli("logs", "--json").stdout
    again = imported(cli, tree, half_done)
    assert again["is_repeated"]
    assert cli("logs", "--json").stdout == before
    assert "imported before" in cli("import", half_done, "--from", tree, "--to", "to").stdout
    with sqlite3.connect(half_done) as database:  # that tool has gone on
        key = keys_of(tree)[7]
        add_file(database, tree / key, key)
    database.close()
    shutil.copyfile(tree / key, cli.folder / "to" / key)
    newer = imported(cli, tree, half_done)
    assert (newer["confirmed"], newer["unchanged"]) == (1, 7)


def test_every_column_is_on_record_and_says_where_it_came_from(cli: CommandLine, tree: Path, half_done: Path) -> None:
    digest = imported(cli, tree, half_done)["sha256"]
    events = audit_of(cli)
    assert all(event["data"]["import"] == digest for event in events)
    end = events[-1]["data"]
    assert end["file"].endswith("migration_tracking.db")
    assert "@" in end["who"]
    rows = [row for event in events for row in event["data"].get("rows", ())]
    [record] = rows[0]["file_migrations"]
    assert set(record) == set(s1.S1Ledger.columns["file_migrations"])
    assert record["account_name"] == "Acme Ünlimited"
    [run] = [event for event in events if event["data"]["action"] == "import-note"]
    assert set(run["data"]["origin"]["migration_runs"]) == set(s1.S1Ledger.columns["migration_runs"])
    assert "interrupted" in run["text"], "nothing says that it ended"


def test_the_documented_columns_are_all_of_them() -> None:
    text = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
    for kind in (s1.S1Ledger, s4.S4Ledger):
        for columns in kind.columns.values():
            assert not [column for column in columns if f"{column}`" not in text]
    for word in s4.STATES:
        assert f"`{word}`" in text


def test_claims_are_believed_as_far_as_the_destination_shows(cli: CommandLine, tree: Path, half_done: Path) -> None:
    keys = keys_of(tree)
    (cli.folder / "to" / keys[0]).unlink()
    (cli.folder / "to" / keys[1]).write_text("of another size")
    with sqlite3.connect(half_done) as database:
        database.execute("UPDATE file_migrations SET file_size_bytes = -5 WHERE your_s3_key = ?", (keys[2],))
        database.execute("UPDATE file_migrations SET backup_timestamp = '31/31/2021' WHERE your_s3_key = ?", (keys[3],))
        database.execute(
            "UPDATE file_migrations SET your_s3_key = 'uploads/x/' || your_s3_key WHERE your_s3_key = ?", (keys[4],)
        )
        add_file(database, Path("/somewhere/else"), "else", doclist_entry_id="elsewhere")
    database.close()
    report = imported(cli, tree, half_done)
    assert (report["confirmed"], report["refuted"], report["pending"]) == (2, 3, 1)
    assert (report["elsewhere"], report["outside"]) == (1, 1)
    done = cli("run")
    assert done.returncode == 3, "the file of another size is not ours to replace"
    assert [json.loads(line)["key"] for line in cli("failed", "--json").stdout.splitlines()] == [keys[1]]


def test_what_was_put_at_keys_of_its_own_stays_there_with_a_template(
    cli: CommandLine, tree: Path, half_done: Path
) -> None:
    keys = keys_of(tree)
    with sqlite3.connect(half_done) as database:
        for key in keys[:2]:
            there = f"uploads/0013D00000AbcDef/Acme_Unlimited/{Path(key).name}"
            database.execute("UPDATE file_migrations SET your_s3_key = ? WHERE your_s3_key = ?", (there, key))
            (cli.folder / "to" / there).parent.mkdir(parents=True, exist_ok=True)
            (cli.folder / "to" / key).rename(cli.folder / "to" / there)
    database.close()
    report = imported(cli, tree, half_done, "--key-template", "new/{key}")
    assert (report["confirmed"], report["elsewhere"]) == (6, 0)
    done = cli("run")
    assert done.returncode == 0, done.stderr
    assert "6 created, 0 updated, 6 unchanged" in done.stdout
    assert keys_of(cli.folder / "to") == sorted(
        [f"uploads/0013D00000AbcDef/Acme_Unlimited/{Path(key).name}" for key in keys[:2]]
        + keys[2:6]
        + [f"new/{key}" for key in keys[6:]]
    )


def test_what_changed_since_is_copied_again(cli: CommandLine, tree: Path, half_done: Path) -> None:
    key = keys_of(tree)[1]
    old = (tree / key).read_bytes()
    (tree / key).write_bytes(old[::-1])
    assert imported(cli, tree, half_done)["confirmed"] == 6
    assert cli("run").returncode == 0
    assert (cli.folder / "to" / key).read_bytes() == old[::-1]


def test_no_secret_of_the_other_ledger_is_kept(cli: CommandLine, tree: Path, half_done: Path) -> None:
    config = {"password": "c4n4ry", "security_token": "c4n4ry", "aws": {"secret": "c4n4ry"}, "max_file_size_mb": 77}
    with sqlite3.connect(half_done) as database:
        database.execute("UPDATE migration_runs SET config_snapshot = ?", (json.dumps(config),))
        database.execute("UPDATE migration_runs SET error_message = 'https://user:c4n4ry@host/?sig=c4n4ry'")
    database.close()
    done = cli("import", half_done, "--from", tree, "--to", "to")
    assert done.returncode == 0, done.stderr
    for path in cli.folder.glob("waybill.db*"):
        assert b"c4n4ry" not in path.read_bytes()
    assert "77" in str(audit_of(cli)), "what is harmless is kept"


def refusal(cli: CommandLine, tree: Path, file: Path | str, *more: str) -> tuple[int, str]:
    done = cli("import", file, "--from", tree, "--to", "to", *more)
    assert not (cli.folder / "waybill.db").exists(), "nothing is made for what is refused"
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def test_what_is_no_whole_ledger_is_refused_and_named(cli: CommandLine, tree: Path, half_done: Path) -> None:
    folder = cli.folder
    (folder / "short.db").write_bytes(half_done.read_bytes()[:-4096])
    code, text = refusal(cli, tree, "short.db")
    assert (code, "truncated" in text) == (2, True), text
    (folder / "head.db").write_bytes(half_done.read_bytes()[:50])
    assert refusal(cli, tree, "head.db")[0] == 2
    (folder / "text.db").write_text("not a database")
    code, text = refusal(cli, tree, "text.db")
    assert (code, "not a ledger of a known tool" in text) == (2, True), text
    (folder / "empty.db").write_text("")
    assert refusal(cli, tree, "empty.db")[0] == 2
    assert refusal(cli, tree, "missing.db")[0] in (1, 2)
    assert refusal(cli, tree, folder)[0] == 2
    damaged = bytearray(half_done.read_bytes())
    damaged[4096:5096] = b"\xff" * 1000
    (folder / "damaged.db").write_bytes(damaged)
    code, text = refusal(cli, tree, "damaged.db")
    assert (code, "damaged" in text) == (2, True), text


def test_another_shape_is_refused_by_the_name_of_what_lacks(cli: CommandLine, tree: Path, half_done: Path) -> None:
    with sqlite3.connect(half_done) as database:
        database.execute("ALTER TABLE file_migrations DROP COLUMN file_hash")
    database.close()
    assert "file_migrations has no column file_hash" in refusal(cli, tree, half_done)[1]
    with sqlite3.connect(half_done) as database:
        database.execute("DROP TABLE migration_errors")
    database.close()
    assert "has no table migration_errors" in refusal(cli, tree, half_done)[1]
    assert "has no table migrations" in refusal(cli, tree, half_done, "--format", "s4")[1]
    with pytest.raises(waybill.InvalidArgumentError, match="the ledger of this migration itself"):
        waybill.Migration(tree, cli.folder / "to", half_done).import_ledger(half_done)
    other = cli.folder / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t (a)")
    database.close()
    assert "neither a table file_migrations (s1) nor migrations (s4)" in refusal(cli, tree, other)[1]


def test_other_places_are_refused_and_named(cli: CommandLine, tree: Path, half_done: Path) -> None:
    away = cli.folder / "away"
    away.mkdir()
    code, text = refusal(cli, away, half_done)
    assert code == 2
    assert "look at --from" in text
    assert tree.name in text


def test_what_is_being_written_is_refused_with_4(cli: CommandLine, tree: Path, half_done: Path) -> None:
    writer = sqlite3.connect(half_done, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    code, text = refusal(cli, tree, half_done)
    assert (code, "is being written" in text, ".backup" in text) == (4, True, True), text
    writer.execute("ROLLBACK")
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("DELETE FROM migration_errors")
    code, text = refusal(cli, tree, half_done)
    assert (code, "is being written" in text) == (4, True), text
    writer.close()  # the last one takes the -wal along
    assert imported(cli, tree, half_done)["items"] == 6


def s4_rows(tree: Path, folder: Path) -> list[dict[str, Any]]:
    """Two migrations of our places, and one of others. With the names of the JSON file."""
    keys = keys_of(tree)
    config = {
        "source": str(tree),
        "destination": str(folder / "to"),
        "options": {"overwrite": True, "secretKey": "c4n4ry"},
    }
    found = {
        "status": "completed_with_differences",
        "differences": [],
        "missingFiles": [{"path": keys[1], "status": "missing", "sourceSize": 5}, "unlisted/file"],
        "extraFiles": [{"path": "extra", "status": "extra", "targetSize": 9}],
        "sizeDifferences": [{"path": keys[0], "status": "size-differs", "sourceSize": 3, "targetSize": 4}],
    }
    stats = {"totalObjects": 12, "transferredObjects": 11, "totalSize": 99, "transferredSize": 98, "speed": 1.5}
    first = {"id": "m-1", "config": config, "status": "running", "startTime": "2025-01-01T00:00:00.000Z"}
    second = {
        "id": "m-2",
        "config": config,
        "status": "completed_with_differences",
        "progress": 95,
        "startTime": "2025-01-02T00:00:00.000Z",
        "endTime": "2025-01-02T01:00:00.000Z",
        "errors": ["mc: <ERROR> Unable to read"],
        "stats": stats,
        "reconciliation": found,
    }
    third = {"id": "m-3", "config": config | {"source": "minio/other"}, "status": "verified", "startTime": "2025-01-03"}
    return [first, second, third]


def make_s4(path: Path, rows: list[dict[str, Any]]) -> Path:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(S4)
        for row in rows:
            found = row.get("reconciliation", {})
            stats = row.get("stats", {})
            insert(
                database,
                "migrations",
                id=row["id"],
                config_source=row["config"]["source"],
                config_destination=row["config"]["destination"],
                config_options=json.dumps(row["config"]["options"]),
                status=row["status"],
                progress=row.get("progress"),
                start_time=row["startTime"],
                end_time=row.get("endTime"),
                errors=json.dumps(row.get("errors", [])),
                **{f"stats_{s4._snake(name)}": stats.get(name, 0) for name in s4._JSON_STATS},
                reconciliation_status=found.get("status"),
                **{f"reconciliation_{s4._snake(name)}": json.dumps(found.get(name, [])) for name in s4._JSON_LISTS},
            )
        insert(database, "migration_logs", migration_id="m-2", timestamp="2025-01-02", level="warn", message="slow")
    database.close()
    return path


@pytest.mark.parametrize("form", ["s4", "s4-json"])
def test_the_s3_tools_ledger_in_both_forms(cli: CommandLine, tree: Path, form: str) -> None:
    rows = s4_rows(tree, cli.folder)
    if form == "s4":
        file = make_s4(cli.folder / "migrations.db", rows)
    else:
        file = cli.folder / "migrations.json"
        file.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    report = imported(cli, tree, file)
    assert (report["format"], report["items"], report["pending"], report["outside"]) == (form, 3, 3, 1)
    with waybill.Tracker(cli.folder / "waybill.db") as ledger:
        items = {os.fsdecode(item.key): item.size for item in ledger.items("pending")}
    keys = keys_of(tree)
    assert items == {keys[0]: 3, keys[1]: 5, "unlisted/file": None}
    texts = [event["text"] for event in audit_of(cli)]
    assert "migration m-1 (2025-01-01T00:00:00.000Z): interrupted" in texts
    assert "extra at the destination: extra" in texts
    logs = cli("logs").stdout
    assert "mc: <ERROR> Unable to read" in logs
    assert ("slow" in logs) == (form == "s4"), "the JSON has no logs"
    assert b"c4n4ry" not in (cli.folder / "waybill.db").read_bytes()
    assert cli("run").returncode == 3, "one of them is not at the source"
    assert keys_of(cli.folder / "to") == keys


def test_a_json_ledger_that_is_none_is_refused(cli: CommandLine, tree: Path) -> None:
    rows = s4_rows(tree, cli.folder)
    file = cli.folder / "migrations.json"
    text = json.dumps(rows)
    file.write_text(text[: len(text) // 2])
    code, message = refusal_of_json(cli, tree, file)
    assert (code, "truncated" in message) == (2, True), message
    file.write_text('{"migrations": []}')
    assert "not a JSON array" in refusal_of_json(cli, tree, file)[1]
    file.write_text('[{"id": "m", "config": {"source": "a"}, "status": "failed", "startTime": "x"}]')
    assert "element 1 has no config.destination" in refusal_of_json(cli, tree, file)[1]
    file.write_text(json.dumps(rows[2:]))
    assert "it has minio/other ->" in refusal_of_json(cli, tree, file)[1]
    file.write_text("[]")
    assert "has no migration from" in refusal_of_json(cli, tree, file)[1]
    with pytest.raises(waybill.FailedPreconditionError, match="no JSON"):
        list(s4._elements(write(file, '[{"a": 1} {"a": 2}]')))
    assert list(s4._elements(write(file, ' [ {"a": 1} , 2 ,[3]] '))) == [{"a": 1}, 2, [3]]


def refusal_of_json(cli: CommandLine, tree: Path, file: Path) -> tuple[int, str]:
    done = cli("import", file, "--from", tree, "--to", "to")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_addresses_of_objects_become_keys() -> None:
    place = legacy.Place.of("s3://docs/in%20box?endpoint=http://127.0.0.1:9000")
    same = [
        "https://docs.s3.amazonaws.com/in%20box/a%2Bb.pdf",
        "https://docs.s3.eu-west-1.amazonaws.com/in%20box/a+b.pdf?X-Amz-Signature=x",
        "https://s3.eu-west-1.amazonaws.com/docs/in%20box/a+b.pdf",
        "http://127.0.0.1:9000/docs/in%20box/a+b.pdf",
        "s3://docs/in box/a+b.pdf",
    ]
    assert {place.key_of_url(url) for url in same} == {b"a+b.pdf"}
    other = [
        "https://docs2.s3.amazonaws.com/in%20box/a",
        "https://docs.s3.amazonaws.com/inbox/a",
        "in box/a",
        "http://[",
        "",
    ]
    assert {place.key_of_url(url) for url in other} == {None}
    assert place.key_of_object("in box/a") == b"a"
    assert place.key_of_object("a") is None
    assert place.is_at("alias/docs/in box/")
    assert not place.is_at("alias/docs")


def test_times_are_the_earliest_that_they_can_be() -> None:
    assert ledgers.earliest_ms("1970-01-02T00:00:00Z") == 86_400_000
    assert ledgers.earliest_ms("1970-01-02T02:00:00+02:00") == 86_400_000
    assert ledgers.earliest_ms("1970-01-02T14:00:00") == 86_400_000
    for nonsense in (None, 5, "", "yesterday", "0001-01-01T00:00:00", "2021-13-01"):
        assert ledgers.earliest_ms(nonsense) is None


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.db"
        with sqlite3.connect(path) as database:
            database.executescript(S1)
            for number in range(count):
                add_file(database, Path(f"/source/{number:06}"), f"{number:06}")
        database.close()
        with legacy.open_legacy(path, "auto", "/source", "/to") as ledger:
            tracemalloc.start()
            assert sum(1 for _ in ledger.items()) == count
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return used

    assert peak(8_000) < peak(1_000) + 200_000


def test_items_of_a_catalog_are_addresses_in_accounts(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    url = "https://host/a%20b.pdf?sig=x"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(S1.replace("account_id TEXT NOT NULL", "account_id TEXT"))
        for account in ("B", "A", None, "B"):
            add_file(database, Path("/x"), "docs/x", original_url=url, account_id=account)
        for record in ("a0B000000", "unknown"):
            insert(
                database,
                "migration_errors",
                doclist_entry_id=record,
                error_type="download",
                error_message="404",
                original_url="https://host/dead",
                timestamp=LATER,
            )
    key = url.encode()
    for source in ("sqlite:///crm.db?table=t&id=id&url=url", "catalog:crm"):
        with legacy.open_legacy(path, "auto", source, "s3://new/docs") as ledger:
            in_none = [(item.partition, item.key, item.state) for item in ledger.items()]
            ledger.has_accounts = ledger.keeps_keys = True
            items = list(ledger.items())
            assert sorted(ledger.accounts()) == ["A", "B"]
        assert in_none == [(b"", key, "pending"), (b"", b"https://host/dead", "failed")]
        assert [(item.partition, item.key, item.state) for item in items] == [
            (b"", key, "copied"),
            (b"A", key, "copied"),
            (b"B", key, "copied"),
            (b"B", b"https://host/dead", "failed"),
        ], "a failure whose record has no account is met by the run"
        assert {item.destination_key for item in items} == {b"x", b""}
        assert len(json.loads(items[-2].origin)["file_migrations"]) == 2
