# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file: nothing is fetched, nothing runs, and all text of others is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence

from waybill._core import __version__
from waybill.records import ItemAccounts, PartitionSummary
from waybill.reports import charts, prose
from waybill.reports.style import STYLE
from waybill.reports.summary import Summary, title_of
from waybill.text import count, duration, item_name, moment, moment_ms, safe, size

__all__ = ["html_page"]

_LONGEST_NAME = 200
_EXTENSIONS_SHOWN = 15
_PARTITIONS_SHOWN = 30
_PART_CLASSES = {
    "done": "done",
    "in_progress": "busy",
    "pending": "pending",
    "failed": "failed",
    "vanished": "vanished",
    "waived": "waived",
}


def html_page(summary: Summary) -> Iterator[str]:
    """The parts of the file."""
    title = _text(title_of(summary))
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>Migration report: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    for section in (_head, _accounts, _throughput, _errors, _findings, _partitions, _sizes, _extensions, _runs, _notes):
        yield section(summary) + "\n"
    yield f"</main>\n<footer>waybill {_text(__version__)}</footer>\n</body>\n</html>\n"


def _head(summary: Summary) -> str:
    state = summary.run.record.state
    kind, sign = prose.STATES.get(state, ("plain", "…"))
    words = state.replace("_", " ")
    facts = "".join(
        f"<dt>{_text(name)}</dt><dd><bdi>{_text(text)}</bdi></dd>" for name, text in prose.about_run(summary)
    )
    cards = "".join(
        f'<div class="card"><h3>{_text(name)}</h3><p class="number">{_text(number)}</p><p>{_text(what)}</p></div>'
        for name, number, what in prose.key_numbers(summary)
    )
    return (
        f'<header><p class="kind">Migration report</p><h1><bdi>{_text(title_of(summary))}</bdi></h1>'
        f'<p class="badge {kind}"><span aria-hidden="true">{sign}</span> run {summary.run.record.run} {words}</p>'
        f'<p class="verdict">{_text(prose.verdict(summary))}</p><p>{_text(prose.verification(summary))}</p></header>\n'
        f'<section class="cards" aria-label="Key numbers">{cards}</section>\n'
        f"<section><h2>About</h2><dl>{facts}</dl></section>"
    )


def _accounts(summary: Summary) -> str:
    whole, run = summary.snapshot.migration_items, summary.run
    rows = [
        (
            _account(name),
            count(getattr(whole, name)),
            count(getattr(run.items, name)),
            f'<span class="muted">{_text(what)}</span>',
        )
        for name, what in prose.ACCOUNTS.items()
    ]
    rows.append(("bytes", size(summary.bytes_total), size(run.bytes_total), _muted("of eligible items")))
    rows.append(("bytes done", size(summary.bytes_done), size(run.bytes_done), _muted("of done items")))
    rows += [
        (name, whole_text, run_text, _muted(what)) for name, whole_text, run_text, what in prose.ratio_rows(summary)
    ]
    caption = (
        "The migration is every item ever seen, as it is now; the run is what it saw or owed "
        "(a run over some items has a smaller frame)."
    )
    return _section(
        "Every item, accounted for",
        _parts_bar(whole, "Eligible items of the migration, by what became of them")
        + _legend(whole)
        + _table(("account", ">migration", f">run {run.record.run}", "what it counts"), rows, caption),
    )


def _throughput(summary: Summary) -> str:
    series = summary.series
    if not any(one.items or one.attempts_failed for one in series.stretches):
        return _section("Throughput over time", '<p class="none">Nothing came to an end in this run.</p>')
    stretches = series.stretches
    verb = "compared" if summary.run.record.phase == "verify" else "moved"

    items, moved = [one.items for one in stretches], [one.bytes for one in stretches]
    failed = [one.attempts_failed for one in stretches]
    figures = [
        ("Items that came to an end, per second", _rate, items, "done", False),
        (f"Bytes {verb}, per second", lambda number: f"{size(number)}/s", moved, "accent", True),
    ]
    if any(failed):
        figures.append(("Attempts that failed, per second", _rate, failed, "failed", False))
    parts = []
    for what, label, amounts, kind, are_bytes in figures:
        chart = charts.over_time(
            series, series.per_second(amounts), label=label, kind=kind, what=what, are_bytes=are_bytes
        )
        parts.append(f"<figure><figcaption>{what}</figcaption>{chart}</figure>")
    longest = max(one.seconds for one in stretches)
    begin, end = moment_ms(stretches[0].at_ms), moment_ms(series.ends_ms[-1])
    caption = (
        f"From {begin} to {end}, UTC. Each bar is the mean of at most {duration(longest)} of work; "
        "where none is, nothing moved or the run was not at work (a pause shorter than a bar is not seen)."
    )
    return _section("Throughput over time", "".join(parts) + f'<p class="caption">{caption}</p>')


