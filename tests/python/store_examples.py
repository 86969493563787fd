# SPDX-License-Identifier: Apache-2.0
"""Stores in Python over a dictionary, for tests: of objects (`DictSource`, `DictDestination`)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import waybill


@dataclass
class Object:
    """What is at a key."""

    content: bytes
    attributes: waybill.Attributes = field(default_factory=waybill.Attributes)
    revision: int = 1

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:16]


class DictSource(waybill.Source):
    """Objects in a dictionary, with everything that a source can have."""

    def __init__(self, objects: dict[bytes, Object] | None = None, name: str = "from") -> None:
        self.objects = {} if objects is None else objects
        self.name = name

    def identity(self) -> str:
        return f"dict://{self.name}/"

    def capabilities(self) -> waybill.SourceCapabilities:
        return waybill.SourceCapabilities(order="byte_key", start_after=True)

    def item(self, key: bytes) -> waybill.Item:
        found = self.objects[key]
        return waybill.Item(key, size=len(found.content), etag=found.etag, opaque=str(found.revision))

    def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[waybill.Item]:
        for key in sorted(self.objects):
            if key > request.after and (not request.before or key < request.before):
                yield self.item(key)

    def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
        if item.key not in self.objects:
            raise FileNotFoundError(waybill.printable(item.key))
        found = self.objects[item.key]
        now = self.item(item.key)
        return waybill.ReadResult(
            found.content[offset : offset + length], len(found.content), now.stamp, found.attributes
        )

    def stat(self, id: waybill.ItemId, context: waybill.Context) -> waybill.Item | None:
        return self.item(id.key) if id.key in self.objects else None

    def remove(self, item: waybill.Item, context: waybill.Context) -> waybill.Removal:
        return "gone" if self.objects.pop(item.key, None) is None else "removed"


class DictUpload(waybill.PartUpload):
    """An object in parts."""

    def __init__(self, store: DictDestination, key: bytes, id: str, options: waybill.WriteOptions) -> None:
        self._store, self._key, self._id, self._options = store, key, id, options

    def id(self) -> str:
        return self._id

    def _parts(self) -> dict[int, bytes]:
        try:
            return self._store.uploads[self._id].parts
        except KeyError:
            raise waybill.NotFoundError("no such upload", code="not_found", error_class="missing") from None

    def existing(self, context: waybill.Context) -> Sequence[waybill.PartInfo]:
        return [waybill.PartInfo(number, len(part), str(number)) for number, part in sorted(self._parts().items())]

    def write(self, number: int, offset: int, body: waybill.Body, context: waybill.Context) -> waybill.PartInfo:
        content = body.read()
        with self._store.lock:
            self._parts()[number] = content
        return waybill.PartInfo(number, len(content), str(number))

    def complete(self, parts: Sequence[waybill.PartInfo], context: waybill.Context) -> waybill.Stored:
        with self._store.lock:
            if self._id in self._store.completed:
                return self._store.stored(self._key)
            held = self._parts()
            content = b"".join(held[part.number] for part in parts)
            self._store.replace(self._key, content, self._options)
            self._store.completed.add(self._id)
            del self._store.uploads[self._id]
            return self._store.stored(self._key)

    def abort(self, context: waybill.Context) -> None:
        self._store.uploads.pop(self._id, None)


@dataclass
class _Upload:
    key: bytes
    migration: str
    parts: dict[int, bytes] = field(default_factory=dict)


class DictDestination(waybill.Destination):
    """Objects in a dictionary, with everything that a destination can have."""

    def __init__(self, objects: dict[bytes, Object] | None = None, name: str = "to") -> None:
        self.objects = {} if objects is None else objects
        self.uploads: dict[str, _Upload] = {}
        self.completed: set[str] = set()
        self.name = name
        self.lock = threading.RLock()

    def identity(self) -> str:
        return f"dict://{self.name}/"

    def capabilities(self) -> waybill.DestinationCapabilities:
        return waybill.DestinationCapabilities(
            order="byte_key",
            start_after=True,
            conditional=True,
            parts=True,
            lists_parts=True,
            listing_has_etag=True,
        )

    def item(self, key: bytes) -> waybill.Item:
        found = self.objects[key]
        return waybill.Item(key, size=len(found.content), etag=found.etag)

    def stored(self, key: bytes) -> waybill.Stored:
        found = self.objects[key]
        return waybill.Stored(len(found.content), found.etag)

    def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[waybill.Item]:
        for key in sorted(self.objects):
            if key > request.after and (not request.before or key < request.before):
                yield self.item(key)

    def stat(self, key: bytes, context: waybill.Context) -> waybill.Item | None:
        return self.item(key) if key in self.objects else None

    def replace(self, key: bytes, content: bytes, options: waybill.WriteOptions) -> None:
        """With the lock held."""
        there, condition = self.objects.get(key), options.condition
        is_met = (
            condition.kind == "none"
            or (condition.kind == "absent" and there is None)
            or (condition.kind == "unchanged" and there is not None and there.etag == condition.etag)
        )
        if not is_met:
            raise waybill.AbortedError("the condition is not met", code="aborted", error_class="conflict")
        self.objects[key] = Object(content, options.attributes)

    def put(
        self, key: bytes, body: waybill.Body, options: waybill.WriteOptions, context: waybill.Context
    ) -> waybill.Stored:
        content = body.read()
        with self.lock:
            self.replace(key, content, options)
            return self.stored(key)

    def begin_parts(
        self, key: bytes, plan: waybill.PartPlan, options: waybill.WriteOptions, context: waybill.Context
    ) -> waybill.PartUpload:
        with self.lock:
            id = plan.upload_id or f"upload-{len(self.uploads) + len(self.completed) + 1}"
            if not plan.upload_id:
                self.uploads[id] = _Upload(key, context.migration)
            return DictUpload(self, key, id, options)

    def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
        if item.key not in self.objects:
            raise FileNotFoundError(waybill.printable(item.key))
        found = self.objects[item.key]
        return waybill.ReadResult(
            found.content[offset : offset + length], len(found.content), self.item(item.key).stamp, found.attributes
        )

    def remove(self, key: bytes, context: waybill.Context) -> None:
        self.objects.pop(key, None)

    def sweep(self, known: Sequence[waybill.OpenUpload], context: waybill.Context) -> None:
        ids = {upload.id for upload in known}
        with self.lock:
            for id, upload in list(self.uploads.items()):
                if upload.migration == context.migration and id not in ids:
                    del self.uploads[id]
