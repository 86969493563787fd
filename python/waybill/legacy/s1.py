# SPDX-License-Identifier: Apache-2.0
"""The SQLite database of the two-phase Salesforce file migration."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from waybill.legacy.database import DatabaseLedger
from waybill.legacy.ledger import LegacyItem, LegacyNote, LegacyReference, earliest_ms, size_of, wrong_ledger
from waybill.legacy.plain import plain, plain_row, plain_url, to_json

__all__ = ["S1Ledger"]

_ERROR_CLASSES = {
    "auth": "auth",
    "network": "network",
    "timeout": "timeout",
    "permission": "permission",
    "size": "too_large",
    "too_large": "too_large",
}

_MOST_ROWS_OF_A_KEY = 100

# Records that it says it has switched, but those about other places. An address that is lacking belongs to no place.
_SWITCHED = "CAST(salesforce_updated AS INTEGER) = 1 AND (item_key(original_url) IS NOT NULL OR coalesce(original_url, '') = '')"
# What can be confirmed, and taken back to something.
_COMPLETE = (
    "(typeof(doclist_entry_id) = 'text' AND typeof(original_url) = 'text' AND typeof(your_s3_url) = 'text' "
    "AND doclist_entry_id <> '' AND original_url <> '' AND your_s3_url <> '' AND original_url <> your_s3_url)"
)


class S1Ledger(DatabaseLedger):
    """Its items are what ``original_url`` names; its references the records that it says it has switched."""

    format = "s1"
    columns: ClassVar = {
        "file_migrations": (
            "id doclist_entry_id account_id account_name original_url your_s3_key your_s3_url file_name file_size_bytes "
            "file_hash backup_timestamp last_modified_sf migration_phase salesforce_updated created_date updated_date"
        ).split(),
        "migration_runs": (
            "id run_type start_time end_time total_files_processed successful_files failed_files new_files updated_files "
            "skipped_files status error_message config_snapshot"
        ).split(),
        "migration_errors": "id run_id doclist_entry_id error_type error_message original_url timestamp".split(),
    }

    def items(self) -> Iterator[LegacyItem]:
        self.outside = self._count("SELECT count(*) AS n FROM file_migrations WHERE item_key(original_url) IS NULL")
        if self.outside and self.outside == self._count("SELECT count(*) AS n FROM file_migrations"):
            first = next(self._rows("SELECT original_url FROM file_migrations LIMIT 1"))["original_url"]
            raise wrong_ledger(
                f"{self.path} has no file below {self.source.url}; the first one is {plain_url(first)}; look at --from"
            )
        account = "account_id" if self.has_accounts else "''"
        files = self._rows(
            f"SELECT CAST(coalesce({account}, '') AS BLOB) AS item_account, item_key(original_url) AS item_key, * "
            "FROM file_migrations WHERE item_key(original_url) IS NOT NULL ORDER BY 1, 2, backup_timestamp, id"
        )
        # Of a failure only the record is known. One without a row of its own is met by the run as a new item.
        if self.has_accounts:
            account = "(SELECT account_id FROM file_migrations f WHERE f.doclist_entry_id = e.doclist_entry_id)"
        errors = self._rows(
            f"SELECT CAST({account} AS BLOB) AS item_account, item_key(original_url) AS item_key, * "
            "FROM migration_errors e WHERE item_key(original_url) IS NOT NULL AND item_account IS NOT NULL "
            "ORDER BY 1, 2, timestamp, id"
        )
        merged = heapq.merge(_grouped(files), _grouped(errors), key=lambda group: group[0])
        for (partition, key), groups in itertools.groupby(merged, key=lambda group: group[0]):
            # Of one key, files come first; the last one says how it is.
            _, rows, total = next(groups)
            if "your_s3_key" in rows[-1]:
                yield self._file(partition, key, rows, total)
            else:
                yield self._failed(partition, key, rows[-1])

    def accounts(self) -> Iterator[str]:
        rows = self._rows("SELECT DISTINCT account_id FROM file_migrations WHERE account_id <> ''")
        return (str(row["account_id"]) for row in rows)

    def _file(self, partition: bytes, key: bytes, rows: list[dict[str, Any]], total: int) -> LegacyItem:
        last = rows[-1]
        target = self.destination.key_of_object(last["your_s3_key"]) if isinstance(last["your_s3_key"], str) else None
        is_elsewhere = target is None if self.keeps_keys else target != key
        self.elsewhere += is_elsewhere
        return LegacyItem(
            key=key,
            partition=partition,
            state="pending" if is_elsewhere else "copied",
            origin=to_json({"records": total, "file_migrations": [plain_row(row) for row in rows]}),
            size=size_of(last["file_size_bytes"]),
            copied_at_ms=earliest_ms(last["backup_timestamp"]),
            destination_key=target if self.keeps_keys and target is not None else b"",
        )

    def _failed(self, partition: bytes, key: bytes, row: dict[str, Any]) -> LegacyItem:
        word = str(row["error_type"])
        return LegacyItem(
            key=key,
            partition=partition,
            state="failed",
            origin=to_json({"migration_errors": [plain_row(row)]}),
            error_class=_ERROR_CLASSES.get(word, "server"),
            error=plain(str(row["error_message"])),
            error_word=word,
            failed_at_ms=earliest_ms(row["timestamp"]) or 0,
        )

    def count_references(self) -> None:
        self.switched = self._count(f"SELECT count(*) AS n FROM file_migrations WHERE {_SWITCHED}")
        self.incomplete = self._count(
            f"SELECT count(*) AS n FROM file_migrations WHERE {_SWITCHED} AND NOT {_COMPLETE}"
        )

    def references(self) -> Iterator[LegacyReference]:
        return self._references(_SWITCHED)

    def unsaid_references(self) -> Iterator[LegacyReference]:
        return self._references(
            "coalesce(CAST(salesforce_updated AS INTEGER), 0) <> 1 AND item_key(original_url) IS NOT NULL"
        )

    def _references(self, which: str) -> Iterator[LegacyReference]:
        for row in self._rows(f"SELECT * FROM file_migrations WHERE {which} AND {_COMPLETE} ORDER BY id"):
            yield LegacyReference(
                record=_bytes(row["doclist_entry_id"]),
                partition=_bytes(row["account_id"]),
                partition_name=_bytes(row["account_name"]),
                old_value=_bytes(row["original_url"]),
                new_value=_bytes(row["your_s3_url"]),
                origin=to_json({"file_migrations": [plain_row(row)]}),
            )

    def notes(self) -> Iterator[LegacyNote]:
        for row in self._rows("SELECT * FROM migration_runs ORDER BY id"):
            said = str(row["status"])
            state = "interrupted" if said == "running" else said
            text = f"run {row['id']} of {self.path.name} ({row['run_type']}, {row['start_time']}): {state}"
            yield LegacyNote(text=plain(text), origin=to_json({"migration_runs": plain_row(row)}))
        for row in self._rows("SELECT * FROM migration_errors ORDER BY id"):
            text = f"{row['error_type']}: {row['error_message']} ({row['doclist_entry_id']}, {row['timestamp']})"
            origin = to_json({"migration_errors": plain_row(row)})
            yield LegacyNote(text=plain(text), origin=origin, level="error", is_log=True)
        rows = f"SELECT * FROM file_migrations WHERE {_SWITCHED} AND NOT {_COMPLETE} ORDER BY id"
        for row in self._rows(rows):
            text = f"record {row['doclist_entry_id']} was switched, and cannot be taken back: {_lack_of(row)}"
            origin = to_json({"file_migrations": [plain_row(row)]})
            yield LegacyNote(text=plain(text), origin=origin, level="warning", is_log=True)


def _lack_of(row: dict[str, Any]) -> str:
    for name in ("doclist_entry_id", "original_url", "your_s3_url"):
        if not isinstance(row[name], str) or not row[name]:
            return f"its {name} is no text" if row[name] else f"it has no {name}"
    return "its original_url is its your_s3_url"


def _bytes(value: object) -> bytes:
    """Text as it is in the database; nothing for NULL."""
    return b"" if value is None else str(value).encode("utf-8", "surrogateescape")


def _grouped(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[tuple[bytes, bytes], list[dict[str, Any]], int]]:
    """Rows of one item together: the last hundred, and how many there are."""
    for item, group in itertools.groupby(rows, key=lambda row: (row.pop("item_account"), row.pop("item_key"))):
        kept: list[dict[str, Any]] = []
        total = 0
        for row in group:
            total += 1
            kept = [*kept[-(_MOST_ROWS_OF_A_KEY - 1) :], row]
        yield item, kept, total
