# SPDX-License-Identifier: Apache-2.0
"""Whole runs against stores that differ, and against faults, judged by the store's own count of requests.

What a store does is set at the fault server; that everything arrived is read from there, not from waybill.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from urllib.request import Request, urlopen

import pytest
from fault_server import FaultServer, quoted
from process import Waybill, check_accounts, open_folder, run_checked

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
MIB = 1 << 20
COUNT = 2_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-stores-") as path:
        yield path


def text_of(name: str, size: int) -> bytes:
    """`size` bytes that no other name has, and that control endpoints take as they are."""
    return hashlib.shake_128(name.encode()).hexdigest(size // 2).encode()


@dataclass(frozen=True)
class Stores:
    """Two stores of their own, so that nothing can be copied inside one."""

    origin: FaultServer
    target: FaultServer

    def requests(self) -> int:
        counts = [*self.origin.counts().values(), *self.target.counts().values()]
        return sum(count["requests"] for count in counts)

    def rule(self, **rule: Any) -> tuple[FaultServer, int]:
        """A rule where it belongs: reads at the origin, writes at the target."""
        server = self.origin if rule["op"] == "GetObject" else self.target
        return server, server.rule(**rule)


@pytest.fixture
def stores() -> Iterator[Stores]:
    with FaultServer("from") as origin, FaultServer("to") as target:
        yield Stores(origin, target)


def copy(folder: Path, stores: Stores, expected: int = 0) -> Waybill:
    """A run from one store to the other."""
    parts = {"part_size_bytes": 5 * MIB, "part_threshold_bytes": 5 * MIB}
    waybill = Waybill(folder, environment=ENVIRONMENT, options=parts)
    words = ["run", "--from", stores.origin.url("from"), "--to", stores.target.url("to"), "--progress", "none"]
    done = waybill.run(*words)
    assert done.returncode == expected, done.stderr.decode(errors="replace")
    check_accounts(waybill.status())
    return waybill


STORES: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {
    # settings of the source, of the destination, and requests per object at most
    "plain": ({}, {}, 2.01),
    "version 1": ({"list_v2": "as_v1"}, {"list_v2": "not_implemented"}, 2.01),
    "empty pages": ({"empty_page_every": 2}, {"empty_page_every": 2}, 2.01),
    "plus for space": ({"plus_for_space": True}, {"plus_for_space": True}, 2.01),
    "no checksums": ({"checksums": "ignored", "etag": "opaque"}, {"checksums": "refused", "etag": "opaque"}, 2.01),
    # These cost a look at each key.
    "no order": ({"unordered": True}, {"unordered": True}, 3.01),
    "no conditions": ({}, {"conditional_writes": "ignored"}, 3.01),
    "conditions refused": ({}, {"conditional_writes": "not_implemented"}, 3.02),
}


@pytest.mark.parametrize("name", STORES)
def test_every_object_arrives_with_the_requests_it_takes(folder: Path, stores: Stores, name: str) -> None:
    """L1, L2, L3, I3, H7: at most 2.01 requests an object where the store offers what S3 does."""
    source, destination, most = STORES[name]
    stores.origin.bucket("from", **source)
    stores.target.bucket("to", **destination)
    stores.origin.generate("from", shape="hex", count=COUNT, size=300, prefix="a b+/")
    waybill = copy(folder, stores)
    assert stores.requests() <= most * COUNT, (stores.origin.counts(), stores.target.counts())
    assert stores.target.keys("to") == stores.origin.keys("from")
    sample = stores.origin.keys("from")[:: COUNT // 50]
    assert [stores.target.get("to", key) for key in sample] == [stores.origin.get("from", key) for key in sample]
    verified = waybill.run("verify")
    assert verified.returncode == 0, verified.stdout.decode()
    for server in (stores.origin, stores.target):
        server.clear_log()
    copy(folder, stores)
    assert not stores.origin.counts().keys() & {"GetObject"}, "there is nothing to copy any more"
    assert not stores.target.counts().keys() & {"PutObject"}


def test_a_listing_that_lags_behind_loses_nothing(folder: Path, stores: Stores) -> None:
    """U3: what the destination's listing does not show yet is asked for: it is neither missing nor written over."""
    stores.origin.generate("from", shape="padded", count=60, size=100)
    stores.origin.generate("from", shape="padded", count=2, size=11 * MIB, prefix="large/")
    stores.target.bucket("to", unlisted="*")
    waybill = copy(folder, stores)
    verified = waybill.run("verify", "--json")
    assert verified.returncode == 0, verified.stdout.decode()
    assert waybill.status()["findings"] == {}

    stores.target.clear_log()
    copy(folder, stores)
    items = waybill.status()["items"]
    assert (items["done"], items["new"], items["failed"]) == (62, 0, 0), items
    counts = stores.target.counts()
    assert counts["PutObject"]["statuses"].keys() == {"412"}, "nothing is written over"
    assert "CompleteMultipartUpload" not in counts, "what cannot be repeated is looked at first"
    assert not stores.target.uploads("to")

    # One that is lost all the same is found; that the listing shows it no more than the others is no excuse.
    lost = stores.origin.keys("from")[30]
    request = Request(f"{stores.target.endpoint}/to/{quoted(lost)}", method="DELETE")
    with urlopen(request) as answer:
        assert answer.status == 204
    verified = waybill.run("verify", "--json")
    assert verified.returncode == 3, verified.stdout.decode()
    found = [json.loads(line) for line in verified.stdout.splitlines()]
    assert [(each["kind"], each["key"]) for each in found if "kind" in each] == [("missing", lost.decode())]


