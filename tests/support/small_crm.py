# SPDX-License-Identifier: Apache-2.0
"""A small system of record: a folder of files, and a SQLite table whose URLs point at them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

ACCOUNTS = {"001": "Acme Corp.", "002": "Beta & Söhne", "003": "Gamma"}


class SmallCrm:
    """Three accounts, or those that are given, with `each` documents of each, in `folder`.

    `old` holds the files, `new` is where they are to go, `database` has the table ``documents``.
    """

    def __init__(self, folder: Path, each: int = 4, accounts: dict[str, str] = ACCOUNTS) -> None:
        self.folder = folder
        self.accounts = accounts
        self.old, self.new, self.database = folder / "old", folder / "new", folder / "crm.db"
        self.catalog = (
            f"sqlite://{quote(str(self.database))}?table=documents&id=id&url=url&partition=account&partition_name=name"
        )
        self.template = f"file://{quote(str(self.new))}/{{destination_key}}"
        with self._open() as database:
            database.execute(
                "CREATE TABLE documents(id TEXT PRIMARY KEY, account TEXT, name TEXT, title TEXT, url TEXT)"
            )
        for account in accounts:
            for number in range(each):
                self.add(account, number)

    def add(self, account: str, number: int) -> str:
        """A file, and a record that points at it; the record's id."""
        path = self.old / account / f"document {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{account} {number}")
        record = f"{account}-{number}"
        with self._open() as database:
            database.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
                (record, account, self.accounts[account], path.name, f"file://{quote(str(path))}"),
            )
        return record

    def edit(self, record: str, url: str | None) -> None:
        """What a user does."""
        with self._open() as database:
            database.execute("UPDATE documents SET url = ? WHERE id = ?", (url, record))

    def urls(self) -> dict[str, str | None]:
        """What the records hold."""
        with self._open() as database:
            return dict(database.execute("SELECT id, url FROM documents ORDER BY id"))

    def switched(self) -> set[str]:
        """The records that point at the new place."""
        return {
            record for record, url in self.urls().items() if url and url.startswith(f"file://{quote(str(self.new))}/")
        }

    def _open(self) -> _Closing:
        return _Closing(self.database)


class _Closing:
    """A connection that commits, and is closed at the end."""

    def __init__(self, path: Path) -> None:
        self._closing = closing(sqlite3.connect(path))

    def __enter__(self) -> sqlite3.Connection:
        self._connection = self._closing.__enter__()
        self._connection.__enter__()
        return self._connection

    def __exit__(self, *why: object) -> None:
        self._connection.__exit__(*why)  # type: ignore[arg-type]
        self._closing.__exit__(*why)
