# SPDX-License-Identifier: Apache-2.0
"""What the suite needs to know of a store under test, and of what is behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from waybill.catalogs import Catalog, ReferenceValue
from waybill.stores import Attributes, Destination, Source, Transform
from waybill.tracker import Tracker

__all__ = [
    "AttributesKept",
    "CatalogFixture",
    "DestinationFixture",
    "SourceFixture",
    "TrackerFixture",
    "TransformFixture",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesKept:
    """Which attributes a store keeps: the suite writes them and expects them back.

    Attributes
    ----------
    content_headers : bool
        ``content_type``, ``content_encoding``, ``content_language``, ``content_disposition``, ``cache_control``.
    """

    content_headers: bool = False
    metadata: bool = False
    mode: bool = False
    mtime: bool = False


class _Hanging:
    """How a store is made to hang."""

    def stall(self) -> bool:
        """From now on calls hang (a gate is shut, a connection frozen) until `resume`. False where they cannot be made
        to. They need not look at their context: the adapter has to give them up."""
        return False

    def resume(self) -> None:
        """Calls come through again."""


class _Fixture(_Hanging):
    """What both ends have. Override what differs.

    Attributes
    ----------
    more_than_a_page : int
        So many items do not fit one page of a listing.
    """

    attributes_kept = AttributesKept()
    more_than_a_page: int = 2100

    def can_hold(self, key: bytes) -> bool:
        """Whether the store can hold such a key. Cases leave out the others, and say so."""
        del key
        return True


class SourceFixture(_Fixture, ABC):
    """A source under test, and the store behind it, which begins empty."""

    @property
    @abstractmethod
    def source(self) -> Source:
        """The one under test: always the same."""

    @abstractmethod
    def put(self, key: bytes, content: bytes, attributes: Attributes) -> None:
        """Put content into the store, replacing what is there, by other means than the source. A key that ends in ``/``
        comes without content: an empty folder."""

    @abstractmethod
    def remove(self, key: bytes) -> None:
        """Remove an item, by other means than the source."""

    def missing_store(self) -> Source | None:
        """A source of the same kind whose store is not there; None where there is no such thing."""
        return None


class DestinationFixture(_Fixture, ABC):
    """A destination under test, and the store behind it, which begins empty.

    Attributes
    ----------
    checks_digests : bool
        The destination refuses bytes that are not those of `Body.crc64nvme`, with the class ``"checksum"``.
    """

    checks_digests: bool = False

    @property
    @abstractmethod
    def destination(self) -> Destination:
        """The one under test: always the same."""

    @abstractmethod
    def content(self, key: bytes) -> bytes | None:
        """The content at a key, by other means than the destination where there are some; None if it is absent."""

    def refused_keys(self) -> Sequence[bytes]:
        """Keys that it must refuse with the class ``"unsupported"``; it must hold every other key of the suite verbatim."""
        return ()

    def strays(self) -> Sequence[str]:
        """Names of things that writes have left outside of the destination's root or prefix."""
        return ()

    def leftovers(self) -> Sequence[str]:
        """Names of temporary things, and unfinished uploads, that are now in the store."""
        return ()

    def missing_store(self) -> Destination | None:
        """A destination of the same kind whose store is not there; None where there is no such thing."""
        return None


class CatalogFixture(_Hanging, ABC):
    """A catalog under test, and the system of record behind it, which begins without records.

    Attributes
    ----------
    keeps_partitions : bool
        Records have a partition and its name.
    keeps_stamps : bool
        Records have stamps that rise with every change, also one that `put` and `set` make.
    names : sequence of str
        What records have in `ReferenceValue.names`.
    refused_value : str or None
        A value that the field must not take: it is too long, or breaks a constraint.
    more_than_a_page : int
        So many records do not fit one page of a listing.
    """

    keeps_partitions: bool = False
    keeps_stamps: bool = False
    names: Sequence[str] = ()
    refused_value: str | None = None
    more_than_a_page: int = 2100

    @property
    @abstractmethod
    def catalog(self) -> Catalog:
        """The one under test: always the same."""

    @property
    @abstractmethod
    def field(self) -> str:
        """Of every `ReferenceId`."""

    @abstractmethod
    def put(self, records: Sequence[ReferenceValue]) -> None:
        """Add records, by other means than the catalog: of each ``id.record``, ``value``, ``partition`` and ``names``."""

    @abstractmethod
    def set(self, record: str, value: str | None) -> None:
        """Change the value of a record, by other means than the catalog."""

    @abstractmethod
    def remove(self, record: str) -> None:
        """Remove a record, by other means than the catalog."""

    @abstractmethod
    def value(self, record: str) -> str | None:
        """The value of a record that is there, by other means than the catalog."""

    def record(self, number: int) -> str:
        """An id for each number, all different. They need not be in order."""
        return f"record {number}"

    def can_hold_record(self, record: str) -> bool:
        """Whether there may be a record of such an id. Cases leave out the others, and say so."""
        del record
        return True

    def can_hold_value(self, value: str | None) -> bool:
        """Whether the field may hold such a value."""
        del value
        return True

    def missing_store(self) -> Catalog | None:
        """A catalog of the same kind whose store is not there; None where there is no such thing."""
        return None

    def without_right_to_update(self) -> Catalog | None:
        """The same store, for somebody who may only read it; None where there is no such thing."""
        return None


class TrackerFixture(ABC):
    """A tracker under test: one ledger, which begins empty.

    Attributes
    ----------
    is_durable : bool
        What was committed is there for the next process.
    """

    is_durable: bool = True

    @abstractmethod
    def open(self) -> Tracker | None:
        """A tracker on the ledger, that may write, as another process would have it: another one at each call. None where it
        cannot be opened once more."""

    def open_read_only(self) -> Tracker | None:
        """The same, to read only; None where there is no such thing."""
        return None


class TransformFixture(ABC):
    """A transform under test."""

    @property
    @abstractmethod
    def transform(self) -> Transform:
        """The one under test: always the same."""

    @abstractmethod
    def expected(self, content: bytes) -> bytes:
        """What the transform has to make of `content`, by other means than the transform."""
