# SPDX-License-Identifier: Apache-2.0
"""Catalogs written in Python: systems of record whose fields point at items by their old places.

Interface only in this version: the phases that use it (cutover, rollback) come later. Threads and errors are those of stores
(waybill.stores): every method may be called from many threads at once, and a call that does not return when its run is
stopped is given up after a quarter of a second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from waybill import _core
from waybill.stores import Context

__all__ = [
    "Catalog",
    "CatalogCapabilities",
    "ReferenceId",
    "ReferencePage",
    "ReferenceUpdate",
    "ReferenceValue",
    "Since",
    "UpdateResult",
]


@dataclass(frozen=True, slots=True, order=True)
class ReferenceId:
    """A field in a system of record that points at an item's old place."""

    catalog: str
    record: str
    field: str


@dataclass(frozen=True, slots=True)
class ReferenceValue:
    """A reference as the catalog holds it now.

    Attributes
    ----------
    value : str or None
        None where the field is null or the record is gone.
    stamp : str
        The record's revision, where the catalog keeps one.
    partition, partition_name : str
        As `Item.partition`.
    """

    id: ReferenceId
    value: str | None
    stamp: str = ""
    partition: str = ""
    partition_name: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceUpdate:
    """Set `value` only where the field still holds `expected` (and, where it is not empty, the record is still of
    `expected_stamp`)."""

    id: ReferenceId
    expected: str | None
    value: str | None
    expected_stamp: str = ""


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What became of one update.

    Attributes
    ----------
    status : {"updated", "conflict", "failed", "unknown"}
        Conflict: the field held something else. Unknown: read it.
    error_class, message : str
        Of a failed one.
    """

    status: Literal["updated", "conflict", "failed", "unknown"]
    error_class: str = "none"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Since:
    """Which references to list. Both empty: every one.

    Attributes
    ----------
    stamp : str
        Only records changed at or after this stamp.
    resume : bytes
        `ReferencePage.resume` of an earlier listing.
    """

    stamp: str = ""
    resume: bytes = b""


@dataclass(frozen=True, slots=True)
class ReferencePage:
    """References, and where a listing goes on behind them (empty: nowhere but from the beginning)."""

    references: tuple[ReferenceValue, ...]
    resume: bytes = b""
    is_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogCapabilities:
    """What a catalog can do.

    Attributes
    ----------
    conditional : {"none", "weak", "exact"}
        How exactly `ReferenceUpdate.expected` is honoured.
    max_batch : int
        Updates in one call.
    """

    conditional: Literal["none", "weak", "exact"] = "none"
    max_batch: int = 1


class Catalog(ABC):
    """Any system of record with fields that point at items. Implement `identity`, `list`, `update` and `read`.

    Every method may be called from many threads at once.
    """

    def capabilities(self) -> CatalogCapabilities:
        """What this catalog can do; by default no conditions, one update at a time. Asked once."""
        return CatalogCapabilities()

    @abstractmethod
    def identity(self) -> str:
        """As `Source.identity`."""

    @abstractmethod
    def list(self, since: Since, context: Context) -> Iterable[ReferenceValue | ReferencePage]:
        """The references, lazily: a generator is right. It is drawn from a thousand at a time, by one thread at a time.

        A listing that can be carried on gives `ReferencePage` now and then, with a `resume`. After an exception that is worth
        another try it is asked for anew, from the last resume that it gave.
        """

    @abstractmethod
    def update(self, updates: Sequence[ReferenceUpdate], context: Context) -> Sequence[UpdateResult]:
        """One result for each update, in order; at most `CatalogCapabilities.max_batch` are asked for at once. An exception
        means that none is known to have happened or not: they are read."""

    @abstractmethod
    def read(self, ids: Sequence[ReferenceId], context: Context) -> Sequence[ReferenceValue]:
        """One value for each id, in order."""


class _EngineSide(Catalog):
    """A catalog behind the adapter that the engine calls it through."""

    def __init__(self, core: _core.Catalog) -> None:
        self._core = core

    def capabilities(self) -> CatalogCapabilities:
        return self._core.capabilities()

    def identity(self) -> str:
        return self._core.identity()

    def list(self, since: Since, context: Context) -> Iterator[ReferencePage]:
        lister = self._core.list(since, context)
        is_last = False
        while not is_last:
            page = lister.next(context)
            is_last = page.is_last
            yield page

    def update(self, updates: Sequence[ReferenceUpdate], context: Context) -> Sequence[UpdateResult]:
        return self._core.update(updates, context)

    def read(self, ids: Sequence[ReferenceId], context: Context) -> Sequence[ReferenceValue]:
        return self._core.read(ids, context)


def as_engine_sees(catalog: Catalog) -> Catalog:
    """A catalog behind the very adapter that the engine calls it through; for the conformance suite."""
    return _EngineSide(_core.adapt_catalog(catalog))
