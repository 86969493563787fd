# SPDX-License-Identifier: Apache-2.0
"""Commands that read a ledger, also beside a live run: status, items, failed, findings."""

from __future__ import annotations

import contextlib
import os
from itertools import islice
from typing import Annotated, get_args

import typer

from waybill import Failure, Finding, ItemRecord, Snapshot, Tracker
from waybill.advice import what_to_do
from waybill.cli.output import Output
from waybill.cli.values import (
    DEFAULT_TRACKER,
    JsonFlag,
    TrackerPath,
    capped,
    command_line,
    error_class_option,
    words_option,
    wrong,
    wrong_run,
)
from waybill.records import FindingKind, ItemState
from waybill.text import (
    LEFT,
    count,
    duration,
    eta,
    item_name,
    items_due,
    json_line,
    moment,
    other_references,
    percent,
    row_fields,
    safe,
    size,
    switched,
    switches_references,
)

__all__ = ["add_commands", "finding_line", "last_verify_run", "status_lines"]

Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, callback=capped, help="At most so many lines.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("status")(_status)
    app.command("items")(_items)
    app.command("failed")(_failed)
    app.command("findings")(_findings)


def _status(tracker: TrackerPath = DEFAULT_TRACKER, json: JsonFlag = False) -> None:
    """Show the accounts of a migration, live or ended.

    waybill status --tracker photos.db --json
    """
    output = Output()
    with Tracker(tracker) as ledger:
        snapshot = ledger.snapshot()
    if json:
        output.line(snapshot.to_json())
    else:
        for line in status_lines(snapshot):
            output.line(line)
        with contextlib.suppress(OSError):
            output.line(f"ledger       {safe(tracker)}, {size(os.stat(tracker).st_size)}")


def _items(
    tracker: TrackerPath = DEFAULT_TRACKER,
    states: Annotated[
        list[str] | None,
        words_option(
            "--state", "STATE", get_args(ItemState), f"Only these: {', '.join(get_args(ItemState))} (may be repeated)."
        ),
    ] = None,
    limit: Limit = None,
    json: JsonFlag = False,
) -> None:
    """List items.

    State, size and key, or with --json an object a line.

    waybill items --tracker photos.db --state pending --limit 20
    """
    known: tuple[ItemState, ...] = get_args(ItemState)
    wanted = [word for word in known if word in (states or ())]
    output = Output()
    with Tracker(tracker) as ledger:
        rows = ledger.items(wanted)
        for item in islice(rows, limit):
            if not output.line(json_line(row_fields(item)) if json else _item_text(item)):
                return


def _failed(
    tracker: TrackerPath = DEFAULT_TRACKER,
    error_class: Annotated[str | None, error_class_option("Only this class of errors.")] = None,
    limit: Limit = None,
    json: JsonFlag = False,
) -> None:
    """List what did not move, and why.

    Class, attempts, key and message, and at the end what to do about each class; with --json an object a line.

    waybill failed --tracker photos.db --class permission
    """
    output = Output()
    advice: dict[str, str] = {}
    with Tracker(tracker) as ledger:
        for failure in islice(ledger.failures(error_class), limit):
            advice[failure.error_class] = what_to_do(failure.error_class)
            fields = row_fields(failure) | {"advice": advice[failure.error_class]}
            if not output.line(json_line(fields) if json else _failure_text(failure)):
                return
    if not json:
        for word, sentence in advice.items():
            output.line(f"  {word}: {sentence}")


def _findings(
    tracker: TrackerPath = DEFAULT_TRACKER,
    run: Annotated[
        int | None, typer.Option("--run", metavar="N", min=1, help="Of this verify run, not of the last one.")
    ] = None,
    kinds: Annotated[
        list[str] | None,
        words_option(
            "--kind",
            "KIND",
            get_args(FindingKind),
            f"Only this kind: {', '.join(get_args(FindingKind))} (may be repeated).",
        ),
    ] = None,
    limit: Limit = None,
    json: JsonFlag = False,
) -> None:
    """List what a verify run found.

    Kind, key and detail, or with --json an object a line, as verify prints them.

    waybill findings --tracker photos.db --kind missing
    """
    output = Output()
    run = last_verify_run(tracker, run)
    is_any = False
    with Tracker(tracker) as ledger:
        wanted = (finding for finding in ledger.findings(run) if not kinds or finding.kind in kinds)
        for finding in islice(wanted, limit):
            is_any = True
            if not output.line(finding_line(finding, json)):
                return
    if not (is_any or json):
        output.line(f"verify run {run} found {'none of these' if kinds else 'nothing'}")


def last_verify_run(tracker: str, wanted: int | None = None) -> int:
    """The number of the last verify run, or `wanted` if it is one."""
    with Tracker(tracker) as ledger:
        for record in ledger.runs():
            if record.run == wanted and record.phase != "verify":
                raise wrong(f"run {wanted} of {tracker} is a {record.phase} run: findings come from verify runs")
            if record.phase == "verify" and wanted in (None, record.run):
                return record.run
    if wanted is not None:
        raise wrong_run(wanted, tracker)
    raise wrong(f"the ledger {tracker} has no verify run; begin one with: {command_line('verify', tracker)}")


