# SPDX-License-Identifier: Apache-2.0
"""The command report: for people, for programs, and for auditors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waybill import Tracker
from waybill.cli.exit_codes import DIFFERENCES
from waybill.cli.output import Output, complain
from waybill.cli.values import DEFAULT_TRACKER, TrackerPath
from waybill.reports import Format, check_audit, check_is_free, export_audit, report, write_new
from waybill.text import count, safe

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("report")(_report)


def _report(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="json|jsonl|csv|html|md",
            show_default="md",
            help="json, html, md: the whole in numbers; jsonl, csv: a line an item.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file to write to, instead of stdout.")
    ] = None,
    run: Annotated[
        int | None, typer.Option("--run", metavar="N", min=1, help="About this run, not the newest.")
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option("--audit", metavar="FOLDER", help="Instead, export every item to a new folder, hash-chained."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FOLDER", help="Instead, check such a folder; needs no ledger.")
    ] = None,
) -> None:
    """Write a report of a migration.

    waybill report --tracker photos.db --format html --out report.html
    """
    if audit is not None and check is not None:
        raise typer.BadParameter("--audit and --check are two different things to do")
    if (audit is not None or check is not None) and (form is not None or out is not None or run is not None):
        raise typer.BadParameter("--format, --out and --run are of reports: --audit and --check know none of them")
    form = form or "md"
    if check is not None:
        _check(check)
    elif audit is not None:
        _export(tracker, audit)
    elif out is not None:
        check_is_free(out)
        with Tracker(tracker) as ledger:
            write_new(out, report(ledger, form, run))
    else:
        output = Output(is_document=True)
        with Tracker(tracker) as ledger:
            for part in report(ledger, form, run):
                if not output.write(part):
                    return


def _export(tracker: str, folder: Path) -> None:
    with Tracker(tracker) as ledger:
        manifest = export_audit(ledger, folder)
    output = Output()
    lines, files = manifest["chain"]["lines"], len(manifest["files"])
    output.line(f"{count(lines)} lines in {count(files)} {'file' if files == 1 else 'files'}: {safe(str(folder))}")
    output.line(f"keep this elsewhere, it stands for all of them: {manifest['chain']['sha256']}")


def _check(folder: Path) -> None:
    checked = check_audit(folder)
    if checked.problem:
        complain(f"{folder}: {checked.problem}")
        raise typer.Exit(DIFFERENCES)
    output = Output()
    output.line(f"all {count(checked.lines)} lines hold: {safe(str(folder))}")
    output.line(f"compare with what was kept: {checked.sha256}")
