# SPDX-License-Identifier: Apache-2.0
"""The command resume: carries on with whatever did not come to its end, a copy, a cutover or a rollback."""

from __future__ import annotations

import json as json_module
from dataclasses import replace
from typing import Any

import typer

from waybill import RunRecord, Tracker
from waybill.cli.moving import LogPath, TakeOver, follow_copy, open_migration, refuse_tracked
from waybill.cli.switching import CatalogUrl, follow_switch, open_switching, remembered
from waybill.cli.values import DEFAULT_TRACKER, JsonFlag, ProgressMode, TraceHttp, TrackerPath, command_line, wrong
from waybill.options import recorded_options

__all__ = ["add_commands"]

RESUMABLE = ("paused", "interrupted", "running", "cancelling")


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("resume")(_resume)


def _resume(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    catalog: CatalogUrl = None,
    take_over: TakeOver = False,
    log_file: LogPath = None,
    trace_http: TraceHttp = None,
    json: JsonFlag = False,
    progress: ProgressMode = "auto",
) -> None:
    """Carry on with a run that was paused.

    It goes on with the options it had.

    waybill resume --tracker photos.db
    """
    last = _run_to_resume(tracker)
    options = replace(recorded_options(last.options), resume_paused=True, take_over=take_over)
    follow: dict[str, Any] = {"log_file": log_file, "json": json, "progress": progress}
    if last.phase == "copy":
        follow_copy(open_migration(None, None, tracker, None, options), tracker, **follow)
        return
    known = remembered(tracker)
    migration = open_switching(tracker, known, catalog=catalog, options=options)
    asked: dict[str, Any] = json_module.loads(last.options)[last.phase]
    if last.phase == "cutover":
        plan = asked["plan"]
        follow_switch(
            lambda: migration.start_cutover(plan, canary=asked["canary"], accept_window=known.accept_window),
            tracker,
            rest=f"cutover --execute --plan {plan}",
            **follow,
        )
    follow_switch(lambda: migration.start_rollback(**asked), tracker, **follow)


def _run_to_resume(tracker: str) -> RunRecord:
    """The run that has not ended, with its options: its filters above all.

    A run that has ended is not begun anew by a word that promises to go on. A live one is refused by its lease.
    """
    with Tracker(tracker) as ledger:
        refuse_tracked(ledger, tracker)
        snapshot = ledger.snapshot()
        last = next(iter(ledger.runs(1)), None)
    if last is not None and snapshot.phase != "verify" and snapshot.state in RESUMABLE:
        return last
    why = f"run {snapshot.run} has ended ({snapshot.state})" if snapshot.run else "nothing has been run yet"
    raise wrong(f"there is nothing to resume in {tracker}: {why}; begin a run with: {command_line('run', tracker)}")
