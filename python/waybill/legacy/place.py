# SPDX-License-Identifier: Apache-2.0
"""Sources and destinations, as far as the keys of another tool's ledger are concerned."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

__all__ = ["Place"]


_LONGEST_KEY = 65_535


@dataclass(frozen=True)
class Place:
    """A source or destination, as far as keys are concerned."""

    url: str
    bucket: str  # "" for a folder
    prefix: bytes  # with the '/' at its end, or empty; for a folder its absolute path
    is_of_catalog: bool = False  # items are what references point at, and their keys the values themselves

    @classmethod
    def of(cls, url: str) -> Place:
        """The place that a URL of waybill names."""
        if url.startswith("catalog:") or url.lower().startswith("sqlite://"):
            return cls(url, "", b"", True)
        if url.startswith("s3://"):
            parts = urlsplit(url)
            return cls(url, parts.netloc, _as_prefix(unquote_to_bytes(parts.path.lstrip("/"))))
        path = unquote_to_bytes(url.removeprefix("file://")) if url.startswith("file://") else os.fsencode(url)
        return cls(url, "", _as_prefix(os.path.abspath(path)))

    def key_of_url(self, url: str) -> bytes | None:
        """The key of an item of this place by its address, or None if it lies elsewhere."""
        if self.is_of_catalog:
            return url.encode("utf-8", "surrogateescape")[:_LONGEST_KEY] or None
        if self.bucket == "" and not url.startswith("file://"):
            return self._below(os.fsencode(url))
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        if self.bucket == "":
            return self._below(unquote_to_bytes(parts.path.encode("utf-8", "surrogateescape")))
        path = unquote_to_bytes(parts.path.encode("utf-8", "surrogateescape").removeprefix(b"/"))
        host = parts.netloc.rpartition("@")[2]
        if parts.scheme == "s3":
            return self._below(path) if host == self.bucket else None
        if parts.scheme not in ("http", "https"):
            return None
        if host.startswith(self.bucket + "."):
            return self._below(path)
        bucket = os.fsencode(self.bucket) + b"/"
        return self._below(path.removeprefix(bucket)) if path.startswith(bucket) else None

    def key_of_object(self, name: str) -> bytes | None:
        """The same of an object's name: in its bucket, or, of a folder, in it or from the root."""
        path = os.fsencode(name)
        return path if self.bucket == "" and not path.startswith(b"/") else self._below(path)

    def is_at(self, text: str) -> bool:
        """Whether ``alias/bucket/prefix``, or a path, is this place."""
        if self.bucket == "":
            return _as_prefix(os.path.abspath(os.fsencode(text))) == self.prefix
        name = text.strip("/").partition("/")[2]
        bucket, _, prefix = name.partition("/")
        return bucket == self.bucket and _as_prefix(os.fsencode(prefix)) == self.prefix

    def _below(self, path: bytes) -> bytes | None:
        return path[len(self.prefix) :] or None if path.startswith(self.prefix) else None


def _as_prefix(path: bytes) -> bytes:
    path = path.strip(b"/") if not path.startswith(b"/") else path.rstrip(b"/")
    return path + b"/" if path else b""
