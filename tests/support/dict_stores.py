# SPDX-License-Identifier: Apache-2.0
"""Stores in Python over a dict: with everything that the interface has, with as little as it takes, and in order only."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import waybill
from waybill import (
    AbortedError,
    Attributes,
    Body,
    Condition,
    Context,
    Destination,
    DestinationCapabilities,
    Item,
    ItemId,
    ListRequest,
    OpenUpload,
    PartInfo,
    PartPlan,
    PartUpload,
    ReadResult,
    Source,
    SourceCapabilities,
    SourceStamp,
    Stored,
    StreamResult,
    WriteOptions,
)

MOST_BYTES_OF_A_KEY = 1024
ALWAYS = Condition()


@dataclass(frozen=True)
class Entry:
    """One object."""

    content: bytes
    etag: str
    attributes: Attributes = field(default_factory=Attributes)

    @property
    def mtime_ns(self) -> int | None:
        return self.attributes.mtime_ns


@dataclass
class Upload:
    """Parts on their way."""

    key: bytes
    owner: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Store:
    """What is behind the stores of this file. Any thread. While `gate` is shut, whoever comes hangs."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.uploads: dict[str, Upload] = {}
        self.begun = 0  # uploads, ever
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()
        self._numbers = itertools.count(1)

    def write(self, key: bytes, content: bytes, attributes: Attributes, condition: Condition = ALWAYS) -> Entry:
        with self.lock:
            self.require(key, condition)
            etag = f"{next(self._numbers)}-{hashlib.md5(content).hexdigest()}"
            self.entries[key] = Entry(content, etag, attributes)
            return self.entries[key]

    def require(self, key: bytes, condition: Condition) -> None:
        now = self.entries.get(key)
        is_met = {
            "none": True,
            "absent": now is None,
            "unchanged": now is not None and now.etag == condition.etag,
        }[condition.kind]
        if not is_met:
            raise AbortedError("something else is there now", code="aborted", error_class="conflict")

    def begin(self, key: bytes, owner: str) -> str:
        with self.lock:
            upload_id = f"upload-{next(self._numbers)}"
            self.uploads[upload_id] = Upload(key, owner)
            self.begun += 1
            return upload_id

    def upload(self, upload_id: str) -> Upload:
        try:
            return self.uploads[upload_id]
        except KeyError:
            raise FileNotFoundError(f"the upload {upload_id} is gone") from None

    def sorted_keys(self, request: ListRequest) -> list[bytes]:
        keys = sorted(self.entries)
        begin = bisect.bisect_right(keys, request.after)
        return keys[begin : bisect.bisect_left(keys, request.before) if request.before else None]


def stored_of(entry: Entry) -> Stored:
    return Stored(len(entry.content), entry.etag, entry.mtime_ns)


def item_of(key: bytes, entry: Entry) -> Item:
    return Item(key, len(entry.content), entry.etag, entry.mtime_ns)


class DictSource(Source):
    """Positioned, ordered, with stamps."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def capabilities(self) -> SourceCapabilities:
        return SourceCapabilities(order="byte_key", start_after=True)

    def identity(self) -> str:
        return "dict://source"

    def check(self, context: Context) -> None:
        self.store.gate.wait()

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        for key in self.store.sorted_keys(request):
            self.store.gate.wait()
            entry = self.store.entries.get(key)
            if entry is not None:
                yield item_of(key, entry)

    def entry(self, key: bytes) -> Entry:
        self.store.gate.wait()
        entry = self.store.entries.get(key)
        if entry is None:
            raise FileNotFoundError(waybill.printable(key))
        return entry

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        entry = self.entry(item.key)
        stamp = SourceStamp(len(entry.content), entry.etag, entry.mtime_ns)
        return ReadResult(entry.content[offset : offset + length], len(entry.content), stamp, entry.attributes)

    def stat(self, id: ItemId, context: Context) -> Item | None:
        self.store.gate.wait()
        entry = self.store.entries.get(id.key)
        return None if entry is None else item_of(id.key, entry)


class MinimalSource(Source):
    """Only `list` and `read`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def identity(self) -> str:
        return "minimal://source"

    def list(self, request: ListRequest, context: Context) -> Iterable[Item]:
        self.store.gate.wait()
        return [Item(key, opaque=entry.etag) for key, entry in list(self.store.entries.items())]

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        self.store.gate.wait()
        try:
            entry = self.store.entries[item.key]
        except KeyError:
            raise FileNotFoundError(waybill.printable(item.key)) from None
        return ReadResult(entry.content[offset : offset + length], stamp=SourceStamp(opaque=entry.etag))


