# SPDX-License-Identifier: Apache-2.0
"""Commands that read what has happened: history, logs, errors, partitions."""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any, Literal

import typer

from waybill import Event, PartitionSummary, RunSummary, Tracker
from waybill._core import shown_key
from waybill.advice import what_to_do
from waybill.cli.output import Output
from waybill.cli.values import DEFAULT_TRACKER, JsonFlag, TrackerPath, capped, wrong_run
from waybill.reports.summary import observed_history
from waybill.text import (
    LEFT,
    count,
    duration,
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

__all__ = ["add_commands", "run_stats"]

Level = Literal["debug", "info", "warning", "error"]
_LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
_FOLLOW_SECONDS = 0.5


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("history")(_history)
    app.command("logs")(_logs)
    app.command("errors")(_errors)
    app.command("partitions")(_partitions)


def _history(
    tracker: TrackerPath = DEFAULT_TRACKER,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, callback=capped, help="At most so many runs.")
    ] = None,
    stats: Annotated[bool, typer.Option("--stats", help="What all runs come to.")] = False,
    json: JsonFlag = False,
) -> None:
    """List the runs of a ledger, newest first.

    waybill history --tracker photos.db --stats
    """
    output = Output()
    with Tracker(tracker) as ledger:
        runs = observed_history(ledger, limit)
        if stats:
            kept = list(runs)
            moved = sum(
                rate.bytes for run in kept if run.record.phase == "copy" for rate in ledger.rates(run.record.run)
            )
            _show_stats(run_stats(kept, moved), output, json)
            return
        for run in runs:
            if not output.line(json_line(dataclasses.asdict(run)) if json else _run_text(run)):
                return


def _run_text(run: RunSummary) -> str:
    record = run.record
    findings = sum(run.findings.values())
    parts = [
        f"{record.run:>4}  {record.phase:<8}  {record.state:<26}  {moment(record.started_at_ms)}",
        f"{duration(record.active_seconds):>9}",
    ]
    if switches_references(record.phase):
        owed = max(run.references.total, record.references or 0)
        parts.append(switched(record.phase, dataclasses.replace(run.references, total=owed)))
        parts += [left] if (left := other_references(run.references, *LEFT)) else []
    else:
        parts.append(f"{count(run.items.done)} of {count(run.items.eligible)} done")
    if run.items.failed:
        parts.append(f"{count(run.items.failed)} failed")
    if findings:
        parts.append(f"{count(findings)} findings")
    if record.host:
        parts.append(f"{safe(record.host)}:{record.pid}")
    if record.reason:
        parts.append(safe(record.reason))
    return "  ".join(parts)


def run_stats(runs: list[RunSummary], bytes_moved: int) -> dict[str, Any]:
    """What runs come to, of which the copies moved so many bytes.

    State counts sum to the total. Speed is all bytes moved ÷ all active seconds of copies: what was there already took
    no transfer, and a mean of means would weigh a second of one run as much as a day of another. Success is over runs
    that have ended: the share that reached its end, with differences or without.
    """
    copies = [run for run in runs if run.record.phase == "copy"]
    seconds = sum(run.record.active_seconds for run in copies)
    states = Counter(run.record.state for run in runs)
    good = states["completed"] + states["completed_with_differences"]
    ended = good + states["failed"] + states["cancelled"]
    return {
        "runs": len(runs),
        "states": {state: number for state, number in states.items() if number},
        "phases": dict(Counter(run.record.phase for run in runs)),
        "active_seconds": seconds,
        "bytes_moved": bytes_moved,
        "bytes_per_second": bytes_moved / seconds if seconds > 0 else None,
        "attempts_total": sum(run.attempts_total for run in runs),
        "attempts_failed": sum(run.attempts_failed for run in runs),
        "ended": ended,
        "success": good / ended if ended else None,
    }


def _show_stats(stats: dict[str, Any], output: Output, json: bool) -> None:
    if json:
        output.line(json_line(stats))
        return
    states = sorted(stats["states"].items(), key=lambda entry: -entry[1])
    output.line(f"runs       {count(stats['runs'])}: {', '.join(f'{count(n)} {state}' for state, n in states) or '-'}")
    output.line(f"time       {duration(stats['active_seconds'])} at work on copies")
    rate = f", {size(stats['bytes_per_second'])}/s" if stats["bytes_per_second"] is not None else ""
    output.line(f"bytes      {size(stats['bytes_moved'])} moved{rate}")
    output.line(f"attempts   {count(stats['attempts_total'])}, of which {count(stats['attempts_failed'])} failed")
    if stats["success"] is not None:
        output.line(f"success    {percent(stats['success'])} of {count(stats['ended'])} runs that have ended")