def _errors(summary: Summary) -> str:
    groups = summary.tally.errors
    if not groups:
        return _section("What did not move", '<p class="none">Nothing: no item failed, vanished or was waived.</p>')
    largest = max(group.failed + group.vanished + group.waived for group in groups)
    rows = [
        (
            f"<b>{_text(group.error_class)}</b>",
            charts.bar(group.failed + group.vanished, largest, "failed"),
            count(group.failed),
            count(group.vanished),
            count(group.waived),
            f"{_name(group.example)}<br>{_muted(_cut(group.message))}"
            + (f'<br><span class="advice">→ {_text(group.advice)}</span>' if group.advice else ""),
        )
        for group in groups
    ]
    heads = ("class", "=failed or vanished", ">failed", ">vanished", ">waived", "example, and what to do")
    parts = [_table(heads, rows, "All failed and vanished items of the migration, by class of the last error.")]
    if summary.failures:
        items = [
            (
                _text(one.error_class),
                _name(item_name(one)),
                _text(_cut(one.message)),
                count(one.attempts),
                moment(one.at_ms),
            )
            for one in summary.failures
        ]
        outcomes = summary.tally.outcomes
        caption = _of_all(len(items), outcomes["failed"] + outcomes["vanished"], "waybill failed")
        table = _table(("class", "item", "error", ">attempts", ">when"), items, caption)
        parts.append(f"<details open><summary>Items</summary>{table}</details>")
    return _section("What did not move", "".join(parts))


def _findings(summary: Summary) -> str:
    text = f"<p>{_text(prose.verification(summary))}</p>"
    if summary.verify is None or not any(summary.verify.findings.values()):
        return _section("Verification", text)
    found = {kind: number for kind, number in summary.verify.findings.items() if number}
    largest = max(found.values())
    rows = [
        (
            f"<b>{_text(kind)}</b>",
            charts.bar(number, largest, "warn"),
            count(number),
            _muted(prose.FINDINGS.get(kind, "")),
        )
        for kind, number in sorted(found.items(), key=lambda entry: -entry[1])
    ]
    kinds = _table(("kind", "=findings", ">number", "what it means"), rows, "")
    shown = [(_text(one.kind), _name(item_name(one)), _text(_cut(one.detail))) for one in summary.findings]
    command = f"waybill findings --run {summary.verify.record.run}"
    items = _table(("kind", "item", "detail"), shown, _of_all(len(shown), sum(found.values()), command))
    return _section("Verification", f"{text}{kinds}<details open><summary>Findings</summary>{items}</details>")


def _partitions(summary: Summary) -> str:
    shown = summary.partitions[:_PARTITIONS_SHOWN]
    if summary.partitions_total == 0 or (summary.partitions_total == 1 and not shown[0].name):
        return _section("Partitions", '<p class="none">The items of this migration are in no partitions.</p>')
    rows = [_partition(one) for one in shown]
    caption = "Those with the most outstanding items first, then those with the most bytes. " + _of_all(
        len(rows), summary.partitions_total, "waybill partitions"
    )
    heads = ("partition", "=items by outcome", ">done", ">eligible", ">failed", ">bytes done", ">bytes")
    return _section("Partitions", _table(heads, rows, caption) + _legend(None))


def _partition(one: PartitionSummary) -> tuple[str, ...]:
    items = one.migration_items
    return (
        _name(safe(one.name)) if one.name else _muted("without a name"),
        _parts_bar(items, "by outcome"),
        count(items.done),
        count(items.eligible),
        count(items.failed),
        size(one.bytes_done),
        size(one.bytes_total),
    )


