# SPDX-License-Identifier: Apache-2.0
"""Commands that take a cutover back, and that look at references and their journal: rollback, references."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path
from typing import Annotated, get_args

import typer

from waybill import JournalRecord, ReferenceId, ReferenceRecord, RollbackPlan, Tracker
from waybill.cli.moving import LogPath, TakeOver
from waybill.cli.output import Output
from waybill.cli.switching import (
    AcceptWindow,
    CatalogUrl,
    OnlyPartitions,
    OnlyRecords,
    follow_switch,
    open_switching,
    remembered,
)
from waybill.cli.values import (
    DEFAULT_TRACKER,
    HOW,
    ITEMS,
    JsonFlag,
    ProgressMode,
    TrackerPath,
    capped,
    command_line,
    utf8,
    words_option,
    wrong,
)
from waybill.options import Options
from waybill.record_ids import whole_id
from waybill.records import ReferenceState
from waybill.text import count, json_line, key_fields, moment, reference_name, safe, shown_value

__all__ = ["add_commands"]

_SHOWN = 5


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("rollback")(_rollback)
    app.command("references")(_references)


def _rollback(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    catalog: CatalogUrl = None,
    partition: OnlyPartitions = None,
    run: Annotated[
        int | None,
        typer.Option(
            "--run",
            metavar="N",
            min=1,
            callback=capped,
            help="Only what this cutover run switched.",
            rich_help_panel=ITEMS,
        ),
    ] = None,
    record: OnlyRecords = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records", metavar="FILE", help="Only the records of this file, one a line.", rich_help_panel=ITEMS
        ),
    ] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Take it back.", rich_help_panel=HOW)] = False,
    accept_window: AcceptWindow = False,
    take_over: TakeOver = False,
    log_file: LogPath = None,
    json: JsonFlag = False,
    progress: ProgressMode = "auto",
) -> None:
    """Set references back to what they held before a cutover.

    Without --execute it only plans. Each is set back only where it still holds what we wrote; what somebody has changed
    since stays, and is listed as a conflict. What was switched and taken back stays in the journal.

    waybill rollback --tracker photos.db

    waybill rollback --tracker photos.db --partition "Acme" --execute
    """
    wanted = (record or []) + (_records_of(records) if records is not None else [])
    known = remembered(tracker)
    wanted = [whole_id(one, catalog or known.catalog) for one in wanted]
    migration = open_switching(tracker, known, catalog=catalog, options=Options(take_over=take_over))
    if execute:
        follow_switch(
            lambda: migration.start_rollback(
                partitions=partition or (),
                run=run or 0,
                records=wanted,
                accept_window=accept_window or known.accept_window,
            ),
            tracker,
            log_file=log_file,
            json=json,
            progress=progress,
        )
    plan = migration.plan_rollback(partitions=partition or (), run=run or 0, records=wanted)
    output = Output()
    if json:
        output.line(plan.to_json())
        return
    _show_plan(plan, output)


def _records_of(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise wrong(f"the file of --records {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise wrong(f"the file of --records {path} is not UTF-8") from None
    found = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if not found:
        raise typer.BadParameter(f"{str(path)!r} names no record", param_hint="--records")
    return found


def _show_plan(plan: RollbackPlan, output: Output) -> None:
    output.line(f"to restore  {count(plan.references):>11}  of {count(plan.accounts.total)} references")
    if plan.accounts.restored:
        output.line(f"restored    {count(plan.accounts.restored):>11}  already")
    arrow = Output.drawn("→", "->")
    for example in plan.examples[:_SHOWN]:
        where = f"{safe(example.partition)}: " if example.partition else ""
        output.line(f"  {where}{safe(example.record)}  {safe(example.value)}")
        output.line(f"    {arrow} {safe(example.intended)}")
    if plan.references > _SHOWN:
        output.line(
            f"  {Output.drawn('…', '...')} and {count(plan.references - _SHOWN)} more (the first thousand: --json)"
        )
    output.line("nothing was changed; what somebody has edited since stays as it is")
    if plan.references:
        output.line("next: the same command with --execute")
    output.flush()


def _references(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    states: Annotated[
        list[str] | None,
        words_option(
            "--state",
            "STATE",
            get_args(ReferenceState),
            f"Only these: {', '.join(get_args(ReferenceState))} (may be repeated).",
        ),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option("--partition", callback=utf8, metavar="NAME", help="Only records of this partition."),
    ] = None,
    run: Annotated[
        int | None, typer.Option("--run", metavar="N", min=1, callback=capped, help="Only what this run settled last.")
    ] = None,
    record: Annotated[
        str | None,
        typer.Option("--record", callback=utf8, metavar="ID", help="Of this record, every switch there ever was."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, callback=capped, help="At most so many lines.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List references: what records hold, and how far they are switched.

    State, record, value and why, or with --json an object a line.

    waybill references --tracker photos.db --state conflict

    waybill references --tracker photos.db --record 4711
    """
    output = Output()
    if record is not None:
        _show_record(tracker, record, json, output)
        return
    known: tuple[ReferenceState, ...] = get_args(ReferenceState)
    wanted = [word for word in known if word in (states or ())]
    with Tracker(tracker) as ledger:
        for row in islice(ledger.references(wanted, partition=partition, run=run), limit):
            if not output.line(json_line(_fields(row)) if json else _text(row)):
                return


def _show_record(tracker: str, record: str, json: bool, output: Output) -> None:
    with Tracker(tracker) as ledger:
        found = _find(ledger, record)
        if not found:
            every = command_line("references", tracker)
            raise wrong(f"the ledger {tracker} knows no record {safe(record)!r}; all that it knows: {every}")
        for row in found:
            if not output.line(json_line({"type": "reference"} | _fields(row)) if json else _text(row)):
                return
            for switch in ledger.journal(row.id):
                shown = {name: shown_value(getattr(switch, name)) for name in ("old", "intended", "observed")}
                fields = {"type": "switch"} | dataclasses.asdict(switch) | shown
                if not output.line(json_line(fields) if json else _switch_text(switch)):
                    return


def _find(ledger: Tracker, record: str) -> list[ReferenceRecord]:
    """The references of a record. All of one catalog have one field as a rule, so that they need not be read through."""
    first = next(iter(ledger.references()), None)
    if first is None:
        return []
    record = whole_id(record, first.catalog)
    found = ledger.lookup_references([ReferenceId(first.catalog, record, first.field)])[0]
    return [found] if found is not None else [row for row in ledger.references() if row.record == record]


def _fields(row: ReferenceRecord) -> dict[str, object]:
    fields = dataclasses.asdict(row)
    item = key_fields(fields.pop("item_key"))
    fields |= {name: shown_value(fields[name]) for name in ("value", "intended")}
    return fields | {f"item_{name}": text for name, text in item.items()}


def _text(row: ReferenceRecord) -> str:
    reason = f"  ({safe(row.reason)})" if row.reason else ""
    return f"{row.state:<9}  {reference_name(row)}  {_value_text(row.value)}{reason}"


def _value_text(value: str | None) -> str:
    shown = shown_value(value)
    return "(null)" if shown is None else safe(shown)


def _switch_text(switch: JournalRecord) -> str:
    arrow = Output.drawn("→", "->")
    old, new = (_value_text(value) for value in (switch.old, switch.intended))
    line = f"  {switch.generation}. run {switch.run}, {moment(switch.at_ms)}, {switch.state}: {old} {arrow} {new}"
    if switch.observed not in (switch.intended, None):
        line += f" (then seen: {_value_text(switch.observed)})"
    return line
