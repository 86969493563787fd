# SPDX-License-Identifier: Apache-2.0
"""What the suite needs to know of a store under test, and of what is behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from waybill.stores import Attributes, Destination, Source, Transform
from waybill.tracker import Tracker

__all__ = ["AttributesKept", "DestinationFixture", "SourceFixture", "TrackerFixture", "TransformFixture"]


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


class _Fixture:
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

    def stall(self) -> bool:
        """From now on calls hang (a gate is shut, a connection frozen) until `resume`. False where they cannot be made
        to. They need not look at their context: the adapter has to give them up."""
        return False

    def resume(self) -> None:
        """Calls come through again."""


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
