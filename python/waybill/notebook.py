# SPDX-License-Identifier: Apache-2.0
"""What notebooks show: runs, reports, snapshots and plans as HTML, and a live widget.

The HTML stands alone: no scripts, nothing from elsewhere, no style but that of its own elements; colours hold in light and
dark themes, and all text of others is escaped. It is a picture of one instant and does not change by itself.
"""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from waybill._core import shown_key
from waybill.advice import what_to_do
from waybill.live import View
from waybill.plans import Plan
from waybill.records import ItemAccounts, Report, Snapshot
from waybill.reports import prose
from waybill.reports.summary import LIVE_STATES, SizeClass, size_bound, size_class
from waybill.run import Run
from waybill.text import (
    LEFT,
    count,
    duration,
    eta,
    item_name,
    moment,
    percent,
    progress_line,
    safe,
    size,
    switched,
    switches_references,
)

__all__ = ["make_widget", "plan_html", "report_html", "run_html", "snapshot_html"]

_COLOURS = {
    "done": "#2f9e6e",
    "in_progress": "#7cc4a4",
    "pending": "#9aa3b0",
    "failed": "#d9483b",
    "vanished": "#8f6cc0",
    "waived": "#c79a1a",
}
_MOVED, _WARN = "#4a7fd6", "#d08a1e"
_STATE_COLOURS = {"good": _COLOURS["done"], "bad": _COLOURS["failed"], "warn": _WARN, "plain": _MOVED}
_TRACK = "rgba(128,128,128,.22)"
_LINE = "1px solid rgba(128,128,128,.4)"
_LONGEST_NAME = 160
_IN_FLIGHT_SHOWN = 5
_EXAMPLES_SHOWN = 10
_LEAST_SECONDS_BETWEEN = 0.2


def snapshot_html(snapshot: Snapshot, message: str = "", as_of_ms: int | None = None) -> str:
    """A run at one instant, which is said if it is given; `message` stands in place of the run's reason."""
    parts = [_head(snapshot), _note(message or snapshot.reason or _waiting(snapshot))]
    if switches_references(snapshot.phase):
        parts.append(_facts(_reference_numbers(snapshot)))
    else:
        parts.append(_parts_bar(snapshot.items))
        parts.append(_facts(_numbers(snapshot)))
    parts.append(
        _counted("failed", snapshot.failed_by_class, {word: what_to_do(word) for word in snapshot.failed_by_class})
    )
    parts.append(_counted("findings", snapshot.findings, prose.FINDINGS))
    if snapshot.state in LIVE_STATES:
        parts.append(_in_flight(snapshot))
        parts.append(_muted(f"as of {moment(as_of_ms)}, and not changing by itself") if as_of_ms is not None else "")
    return _box(parts)


def run_html(run: Run) -> str:
    """A run as it ended, or as it is now."""
    if run.report is not None:
        return report_html(run.report)
    return snapshot_html(run.snapshot, as_of_ms=int(time.time() * 1000))


def report_html(report: Report) -> str:
    """How a run ended."""
    return snapshot_html(report.snapshot, report.message)


def plan_html(plan: Plan) -> str:
    """What a run would do."""
    title = f"<b>Plan</b>: {_text(count(plan.items))} items, {_text(size(plan.bytes))}"
    whole = [
        ("to create", plan.to_create),
        ("to update", plan.to_update),
        ("to look at closer", plan.to_compare),
        ("to ask the source about", plan.to_look_at),
        ("unchanged", plan.unchanged),
        ("excluded", plan.excluded),
        ("refused", plan.refused),
        ("occupied", plan.occupied),
        ("in parts", plan.objects_in_parts),
        ("of one destination key", plan.items_in_collisions),
    ]
    facts = [("to move", size(plan.bytes_to_move))] + [(name, count(number)) for name, number in whole if number]
    groups: dict[int, SizeClass] = {}
    for power, number in sorted(plan.size_histogram.items()):
        at = size_class(1 << power) if power >= 0 else 0
        groups.setdefault(at, SizeClass(up_to=size_bound(at))).items += number
    most = max((one.items for one in groups.values()), default=0)
    sizes = [
        _row(_text(prose.size_name(one)), _bar([(one.items / most, _MOVED)]) + _text(count(one.items)))
        for one in groups.values()
    ]
    examples = [
        _row(_text(one.error_class), f"{_name(shown_key(one.key))} {_muted(_cut(one.reason))}")
        for one in plan.examples[:_EXAMPLES_SHOWN]
    ]
    rest = len(plan.examples) - len(examples)
    if rest > 0:
        examples.append(_row("", _muted(f"{count(rest)} more in Plan.examples")))
    return _box(
        [
            f"<div>{title}</div>",
            _facts(facts),
            _counted("refused", plan.refused_by_class, {word: what_to_do(word) for word in plan.refused_by_class}),
            _grid("sizes", sizes),
            _grid("would not move", examples),
        ]
    )


