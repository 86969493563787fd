# SPDX-License-Identifier: Apache-2.0
"""Doctor: what could keep a migration from working, looked at before it does; and an archive of it for support."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import tarfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from waybill import _core
from waybill.catalogs import Catalog, core_catalog
from waybill.connectors import open_catalog, open_source
from waybill.errors import Error
from waybill.maintenance import check_ledger
from waybill.stores import PathOrUrl, core_source
from waybill.text import size
from waybill.tracker import Tracker

__all__ = ["Diagnosis", "Verdict", "diagnose", "write_bundle"]

Verdict = Literal["ok", "warn", "fail"]

# Beyond it the doctor does not read a ledger from end to end.
_LARGEST_CHECK = 256 << 20
_LEAST_SPACE = 16 << 20
_ENOUGH_SPACE = 256 << 20
_LAST_EVENTS = 1000
# Options that may name items.
_NAMING_OPTIONS = ("include", "exclude", "keys", "partitions")
# Events whose text says nothing of items.
_NAMELESS_EVENTS = ("phase", "request", "progress")


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes
    ----------
    verdict : {"ok", "warn", "fail"}
        With a ``"fail"``, a run would not come to its end.
    subject : str
        What was looked at, such as ``"ledger"`` or ``"source: credentials"``.
    text : str
        What was found; one line, without secrets.
    fix : str
        What to do; empty where there is nothing to do.
    """

    verdict: Verdict
    subject: str
    text: str
    fix: str = ""


def diagnose(
    source: PathOrUrl | None = None,
    destination: PathOrUrl | None = None,
    tracker: PathOrUrl | None = None,
    *,
    catalog: str | Catalog | None = None,
    write: bool = False,
) -> Iterator[Diagnosis]:
    """Look at everything that a migration needs; what is None is not looked at. Nothing is raised for what is wrong.

    Parameters
    ----------
    source, destination, tracker : str or path, optional
        As `Migration` takes them.
    catalog : str or Catalog, optional
        The catalog of a cutover. Nothing in it is changed; that it may not be updated is a warning, as a copy only reads it.
    write : bool
        Also write an object of its own to the destination, read it back and remove it. Without, nothing is written
        anywhere.
    """
    yield from _versions()
    if tracker is not None and os.fspath(tracker) != "memory:":
        yield from _ledger(os.fspath(tracker).removeprefix("sqlite://"))
    if source is not None:
        yield from _store("source", lambda: _core.probe_source(core_source(open_source(source))))
    if destination is not None:
        yield from _store("destination", lambda: _core.probe_destination(os.fsencode(destination), write))
        if not write:
            yield Diagnosis(verdict="ok", subject="destination: write", text="not tried; --write tries it")
    if catalog is not None:
        yield from _store("catalog", lambda: _core.probe_catalog(core_catalog(_opened(catalog))))


def _opened(catalog: str | Catalog) -> Catalog:
    return open_catalog(catalog) if isinstance(catalog, str) else catalog


def _versions() -> Iterator[Diagnosis]:
    yield Diagnosis(verdict="ok", subject="waybill", text=_core.__version__)
    python = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield Diagnosis(verdict="ok", subject="python", text=python)
    for name, version in _core.library_versions().items():
        yield Diagnosis(verdict="ok", subject=name, text=version)


def _ledger(path: str) -> Iterator[Diagnosis]:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        yield Diagnosis(
            verdict="fail", subject="ledger", text=f"the folder of {path} is not there", fix="make it, or name another"
        )
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Diagnosis(
            verdict="fail",
            subject="ledger",
            text=f"the folder of {path} cannot be written",
            fix="change its permissions",
        )
    if os.path.exists(path):
        yield from _existing_ledger(path)
    else:
        yield Diagnosis(verdict="ok", subject="ledger", text=f"there is none at {path} yet; the first run makes it")
    free = shutil.disk_usage(folder).free
    wanted = max(_ENOUGH_SPACE, os.path.getsize(path) if os.path.exists(path) else 0)
    verdict: Verdict = "fail" if free < _LEAST_SPACE else "warn" if free < wanted else "ok"
    fix = "" if verdict == "ok" else "free some space, or move the ledger; 200 bytes an item is a good guess"
    yield Diagnosis(verdict=verdict, subject="disk", text=f"{size(free)} free for the ledger", fix=fix)


