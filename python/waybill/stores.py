# SPDX-License-Identifier: Apache-2.0
"""Stores written in Python, and those that are built in: `Source`, `Destination`, `Transform`, and what they exchange.

Subclass `Source` or `Destination` and give an object of it to `waybill.Migration` in the place of a URL. `waybill.open_source` and
`open_destination` open the built-in stores by URL, with the same methods, so that one store can wrap another.

**Threads.** A run calls its stores from many threads at once. They belong to waybill; the GIL is held only while your code
runs. A call that does not return when its run is stopped is given up after a quarter of a second: its run ends without it,
and whatever it returns later is dropped.

**Errors.** An exception is the failure of the item that was being moved. What says whether trying again makes sense is its
class: `waybill.Error` says so itself, `ConnectionError`, `TimeoutError`, `OSError` without a number or of a passing kind are
tried again; anything else fails the item with the class ``"internal"`` and the traceback in one line. `FileNotFoundError` is
``"missing"``, `PermissionError` ``"permission"``, `NotImplementedError` ``"unsupported"``.

**Keys** are bytes. Where a store makes them of text, they are UTF-8 (`os.fsencode`).
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeVar, cast

from waybill import _core
from waybill.errors import InvalidArgumentError

__all__ = [
    "Attributes",
    "Body",
    "Condition",
    "Context",
    "Destination",
    "DestinationCapabilities",
    "InputStream",
    "Item",
    "ItemId",
    "ListRequest",
    "OpenUpload",
    "PartInfo",
    "PartPlan",
    "PartUpload",
    "PathOrUrl",
    "ReadResult",
    "Removal",
    "Source",
    "SourceCapabilities",
    "SourceStamp",
    "Stored",
    "StreamResult",
    "Transform",
    "WriteOptions",
]

PathOrUrl = str | os.PathLike[str]
Order = Literal["none", "byte_key"]
Removal = Literal["gone", "removed", "hidden"]

Context = _core.Context
Body = _core.Body
InputStream = _core.InputStream

_Store = TypeVar("_Store")


@dataclass(frozen=True, slots=True)
class ItemId:
    """Who an item is: two items are the same exactly if all three are equal.

    Attributes
    ----------
    version : str
        Empty unless versions move (`SourceCapabilities.versions`).
    """

    partition: str
    key: bytes
    version: str


@dataclass(frozen=True, slots=True)
class SourceStamp:
    """What tells one revision of an item from the next: two stamps are the same revision exactly if all fields are equal.

    Attributes
    ----------
    size : int or None
        Bytes; None where the source does not know before it reads.
    mtime_ns : int or None
        Nanoseconds since 1970 UTC.
    version : str
        The source's own version id.
    opaque : str
        Anything else that changes when the content does; at most 255 bytes.
    """

    size: int | None = None
    etag: str = ""
    mtime_ns: int | None = None
    version: str = ""
    opaque: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a listing.

    Attributes
    ----------
    key : bytes
        Its name within the partition; given as str it is encoded. One that ends in ``/`` names an empty folder.
    size, etag, mtime_ns, stamp_version, opaque
        Its revision: the fields of `SourceStamp`. Give what is known, at least one thing that changes with the content.
    partition, partition_name : str
        A named set of items (an account, a space), and its name for people.
    version : str
        See `ItemId.version`.
    crc64nvme, sha256 : int or None, bytes or None
        Digests of the content, where a listing has one.
    modified_at_ms : int or None
        When the store says that it last changed, where `mtime_ns` does not; for filters by age alone.
    refused, reason : str
        An error class, for example ``"unsupported"``, of an item that cannot move, and why. It is recorded as failed.
    """

    key: bytes
    size: int | None = None
    etag: str = ""
    mtime_ns: int | None = None
    stamp_version: str = ""
    opaque: str = ""
    partition: str = ""
    partition_name: str = ""
    version: str = ""
    crc64nvme: int | None = None
    sha256: bytes | None = None
    modified_at_ms: int | None = None
    refused: str = ""
    reason: str = ""

    if TYPE_CHECKING:

        def __init__(
            self,
            key: bytes | str,
            size: int | None = None,
            etag: str = "",
            mtime_ns: int | None = None,
            stamp_version: str = "",
            opaque: str = "",
            partition: str = "",
            partition_name: str = "",
            version: str = "",
            crc64nvme: int | None = None,
            sha256: bytes | None = None,
            modified_at_ms: int | None = None,
            refused: str = "",
            reason: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        if type(self.key) is not bytes:
            object.__setattr__(self, "key", os.fsencode(self.key))

    @property
    def id(self) -> ItemId:
        """Who it is."""
        return ItemId(self.partition, self.key, self.version)

    @property
    def stamp(self) -> SourceStamp:
        """Its revision."""
        return SourceStamp(self.size, self.etag, self.mtime_ns, self.stamp_version, self.opaque)


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What to list. Both empty: everything.

    Attributes
    ----------
    after, before : bytes
        Only keys greater than the one and less than the other; set only where the capabilities say ``start_after``.
    """

    after: bytes = b""
    before: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What travels with the bytes. Empty, and None, mean that there is none.

    Attributes
    ----------
    metadata, tags : mapping of str to str
        User metadata (names in lower case) and tags.
    mode : int or None
        POSIX permission bits, 0o7777 at most.
    mtime_ns : int or None
        Nanoseconds since 1970 UTC.
    """

    content_type: str = ""
    content_encoding: str = ""
    content_language: str = ""
    content_disposition: str = ""
    cache_control: str = ""
    expires: str = ""
    storage_class: str = ""
    website_redirect: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    mode: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a positioned read found.

    Attributes
    ----------
    data : bytes-like
        Less than asked for only at the end of the item.
    total_size : int or None
        Of the whole item, as the store says with this answer.
    stamp : SourceStamp or None
        Of the revision that these bytes belong to, with the fields that the listing fills; None: that of the item asked
        for, and a change between listing and reading is not seen.
    attributes : Attributes or None
        Wanted at offset 0.
    """

    data: bytes | bytearray | memoryview
    total_size: int | None = None
    stamp: SourceStamp | None = None
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class StreamResult:
    """An item's content in order, with what is known of it.

    Attributes
    ----------
    content : binary file or iterable of bytes
        Closed at its end, or when it is given up, if it has a ``close``.
    size, stamp, attributes
        As in `ReadResult`; the size is how many bytes there will be.
    """

    content: BinaryIO | Iterable[bytes]
    size: int | None = None
    stamp: SourceStamp | None = None
    attributes: Attributes | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a write requires of what is there now.

    Attributes
    ----------
    kind : {"none", "absent", "unchanged"}
        Nothing; there must be nothing at the key; it must still be the object with `etag` and, where set, `size` and
        `mtime_ns`.
    """

    kind: Literal["none", "absent", "unchanged"] = "none"
    etag: str = ""
    size: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write."""

    attributes: Attributes = Attributes()
    condition: Condition = Condition()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a destination holds at a key, as its own answer says.

    Attributes
    ----------
    etag : str
        Changes with the content; empty where the store has none.
    mtime_ns : int or None
        Of the stored object, where the store keeps the one it was given.
    crc64nvme, sha256 : int or None, bytes or None
        Digests that the store itself computed or checked; None where it did not.
    """

    size: int
    etag: str = ""
    mtime_ns: int | None = None
    version: str = ""
    crc64nvme: int | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class PartPlan:
    """How a large object is cut.

    Attributes
    ----------
    size : int or None
        Of the whole object; None where a transform makes it unknown.
    part_size : int
        Bytes of every part but the last.
    upload_id : str
        An upload to go on with; empty to begin a new one.
    """

    size: int | None
    part_size: int
    upload_id: str = ""


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A part of an upload; numbers are from 1."""

    number: int
    size: int
    etag: str = ""
    crc64nvme: int | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An upload as the ledger knows it; without an id where a process died before it learnt it."""

    key: bytes
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCapabilities:
    """What a source can do.

    Attributes
    ----------
    positioned : bool
        `Source.read` works; otherwise only `Source.stream`.
    order : {"none", "byte_key"}
        Of listings: any, or strictly ascending by key, bytewise, within a partition. Large sources want ``"byte_key"``: a
        listing that was broken off is then carried on, and the destination's is joined with it.
    start_after : bool
        `ListRequest.after` and `before` are honoured.
    lists_stamps : bool
        The listing fills the stamp that `Source.read` reports.
    versions : bool
        Listings fill `Item.version`; each version goes to the key ``key?versionId=version``.
    links : bool
        Items are links that somebody else made: one that is refused or not there is dead, and vanishes with its class; it
        says nothing of the source as a whole.
    """

    positioned: bool = True
    order: Order = "none"
    start_after: bool = False
    lists_stamps: bool = True
    versions: bool = False
    links: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationCapabilities:
    """What a destination can do.

    Attributes
    ----------
    order, start_after
        As in `SourceCapabilities`.
    conditional : bool
        `WriteOptions.condition` is honoured atomically.
    parts, lists_parts : bool
        `Destination.begin_parts` works; `PartUpload.existing` tells which parts are held.
    listing_has_etag, listing_has_mtime : bool
        Listings and `Stored` carry an ETag that changes with the content, the ``mtime_ns`` that was written.
    min_part_bytes, max_part_bytes, max_parts, max_put_bytes, max_object_bytes : int or None
        Limits; None is none.
    needs_flush : bool
        A put alone does not survive power loss.
    """

    order: Order = "none"
    start_after: bool = False
    conditional: bool = False
    parts: bool = False
    lists_parts: bool = False
    listing_has_etag: bool = False
    listing_has_mtime: bool = False
    min_part_bytes: int = 1
    max_part_bytes: int | None = None
    max_parts: int | None = None
    max_put_bytes: int | None = None
    max_object_bytes: int | None = None
    needs_flush: bool = False


class Source(ABC):
    """Where items come from. Implement `identity`, `list`, and one of `read` and `stream`.

    Every method may be called from many threads at once.
    """

    def capabilities(self) -> SourceCapabilities:
        """What this source can do. By default it is positioned if it has a `read`, and promises nothing else."""
        return SourceCapabilities(positioned=type(self).read is not Source.read)

    @abstractmethod
    def identity(self) -> str:
        """Who this source is, for the fingerprint of a migration: the same text for the same place, for example
        ``"imap://mail.example/archive"``. No credentials. Asked once for each migration."""

    def endpoint(self) -> str:
        """What retry budgets and concurrency are kept for: scheme, host and port. By default the scheme of `identity`."""
        return self.identity().partition("://")[0]

    def check(self, context: Context) -> None:
        """Whether the store is there and readable; called once before a run. By default nothing is done."""
        del context

    @abstractmethod
    def list(self, request: ListRequest, context: Context) -> Iterable[Item]:
        """The items, lazily: a generator is right. It is drawn from a thousand at a time, by one thread at a time.

        After an exception that is worth another try it is asked for anew, with ``request.after`` set to the last key where
        the capabilities say ``start_after``, else from the beginning.
        """

    def read(self, item: Item, offset: int, length: int, context: Context) -> bytes | ReadResult:
        """`length` bytes from byte `offset` on: fewer only at the end, none past it. At most 8 MiB are asked for at once."""
        raise NotImplementedError(f"{type(self).__name__} has no positioned reads")

    def stream(self, item: Item, context: Context) -> BinaryIO | Iterable[bytes] | StreamResult:
        """The content in order; a retry begins again. By default it is read through `read`."""
        raise NotImplementedError(f"{type(self).__name__} has neither read nor stream")

    def stat(self, id: ItemId, context: Context) -> Item | None:
        """The item as it is now, or None if it is gone. By default it is looked for in the listing: override it where
        there is a quicker way."""
        can_start = self.capabilities().start_after
        request = ListRequest(_before(id.key), id.key + b"\0") if can_start else ListRequest()
        return next((item for item in self.list(request, context) if item.id == id), None)

    def item_at(self, url: str) -> ItemId | None:
        """Which item of this source a URL points at, told by the URL alone; None where it is no URL of this source. What
        links a record of a `Catalog` to its item. An empty partition: of whatever partition the record belongs to."""
        return None

    def remove(self, item: Item, context: Context) -> Removal:
        """Remove the item if it is still the revision of `item`; for `Migration.remove` alone."""
        raise NotImplementedError(f"{type(self).__name__} removes nothing")


class PartUpload(ABC):
    """One large object being written in parts. `write` may be called from many threads at once, the rest from one.

    Dropping it leaves the upload open for a later process; `abort` removes it.
    """

    @abstractmethod
    def id(self) -> str:
        """What `PartPlan.upload_id` takes to go on with this upload."""

    def existing(self, context: Context) -> Sequence[PartInfo]:
        """The parts that the store holds, by number, where the capabilities say ``lists_parts``."""
        return ()

    @abstractmethod
    def write(self, number: int, offset: int, body: Body, context: Context) -> PartInfo:
        """Write part `number`, from 1; repeating it replaces the part."""

    @abstractmethod
    def complete(self, parts: Sequence[PartInfo], context: Context) -> Stored:
        """Make the object appear at its key, from `parts` in ascending order. May be repeated after a lost answer."""

    @abstractmethod
    def abort(self, context: Context) -> None:
        """Remove the upload and its parts; no error if it is gone."""


class Destination(ABC):
    """Where items go. Implement `identity`, `list`, `stat` and `put`.

    Every method may be called from many threads at once.
    """

    def capabilities(self) -> DestinationCapabilities:
        """What this destination can do; by default nothing but `put`."""
        return DestinationCapabilities()

    @abstractmethod
    def identity(self) -> str:
        """As `Source.identity`."""

    def endpoint(self) -> str:
        """As `Source.endpoint`."""
        return self.identity().partition("://")[0]

    def check(self, context: Context) -> None:
        """Whether the store is there and writable; must leave nothing behind. By default nothing is done."""
        del context

    @abstractmethod
    def list(self, request: ListRequest, context: Context) -> Iterable[Item]:
        """As `Source.list`."""

    @abstractmethod
    def stat(self, key: bytes, context: Context) -> Item | None:
        """The object at `key` as it is now, or None."""

    @abstractmethod
    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        """Write a whole object. On return the store has acknowledged it. A failed put leaves the key as it was, or with
        the whole new object; never with a part of it. Raise `AbortedError` with ``error_class="conflict"`` where the
        condition is not met."""

    def begin_parts(self, key: bytes, plan: PartPlan, options: WriteOptions, context: Context) -> PartUpload:
        """Begin, or go on with, an object in parts."""
        raise NotImplementedError(f"{type(self).__name__} has no objects in parts")

    def read(self, item: Item, offset: int, length: int, context: Context) -> bytes | ReadResult:
        """Read back what is stored, as `Source.read`: for `Migration.verify` and to tell whether an object that is in the
        way is the same."""
        raise NotImplementedError(f"{type(self).__name__} does not read back")

    def flush(self, context: Context) -> None:
        """Make everything that was put before durable."""
        del context

    def remove(self, key: bytes, context: Context) -> None:
        """Remove the object; no error if it is gone."""
        raise NotImplementedError(f"{type(self).__name__} removes nothing")

    def sweep(self, known: Sequence[OpenUpload], context: Context) -> None:
        """Remove what earlier processes of this migration (`Context.migration`) left behind and `known` has not. By
        default nothing is done."""
        del known, context


class Transform(ABC):
    """Changes the bytes of items on their way. Every method may be called from many threads at once."""

    @abstractmethod
    def identity(self) -> str:
        """A name and version, part of the migration's fingerprint, for example ``"gzip-6"``."""

    @abstractmethod
    def apply(self, item: Item, input: InputStream, context: Context) -> BinaryIO | Iterable[bytes] | StreamResult:
        """The changed content; `input` is a binary file to be read to its end. A generator is right."""

    def attributes(self, item: Item, attributes: Attributes) -> Attributes:
        """Attributes of the result, from those of the source: by default the same."""
        del item
        return attributes


class BuiltinSource(Source):
    """A source of waybill's own."""

    def __init__(self, core: _core.Source) -> None:
        self._core = core

    def capabilities(self) -> SourceCapabilities:
        return SourceCapabilities(**self._core.capabilities())

    def identity(self) -> str:
        return self._core.identity()

    def endpoint(self) -> str:
        return self._core.endpoint()

    def check(self, context: Context) -> None:
        self._core.check(context)

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        return _pages(self._core.list(request.after, request.before, context), context)

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return self._core.read(item, offset, length, context)

    def stream(self, item: Item, context: Context) -> StreamResult:
        stream = self._core.stream(item, context)
        return StreamResult(cast(BinaryIO, stream), stream.size, stream.stamp, stream.attributes)

    def stat(self, id: ItemId, context: Context) -> Item | None:
        return self._core.stat(id.partition, id.key, id.version, context)

    def item_at(self, url: str) -> ItemId | None:
        return self._core.item_at(url)

    def remove(self, item: Item, context: Context) -> Removal:
        return cast(Removal, self._core.remove(item, context))


class _BuiltinPartUpload(PartUpload):
    def __init__(self, core: _core.PartUpload) -> None:
        self._core = core

    def id(self) -> str:
        return self._core.id()

    def existing(self, context: Context) -> Sequence[PartInfo]:
        return self._core.existing(context)

    def write(self, number: int, offset: int, body: Body, context: Context) -> PartInfo:
        return self._core.write(number, offset, body, context)

    def complete(self, parts: Sequence[PartInfo], context: Context) -> Stored:
        return self._core.complete(parts, context)

    def abort(self, context: Context) -> None:
        self._core.abort(context)


class BuiltinDestination(Destination):
    """A destination of waybill's own."""

    def __init__(self, core: _core.Destination) -> None:
        self._core = core

    def capabilities(self) -> DestinationCapabilities:
        return DestinationCapabilities(**self._core.capabilities())

    def identity(self) -> str:
        return self._core.identity()

    def endpoint(self) -> str:
        return self._core.endpoint()

    def check(self, context: Context) -> None:
        self._core.check(context)

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        return _pages(self._core.list(request.after, request.before, context), context)

    def stat(self, key: bytes, context: Context) -> Item | None:
        return self._core.stat(key, context)

    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        return self._core.put(key, body, options, context)

    def begin_parts(self, key: bytes, plan: PartPlan, options: WriteOptions, context: Context) -> PartUpload:
        return _BuiltinPartUpload(self._core.begin_parts(key, plan, options, context))

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return self._core.read(item, offset, length, context)

    def flush(self, context: Context) -> None:
        self._core.flush(context)

    def remove(self, key: bytes, context: Context) -> None:
        self._core.remove(key, context)

    def sweep(self, known: Sequence[OpenUpload], context: Context) -> None:
        self._core.sweep(known, context)


def as_engine_sees(store: _Store) -> _Store:
    """A store in Python behind the very adapter that a run calls it through; for the conformance suite."""
    if isinstance(store, Source):
        return cast(_Store, BuiltinSource(core_source(store)))
    if isinstance(store, Destination):
        return cast(_Store, BuiltinDestination(core_destination(store)))
    raise TypeError(f"{store!r} is neither a Source nor a Destination")


def core_source(source: Source) -> _core.Source:
    """What the engine takes for `source`."""
    return source._core if isinstance(source, BuiltinSource) else _core.adapt_source(source)


def core_destination(destination: Destination) -> _core.Destination:
    """What the engine takes for `destination`."""
    if isinstance(destination, BuiltinDestination):
        return destination._core
    return _core.adapt_destination(destination)


SOURCE_WANTED = "a path, a URL, or an object of a subclass of waybill.Source"
DESTINATION_WANTED = "a path, a URL, or an object of a subclass of waybill.Destination"


def place_of(value: object, name: str, wanted: str) -> bytes:
    """A path or URL as bytes. Raises InvalidArgumentError, naming the argument and what is wanted."""
    if isinstance(value, str | bytes | os.PathLike):
        return os.fsencode(value)
    raise InvalidArgumentError(
        f"{name}: {value!r} is not {wanted}", code="invalid_argument", error_class="configuration"
    )


def _pages(lister: _core.Lister, context: Context) -> Iterator[Item]:
    is_last = False
    while not is_last:
        items, is_last = lister.next(context)
        yield from items


def _before(key: bytes) -> bytes:
    """A key that is less than `key` with nothing, or next to nothing, between them; empty for the least ones."""
    if not key or key == b"\0":
        return b""
    if key[-1] == 0:
        return key[:-1]
    return key[:-1] + bytes([key[-1] - 1]) + b"\xff"
