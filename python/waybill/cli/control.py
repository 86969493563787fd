# SPDX-License-Identifier: Apache-2.0
"""Commands that ask the owner of a ledger for something: pause, cancel."""

from __future__ import annotations

import typer

from waybill import Tracker
from waybill.cli.output import Output
from waybill.cli.values import DEFAULT_TRACKER, TrackerPath

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("pause")(_pause)
    app.command("cancel")(_cancel)


def _pause(tracker: TrackerPath = DEFAULT_TRACKER) -> None:
    """Ask the run of another process to pause.

    It obeys within one heartbeat; the command resume carries on.

    waybill pause --tracker photos.db
    """
    with Tracker(tracker, read_only=False) as ledger:
        ledger.request_pause()
        Output().line(f"asked to pause; the run is {ledger.snapshot().state} now")


def _cancel(tracker: TrackerPath = DEFAULT_TRACKER) -> None:
    """Ask the run of another process to end.

    It obeys within one heartbeat; what was copied stays.

    waybill cancel --tracker photos.db
    """
    with Tracker(tracker, read_only=False) as ledger:
        ledger.request_cancel()
        Output().line(f"asked to cancel; the run is {ledger.snapshot().state} now")
