# SPDX-License-Identifier: Apache-2.0
"""A folder of an fsspec filesystem: its instances, paths and listing, which sources and destinations share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from waybill.errors import InvalidArgumentError, UnimplementedError, missing_package
from waybill.fsspec.failures import in_our_words
from waybill.fsspec.info import item_of, kind_of
from waybill.records import printable
from waybill.stores import Context, Item, ListRequest

# Each instance of these has one connection, which one thread at a time may use.
_ONE_CALL_AT_A_TIME = frozenset({"sftp", "ssh", "ftp", "smb"})
_CONNECTIONS = 8
# Where two places differ though their paths are the same; never a credential.
_WHERE = ("host", "account_name", "project", "repo", "org")
TEMPORARY = b".waybill-tmp-"
_Entries = list[tuple[bytes, Any]]


class Place:
    """A root below which everything is. Any thread."""

    def __init__(self, filesystem: Any, root: str, connections: int | None, options: dict[str, Any]) -> None:
        try:
            import fsspec  # type: ignore[import-untyped, import-not-found, unused-ignore]  # noqa: PLC0415
        except ImportError:
            raise missing_package("fsspec", "fsspec") from None
        if isinstance(filesystem, str):
            self._first, path = fsspec.core.url_to_fs(filesystem, **options)
            root = f"{path.rstrip('/')}/{root}" if root else path
        elif isinstance(filesystem, fsspec.AbstractFileSystem):
            if options:
                raise _wrong(f"storage options ({', '.join(sorted(options))}) go with a URL, not with a filesystem")
            self._first = filesystem
        else:
            raise _wrong(f"{filesystem!r} is neither a URL nor an fsspec filesystem")
        if getattr(self._first, "asynchronous", False):
            raise _wrong("the filesystem was made with asynchronous=True; one made without it is wanted")
        self.root = self._first._strip_protocol(root).rstrip("/")
        protocol = self._first.protocol
        self.protocol: str = protocol if isinstance(protocol, str) else protocol[0]
        if connections is None:
            connections = _CONNECTIONS if self.protocol in _ONE_CALL_AT_A_TIME else 0
        if connections < 0:
            raise _wrong(f"connections: {connections} is less than 0")
        self._pool = _Pool(self._first, connections) if connections else None

    def identity(self) -> str:
        """The protocol, where it is, and the root."""
        return f"{self.endpoint()}/{self.root.lstrip('/')}"

    def endpoint(self) -> str:
        """The protocol and where it is."""
        options = self._first.storage_options
        where = [str(options[name]) for name in _WHERE if options.get(name)]
        port = f":{options['port']}" if options.get("port") else ""
        return f"fsspec+{self.protocol}://{'/'.join(where)}{port}"

    @contextmanager
    def using(self, context: Context, what: bytes | str) -> Iterator[Any]:
        """A filesystem for one call, with what it remembers of listings forgotten, and its exceptions in waybill's words."""
        context.check()
        with in_our_words(what):
            if self._pool is None:
                self._first.invalidate_cache()
                yield self._first
            else:
                with self._pool.using(context) as filesystem:
                    filesystem.invalidate_cache()
                    yield filesystem

    def path_of(self, key: bytes) -> str:
        """Where `key` is. Raises UnimplementedError for keys that are no path below the root."""
        names = key.removesuffix(b"/").split(b"/")
        is_path = all(name not in (b"", b".", b"..") for name in names) and b"\0" not in key
        if not is_path or names[0].startswith(TEMPORARY):
            raise unsupported(key, "no name that a file can have there")
        return f"{self.root}/{os.fsdecode(key.removesuffix(b'/'))}"

    def list(self, request: ListRequest, context: Context, is_source: bool) -> Iterator[Item]:
        """Depth first, folder by folder, each in the order of keys, folders as ``name/``: so all keys ascend. The names of
        the folders above the present one are in memory, and no others."""
        try:
            with self.using(context, self.root) as filesystem:
                entries = self._entries(filesystem, b"")
        except FileNotFoundError:
            if is_source:
                raise
            entries = []
        levels = [iter(entries)]
        while levels:
            entry = next(levels[-1], None)
            if entry is None or (request.before and entry[0] >= request.before):
                levels.pop()
                continue
            key, info = entry
            is_folder = kind_of(info) == "directory"
            is_before = key <= request.after
            if is_before and not (is_folder and request.after.startswith(key)):
                continue
            if not is_folder:
                yield item_of(key, info)
                continue
            try:
                with self.using(context, key) as filesystem:
                    below = self._entries(filesystem, key)
            except FileNotFoundError:
                continue  # it went meanwhile
            except PermissionError as error:
                if not is_source:
                    raise
                yield Item(key, refused="permission", reason=str(error))
                continue
            if below:
                levels.append(iter(below))
            elif not is_before:
                yield item_of(key, info)

    def _entries(self, filesystem: Any, folder: bytes) -> _Entries:
        """What is in a folder, by key; those of folders end in ``/``."""
        path = f"{self.root}/{os.fsdecode(folder)}".rstrip("/") or "/"
        found = []
        for info in filesystem.ls(path, detail=True):
            whole = info["name"].rstrip("/")
            if whole.strip("/") == path.strip("/"):
                if kind_of(info) == "file" and not info["name"].endswith("/"):
                    raise NotADirectoryError(f"{path} is a file, and not a folder")
                continue  # the mark that stands for the folder itself
            key = folder + os.fsencode(whole.rpartition("/")[2])
            if not folder and key.startswith(TEMPORARY):
                continue
            found.append((key + b"/" if kind_of(info) == "directory" else key, info))
        found.sort(key=lambda entry: entry[0])
        return found

    def stat(self, key: bytes, context: Context) -> Item | None:
        """The item at `key` as it is now."""
        try:
            path = self.path_of(key)
        except UnimplementedError:
            return None
        try:
            with self.using(context, key) as filesystem:
                return self.look(filesystem, key, path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def look(self, filesystem: Any, key: bytes, path: str) -> Item | None:
        """As `stat`, with what raises FileNotFoundError."""
        info = filesystem.info(path)
        is_folder = kind_of(info) == "directory"
        if is_folder != key.endswith(b"/") or (is_folder and self._entries(filesystem, key)):
            return None
        return item_of(key, info)


def unsupported(key: bytes, why: str) -> UnimplementedError:
    """That a key cannot be held."""
    return UnimplementedError(f"{printable(key)[:200]}: {why}", code="unimplemented", error_class="unsupported")


def _wrong(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(text, code="invalid_argument", error_class="configuration")


class _Pool:
    """Instances with a connection of their own, made when they are needed; at most so many at once."""

    def __init__(self, first: Any, limit: int) -> None:
        self._first = first
        self._idle: list[Any] = [first]
        self._free = limit
        self._changed = threading.Condition()

    @contextmanager
    def using(self, context: Context) -> Iterator[Any]:
        with self._changed:
            while self._free == 0:
                self._changed.wait(0.1)
                context.check()
            self._free -= 1
            filesystem = self._idle.pop() if self._idle else None
        is_sound = False
        try:
            if filesystem is None:
                filesystem = self._make()
            try:
                yield filesystem
                is_sound = True
            except (FileNotFoundError, FileExistsError, PermissionError, UnimplementedError):
                is_sound = True
                raise
        finally:
            with self._changed:
                self._free += 1
                if is_sound:
                    self._idle.append(filesystem)
                self._changed.notify()

    def _make(self) -> Any:
        first = self._first
        return type(first)(*first.storage_args, **{**first.storage_options, "skip_instance_cache": True})
