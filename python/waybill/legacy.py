# SPDX-License-Identifier: Apache-2.0
"""Ledgers of earlier tools, read: what they are, whether they can be believed, and what is in them.

Two are known: ``s1``, the SQLite database of the two-phase Salesforce file migration, and ``s4``, that of the S3 migration
tool, with the JSON file of the same fields as ``s4-json``. Rows are read in the order of keys, one at a time. The whole
table of columns is in docs/import.md.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import heapq
import itertools
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote_to_bytes, urlsplit

from waybill.errors import FailedPreconditionError, InvalidArgumentError, LockedError
from waybill.options import LedgerFormat

__all__ = ["LegacyItem", "LegacyLedger", "LegacyNote", "Place", "open_legacy"]

_COLUMNS = {
    "s1": {
        "file_migrations": (
            "id doclist_entry_id account_id account_name original_url your_s3_key your_s3_url file_name file_size_bytes "
            "file_hash backup_timestamp last_modified_sf migration_phase salesforce_updated created_date updated_date"
        ).split(),
        "migration_runs": (
            "id run_type start_time end_time total_files_processed successful_files failed_files new_files updated_files "
            "skipped_files status error_message config_snapshot"
        ).split(),
        "migration_errors": "id run_id doclist_entry_id error_type error_message original_url timestamp".split(),
    },
    "s4": {
        "migrations": (
            "id config_source config_destination config_options status progress start_time end_time log_file errors "
            "stats_total_objects stats_transferred_objects stats_total_size stats_transferred_size stats_speed "
            "reconciliation_status reconciliation_differences reconciliation_missing_files reconciliation_extra_files "
            "reconciliation_size_differences created_at updated_at"
        ).split(),
        "migration_logs": "id migration_id timestamp level message created_at".split(),
    },
}

# Of configurations only what these names say is kept: others may hold passwords.
_HARMLESS = set(
    "overwrite preserve exclude include remove retry dryRun dry_run watch checksum md5 newerThan olderThan storageClass "
    "disableMultipart skipErrors limitUpload limitDownload max_file_size_mb allowed_extensions batch_size "
    "test_single_account max_test_files specific_account_id run_type incremental full domain region".split()
)
# What a URL in a message may be signed with.
_SIGNED = re.compile(
    r"((?:[?&]|\b)(?:X-Amz-[A-Za-z-]+|AWSAccessKeyId|Signature|Expires|sig|token|sid)=)[^&\s\"']+", re.IGNORECASE
)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")

_ERROR_CLASSES = {
    "auth": "auth",
    "network": "network",
    "timeout": "timeout",
    "permission": "permission",
    "size": "too_large",
    "too_large": "too_large",
}

# What a state of the S3 tool means here. Nothing says that the first three ever ended.
STATES = {
    "starting": "interrupted",
    "running": "interrupted",
    "reconciling": "interrupted",
    "completed": "completed",
    "verified": "completed",
    "completed_with_differences": "completed_with_differences",
    "failed": "failed",
    "cancelled": "cancelled",
}

_MOST_ROWS_OF_A_KEY = 100
_MOST_ELEMENT_CHARACTERS = 64 << 20
_HASH_PIECE = 1 << 20
_NAIVE_HOURS = 14  # no clock is further ahead of UTC


@dataclass(frozen=True)
class Place:
    """A source or destination, as far as keys are concerned."""

    url: str
    bucket: str  # "" for a folder
    prefix: bytes  # with the '/' at its end, or empty; for a folder its absolute path

    @classmethod
    def of(cls, url: str) -> Place:
        """The place that a URL of waybill names."""
        if url.startswith("s3://"):
            parts = urlsplit(url)
            return cls(url, parts.netloc, _as_prefix(unquote_to_bytes(parts.path.lstrip("/"))))
        path = unquote_to_bytes(url.removeprefix("file://")) if url.startswith("file://") else os.fsencode(url)
        return cls(url, "", _as_prefix(os.path.abspath(path)))

    def key_of_url(self, url: str) -> bytes | None:
        """The key of an item of this place by its address, or None if it lies elsewhere."""
        if self.bucket == "" and not url.startswith("file://"):
            return self._below(os.fsencode(url))
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if self.bucket == "":
            return self._below(unquote_to_bytes(parts.path.encode("utf-8", "surrogateescape")))
        path = unquote_to_bytes(parts.path.encode("utf-8", "surrogateescape").removeprefix(b"/"))
        host = parts.netloc.rpartition("@")[2]
        if parts.scheme == "s3":
            return self._below(path) if host == self.bucket else None
        if parts.scheme not in ("http", "https"):
            return None
        if host.startswith(self.bucket + "."):
            return self._below(path)
        bucket = os.fsencode(self.bucket) + b"/"
        return self._below(path.removeprefix(bucket)) if path.startswith(bucket) else None

    def key_of_object(self, name: str) -> bytes | None:
        """The same of an object's name: in its bucket, or, of a folder, in it or from the root."""
        path = os.fsencode(name)
        return path if self.bucket == "" and not path.startswith(b"/") else self._below(path)

    def is_at(self, text: str) -> bool:
        """Whether ``alias/bucket/prefix``, or a path, is this place."""
        if self.bucket == "":
            return _as_prefix(os.path.abspath(os.fsencode(text))) == self.prefix
        name = text.strip("/").partition("/")[2]
        bucket, _, prefix = name.partition("/")
        return bucket == self.bucket and _as_prefix(os.fsencode(prefix)) == self.prefix

    def _below(self, path: bytes) -> bytes | None:
        return path[len(self.prefix) :] or None if path.startswith(self.prefix) else None


