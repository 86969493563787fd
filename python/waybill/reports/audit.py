# SPDX-License-Identifier: Apache-2.0
"""Audit exports: every item of a ledger as JSON Lines in which each line carries the SHA-256 of the one before it.

A folder holds ``audit-000001.jsonl`` and so on, and ``manifest.json`` with the SHA-256 and length of each file, what was
counted, and the SHA-256 of the last line, which stands for the whole chain: whoever keeps that one value elsewhere sees
any change, even one that was made to the lines and to the manifest alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from waybill._core import __version__
from waybill.errors import Error, FailedPreconditionError, InvalidArgumentError, LockedError, NotFoundError
from waybill.records import Event, ItemResult, Outcome
from waybill.reports.document import run_fields
from waybill.reports.files import cannot, check_is_free, partial_name
from waybill.reports.rows import finding_row, item_row
from waybill.reports.summary import LIVE_STATES, accounts, observed_history, outcome_of
from waybill.stores import PathOrUrl
from waybill.text import json_line, moment_ms, safe
from waybill.tracker import Tracker

__all__ = ["AuditCheck", "check_audit", "export_audit"]

FORMAT = "waybill-audit"
FORMAT_VERSION = 1
FILE_BYTES = 64 << 20
BEGINNING = "0" * 64
_MANIFEST = "manifest.json"
_FILE_NAME = re.compile(r"audit-[0-9]{6,9}\.jsonl")
# More than any line or manifest that is ours; what comes from elsewhere is not read into memory without a bound.
_LONGEST_LINE = 16 << 20
_LONGEST_MANIFEST = 64 << 20
# Events of what was done and by whom; those of single errors are with their items.
_EVENT_KINDS = ("run", "phase", "request", "audit")


def export_audit(ledger: Tracker, folder: PathOrUrl, *, file_bytes: int = FILE_BYTES) -> dict[str, Any]:
    """Write all that a ledger knows of its items, runs, decisions and findings to a new folder.

    The ledger must not change meanwhile. Memory is the same whatever its size.

    Parameters
    ----------
    ledger : Tracker
        Of any migration that has been run.
    folder : str or path
        Must not be there yet.
    file_bytes : int
        A file ends with the line that reaches this size.

    Returns
    -------
    dict
        The manifest; ``["chain"]["sha256"]`` is what to keep.

    Raises
    ------
    LockedError
        A run is at work, or began meanwhile. Nothing is left behind.
    FailedPreconditionError
        Nothing has been run yet.
    AlreadyExistsError, NotFoundError, PermissionDeniedError, ResourceExhaustedError
        The folder cannot be made or written. Nothing is left behind.
    """
    path = Path(os.fsdecode(folder))
    check_is_free(path)
    before = ledger.snapshot()
    info = ledger.migration()
    if info is None or before.run == 0:
        raise FailedPreconditionError(
            "nothing has been run yet: there is nothing to export",
            code="failed_precondition",
            error_class="configuration",
        )
    if before.state in LIVE_STATES:
        raise _changing(f"run {before.run} is {before.state}")
    partial = partial_name(path)
    try:
        partial.mkdir(mode=0o700)
        with _Writer(partial, file_bytes) as writer:
            head = dataclasses.asdict(info) | {"created_at": moment_ms(info.created_at_ms), "seq": before.seq}
            del head["created_at_ms"]
            writer.add("migration", head)
            outcomes = _write_records(ledger, writer)
            totals = {"outcomes": dict(outcomes), "accounts": accounts(before.migration_items)}
            writer.add("end", totals)
        after = ledger.snapshot()
        if after.seq != before.seq:
            raise _changing(f"run {after.run} began meanwhile")
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "made_at": moment_ms(int(time.time() * 1000)),
            "made_by": f"waybill {__version__}",
            "migration": head,
            **totals,
            "records": dict(writer.records),
            "chain": {"algorithm": "SHA-256", "lines": writer.lines, "sha256": writer.last},
            "files": writer.files,
        }
        _write_durably(partial / _MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode("ascii"))
        _sync_folder(partial)
        check_is_free(path)
        partial.rename(path)
        _sync_folder(path.absolute().parent)
    except OSError as error:
        raise (error if isinstance(error, Error) else cannot("write", path, error)) from None
    finally:
        if partial.exists():
            shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _write_records(ledger: Tracker, writer: _Writer) -> Counter[str]:
    for run in observed_history(ledger):
        writer.add("run", run_fields(run))
    for event in ledger.events():
        if event.kind in _EVENT_KINDS:
            writer.add("event", _event_fields(event))
    outcomes: Counter[str] = Counter()
    for outcome, result in _with_results(ledger):
        # Those that are in no account any more are named all the same, and counted apart.
        outcomes["left" if outcome.left else outcome_of(outcome)] += 1
        writer.add("item", item_row(outcome) | ({"result": result.to_dict()} if result else {}))
    for record in ledger.runs():
        if record.phase == "verify":
            for finding in ledger.findings(record.run):
                writer.add("finding", finding_row(finding))
    return outcomes


def _with_results(ledger: Tracker) -> Iterator[tuple[Outcome, ItemResult | None]]:
    """Every outcome, and what is kept with the item: both come in the same order."""
    results = iter(ledger.results())
    result = next(results, None)
    for outcome in ledger.outcomes():
        item = outcome.item
        if result and (result.partition, result.key, result.version) == (item.partition, item.key, item.version):
            yield outcome, result
            result = next(results, None)
        else:
            yield outcome, None


def _event_fields(event: Event) -> dict[str, Any]:
    fields = event.to_dict()
    return {
        "seq": event.seq,
        "at": moment_ms(event.at_ms),
        "run": event.run,
        "kind": event.kind,
        "text": event.text,
    } | {"data": fields.get("data")}


def _changing(why: str) -> LockedError:
    return LockedError(
        f"an audit export is of a ledger at rest, and {why}; try again when it has ended",
        code="aborted",
        error_class="locked",
        retryable=True,
    )


class _Writer:
    """Files of bounded size with the lines of one chain."""

    def __init__(self, folder: Path, file_bytes: int) -> None:
        self.last = BEGINNING
        self.lines = 0
        self.records: Counter[str] = Counter()
        self.files: list[dict[str, Any]] = []
        self._folder = folder
        self._file_bytes = file_bytes
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_file()

    def add(self, record: str, fields: dict[str, Any]) -> None:
        """Write the next line: its number, the SHA-256 of the one before, and what it says."""
        head = {"line": self.lines + 1, "previous": self.last, "record": record}
        line = json_line(head | fields).encode("utf-8")
        if self._file is None:
            self._begin_file()
        assert self._file is not None
        self._file.write(line + b"\n")
        self._digest.update(line + b"\n")
        self.last = hashlib.sha256(line).hexdigest()
        self.lines += 1
        self.records[record] += 1
        self.files[-1]["lines"] += 1
        self.files[-1]["bytes"] += len(line) + 1
        if self.files[-1]["bytes"] >= self._file_bytes:
            self._end_file()

    def _begin_file(self) -> None:
        name = f"audit-{len(self.files) + 1:06}.jsonl"
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = open(descriptor, "wb", buffering=1 << 20)  # noqa: SIM115 (closed when it is full)
        self._digest = hashlib.sha256()
        self.files.append({"name": name, "lines": 0, "bytes": 0, "sha256": ""})

    def _end_file(self) -> None:
        if self._file is not None:
            with self._file as file:
                self._file = None
                file.flush()
                os.fsync(file.fileno())
            self.files[-1]["sha256"] = self._digest.hexdigest()


def _write_durably(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCheck:
    """What `check_audit` found.

    Attributes
    ----------
    problem : str
        One line that names the first line or file that does not hold; empty if all do.
    lines : int
        That hold, from the first one on.
    sha256 : str
        Of the last line that the manifest names: to compare with the one that was kept.
    """

    problem: str
    lines: int
    sha256: str
    manifest: dict[str, Any]


class _Broken(Exception):
    """What does not hold."""


def check_audit(folder: PathOrUrl) -> AuditCheck:
    """Check the chain, the files and the manifest of an audit export.

    Raises
    ------
    NotFoundError, InvalidArgumentError
        It is not the folder of an audit export.
    """
    path = Path(os.fsdecode(folder))
    manifest = _read_manifest(path)
    check = _Check(path, manifest)
    try:
        check.run()
        problem = ""
    except _Broken as broken:
        problem = str(broken)
    except OSError as error:
        problem = f"cannot read {error.filename or path}: {error.strerror}"
    return AuditCheck(problem=problem, lines=check.good, sha256=manifest["chain"]["sha256"], manifest=manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    def wrong(why: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"{folder / _MANIFEST} is not the manifest of an audit export: {why}",
            code="invalid_argument",
            error_class="configuration",
        )

    try:
        with open(folder / _MANIFEST, "rb", opener=_open_without_waiting) as file:
            content = file.read(_LONGEST_MANIFEST + 1)
    except FileNotFoundError:
        raise NotFoundError(
            f"{folder} is no audit export: it has no {_MANIFEST}", code="not_found", error_class="configuration"
        ) from None
    except OSError as error:
        raise cannot("read", folder / _MANIFEST, error) from None
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError):
        raise wrong("it is no JSON") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise wrong("it does not say so")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise wrong(f"it is of version {manifest.get('format_version')!r}, and this waybill knows {FORMAT_VERSION}")
    if not _is_whole(manifest):
        raise wrong("a field is missing or of another kind")
    return manifest


def _open_without_waiting(path: str, flags: int) -> int:
    """A pipe in the place of a file has no content."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_whole(manifest: dict[str, Any]) -> bool:
    chain, files = manifest.get("chain"), manifest.get("files")
    if not isinstance(chain, dict) or not isinstance(files, list):
        return False
    return (
        isinstance(chain.get("lines"), int)
        and isinstance(chain.get("sha256"), str)
        and all(isinstance(manifest.get(name), dict) for name in ("migration", "records", "outcomes", "accounts"))
        and all(
            isinstance(file, dict)
            and isinstance(file.get("name"), str)
            and isinstance(file.get("sha256"), str)
            and isinstance(file.get("lines"), int)
            and isinstance(file.get("bytes"), int)
            for file in files
        )
    )


