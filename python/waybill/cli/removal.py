# SPDX-License-Identifier: Apache-2.0
"""Commands that delete: what only the destination has, and what has safely arrived. Both plan first."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import typer

from waybill import Options, RemovalPlan, RemovalReport
from waybill.cli.moving import open_migration
from waybill.cli.output import Output
from waybill.cli.values import DEFAULT_TRACKER, JsonFlag, TrackerPath, capped, command_line, utf8
from waybill.text import count, json_line, key_fields, safe, size

__all__ = ["add_commands"]

_SHOWN = 20

_WHY_KEPT = {
    "not_copied": "not copied",
    "not_verified": "not verified, or found different",
    "matched_weak": "were there before, and known to be the same by size and time alone",
    "not_read": "their content was not read back since the last copy",
    "finding": "a content verification found them different, or could not tell",
}

Execute = Annotated[
    str | None,
    typer.Option(
        "--execute", callback=utf8, metavar="PLAN", help="Delete what the plan of this hash says; it is printed."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("delete-extra")(_delete_extra)
    app.command("delete-source")(_delete_source)


def _delete_extra(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    execute: Execute = None,
    max_delete: Annotated[
        int,
        typer.Option(
            "--max-delete", metavar="N", min=0, callback=capped, help="Delete nothing if it were more than this."
        ),
    ] = 1000,
    max_delete_share: Annotated[
        float,
        typer.Option(
            "--max-delete-share",
            metavar="SHARE",
            min=0,
            max=1,
            help="Nor if it were more than this share of all objects there.",
        ),
    ] = 0.1,
    json: JsonFlag = False,
) -> None:
    """Delete what only the destination has.

    These are objects that neither the source nor the ledger knows.

    It shows a plan, from what the last verify run found; with --execute and the plan's hash, it deletes. The verify run has
    to be the last thing that was run, and to have come to its end. Each object is looked at once more: what has changed
    since, or has come to the source, is kept. Each deletion is an audit event.

    waybill delete-extra --tracker photos.db

    waybill delete-extra --tracker photos.db --execute HASH
    """
    _delete("extra", tracker, execute, max_items=max_delete, max_share=max_delete_share, json=json)


def _delete_source(*, tracker: TrackerPath = DEFAULT_TRACKER, execute: Execute = None, json: JsonFlag = False) -> None:
    """Delete at the source what has safely arrived.

    These are items whose content was read back at the destination and is the same.

    It shows a plan; with --execute and the plan's hash, it deletes. Since the last copy, verify --level content has to have
    run, whole or in parts. Each item is looked at once more on both sides: what has changed is kept. Each deletion is
    an audit event.

    waybill delete-source --tracker photos.db

    waybill delete-source --tracker photos.db --execute HASH
    """
    _delete("source", tracker, execute, max_items=0, max_share=0.0, json=json)


def _delete(
    kind: Literal["extra", "source"],
    tracker: str,
    execute: str | None,
    *,
    max_items: int,
    max_share: float,
    json: bool,
) -> None:
    migration = open_migration(None, None, tracker, None, Options())
    if execute is None:
        plan = migration.plan_removal(kind, max_items=max_items, max_share=max_share)
        _show_plan(plan, tracker, json)
        return
    report = migration.remove(kind, execute, max_items=max_items, max_share=max_share)
    _show_report(report, tracker, json)
    raise typer.Exit(3 if report.kept else 0)


def _show_plan(plan: RemovalPlan, tracker: str, json: bool) -> None:
    output = Output()
    if json:
        output.line(plan.to_json())
        return
    is_extra = plan.kind == "extra"
    rest = f"of {count(plan.at_destination)} objects at the destination" if is_extra else size(plan.bytes)
    output.line(f"to delete  {count(plan.items):>11}  {rest}")
    for why, number in plan.kept.items():
        output.line(f"to keep    {count(number):>11}  {_WHY_KEPT[why]}")
    for example in plan.examples[:_SHOWN]:
        output.line(f"  {key_fields(example.key)['key']}  {safe(example.detail)}")
    if plan.items > _SHOWN:
        output.line(f"  {Output.drawn('…', '...')} and {count(plan.items - _SHOWN)} more (the first thousand: --json)")
    output.line(f"nothing was deleted; this rests on verify run {plan.verify_run}")
    if plan.refusal:
        output.line(f"it would be refused: {plan.refusal}")
    elif plan.items:
        output.line(f"next: {command_line(f'delete-{plan.kind} --execute {plan.hash}', tracker)}")
    output.flush()


def _show_report(report: RemovalReport, tracker: str, json: bool) -> None:
    output = Output()
    if json:
        output.line(json_line(dataclasses.asdict(report)))
        return
    output.line(f"deleted    {count(report.removed):>11}")
    if report.hidden:
        output.line(
            f"hidden     {count(report.hidden):>11}  behind delete markers: the store keeps versions, and their bytes"
        )
    if report.gone:
        output.line(f"gone       {count(report.gone):>11}  were not there any more")
    if report.kept:
        classes = ", ".join(f"{count(number)} {word}" for word, number in report.kept_by_class.items())
        output.line(
            f"kept       {count(report.kept):>11}  {classes}; each with its reason: {command_line('logs', tracker)}"
        )
    output.flush()
