# SPDX-License-Identifier: Apache-2.0
"""What readiness, cutover, rollback and resume share: the catalog that the ledger remembers, and how a run of references is
followed and reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from waybill import CutoverPlanRecord, Migration, Options, Report, Run, Tracker
from waybill.cli.exit_codes import USAGE
from waybill.cli.follow import LogFile, follow
from waybill.cli.moving import open_migration
from waybill.cli.output import Output, complain
from waybill.cli.values import HOW, ITEMS, STORES, command_line, utf8, wrong
from waybill.connectors import is_of_catalog, without_contents
from waybill.live import Mode
from waybill.text import LEFT, count, duration, other_references, safe, switched

__all__ = [
    "AcceptWindow",
    "CatalogUrl",
    "OnlyPartitions",
    "OnlyRecords",
    "Remembered",
    "follow_switch",
    "is_whole",
    "open_switching",
    "remembered",
]

CatalogUrl = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="URL",
        callback=utf8,
        help="The system of record, by its URL; once told, the ledger knows it.",
        rich_help_panel=STORES,
    ),
]
OnlyPartitions = Annotated[
    list[str] | None,
    typer.Option(
        "--partition",
        callback=utf8,
        metavar="NAME",
        help="Only records of this partition (may be repeated).",
        rich_help_panel=ITEMS,
    ),
]
OnlyRecords = Annotated[
    list[str] | None,
    typer.Option(
        "--record", callback=utf8, metavar="ID", help="Only this record (may be repeated).", rich_help_panel=ITEMS
    ),
]
AcceptWindow = Annotated[
    bool,
    typer.Option(
        "--accept-window",
        help="Of a catalog without exact conditions: accept that an edit between look and write is lost.",
        rich_help_panel=HOW,
    ),
]

_HIDDEN = "***"


@dataclass(frozen=True)
class Remembered:
    """What the newest plan of a ledger was made with; empty before the first."""

    plan: CutoverPlanRecord | None = None
    catalog: str = ""
    url_template: str = ""
    accept_window: bool = False


def remembered(tracker: str) -> Remembered:
    """What `tracker` remembers."""
    with Tracker(tracker) as ledger:
        plan = ledger.cutover_plan()
        info = ledger.migration()
    if plan is None:
        # Where a catalog's references were copied, it is they that are switched.
        source = info.source_url if info is not None else ""
        return Remembered(catalog=without_contents(source)[0] if is_of_catalog(source) else "")
    options: dict[str, Any] = json.loads(plan.options)
    return Remembered(plan, options["catalog"], options["url_template"], options["accept_window"])


def open_switching(
    tracker: str,
    known: Remembered,
    *,
    catalog: str | None,
    source: str | None = None,
    destination: str | None = None,
    options: Options | None = None,
) -> Migration:
    """The migration with its catalog: the one that is named, or that of the newest plan."""
    return open_migration(
        source,
        destination,
        tracker,
        None,
        options or Options(),
        catalog=told_or_kept(catalog, known.catalog, "catalog", "--catalog URL", tracker),
    )


def is_whole(kept: str) -> bool:
    """Whether what the ledger remembers is all of it: it keeps no secrets."""
    return bool(kept) and _HIDDEN not in kept


def told_or_kept(told: str | None, kept: str, what: str, option: str, tracker: str) -> str:
    """What the command says, or else the ledger remembers."""
    if told is not None:
        return told
    if not kept:
        raise wrong(f"the ledger {tracker} knows no {what} yet: name it with {option}")
    if not is_whole(kept):
        raise wrong(f"the ledger {tracker} keeps no secrets, and the {what} has one ({kept}): name it with {option}")
    return kept


def follow_switch(
    start: Callable[[], Run],
    tracker: str,
    *,
    log_file: Path | None,
    json: bool,
    progress: Mode,
    rest: str = "",
) -> None:
    """Follow a cutover or rollback to its end, report it, and exit with its code.

    `rest` is the command that goes on with what a canary has left.
    """
    output = Output()
    log = LogFile(log_file, tracker) if log_file is not None else None
    mode: Mode = "none" if json and progress == "auto" else progress
    report = follow(start, mode, output if json else None, log)
    if not json:
        _show_report(report, tracker, output, rest)
    elif report.exit_code == 1:
        complain(report.message)
    raise typer.Exit(report.exit_code)


def _show_report(report: Report, tracker: str, output: Output, rest: str) -> None:
    snapshot = report.snapshot
    accounts, whole = snapshot.run_references, snapshot.references
    message = safe(report.message)
    end = message if message.startswith(report.state) else f"{report.state}: {message}"
    output.line(f"{snapshot.phase} {end}")
    output.line(f"  this run    {switched(snapshot.phase, accounts)}")
    if left := other_references(accounts, *LEFT, "pending"):
        output.line(f"              {left}")
    states = ("updated", "pending", "intended", "restored", *LEFT, "original", "excluded")
    output.line(f"  references  {count(whole.total)}: {other_references(whole, *states)}")
    rate = (accounts.total - accounts.pending) / snapshot.active_seconds if snapshot.active_seconds > 0 else 0.0
    output.line(f"  time        {duration(snapshot.active_seconds)}, {rate:,.0f} references/s")
    for words in _next_commands(report, rest):
        output.line(f"next: {command_line(words, tracker)}")
    output.flush()


def _next_commands(report: Report, rest: str) -> list[str]:
    if report.exit_code == USAGE:
        return []
    if report.state in ("paused", "interrupted", "failed"):
        return ["resume"]
    accounts = report.snapshot.run_references
    words = [f"references --state {state}" for state in LEFT if getattr(accounts, state)]
    if report.state == "cancelled" or report.snapshot.phase == "rollback":
        return words
    if report.snapshot.references.pending and rest:
        words.append(rest)
    return [*words, f"rollback --run {report.run}"]
