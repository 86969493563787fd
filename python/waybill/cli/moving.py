# SPDX-License-Identifier: Apache-2.0
"""Commands that move, compare or decide about items: run, plan, retry, waive, verify."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from waybill import Migration, Options, Plan, Report, Spec, Tracker
from waybill.cli.exit_codes import DIFFERENCES, USAGE
from waybill.cli.follow import LogFile, follow, report_line
from waybill.cli.inspection import finding_line, last_verify_run
from waybill.cli.output import Output, complain
from waybill.cli.plan_text import show_plan
from waybill.cli.values import (
    DEFAULT_TRACKER,
    HOW,
    ITEMS,
    SHOWN,
    STORES,
    JsonFlag,
    ProgressMode,
    TraceHttp,
    TrackerPath,
    as_printed,
    command_line,
    error_class_option,
    is_named,
    keys_of,
    parse_concurrency,
    parse_sample,
    parse_size,
    parse_time,
    utf8,
    wrong,
)
from waybill.live import Mode
from waybill.options import DigestChoice, Overwrite, VerifyLevel
from waybill.spec import source_of
from waybill.text import count, duration, safe, size

__all__ = [
    "KeyTemplate",
    "LogPath",
    "SpecFile",
    "TakeOver",
    "add_commands",
    "follow_copy",
    "open_migration",
    "refuse_tracked",
    "stores_of",
    "with_spec",
]

# What a spec or the command line says beside the fields of Options, and a copy has taken or has no use for.
_NO_OPTIONS = ("from", "catalog", "contents", "url_template")

SpecFile = Annotated[
    str | None,
    typer.Argument(metavar="SPEC", help="A spec in TOML; what is said here goes before it.", rich_help_panel=STORES),
]
SourceUrl = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="URL", help="Source: a path, file:///path or s3://bucket/prefix.", rich_help_panel=STORES
    ),
]
DestinationUrl = Annotated[
    str | None, typer.Option("--to", metavar="URL", help="Destination: as --from.", rich_help_panel=STORES)
]
CatalogUrl = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="URL",
        callback=utf8,
        help="Without --from: a system of record; what its references point at moves.",
        rich_help_panel=STORES,
    ),
]
Contents = Annotated[
    list[str] | None,
    typer.Option(
        "--contents",
        metavar="URL",
        callback=utf8,
        help="With --catalog: an old store that is read with your credentials (may be repeated).",
        rich_help_panel=STORES,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="TEXT", callback=utf8, help="A name of the migration, for people.", rich_help_panel=STORES
    ),
]
KeyTemplate = Annotated[
    str | None,
    typer.Option(
        "--key-template",
        callback=utf8,
        metavar="TEXT",
        help="Where items go, e.g. {partition}/{name}; the ledger keeps it.",
        rich_help_panel=STORES,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include", callback=utf8, metavar="GLOB", help="Only matching keys (may be repeated).", rich_help_panel=ITEMS
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", callback=utf8, metavar="GLOB", help="Not these keys (may be repeated).", rich_help_panel=ITEMS
    ),
]
MaxSize = Annotated[
    str | None,
    typer.Option("--max-size", metavar="SIZE", help="Exclude larger items, e.g. 10MiB.", rich_help_panel=ITEMS),
]
MinSize = Annotated[
    str | None, typer.Option("--min-size", metavar="SIZE", help="Exclude smaller items.", rich_help_panel=ITEMS)
]
Extension = Annotated[
    list[str] | None,
    typer.Option(
        "--extension",
        callback=utf8,
        metavar="EXT",
        help="Only keys that end in it (may be repeated).",
        rich_help_panel=ITEMS,
    ),
]
ModifiedSince = Annotated[
    str | None,
    typer.Option(
        "--modified-since",
        metavar="TIME",
        help="Exclude what changed before a date, or an age such as 7d.",
        rich_help_panel=ITEMS,
    ),
]
ModifiedBefore = Annotated[
    str | None,
    typer.Option(
        "--modified-before", metavar="TIME", help="Exclude what changed at or after it.", rich_help_panel=ITEMS
    ),
]
OnlyPartition = Annotated[
    list[str] | None,
    typer.Option(
        "--partition",
        callback=utf8,
        metavar="NAME",
        help="Only this partition (may be repeated).",
        rich_help_panel=ITEMS,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=0, help="Move at most so many items: a trial.", rich_help_panel=ITEMS),
]
OverwriteWord = Annotated[
    Overwrite | None,
    typer.Option(
        "--overwrite",
        metavar="own|never|always",
        show_default="own",
        help="What may be replaced at the destination; own is what we wrote.",
        rich_help_panel=HOW,
    ),
]
Concurrency = Annotated[
    str | None,
    typer.Option(
        "--concurrency", metavar="auto|N", show_default="auto", help="Transfers at once.", rich_help_panel=HOW
    ),
]
ServerSideCopy = Annotated[
    bool | None,
    typer.Option(
        "--server-side-copy/--no-server-side-copy",
        show_default="server-side-copy",
        help="Let the store itself copy where both sides are one endpoint.",
        rich_help_panel=HOW,
    ),
]
DigestWord = Annotated[
    DigestChoice | None,
    typer.Option(
        "--digest",
        metavar="crc64nvme|sha256",
        show_default="crc64nvme",
        help="Digest kept of each item.",
        rich_help_panel=HOW,
    ),
]
LogPath = Annotated[
    Path | None,
    typer.Option(
        "--log-file", metavar="FILE", help="Append the run's events to it, as JSON Lines.", rich_help_panel=SHOWN
    ),
]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="Take the ledger from a stopped process, after watching it.", rich_help_panel=HOW),
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("run")(_run)
    app.command("plan")(_plan)
    app.command("retry")(_retry)
    app.command("waive")(_waive)
    app.command("verify")(_verify)


def _run(
    *,
    context: typer.Context,
    spec: SpecFile = None,
    source: SourceUrl = None,
    destination: DestinationUrl = None,
    catalog: CatalogUrl = None,
    contents: Contents = None,
    tracker: TrackerPath = DEFAULT_TRACKER,
    name: Name = None,
    key_template: KeyTemplate = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="As the command plan.", rich_help_panel=HOW)] = False,
    include: Include = None,
    exclude: Exclude = None,
    max_size: MaxSize = None,
    min_size: MinSize = None,
    extension: Extension = None,
    modified_since: ModifiedSince = None,
    modified_before: ModifiedBefore = None,
    partition: OnlyPartition = None,
    limit: Limit = None,
    item: Annotated[
        list[str] | None,
        typer.Option(
            "--item", metavar="KEY", help="Only this item, unlisted (may be repeated).", rich_help_panel=ITEMS
        ),
    ] = None,
    overwrite: OverwriteWord = None,
    concurrency: Concurrency = None,
    digest: DigestWord = None,
    server_side_copy: ServerSideCopy = None,
    take_over: TakeOver = False,
    log_file: LogPath = None,
    trace_http: TraceHttp = None,
    json: JsonFlag = False,
    progress: ProgressMode = "auto",
) -> None:
    """Move everything from one store to another, or carry on with it.

    waybill run --from /data/photos --to s3://photos/2026 --tracker photos.db

    waybill run photos.toml

    waybill run --catalog "$CATALOG" --contents "s3://old?profile=old" --to new

    With --tracker alone it carries on with the stores that the ledger names. With --json, each line on stdout is an
    event, progress or, at the end, the report.
    """
    said = _filters(
        include=include,
        exclude=exclude,
        max_size=max_size,
        min_size=min_size,
        extension=extension,
        modified_since=modified_since,
        modified_before=modified_before,
        partition=partition,
    ) | {
        "limit": limit,
        "keys": keys_of(item) or None,
        "overwrite": overwrite,
        "concurrency": parse_concurrency(concurrency) if concurrency is not None else None,
        "digest": digest,
        "server_side_copy": server_side_copy,
        "take_over": take_over or None,
    }
    said |= {
        "from": source,
        "to": destination,
        "catalog": catalog,
        "contents": contents or None,
        "tracker": tracker if is_named(context, "tracker") else None,
        "name": name,
        "key_template": key_template,
    }
    values = with_spec(spec, said)
    tracker = values.setdefault("tracker", tracker)
    migration = _migration_of(values)
    if dry_run:
        _show_plan(migration.plan(), json)
        return
    follow_copy(migration, tracker, log_file=log_file, json=json, progress=progress, spec=spec)


def _plan(
    *,
    context: typer.Context,
    spec: SpecFile = None,
    source: SourceUrl = None,
    destination: DestinationUrl = None,
    catalog: CatalogUrl = None,
    contents: Contents = None,
    tracker: TrackerPath = DEFAULT_TRACKER,
    key_template: KeyTemplate = None,
    include: Include = None,
    exclude: Exclude = None,
    max_size: MaxSize = None,
    min_size: MinSize = None,
    extension: Extension = None,
    modified_since: ModifiedSince = None,
    modified_before: ModifiedBefore = None,
    partition: OnlyPartition = None,
    limit: Limit = None,
    overwrite: OverwriteWord = None,
    trace_http: TraceHttp = None,
    json: JsonFlag = False,
) -> None:
    """Show what run would do; nothing is recorded or moved.

    How many items of which partitions, sizes and kinds; what would not move, and why; the requests it takes, and the
    time, going by an earlier run. With --json, all of it as one object.

    waybill plan --from /data/photos --to s3://photos/2026
    """
    said = _filters(
        include=include,
        exclude=exclude,
        max_size=max_size,
        min_size=min_size,
        extension=extension,
        modified_since=modified_since,
        modified_before=modified_before,
        partition=partition,
    ) | {"limit": limit, "overwrite": overwrite}
    said |= {"from": source, "to": destination, "tracker": tracker if is_named(context, "tracker") else None}
    said |= {"catalog": catalog, "contents": contents or None, "key_template": key_template}
    values = with_spec(spec, said)
    values.setdefault("tracker", tracker)
    _show_plan(_migration_of(values).plan(), json)


def _filters(
    *,
    include: list[str] | None,
    exclude: list[str] | None,
    max_size: str | None,
    min_size: str | None,
    extension: list[str] | None,
    modified_since: str | None,
    modified_before: str | None,
    partition: list[str] | None,
) -> dict[str, Any]:
    """The fields of Options that leave items out; None where the command line does not say."""
    return {
        "include": include or None,
        "exclude": exclude or None,
        "max_size_bytes": parse_size(max_size) if max_size is not None else None,
        "min_size_bytes": parse_size(min_size, "--min-size") if min_size is not None else None,
        "extensions": [word.removeprefix(".") for word in extension] if extension else None,
        "modified_since_ms": parse_time(modified_since, "--modified-since") if modified_since is not None else None,
        "modified_before_ms": parse_time(modified_before, "--modified-before") if modified_before is not None else None,
        "partitions": partition or None,
    }


def with_spec(path: str | None, said: dict[str, Any]) -> dict[str, Any]:
    """What the command line says, and behind it what the spec does."""
    values: dict[str, Any] = {}
    if path is not None:
        spec = Spec.read(path)
        for warning in spec.warnings:
            complain(f"warning: {warning}")
        values = spec.resolved()
    return values | {key: value for key, value in said.items() if value is not None}


def _migration_of(values: dict[str, Any]) -> Migration:
    source = stores_of(values)[0]
    places = [values.pop(key, None) for key in ("to", "tracker", "name", "key_template")]
    destination, tracker, name, key_template = places
    for key in _NO_OPTIONS:
        values.pop(key, None)
    return open_migration(source, destination, tracker, name, Options(**values), key_template)


def stores_of(values: dict[str, Any]) -> tuple[str | None, str | None]:
    """The source and the destination that were said; None for both where those of the ledger are meant."""
    source, destination = values.get("from"), values.get("to")
    if source is None and destination is None and not values.get("contents"):
        return None, None
    return source_of(values), destination


def _retry(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    error_class: Annotated[list[str] | None, error_class_option("Only this class of errors (may be repeated).")] = None,
    partition: OnlyPartition = None,
    item: Annotated[
        list[str] | None, typer.Option("--item", metavar="KEY", help="Only this item (may be repeated).")
    ] = None,
    items_from: Annotated[
        Path | None, typer.Option("--items-from", metavar="FILE", help="Only the keys of this file, one a line.")
    ] = None,
    findings: Annotated[bool, typer.Option("--findings", help="Only what the last verify run found.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Copy again what is done, too.")] = False,
    overwrite: OverwriteWord = None,
    concurrency: Concurrency = None,
    take_over: TakeOver = False,
    log_file: LogPath = None,
    trace_http: TraceHttp = None,
    json: JsonFlag = False,
    progress: ProgressMode = "auto",
) -> None:
    """Try items that failed again; nothing is listed.

    waybill retry --tracker photos.db --class permission
    """
    keys = keys_of(item)
    if items_from is not None:
        keys += _keys_of(items_from)
        if not keys:
            raise typer.BadParameter(f"{str(items_from)!r} names no key", param_hint="--items-from")
    options = Options(
        keys=keys,
        findings_of=last_verify_run(tracker) if findings else 0,
        failed_only=not keys and not findings,
        error_classes=error_class or (),
        partitions=partition or (),
        force=force,
        overwrite=overwrite or "own",
        concurrency=parse_concurrency(concurrency or "auto"),
        take_over=take_over,
    )
    follow_copy(
        open_migration(None, None, tracker, None, options), tracker, log_file=log_file, json=json, progress=progress
    )


def _keys_of(path: Path) -> list[bytes]:
    """The keys of a file, one a line, as on the command line; a carriage return belongs to the end of a line, and
    elsewhere to the key."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise wrong(f"the file of --items-from {path} cannot be read: {error.strerror}") from None
    return [as_printed(key) for line in text.split(b"\n") if (key := line.removesuffix(b"\r"))]


