# SPDX-License-Identifier: Apache-2.0
"""The ledger of the two-phase Salesforce file migration, made from the schema that it documents."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

LATER = "2021-06-01T12:00:00"

S1 = """
CREATE TABLE file_migrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, doclist_entry_id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL,
  account_name TEXT NOT NULL, original_url TEXT NOT NULL, your_s3_key TEXT NOT NULL, your_s3_url TEXT NOT NULL,
  file_name TEXT NOT NULL, file_size_bytes INTEGER, file_hash TEXT, backup_timestamp TEXT NOT NULL,
  last_modified_sf TEXT, migration_phase INTEGER NOT NULL DEFAULT 1, salesforce_updated INTEGER NOT NULL DEFAULT 0,
  created_date TEXT NOT NULL, updated_date TEXT NOT NULL);
CREATE TABLE migration_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run_type TEXT NOT NULL, start_time TEXT NOT NULL, end_time TEXT,
  total_files_processed INTEGER DEFAULT 0, successful_files INTEGER DEFAULT 0, failed_files INTEGER DEFAULT 0,
  new_files INTEGER DEFAULT 0, updated_files INTEGER DEFAULT 0, skipped_files INTEGER DEFAULT 0,
  status TEXT DEFAULT 'running', error_message TEXT, config_snapshot TEXT);
CREATE TABLE migration_errors (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER, doclist_entry_id TEXT, error_type TEXT NOT NULL,
  error_message TEXT NOT NULL, original_url TEXT, timestamp TEXT NOT NULL);
"""


def insert(database: sqlite3.Connection, table: str, **values: object) -> None:
    marks = ", ".join("?" * len(values))
    database.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def add_file(database: sqlite3.Connection, path: Path, key: str, **more: object) -> None:
    number = database.execute("SELECT count(*) FROM file_migrations").fetchone()[0]
    values: dict[str, object] = {
        "doclist_entry_id": f"a0B{number:06}",
        "account_id": "0013D00000AbcDef",
        "account_name": "Acme Ünlimited",
        "original_url": path.as_uri(),
        "your_s3_key": key,
        "your_s3_url": f"https://yours.s3.amazonaws.com/{key}",
        "file_name": path.name,
        "file_size_bytes": path.stat().st_size if path.exists() else 7,
        "file_hash": hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None,
        "backup_timestamp": LATER,
        "last_modified_sf": "2020-12-31T00:00:00.000+0000",
        "created_date": LATER,
        "updated_date": LATER,
    }
    insert(database, "file_migrations", **(values | more))
