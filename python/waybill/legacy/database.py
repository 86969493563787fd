# SPDX-License-Identifier: Apache-2.0
"""Ledgers that are SQLite databases: found whole, unwritten and of the right shape before they are read."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from waybill.errors import FailedPreconditionError
from waybill.legacy.ledger import LegacyLedger, being_written, damaged_ledger, sha256_of, wrong_ledger
from waybill.legacy.place import Place
from waybill.options import LedgerFormat

__all__ = ["DatabaseLedger", "open_database"]


class DatabaseLedger(LegacyLedger):
    """One that is open, and locked against writers until it is closed."""

    columns: ClassVar[Mapping[str, Sequence[str]]]  # of each table; the first one tells the format

    def __init__(
        self, path: Path, source: Place, destination: Place, sha256: str, database: sqlite3.Connection
    ) -> None:
        super().__init__(path, source, destination, sha256)
        self._database = database
        database.create_function("item_key", 1, self._key_of, deterministic=True)

    def close(self) -> None:
        self._database.close()

    def _key_of(self, url: object) -> bytes | None:
        return self.source.key_of_url(url) if isinstance(url, str) else None

    def _rows(self, sql: str, *values: object) -> Iterator[dict[str, Any]]:
        try:
            cursor = self._database.execute(sql, values)
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))
        except sqlite3.DatabaseError as error:
            raise damaged_ledger(self.path, str(error)) from None

    def _count(self, sql: str) -> int:
        return int(next(self._rows(sql))["n"])


def open_database(
    path: Path,
    head: bytes,
    wanted: LedgerFormat,
    places: tuple[Place, Place],
    kinds: Sequence[type[DatabaseLedger]],
) -> DatabaseLedger:
    """Open the database `path`, which begins with `head`, as that of `kinds` which it is."""
    _refuse_if_written(path)
    _refuse_if_truncated(path, head)
    sha256 = sha256_of(path)  # before SQLite has it: closing a second handle would drop its locks
    # A database in WAL mode without its -wal is open nowhere, and could be opened by writing beside it alone.
    mode = "immutable=1" if head[18:20] == b"\x02\x02" else "mode=ro"
    database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True, timeout=1, isolation_level=None)
    try:
        database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        database.execute("PRAGMA query_only = ON")
        database.execute("PRAGMA temp_store = FILE")
        database.execute("BEGIN")
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        kind = _kind_of(path, wanted, tables, kinds)
        _check_columns(path, database, kind)
        return kind(path, *places, sha256, database)
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" in str(error) or "busy" in str(error):
            raise being_written(path) from None
        raise damaged_ledger(path, str(error)) from None
    except sqlite3.DatabaseError as error:
        database.close()
        raise damaged_ledger(path, str(error)) from None
    except BaseException:
        database.close()
        raise


def _kind_of(
    path: Path, wanted: LedgerFormat, tables: set[str], kinds: Sequence[type[DatabaseLedger]]
) -> type[DatabaseLedger]:
    for kind in kinds:
        if wanted == kind.format or (wanted == "auto" and next(iter(kind.columns)) in tables):
            missing = [table for table in kind.columns if table not in tables]
            if missing:
                raise wrong_ledger(f"{path} has no table {missing[0]}: it is not a ledger of format {kind.format}")
            return kind
    firsts = " nor ".join(f"{next(iter(kind.columns))} ({kind.format})" for kind in kinds)
    raise wrong_ledger(f"{path} has neither a table {firsts}: it is not a ledger of a known tool")


def _check_columns(path: Path, database: sqlite3.Connection, kind: type[DatabaseLedger]) -> None:
    for table, columns in kind.columns.items():
        there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for column in columns:
            if column not in there:
                raise wrong_ledger(
                    f"{path}: the table {table} has no column {column}: it is not a ledger of format {kind.format}"
                )


def _refuse_if_written(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    journal = path.with_name(path.name + "-journal")
    if wal.exists():
        raise being_written(path)
    with contextlib.suppress(FileNotFoundError), journal.open("rb") as file:
        if any(file.read(8)):  # otherwise it is a journal that was kept, and is over
            raise being_written(path)


def _refuse_if_truncated(path: Path, head: bytes) -> None:
    page_size = int.from_bytes(head[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(head[28:32], "big")
    is_counted = head[24:28] == head[92:96]
    size = path.stat().st_size
    if len(head) < 100 or page_size < 512 or (is_counted and size < pages * page_size):
        raise FailedPreconditionError(
            f"{path} is truncated: it has {size:,} of {pages * page_size:,} bytes; take a whole copy of it",
            code="failed_precondition",
            error_class="configuration",
        )
