# SPDX-License-Identifier: Apache-2.0
"""A plan on a terminal: what would happen, of what it consists, and what it would take. ``--json`` has all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from waybill import Plan, PlanRow
from waybill.cli.output import Output
from waybill.reports import prose
from waybill.reports.summary import SizeClass, size_bound, size_class
from waybill.text import count, duration, key_fields, safe, size

__all__ = ["show_plan"]

_ROWS_SHOWN = 10
_NAME_WIDTH = 40


def show_plan(plan: Plan) -> None:
    """Print it."""
    output = Output()
    for line in _lines(plan):
        if not output.line(line):
            break
    output.flush()


def _lines(plan: Plan) -> Iterator[str]:
    yield from _accounts(plan)
    yield from _cost(plan)
    yield from _table("partitions, by bytes:", plan.partitions, "(none)")
    yield from _sizes(plan)
    yield from _table("extensions, by items:", plan.extensions, "(none)")
    yield from _table("hosts, by items:", plan.hosts, "(none)")
    if plan.unreachable:
        yield "hosts that did not answer:"
    for host in plan.unreachable:
        yield f"  {count(host.items):>10}  {host.error_class:<10}  {safe(host.host)}  {safe(host.reason)}"
    if plan.collision_examples:
        yield "what gets a suffix:"
    for one in plan.collision_examples:
        there = key_fields(one.destination_key)["key"] if one.destination_key else "(none helps: it would fail)"
        yield f"  {safe(key_fields(one.key)['key'])}  {safe(there)}"
    if plan.examples:
        yield "what would not move:"
    for example in plan.examples:
        yield f"  {example.error_class:<14}  {safe(key_fields(example.key)['key'])}  {safe(example.reason)}"


def _accounts(plan: Plan) -> Iterator[str]:
    of_these = "without those of unknown size" if plan.unknown_sizes else ""
    unmatched = plan.unmatched_objects or 0
    refused = ", ".join(f"{count(n)} {word}" for word, n in plan.refused_by_class.items())
    suffixed = f"{count(plan.collisions)} destination keys are of more than one item"
    rows = [
        ("listed", plan.items, f"{size(plan.bytes)} {of_these}"),
        ("  no size", plan.unknown_sizes, "the listing does not tell it"),
        ("to move", plan.to_create + plan.to_update, size(plan.bytes_to_move)),
        ("  new", plan.to_create, ""),
        ("  replaced", plan.to_update, ""),
        ("to compare", plan.to_compare, "something may be there; the transfer looks closer"),
        ("to look at", plan.to_look_at, "copied before; the source is asked for changes"),
        ("unchanged", plan.unchanged, "there already and the same"),
        ("excluded", plan.excluded, ""),
        ("  too large", plan.oversize, f"{size(plan.oversize_bytes)}, over --max-size"),
        ("refused", plan.refused, refused),
        ("occupied", plan.occupied, "the destination holds something else"),
        ("unmatched", unmatched, "objects there that no listed item maps to"),
        ("in parts", plan.objects_in_parts, "large objects"),
        ("suffixed", plan.items_in_collisions, suffixed),
    ]
    for label, number, note in rows:
        if number or label in ("listed", "to move"):
            yield f"{label:<12}{count(number):>14}  {note}".rstrip()


def _cost(plan: Plan) -> Iterator[str]:
    sample = plan.sample
    if sample.asked:
        failed = ", ".join(f"{count(n)} {word}" for word, n in sorted(sample.failed_by_class.items()))
        yield _fact(
            "sampled", f"{count(sample.answered)} of {count(sample.asked)} items of unknown size answered", failed
        )
    if plan.estimated_bytes is not None:
        yield _fact("estimate", f"about {size(plan.estimated_bytes)} in the items of unknown size, by the sample")
    requests = plan.requests
    kinds = {
        "listing": requests.listing,
        "looks at the source": requests.source_looks,
        "reads": requests.reads,
        "looks at the destination": requests.destination_looks,
        "writes": requests.writes,
        "copies inside": requests.copies,
        "uploads": requests.uploads,
        "parts": requests.parts,
    }
    said = [f"{count(number)} {kind}" for kind, number in kinds.items() if number]
    if said:
        yield _fact("requests", "at least" if requests.is_lower_bound else "")
        for words in said:
            yield f"{'':<14}{words}"
    time = plan.time
    if time is not None:
        pace = f"run {time.run} moved {count(time.moved_items)} items, {size(time.moved_bytes)}"
        yield _fact("time", f"about {duration(time.seconds)}: {pace} in {duration(time.active_seconds)}")
    elif plan.to_create + plan.to_update + plan.to_compare:
        yield _fact("time", "not known before a first trial: waybill run --limit N")


def _fact(label: str, *words: str) -> str:
    return f"{label:<14}{'; '.join(filter(None, words))}".rstrip()


def _table(title: str, rows: Sequence[PlanRow], nameless: str) -> Iterator[str]:
    if not rows:
        return
    yield title
    for row in rows[:_ROWS_SHOWN]:
        yield _row(row, nameless)
    rest = rows[_ROWS_SHOWN:]
    if rest:
        groups = sum(row.groups for row in rest)
        numbers = [sum(getattr(row, name) for row in rest) for name in ("items", "bytes", "unknown_sizes")]
        items, known_bytes, unknown = numbers
        yield _row(PlanRow(name="", title="", groups=groups, items=items, bytes=known_bytes, unknown_sizes=unknown), "")


def _row(row: PlanRow, nameless: str) -> str:
    name = safe(" ".join(filter(None, (row.name, row.title)))) or nameless
    if row.groups > 1:
        name = f"({count(row.groups)} more)"
    if len(name) > _NAME_WIDTH:
        name = name[: _NAME_WIDTH - 1] + "…"
    known = size(row.bytes) if row.unknown_sizes < row.items else "size unknown"
    return f"  {count(row.items):>12}  {known:>12}  {name}"


def _sizes(plan: Plan) -> Iterator[str]:
    groups: dict[int, SizeClass] = {}
    for power, number in sorted(plan.size_histogram.items()):
        at = size_class(1 << power) if power >= 0 else 0
        groups.setdefault(at, SizeClass(up_to=size_bound(at))).items += number
    if groups:
        yield "sizes:"
    for one in groups.values():
        yield f"  {count(one.items):>12}  {prose.size_name(one)}"
    if groups and plan.unknown_sizes:
        yield f"  {count(plan.unknown_sizes):>12}  unknown"
