# SPDX-License-Identifier: Apache-2.0
"""Commands that make references point at the new place: readiness, cutover. Both plan; only ``cutover --execute`` switches."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from waybill import CutoverExample, CutoverPlan, Gate
from waybill.cli.exit_codes import REFUSED
from waybill.cli.moving import LogPath, SpecFile, TakeOver, stores_of, with_spec
from waybill.cli.output import Output
from waybill.cli.switching import (
    AcceptWindow,
    CatalogUrl,
    OnlyPartitions,
    OnlyRecords,
    Remembered,
    follow_switch,
    open_switching,
    remembered,
    told_or_kept,
)
from waybill.cli.values import (
    DEFAULT_TRACKER,
    HOW,
    STORES,
    JsonFlag,
    ProgressMode,
    TrackerPath,
    capped,
    command_line,
    is_named,
    parse_age,
    utf8,
)
from waybill.options import Options
from waybill.record_ids import whole_id
from waybill.text import LEFT, count, moment, other_references, safe

__all__ = ["add_commands"]

_SHOWN = 5
_CANARY = 10

UrlTemplate = Annotated[
    str | None,
    typer.Option(
        "--url-template",
        metavar="TEXT",
        callback=utf8,
        help="What references are to hold: a URL with {destination_key} in it; once told, the ledger knows it.",
        rich_help_panel=STORES,
    ),
]
VerifiedAge = Annotated[
    str,
    typer.Option(
        "--max-verified-age",
        metavar="AGE",
        help="Items have to have been verified within this time, such as 12h; 0 is no matter when.",
        rich_help_panel=HOW,
    ),
]
Probes = Annotated[
    int,
    typer.Option(
        "--probes",
        metavar="N",
        min=0,
        callback=capped,
        help="Ask for so many of the new values, drawn at random; for all if there are no more.",
        rich_help_panel=HOW,
    ),
]
ProbeAs = Annotated[
    str,
    typer.Option(
        "--probe-as",
        metavar="WHOM",
        callback=utf8,
        help="Whom the new values have to answer to: anonymous, profile:NAME (s3://), or header:env:NAME (https://; "
        "the variable holds the whole header).",
        rich_help_panel=HOW,
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("readiness")(_readiness)
    app.command("cutover")(_cutover)


def _readiness(
    *,
    context: typer.Context,
    spec: SpecFile = None,
    tracker: TrackerPath = DEFAULT_TRACKER,
    catalog: CatalogUrl = None,
    url_template: UrlTemplate = None,
    partition: OnlyPartitions = None,
    record: OnlyRecords = None,
    max_verified_age: VerifiedAge = "7d",
    probes: Probes = 100,
    probe_as: ProbeAs = "anonymous",
    accept_window: AcceptWindow = False,
    json: JsonFlag = False,
) -> None:
    """Say whether references can be switched, and what is in the way.

    It lists the catalog and looks at every reference: is its item copied and verified, does the new value answer, may we
    write. Each gate says what it found. Nothing is changed but the plan in the ledger.

    waybill readiness --tracker photos.db --catalog URL --url-template TEXT

    waybill readiness --tracker photos.db
    """
    values = _told(context, spec, tracker, catalog, url_template)
    asked = {
        "partitions": partition or (),
        "records": record or (),
        "max_verified_age_ms": parse_age(max_verified_age, "--max-verified-age"),
        "probes": probes,
        "probe_as": probe_as,
        "accept_window": accept_window,
    }
    plan = _plan_of(values, asked)
    output = Output()
    if json:
        output.line(plan.to_json())
    else:
        _show_readiness(plan, values["tracker"], output)
    raise typer.Exit(0 if plan.is_ready else REFUSED)


def _cutover(
    *,
    context: typer.Context,
    spec: SpecFile = None,
    tracker: TrackerPath = DEFAULT_TRACKER,
    catalog: CatalogUrl = None,
    url_template: UrlTemplate = None,
    partition: OnlyPartitions = None,
    record: OnlyRecords = None,
    max_verified_age: VerifiedAge = "7d",
    probes: Probes = 100,
    probe_as: ProbeAs = "anonymous",
    accept_window: AcceptWindow = False,
    execute: Annotated[
        bool, typer.Option("--execute", help="Switch what the plan of --plan says.", rich_help_panel=HOW)
    ] = False,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="HASH", callback=utf8, help="The plan that was reviewed.", rich_help_panel=HOW),
    ] = None,
    canary: Annotated[
        int | None,
        typer.Option(
            "--canary", metavar="N", min=1, callback=capped, help="Switch the first N, then stop.", rich_help_panel=HOW
        ),
    ] = None,
    take_over: TakeOver = False,
    log_file: LogPath = None,
    json: JsonFlag = False,
    progress: ProgressMode = "auto",
) -> None:
    """Make records point at the new places of their items.

    Without --execute it only plans: what would be switched, from what to what, and the hash of that. With --execute and
    that hash it switches exactly this. A value that somebody has changed since stays as it is, and is listed as a
    conflict. Every old value is in the ledger before it is replaced: rollback takes it back.

    waybill cutover --tracker photos.db

    waybill cutover --tracker photos.db --execute --plan HASH --canary 10

    waybill cutover --tracker photos.db --execute --plan HASH
    """
    values = _told(context, spec, tracker, catalog, url_template)
    if execute:
        _refuse_selection(context)
        _execute(
            values,
            plan,
            canary=canary or 0,
            accept_window=accept_window,
            take_over=take_over,
            follow={"log_file": log_file, "json": json, "progress": progress},
        )
    for name in ("plan", "canary", "log_file"):
        if is_named(context, name):
            raise typer.BadParameter("only with --execute", param_hint=f"--{name.replace('_', '-')}")
    asked = {
        "partitions": partition or (),
        "records": record or (),
        "max_verified_age_ms": parse_age(max_verified_age, "--max-verified-age"),
        "probes": probes,
        "probe_as": probe_as,
        "accept_window": accept_window,
    }
    made = _plan_of(values, asked)
    output = Output()
    if json:
        output.line(made.to_json())
    else:
        _show_plan(made, values["tracker"], output)
    raise typer.Exit(0 if made.is_ready else REFUSED)


def _told(
    context: typer.Context, spec: str | None, tracker: str, catalog: str | None, url_template: str | None
) -> dict[str, Any]:
    """What the command line says, and behind it what the spec does."""
    values = with_spec(
        spec,
        {
            "tracker": tracker if is_named(context, "tracker") else None,
            "catalog": catalog,
            "url_template": url_template,
        },
    )
    values.setdefault("tracker", tracker)
    return values


def _plan_of(values: dict[str, Any], asked: dict[str, Any]) -> CutoverPlan:
    tracker = values["tracker"]
    known = remembered(tracker)
    template = told_or_kept(
        values.get("url_template"), known.url_template, "URL template", "--url-template TEXT", tracker
    )
    source, destination = stores_of(values)
    migration = open_switching(tracker, known, catalog=values.get("catalog"), source=source, destination=destination)
    catalog = values.get("catalog") or known.catalog
    asked = asked | {"records": [whole_id(record, catalog) for record in asked["records"]]}
    return migration.plan_cutover(template, **asked)


_SELECTION = {
    "partition": "--partition",
    "record": "--record",
    "max_verified_age": "--max-verified-age",
    "probes": "--probes",
    "probe_as": "--probe-as",
    "url_template": "--url-template",
}


def _refuse_selection(context: typer.Context) -> None:
    for name, option in _SELECTION.items():
        if is_named(context, name):
            raise typer.BadParameter(
                "belongs to planning; what is switched is what the plan of --plan says", param_hint=option
            )


def _execute(
    values: dict[str, Any],
    plan: str | None,
    *,
    canary: int,
    accept_window: bool,
    take_over: bool,
    follow: dict[str, Any],
) -> None:
    tracker = values["tracker"]
    known = remembered(tracker)
    if plan is None:
        raise typer.BadParameter(_which_plan(known, tracker), param_hint="--plan")
    source, destination = stores_of(values)
    migration = open_switching(
        tracker,
        known,
        catalog=values.get("catalog"),
        source=source,
        destination=destination,
        options=Options(take_over=take_over),
    )
    follow_switch(
        lambda: migration.start_cutover(plan, canary=canary, accept_window=accept_window or known.accept_window),
        tracker,
        rest=f"cutover --execute --plan {plan}",
        **follow,
    )


def _which_plan(known: Remembered, tracker: str) -> str:
    if known.plan is None:
        return f"say which plan was reviewed; there is none yet: {command_line('cutover', tracker)}"
    return (
        f"say which plan was reviewed; the newest is {known.plan.hash}, made at {moment(known.plan.at_ms)}, of "
        f"{count(known.plan.references)} references"
    )


def _show_readiness(plan: CutoverPlan, tracker: str, output: Output) -> None:
    for gate in plan.gates:
        output.line(_gate_line(gate))
    refused = sum(not gate.is_passed for gate in plan.gates)
    switched = count(plan.references.pending)
    if plan.is_ready:
        output.line(f"ready: {switched} of {count(plan.references.total)} references would be switched")
        output.line(f"next: {command_line('cutover', tracker)}")
    else:
        word = "gates refuses" if refused == 1 else "gates refuse"
        output.line(f"not ready: {count(refused)} of {count(len(plan.gates))} {word}")
        output.line(f"next: see to what is refused, then {command_line('readiness', tracker)}")
    output.flush()


def _gate_line(gate: Gate) -> str:
    return f"  {'passed' if gate.is_passed else 'REFUSED':<7}  {gate.name:<10}  {safe(gate.evidence)}"


def _show_plan(plan: CutoverPlan, tracker: str, output: Output) -> None:
    accounts = plan.references
    items = "item" if plan.items == 1 else "items"
    output.line(
        f"to switch  {count(accounts.pending):>11}  of {count(accounts.total)} references; {count(plan.items)} {items}"
    )
    if accounts.updated:
        output.line(f"switched   {count(accounts.updated):>11}  already")
    if rest := accounts.total - accounts.pending - accounts.updated:
        states = other_references(accounts, *LEFT, "original", "restored", "excluded", "intended")
        output.line(f"to leave   {count(rest):>11}  {states}")
    _show_examples(plan.examples, accounts.pending, output)
    left = [example for example in plan.unswitched if example.reason]
    if left:
        output.line("to leave, and why:")
    for example in left[:_SHOWN]:
        output.line(f"  {_name(example)}  {example.state}: {safe(example.reason)}")
    if len(left) > _SHOWN:
        output.line(f"  {Output.drawn('…', '...')} and more (the first thousand: --json)")
    _show_gates(plan, output)
    output.line(f"plan {plan.hash}; nothing was changed")
    if not plan.is_ready:
        output.line(f"next: see to what is refused, then {command_line('cutover', tracker)}")
    elif accounts.pending:
        canary = f" --canary {_CANARY}" if accounts.pending > _CANARY else ""
        output.line(f"next: {command_line(f'cutover --execute --plan {plan.hash}{canary}', tracker)}")
    output.flush()


def _show_examples(examples: tuple[CutoverExample, ...], number: int, output: Output) -> None:
    if examples:
        output.line("to switch:")
    arrow = Output.drawn("→", "->")
    for example in examples[:_SHOWN]:
        output.line(f"  {_name(example)}  {safe(example.value)}")
        output.line(f"    {arrow} {safe(example.intended)}")
    if number > len(examples[:_SHOWN]):
        output.line(f"  {Output.drawn('…', '...')} and {count(number - len(examples[:_SHOWN]))} more")


def _show_gates(plan: CutoverPlan, output: Output) -> None:
    refused = [gate for gate in plan.gates if not gate.is_passed]
    if not refused:
        output.line(f"gates: all {count(len(plan.gates))} are passed")
    else:
        output.line("gates:")
    for gate in refused:
        output.line(_gate_line(gate))
    window = next((gate for gate in plan.gates if gate.name == "window" and gate.is_passed), None)
    if window is not None:
        output.line(f"edits in between: {safe(window.evidence)}")


def _name(example: CutoverExample) -> str:
    name = safe(example.record)
    return f"{safe(example.partition)}: {name}" if example.partition else name