@dataclass(frozen=True)
class LegacyItem:
    """An item as the other ledger has it; the names of `waybill.Migration`'s import."""

    key: bytes
    state: Literal["copied", "failed", "pending"]
    origin: str
    size: int | None = None
    copied_at_ms: int | None = None
    error_class: str = "server"
    error: str = ""
    error_word: str = ""
    failed_at_ms: int = 0
    destination_key: bytes = b""  # where the migration has a key template: where it was put


@dataclass(frozen=True)
class LegacyNote:
    """A run, a log line or something else that is no item."""

    text: str
    origin: str
    level: Literal["info", "warning", "error"] = "info"
    is_log: bool = False


class LegacyLedger:
    """A ledger of another tool that was found whole. Closed as a context manager."""

    format: str
    outside = 0  # rows about other places
    elsewhere = 0  # copied, but to another key than the item's own, and that cannot be kept
    keeps_keys = False  # the migration has a key template: what was put at another key stays there

    def __init__(self, path: Path, source: Place, destination: Place, sha256: str) -> None:
        self.path = path
        self.source = source
        self.destination = destination
        self.sha256 = sha256
        self._stamp = _stamp_of(path)

    def __enter__(self) -> LegacyLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""

    def items(self) -> Iterator[LegacyItem]:
        """Items in ascending order of keys, each key once."""
        raise NotImplementedError

    def notes(self) -> Iterator[LegacyNote]:
        """Everything else, in the same order each time."""
        raise NotImplementedError

    def check_unchanged(self) -> None:
        """Raise LockedError if somebody has written the file since it was opened."""
        if _stamp_of(self.path) != self._stamp:
            raise LockedError(
                f"{self.path} was written while it was read; stop the tool that writes it, and import it again",
                code="failed_precondition",
                error_class="locked",
            )


