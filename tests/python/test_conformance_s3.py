# SPDX-License-Identifier: Apache-2.0
"""The S3 connector, as Python calls it, under the conformance suite: against a real server on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from s3 import S3Server

import waybill
from waybill import Attributes, Body, Context, Destination, Source, WriteOptions
from waybill.conformance import (
    AttributesKept,
    DestinationConformance,
    DestinationFixture,
    SourceConformance,
    SourceFixture,
    hostile_keys,
)

EVERYTHING = AttributesKept(content_headers=True, metadata=True, mode=True, mtime=True)
BUCKET = "conformance"
prefixes = itertools.count()


def fits_the_server(key: bytes) -> bool:
    """It keeps a key as a path, and answers in plain XML, which cannot write most control characters."""
    if key.startswith(b"/") or b"//" in key or any(byte < 0x20 and byte not in b"\t\n\r" for byte in key):
        return False
    return all(part not in (b".", b"..") and len(part) <= 255 for part in key.split(b"/"))


def is_s3_key(key: bytes) -> bool:
    try:
        return 0 < len(key.decode()) <= len(key) <= 1000
    except UnicodeDecodeError:
        return False


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server(BUCKET) as started, pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        yield started


class S3Source(SourceFixture):
    attributes_kept = EVERYTHING
    more_than_a_page = 1100

    def __init__(self, server: S3Server) -> None:
        prefix = f"source-{next(prefixes)}/"
        self._source = waybill.open_source(server.url(BUCKET, prefix))
        self.filler = waybill.open_destination(server.url(BUCKET, prefix))
        self.missing = server.url("no-such-bucket")

    @property
    def source(self) -> Source:
        return self._source

    def put(self, key: bytes, content: bytes, attributes: Attributes) -> None:
        self.filler.put(key, Body(content), WriteOptions(attributes), Context())

    def remove(self, key: bytes) -> None:
        self.filler.remove(key, Context())

    def can_hold(self, key: bytes) -> bool:
        return is_s3_key(key) and fits_the_server(key)

    def missing_store(self) -> Source:
        return waybill.open_source(self.missing)


class S3Destination(DestinationFixture):
    attributes_kept = EVERYTHING
    more_than_a_page = 1100
    checks_digests = True

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.folder = f"destination-{next(prefixes)}"
        self.missing = server.url("no-such-bucket")
        self._destination = waybill.open_destination(server.url(BUCKET, self.folder + "/"))

    @property
    def destination(self) -> Destination:
        return self._destination

    def content(self, key: bytes) -> bytes | None:
        path = self.server.objects(BUCKET) / self.folder / key.decode()
        return path.read_bytes() if path.is_file() else None

    def can_hold(self, key: bytes) -> bool:
        return is_s3_key(key) and fits_the_server(key)

    def refused_keys(self) -> list[bytes]:
        return [key for key in hostile_keys() if not 0 < len(key) <= 1000]

    def missing_store(self) -> Destination:
        return waybill.open_destination(self.missing)


class TestS3Source(SourceConformance):
    @pytest.fixture
    def store(self, server: S3Server) -> SourceFixture:
        return S3Source(server)


class TestS3Destination(DestinationConformance):
    @pytest.fixture
    def store(self, server: S3Server) -> DestinationFixture:
        return S3Destination(server)