def _sizes(summary: Summary) -> str:
    groups = summary.tally.sizes
    if not groups:
        return _section("Sizes", '<p class="none">There are no items.</p>')
    most, most_bytes = max(one.items for one in groups), max(one.bytes for one in groups)
    rows = [
        (
            f'<span class="size">{_text(prose.size_name(one))}</span>',
            charts.bar(one.items, most, "done"),
            count(one.items),
            charts.bar(one.bytes, most_bytes, "accent"),
            size(one.bytes),
            count(one.items - one.done),
        )
        for one in groups
    ]
    heads = ("size of an item", "=items", ">", "=bytes", ">", ">not done")
    caption = "Each row goes from the one above it on. Failed and waived items are among them, vanished ones are not."
    return _section("Sizes", _table(heads, rows, caption))


def _extensions(summary: Summary) -> str:
    groups = summary.tally.extensions
    if not groups:
        return ""
    most = max(one.bytes for one in groups)
    rows = [
        (
            _muted("other extensions")
            if one.name is None
            else f"<code>.{_text(one.name)}</code>"
            if one.name
            else _muted("none"),
            charts.bar(one.bytes, most, "accent"),
            size(one.bytes),
            count(one.items),
            count(one.items - one.done),
        )
        for one in groups[:_EXTENSIONS_SHOWN]
    ]
    caption = "The most bytes first. " + _of_all(len(rows), len(groups), "waybill report --format json")
    return _section("Extensions", _table(("extension", "=bytes", ">", ">items", ">not done"), rows, caption))


def _runs(summary: Summary) -> str:
    rows = [
        (
            count(run.record.run),
            _text(run.record.phase),
            _text(run.record.state.replace("_", " "))
            + (f"<br>{_muted(_cut(run.record.reason))}" if run.record.reason else ""),
            moment(run.record.started_at_ms),
            duration(run.record.active_seconds),
            f"{count(run.items.done)} of {count(run.items.eligible)}",
            count(sum(run.findings.values()) if run.record.phase == "verify" else run.items.failed),
        )
        for run in summary.runs
    ]
    heads = (">run", "phase", "ended as", ">started", ">at work", ">done, of its frame", ">failed, or found")
    return _section("Runs", _table(heads, rows, _of_all(len(rows), summary.runs_total, "waybill history")))


def _notes(summary: Summary) -> str:
    return _section("Notes", "<ul>" + "".join(f"<li>{_text(note)}</li>" for note in prose.notes(summary)) + "</ul>")


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Rows of HTML; a head that begins with ">" is of a column of numbers or times, one with "=" of bars."""
    kinds = [{">": ' class="n"', "=": ' class="b"'}.get(head[:1], "") for head in heads]
    classes = [f"<td{kind}>" for kind in kinds]
    shown = "".join(
        f'<th scope="col"{kind}>{_text(head.lstrip(">="))}</th>' for head, kind in zip(heads, kinds, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"{kind}{cell}</td>" for kind, cell in zip(classes, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    foot = f'<p class="caption">{_text(caption)}</p>' if caption else ""
    return f'<div class="scroll"><table><thead><tr>{shown}</tr></thead><tbody>\n{body}</tbody></table></div>{foot}'


def _parts_bar(items: ItemAccounts, what: str) -> str:
    return charts.stacked([(getattr(items, name), _PART_CLASSES[name]) for name in prose.PARTS], what)


def _legend(items: ItemAccounts | None) -> str:
    """What the colours of the parts mean, with numbers and without those that are none if `items` is given."""
    shown = [name for name in prose.PARTS if items is None or getattr(items, name)]
    words = [
        f"<li>{_swatch(name)}{name.replace('_', ' ')}"
        + (f" {count(getattr(items, name))}" if items is not None else "")
        + "</li>"
        for name in shown
    ]
    return f'<ul class="legend">{"".join(words)}</ul>'


def _swatch(name: str) -> str:
    return f'<i class="swatch {_PART_CLASSES[name]}" aria-hidden="true"></i>' if name in _PART_CLASSES else ""


def _account(name: str) -> str:
    word = "new" if name == "created" else name.replace("_", " ")
    if name in ("created", "updated", "unchanged", "verified"):
        return f'<span class="sub">{word}</span>'
    return f"{_swatch(name)}{word}"


def _of_all(shown: int, whole: int, command: str) -> str:
    return f"All {count(whole)}." if shown >= whole else f"{count(shown)} of {count(whole)}; all of them: {command}"


def _name(text: str) -> str:
    return f"<bdi><code>{_text(_cut(text))}</code></bdi>"


def _muted(text: str) -> str:
    return f'<span class="muted">{_text(text)}</span>'


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}… ({len(text):,} characters)"


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.3g}"


def _text(text: str) -> str:
    return html.escape(safe(text))