class _Line:
    """A line and where it stands."""

    def __init__(self, file: str, number: int, content: bytes) -> None:
        self.file = file
        self.number = number
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.fields: dict[str, Any] = {}
        with contextlib.suppress(ValueError, RecursionError):
            fields = json.loads(content)
            self.fields = fields if isinstance(fields, dict) else {}

    def broken(self, why: str) -> _Broken:
        return _Broken(f"{self.file} line {self.number}: {why}")


class _Check:
    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.good = 0
        self._folder = folder
        self._manifest = manifest
        self._records: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._differing_files: list[str] = []

    def run(self) -> None:
        """Raise what does not hold first."""
        wanted, last = self._manifest["chain"]["lines"], self._manifest["chain"]["sha256"]
        first: _Line | None = None
        before: _Line | None = None
        lines = self._lines()
        line = next(lines, None)
        while line is not None:
            following = next(lines, None)
            after = following.fields.get("previous") if following is not None else last
            self._check_line(line, before, is_intact=after == line.sha256)
            first = first or line
            self._count(line.fields)
            self.good += 1
            before, line = line, following
        if first is None or before is None or self.good < wanted:
            raise _Broken(f"line {self.good + 1} of {wanted} is missing: the export was cut off")
        if before.sha256 != last:
            self.good -= 1
            raise before.broken("was changed: it is not the last line that the manifest names")
        if self._differing_files:
            raise _Broken(self._differing_files[0])
        self._check_totals(first.fields, before.fields)
        self._check_names()

    def _check_line(self, line: _Line, before: _Line | None, is_intact: bool) -> None:
        """`is_intact`: the line behind it, or the manifest, vouches for it."""
        number = self.good + 1
        if not line.fields:
            raise line.broken("is no JSON object: it was changed")
        if number > self._manifest["chain"]["lines"]:
            raise line.broken("stands behind the last line that the manifest knows")
        if line.fields.get("line") != number:
            raise line.broken(f"is line {line.fields.get('line')!r} of the chain, and line {number} belongs there")
        if line.fields.get("previous") == (before.sha256 if before is not None else BEGINNING):
            return
        if is_intact and before is not None:
            self.good -= 1
            raise before.broken("was changed: it is not what the next line was written after")
        raise line.broken("was changed: it does not follow from the line before it")

    def _count(self, fields: dict[str, Any]) -> None:
        record = str(fields.get("record"))
        self._records[record] += 1
        if record == "item":
            self._outcomes["left" if fields.get("left") else str(fields.get("outcome"))] += 1

    def _check_totals(self, head: dict[str, Any], end: dict[str, Any]) -> None:
        manifest = self._manifest
        if any(head.get(name) != value for name, value in manifest["migration"].items()):
            raise _Broken(f"{_MANIFEST}: migration is not that of the first line")
        for name, counted in (("records", self._records), ("outcomes", self._outcomes)):
            if dict(counted) != manifest[name]:
                raise _Broken(f"{_MANIFEST}: {name} are not what the lines come to")
        for name in ("outcomes", "accounts"):
            if end.get(name) != manifest[name]:
                raise _Broken(f"{_MANIFEST}: {name} are not those of the last line")

    def _check_names(self) -> None:
        known = {file["name"] for file in self._manifest["files"]} | {_MANIFEST}
        for name in sorted(os.listdir(self._folder)):
            if name not in known:
                raise _Broken(f"{safe(name)}: is not in the manifest")

    def _lines(self) -> Iterator[_Line]:
        """All lines of all files; files that are not as long or have not the digest they should are remembered."""
        for file in self._manifest["files"]:
            name = file["name"]
            if not _FILE_NAME.fullmatch(name):
                raise _Broken(f"{_MANIFEST}: {safe(name)!r} is not the name of a file of an export")
            digest, length, number = hashlib.sha256(), 0, 0
            try:
                stream = open(self._folder / name, "rb", opener=_open_without_waiting)  # noqa: SIM115 (the with follows)
            except FileNotFoundError:
                raise _Broken(f"{name}: is missing") from None
            with stream:
                while content := stream.readline(_LONGEST_LINE):
                    number += 1
                    line = _Line(name, number, content.removesuffix(b"\n"))
                    if not content.endswith(b"\n"):
                        raise line.broken("is cut off")
                    digest.update(content)
                    length += len(content)
                    yield line
            if (digest.hexdigest(), length, number) != (file["sha256"], file["bytes"], file["lines"]):
                self._differing_files.append(f"{name}: its length or SHA-256 is not that of the manifest")
