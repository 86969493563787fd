# SPDX-License-Identifier: Apache-2.0
"""What an earlier tool has switched: taken over by reading the system of record, and taken back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import waybill

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from s1_ledger import S1, add_file
from small_crm import SmallCrm

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

LEDGER = "migration_tracking.db"
OLD = 1_577_836_800  # 2020, in seconds


def new_url(record: str) -> str:
    """As that tool made them: not percent-encoded."""
    account, _, number = record.partition("-")
    return f"https://yours.s3.amazonaws.com/{account}/document {number}.txt"


class Legacy:
    """A system of record, and the ledger of the tool that has copied all its files and switched some records."""

    def __init__(self, cli: CommandLine, is_odd: bool = True, switched: int = 6) -> None:
        self.cli = cli
        self.crm = SmallCrm(cli.folder)
        self.path: Path = cli.folder / LEDGER
        first = self.crm.urls()["001-0"]
        assert first is not None
        if is_odd:  # what only a copy of the very bytes brings back
            self.crm.edit("001-0", first.replace("document", "%64ocument") + "?X-Amz-Signature=a%2Fb&x=ü")
        for path in self.crm.old.rglob("*.txt"):
            os.utime(path, (OLD, OLD))
        self.old = self.crm.urls()
        self.records = sorted(self.old)
        shutil.copytree(self.crm.old, self.crm.new)
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executescript(S1.replace("TEXT NOT NULL", "TEXT"))
        for number, record in enumerate(self.records):
            self.claim(record, number < switched)
            if number < switched:
                self.crm.edit(record, new_url(record))

    def claim(self, record: str, is_switched: bool, **more: object) -> None:
        """A row of the ledger."""
        account, _, number = record.partition("-")
        key = f"{account}/document {number}.txt"
        fields: dict[str, object] = {
            "doclist_entry_id": record,
            "account_id": account,
            "account_name": self.crm.accounts[account],
            "original_url": self.old.get(record),
            "your_s3_url": new_url(record),
            "salesforce_updated": int(is_switched),
            "migration_phase": 1 + is_switched,
        }
        with closing(sqlite3.connect(self.path)) as database, database:
            add_file(database, self.crm.old / key, key, **(fields | more))

    def sql(self, text: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(text, values)

    def take_over(self, *words: str) -> dict[str, int]:
        """Import it; what became of references."""
        done = self.cli("import", LEDGER, "--from", "old", "--to", "new", "--json", *words)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        names = ("confirmed", "refuted", "known", "incomplete", "left")
        counts = {name: report[f"references_{name}"] for name in names}
        assert report["is_repeated"] or sum(counts.values()) == report["references"]
        return {name: number for name, number in counts.items() if number}

    def told(self, *words: str, code: int = 0) -> str:
        done = self.cli(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return str(done.stdout)

    def states(self) -> dict[str, str]:
        rows = [json.loads(line) for line in self.told("references", "--json").splitlines()]
        return {row["record"]: row["state"] for row in rows}


@pytest.fixture
def old(cli: CommandLine) -> Legacy:
    return Legacy(cli)


def test_what_was_switched_is_carried_on_and_taken_back(old: Legacy) -> None:
    crm = old.crm
    crm.edit("001-2", "https://elsewhere.example.com/mine")  # since that tool switched it
    crm.edit("001-3", old.old["001-3"])  # it was taken back, and that tool does not know
    with closing(sqlite3.connect(crm.database)) as database, database:
        database.execute("DELETE FROM documents WHERE id = '002-1'")
    held = crm.urls()
    done = old.told("import", LEDGER, "--from", "old", "--to", "new", "--catalog", crm.catalog)
    assert re.search("^switched +6  ", done, re.MULTILINE), done
    assert re.search("^  shown +3  by the catalog", done, re.MULTILINE), done
    assert re.search("^  not shown +3  by the catalog", done, re.MULTILINE), done
    assert "--catalog" not in done, "nothing is left to be taken over"
    assert crm.urls() == held, "an import only reads"
    assert old.states() == {
        "001-0": "updated",
        "001-1": "updated",
        "001-2": "conflict",
        "001-3": "original",
        "002-0": "updated",
        "002-1": "vanished",
    }

    old.told("run")
    old.told("verify", "--level", "content")
    words = ("--catalog", crm.catalog, "--url-template", crm.template)
    plan = json.loads(old.told("cutover", *words, "--json"))
    assert plan["references"]["pending"] == 7, "the rest, and what was taken back"
    assert "7 of 7 references switched" in old.told("cutover", "--execute", "--plan", plan["hash"])
    assert len(crm.switched()) == 7
    assert crm.urls()["001-0"] == new_url("001-0"), "what was switched stays as it is"

    crm.edit("001-1", "https://elsewhere.example.com/later")  # one of theirs
    crm.edit("003-3", "https://elsewhere.example.com/later")  # one of ours
    edited = {"001-1", "001-2", "003-3"}
    back = old.told("rollback", "--execute", code=3)
    assert "8 of 10 references restored" in back
    kept = crm.urls()
    assert {record: url for record, url in kept.items() if record not in edited} == {
        record: url for record, url in old.old.items() if record not in {*edited, "002-1"}
    }
    assert {kept["001-1"], kept["001-2"], kept["003-3"]} == {
        "https://elsewhere.example.com/later",
        "https://elsewhere.example.com/mine",
    }
    states = old.states()
    assert [record for record, state in states.items() if state == "conflict"] == ["001-1", "003-3"]
    assert states["001-2"] == "excluded", "the plan has met it anew: it points at nothing of ours"


def test_it_is_taken_back_at_once_and_by_account(old: Legacy) -> None:
    assert old.take_over("--catalog", old.crm.catalog) == {"confirmed": 6}
    words = ("--catalog", old.crm.catalog, "--execute")
    assert "2 of 2 references restored" in old.told("rollback", "--partition", "002", *words)
    assert old.crm.urls() == old.old | {record: new_url(record) for record in old.records[:4]}
    assert "4 of 4 references restored" in old.told("rollback", *words)
    assert old.crm.urls() == old.old


def test_without_a_catalog_they_are_counted_and_said_and_can_be_taken_over_later(old: Legacy) -> None:
    done = old.told("import", LEDGER, "--from", "old", "--to", "new")
    assert "6 references were switched by it: give --catalog to take them over" in done
    assert old.states() == {}
    audit = old.told("logs", "--json")
    assert old.take_over("--catalog", old.crm.catalog) == {"confirmed": 6}, "the same file, now with a catalog"
    added = [json.loads(line) for line in old.told("logs", "--json").splitlines()[len(audit.splitlines()) :]]
    assert [event["data"].get("action") for event in added if event["kind"] == "audit"] == [
        "import-references",
        "import-end",
    ], "of items and notes there was nothing to add"
    rows = [row["file_migrations"][0] for row in added[0]["data"]["rows"]]
    assert [row["doclist_entry_id"] for row in rows] == old.records[:6]
    assert "X-Amz-Signature" not in str(rows)


def test_the_same_again_and_the_same_grown(old: Legacy) -> None:
    words = ("--catalog", old.crm.catalog)
    assert old.take_over(*words) == {"confirmed": 6}
    before = old.told("logs", "--json")
    again = old.told("import", LEDGER, "--from", "old", "--to", "new", *words)
    assert "imported before" in again
    assert old.told("logs", "--json") == before
    # That tool has gone on, with one that it only says to have switched.
    old.sql("UPDATE file_migrations SET salesforce_updated = 1 WHERE doclist_entry_id IN ('002-2', '002-3')")
    old.crm.edit("002-2", new_url("002-2"))
    assert old.take_over(*words) == {"confirmed": 1, "refuted": 1, "known": 6}
    # And later has.
    old.crm.edit("002-3", new_url("002-3"))
    old.sql("UPDATE migration_runs SET status = 'completed'")
    old.sql("INSERT INTO migration_runs (run_type, start_time) VALUES ('full', '2022-01-01')")
    assert old.take_over(*words) == {"confirmed": 1, "known": 7}
    assert set(old.states().values()) == {"updated"}
    assert "8 of 8 references restored" in old.told("rollback", "--execute", *words)
    assert old.crm.urls() == old.old


def test_what_was_switched_and_never_written_down_is_found(old: Legacy) -> None:
    """That tool marks the records of a run when all of them are switched: one that was killed has marked none."""
    old.sql("UPDATE file_migrations SET salesforce_updated = 0 WHERE doclist_entry_id >= '001-2'")
    done = old.told("import", LEDGER, "--from", "old", "--to", "new", "--catalog", old.crm.catalog)
    assert re.search("^switched +6  references, 4 of them unknown to that ledger$", done, re.MULTILINE), done
    assert re.search("^  shown +6  ", done, re.MULTILINE), done
    assert sorted(old.states()) == old.records[:6], "the others are as they were"
    assert "6 of 6 references restored" in old.told("rollback", "--execute", "--catalog", old.crm.catalog)
    assert old.crm.urls() == old.old


def test_what_lacks_a_value_is_told_and_never_written(old: Legacy) -> None:
    old.sql("UPDATE file_migrations SET original_url = NULL WHERE doclist_entry_id = '001-0'")
    old.sql("UPDATE file_migrations SET your_s3_url = '' WHERE doclist_entry_id = '001-1'")
    old.sql("UPDATE file_migrations SET original_url = your_s3_url WHERE doclist_entry_id = '001-2'")
    old.sql("UPDATE file_migrations SET doclist_entry_id = NULL WHERE doclist_entry_id = '001-3'")
    done = old.told("import", LEDGER, "--from", "old", "--to", "new", "--catalog", old.crm.catalog)
    # The third one's address is of another place, as that of a file would be: it is left out with it.
    assert re.search("^switched +5  ", done, re.MULTILINE), done
    assert re.search("^  shown +2  ", done, re.MULTILINE), done
    assert re.search("^  unclear +3  ", done, re.MULTILINE), done
    logs = old.told("logs", "--level", "warning")
    assert "record 001-0 was switched, and cannot be taken back: it has no original_url" in logs
    assert "record 001-1 was switched, and cannot be taken back: it has no your_s3_url" in logs
    assert "it has no doclist_entry_id" in logs
    old.told("rollback", "--execute", "--catalog", old.crm.catalog)
    urls = old.crm.urls()
    assert [urls[record] for record in old.records[:4]] == [new_url(record) for record in old.records[:4]]
    assert [urls[record] for record in old.records[4:]] == [old.old[record] for record in old.records[4:]]


def test_a_catalog_of_other_records_is_refused(old: Legacy) -> None:
    other = cli_folder_crm(old.cli.folder / "other")
    done = old.cli("import", LEDGER, "--from", "old", "--to", "new", "--catalog", other.catalog)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "none of the first 6 records" in done.stderr
    assert "001-0" in done.stderr
    assert LEDGER in done.stderr
    assert old.states() == {}
    wrong = old.crm.catalog.replace("table=documents", "table=documnets")
    done = old.cli("import", LEDGER, "--from", "old", "--to", "new", "--catalog", wrong)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "documents" in done.stderr
    assert old.take_over("--catalog", old.crm.catalog) == {"confirmed": 6}, "nothing was spoilt"


def cli_folder_crm(folder: Path) -> SmallCrm:
    """A system of record of the same shape, with none of the records."""
    folder.mkdir()
    return SmallCrm(folder, accounts={"X": "Another"})


def test_a_records_id_is_what_the_ledger_says(old: Legacy) -> None:
    """An id of 15 characters is not made one of 18: the record that has the longer one is not ours to touch."""
    long, short = "a0B3D000001AbcDEAZ", "a0B3D000001AbcD"
    for database in (old.path, old.crm.database):
        table, column = ("file_migrations", "doclist_entry_id") if database == old.path else ("documents", "id")
        with closing(sqlite3.connect(database)) as connection, connection:
            name = short if database == old.path else long
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = '001-0'", (name,))
    assert old.take_over("--catalog", old.crm.catalog) == {"confirmed": 5, "refuted": 1}
    assert old.states()[short] == "vanished"
    assert long not in old.states()
    old.told("rollback", "--execute", "--catalog", old.crm.catalog)
    assert old.crm.urls()[long] == new_url("001-0")


KILLED = """
import os, signal, sys
import waybill