def open_legacy(path: Path, wanted: LedgerFormat, source: str, destination: str) -> LegacyLedger:
    """Open the ledger of another tool, and check that it is whole and of a known shape.

    Raises
    ------
    InvalidArgumentError
        It is none, of another shape (the table or column is named), or about other places.
    FailedPreconditionError
        It is truncated or damaged.
    LockedError
        It is being written.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except IsADirectoryError:
        raise _wrong(f"{path} is a folder, not a ledger") from None
    places = (Place.of(source), Place.of(destination))
    if head.startswith(b"SQLite format 3\0"):
        if wanted == "s4-json":
            raise _wrong(f"{path} is an SQLite database, not JSON; its format is s1 or s4")
        return _open_database(path, head, wanted, places)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"[", b"{")) and wanted in ("auto", "s4-json"):
        return _JsonLedger(path, *places, _sha256(path))
    known = "an SQLite database nor a JSON array" if wanted == "auto" else f"what its format {wanted} says"
    raise _wrong(f"{path} is not a ledger of a known tool: it is neither {known}")


def _open_database(path: Path, head: bytes, wanted: LedgerFormat, places: tuple[Place, Place]) -> LegacyLedger:
    _refuse_if_written(path)
    _refuse_if_truncated(path, head)
    sha256 = _sha256(path)  # before SQLite has it: closing a second handle would drop its locks
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
        found = _format_of(path, wanted, tables)
        _check_columns(path, database, found)
        return (_S1Ledger if found == "s1" else _S4Ledger)(path, *places, sha256, database)
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" in str(error) or "busy" in str(error):
            raise _being_written(path) from None
        raise _damaged(path, str(error)) from None
    except sqlite3.DatabaseError as error:
        database.close()
        raise _damaged(path, str(error)) from None
    except BaseException:
        database.close()
        raise


def _format_of(path: Path, wanted: LedgerFormat, tables: set[str]) -> str:
    for name in ("s1", "s4"):
        first = next(iter(_COLUMNS[name]))
        if wanted == name or (wanted == "auto" and first in tables):
            missing = [table for table in _COLUMNS[name] if table not in tables]
            if missing:
                raise _wrong(f"{path} has no table {missing[0]}: it is not a ledger of format {name}")
            return name
    raise _wrong(
        f"{path} has neither a table file_migrations (s1) nor migrations (s4): it is not a ledger of a known tool"
    )


def _check_columns(path: Path, database: sqlite3.Connection, name: str) -> None:
    for table, columns in _COLUMNS[name].items():
        there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for column in columns:
            if column not in there:
                raise _wrong(f"{path}: the table {table} has no column {column}: it is not a ledger of format {name}")


def _refuse_if_written(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    journal = path.with_name(path.name + "-journal")
    if wal.exists():
        raise _being_written(path)
    with contextlib.suppress(FileNotFoundError), journal.open("rb") as file:
        if any(file.read(8)):  # otherwise it is a journal that was kept, and is over
            raise _being_written(path)


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


class _Database(LegacyLedger):
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
            raise _damaged(self.path, str(error)) from None

    def _count(self, sql: str) -> int:
        return int(next(self._rows(sql))["n"])


class _S1Ledger(_Database):
    format = "s1"

    def items(self) -> Iterator[LegacyItem]:
        self.outside = self._count("SELECT count(*) AS n FROM file_migrations WHERE item_key(original_url) IS NULL")
        if self.outside and self.outside == self._count("SELECT count(*) AS n FROM file_migrations"):
            first = next(self._rows("SELECT original_url FROM file_migrations LIMIT 1"))["original_url"]
            raise _wrong(
                f"{self.path} has no file below {self.source.url}; the first one is {_plain_url(first)}; look at --from"
            )
        files = self._rows(
            "SELECT item_key(original_url) AS item_key, * FROM file_migrations WHERE item_key(original_url) IS NOT NULL "
            "ORDER BY 1, backup_timestamp, id"
        )
        errors = self._rows(
            "SELECT item_key(original_url) AS item_key, * FROM migration_errors WHERE item_key(original_url) IS NOT NULL "
            "ORDER BY 1, timestamp, id"
        )
        merged = heapq.merge(_grouped(files), _grouped(errors), key=lambda group: group[0])
        for key, groups in itertools.groupby(merged, key=lambda group: group[0]):
            # Of one key, files come first; the last one says how it is.
            _, rows, total = next(groups)
            if "your_s3_key" in rows[-1]:
                yield self._file(key, rows, total)
            else:
                yield self._failed(key, rows[-1])

    def _file(self, key: bytes, rows: list[dict[str, Any]], total: int) -> LegacyItem:
        last = rows[-1]
        target = self.destination.key_of_object(last["your_s3_key"]) if isinstance(last["your_s3_key"], str) else None
        is_elsewhere = target is None if self.keeps_keys else target != key
        self.elsewhere += is_elsewhere
        return LegacyItem(
            key=key,
            state="pending" if is_elsewhere else "copied",
            origin=_to_json({"records": total, "file_migrations": [_plain_row(row) for row in rows]}),
            size=_size_of(last["file_size_bytes"]),
            copied_at_ms=_earliest_ms(last["backup_timestamp"]),
            destination_key=target if self.keeps_keys and target is not None else b"",
        )

    def _failed(self, key: bytes, row: dict[str, Any]) -> LegacyItem:
        word = str(row["error_type"])
        return LegacyItem(
            key=key,
            state="failed",
            origin=_to_json({"migration_errors": [_plain_row(row)]}),
            error_class=_ERROR_CLASSES.get(word, "server"),
            error=_plain(str(row["error_message"])),
            error_word=word,
            failed_at_ms=_earliest_ms(row["timestamp"]) or 0,
        )

    def notes(self) -> Iterator[LegacyNote]:
        for row in self._rows("SELECT * FROM migration_runs ORDER BY id"):
            said = str(row["status"])
            state = "interrupted" if said == "running" else said
            text = f"run {row['id']} of {self.path.name} ({row['run_type']}, {row['start_time']}): {state}"
            yield LegacyNote(text=_plain(text), origin=_to_json({"migration_runs": _plain_row(row)}))
        for row in self._rows("SELECT * FROM migration_errors ORDER BY id"):
            text = f"{row['error_type']}: {row['error_message']} ({row['doclist_entry_id']}, {row['timestamp']})"
            origin = _to_json({"migration_errors": _plain_row(row)})
            yield LegacyNote(text=_plain(text), origin=origin, level="error", is_log=True)


class _Migrations:
    """What both forms of the S3 tool's ledger have in common: migrations as dictionaries with the names of its table."""

    path: Path
    source: Place
    destination: Place
    outside: int

    def _all(self) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    def _ours(self) -> Iterator[dict[str, Any]]:
        self.outside = 0
        pairs: list[str] = []
        is_found = False
        for row in self._all():
            if self.source.is_at(str(row["config_source"])) and self.destination.is_at(str(row["config_destination"])):
                is_found = True
                yield row
                continue
            self.outside += 1
            if len(pairs) < 5:
                pairs.append(f"{row['config_source']} -> {row['config_destination']}")
        if not is_found:
            has = "; it has " + ", ".join(pairs) if pairs else ""
            raise _wrong(f"{self.path} has no migration from {self.source.url} to {self.destination.url}{has}")

    def items(self) -> Iterator[LegacyItem]:
        """What the last reconciliation found missing or different; that tool kept no list of what it had copied."""
        last: dict[str, Any] | None = None
        for row in self._ours():
            if row["reconciliation_status"] and (last is None or str(row["start_time"]) >= str(last["start_time"])):
                last = row
        if last is None:
            return
        found: dict[bytes, LegacyItem] = {}
        for name in ("reconciliation_missing_files", "reconciliation_size_differences"):
            for entry in _list_of(last[name]):
                path = entry.get("path") if isinstance(entry, dict) else entry
                if not isinstance(path, str):
                    continue
                key = self.source.key_of_object(path) or os.fsencode(path)
                size = _size_of(entry.get("sourceSize")) if isinstance(entry, dict) else None
                origin = _to_json({"migration": _text(last["id"]), name: _plain_value(entry)})
                found.setdefault(key, LegacyItem(key=key, state="pending", origin=origin, size=size))
        for key in sorted(found):
            yield found[key]

    def notes(self) -> Iterator[LegacyNote]:
        """Each migration, its errors and what was extra, each line of its log."""
        for row in self._ours():
            said = str(row["status"])
            text = f"migration {row['id']} ({row['start_time']}): {STATES.get(said, 'failed')}"
            lists = ("reconciliation_missing_files", "reconciliation_extra_files", "reconciliation_size_differences")
            fields = _plain_row({name: value for name, value in row.items() if name not in (*lists, "errors", "logs")})
            fields |= {name: len(_list_of(row[name])) for name in (*lists, "errors")}
            yield LegacyNote(text=_plain(text), origin=_to_json({"migrations": fields}))
            for error in _list_of(row["errors"]):
                message = error if isinstance(error, str) else _to_json(_plain_value(error))
                yield LegacyNote(
                    text=_plain(message), origin=_to_json({"migration": _text(row["id"])}), level="error", is_log=True
                )
            for entry in _list_of(row["reconciliation_extra_files"]):
                name = entry.get("path") if isinstance(entry, dict) else entry
                origin = _to_json({"migration": _text(row["id"]), "reconciliation_extra_files": _plain_value(entry)})
                yield LegacyNote(text=_plain(f"extra at the destination: {name}"), origin=origin)
            yield from self._logs(row)

    def _logs(self, row: dict[str, Any]) -> Iterable[LegacyNote]:
        return ()


