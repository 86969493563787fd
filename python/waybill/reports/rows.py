# SPDX-License-Identifier: Apache-2.0
"""Reports with a line for each item: JSON Lines and CSV. Each line is of an item or, after those, of a finding."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from waybill._core import shown_key
from waybill.records import Finding, ItemRecord, Outcome
from waybill.reports.summary import outcome_of
from waybill.text import json_line, key_fields, moment_ms, row_fields, safe
from waybill.tracker import Tracker

__all__ = ["csv_lines", "finding_row", "item_row", "json_lines"]

COLUMNS = (
    "record", "partition", "key", "key_base64", "version", "destination", "outcome", "basis", "change", "size", "etag",
    "mtime_ns", "revision", "run", "gone_at_source", "left", "crc64nvme", "sha256", "stored_size", "stored_etag",
    "stored_version", "copied_at", "verified_at", "error_class", "code", "message", "retryable", "http_status",
    "provider_code", "request_id", "endpoint", "attempts", "failed_at", "waived_by", "waived_because", "waived_at",
)  # fmt: skip
# What a spreadsheet takes for a formula, also in its wide forms, and the mark that keeps it from doing so.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")


def destination_of(item: ItemRecord) -> bytes:
    """The key at the destination: what a template made, the item's own, or that of one of its versions."""
    if item.destination_key:
        return item.destination_key
    if not item.version:
        return item.key
    return item.key + b"?versionId=" + quote(item.version.encode("utf-8", "surrogateescape"), safe="").encode()


def item_row(outcome: Outcome) -> dict[str, Any]:
    """Everything that is known of an item, as fields of JSON. Times are RFC 3339 in UTC, None where there was none."""
    item, failure = outcome.item, outcome.failure
    row = row_fields(item) | {
        "record": "item",
        "destination": shown_key(destination_of(item)),
        "outcome": outcome_of(outcome),
        "left": outcome.left,
        "copied_at": _time(item.copied_at_ms),
        "verified_at": _time(item.verified_at_ms),
    }
    del row["error_class"]  # told with the failure, if there is one
    if failure is not None:
        row = row_fields(failure) | row | {"failed_at": _time(failure.at_ms), "waived_at": _time(failure.waived_at_ms)}
        if failure.waived_at_ms is None:
            del row["waived_by"], row["waived_because"], row["waived_at"]
    return {name: row[name] for name in COLUMNS if name in row}


def finding_row(finding: Finding) -> dict[str, Any]:
    """A finding in the same fields: its kind is the outcome, its detail the message."""
    return {
        "record": "finding",
        "partition": finding.partition,
        **key_fields(finding.key),
        "version": finding.version,
        "outcome": finding.kind,
        "run": finding.run,
        "message": finding.detail,
    }


def json_lines(ledger: Tracker, run: int | None = None) -> Iterator[str]:
    """A JSON object a line: items in order of partition, key and version, then the findings of `run`."""
    for row in _rows(ledger, run):
        yield json_line(row) + "\n"


def csv_lines(ledger: Tracker, run: int | None = None) -> Iterator[str]:
    """The same as RFC 4180, with a line of names.

    A text that a spreadsheet would take for a formula has an apostrophe before it, and so has one that begins with an
    apostrophe: without the first one, it is what it was.
    """
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    for row in _rows(ledger, run):
        writer.writerow([_cell(row.get(name)) for name in COLUMNS])
        if line.tell() >= 1 << 16:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _rows(ledger: Tracker, run: int | None) -> Iterator[dict[str, Any]]:
    for outcome in ledger.outcomes():
        yield item_row(outcome)
    for finding in ledger.findings(run):
        yield finding_row(finding)


def _cell(value: Any) -> str | int:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value
    text = safe(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _time(ms: int | None) -> str | None:
    return moment_ms(ms) if ms is not None else None
