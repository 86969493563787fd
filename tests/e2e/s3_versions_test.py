# SPDX-License-Identifier: Apache-2.0
"""Every version of every object (versions=true), each to a key of its own: on real servers that keep versions and on the
fault server. boto3 writes the versions and reads what arrived.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from fault_server import FaultServer
from process import Waybill, check_accounts, open_folder, run_checked, wait_for
from s3 import S3Server

MIB = 1 << 20
PARTS: dict[str, Any] = {"part_size_bytes": 5 * MIB, "part_threshold_bytes": 5 * MIB}
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
# From where the target is, in the terms of the key "name" and the version "id".
Versions = dict[str, bytes]


@dataclass(frozen=True)
class Store:
    """A server with the buckets origin, which keeps versions, and target, which does not."""

    name: str
    endpoint: str
    environment: dict[str, str]

    def url(self, bucket: str, more: str = "") -> str:
        return f"s3://{bucket}/?endpoint={self.endpoint}{more}"


@pytest.fixture(params=["versitygw", "fault server", pytest.param("minio", marks=pytest.mark.long)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "fault server":
        with FaultServer("origin", "target") as made:
            yield Store(request.param, made.endpoint, ENVIRONMENT)
        return
    with S3Server(server=request.param, versioning=True) as running:
        yield Store(request.param, running.endpoint, running.environment)


@pytest.fixture
def client(store: Store) -> Iterator[Any]:
    made = boto3.session.Session(
        aws_access_key_id=store.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=store.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=store.environment["AWS_REGION"],
    ).client("s3", endpoint_url=store.endpoint, config=Config(s3={"addressing_style": "path"}))
    there = {bucket["Name"] for bucket in made.list_buckets()["Buckets"]}
    for bucket in {"origin", "target"} - there:
        made.create_bucket(Bucket=bucket)
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-versions-") as path:
        yield path


def content_of(name: str, size: int) -> bytes:
    return hashlib.shake_128(name.encode()).digest(size)


def place(key: str, version: str) -> str:
    """Where a version goes."""
    return f"{key}?versionId={quote(version, safe='')}"


def keep_versions(client: Any, bucket: str = "origin") -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def write(client: Any, key: str, content: bytes, expected: Versions, **more: Any) -> str:
    version: str = client.put_object(Bucket="origin", Key=key, Body=content, **more).get("VersionId") or "null"
    expected[place(key, version)] = content
    return version


def body_of(client: Any, bucket: str, key: str) -> bytes:
    content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def keys_of(client: Any, bucket: str) -> set[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def arrived(client: Any) -> Versions:
    return {key: body_of(client, "target", key) for key in keys_of(client, "target")}


def events(folder: Path, text: str) -> int:
    query = f"SELECT count(*) FROM event_view WHERE text LIKE '%{text}%'"
    return int(run_checked(["sqlite3", "-readonly", str(folder / "ledger.db"), query]).stdout)


def make_history(client: Any) -> Versions:
    """Objects of several versions: small, empty and large, before and after the bucket kept versions, some deleted."""
    expected: Versions = {}
    write(client, "old", b"from before", expected)
    keep_versions(client)
    for number in range(3):
        write(client, "old", content_of(f"old {number}", 1000 + number), expected)
        write(client, "a b+%/é", content_of(f"odd {number}", number), expected)
    write(client, "large", content_of("large", 12 * MIB + 17), expected, Metadata={"owner": "somebody"})
    write(client, "large", b"small now", expected, ContentType="text/plain")
    write(client, "gone", b"last words", expected)
    client.delete_object(Bucket="origin", Key="gone")
    client.delete_object(Bucket="origin", Key="old")
    write(client, "old", b"back again", expected)
    return expected


def test_every_version_arrives_at_a_key_of_its_own(folder: Path, store: Store, client: Any) -> None:
    """L4: whole, with its headers and its time; verified; and later runs move what is new, and nothing else."""
    expected = make_history(client)
    waybill = Waybill(folder, environment=store.environment, options=PARTS)
    words = ("--from", store.url("origin", "&versions=true"), "--to", store.url("target"), "--progress", "none")
    done = waybill.run("run", *words)
    assert done.returncode == 0, done.stderr.decode()
    assert arrived(client) == expected
    status = waybill.status()
    check_accounts(status)
    assert status["items"]["done"] == len(expected)
    assert events(folder, "2 delete markers, which are no content") == 1
    assert events(folder, "1 keys are deleted there now") == 1

    # What a version is known by travels with it: the order of versions is that of their times.
    listed = {
        place(each["Key"], each["VersionId"]): each for each in client.list_object_versions(Bucket="origin")["Versions"]
    }
    assert listed.keys() == expected.keys()
    for key, entry in listed.items():
        head = client.head_object(Bucket="target", Key=key)
        assert float(head["Metadata"]["mtime"]) == entry["LastModified"].replace(microsecond=0).timestamp(), key
    large = [key for key, content in expected.items() if key.startswith("large?")]
    heads = {len(expected[key]): client.head_object(Bucket="target", Key=key) for key in large}
    assert heads[12 * MIB + 17]["Metadata"]["owner"] == "somebody"
    assert heads[len(b"small now")]["ContentType"] == "text/plain"

    verified = waybill.run("verify", "--json")
    assert verified.returncode == 0, verified.stdout.decode()
    assert waybill.status()["items"]["done"] == len(expected)

    write(client, "old", b"newest", expected)
    client.delete_object(Bucket="origin", Key="large")
    done = waybill.run("run", *words)
    assert done.returncode == 0, done.stderr.decode()
    assert arrived(client) == expected
    items = waybill.status()["items"]
    assert (items["new"], items["updated"], items["unchanged"]) == (1, 0, len(expected) - 1)


def test_versions_become_files(folder: Path, store: Store, client: Any) -> None:
    """L4: a file for each version, with the time at which it was written; none shadows another, nor a folder."""
    expected = make_history(client)
    if store.name == "fault server":  # the others hold or list no key below a key
        write(client, "old/below", b"a key below a key", expected)
    waybill = Waybill(folder, environment=store.environment, options=PARTS)
    done = waybill.run("run", "--from", store.url("origin", "&versions=true"), "--to", "there", "--progress", "none")
    assert done.returncode == 0, done.stderr.decode()
    top = folder / "there"
    files = {str(path.relative_to(top)): path for path in top.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in files.items()} == expected
    for entry in client.list_object_versions(Bucket="origin")["Versions"]:
        path = files[place(entry["Key"], entry["VersionId"])]
        assert path.stat().st_mtime == entry["LastModified"].replace(microsecond=0).timestamp()
    verified = waybill.run("verify")
    assert verified.returncode == 0, verified.stdout.decode()


def test_verify_sees_what_happened_to_versions(folder: Path, store: Store, client: Any) -> None:
    """L4: one lost, one replaced; each is found under its key and its version."""
    expected: Versions = {}
    keep_versions(client)
    versions = [write(client, "key", content_of(f"{n}", 100), expected) for n in range(5)]
    waybill = Waybill(folder, environment=store.environment)
    done = waybill.run("run", "--from", store.url("origin", "&versions=true"), "--to", store.url("target"))
    assert done.returncode == 0, done.stderr.decode()
    client.delete_object(Bucket="target", Key=place("key", versions[1]))
    client.put_object(Bucket="target", Key=place("key", versions[3]), Body=content_of("other", 100))
    verified = waybill.run("verify", "--json")
    assert verified.returncode == 3, verified.stdout.decode()
    found = [json.loads(line) for line in verified.stdout.splitlines()]
    assert {(each["kind"], each["key"], each["version"]) for each in found if "kind" in each} == {
        ("missing", "key", versions[1]),
        ("checksum", "key", versions[3]),
    }


def test_a_run_that_is_killed_goes_on_among_the_versions(folder: Path) -> None:
    """L4: every version once, whichever of a key's were written when it died."""
    with FaultServer("origin", "target") as server:
        server.bucket("origin", versioning="enabled", page_size=7)
        expected: Versions = {}
        for key in range(40):
            for _ in range(5):
                content = content_of(f"{len(expected)}", 64)
                server.put("origin", f"{key:03}", content)
                described = server.describe("origin", f"{key:03}")
                assert described is not None
                expected[place(f"{key:03}", described["version_id"])] = content
        waybill = Waybill(folder, environment=ENVIRONMENT, options={"concurrency": 4})
        source, target = (f"s3://{name}/?endpoint={server.endpoint}" for name in ("origin", "target"))
        words = ("run", "--from", source + "&versions=true", "--to", target, "--progress", "none")
        for puts in (20, 40, 40):
            hold = server.rule(op="PutObject", action="stall", place="answer", **{"from": puts})
            process = waybill.start(*words)
            try:
                wait_for(lambda rule=hold: server.fired(rule) >= 4, 60, "writes hang")
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=20)
            finally:
                waybill.stop(process)
            server.remove_rule(hold)
            assert waybill.status()["run"]["state"] == "interrupted"
        done = waybill.run(*words)
        assert done.returncode == 0, done.stderr.decode()
        assert {key.decode(): server.get("target", key) for key in server.keys("target")} == expected
        items = waybill.status()["items"]
        assert (items["done"], items["new"]) == (len(expected), len(expected))
        assert waybill.run("verify").returncode == 0


