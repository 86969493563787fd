# SPDX-License-Identifier: Apache-2.0
"""What waybill writes is read by boto3 and the AWS CLI, and what they write is moved and verified by waybill: content,
metadata, headers, tags, parts of any size, checksums of every kind. On two real servers and on the fault server.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from fault_server import FaultServer
from process import Waybill, open_folder, run_checked
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


FAULT_SERVER_KEYS = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class Store:
    """A server with the buckets origin and target, and who may use it."""

    name: str
    endpoint: str
    environment: dict[str, str]

    def url(self, bucket: str, prefix: str = "", streamed: bool = False) -> str:
        """Under another name the server is another store, so that nothing can be copied inside it."""
        endpoint = self.endpoint.replace("127.0.0.1", "localhost") if streamed else self.endpoint
        return f"s3://{bucket}/{prefix}?endpoint={endpoint}"


@pytest.fixture(scope="module", params=["versitygw", "minio", "fault server"])
def server(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "fault server":
        with FaultServer("origin", "target") as made:
            keys = {"id": FAULT_SERVER_KEYS["AWS_ACCESS_KEY_ID"], "secret": FAULT_SERVER_KEYS["AWS_SECRET_ACCESS_KEY"]}
            made.server(checks_signatures=True, keys=[keys])
            yield Store(request.param, made.endpoint, FAULT_SERVER_KEYS)
        return
    with S3Server("origin", "target", server=request.param) as running:
        yield Store(request.param, running.endpoint, running.environment)


@pytest.fixture
def client(server: Store) -> Iterator[Any]:
    """A client of the other library; every test finds the buckets empty."""
    made = boto3.session.Session(
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=server.environment["AWS_REGION"],
    ).client("s3", endpoint_url=server.endpoint, config=Config(s3={"addressing_style": "path"}))
    for bucket in ("origin", "target"):
        for page in made.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", []):
                made.delete_object(Bucket=bucket, Key=entry["Key"])
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-interop-") as path:
        yield path


def content_of(name: str, size: int) -> bytes:
    """`size` bytes that no other name has."""
    return hashlib.shake_128(name.encode()).digest(size)


def move(folder: Path, server: Store, source: str, destination: str) -> None:
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


def test_boto3_reads_what_waybill_wrote(folder: Path, server: Store, client: Any) -> None:
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


def test_waybill_moves_what_boto3_wrote(folder: Path, server: Store, client: Any) -> None:
    contents = {name: content_of(name, 2000) for name in NAMES}
    expires = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    for name, content in contents.items():
        client.put_object(
            Bucket="origin", Key=f"up/{name}", Body=content, Metadata=METADATA, Expires=expires, **HEADERS
        )
    contents["in parts"] = content_of("in parts", 11 * MIB + 5)
    put_in_parts(client, "origin", "up/in parts", contents["in parts"])
    contents["empty"] = b""
    client.put_object(Bucket="origin", Key="up/empty", Body=b"", WebsiteRedirectLocation="/elsewhere")

    (folder / "one").mkdir()
    move(folder / "one", server, server.url("origin", "up"), str(folder / "to"))
    found = {str(path.relative_to(folder / "to")): path for path in (folder / "to").rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == contents

    (folder / "two").mkdir()
    move(folder / "two", server, server.url("origin", "up"), server.url("target", "down"))
    listed = client.list_objects_v2(Bucket="target")["Contents"]
    assert {entry["Key"].removeprefix("down/") for entry in listed} == set(contents)
    kept = ["ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl", "ExpiresString"]
    kept.append("WebsiteRedirectLocation")
    for name, content in contents.items():
        here = client.head_object(Bucket="origin", Key=f"up/{name}")
        there = client.head_object(Bucket="target", Key=f"down/{name}")
        assert body_of(client, "target", f"down/{name}") == content
        assert {word: there.get(word) for word in kept} == {word: here.get(word) for word in kept}, name
        ours = {word for word in there["Metadata"] if word.startswith("waybill-")}
        assert {word: there["Metadata"][word] for word in there["Metadata"].keys() - ours} == here["Metadata"], name
    assert client.head_object(Bucket="target", Key="down/plain.txt")["ContentType"] == HEADERS["ContentType"]


def aws(folder: Path, server: Store, *words: str) -> bytes:
    """The AWS CLI in a folder; what it says."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true"}
    environment |= server.environment | {"AWS_DEFAULT_REGION": server.environment["AWS_REGION"]}
    program = [sys.executable, str(Path(sys.executable).parent / "aws")]
    done = run_checked([*program, "--endpoint-url", server.endpoint, *words], cwd=folder, env=environment)
    return bytes(done.stdout)


TAGS = {"stage": "a+b c", "team": "x=y/z"}