def make_widget() -> View | None:
    """A live view in the cell that is being executed, or None where that cannot be.

    It takes a notebook's kernel, its main thread, where alone cells are, and ipywidgets.
    """
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is None or threading.current_thread() is not threading.main_thread():
        return None
    try:
        import ipywidgets  # type: ignore[import-untyped, import-not-found, unused-ignore]  # noqa: PLC0415
        from IPython.display import DisplayHandle  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
    except ImportError:
        return None
    handle: Any = DisplayHandle()  # type: ignore[no-untyped-call, unused-ignore]
    return _WidgetView(ipywidgets.HTML(), handle)


class _WidgetView(View):
    """A widget while the run is live; at the end a line in its place, which stays in a notebook that is saved."""

    def __init__(self, widget: Any, handle: Any) -> None:
        self._widget = widget
        self._handle = handle
        self._is_shown = False
        self._last: Snapshot | None = None
        self._shown_at = 0.0

    def update(self, snapshot: Snapshot) -> None:
        if not self._is_shown:
            self._is_shown = True  # first: an interrupt may come while it is being shown, and it is shown once
            self._handle.display(self._widget)
        now = time.monotonic()
        is_new = self._last is None or snapshot.state != self._last.state
        self._last = snapshot
        if is_new or now >= self._shown_at + _LEAST_SECONDS_BETWEEN:
            self._shown_at = now
            self._widget.value = snapshot_html(snapshot)

    def close(self) -> None:
        if self._last is not None:
            self._handle.update(_Line(progress_line(self._last)))
            self._last = None
        self._widget.close()


class _Line:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<div>{_text(self._text)}</div>"


def _head(snapshot: Snapshot) -> str:
    kind, sign = prose.STATES.get(snapshot.state, ("plain", "▶"))
    name = snapshot.name or snapshot.migration
    badge = (
        f'<span style="border:1.5px solid {_STATE_COLOURS[kind]};border-radius:999px;padding:0 10px;white-space:nowrap">'
        f'<span aria-hidden="true">{sign}</span> {_text(snapshot.state.replace("_", " "))}</span>'
    )
    way = f"{_name(snapshot.source)} → {_name(snapshot.destination)}"
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:4px 12px;align-items:baseline"><b><bdi>{_text(_cut(name))}</bdi></b>'
        f"<span>{_text(snapshot.phase)} run {snapshot.run}</span>{badge}</div><div>{way}</div>"
    )


def _waiting(snapshot: Snapshot) -> str:
    if snapshot.live.stalled_since_ms is not None:
        return f"nothing has moved since {moment(snapshot.live.stalled_since_ms)}"
    return f"paused ({snapshot.live.reason})" if snapshot.live.reason else ""


def _numbers(snapshot: Snapshot) -> list[tuple[str, str]]:
    items = snapshot.items
    so_far = "" if snapshot.listing_complete else " so far"
    rows = [
        ("progress", percent(snapshot.progress) if snapshot.progress is not None else "listing…"),
        ("items settled", f"{count(items.settled)} of {count(items.eligible)}{so_far}"),
        ("bytes done", f"{size(snapshot.bytes_done)} of {size(snapshot.bytes_total)}{so_far}"),
    ]
    if snapshot.state in LIVE_STATES:
        rate = f"{snapshot.live.items_per_second:,.0f} items/s, {size(snapshot.live.bytes_per_second)}/s"
        rows.append(("rate", rate))
        if estimate := eta(snapshot).removeprefix("ETA "):
            rows.append(("time left", estimate))
    rows.append(("at work", duration(snapshot.active_seconds)))
    if items.excluded:
        rows.append(("excluded", count(items.excluded)))
    if snapshot.attempts_failed:
        rows.append(("attempts failed", f"{count(snapshot.attempts_failed)} of {count(snapshot.attempts_total)}"))
    return rows


