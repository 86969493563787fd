# SPDX-License-Identifier: Apache-2.0
"""What the entries of fsspec's listings say. Each filesystem has names of its own for the same things."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from typing import Any

from waybill.stores import Attributes, Item

_ETAGS = ("ETag", "etag", "e_tag", "Etag")
_MTIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "modify", "modification_time")
# They change with the content, or with each writing. `created` is among them as nothing tells a file in memory, written
# again, from what it was before; locally it is when the inode changed last.
_REVISIONS = (
    "generation",
    "md5Hash",
    "crc32c",
    "checksum",
    "content_md5",
    "VersionId",
    "version_id",
    "ino",
    "created",
    "sha",
)
# Of unknown filesystems everything is taken that is not about who may, and who looked.
_IDLE = frozenset("name type size time atime accessed uid gid nlink mode islink destination".split())


def kind_of(info: Mapping[str, Any]) -> str:
    """``"file"``, ``"directory"``, ``"link"`` or ``"other"``."""
    if info.get("islink") or info.get("type") == "link":
        return "link"
    kind = info.get("type")
    if kind in ("directory", "dir"):
        return "directory"
    return "file" if kind == "file" else "other"


def item_of(key: bytes, info: Mapping[str, Any]) -> Item:
    """The entry of a listing. What is neither file nor folder is refused."""
    kind = kind_of(info)
    if kind == "directory":
        return Item(key, size=0)
    size = info.get("size")
    etag = _first(info, _ETAGS).strip('"')
    mtime_ns = mtime_of(info)
    opaque = "" if etag else _opaque(info, mtime_ns)
    refused, reason = "", ""
    if kind != "file":
        refused = "unsupported"
        reason = "a symbolic link" if kind == "link" else "neither a file nor a folder"
    return Item(
        key, size if isinstance(size, int) else None, etag, mtime_ns, opaque=opaque, refused=refused, reason=reason
    )


def attributes_of(info: Mapping[str, Any]) -> Attributes:
    """What travels with the bytes."""
    content_type = info.get("contentType") or info.get("ContentType") or ""
    mode = info.get("mode")
    return Attributes(
        content_type=content_type if isinstance(content_type, str) else "",
        mode=mode & 0o7777 if isinstance(mode, int) else None,
        mtime_ns=mtime_of(info),
    )


def mtime_of(info: Mapping[str, Any]) -> int | None:
    """Nanoseconds since 1970 UTC."""
    value = next((info[name] for name in _MTIMES if info.get(name)), None)
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
        return int(value.timestamp() * 1_000_000) * 1000
    if isinstance(value, int | float):
        return int(value * 1_000_000_000)
    return None


def _parsed(text: str) -> datetime.datetime | None:
    """ISO 8601, or FTP's YYYYMMDDHHMMSS."""
    try:
        if text[:14].isdigit():
            return datetime.datetime.strptime(text[:14], "%Y%m%d%H%M%S")
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def _opaque(info: Mapping[str, Any], mtime_ns: int | None) -> str:
    names = [name for name in _REVISIONS if info.get(name) is not None]
    if not names and mtime_ns is None:
        names = [name for name in sorted(info) if name not in _IDLE]
    known = [f"{name}={_plain(info[name])}" for name in names]
    text = ";".join(known)
    return text if len(text) <= 200 else hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    """Times are datetimes in one answer of a filesystem and seconds in another."""
    return value.timestamp() if isinstance(value, datetime.datetime) else value


def _first(info: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((str(info[name]) for name in names if info.get(name)), "")