class _S4Ledger(_Migrations, _Database):
    format = "s4"

    def _all(self) -> Iterator[dict[str, Any]]:
        yield from self._rows("SELECT * FROM migrations ORDER BY start_time, id")

    def _logs(self, row: dict[str, Any]) -> Iterator[LegacyNote]:
        for line in self._rows("SELECT * FROM migration_logs WHERE migration_id = ? ORDER BY id", row["id"]):
            level = {"error": "error", "warn": "warning", "warning": "warning"}.get(str(line["level"]).lower(), "info")
            origin = _to_json({"migration_logs": _plain_row(line)})
            yield LegacyNote(_plain(f"{line['timestamp']} {line['message']}"), origin, level, True)  # type: ignore[arg-type]


_JSON_NAMES = {
    "status": "status",
    "progress": "progress",
    "start_time": "startTime",
    "end_time": "endTime",
    "log_file": "logFile",
    "errors": "errors",
    "scheduled_time": "scheduledTime",
    "execution_status": "executionStatus",
}
_JSON_STATS = ("totalObjects", "transferredObjects", "totalSize", "transferredSize", "speed")
_JSON_LISTS = ("differences", "missingFiles", "extraFiles", "sizeDifferences")


class _JsonLedger(_Migrations, LegacyLedger):
    format = "s4-json"

    def _all(self) -> Iterator[dict[str, Any]]:
        for number, element in enumerate(_elements(self.path), 1):
            yield self._row(number, element)

    def _row(self, number: int, element: Any) -> dict[str, Any]:
        config = element.get("config") if isinstance(element, dict) else None
        needed = {"id": element, "source": config, "destination": config, "status": element, "startTime": element}
        for name, holder in needed.items():
            if not isinstance(holder, dict) or name not in holder:
                where = f"config.{name}" if holder is config else name
                raise _wrong(f"{self.path}: element {number} has no {where}: it is not a ledger of format s4-json")
        assert isinstance(config, dict)
        stats = element.get("stats") or {}
        found = element.get("reconciliation") or {}
        return {
            "id": element["id"],
            "config_source": config["source"],
            "config_destination": config["destination"],
            "config_options": config.get("options") or {},
            **{ours: element.get(theirs) for ours, theirs in _JSON_NAMES.items()},
            **{f"stats_{_snake(name)}": stats.get(name) for name in _JSON_STATS},
            "reconciliation_status": found.get("status"),
            **{f"reconciliation_{_snake(name)}": found.get(name) or [] for name in _JSON_LISTS},
        }


