# SPDX-License-Identifier: Apache-2.0
"""The command doctor."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from waybill import Error, Spec, Tracker
from waybill.cli.exit_codes import FAILED
from waybill.cli.moving import DestinationUrl, SourceUrl, SpecFile
from waybill.cli.output import Output, complain
from waybill.cli.switching import CatalogUrl, is_whole, remembered
from waybill.cli.values import DEFAULT_TRACKER, JsonFlag, TrackerPath, is_named
from waybill.doctor import Diagnosis, diagnose, write_bundle
from waybill.text import json_line, safe

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("doctor")(_doctor)


def _doctor(
    *,
    context: typer.Context,
    spec: SpecFile = None,
    source: SourceUrl = None,
    destination: DestinationUrl = None,
    catalog: CatalogUrl = None,
    tracker: TrackerPath = DEFAULT_TRACKER,
    write: Annotated[
        bool, typer.Option("--write", help="Write an object of its own to the destination, and remove it.")
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FILE.tar.gz", help="Write an archive for support.")
    ] = None,
    run: Annotated[int | None, typer.Option("--run", metavar="N", min=1, help="With --bundle, only this run.")] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="With --bundle, names of items and texts that may hold some.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Look at what could keep a migration from working.

    One line for each thing that was looked at, with what to do.

    waybill doctor photos.toml --write

    waybill doctor --catalog "$CATALOG"

    Without a spec and stores, those of the ledger are looked at. Nothing is written without --write and --bundle.
    """
    values = {} if spec is None else _values_of(spec)
    if is_named(context, "tracker"):
        values["tracker"] = tracker
    path = values.get("tracker", tracker)
    said = {"from": source, "to": destination, "catalog": catalog}
    places = {name: url or values.get(name) for name, url in said.items()}
    if not any(places.values()):
        places = _places_of(path)
    output = Output()
    found: list[Diagnosis] = []
    for one in diagnose(places["from"], places["to"], path, catalog=places["catalog"], write=write):
        found.append(one)
        output.line(json_line(dataclasses.asdict(one)) if json else _text(one))
        output.flush()
    if bundle is not None:
        try:
            write_bundle(bundle, found, path, run=run, with_keys=with_keys)
        except FileExistsError:
            raise typer.BadParameter(f"{str(bundle)!r} is there already", param_hint="--bundle") from None
        if not json:
            output.line(f"wrote {safe(str(bundle))}")
    if any(one.verdict == "fail" for one in found):
        raise typer.Exit(FAILED)


def _text(one: Diagnosis) -> str:
    fix = f" {Output.drawn('—', '-')} {safe(one.fix)}" if one.fix else ""
    return f"{one.verdict:<4}  {safe(one.subject)}: {safe(one.text)}{fix}"


def _values_of(path: str) -> dict[str, str]:
    spec = Spec.read(path)
    for warning in spec.warnings:
        complain(f"warning: {warning}")
    return spec.resolved()


def _places_of(tracker: str) -> dict[str, str | None]:
    """The stores and the catalog that the ledger names; none where it hides part of their URLs, or cannot be read."""
    try:
        with Tracker(tracker) as ledger:
            info = ledger.migration()
        known = remembered(tracker).catalog
    except Error:
        info, known = None, ""
    source, destination = (info.source_url, info.destination_url) if info is not None else ("", "")
    urls = {"from": source, "to": destination, "catalog": known}
    return {name: url if is_whole(url) else None for name, url in urls.items()}