def _logs(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    level: Annotated[
        Level, typer.Option("--level", metavar="debug|info|warning|error", help="This level and above.")
    ] = "info",
    run: Annotated[int | None, typer.Option("--run", metavar="N", min=1, help="Only of this run.")] = None,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", min=1, callback=capped, help="Only the last so many.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more until the run ends.")] = False,
    json: JsonFlag = False,
) -> None:
    """Print the events of a ledger, oldest first.

    waybill logs --tracker photos.db --level warning --follow
    """
    levels = _LEVELS[_LEVELS.index(level) :]
    output = Output()
    with Tracker(tracker) as ledger:
        if run is not None and run > ledger.snapshot().run:
            raise wrong_run(run, tracker)
        wanted: Iterator[Event] = (
            event for event in _events(ledger, follow) if event.level in levels and run in (None, event.run)
        )
        if last is not None and not follow:
            wanted = iter(deque(wanted, maxlen=last))
        for event in wanted:
            if not output.line(event.to_json() if json else _event_text(event)):
                return
            if follow:
                output.flush()


def _events(ledger: Tracker, follow: bool) -> Iterator[Event]:
    after = 0
    while True:
        # First, so that the events of a run that ends meanwhile are all read.
        is_live = ledger.snapshot().state in ("running", "cancelling", "paused")
        for event in ledger.events(after):
            after = event.seq
            if event.kind != "progress":
                yield event
        if not follow or not is_live:
            return
        time.sleep(_FOLLOW_SECONDS)


def _event_text(event: Event) -> str:
    return f"{moment(event.at_ms)}  {event.level:<7}  {event.kind:<7}  {safe(event.text)}"


def _errors(
    tracker: TrackerPath = DEFAULT_TRACKER,
    group_by: Annotated[
        Literal["class", "host", "partition"],
        typer.Option("--group-by", metavar="class|host|partition", help="What to count by."),
    ] = "class",
    last: Annotated[
        int | None,
        typer.Option("--last", metavar="N", min=1, help="Instead of counts, the last so many failed attempts."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Count what did not move, with examples and what to do.

    waybill errors --tracker photos.db --group-by class
    """
    output = Output()
    with Tracker(tracker) as ledger:
        if last is not None:
            # As many are held as are shown, of however many there are.
            newest = heapq.nlargest(last, ledger.failures(), key=lambda failure: failure.at_ms)
            for failure in reversed(newest):
                line = (
                    json_line(row_fields(failure))
                    if json
                    else f"{moment(failure.at_ms)}  {failure.error_class:<14}  {shown_key(failure.key)}  "
                    f"{safe(failure.message)}"
                )
                if not output.line(line):
                    return
            return
        groups: dict[str, dict[str, Any]] = {}
        for failure in ledger.failures():
            if failure.waived_at_ms is not None:
                continue
            name = {
                "class": failure.error_class,
                "partition": failure.partition,
                "host": failure.endpoint,
            }[group_by]
            group = groups.setdefault(
                name,
                {group_by: name, "items": 0, "attempts": 0, "retryable": 0, "example": "", "message": "", "advice": ""},
            )
            if group["items"] == 0:
                group["example"], group["message"] = shown_key(failure.key), failure.message
                group["advice"] = what_to_do(failure.error_class)
            group["items"] += 1
            group["attempts"] += failure.attempts
            group["retryable"] += failure.retryable
    for group in sorted(groups.values(), key=lambda group: -group["items"]):
        if json:
            output.line(json_line(group))
            continue
        output.line(f"{count(group['items']):>9}  {safe(group[group_by]) or '-':<16}  e.g. {safe(group['example'])}")
        output.line(f"           {safe(group['message'])}")
        if group["advice"]:
            output.line(f"           {group['advice']}")


def _partitions(
    tracker: TrackerPath = DEFAULT_TRACKER,
    sort: Annotated[
        Literal["name", "items", "bytes", "failed", "outstanding"],
        typer.Option("--sort", metavar="name|items|bytes|failed|outstanding", help="In this order."),
    ] = "name",
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, callback=capped, help="Only the first so many.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List partitions with their accounts.

    They are those of the migration, whatever the run.

    waybill partitions --tracker photos.db --sort failed --top 20
    """
    order: dict[str, Any] = {
        "items": lambda one: -one.migration_items.eligible,
        "bytes": lambda one: -one.bytes_total,
        "failed": lambda one: -one.migration_items.failed,
        "outstanding": lambda one: -one.migration_items.outstanding,
    }
    output = Output()
    with Tracker(tracker) as ledger:
        rows: Iterable[PartitionSummary] = ledger.partitions()
        if sort != "name":
            rows = sorted(rows, key=order[sort])
        for row in islice(rows, top):
            if not output.line(json_line(dataclasses.asdict(row)) if json else _partition_text(row)):
                return


def _partition_text(row: PartitionSummary) -> str:
    items = row.migration_items
    return (
        f"{count(items.done):>11} of {count(items.eligible):>11}  {size(row.bytes_done):>10}  "
        f"{count(items.failed):>9} failed  {safe(row.name) or '-'}"
    )