def _reference_numbers(snapshot: Snapshot) -> list[tuple[str, str]]:
    accounts = snapshot.run_references
    rows = [
        ("progress", percent(snapshot.progress) if snapshot.progress is not None else "-"),
        ("this run", switched(snapshot.phase, accounts)),
    ]
    rows += [(name, count(getattr(accounts, name))) for name in LEFT if getattr(accounts, name)]
    rows.append(("at work", duration(snapshot.active_seconds)))
    return rows


def _parts_bar(items: ItemAccounts) -> str:
    shown = [(name, getattr(items, name)) for name in prose.PARTS if getattr(items, name)]
    bar = _bar([(number / items.eligible, _COLOURS[name]) for name, number in shown], "100%")
    legend = "".join(
        f'<span style="white-space:nowrap"><span aria-hidden="true" style="display:inline-block;width:.7em;height:.7em;'
        f'border-radius:3px;margin-right:.4em;background:{_COLOURS[name]}"></span>'
        f"{_text(name.replace('_', ' '))} {_text(count(number))}</span>"
        for name, number in shown
    )
    return f'{bar}<div style="display:flex;flex-wrap:wrap;gap:2px 16px;font-size:.9em">{legend}</div>'


def _in_flight(snapshot: Snapshot) -> str:
    rows = []
    for item in snapshot.live.in_flight[:_IN_FLIGHT_SHOWN]:
        of = f" of {size(item.bytes_total)}" if item.bytes_total is not None else ""
        retry = f", attempt {count(item.attempt)}" if item.attempt > 1 else ""
        rows.append(_row(_text(f"{size(item.bytes_done)}{of}{retry}"), _name(item_name(item))))
    return _grid("in flight", rows)


def _counted(title: str, numbers: Mapping[str, int], meanings: Mapping[str, str]) -> str:
    rows = [
        _row(_text(f"{count(number)} {word}"), _muted(meanings.get(word, "")))
        for word, number in sorted(numbers.items(), key=lambda entry: -entry[1])
        if number
    ]
    return _grid(title, rows)


def _box(parts: Iterable[str]) -> str:
    style = (
        f"max-width:820px;box-sizing:border-box;border:{_LINE};border-radius:8px;padding:10px 14px;margin:4px 0;"
        "display:grid;gap:8px;line-height:1.45;font-variant-numeric:tabular-nums;overflow-wrap:anywhere"
    )
    return f'<div style="{style}">{"".join(part for part in parts if part)}</div>'


def _note(text: str) -> str:
    return f"<div>{_text(_cut(text))}</div>" if text else ""


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<div>{_muted(name)}<br><b>{_text(value)}</b></div>" for name, value in rows)
    return f'<div style="display:flex;flex-wrap:wrap;gap:6px 28px">{cells}</div>'


def _grid(title: str, rows: Iterable[str]) -> str:
    cells = "".join(rows)
    if not cells:
        return ""
    style = f"display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;border-top:{_LINE};padding-top:6px"
    return f'<div style="{style}"><div style="grid-column:1/-1">{_muted(title)}</div>{cells}</div>'


def _row(name: str, value: str) -> str:
    return f"<div>{name}</div><div>{value}</div>"


def _bar(shares: Iterable[tuple[float, str]], width: str = "min(60%,320px)") -> str:
    parts = "".join(f'<span style="width:{100 * share:.2f}%;background:{colour}"></span>' for share, colour in shares)
    style = (
        f"display:inline-flex;width:{width};height:.75em;border-radius:4px;overflow:hidden;margin-right:10px;"
        f"background:{_TRACK}"
    )
    return f'<span aria-hidden="true" style="{style}">{parts}</span>'


def _name(text: str) -> str:
    return f'<bdi style="font-family:monospace">{_text(_cut(text))}</bdi>'


def _muted(text: str) -> str:
    return f'<span style="opacity:.75">{_text(text)}</span>'


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}… ({len(text):,} characters)"


def _text(text: str) -> str:
    return html.escape(safe(text))
