# SPDX-License-Identifier: Apache-2.0
"""Commands that keep the file of a ledger in order: db check, backup, vacuum, prune, recover."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

import waybill
from waybill.cli.exit_codes import FAILED
from waybill.cli.help import App
from waybill.cli.output import Output
from waybill.cli.values import DEFAULT_TRACKER, JsonFlag, TrackerPath, capped, parse_time
from waybill.text import count, json_line, safe, size

__all__ = ["add_commands"]

Result = TypeVar("Result")


def _capped_keep(number: int | None) -> int | None:
    # The engine counts backups in 32 bits.
    return number if number is None else min(number, (1 << 31) - 1)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = App(
        help="Keep the file of a ledger in order.\n\nwaybill db check --tracker photos.db\n\nwaybill db backup --keep 10",
        no_args_is_help=True,
    )
    group.command("check")(_check)
    group.command("backup")(_backup)
    group.command("vacuum")(_vacuum)
    group.command("prune")(_prune)
    group.command("recover")(_recover)
    app.add_typer(group, name="db")


def _check(tracker: TrackerPath = DEFAULT_TRACKER, json: JsonFlag = False) -> None:
    """Check that a ledger is whole.

    That its accounts say what its rows do belongs to it.

    waybill db check --tracker photos.db
    """
    found = _patiently(lambda: waybill.check_ledger(tracker))
    output = Output()
    if json:
        output.line(json_line(dataclasses.asdict(found)))
    else:
        for problem in found.problems:
            output.line(safe(problem))
        rest = f"{count(found.items)} items, {count(found.events)} events, {size(found.file_bytes)}"
        output.line(f"{safe(tracker)} is {'damaged' if found.problems else 'sound'}: {rest}")
        if found.problems:
            output.line(f"next: waybill db recover NEW.db --tracker {safe(tracker)}, or restore a backup")
    if found.problems:
        raise typer.Exit(FAILED)


def _backup(
    tracker: TrackerPath = DEFAULT_TRACKER,
    folder: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Where to; the ledger's own folder by default.")
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", metavar="N", min=1, callback=_capped_keep, help="Remove older backups until so many are left."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Copy a ledger as it is now, also beside a live run.

    The copy is checked, and is itself a ledger.

    waybill db backup --tracker photos.db --to /backups --keep 10
    """
    if folder is not None and not folder.is_dir():
        raise typer.BadParameter(f"{str(folder)!r} is no folder; name one that is there", param_hint="--to")
    made = _patiently(lambda: waybill.backup_ledger(tracker, folder, keep=keep))
    output = Output()
    if json:
        output.line(json_line(dataclasses.asdict(made)))
        return
    output.line(f"backed up to {safe(made.path)}, {size(made.file_bytes)}")
    for path in made.removed:
        output.line(f"removed {safe(path)}")


def _vacuum(tracker: TrackerPath = DEFAULT_TRACKER, json: JsonFlag = False) -> None:
    """Write a ledger's file anew, without the room of removed rows.

    Refused while a run is live.

    waybill db vacuum --tracker photos.db
    """
    result = _patiently(lambda: waybill.vacuum_ledger(tracker))
    if json:
        Output().line(json_line(dataclasses.asdict(result)))
    else:
        Output().line(f"{size(result.bytes_before)} before, {size(result.bytes_after)} now")


def _prune(
    tracker: TrackerPath = DEFAULT_TRACKER,
    before: Annotated[
        str | None, typer.Option("--before", metavar="TIME", help="Events from before a date, or an age such as 90d.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", min=0, callback=capped, help="All but the last so many events.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Remove old events.

    Audit events, runs, items and findings always stay. Refused while a run is live.

    waybill db prune --tracker photos.db --before 90d
    """
    if before is None and last is None:
        raise typer.BadParameter("say which events go: --before or --last")
    since_ms = parse_time(before, "--before") if before is not None else None
    number = _patiently(lambda: waybill.prune_events(tracker, since_ms=since_ms, last=last))
    if json:
        Output().line(json_line({"removed": number}))
    else:
        Output().line(f"{count(number)} {'event' if number == 1 else 'events'} removed")


def _recover(
    into: Annotated[str, typer.Argument(metavar="NEW", help="The new ledger; nothing may be there.")],
    tracker: TrackerPath = DEFAULT_TRACKER,
    json: JsonFlag = False,
) -> None:
    """Make a new ledger of what is readable of a damaged one.

    It says what is lost.

    waybill db recover new.db --tracker photos.db
    """
    recovery = _patiently(lambda: waybill.recover_ledger(tracker, into))
    output = Output()
    if json:
        output.line(json_line(dataclasses.asdict(recovery)))
        return
    expected = f" of {count(recovery.items_expected)}" if recovery.items_expected is not None else ""
    output.line(f"{count(recovery.items)}{expected} items are in {safe(into)}")
    for table in recovery.tables:
        if not table.is_whole:
            output.line(f"  {table.name}: {count(table.rows)} rows read, others are lost")
    for note in recovery.notes:
        output.line(f"  {safe(note)}")
    output.line(f"next: waybill run --tracker {safe(into)}")


def _patiently(call: Callable[[], Result]) -> Result:
    """The result of a call that may take minutes, on a thread of its own, so that Ctrl-C is seen meanwhile."""
    result: list[Result] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.append(call())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failure:
        raise failure[0]
    return result[0]
