# SPDX-License-Identifier: Apache-2.0
"""Catalogs: systems of record whose fields point at items by their old places.

`waybill.open_catalog` opens one by its URL: a table of SQLite, which is built in, or of any other database through `waybill.sql`.
Subclass `Catalog` for anything else. Threads and errors are those of stores (waybill.stores): every method may be called from
many threads at once, and a call that does not return when its run is stopped is given up after a quarter of a second.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    """A field in a system of record that points at an item's old place.

    Attributes
    ----------
    catalog : str
        `Catalog.identity`.
    record : str
        The record's own id, as text; at most 1,024 bytes.
    """

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
        What the record belongs to (an account), "" if to nothing; a human name of it.
    names : mapping of str to str
        Further words of the record, for key and URL templates, by their names.
    is_gone : bool
        Of `Catalog.read`: there is no such record.
    """

    id: ReferenceId
    value: str | None
    stamp: str = ""
    partition: str = ""
    partition_name: str = ""
    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class ReferenceUpdate:
    """Set `value` only where the field still holds `expected`.

    Attributes
    ----------
    expected_stamp : str
        The record's, as it was last read; "" where it has none. For catalogs that can compare nothing better.
    """

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
        Conflict: the field held something else, and was left as it was. Unknown: it has to be read.
    error_class, message : str
        Of a failed one.
    retryable : bool
        Of a failed one: whether trying again, unchanged, makes sense.
    """

    status: Literal["updated", "conflict", "failed", "unknown"]
    error_class: str = "none"
    message: str = ""
    retryable: bool = False


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
        How exactly `ReferenceUpdate.expected` is honoured: exact in one step with the write; weak by something that may let
        an edit pass between (a revision of coarse time); none at all.
    max_batch : int
        Updates, or ids to read, in one call.
    max_value_length : int
        Characters that the field can hold; 0: no bound that is known.
    locks_partitions : bool
        Updates of one partition hinder each other: a run makes one at a time for each.
    """

    conditional: Literal["none", "weak", "exact"] = "none"
    max_batch: int = 1
    max_value_length: int = 0
    locks_partitions: bool = False


class Catalog(ABC):
    """Any system of record with fields that point at items. Implement `identity`, `list`, `update` and `read`.

    Every method may be called from many threads at once.
    """

    def capabilities(self) -> CatalogCapabilities:
        """What this catalog can do; by default no conditions, one update at a time. Asked when it is opened, and again after
        each `check`, which may find out more."""
        return CatalogCapabilities()

    @abstractmethod
    def identity(self) -> str:
        """As `Source.identity`. Asked once."""

    def endpoint(self) -> str:
        """As `Source.endpoint`; by default the identity. Asked once."""
        return self.identity()

    def check(self, access: Literal["read", "update"], context: Context) -> None:
        """Whether it answers, has what it was opened for, and lets us do what `access` says; changes nothing. By default
        nothing is asked.

        Raises
        ------
        NotFoundError, InvalidArgumentError
            There is no such database, table or column.
        PermissionDeniedError, UnauthenticatedError, UnavailableError
            It does not let us, or does not answer.
        """
        del access, context

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
        """One value for each id, in order; at most `CatalogCapabilities.max_batch` are asked for at once."""


class BuiltinCatalog(Catalog):
    """A catalog of the library's, or one behind the adapter that the engine calls it through."""

    def __init__(self, core: _core.Catalog) -> None:
        self._core = core

    def capabilities(self) -> CatalogCapabilities:
        return self._core.capabilities()

    def identity(self) -> str:
        return self._core.identity()

    def endpoint(self) -> str:
        return self._core.endpoint()

    def check(self, access: Literal["read", "update"], context: Context) -> None:
        self._core.check(access, context)

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


def core_catalog(catalog: Catalog) -> _core.Catalog:
    """What the engine takes for `catalog`."""
    return catalog._core if isinstance(catalog, BuiltinCatalog) else _core.adapt_catalog(catalog)


def as_engine_sees(catalog: Catalog) -> Catalog:
    """A catalog behind the very adapter that the engine calls it through; for the conformance suite."""
    return BuiltinCatalog(core_catalog(catalog))