def finding_line(finding: Finding, json: bool) -> str:
    """A finding as a line for people, or as one of JSON."""
    if not json:
        return f"{finding.kind:<8}  {item_name(finding)}  {safe(finding.detail)}"
    return json_line({"type": "finding"} | row_fields(finding))


def status_lines(snapshot: Snapshot) -> list[str]:
    """The accounts of a migration and its run, for people."""
    items = snapshot.items
    name = f" {safe(snapshot.name)}" if snapshot.name else ""
    lines = [
        f"migration    {snapshot.migration}{name}",
        f"source       {safe(snapshot.source)}",
        f"destination  {safe(snapshot.destination)}",
    ]
    if snapshot.run == 0:
        return [*lines, "run          none yet"]
    reason = f" ({safe(snapshot.reason)})" if snapshot.reason else ""
    lines.append(f"run          {snapshot.run}, {snapshot.phase} {snapshot.state}{reason}")
    started = f"started {moment(snapshot.started_at_ms)}, " if snapshot.started_at_ms is not None else ""
    ended = f", ended {moment(snapshot.ended_at_ms)}" if snapshot.ended_at_ms is not None else ""
    lines.append(f"time         {started}{duration(snapshot.active_seconds)} at work{ended}")
    if snapshot.owner is not None:
        lines.append(f"owner        {safe(snapshot.owner.host)}, process {snapshot.owner.pid}")
    if switches_references(snapshot.phase):
        return [*lines, *_switching_lines(snapshot), *_reference_lines(snapshot)]
    total = "".join(items_due(snapshot))
    ratio = f" ({percent(snapshot.progress)})" if snapshot.progress is not None else ""
    lines.append(f"items        {count(items.settled)} of {total} settled{ratio}")
    numbers = [
        (items.created, "created"),
        (items.updated, "updated"),
        (items.unchanged, "unchanged"),
        (items.in_progress, "in progress"),
        (items.pending, "pending"),
        (items.failed, "failed"),
        (items.waived, "waived"),
        (items.vanished, "vanished"),
        (items.excluded, "excluded"),
    ]
    if shown := ", ".join(f"{count(number)} {word}" for number, word in numbers if number):
        lines.append(f"             {shown}")
    lines.append(f"bytes        {size(snapshot.bytes_done)} of {size(snapshot.bytes_total)}")
    lines.append(f"attempts     {count(snapshot.attempts_total)}, of which {count(snapshot.attempts_failed)} failed")
    if snapshot.state == "running":
        live = snapshot.live
        rate = f"{live.items_per_second:,.0f} items/s, {size(live.bytes_per_second)}/s"
        lines.append(f"rate         {', '.join(part for part in (rate, eta(snapshot)) if part)}")
    if snapshot.failed_by_class:
        shown = ", ".join(f"{count(number)} {word}" for word, number in snapshot.failed_by_class.items())
        lines.append(f"failed       {shown}")
    if any(snapshot.findings.values()):
        shown = ", ".join(f"{count(number)} {kind}" for kind, number in snapshot.findings.items() if number)
        lines.append(f"findings     {shown}")
    return [*lines, *_reference_lines(snapshot)]


def _switching_lines(snapshot: Snapshot) -> list[str]:
    """The accounts of a cutover or rollback run."""
    accounts = snapshot.run_references
    ratio = f" ({percent(snapshot.progress)})" if snapshot.progress is not None else ""
    lines = [f"this run     {switched(snapshot.phase, accounts)}{ratio}"]
    if shown := other_references(accounts, *LEFT, "pending"):
        lines.append(f"             {shown}")
    lines.append(f"attempts     {count(snapshot.attempts_total)}, of which {count(snapshot.attempts_failed)} failed")
    if snapshot.state == "running":
        rate = f"{snapshot.live.items_per_second:,.0f} references/s"
        lines.append(f"rate         {', '.join(part for part in (rate, eta(snapshot)) if part)}")
    return lines


def _reference_lines(snapshot: Snapshot) -> list[str]:
    """The references of the migration, where it has any."""
    accounts = snapshot.references
    if accounts.total == 0:
        return []
    states = ("updated", "pending", "intended", "restored", *LEFT, "original", "excluded")
    return [f"references   {count(accounts.total)}", f"             {other_references(accounts, *states)}"]


def _item_text(item: ItemRecord) -> str:
    length = size(item.size) if item.size is not None else "?"
    return f"{item.state:<8}  {length:>10}  {item_name(item)}"


def _failure_text(failure: Failure) -> str:
    waived = f"  (waived by {safe(failure.waived_by)}: {safe(failure.waived_because)})" if failure.waived_at_ms else ""
    return f"{failure.error_class:<14}  {failure.attempts:>3}  {item_name(failure)}  {safe(failure.message)}{waived}"