class StreamSource(Source):
    """Only `list` and `stream`: chunks of many lengths."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def identity(self) -> str:
        return "stream://source"

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        self.store.gate.wait()
        for key, entry in list(self.store.entries.items()):
            yield Item(key, len(entry.content), entry.etag)

    def stream(self, item: Item, context: Context) -> BinaryIO | Iterable[bytes] | StreamResult:
        self.store.gate.wait()
        entry = self.store.entries.get(item.key)
        if entry is None:
            raise FileNotFoundError(waybill.printable(item.key))
        return StreamResult(self._chunks(entry), len(entry.content), SourceStamp(len(entry.content), entry.etag))

    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        position = 0
        for size in itertools.cycle((1, 0, 70_000, 333, 1_000_000)):
            self.store.gate.wait()
            if position >= len(entry.content):
                return
            yield entry.content[position : position + size]
            position += size


class DictUpload(PartUpload):
    """Parts of one object."""

    def __init__(self, store: Store, upload_id: str, key: bytes, options: WriteOptions) -> None:
        self.store = store
        self.upload_id = upload_id
        self.key = key
        self.options = options
        self.done: Stored | None = None

    def id(self) -> str:
        return self.upload_id

    def existing(self, context: Context) -> Sequence[PartInfo]:
        self.store.gate.wait()
        parts = self.store.upload(self.upload_id).parts
        return [self._info(number, parts[number]) for number in sorted(parts)]

    def write(self, number: int, offset: int, body: Body, context: Context) -> PartInfo:
        self.store.gate.wait()
        content = body.read()
        self.store.upload(self.upload_id).parts[number] = content
        return self._info(number, content)

    def _info(self, number: int, content: bytes) -> PartInfo:
        return PartInfo(number, len(content), hashlib.md5(content).hexdigest())

    def complete(self, parts: Sequence[PartInfo], context: Context) -> Stored:
        self.store.gate.wait()
        if self.done is None:
            held = self.store.upload(self.upload_id).parts
            content = b"".join(held[part.number] for part in parts)
            self.done = stored_of(self.store.write(self.key, content, self.options.attributes, self.options.condition))
            self.store.uploads.pop(self.upload_id)
        return self.done

    def abort(self, context: Context) -> None:
        self.store.gate.wait()
        self.store.uploads.pop(self.upload_id, None)


class DictDestination(Destination):
    """Conditional, ordered, with ETags, parts, reading back and removal."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def capabilities(self) -> DestinationCapabilities:
        return DestinationCapabilities(
            order="byte_key",
            start_after=True,
            conditional=True,
            parts=True,
            lists_parts=True,
            listing_has_etag=True,
            listing_has_mtime=True,
            max_put_bytes=20_000_000,
        )

    def identity(self) -> str:
        return "dict://destination"

    def check(self, context: Context) -> None:
        self.store.gate.wait()

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        for key in self.store.sorted_keys(request):
            self.store.gate.wait()
            entry = self.store.entries.get(key)
            if entry is not None:
                yield item_of(key, entry)

    def stat(self, key: bytes, context: Context) -> Item | None:
        self.store.gate.wait()
        entry = self.store.entries.get(key)
        return None if entry is None else item_of(key, entry)

    def require_key(self, key: bytes) -> None:
        if not 0 < len(key) <= MOST_BYTES_OF_A_KEY:
            raise NotImplementedError(f"a key of {len(key)} bytes")

    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        self.store.gate.wait()
        self.require_key(key)
        if body.size > 20_000_000:
            raise waybill.OutOfRangeError("larger than 20 MB", code="out_of_range", error_class="too_large")
        content = body.read()
        return stored_of(self.store.write(key, content, options.attributes, options.condition))

    def begin_parts(self, key: bytes, plan: PartPlan, options: WriteOptions, context: Context) -> PartUpload:
        self.store.gate.wait()
        self.require_key(key)
        return DictUpload(self.store, plan.upload_id or self.store.begin(key, context.migration), key, options)

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return DictSource(self.store).read(item, offset, length, context)

    def remove(self, key: bytes, context: Context) -> None:
        self.store.gate.wait()
        self.store.entries.pop(key, None)

    def sweep(self, known: Sequence[OpenUpload], context: Context) -> None:
        kept = {upload.id for upload in known}
        for upload_id, upload in list(self.store.uploads.items()):
            if upload.owner == context.migration and upload_id not in kept:
                self.store.uploads.pop(upload_id)


class MinimalDestination(Destination):
    """Only `list`, `stat` and `put`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def identity(self) -> str:
        return "minimal://destination"

    def list(self, request: ListRequest, context: Context) -> Iterable[Item]:
        self.store.gate.wait()
        return [Item(key, len(entry.content)) for key, entry in list(self.store.entries.items())]

    def stat(self, key: bytes, context: Context) -> Item | None:
        self.store.gate.wait()
        entry = self.store.entries.get(key)
        return None if entry is None else Item(key, len(entry.content))

    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        self.store.gate.wait()
        if not key:
            raise NotImplementedError("a key without a name")
        content = body.read()
        self.store.write(key, content, Attributes())
        return Stored(len(content))
