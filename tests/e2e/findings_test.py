# SPDX-License-Identifier: Apache-2.0
"""verify finds what others did to a destination behind our back: each of twelve changes, and the orphans on both sides; and
nothing else."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from process import Waybill, open_folder
from s3 import S3Server

MIB = 1 << 20
PARTS = {"part_size_bytes": 5 * MIB, "part_threshold_bytes": 5 * MIB}
NFC = unicodedata.normalize("NFC", "é-twin")
NFD = unicodedata.normalize("NFD", "é-twin")

# What is done to an object, and the findings it has to come to: (key, kind).
CHANGES: dict[str, list[tuple[str, str]]] = {
    "missing": [("missing", "missing")],
    "extra": [("extra", "extra")],
    "truncated": [("truncated", "size")],
    "longer": [("longer", "size")],
    "one byte": [("one byte", "checksum")],
    "one byte, time restored": [("one byte, time restored", "checksum")],
    "emptied": [("emptied", "size")],
    "metadata lost": [("metadata lost", "metadata")],
    "content type changed": [("content type changed", "metadata")],
    "twins swapped": [(NFC, "checksum"), (NFD, "checksum")],
    "bodies swapped": [("body one", "checksum"), ("body two", "checksum")],
    "written again in parts": [],
    "object without an item": [("gone at the source", "gone")],
    "item without an object": [("new at the source", "missing")],
}
NEW = "new at the source"
UNTOUCHED = [f"untouched/{number:03}" for number in range(50)]
LARGE = "written again in parts"


def contents() -> dict[str, bytes]:
    """The source: every key has a content of its own, those that are swapped of one length."""
    keys = [key for found in CHANGES.values() for key, kind in found if kind != "extra" and key != NEW] + UNTOUCHED
    made = {key: f"content of {number:05} ".encode() * 40 for number, key in enumerate(keys)}
    made[LARGE] = os.urandom(11 * MIB)
    return made


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-findings-") as path:
        yield path


def found_by(waybill: Waybill, level: str, expected: int) -> list[tuple[str, str]]:
    told = waybill.run("verify", "--level", level, "--json")
    assert told.returncode == expected, told.stderr.decode()
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    return sorted((row["key"], row["kind"]) for row in rows if row["type"] == "finding")


def check(waybill: Waybill, change: Callable[[], None]) -> None:
    """No finding before the changes, and exactly the expected ones after them; repaired by a retry of what can be."""
    assert found_by(waybill, "content", 0) == []
    change()
    expected = sorted(pair for found in CHANGES.values() for pair in found)
    assert found_by(waybill, "content", 3) == expected
    counts = waybill.status()["findings"]
    assert {kind: number for kind, number in counts.items() if number} == {
        kind: sum(each == kind for _, each in expected) for _, kind in expected
    }
    repaired = waybill.run("retry", "--findings")
    assert repaired.returncode == 0, repaired.stderr.decode()
    left = [("extra", "extra"), ("gone at the source", "gone")]
    assert found_by(waybill, "content", 3) == left, "what is extra or an orphan is nobody's to repair by copying"


def test_twelve_changes_in_a_folder(folder: Path) -> None:
    source, target = folder / "from", folder / "to"
    for key, content in contents().items():
        path = source / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o640)
    waybill = Waybill(folder)
    copied = waybill.run("run", "--from", source, "--to", target)
    assert copied.returncode == 0, copied.stderr.decode()

    def rewrite(name: str, content: bytes, *, keeps_time: bool) -> None:
        path = target / name
        before = path.stat()
        path.write_bytes(content)
        if keeps_time:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def swap(one: str, other: str) -> None:
        of_one, of_other = (target / one).read_bytes(), (target / other).read_bytes()
        rewrite(one, of_other, keeps_time=True)
        rewrite(other, of_one, keeps_time=True)

    def change() -> None:
        (target / "missing").unlink()
        (target / "extra").write_bytes(b"nobody's")
        rewrite("truncated", (target / "truncated").read_bytes()[:-1], keeps_time=True)
        rewrite("longer", (target / "longer").read_bytes() + b"x", keeps_time=True)
        for name in ("one byte", "one byte, time restored"):
            rewrite(name, b"X" + (target / name).read_bytes()[1:], keeps_time="restored" in name)
        rewrite("emptied", b"", keeps_time=True)
        os.utime(target / "metadata lost", ns=(0, 0))
        (target / "content type changed").chmod(0o600)  # what a folder has in its place
        swap(NFC, NFD)
        swap("body one", "body two")
        rewrite(LARGE, (target / LARGE).read_bytes(), keeps_time=True)
        (source / "gone at the source").unlink()
        (source / NEW).write_bytes(b"not copied yet")

    check(waybill, change)


@pytest.fixture(params=["versitygw", "minio"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with S3Server("origin", "target", server=request.param) as running:
        yield running


def test_twelve_changes_in_a_bucket(folder: Path, server: S3Server) -> None:
    client: Any = boto3.session.Session(
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=server.environment["AWS_REGION"],
    ).client("s3", endpoint_url=server.endpoint, config=Config(s3={"addressing_style": "path"}))
    for key, content in contents().items():
        client.put_object(Bucket="origin", Key=key, Body=content, ContentType="text/plain", Metadata={"owner": "x"})
    waybill = Waybill(folder, environment=server.environment, options=PARTS)
    # Under another name the source is another store, so that nothing is copied inside it.
    source = server.url("origin", endpoint=server.endpoint.replace("127.0.0.1", "localhost"))
    copied = waybill.run("run", "--from", source, "--to", server.url("target"))
    assert copied.returncode == 0, copied.stderr.decode()

    def body(key: str) -> bytes:
        content: bytes = client.get_object(Bucket="target", Key=key)["Body"].read()
        return content

    def write(key: str, content: bytes, **changed: Any) -> None:
        attributes = {"ContentType": "text/plain", "Metadata": {"owner": "x"}} | changed
        client.put_object(Bucket="target", Key=key, Body=content, **attributes)

    def write_in_parts(key: str, content: bytes) -> None:
        """With parts of another size, so that the ETag is another one."""
        begun = client.create_multipart_upload(
            Bucket="target", Key=key, ContentType="text/plain", Metadata={"owner": "x"}
        )
        name = {"Bucket": "target", "Key": key, "UploadId": begun["UploadId"]}
        parts = []
        for number, at in enumerate(range(0, len(content), 8 * MIB), start=1):
            sent = client.upload_part(**name, PartNumber=number, Body=content[at : at + 8 * MIB])
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        client.complete_multipart_upload(**name, MultipartUpload={"Parts": parts})

    def change() -> None:
        client.delete_object(Bucket="target", Key="missing")
        write("extra", b"nobody's")
        write("truncated", body("truncated")[:-1])
        write("longer", body("longer") + b"x")
        for key in ("one byte", "one byte, time restored"):  # a store's own time cannot be set
            write(key, b"X" + body(key)[1:])
        write("emptied", b"")
        write("metadata lost", body("metadata lost"), Metadata={})
        write("content type changed", body("content type changed"), ContentType="text/html")
        for one, other in ((NFC, NFD), ("body one", "body two")):
            of_one, of_other = body(one), body(other)
            write(one, of_other)
            write(other, of_one)
        write_in_parts(LARGE, body(LARGE))
        client.delete_object(Bucket="origin", Key="gone at the source")
        client.put_object(Bucket="origin", Key=NEW, Body=b"not copied yet")

    check(waybill, change)
    client.close()
