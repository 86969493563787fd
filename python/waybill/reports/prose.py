# SPDX-License-Identifier: Apache-2.0
"""What a report says in sentences, and the names of what it counts: the same in HTML and Markdown."""

from __future__ import annotations

from waybill.reports.summary import SizeClass, Summary, ratios
from waybill.text import count, duration, moment, percent, safe, size

__all__ = [
    "ACCOUNTS",
    "FINDINGS",
    "PARTS",
    "STATES",
    "about_run",
    "key_numbers",
    "notes",
    "ratio_rows",
    "size_name",
    "verdict",
    "verification",
]

# The parts that eligible items are divided into, and the accounts around them.
PARTS = ("done", "in_progress", "pending", "failed", "vanished", "waived")
ACCOUNTS = {
    "discovered": "listed at the source",
    "excluded": "left out by a rule of the user",
    "eligible": "to be moved: discovered − excluded",
    "done": "copied, or found to be there already; the destination acknowledged it",
    "created": "of those: new, when they were last seen",
    "updated": "of those: replaced an older revision, when they were last seen",
    "unchanged": "of those: there already and the same, when they were last seen",
    "verified": "of those: compared again by verify, without a difference",
    "in_progress": "being moved at this instant",
    "pending": "not tried yet",
    "failed": "tried and given up; see the errors",
    "vanished": "listed, and gone before they were read",
    "waived": "failed or vanished, and somebody said that they are not wanted",
    "outstanding": "not copied: eligible − done",
}
# How a state is taken, and a sign that stands beside its name.
STATES = {
    "completed": ("good", "✓"),
    "completed_with_differences": ("warn", "≠"),
    "failed": ("bad", "✗"),
    "cancelled": ("warn", "■"),
    "interrupted": ("warn", "!"),
    "paused": ("warn", "‖"),
}
# Ends before everything was tried.
_ENDS = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
    "paused": "is paused",
}
FINDINGS = {
    "missing": "copied once, and not at the destination any more",
    "extra": "at the destination, and not in this migration",
    "size": "of another size than it was written with",
    "checksum": "of another content",
    "metadata": "the bytes are right, what goes with them is not",
    "unknown": "could not be compared; counted, and no difference",
    "gone": "copied, and not at the source any more; counted, and no difference",
}


def verdict(summary: Summary) -> str:
    """Where the migration stands, in one or two sentences."""
    items, run = summary.snapshot.migration_items, summary.run.record
    done, do = ("done", "do") if run.phase == "track" else ("copied", "copy")
    where = f"{count(items.done)} of {count(items.eligible)} {_items(items.eligible)} {done}"
    if items.eligible == 0:
        where = f"No item to {do}"
    elif items.done == items.eligible:
        where = f"All {count(items.eligible)} {_items(items.eligible)} {done}"
    left = [(items.failed, "failed"), (items.vanished, "vanished"), (items.waived, "waived")]
    left.append((items.pending + items.in_progress, f"still to be {done}"))
    shown = ", ".join(f"{count(number)} {word}" for number, word in left if number)
    sentences = [where + (f"; {shown}." if shown else ".")]
    if summary.snapshot.state in ("running", "cancelling"):
        sentences.append(
            f"Run {summary.snapshot.run} is still at work: the numbers are of {moment(summary.made_at_ms)}."
        )
    elif run.state in _ENDS:
        why = f": {safe(run.reason)}" if run.reason else ""
        sentences.append(f"Run {run.run} ({run.phase}) {_ENDS[run.state]}{why}.")
    elif not summary.snapshot.listing_complete and run.phase == "copy":
        sentences.append("The source has not been listed to its end: there may be more.")
    return " ".join(sentences)


def verification(summary: Summary) -> str:
    """What verify runs say about it."""
    verify = summary.verify
    is_tracked = summary.run.record.phase == "track"
    if verify is None:
        return "The work of a program: nothing is to be verified." if is_tracked else "Nothing has been verified yet."
    record = verify.record
    found = sum(number for kind, number in verify.findings.items() if kind not in ("unknown", "gone"))
    unknown, gone = verify.findings.get("unknown", 0), verify.findings.get("gone", 0)
    compared = f"{count(verify.items.settled)} of {count(verify.items.eligible)} {_items(verify.items.eligible)}"
    when = moment(record.ended_at_ms if record.ended_at_ms is not None else record.started_at_ms)
    parts = [f"Verify run {record.run} ({when}) compared {compared} and found"]
    parts[0] += f" {count(found)} {'difference' if found == 1 else 'differences'}" if found else " no difference"
    if unknown:
        parts[0] += f"; {count(unknown)} could not be compared"
    if gone:
        parts[0] += f"; {count(gone)} {'is' if gone == 1 else 'are'} not at the source any more"
    parts[0] += "."
    if record.state not in ("completed", "completed_with_differences"):
        parts.append(f"It is {record.state} and did not reach its end.")
    if summary.later_copy is not None:
        parts.append(f"Copy run {summary.later_copy} began after it.")
    return " ".join(parts)