def _waive(
    *,
    why: Annotated[str, typer.Option("--why", callback=utf8, metavar="TEXT", help="Why these items are not wanted.")],
    tracker: TrackerPath = DEFAULT_TRACKER,
    item: Annotated[
        list[str] | None, typer.Option("--item", metavar="KEY", help="This item (may be repeated).")
    ] = None,
    error_class: Annotated[
        list[str] | None, error_class_option("All of this class of errors (may be repeated).")
    ] = None,
    partition: OnlyPartition = None,
    everything: Annotated[bool, typer.Option("--all", help="All that failed or vanished.")] = False,
) -> None:
    """Say that items which failed or vanished are not wanted.

    Who said it, and why, is kept; waived items are counted apart.

    waybill waive --class unsupported --why "pipes are not data" --tracker p.db
    """
    if not (item or error_class or partition or everything):
        raise typer.BadParameter("say which items: --item, --class, --partition or --all")
    options = Options(
        keys=keys_of(item), failed_only=not item, error_classes=error_class or (), partitions=partition or ()
    )
    number = open_migration(None, None, tracker, None, options).waive(why)
    Output().line(f"{count(number)} {'item' if number == 1 else 'items'} waived")


def _verify(
    *,
    tracker: TrackerPath = DEFAULT_TRACKER,
    level: Annotated[
        VerifyLevel,
        typer.Option(
            "--level",
            metavar="listing|checksum|content",
            help="listing: presence, sizes and stamps; checksum: digests too; content: all is read back.",
        ),
    ] = "checksum",
    sample: Annotated[
        str, typer.Option("--sample", metavar="K/N", help="With --level content: read the K-th of N parts.")
    ] = "1/1",
    strict: Annotated[
        bool, typer.Option("--strict", help="What cannot be told counts as a difference (exit code 3).")
    ] = False,
    log_file: LogPath = None,
    trace_http: TraceHttp = None,
    json: JsonFlag = False,
    progress: ProgressMode = "auto",
) -> None:
    """Compare source, ledger and destination, and print what differs.

    One finding a line, then the summary.

    waybill verify --tracker photos.db --level checksum
    """
    part, of = parse_sample(sample)
    if of > 1 and level != "content":
        raise typer.BadParameter("only --level content reads, and can read a part", param_hint="--sample")
    migration = open_migration(None, None, tracker, None, Options(sample_part=part, sample_of=of))
    log = LogFile(log_file, tracker) if log_file is not None else None
    report = follow(lambda: migration.start_verify(level), _mode(progress, json), None, log)
    if strict and report.exit_code == 0 and report.snapshot.findings.get("unknown", 0) > 0:
        report = replace(report, exit_code=DIFFERENCES)
    output = Output()
    with Tracker(tracker) as ledger:
        for finding in ledger.findings(report.run):
            if not output.line(finding_line(finding, json)):
                break
    if json:
        output.line(report_line(report, "summary"))
    else:
        again = f"verify --level {level}" + (f" --sample {sample}" if of > 1 else "")
        _show_report(report, tracker, output, again=again)
    raise typer.Exit(report.exit_code)