def test_the_requests_that_a_version_takes(folder: Path) -> None:
    """L4: one read and one write where the destination is empty, and none once all are there."""
    with FaultServer("origin", "target") as server:
        server.bucket("origin", versioning="enabled")
        for number in range(300):
            server.put("origin", f"key {number % 50}", f"content {number}")
        waybill = Waybill(folder, environment=ENVIRONMENT)
        source, target = (f"s3://{name}/?endpoint={server.endpoint}" for name in ("origin", "target"))
        words = ("run", "--from", source + "&versions=true", "--to", target, "--progress", "none")
        for most in (2.1 * 300, 20):
            server.clear_log()
            assert waybill.run(*words).returncode == 0
            counts = server.counts()
            assert sum(count["requests"] for count in counts.values()) <= most, counts
            assert len(server.keys("target")) == 300


def test_what_moves_belongs_to_the_migration(folder: Path) -> None:
    """One ledger is about the latest versions or about all; a store that cannot list them says so before anything."""
    with FaultServer("origin", "target") as server:
        server.put("origin", "key", b"content")
        waybill = Waybill(folder, environment=ENVIRONMENT)
        source, target = (f"s3://{name}/?endpoint={server.endpoint}" for name in ("origin", "target"))
        refused = waybill.run("run", "--from", source, "--to", target + "&versions=true")
        assert refused.returncode == 2
        assert b"versions" in refused.stderr and b"source" in refused.stderr, refused.stderr
        rule = server.rule(op="ListObjectVersions", action="status", status=501, code="NotImplemented")
        refused = waybill.run("run", "--from", source + "&versions=true", "--to", target)
        assert refused.returncode != 0
        assert b"NotImplemented" in refused.stderr, refused.stderr
        assert not server.keys("target")
        server.remove_rule(rule)
        rule = server.rule(op="ListObjectVersions", action="status", status=403, code="AccessDenied")
        refused = waybill.run("run", "--from", source + "&versions=true", "--to", target)
        assert b"s3:ListBucketVersions" in refused.stderr, refused.stderr
        server.remove_rule(rule)

        assert waybill.run("run", "--from", source, "--to", target).returncode == 0
        refused = waybill.run("run", "--from", source + "&versions=true", "--to", target)
        assert refused.returncode == 2, refused.stderr
        assert b"versions" in refused.stderr, refused.stderr
        assert server.keys("target") == [b"key"]
