# SPDX-License-Identifier: Apache-2.0
"""An fsspec filesystem as a destination."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from waybill.errors import AbortedError, DataLossError, Error, InvalidArgumentError
from waybill.fsspec.place import TEMPORARY, Place, unsupported
from waybill.fsspec.source import read
from waybill.records import printable
from waybill.stores import (
    Body,
    Context,
    Destination,
    DestinationCapabilities,
    Item,
    ListRequest,
    OpenUpload,
    ReadResult,
    Stored,
    WriteOptions,
)

__all__ = ["FsspecDestination"]

# Where a file that is moved replaces another one in one step.
_RENAMES = frozenset({"file", "local", "sftp", "ssh", "ftp"})
# Where an object shows when it is whole, and not before.
_WHOLE = frozenset({"memory", "gs", "gcs", "abfs", "abfss", "az", "s3", "s3a", "oss", "r2", "tos", "oci", "hf"})
_ETAGS = frozenset({"gs", "gcs", "abfs", "abfss", "az", "s3", "s3a", "oss", "r2"})
_WINDOW = 8 << 20
_REMEMBERED_FOLDERS = 10_000
_NAME_BYTES, _PATH_BYTES = 255, 4000


class FsspecDestination(Destination):
    """A folder of an fsspec filesystem, made when something is put into it.

    An object is at its key when it is whole, and not before: where the filesystem moves files in one step, it is written under
    a temporary name (``.waybill-tmp-…`` in the root) and moved; object stores show what is complete by themselves. After
    each write the size that is stored is looked at. Large objects are streamed in one go: a retry begins them anew, and there
    are no conditional writes. Attributes are not kept.

    Parameters
    ----------
    filesystem_or_url, root, connections, **storage_options
        As `FsspecSource`.
    writes : {"rename", "whole"}, optional
        How objects appear: under a temporary name that is moved in one step, or at once where the filesystem shows nothing
        that is not whole. Known for the common ones.

    Raises
    ------
    InvalidArgumentError
        As `FsspecSource`; it is not known how objects appear there, and ``writes`` does not say it.

    *Threads:* any.
    """

    def __init__(
        self,
        filesystem_or_url: Any,
        root: str = "",
        *,
        connections: int | None = None,
        writes: Literal["rename", "whole"] | None = None,
        **storage_options: Any,
    ) -> None:
        self._place = Place(filesystem_or_url, root, connections, storage_options)
        protocol = self._place.protocol
        if writes is None and protocol in _RENAMES | _WHOLE:
            writes = "rename" if protocol in _RENAMES else "whole"
        if writes not in ("rename", "whole"):
            raise InvalidArgumentError(
                f'writes: {writes!r} is neither "rename" nor "whole", and how {protocol} shows new files is not known',
                code="invalid_argument",
                error_class="configuration",
            )
        self._renames = writes == "rename"
        self._folders: set[str] = set()
        self._lock = threading.Lock()

    def capabilities(self) -> DestinationCapabilities:
        return DestinationCapabilities(
            order="byte_key", start_after=True, listing_has_etag=self._place.protocol in _ETAGS
        )

    def identity(self) -> str:
        return self._place.identity()

    def endpoint(self) -> str:
        return self._place.endpoint()

    def check(self, context: Context) -> None:
        with self._place.using(context, self._place.root or "/") as filesystem:
            filesystem.exists(self._place.root or "/")

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        return self._place.list(request, context, is_source=False)

    def stat(self, key: bytes, context: Context) -> Item | None:
        return self._place.stat(key, context)

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return read(self._place, item, offset, length, context)

    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        path = self._place.path_of(key)
        if self._renames and (len(key) > _PATH_BYTES or max(map(len, key.split(b"/"))) > _NAME_BYTES):
            raise unsupported(key, "longer than the names of files can be")
        with self._place.using(context, key) as filesystem:
            try:
                if key.endswith(b"/"):
                    return self._make_folder(filesystem, key, path)
                if self._renames:
                    self._write_and_move(filesystem, key, path, body, context)
                else:
                    self._write_whole(filesystem, path, body, context)
            except Exception as error:
                if not isinstance(error, Error):
                    self._explain(filesystem, key, path)
                raise
            item = self._place.look(filesystem, key, path)
            if item is None:
                raise _in_the_way(key, "a folder of that name is there")
            if item.size is not None and item.size != body.size:
                raise _not_whole(key, item.size, body.size)
            return Stored(body.size, item.etag if self._place.protocol in _ETAGS else "")

    def _write_and_move(self, filesystem: Any, key: bytes, path: str, body: Body, context: Context) -> None:
        folder = self._temporary_folder(context)
        temporary = f"{folder}/{uuid.uuid4().hex}"
        folders = [folder, filesystem._parent(path)]
        try:
            with self._in_folders(filesystem, folders, lambda: filesystem.open(temporary, "wb")) as file:
                if hasattr(file, "set_pipelined"):
                    file.set_pipelined(True)  # of paramiko: no answer is waited for; the size is looked at below
                for chunk in _chunks(body, context):
                    file.write(chunk)
            size = filesystem.info(temporary)["size"]
            if size != body.size:
                raise _not_whole(key, size, body.size)
            context.check()
            self._in_folders(filesystem, folders, lambda: _move(filesystem, temporary, path))
        except BaseException:
            _try_to_remove(filesystem, temporary)
            raise

    def _in_folders(self, filesystem: Any, folders: Sequence[str], work: Callable[[], Any]) -> Any:
        """Does `work` where `folders` are there: also where somebody removes one that was made before."""
        self._make_folders(filesystem, folders)
        try:
            return work()
        except FileNotFoundError:
            self._forget()
            self._make_folders(filesystem, folders)
            return work()

    def _write_whole(self, filesystem: Any, path: str, body: Body, context: Context) -> None:
        if body.size <= _WINDOW or self._place.protocol == "memory":
            filesystem.pipe_file(path, b"".join(_chunks(body, context)))
            return
        file = filesystem.open(path, "wb", block_size=_block_size(body.size))
        try:
            for chunk in _chunks(body, context):
                file.write(chunk)
        except BaseException:
            # Closing would complete the object with what it has so far.
            file.closed = True
            file.discard()
            raise
        file.close()

    def _make_folder(self, filesystem: Any, key: bytes, path: str) -> Stored:
        filesystem.makedirs(path, exist_ok=True)
        self._forget()
        try:
            if filesystem.info(path)["type"] == "directory":
                return Stored(0)
        except FileNotFoundError:
            pass
        raise unsupported(key, "there are no empty folders")

    def _make_folders(self, filesystem: Any, folders: Sequence[str]) -> None:
        for folder in folders:
            with self._lock:
                if folder in self._folders:
                    continue
            _make_folder(filesystem, folder)
            with self._lock:
                if len(self._folders) >= _REMEMBERED_FOLDERS:
                    self._folders.clear()
                self._folders.add(folder)

    def _forget(self) -> None:
        with self._lock:
            self._folders.clear()

    def _explain(self, filesystem: Any, key: bytes, path: str) -> None:
        """Raises what is in the way of a write that failed, if something is."""
        self._forget()
        if filesystem.isdir(path) and not key.endswith(b"/"):
            raise _in_the_way(key, "a folder of that name is there")
        names = path[len(self._place.root) :].strip("/").split("/")
        for depth in range(1, len(names)):
            if filesystem.isfile("/".join([self._place.root, *names[:depth]])):
                raise _in_the_way(key, f"{printable(os.fsencode('/'.join(names[:depth])))} is a file, and not a folder")

    def _temporary_folder(self, context: Context) -> str:
        return f"{self._place.root}/{os.fsdecode(TEMPORARY)}{context.migration or '0'}"

    def remove(self, key: bytes, context: Context) -> None:
        path = self._place.path_of(key)
        try:
            with self._place.using(context, key) as filesystem:
                if self._place.look(filesystem, key, path) is None:
                    return
                if key.endswith(b"/"):
                    self._forget()
                    filesystem.rmdir(path)
                else:
                    filesystem.rm_file(path)
                    self._remove_empty_folders(filesystem, path)
        except (FileNotFoundError, NotADirectoryError):
            return

    def _remove_empty_folders(self, filesystem: Any, path: str) -> None:
        """Those that a file stood in: they were made for it."""
        folder = filesystem._parent(path)
        while self._renames and len(folder) > len(self._place.root) and not filesystem.ls(folder, detail=False):
            self._forget()
            filesystem.rmdir(folder)
            folder = filesystem._parent(folder)

    def sweep(self, known: Sequence[OpenUpload], context: Context) -> None:
        if not self._renames:
            return
        folder = self._temporary_folder(context)
        with self._place.using(context, folder) as filesystem:
            if not filesystem.isdir(folder):
                return
            self._forget()
            for path in filesystem.ls(folder, detail=False):
                filesystem.rm_file(path)
            filesystem.rmdir(folder)


def _make_folder(filesystem: Any, folder: str) -> None:
    """Another thread may be quicker at each level: then the next try begins behind that."""
    for _ in range(folder.count("/") + 1):
        try:
            filesystem.makedirs(folder, exist_ok=True)
            return
        except Exception:
            if filesystem.isdir(folder):
                return
    filesystem.makedirs(folder, exist_ok=True)


def _chunks(body: Body, context: Context) -> Iterator[bytes]:
    body.seek(0)
    while chunk := body.read(_WINDOW):
        context.check()
        yield chunk


def _block_size(size: int) -> int:
    """Of the pieces that object stores take: 10,000 of them at most."""
    return max(_WINDOW, size // 9_000 + 1)


def _move(filesystem: Any, temporary: str, path: str) -> None:
    if getattr(filesystem, "local_file", False):
        os.replace(temporary, path)  # mv would go into a folder of that name
    else:
        filesystem.mv(temporary, path)


def _try_to_remove(filesystem: Any, path: str) -> None:
    try:
        filesystem.rm_file(path)
    except Exception:
        return  # sweep() will


def _in_the_way(key: bytes, what: str) -> AbortedError:
    return AbortedError(f"{printable(key)}: {what}", code="aborted", error_class="collision")


def _not_whole(key: bytes, held: int, wanted: int) -> DataLossError:
    return DataLossError(
        f"{printable(key)}: {held} bytes are there instead of {wanted}",
        code="data_loss",
        error_class="checksum",
        retryable=True,
    )
