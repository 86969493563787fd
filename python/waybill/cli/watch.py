# SPDX-License-Identifier: Apache-2.0
"""The command watch: the run of another process, live, until it ends."""

from __future__ import annotations

import time

import typer

from waybill import Snapshot, Tracker
from waybill.cli.exit_codes import BY_STATE
from waybill.cli.follow import Interrupts
from waybill.cli.inspection import status_lines
from waybill.cli.output import Output
from waybill.cli.values import DEFAULT_TRACKER, JsonFlag, ProgressMode, TrackerPath, command_line, wrong
from waybill.live import Mode, View, make_view
from waybill.records import RunState

__all__ = ["add_commands", "follow_run"]

_POLL_SECONDS = 0.25
_GOING_ON = ("created", "running", "cancelling")


def add_commands(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("watch")(_watch)


def _watch(tracker: TrackerPath = DEFAULT_TRACKER, json: JsonFlag = False, progress: ProgressMode = "auto") -> None:
    """Watch the run of another process until it ends.

    It ends with the exit code of that run.

    Progress on stderr and the accounts at the end, or with --json a snapshot a line, as status prints it, whenever
    something has changed.

    waybill watch --tracker photos.db
    """
    output = Output()
    mode: Mode = "none" if json and progress == "auto" else progress
    with Tracker(tracker) as ledger, Interrupts() as interrupts, make_view(mode) as view:
        interrupts.view = view
        last, state = follow_run(ledger, tracker, view, output if json else None)
    if not json and state == last.state:
        for line in status_lines(last):
            output.line(line)
    elif not json:
        output.line(f"run {last.run}, {last.phase} {state}; another run has begun since")
    output.flush()
    raise typer.Exit(BY_STATE[state])


def follow_run(ledger: Tracker, tracker: str, view: View, output: Output | None) -> tuple[Snapshot, RunState]:
    """The last snapshot of the run, and the state that it ended in (or is in, once nobody reads `output`)."""
    snapshot = ledger.snapshot()
    if snapshot.run == 0:
        raise wrong(f"nothing has been run yet in {tracker}; begin with: {command_line('run', tracker)}")
    shown = None
    while True:
        view.update(snapshot)
        now = (snapshot.seq, snapshot.state, snapshot.reason, snapshot.live.reason)
        if output is not None and now != shown:
            shown = now
            if not (output.line(snapshot.to_json()) and output.flush()):
                return snapshot, snapshot.state
        if snapshot.state not in _GOING_ON:
            return snapshot, snapshot.state
        time.sleep(_POLL_SECONDS)
        newer = ledger.snapshot()
        if newer.run != snapshot.run:
            # It ended between two looks, and the next one has begun.
            return snapshot, next(record.state for record in ledger.runs() if record.run == snapshot.run)
        snapshot = newer