def open_migration(
    source: str | None,
    destination: str | None,
    tracker: str,
    name: str | None,
    options: Options,
    key_template: str | None = None,
    catalog: str | None = None,
) -> Migration:
    """The migration of the command, with the stores it names or those of the ledger."""
    if source is None and destination is None:
        with Tracker(tracker) as ledger:
            info = ledger.migration()
            refuse_tracked(ledger, tracker)
        if info is None:
            raise wrong(f"the ledger {tracker} names no stores: give --from and --to")
        if not info.source_url or not info.destination_url:
            raise wrong(
                f"the ledger {tracker} is of a program that opened its stores itself"
                f" ({info.source} to {info.destination}): that program carries on with it"
            )
        source, destination = info.source_url, info.destination_url
    if source is None or destination is None:
        raise wrong("--from and --to go together")
    return Migration(
        source, destination, tracker, name=name, key_template=key_template, catalog=catalog, options=options
    )


def refuse_tracked(ledger: Tracker, tracker: str) -> None:
    """Tracked work is done by a program alone."""
    info = ledger.migration()
    if info is not None and info.fingerprint.startswith("track="):
        name = safe(info.source.removeprefix("track:"))
        raise wrong(f'the ledger {tracker} is of tracked work ("{name}"): start the program that does it')