def _elements(path: Path) -> Iterator[Any]:
    """The elements of an array in a file, one at a time."""
    decoder = json.JSONDecoder()
    utf8 = codecs.getincrementaldecoder("utf-8-sig")("replace")
    text, at, is_over, is_first = "", 0, False, True
    with path.open("rb") as file:
        while True:
            at = _skip_space(text, at)
            if at == 0 and text and is_first and text[0] != "[":
                raise _wrong(f"{path} is not a JSON array of migrations: it is not a ledger of format s4-json")
            begin = _skip_space(text, at + 1) if text[at : at + 1] == ("[" if is_first else ",") else None
            if text[at : at + 1] == "]" or (is_first and begin is not None and text[begin : begin + 1] == "]"):
                return
            try:
                element, end = decoder.raw_decode(text, begin if begin is not None else len(text))
                if end < len(text) or is_over:
                    yield element
                    at, is_first = end, False
                    continue
            except json.JSONDecodeError as error:
                is_garbage = begin is None and at < len(text)
                if is_over or is_garbage or len(text) - at > _MOST_ELEMENT_CHARACTERS:
                    raise _damaged(path, f"truncated or no JSON, {error.msg}") from None
            piece = file.read(max(_HASH_PIECE, len(text) - at))
            is_over = not piece
            text, at = text[at:] + utf8.decode(piece, final=is_over), 0


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _grouped(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[bytes, list[dict[str, Any]], int]]:
    """Rows of one key together: the last hundred, and how many there are."""
    for key, group in itertools.groupby(rows, key=lambda row: row.pop("item_key")):
        kept: list[dict[str, Any]] = []
        total = 0
        for row in group:
            total += 1
            kept = [*kept[-(_MOST_ROWS_OF_A_KEY - 1) :], row]
        yield key, kept, total


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASH_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _stamp_of(path: Path) -> tuple[int, int, int, bool]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, path.with_name(path.name + "-wal").exists()