ledger, tracker, crm, kill_at = *sys.argv[1:4], int(sys.argv[4])
base = waybill.open_catalog(crm)

class Killing(waybill.Catalog):
    reads = 0
    def capabilities(self): return waybill.CatalogCapabilities(conditional="exact", max_batch=2)
    def identity(self): return base.identity()
    def list(self, since, context): return base.list(since, context)
    def update(self, updates, context): raise AssertionError("an import only reads")
    def read(self, ids, context):
        self.reads += 1
        if self.reads == kill_at: os.kill(os.getpid(), signal.SIGKILL)
        return base.read(ids, context)

report = waybill.Migration("old", "new", tracker, catalog=Killing()).import_ledger(ledger)
print(report.references_confirmed, report.references_known, report.is_repeated)
"""


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_killed_amid_it_and_run_again(old: Legacy, kill_at: int) -> None:
    def run(when: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, LEDGER, "waybill.db", old.crm.catalog, str(when)],
            cwd=old.cli.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )

    assert run(kill_at).returncode == -signal.SIGKILL
    assert len(old.states()) == 2 * (kill_at - 1), "what was read is on disk"
    done = run(0)
    known = 2 * (kill_at - 1)
    assert done.stdout.split() == [str(6 - known), str(known), "False"], done.stderr
    assert run(0).stdout.split()[2] == "True"
    assert old.take_over("--catalog", old.crm.catalog) == {}, "by whichever program"
    old.told("rollback", "--execute", "--catalog", old.crm.catalog)
    assert old.crm.urls() == old.old


def test_the_report_in_python(old: Legacy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old.cli.folder)
    report = waybill.Migration("old", "new", catalog=old.crm.catalog).import_ledger(LEDGER)
    assert (report.items, report.confirmed, report.references) == (12, 12, 6)
    assert (report.references_confirmed, report.references_left) == (6, 0)
    with waybill.Tracker("waybill.db") as ledger:
        reference = next(iter(ledger.references()))
        [switch] = ledger.journal(reference.id)
    assert (reference.record, reference.partition, reference.partition_name) == ("001-0", "001", "Acme Corp.")
    assert (switch.old, switch.intended, switch.state) == (old.old["001-0"], new_url("001-0"), "applied")


@pytest.fixture
def plain(cli: CommandLine) -> Legacy:
    """With values that are all addresses of files."""
    return Legacy(cli, is_odd=False)


@pytest.mark.parametrize("has_accounts", [True, False])
def test_where_the_source_is_what_the_references_point_at(plain: Legacy, has_accounts: bool) -> None:
    crm = plain.crm
    catalog = crm.catalog if has_accounts else crm.catalog.replace("&partition=account&partition_name=name", "")
    template = "{partition}/{name}" if has_accounts else "other/{name}"
    words = ("--catalog", catalog, "--contents", "old", "--to", "new", "--key-template", template)
    report = json.loads(plain.told("import", LEDGER, *words, "--json"))
    assert (report["items"], report["confirmed"], report["references_confirmed"]) == (12, 12, 6)
    files = {path: path.stat().st_mtime_ns for path in crm.new.rglob("*") if path.is_file()}
    assert "0 created, 0 updated, 12 unchanged" in plain.told("run")
    with waybill.Tracker(plain.cli.folder / "waybill.db") as ledger:
        items = {(item.partition, item.key.decode()) for item in ledger.items("copied")}
    accounts = {record: record.partition("-")[0] if has_accounts else "" for record in plain.records}
    assert items == {(accounts[record], url) for record, url in plain.old.items()}, "also of what is switched"
    plain.told("verify", "--level", "content")
    plan = json.loads(plain.told("cutover", "--url-template", crm.template, "--json"))
    assert (plan["references"]["pending"], plan["references"]["updated"]) == (6, 6)
    assert "6 of 6 references switched" in plain.told("cutover", "--execute", "--plan", plan["hash"])
    assert "0 created, 0 updated, 12 unchanged" in plain.told("run"), "with all of them switched"
    assert files == {path: path.stat().st_mtime_ns for path in crm.new.rglob("*") if path.is_file()}
    assert "12 of 12 references restored" in plain.told("rollback", "--execute")
    assert crm.urls() == plain.old


def test_a_catalog_of_other_partitions_is_refused_before_all_is_copied_again(plain: Legacy) -> None:
    catalog = plain.crm.catalog.replace("partition=account", "partition=title")
    done = plain.cli("import", LEDGER, "--catalog", catalog, "--contents", "old", "--to", "new")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "'document 0.txt'" in done.stderr
    assert "name its column of accounts as partition" in done.stderr
    assert not (plain.cli.folder / "waybill.db").exists()
