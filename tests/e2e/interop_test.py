# SPDX-License-Identifier: Apache-2.0
"""What waybill writes is read by boto3, and what boto3 writes is moved by waybill: content, metadata, headers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from process import Waybill, open_folder
from s3 import S3Server

MIB = 1 << 20
NAMES = ["plain.txt", "with space", "plus+and%25", "quotes'\"", "émoji 🎒", "a/b/c/deep", "#?&=;", "tilde~(x)!*"]
PARTS: dict[str, Any] = {"part_size_bytes": 5 * MIB, "part_threshold_bytes": 5 * MIB}
HEADERS = {
    "ContentType": "text/html; charset=utf-8",
    "ContentEncoding": "gzip",
    "ContentLanguage": "de-AT",
    "ContentDisposition": 'attachment; filename="a b.html"',
    "CacheControl": "max-age=60, private",
}
METADATA = {"owner": "somebody", "with-dash": "two  spaces, and = signs", "empty": ""}


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server("origin", "target") as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[Any]:
    """A client of the other library; every test finds the buckets empty."""
    server.empty("origin")
    server.empty("target")
    made = boto3.session.Session(
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=server.environment["AWS_REGION"],
    ).client("s3", endpoint_url=server.endpoint, config=Config(s3={"addressing_style": "path"}))
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-interop-") as path:
        yield path


def content_of(name: str, size: int) -> bytes:
    """`size` bytes that no other name has."""
    return hashlib.shake_128(name.encode()).digest(size)


def move(folder: Path, server: S3Server, source: str, destination: str) -> None:
    waybill = Waybill(folder, environment=server.environment, options=PARTS)
    done = waybill.run("run", "--from", source, "--to", destination)
    assert done.returncode == 0, done.stderr.decode()
    verified = waybill.run("verify")
    assert verified.returncode == 0, verified.stdout.decode()


def body_of(client: Any, bucket: str, key: str) -> bytes:
    stream = client.get_object(Bucket=bucket, Key=key)["Body"]
    try:
        content: bytes = stream.read()
    finally:
        stream.close()
    return content


def put_in_parts(client: Any, bucket: str, key: str, content: bytes) -> None:
    made = {"Bucket": bucket, "Key": key, "UploadId": ""}
    made["UploadId"] = client.create_multipart_upload(Bucket=bucket, Key=key, Metadata=METADATA, **HEADERS)["UploadId"]
    parts = []
    for number, begin in enumerate(range(0, len(content), 5 * MIB), 1):
        answer = client.upload_part(**made, PartNumber=number, Body=content[begin : begin + 5 * MIB])
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(**made, MultipartUpload={"Parts": parts})


def test_boto3_reads_what_waybill_wrote(folder: Path, server: S3Server, client: Any) -> None:
    source = folder / "source"
    sizes = {name: 1000 + number for number, name in enumerate(NAMES)} | {"empty": 0, "large": 12 * MIB + 17}
    mtime_ns = 1_700_000_000_123_456_789
    for name, size in sizes.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(name, size))
        path.chmod(0o640)
        os.utime(path, ns=(mtime_ns, mtime_ns))
    (source / "folder without anything").mkdir()
    move(folder, server, "source", server.url("target", "in/here"))

    listed = client.list_objects_v2(Bucket="target", Prefix="in/here/")["Contents"]
    sizes["folder without anything/"] = 0
    assert {entry["Key"]: entry["Size"] for entry in listed} == {f"in/here/{name}": sizes[name] for name in sizes}
    for name, size in sizes.items():
        key = f"in/here/{name}"
        assert body_of(client, "target", key) == content_of(name, size)
        head = client.head_object(Bucket="target", Key=key)
        assert head["ContentType"] in ("binary/octet-stream", "application/octet-stream", "application/x-directory")
        if not name.endswith("/"):
            assert head["Metadata"]["mtime"] == "1700000000.123456789"
            assert int(head["Metadata"]["mode"], 8) == 0o100640
    assert client.head_object(Bucket="target", Key="in/here/large")["ETag"].endswith('-3"'), "not in three parts"
    assert not client.list_multipart_uploads(Bucket="target").get("Uploads")


def test_waybill_moves_what_boto3_wrote(folder: Path, server: S3Server, client: Any) -> None:
    contents = {name: content_of(name, 2000) for name in NAMES}
    expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    for name, content in contents.items():
        client.put_object(
            Bucket="origin", Key=f"up/{name}", Body=content, Metadata=METADATA, Expires=expires, **HEADERS
        )
    contents["in parts"] = content_of("in parts", 11 * MIB + 5)
    put_in_parts(client, "origin", "up/in parts", contents["in parts"])
    contents["empty"] = b""
    client.put_object(Bucket="origin", Key="up/empty", Body=b"")

    (folder / "one").mkdir()
    move(folder / "one", server, server.url("origin", "up"), str(folder / "to"))
    found = {str(path.relative_to(folder / "to")): path for path in (folder / "to").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == contents

    (folder / "two").mkdir()
    move(folder / "two", server, server.url("origin", "up"), server.url("target", "down"))
    listed = client.list_objects_v2(Bucket="target")["Contents"]
    assert {entry["Key"].removeprefix("down/") for entry in listed} == set(contents)
    kept = ("ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl", "ExpiresString")
    for name, content in contents.items():
        here = client.head_object(Bucket="origin", Key=f"up/{name}")
        there = client.head_object(Bucket="target", Key=f"down/{name}")
        assert body_of(client, "target", f"down/{name}") == content
        assert {word: there.get(word) for word in kept} == {word: here.get(word) for word in kept}, name
        ours = {word for word in there["Metadata"] if word.startswith("waybill-")}
        assert {word: there["Metadata"][word] for word in there["Metadata"].keys() - ours} == here["Metadata"], name
    assert client.head_object(Bucket="target", Key="down/plain.txt")["ContentType"] == HEADERS["ContentType"]
