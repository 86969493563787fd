# SPDX-License-Identifier: Apache-2.0
"""What every ledger of an earlier tool gives, whatever its format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from waybill.errors import FailedPreconditionError, InvalidArgumentError, LockedError
from waybill.legacy.place import Place

__all__ = [
    "HASH_PIECE",
    "LegacyItem",
    "LegacyLedger",
    "LegacyNote",
    "LegacyReference",
    "being_written",
    "damaged_ledger",
    "earliest_ms",
    "sha256_of",
    "size_of",
    "wrong_ledger",
]

HASH_PIECE = 1 << 20
_NAIVE_HOURS = 14  # no clock is further ahead of UTC


@dataclass(frozen=True)
class LegacyItem:
    """An item as the other ledger has it; the names of `waybill.Migration`'s import."""

    key: bytes
    state: Literal["copied", "failed", "pending"]
    origin: str
    size: int | None = None
    copied_at_ms: int | None = None
    error_class: str = "server"
    error: str = ""
    error_word: str = ""
    failed_at_ms: int = 0
    destination_key: bytes = b""  # where the migration has a key template: where it was put
    partition: bytes = b""


@dataclass(frozen=True)
class LegacyReference:
    """A record whose field the other tool says it has switched; the names of `waybill.Migration`'s import."""

    record: bytes
    partition: bytes
    partition_name: bytes
    old_value: bytes
    new_value: bytes
    origin: str


@dataclass(frozen=True)
class LegacyNote:
    """A run, a log line or something else that is no item."""

    text: str
    origin: str
    level: Literal["info", "warning", "error"] = "info"
    is_log: bool = False


class LegacyLedger:
    """A ledger of another tool that was found whole. Closed as a context manager."""

    format: str
    outside = 0  # rows about other places
    elsewhere = 0  # copied, but to another key than the item's own, and that cannot be kept
    switched = 0  # records that it says point at the new place already
    incomplete = 0  # of these, those without their id, or without two different values: not among references()
    has_accounts = False  # items belong to accounts, as the migration's source lists them
    keeps_keys = False  # the migration has a key template: what was put at another key stays there

    def __init__(self, path: Path, source: Place, destination: Place, sha256: str) -> None:
        self.path = path
        self.source = source
        self.destination = destination
        self.sha256 = sha256
        self._stamp = _stamp_of(path)

    def __enter__(self) -> LegacyLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""

    def items(self) -> Iterator[LegacyItem]:
        """Items in ascending order of partitions and keys, each once."""
        raise NotImplementedError

    def accounts(self) -> Iterator[str]:
        """The accounts that its items belong to."""
        return iter(())

    def references(self) -> Iterator[LegacyReference]:
        """What it says to be switched, where it tells all that is needed to take it back."""
        return iter(())

    def unsaid_references(self) -> Iterator[LegacyReference]:
        """What it does not say to be switched, and could be taken back if it were."""
        return iter(())

    def count_references(self) -> None:
        """Count them into `switched` and `incomplete`."""

    def notes(self) -> Iterator[LegacyNote]:
        """Everything else, in the same order each time."""
        raise NotImplementedError

    def check_unchanged(self) -> None:
        """Raise LockedError if somebody has written the file since it was opened."""
        if _stamp_of(self.path) != self._stamp:
            raise LockedError(
                f"{self.path} was written while it was read; stop the tool that writes it, and import it again",
                code="failed_precondition",
                error_class="locked",
            )


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(HASH_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _stamp_of(path: Path) -> tuple[int, int, int, bool]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, path.with_name(path.name + "-wal").exists()


def size_of(value: object) -> int | None:
    is_size = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
    return value if is_size else None  # type: ignore[return-value]


def earliest_ms(text: object) -> int | None:
    """The earliest instant that a time can be: one without a zone is of a clock that nobody knows."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    naive_hours = _NAIVE_HOURS if moment.tzinfo is None else 0
    try:
        ms = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000) - naive_hours * 3_600_000
    except (OverflowError, ValueError):
        return None
    return ms if ms > 0 else None


def wrong_ledger(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")


def damaged_ledger(path: Path, why: str) -> FailedPreconditionError:
    message = f"{path} is damaged ({why}); take a whole copy of it"
    return FailedPreconditionError(message, code="failed_precondition", error_class="configuration")


def being_written(path: Path) -> LockedError:
    return LockedError(
        f"{path} is being written, or was left so; stop the tool that writes it, or import a copy made by: "
        f'sqlite3 {path} ".backup copy.db"',
        code="failed_precondition",
        error_class="locked",
    )