def _as_prefix(path: bytes) -> bytes:
    path = path.strip(b"/") if not path.startswith(b"/") else path.rstrip(b"/")
    return path + b"/" if path else b""


def _snake(name: str) -> str:
    return re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name)


def _size_of(value: object) -> int | None:
    is_size = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
    return value if is_size else None  # type: ignore[return-value]


def _earliest_ms(text: object) -> int | None:
    """The earliest instant that a time can be: one without a zone is of a clock that nobody knows."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    naive_hours = _NAIVE_HOURS if moment.tzinfo is None else 0
    try:
        ms = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000) - naive_hours * 3_600_000
    except (OverflowError, ValueError):
        return None
    return ms if ms > 0 else None


def _list_of(value: object) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    """Text as JSON can hold it."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _plain(text: str) -> str:
    """A message without what a URL in it may be signed with."""
    return _USERINFO.sub("", _SIGNED.sub(r"\1…", _text(text)))


def _plain_url(url: object) -> str:
    text = _USERINFO.sub("", _text(url))
    return text.partition("?")[0]


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(name): _plain_value(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain_value(entry) for entry in value]
    return _plain(value) if isinstance(value, str) else value


def _plain_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_field(name, value) for name, value in row.items()}


def _plain_field(name: str, value: Any) -> Any:
    if name in ("config_snapshot", "config_options"):
        return _harmless(value)
    if name.endswith("_url") and isinstance(value, str):
        return _plain_url(value)
    return f"{len(value)} bytes" if isinstance(value, bytes) else _plain_value(value)


def _harmless(value: Any) -> Any:
    """A configuration, of which names that are not known to be harmless are kept without their values."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return "…"
    if isinstance(value, dict):
        return {
            _text(name): _plain_value(entry)
            if name in _HARMLESS
            else (_harmless(entry) if isinstance(entry, dict) else "…")
            for name, entry in value.items()
        }
    return "…"


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _wrong(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")


def _damaged(path: Path, why: str) -> FailedPreconditionError:
    message = f"{path} is damaged ({why}); take a whole copy of it"
    return FailedPreconditionError(message, code="failed_precondition", error_class="configuration")


def _being_written(path: Path) -> LockedError:
    return LockedError(
        f"{path} is being written, or was left so; stop the tool that writes it, or import a copy made by: "
        f'sqlite3 {path} ".backup copy.db"',
        code="failed_precondition",
        error_class="locked",
    )
