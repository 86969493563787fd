# SPDX-License-Identifier: Apache-2.0
"""A half-done migration of an earlier tool between two buckets is carried on; the store counts what it is asked for."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer

import waybill

COLUMNS = (
    "doclist_entry_id account_id account_name original_url your_s3_key your_s3_url file_name file_size_bytes file_hash "
    "backup_timestamp last_modified_sf created_date updated_date"
).split()
OTHERS = (
    "CREATE TABLE migration_runs (id, run_type, start_time, end_time, total_files_processed, successful_files, "
    "failed_files, new_files, updated_files, skipped_files, status, error_message, config_snapshot);"
    "CREATE TABLE migration_errors (id, run_id, doclist_entry_id, error_type, error_message, original_url, timestamp);"
)


def make_ledger(path: Path, endpoint: str, claims: dict[str, int], time: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute(
            f"CREATE TABLE file_migrations (id INTEGER PRIMARY KEY, {', '.join(COLUMNS)}, migration_phase, salesforce_updated)"
        )
        database.executescript(OTHERS)
        for key, size in claims.items():
            row: dict[str, Any] = dict.fromkeys(COLUMNS, "")
            row |= {"doclist_entry_id": key, "file_size_bytes": size, "backup_timestamp": time}
            row |= {"original_url": f"{endpoint}/from/docs/{key}", "your_s3_key": f"docs/{key}"}
            marks = ", ".join("?" * len(row))
            database.execute(f"INSERT INTO file_migrations ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    database.close()


def test_buckets_that_are_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with FaultServer("from", "to") as server:
        for number in range(30):
            # Of two parts at the source: no ETag says that both are the same.
            server.put("from", f"docs/{number:02}", f"content {number:02}", etag=f"{number:032x}-2")
            if number < 20:
                server.put("to", f"docs/{number:02}", f"content {number:02}")
        claims = {f"{number:02}": 10 for number in range(25)}  # five of them are not there
        make_ledger(tmp_path / "old.db", server.endpoint, claims, "2100-01-01T00:00:00Z")
        places = [f"s3://{bucket}/docs?endpoint={server.endpoint}" for bucket in ("from", "to")]
        migration = waybill.Migration(*places, tmp_path / "new.db")
        report = migration.import_ledger(tmp_path / "old.db")
        assert (report.items, report.confirmed, report.refuted) == (25, 20, 5)
        server.clear_log()
        done = migration.run()
        assert done.exit_code == 0, done.message
        assert (done.snapshot.items.unchanged, done.snapshot.items.created) == (20, 10)
        asked = {
            entry["key"] for op in ("GetObject", "HeadObject", "CopyObject", "PutObject") for entry in server.log(op)
        }
        assert not asked & {b"docs/%02d" % number for number in range(20)}
        assert len(server.keys("to")) == 30

        # What was changed at the source after that tool's time is not believed to be the same.
        make_ledger(tmp_path / "older.db", server.endpoint, claims, "2020-01-01T00:00:00Z")
        again = waybill.Migration(*places, tmp_path / "newer.db")
        assert again.import_ledger(tmp_path / "older.db").confirmed == 25
        server.put("from", "docs/03", "CONTENT 03")
        assert again.run().exit_code == 0
        assert server.get("to", "docs/03") == b"CONTENT 03"
