# SPDX-License-Identifier: Apache-2.0
"""An fsspec filesystem as a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from waybill.errors import AbortedError, NotFoundError
from waybill.fsspec.info import attributes_of, item_of
from waybill.fsspec.place import Place
from waybill.records import printable
from waybill.stores import (
    Context,
    Item,
    ItemId,
    ListRequest,
    ReadResult,
    Removal,
    Source,
    SourceCapabilities,
)

__all__ = ["FsspecSource"]


class FsspecSource(Source):
    """Everything below a folder of an fsspec filesystem; an empty folder is an item whose key ends in ``/``.

    Listings come folder by folder in the order of keys: one folder's entries are in memory at once, and those of the ones
    above it. A read asks for the file's entry again after its bytes, so that a change is seen as far as the filesystem tells
    of it: by ETag, generation, checksum, time of modification, whatever it has. Symbolic links are refused by name.

    Parameters
    ----------
    filesystem_or_url : AbstractFileSystem or str
        One that was made already, or a URL with ``storage_options``.
    root : str, optional
        The folder; below that of the URL.
    connections : int, optional
        How many instances of the filesystem, each used by one thread at a time, there may be at most; 0 is the one that
        was given, for all threads at once. By default 8 for ``sftp``, ``ssh``, ``ftp`` and ``smb``, else 0.

    Raises
    ------
    InvalidArgumentError
        Neither a URL nor a filesystem; one that is for asyncio alone.
    ImportError
        fsspec, or what the filesystem needs, is not installed.

    *Threads:* any.
    """

    def __init__(
        self, filesystem_or_url: Any, root: str = "", *, connections: int | None = None, **storage_options: Any
    ) -> None:
        self._place = Place(filesystem_or_url, root, connections, storage_options)

    def capabilities(self) -> SourceCapabilities:
        return SourceCapabilities(order="byte_key", start_after=True)

    def identity(self) -> str:
        return self._place.identity()

    def endpoint(self) -> str:
        return self._place.endpoint()

    def check(self, context: Context) -> None:
        with self._place.using(context, self._place.root or "/") as filesystem:
            filesystem.ls(self._place.root, detail=True)

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        return self._place.list(request, context, is_source=True)

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return read(self._place, item, offset, length, context)

    def stat(self, id: ItemId, context: Context) -> Item | None:
        return self._place.stat(id.key, context)

    def remove(self, item: Item, context: Context) -> Removal:
        """Looks, and removes right after that: there is no step for both."""
        path = self._place.path_of(item.key)
        try:
            with self._place.using(context, item.key) as filesystem:
                now = self._place.look(filesystem, item.key, path)
                if now is None or now.stamp != item.stamp:
                    raise AbortedError(
                        f"{printable(item.key)} is another one now", code="aborted", error_class="conflict"
                    )
                if item.key.endswith(b"/"):
                    filesystem.rmdir(path)
                else:
                    filesystem.rm_file(path)
        except (FileNotFoundError, NotADirectoryError):
            return "gone"
        return "removed"


def read(place: Place, item: Item, offset: int, length: int, context: Context) -> ReadResult:
    """A part of a file, with its entry as it is afterwards."""
    path = place.path_of(item.key)
    with place.using(context, item.key) as filesystem:
        if item.key.endswith(b"/"):
            if place.look(filesystem, item.key, path) is None:
                raise _missing(item)
            return ReadResult(b"", 0)
        end = offset + length if item.size is None else min(offset + length, item.size)
        data = _bytes_of(filesystem, path, offset, end) if end > offset else b""
        info = filesystem.info(path)
        now = item_of(item.key, info)
        if now.refused or info.get("type") != "file":
            raise _missing(item)
        return ReadResult(data, now.size, now.stamp, attributes_of(info))


def _bytes_of(filesystem: Any, path: str, begin: int, end: int) -> bytes:
    if hasattr(filesystem, "ftp") and hasattr(filesystem.ftp, "listdir_iter"):  # paramiko: many requests at once
        try:
            with filesystem.open(path, "rb") as file:
                return b"".join(file.readv([(begin, end - begin)]))
        except EOFError:
            pass  # it is shorter now
    return bytes(filesystem.cat_file(path, start=begin, end=end))


def _missing(item: Item) -> NotFoundError:
    return NotFoundError(f"{printable(item.key)} is no file any more", code="not_found", error_class="missing")