def test_a_key_of_ones_own_is_in_its_variable_and_nowhere_else(folder: Path, stores: Stores) -> None:
    """H8: whole runs with SSE-C at both ends; later commands find it through the ledger's reference to it."""
    keys = {name: base64.b64encode(hashlib.sha256(name.encode()).digest()).decode() for name in ("ORIGIN", "TARGET")}
    environment = ENVIRONMENT | {f"WAYBILL_TEST_{name}": key for name, key in keys.items()}
    made = folder / "made"
    made.mkdir()
    contents = {b"small": text_of("small", 1000), b"large": text_of("large", 11 * MIB)}
    for key, content in contents.items():
        (made / key.decode()).write_bytes(content)
    parts = {"part_size_bytes": 5 * MIB, "part_threshold_bytes": 5 * MIB}
    first = Waybill(folder, tracker="first.db", environment=environment, options=parts)
    origin = stores.origin.url("from") + "&sse_c_key=env:WAYBILL_TEST_ORIGIN"
    done = first.run("run", "--from", "made", "--to", origin)
    assert done.returncode == 0, done.stderr.decode()
    waybill = Waybill(folder, environment=environment, options=parts)
    target = stores.target.url("to") + "&sse_c_key=env:WAYBILL_TEST_TARGET"
    done = waybill.run("run", "--from", origin, "--to", target)
    assert done.returncode == 0, done.stderr.decode()
    for server, bucket, name in ((stores.origin, "from", "ORIGIN"), (stores.target, "to", "TARGET")):
        digest = base64.b64encode(hashlib.md5(base64.b64decode(keys[name])).digest()).decode()
        for key, content in contents.items():
            described = server.describe(bucket, key)
            assert described is not None and described["encryption"]["customer_key_md5"] == digest
            assert server.get(bucket, key) == content
    verified = waybill.run("verify")
    assert verified.returncode == 0, verified.stdout.decode() + verified.stderr.decode()
    for path in [*folder.glob("*.db*")]:
        held = path.read_bytes()
        for key in keys.values():
            assert key.encode() not in held and base64.b64decode(key) not in held, path
    # Without the variable, one line that names it.
    refused = Waybill(folder, environment=ENVIRONMENT).run("verify")
    assert refused.returncode == 2
    assert b"WAYBILL_TEST_" in refused.stderr, refused.stderr


def test_a_store_without_order_is_said_to_be_one(folder: Path, stores: Stores) -> None:
    """L3: in the run's log, with what it costs."""
    stores.origin.bucket("from", unordered=True)
    stores.origin.generate("from", shape="padded", count=50, size=10)
    copy(folder, stores)
    query = ["sqlite3", "-readonly", str(folder / "ledger.db"), "SELECT count(*) FROM event_view WHERE text LIKE ?"]
    query[-1] = query[-1].replace("?", "'%listed without order%'")
    assert run_checked(query).stdout.strip() == b"1"


def test_disorder_that_shows_late_ends_the_run_and_names_the_way_out(folder: Path, stores: Stores) -> None:
    """L3: nothing is lost in silence, and the same command with ordered=false carries on."""
    stores.origin.bucket("from", page_size=100)
    stores.origin.generate("from", shape="hex", count=500, size=10)
    stores.origin.rule(
        op="ListObjectsV2",
        nth=4,
        action="status",
        status=200,
        body="<ListBucketResult><KeyCount>2</KeyCount><IsTruncated>false</IsTruncated>"
        "<Contents><Key>zz</Key><Size>1</Size></Contents><Contents><Key>aa</Key><Size>1</Size></Contents>"
        "</ListBucketResult>",
    )
    waybill = Waybill(folder, environment=ENVIRONMENT)
    words = ("--to", stores.target.url("to"), "--progress", "none")
    done = waybill.run("run", "--from", stores.origin.url("from"), *words)
    assert done.returncode == 1
    assert b"ordered=false" in done.stdout, done.stdout
    stores.origin.clear_rules()
    done = waybill.run("run", "--from", stores.origin.url("from") + "&ordered=false", *words)
    assert done.returncode == 0, done.stderr
    assert stores.target.keys("to") == stores.origin.keys("from")


