# SPDX-License-Identifier: Apache-2.0
"""The report as Markdown, for issues, wikis and mails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from waybill.reports import prose
from waybill.reports.summary import Summary, title_of
from waybill.text import count, duration, item_name, moment, safe, size

__all__ = ["markdown"]

_SHOWN = 20
_MARKS = re.compile(r"[\\`*_\[\]<>|~#&@!$]")


def markdown(summary: Summary) -> Iterator[str]:
    """The lines of the file."""
    yield f"# Migration report: {_text(title_of(summary))}\n\n"
    yield f"{_text(prose.verdict(summary))}\n\n{_text(prose.verification(summary))}\n\n"
    yield from _table(("", ""), [(name, _code(text)) for name, text in prose.about_run(summary)])
    yield from _table(
        ("", "", ""),
        [(name, f"**{number}**", what) for name, number, what in prose.key_numbers(summary)],
    )
    whole, run = summary.snapshot.migration_items, summary.run
    yield "## Accounts\n\n"
    yield from _table(
        ("account", ">migration", f">run {run.record.run}", "what it counts"),
        [
            (
                "new" if name == "created" else name.replace("_", " "),
                count(getattr(whole, name)),
                count(getattr(run.items, name)),
                what,
            )
            for name, what in prose.ACCOUNTS.items()
        ]
        + prose.ratio_rows(summary),
    )
    if summary.tally.errors:
        yield "## What did not move\n\n"
        yield from _table(
            ("class", ">failed", ">vanished", ">waived", "example", "what to do"),
            [
                (
                    group.error_class,
                    count(group.failed),
                    count(group.vanished),
                    count(group.waived),
                    f"{_code(group.example)} {_code(group.message)}",
                    _text(group.advice),
                )
                for group in summary.tally.errors
            ],
        )
    if summary.findings:
        yield "## Findings\n\n"
        yield from _table(
            ("kind", "item", "detail"),
            [(one.kind, _code(item_name(one)), _code(one.detail)) for one in summary.findings[:_SHOWN]],
        )
    if summary.partitions_total > 1:
        yield f"## Partitions: the first of {count(summary.partitions_total)} by outstanding items, then bytes\n\n"
        yield from _table(
            ("partition", ">done", ">eligible", ">failed", ">bytes done", ">bytes"),
            [
                (
                    _code(one.name) or "(without a name)",
                    count(one.migration_items.done),
                    count(one.migration_items.eligible),
                    count(one.migration_items.failed),
                    size(one.bytes_done),
                    size(one.bytes_total),
                )
                for one in summary.partitions[:_SHOWN]
            ],
        )
    yield "## Sizes\n\n"
    yield from _table(
        ("size of an item", ">items", ">bytes", ">not done"),
        [
            (prose.size_name(one), count(one.items), size(one.bytes), count(one.items - one.done))
            for one in summary.tally.sizes
        ],
    )
    yield "## Runs\n\n"
    yield from _table(
        (">run", "phase", "ended as", "started", ">at work", ">done", ">failed"),
        [
            (
                str(one.record.run),
                one.record.phase,
                one.record.state.replace("_", " "),
                moment(one.record.started_at_ms),
                duration(one.record.active_seconds),
                f"{count(one.items.done)} of {count(one.items.eligible)}",
                count(one.items.failed),
            )
            for one in summary.runs[:_SHOWN]
        ],
    )
    yield "## Notes\n\n"
    for note in prose.notes(summary):
        yield f"- {_text(note)}\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head.removeprefix('>') for head in heads)} |\n"
    yield f"|{'|'.join('--:' if head.startswith('>') else '---' for head in heads)}|\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"
    yield "\n"


def _text(text: str) -> str:
    """Text in which no reader finds a mark, a link, a mention or HTML."""
    escaped = _MARKS.sub(lambda match: f"&#{ord(match[0])};", safe(text))
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def _code(text: str) -> str:
    """Text of others in a cell, as it is: between more backticks than stand in it."""
    text = safe(text).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if text else ""