def _existing_ledger(path: str) -> Iterator[Diagnosis]:
    try:
        with Tracker(path) as ledger:
            snapshot = ledger.snapshot()
        if os.path.getsize(path) > _LARGEST_CHECK:
            yield Diagnosis(
                verdict="warn",
                subject="ledger",
                text=f"{path} can be read; {size(os.path.getsize(path))} are not checked from end to end here",
                fix=f"waybill db check --tracker {path}",
            )
        else:
            found = check_ledger(path)
            if found.problems:
                yield Diagnosis(
                    verdict="fail",
                    subject="ledger",
                    text=f"{path} is damaged: {found.problems[0]}",
                    fix=f"restore a backup, or: waybill db recover NEW.db --tracker {path}",
                )
            else:
                yield Diagnosis(verdict="ok", subject="ledger", text=f"{path} is sound, {found.items:,} items")
    except Error as error:
        yield Diagnosis(verdict="fail", subject="ledger", text=error.message, fix="name another ledger with --tracker")
        return
    if snapshot.run == 0:
        return
    text = f"{snapshot.run}, {snapshot.phase} {snapshot.state}"
    is_open = snapshot.state in ("interrupted", "failed", "paused")
    fix = "" if not is_open else f"waybill {'resume' if snapshot.state == 'paused' else 'run'} --tracker {path}"
    yield Diagnosis(verdict="warn" if is_open else "ok", subject="last run", text=text, fix=fix)


def _store(name: str, probe: Callable[[], list[dict[str, Any]]]) -> Iterator[Diagnosis]:
    try:
        for fields in probe():
            yield Diagnosis(**fields | {"subject": f"{name}: {fields['subject']}"})
    except Error as error:
        yield Diagnosis(verdict="fail", subject=name, text=error.message, fix="correct the URL")


def write_bundle(
    path: str | os.PathLike[str],
    diagnoses: list[Diagnosis],
    tracker: PathOrUrl | None = None,
    *,
    run: int | None = None,
    with_keys: bool = False,
) -> None:
    """Write a ``.tar.gz`` for support: versions, diagnoses, and of the ledger the accounts, history and last events.

    It never holds a secret: the ledger has none. Without `with_keys` it holds no names of items, and no texts that may
    name some.

    Parameters
    ----------
    run : int, optional
        Only the history and events of this run.

    Raises
    ------
    FileExistsError, OSError
        There is something at `path`, or it cannot be written.
    """
    files: dict[str, str] = {
        "versions.json": json.dumps({"waybill": _core.__version__, "python": platform.python_version()}
                                    | _core.library_versions(), indent=2),
        "doctor.jsonl": _lines(asdict(one) for one in diagnoses),
    }  # fmt: skip
    if tracker is not None:
        try:
            with Tracker(tracker) as ledger:
                files |= _ledger_files(ledger, run, with_keys)
        except Error as error:
            files["ledger-error.txt"] = error.message + "\n"
    folder = Path(os.fspath(path)).name.removesuffix(".gz").removesuffix(".tar")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in files.items():
            content = text.encode("utf-8", "backslashreplace")
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(content))


def _ledger_files(ledger: Tracker, run: int | None, with_keys: bool) -> dict[str, str]:
    snapshot = json.loads(ledger.snapshot().to_json())
    if not with_keys:
        snapshot["in_flight"] = len(snapshot["in_flight"])
        snapshot["run"]["reason"] = None
    events: deque[dict[str, Any]] = deque(maxlen=_LAST_EVENTS)
    for event in ledger.events():
        if event.kind != "progress" and run in (None, event.run):
            fields = json.loads(event.to_json())
            if not with_keys and event.kind not in _NAMELESS_EVENTS:
                fields = {name: value for name, value in fields.items() if name not in ("text", "data")}
            events.append(fields)
    errors = Counter(
        (failure.error_class, failure.code, failure.http_status, failure.provider_code)
        for failure in ledger.failures()
        if run in (None, failure.run)
    )
    names = ("error_class", "code", "http_status", "provider_code")
    return {
        "snapshot.json": json.dumps(snapshot, indent=2),
        "history.jsonl": _lines(
            _without_names(asdict(one), with_keys) for one in ledger.history() if run in (None, one.record.run)
        ),
        "events.jsonl": _lines(events),
        "errors.jsonl": _lines(
            dict(zip(names, kind, strict=True)) | {"items": n} for kind, n in errors.most_common(1000)
        ),
    }


def _without_names(summary: dict[str, Any], with_keys: bool) -> dict[str, Any]:
    if with_keys:
        return summary
    record = summary["record"]
    try:
        options = json.loads(record["options"])
    except ValueError:
        options = {}
    record["options"] = {name: value for name, value in options.items() if name not in _NAMING_OPTIONS}
    del record["reason"]
    return summary


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows)