def test_what_belongs_to_an_object_arrives_with_it(folder: Path, stores: Stores) -> None:
    """O2, O3, O4: in one piece and in parts."""
    headers = {
        "Content-Type": "text/plain",
        "Content-Encoding": "gzip",
        "Cache-Control": "no-store",
        "Expires": "Fri, 20 Nov 2026 18:43:53 GMT",
        "x-amz-meta-title": "=?UTF-8?B?w7xiZXI=?=",
        "x-amz-website-redirect-location": "/elsewhere",
    }
    tags = {"stage": "a+b c", "ü": "=&"}
    content = text_of("large", 11 * MIB)
    for key, body in {"small": b"small", "large": content}.items():
        stores.origin.put("from", key, body, headers=headers, tags=tags, storage_class="STANDARD_IA")
    stores.origin.put("from", "cold", b"cold", storage_class="DEEP_ARCHIVE")
    stores.origin.put("from", "thawed", b"thawed", storage_class="GLACIER", restore='ongoing-request="false"')
    waybill = copy(folder, stores, expected=3)
    failed = waybill.failed()
    assert {key: row["error_class"] for key, row in failed.items()} == {b"cold": "archived"}
    assert "restore" in failed[b"cold"]["message"]
    assert stores.target.keys("to") == [b"large", b"small", b"thawed"]
    for key, body in {"small": b"small", "large": content}.items():
        assert stores.target.get("to", key) == body
        there, origin = stores.target.describe("to", key), stores.origin.describe("from", key)
        assert there is not None and origin is not None
        assert there["tags"] == origin["tags"]
        assert there["storage_class"] == "STANDARD_IA"
        held = {name.lower(): unquote(value) for name, value in dict(there["headers"]).items()}
        for name, value in headers.items():
            assert held[name.lower()] == value, name


def test_sizes_at_the_limits_of_parts(folder: Path, stores: Stores) -> None:
    """O1: empty objects and markers, and sizes just below, at and above where an object goes in parts."""
    sizes = [0, 2, 5 * MIB - 2, 5 * MIB, 5 * MIB + 2, 10 * MIB, 10 * MIB + 2]
    contents = {f"{size:09d}": text_of(str(size), size) for size in sizes} | {"folder/": b"", "marker/": b"content"}
    for key, content in contents.items():
        stores.origin.put("from", key, content)
    copy(folder, stores)
    assert {key.decode(): stores.target.get("to", key) for key in stores.target.keys("to")} == contents
    parts: dict[bytes, int] = {}
    for row in stores.target.log(op="UploadPart"):
        parts[row["key"]] = parts.get(row["key"], 0) + 1
    assert parts == {b"%09d" % (5 * MIB + 2): 2, b"%09d" % (10 * MIB): 2, b"%09d" % (10 * MIB + 2): 3}
    assert not stores.target.uploads("to")


FAULTS: dict[str, list[dict[str, Any]]] = {
    # Of a read of the whole; no store has a checksum of a range.
    "wrong bytes": [{"op": "GetObject", "key": "small*", "action": "flip", "after": 3, "every": 7}],
    "wrong checksum": [{"op": "PutObject", "action": "wrong_checksum", "every": 9}],
    "bodies that end early": [{"op": "GetObject", "action": "cut", "after": 100, "every": 5}],
    "connections reset": [{"op": op, "action": "reset", "after": 40, "every": 6} for op in ("GetObject", "PutObject")],
    "answers lost": [
        {"op": "PutObject", "action": "cut", "place": "answer", "after": 30, "every": 5},
        {"op": "CompleteMultipartUpload", "action": "cut", "place": "answer", "after": 30, "nth": 1},
    ],
    "carried out and failed": [
        {"op": "PutObject", "action": "status", "status": 500, "code": "InternalError", "apply": True, "every": 5},
        {
            "op": "CompleteMultipartUpload",
            "action": "status",
            "status": 500,
            "code": "InternalError",
            "apply": True,
            "nth": 1,
        },
    ],
    "errors inside a success": [
        {"op": "CompleteMultipartUpload", "action": "error_in_200", "code": "InternalError", "nth": 1}
    ],
    "conflicts": [
        {"op": "PutObject", "action": "status", "status": 409, "code": "ConditionalRequestConflict", "every": 5},
        {
            "op": "CompleteMultipartUpload",
            "action": "status",
            "status": 409,
            "code": "ConditionalRequestConflict",
            "nth": 1,
        },
    ],
    "another revision for a moment": [{"op": "GetObject", "action": "swap", "every": 8}],
    "the upload gone": [{"op": "UploadPart", "action": "status", "status": 404, "code": "NoSuchUpload", "nth": 2}],
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_cost_requests_and_no_object(folder: Path, stores: Stores, name: str) -> None:
    """I2, I4, I5, I6, H7: wrong bytes 0, lost objects 0, failed items 0, open uploads 0."""
    contents = {f"small {n}": text_of(str(n), 500) for n in range(100)}
    contents["large"] = text_of("large", 11 * MIB)
    for key, content in contents.items():
        stores.origin.put("from", key, content)
    rules = [stores.rule(**rule) for rule in FAULTS[name]]
    waybill = copy(folder, stores)
    assert all(server.fired(rule) for server, rule in rules), "what was to go wrong did not"
    for server, _ in rules:
        server.clear_rules()
    assert {key.decode(): stores.target.get("to", key) for key in stores.target.keys("to")} == contents
    assert not stores.target.uploads("to")
    assert waybill.status()["items"]["new"] == len(contents)
    assert waybill.run("verify").returncode == 0
