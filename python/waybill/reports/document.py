# SPDX-License-Identifier: Apache-2.0
"""The report as one JSON document, written piece by piece."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from waybill._core import __version__
from waybill.records import RunSummary
from waybill.reports.summary import Summary, accounts, observed_history, ratios
from waybill.text import json_line, moment_ms, row_fields
from waybill.tracker import Tracker

__all__ = ["SCHEMA_VERSION", "json_document"]

SCHEMA_VERSION = 1


def json_document(ledger: Tracker, summary: Summary) -> Iterator[str]:
    """The parts of a JSON object, one field of it a line; lists that can be long have a line for each entry."""
    yield "{"
    for name, value in _head(summary).items():
        yield f"{json_line(name)}:{json_line(value)},\n"
    lists: dict[str, Iterable[dict[str, Any]]] = {
        "throughput": (
            {
                "at": moment_ms(rate.at_ms),
                "seconds": rate.seconds,
                "items": rate.items,
                "bytes": rate.bytes,
                "attempts_failed": rate.attempts_failed,
                "concurrency": rate.concurrency,
            }
            for rate in ledger.rates(summary.run.record.run)
        ),
        "runs": (run_fields(run) for run in observed_history(ledger)),
        "partitions": (
            {
                "name": one.name,
                "items": accounts(one.migration_items),
                "bytes": {"total": one.bytes_total, "done": one.bytes_done},
                "references": dataclasses.asdict(one.references),
            }
            for one in ledger.partitions()
        ),
    }
    for number, (name, entries) in enumerate(lists.items(), 1):
        yield f"{json_line(name)}:["
        for separator, entry in zip(itertools.chain([""], itertools.repeat(",")), entries, strict=False):
            yield f"{separator}\n{json_line(entry)}"
        yield "]" + (",\n" if number < len(lists) else "}\n")


def run_fields(run: RunSummary) -> dict[str, Any]:
    """A run with its accounts, in the words of ``waybill status --json``."""
    record = run.record
    return {
        "id": record.run,
        "phase": record.phase,
        "state": record.state,
        "reason": record.reason,
        "started_at": moment_ms(record.started_at_ms),
        "ended_at": moment_ms(record.ended_at_ms) if record.ended_at_ms is not None else None,
        "active_seconds": record.active_seconds,
        "listing_complete": record.listing_complete,
        "host": record.host,
        "pid": record.pid,
        "engine_version": record.engine_version,
        "options": record.options,
        "items": accounts(run.items),
        "references": dataclasses.asdict(run.references) if record.phase in ("cutover", "rollback") else None,
        "bytes": {"total": run.bytes_total, "done": run.bytes_done},
        "attempts": {"total": run.attempts_total, "failed": run.attempts_failed},
        "ratios": ratios(run),
        "failed_by_class": run.failed_by_class,
        "findings": run.findings,
    }


def _head(summary: Summary) -> dict[str, Any]:
    info, tally = summary.info, summary.tally
    return {
        "schema_version": SCHEMA_VERSION,
        "made_at": moment_ms(summary.made_at_ms),
        "made_by": f"waybill {__version__}",
        "is_live": summary.is_live,
        "seq": summary.snapshot.seq,
        "migration": {
            "id": info.id,
            "name": info.name,
            "source": info.source,
            "destination": info.destination,
            "source_url": info.source_url,
            "destination_url": info.destination_url,
            "fingerprint": info.fingerprint,
            "created_at": moment_ms(info.created_at_ms),
            "items": accounts(summary.snapshot.migration_items),
            "references": dataclasses.asdict(summary.snapshot.references),
            "bytes": {"total": summary.bytes_total, "done": summary.bytes_done},
        },
        "run": run_fields(summary.run),
        "verify": run_fields(summary.verify) if summary.verify is not None else None,
        "outcomes": dict(tally.outcomes),
        "errors": [
            {
                "class": group.error_class,
                "failed": group.failed,
                "vanished": group.vanished,
                "waived": group.waived,
                "attempts": group.attempts,
                "retryable": group.retryable,
                "example": group.example,
                "message": group.message,
                "advice": group.advice,
            }
            for group in tally.errors
        ],
        "failures": [row_fields(one) for one in summary.failures],
        "findings": [row_fields(one) for one in summary.findings],
        "sizes": [dataclasses.asdict(one) for one in tally.sizes],
        "extensions": [dataclasses.asdict(one) for one in tally.extensions],
    }