@pytest.mark.parametrize("streamed", [True, False])
def test_the_aws_cli_reads_what_waybill_wrote(folder: Path, server: Store, client: Any, streamed: bool) -> None:
    """Content, metadata, headers and tags, of what went through us and of what the store copied for us."""
    contents = {"small": content_of("small", 2000), "large": content_of("large", 12 * MIB + 17), "a b/ü+%25": b"x"}
    tags = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in TAGS.items())
    for name, content in contents.items():
        if name == "large":
            put_in_parts(client, "origin", name, content)
            tag_set = [{"Key": key, "Value": value} for key, value in TAGS.items()]
            client.put_object_tagging(Bucket="origin", Key=name, Tagging={"TagSet": tag_set})
        else:
            client.put_object(Bucket="origin", Key=name, Body=content, Metadata=METADATA, Tagging=tags, **HEADERS)
    move(folder, server, server.url("origin", streamed=streamed), server.url("target"))

    listed = json.loads(aws(folder, server, "s3api", "list-objects-v2", "--bucket", "target", "--output", "json"))
    assert {entry["Key"]: entry["Size"] for entry in listed["Contents"]} == {
        name: len(content) for name, content in contents.items()
    }
    aws(folder, server, "s3", "cp", "--recursive", "--quiet", "s3://target/", "read/")
    for name, content in contents.items():
        assert (folder / "read" / name).read_bytes() == content
        named = ["--bucket", "target", "--key", name, "--output", "json"]
        head = json.loads(aws(folder, server, "s3api", "head-object", *named))
        assert {word: head.get(word) for word in HEADERS} == HEADERS, name
        assert {word: text for word, text in head["Metadata"].items() if not word.startswith("waybill-")} == METADATA
        found = json.loads(aws(folder, server, "s3api", "get-object-tagging", *named))["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in found} == TAGS, name
        # boto3 compares what the store holds as checksum with what it reads.
        answer = client.get_object(Bucket="target", Key=name, ChecksumMode="ENABLED")
        with answer["Body"] as stream:
            assert stream.read() == content


@pytest.mark.parametrize("streamed", [True, False])
def test_tags_stay_behind_where_the_url_says_so(folder: Path, server: Store, client: Any, streamed: bool) -> None:
    client.put_object(Bucket="origin", Key="a", Body=b"x", Tagging="stage=one", Metadata=METADATA)
    move(folder, server, server.url("origin", streamed=streamed), server.url("target") + "&tags=false")
    assert client.get_object_tagging(Bucket="target", Key="a")["TagSet"] == []
    there = client.head_object(Bucket="target", Key="a")["Metadata"]
    assert {word: text for word, text in there.items() if not word.startswith("waybill-")} == METADATA


ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


def write_as_others_do(folder: Path, server: Store, client: Any) -> dict[str, bytes]:
    """Objects with every kind of checksum, whole and in parts of every size, by boto3 and by the AWS CLI."""
    contents: dict[str, bytes] = {}

    def add(name: str, size: int) -> bytes:
        contents[name] = content_of(name, size)
        return contents[name]

    for algorithm in ALGORITHMS:
        name = f"boto3/{algorithm}/whole"
        client.put_object(Bucket="origin", Key=name, Body=add(name, 3001), ChecksumAlgorithm=algorithm)
        for part_size in (5 * MIB, 6 * MIB + 1):
            name = f"boto3/{algorithm}/parts of {part_size}"
            (folder / "upload").write_bytes(add(name, 11 * MIB + 3))
            config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=part_size, use_threads=False)
            more = {"ChecksumAlgorithm": algorithm}
            try:
                client.upload_file(str(folder / "upload"), "origin", name, ExtraArgs=more, Config=config)
            except ClientError as error:
                # A store that cannot combine them says so itself; there is nothing for us to move then.
                assert server.name != "fault server", error
                del contents[name]
        name = f"cli/{algorithm}"
        (folder / "upload").write_bytes(add(name, 9 * MIB + 1))  # the CLI's parts are of 8 MiB
        words = ["--quiet", "--checksum-algorithm", algorithm]
        aws(folder, server, "s3", "cp", *words, "upload", f"s3://origin/{name}")
    name = "cli/none"
    (folder / "upload").write_bytes(add(name, 17 * MIB))
    aws(folder, server, "s3", "cp", "--quiet", "upload", f"s3://origin/{name}")
    return contents


def test_what_others_wrote_is_verified_without_a_false_alarm(folder: Path, server: Store, client: Any) -> None:
    """Moved through us and copied by the store itself: no finding."""
    contents = write_as_others_do(folder, server, client)
    assert len(contents) >= 3 * len(ALGORITHMS)
    for way in ("streamed", "copied"):
        (folder / way).mkdir()
        source = server.url("origin", streamed=way == "streamed")
        move(folder / way, server, source, server.url("target", way))
        told = Waybill(folder / way, environment=server.environment).run("verify", "--json")
        assert told.returncode == 0, told.stdout.decode()
        assert [line for line in told.stdout.splitlines() if json.loads(line)["type"] == "finding"] == []
        for name, content in contents.items():
            assert body_of(client, "target", f"{way}/{name}") == content, name
