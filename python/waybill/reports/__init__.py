# SPDX-License-Identifier: Apache-2.0
"""Reports of a ledger for people and programs, and audit exports that show any change made to them afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, get_args

from waybill.reports.audit import AuditCheck, check_audit, export_audit
from waybill.reports.document import json_document
from waybill.reports.files import check_is_free, write_new
from waybill.reports.markdown import markdown
from waybill.reports.page import html_page
from waybill.reports.rows import csv_lines, json_lines
from waybill.reports.summary import Summary, find_run, summarize
from waybill.tracker import Tracker

__all__ = ["FORMATS", "AuditCheck", "Format", "check_audit", "check_is_free", "export_audit", "report", "write_new"]

Format = Literal["json", "jsonl", "csv", "html", "md"]
FORMATS: tuple[Format, ...] = get_args(Format)

_DOCUMENTS: dict[str, Callable[[Tracker, Summary], Iterator[str]]] = {
    "json": json_document,
    "html": lambda ledger, summary: html_page(summary),
    "md": lambda ledger, summary: markdown(summary),
}


def report(ledger: Tracker, format: Format, run: int | None = None) -> Iterator[str]:
    """Give a report in parts, in memory that does not grow with the number of items.

    Parameters
    ----------
    ledger : Tracker
        Also beside a live run; the report then says so.
    format : {"json", "jsonl", "csv", "html", "md"}
        A summary as one JSON document, a page or Markdown; or a line for each item and each finding.
    run : int, optional
        What the report is about; the newest copy run by default, or the newest of all where nothing was copied. Findings
        are of the newest verify run, or of `run` if it is one.

    Raises
    ------
    FailedPreconditionError, NotFoundError
        Nothing has been run yet; there is no such run.
    """
    if format in _DOCUMENTS:
        return _DOCUMENTS[format](ledger, summarize(ledger, run))
    about = find_run(ledger, run).record
    return (csv_lines if format == "csv" else json_lines)(ledger, about.run if about.phase == "verify" else None)