def key_numbers(summary: Summary) -> list[tuple[str, str, str]]:
    """Heading, number, and what it is made of."""
    items, run = summary.snapshot.migration_items, summary.run
    seconds = run.record.active_seconds
    moved = sum(one.bytes for one in summary.series.stretches)
    rows = [
        ("Done", _share(items.done, items.eligible), f"{count(items.done)} of {count(items.eligible)} items"),
        ("Outstanding", count(items.outstanding), "items not copied"),
        ("Bytes", size(summary.bytes_done), f"done, of {size(summary.bytes_total)}"),
        (f"Run {run.record.run}", duration(seconds), "at work, pauses left out"),
    ]
    if seconds > 0 and moved:
        word = "compared" if run.record.phase == "verify" else "moved"
        rows.append(("Speed", f"{size(moved / seconds)}/s", f"{size(moved)} {word} ÷ time at work"))
    if run.attempts_total:
        good = run.attempts_total - run.attempts_failed
        share = _share(good, run.attempts_total)
        rows.append(("Attempts that succeeded", share, f"{count(good)} of {count(run.attempts_total)} in this run"))
    return rows


def about_run(summary: Summary) -> list[tuple[str, str]]:
    """What the report is about, as names and texts."""
    info, record = summary.info, summary.run.record
    rows = [
        ("Migration", f"{info.id} {info.name}".strip()),
        ("Source", info.source_url or info.source),
        ("Destination", info.destination_url or info.destination),
        ("Run", f"{record.run} ({record.phase}), {record.state}" + (f": {record.reason}" if record.reason else "")),
        ("Started", moment(record.started_at_ms)),
        ("Ended", moment(record.ended_at_ms) if record.ended_at_ms is not None else "not yet"),
        ("On", f"{record.host}, process {record.pid}, waybill {record.engine_version}"),
    ]
    return [(name, safe(text)) for name, text in rows]


def ratio_rows(summary: Summary) -> list[tuple[str, str, str, str]]:
    """Name, of the migration, of the run, and what it is."""
    items, of_run = summary.snapshot.migration_items, ratios(summary.run)
    # Nothing to do is all done.
    whole = {
        "progress": percent(items.settled / items.eligible if items.eligible else 1),
        "completeness": percent(items.done / items.eligible if items.eligible else 1),
    }
    what = {
        "progress": "(done + failed + vanished + waived) ÷ eligible; of a run, once the listing is complete",
        "completeness": "done ÷ eligible; of a run, once the listing is complete",
        "success": "attempts that succeeded ÷ attempts",
    }
    rows = []
    for name, ratio in of_run.items():
        rows.append((name, whole.get(name, "—"), percent(ratio) if ratio is not None else "—", what[name]))
    return rows


def notes(summary: Summary) -> list[str]:
    """How the numbers are to be read."""
    lines = [
        "Items are counted once, however often they were tried; attempts are counted apart.",
        "eligible = done + in progress + pending + failed + vanished + waived. All times are UTC.",
        f"The report was made {moment(summary.made_at_ms)} from the ledger at sequence number {summary.snapshot.seq}.",
    ]
    if summary.is_live:
        lines.append(
            "A run was at work meanwhile: tables that are counted item by item can be ahead of the accounts by what "
            "moved while they were counted."
        )
    if summary.tally.unlisted:
        number = summary.tally.unlisted
        lines.append(
            f"{count(number)} {_items(number)} vanished from the source before; they are in no account any more."
        )
    return lines


def size_name(group: SizeClass) -> str:
    """The range of a class of sizes."""
    if group.up_to is None:
        return "unknown"
    return "empty" if group.up_to == 0 else f"up to {size(group.up_to)}"


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "—"


def _items(number: int) -> str:
    return "item" if number == 1 else "items"
