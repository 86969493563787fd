# SPDX-License-Identifier: Apache-2.0
"""The command that takes over the ledger of an earlier tool: import."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from waybill import ImportReport, Options
from waybill.cli.moving import Contents, KeyTemplate, open_migration, stores_of
from waybill.cli.output import Output
from waybill.cli.switching import CatalogUrl, is_whole, remembered
from waybill.cli.values import DEFAULT_TRACKER, JsonFlag, TrackerPath, command_line, utf8
from waybill.connectors import is_of_catalog, without_contents
from waybill.options import LedgerFormat
from waybill.text import count, json_line

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("import")(_import)


def _import(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The other ledger. It is read, never written.")],
    source: Annotated[str | None, typer.Option("--from", metavar="URL", help="Source of that migration.")] = None,
    destination: Annotated[str | None, typer.Option("--to", metavar="URL", help="Its destination.")] = None,
    tracker: TrackerPath = DEFAULT_TRACKER,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", callback=utf8, help="A name of the migration, for people.")
    ] = None,
    key_template: KeyTemplate = None,
    catalog: CatalogUrl = None,
    contents: Contents = None,
    format: Annotated[
        LedgerFormat,
        typer.Option(
            "--format",
            metavar="auto|s1|s4|s4-json",
            help="s1: of the two-phase Salesforce migration; s4, s4-json: of the S3 migration tool.",
        ),
    ] = "auto",
    json: JsonFlag = False,
) -> None:
    """Take over the ledger of an earlier tool.

    The command run then carries on with what that tool has half done.

    waybill import old.db --from s3://old --to s3://new --tracker new.db

    What that ledger says to be copied is believed as far as the destination shows it. The same file again changes
    nothing. References that it has switched are taken over with --catalog, as far as that shows them; the command
    rollback then takes them back. Without --from, what the references of the catalog point at is the source.
    """
    source, destination = stores_of({"from": source, "to": destination, "catalog": catalog, "contents": contents})
    if catalog is None:
        catalog = _catalog_of(source, destination, tracker)
    migration = open_migration(source, destination, tracker, name, Options(), key_template, catalog)
    report = migration.import_ledger(file, format)
    output = Output()
    if json:
        output.line(json_line(dataclasses.asdict(report)))
    else:
        _show(report, tracker, output)
    output.flush()


def _catalog_of(source: str | None, destination: str | None, tracker: str) -> str | None:
    """The catalog whose references are the source, or the one that the ledger remembers whole."""
    if source is not None:
        return without_contents(source)[0] if is_of_catalog(source) else None
    kept = remembered(tracker).catalog if destination is None else ""
    return kept if is_whole(kept) else None


def _show(report: ImportReport, tracker: str, output: Output) -> None:
    if report.is_repeated:
        output.line("this very file has been imported before; nothing was written")
        return
    rows = [
        ("items", report.items, f"of a ledger of format {report.format}"),
        ("confirmed", report.confirmed, "copied, as the destination shows"),
        ("refuted", report.refuted, "said to be copied; the destination does not show it"),
        ("failed", report.failed, ""),
        (
            "pending",
            report.pending,
            f"{count(report.elsewhere)} of them copied to another key" if report.elsewhere else "",
        ),
        ("known", report.known, "a run has met them already"),
        ("unchanged", report.unchanged, "as an earlier import had them"),
        ("left out", report.outside, "about other places"),
        (
            "switched",
            report.references,
            "references"
            + (f", {count(report.references_found)} of them unknown to that ledger" if report.references_found else ""),
        ),
        ("  shown", report.references_confirmed, "by the catalog: the command rollback takes them back"),
        ("  not shown", report.references_refuted, "by the catalog: see the command references"),
        ("  known", report.references_known, "this ledger knows of their switch already"),
        ("  unclear", report.references_incomplete, "without an id, an old or a new value: see the command logs"),
        ("notes", report.notes, "runs, errors and log lines, kept as events"),
    ]
    for label, number, note in rows:
        if number or label == "items":
            output.line(f"{label:<12}{count(number):>10}  {note}".rstrip())
    if report.references_left:
        number = report.references_left
        were = "reference was" if number == 1 else "references were"
        output.line(f"{count(number)} {were} switched by it: give --catalog to take them over")
    output.line(f"next: {command_line('run', tracker)}")
