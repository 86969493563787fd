# SPDX-License-Identifier: Apache-2.0
"""The ledger of the S3 migration tool: its SQLite database, and the JSON file of the same fields."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from waybill.legacy.database import DatabaseLedger
from waybill.legacy.ledger import (
    HASH_PIECE,
    LegacyItem,
    LegacyLedger,
    LegacyNote,
    damaged_ledger,
    size_of,
    wrong_ledger,
)
from waybill.legacy.place import Place
from waybill.legacy.plain import plain, plain_row, plain_value, text_of, to_json

__all__ = ["STATES", "JsonLedger", "S4Ledger"]

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

_MOST_ELEMENT_CHARACTERS = 64 << 20


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
            raise wrong_ledger(f"{self.path} has no migration from {self.source.url} to {self.destination.url}{has}")

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
            for entry in list_of(last[name]):
                path = entry.get("path") if isinstance(entry, dict) else entry
                if not isinstance(path, str):
                    continue
                key = self.source.key_of_object(path) or os.fsencode(path)
                size = size_of(entry.get("sourceSize")) if isinstance(entry, dict) else None
                origin = to_json({"migration": text_of(last["id"]), name: plain_value(entry)})
                found.setdefault(key, LegacyItem(key=key, state="pending", origin=origin, size=size))
        for key in sorted(found):
            yield found[key]

    def notes(self) -> Iterator[LegacyNote]:
        """Each migration, its errors and what was extra, each line of its log."""
        for row in self._ours():
            said = str(row["status"])
            text = f"migration {row['id']} ({row['start_time']}): {STATES.get(said, 'failed')}"
            lists = ("reconciliation_missing_files", "reconciliation_extra_files", "reconciliation_size_differences")
            fields = plain_row({name: value for name, value in row.items() if name not in (*lists, "errors", "logs")})
            fields |= {name: len(list_of(row[name])) for name in (*lists, "errors")}
            yield LegacyNote(text=plain(text), origin=to_json({"migrations": fields}))
            for error in list_of(row["errors"]):
                message = error if isinstance(error, str) else to_json(plain_value(error))
                yield LegacyNote(
                    text=plain(message), origin=to_json({"migration": text_of(row["id"])}), level="error", is_log=True
                )
            for entry in list_of(row["reconciliation_extra_files"]):
                name = entry.get("path") if isinstance(entry, dict) else entry
                origin = to_json({"migration": text_of(row["id"]), "reconciliation_extra_files": plain_value(entry)})
                yield LegacyNote(text=plain(f"extra at the destination: {name}"), origin=origin)
            yield from self._logs(row)

    def _logs(self, row: dict[str, Any]) -> Iterable[LegacyNote]:
        return ()


class S4Ledger(_Migrations, DatabaseLedger):
    """Its database."""

    format = "s4"
    columns: ClassVar = {
        "migrations": (
            "id config_source config_destination config_options status progress start_time end_time log_file errors "
            "stats_total_objects stats_transferred_objects stats_total_size stats_transferred_size stats_speed "
            "reconciliation_status reconciliation_differences reconciliation_missing_files reconciliation_extra_files "
            "reconciliation_size_differences created_at updated_at"
        ).split(),
        "migration_logs": "id migration_id timestamp level message created_at".split(),
    }

    def _all(self) -> Iterator[dict[str, Any]]:
        yield from self._rows("SELECT * FROM migrations ORDER BY start_time, id")

    def _logs(self, row: dict[str, Any]) -> Iterator[LegacyNote]:
        for line in self._rows("SELECT * FROM migration_logs WHERE migration_id = ? ORDER BY id", row["id"]):
            level = {"error": "error", "warn": "warning", "warning": "warning"}.get(str(line["level"]).lower(), "info")
            origin = to_json({"migration_logs": plain_row(line)})
            yield LegacyNote(plain(f"{line['timestamp']} {line['message']}"), origin, level, True)  # type: ignore[arg-type]


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


class JsonLedger(_Migrations, LegacyLedger):
    """Its JSON file."""

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
                raise wrong_ledger(
                    f"{self.path}: element {number} has no {where}: it is not a ledger of format s4-json"
                )
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
                raise wrong_ledger(f"{path} is not a JSON array of migrations: it is not a ledger of format s4-json")
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
                    raise damaged_ledger(path, f"truncated or no JSON, {error.msg}") from None
            piece = file.read(max(HASH_PIECE, len(text) - at))
            is_over = not piece
            text, at = text[at:] + utf8.decode(piece, final=is_over), 0


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _snake(name: str) -> str:
    return re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name)


def list_of(value: object) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return []
    return value if isinstance(value, list) else []