def _mode(progress: Mode, json: bool) -> Mode:
    return "none" if json and progress == "auto" else progress


def follow_copy(
    migration: Migration,
    tracker: str,
    *,
    log_file: Path | None,
    json: bool,
    progress: Mode,
    spec: str | None = None,
) -> None:
    output = Output()
    log = LogFile(log_file, tracker) if log_file is not None else None
    report = follow(migration.start, _mode(progress, json), output if json else None, log)
    if not json:
        _show_report(report, tracker, output, spec)
    elif report.exit_code == 1:
        complain(report.message)
    raise typer.Exit(report.exit_code)


def _show_report(report: Report, tracker: str, output: Output, spec: str | None = None, again: str = "verify") -> None:
    snapshot = report.snapshot
    items = snapshot.items
    is_verify = snapshot.phase == "verify"
    # The message of a run that reached its end begins with its state.
    message = safe(report.message)
    end = message if message.startswith(report.state) else f"{report.state}: {message}"
    lines = [f"{snapshot.phase} {end}"]
    if is_verify:
        kinds = ", ".join(f"{count(number)} {kind}" for kind, number in snapshot.findings.items() if number)
        lines.append(f"  checked   {count(items.settled)} of {count(items.eligible)} items")
        lines.append(f"  findings  {kinds or 'none'}")
    else:
        changes = f"{count(items.created)} created, {count(items.updated)} updated, {count(items.unchanged)} unchanged"
        others = [(items.failed, "failed"), (items.waived, "waived"), (items.vanished, "vanished")]
        others += [(items.excluded, "excluded"), (items.pending + items.in_progress, "left to do")]
        lines.append(f"  items     {', '.join([changes, *(f'{count(n)} {word}' for n, word in others if n)])}")
        lines.append(f"  bytes     {size(snapshot.bytes_done)} of {size(snapshot.bytes_total)}")
        lines.append(f"  attempts  {count(snapshot.attempts_total)}, of which {count(snapshot.attempts_failed)} failed")
    rate = items.settled / snapshot.active_seconds if snapshot.active_seconds > 0 else 0.0
    lines.append(f"  time      {duration(snapshot.active_seconds)}, {rate:,.0f} items/s")
    if snapshot.failed_by_class and not is_verify:
        lines.append("what did not move:")
        for word, number in sorted(snapshot.failed_by_class.items(), key=lambda entry: -entry[1]):
            lines.append(f"  {count(number):>9}  {word:<14}  {command_line(f'failed --class {word}', tracker)}")
    for words in _next_commands(report, again):
        is_spec = words == "run" and spec is not None
        lines.append(
            f"next: waybill run {safe(shlex.quote(str(spec)))}" if is_spec else f"next: {command_line(words, tracker)}"
        )
    for line in lines:
        output.line(line)
    output.flush()


def _next_commands(report: Report, again: str) -> list[str]:
    snapshot = report.snapshot
    if report.exit_code == USAGE:
        return []
    if report.state == "paused":
        return ["resume"]
    if report.state in ("interrupted", "failed"):
        return ["run"] if snapshot.phase == "copy" else [again]
    if report.state == "cancelled" or snapshot.phase != "copy":
        return []
    return [*(["failed"] if snapshot.items.failed or snapshot.items.vanished else []), "verify"]


def _show_plan(plan: Plan, json: bool) -> None:
    if json:
        Output().line(plan.to_json())
    else:
        show_plan(plan)
