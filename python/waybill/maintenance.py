# SPDX-License-Identifier: Apache-2.0
"""The file of a ledger in order: check, backup, vacuum, retention, recovery. Nothing of it is done by a run on its own.

All take the ledger's path, or ``sqlite:///path``, and may be called from any thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from waybill import _core
from waybill.stores import PathOrUrl
from waybill.user import this_user

__all__ = [
    "LedgerBackup",
    "LedgerCheck",
    "LedgerVacuum",
    "RecoveredTable",
    "Recovery",
    "backup_ledger",
    "check_ledger",
    "prune_events",
    "recover_ledger",
    "vacuum_ledger",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerCheck:
    """What a check found. `problems` are lines, the first hundred; with none of them the ledger is sound."""

    problems: list[str]
    items: int
    events: int
    file_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerBackup:
    """A backup that was made, and the older ones that were removed for it."""

    path: str
    file_bytes: int
    removed: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerVacuum:
    """The size of the file before and after."""

    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RecoveredTable:
    """How much of a table was read, and whether that is all of it."""

    name: str
    rows: int
    is_whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """What a recovery saved. `items_expected` is what the damaged ledger counted, None where that could not be read."""

    tables: list[RecoveredTable]
    items: int
    items_expected: int | None
    notes: list[str]


def check_ledger(ledger: PathOrUrl) -> LedgerCheck:
    """Check a ledger from end to end: its pages, its rows, and that all accounts say what the rows do.

    Writes nothing, and may run beside a live run. Damage is no exception but a problem.

    Raises
    ------
    NotFoundError, PermissionDeniedError, Error
        There is no ledger, or it may not be read.
    """
    return LedgerCheck(**_core.check_ledger(os.fsencode(ledger)))


def backup_ledger(
    ledger: PathOrUrl, folder: str | os.PathLike[str] | None = None, *, keep: int | None = None
) -> LedgerBackup:
    """Copy a ledger as it is at one instant, also beside a live run, and check the copy.

    Parameters
    ----------
    folder : path, optional
        Where to; the ledger's own folder by default. The name is the ledger's with the time in UTC.
    keep : int, optional
        Remove older backups of this ledger in the folder until so many are left, at least 1. None removes nothing.

    Raises
    ------
    Error
        The ledger is damaged, or the disk is full; no backup was made, and none removed.
    """
    return LedgerBackup(**_core.backup_ledger(os.fsencode(ledger), os.fsencode(folder or ""), keep))


def vacuum_ledger(ledger: PathOrUrl) -> LedgerVacuum:
    """Write the file anew, without the room that removed rows left. Needs about twice its size on the disk.

    Raises
    ------
    LockedError
        A run owns the ledger.
    """
    return LedgerVacuum(**_core.vacuum_ledger(os.fsencode(ledger)))


def prune_events(ledger: PathOrUrl, *, since_ms: int | None = None, last: int | None = None) -> int:
    """Remove events, but those since a time (ms since 1970 UTC), or the last so many, or both; give how many went.

    Audit events, runs, items, findings and failures are never removed. Who did it is kept as an audit event.

    Raises
    ------
    InvalidArgumentError
        Neither is given.
    LockedError
        A run owns the ledger.
    """
    return _core.prune_events(os.fsencode(ledger), since_ms, last, this_user())


def recover_ledger(ledger: PathOrUrl, into: PathOrUrl) -> Recovery:
    """Make a new ledger of what can be read of a damaged one, which is not touched.

    A run that had not ended is recorded as failed: the next one lists everything, and finds at the destination what the
    ledger lost.

    Raises
    ------
    AlreadyExistsError
        There is something at `into`.
    LockedError
        A run owns the damaged ledger.
    DataLossError
        Not even what the ledger is about can be read.
    """
    fields = _core.recover_ledger(os.fsencode(ledger), os.fsencode(into))
    return Recovery(**fields | {"tables": [RecoveredTable(**table) for table in fields["tables"]]})
