# SPDX-License-Identifier: Apache-2.0
"""What a store can answer and a network can do, case by case: how each ends, after how many requests, with which bytes.

Two lists of others are gone through by the names used there: the responses of aws-c-s3's mock server, and the toxics of
toxiproxy. Each case is one object that is streamed from one bucket of the fault server to another while rules spoil
what is said. CASES tells what has to come of it; docs/s3-faults.md is that table in words (this file as a program with
--write writes it, a test compares it). What holds for all: nothing but the object's own bytes arrives, what is called
done is there, every run ends in its time, no upload stays open, and a sound store gets the object in the next run.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.client
import random
import re
import signal
import socket
import socketserver
import string
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pytest
from fault_server import FaultServer
from process import PROJECT, Waybill, open_folder, wait_for

import waybill

TABLE = PROJECT / "docs/s3-faults.md"
KEY = "object"
MIB = 1 << 20
OPTIONS = {
    "max_attempts": 3,
    "retry_base_ms": 1,
    "retry_cap_ms": 5,
    "part_size_bytes": 5 * MIB,
    "part_threshold_bytes": 5 * MIB,
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDFAULTS", "AWS_SECRET_ACCESS_KEY": "faults-secret", "AWS_REGION": "us-east-1"}

# Letters only, so that a rule can say them. SMALL is beyond what conditions are probed with, LARGE goes in three parts.
LETTERS = string.ascii_letters.encode()
SMALL = bytes(random.Random(1).choices(LETTERS, k=100_000))
LARGE = random.Random(2).randbytes(12 * MIB).translate(bytes(LETTERS[code % len(LETTERS)] for code in range(256)))
PART = 5 * MIB


@dataclass(frozen=True)
class Rule:
    """A rule of the fault server and the bucket that it is about."""

    bucket: str
    op: str
    action: str
    more: Mapping[str, Any] = field(default_factory=dict)


def rule(bucket: str, op: str, action: str, **more: Any) -> Rule:
    return Rule(bucket, op, action, more)


# Operations as the table calls them; listings are not counted, the ledger is compared with both sides by them.
OPERATIONS = {
    "GetObject": "GET",
    "HeadObject": "HEAD",
    "PutObject": "PUT",
    "CreateMultipartUpload": "Create",
    "UploadPart": "UploadPart",
    "CompleteMultipartUpload": "Complete",
    "AbortMultipartUpload": "Abort",
}
# What is too large to be sent twice is preceded by a look: nothing has shown that the store heeds conditions.
WHOLE = "GET 1, HEAD 1, PUT 1"
PARTS = "GET 4, Create 1, UploadPart 3, Complete 1, HEAD 2"


@dataclass(frozen=True)
class Case:
    """One line of the table: `says` is what the store does, `outcome` is "done" or how the item ends otherwise."""

    name: str
    says: str
    outcome: str
    requests: str
    rules: tuple[Rule, ...] = ()
    content: bytes = SMALL
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # of the object at the source
    waits: bool = False  # for the stall timeout of 30 s


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def says(op: str, bucket: str, content: bytes, headers: Mapping[str, str], status: int = 200, **more: Any) -> Rule:
    """An answer whose body and headers are all given."""
    return rule(bucket, op, "status", status=status, body=content.decode(), headers=dict(headers), **more)


def error(code: str, message: str = "Told to say this.", more: str = "") -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>'
    )


def get_says(status: int, *, first: int = 0, **headers: str) -> tuple[Rule, ...]:
    """The small object by a GET with these headers beside its ETag."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (says("GetObject", "from", SMALL, {"ETag": etag(SMALL)} | named, status, first=first),)


def crc_mock(name: str, text: str, rules: tuple[Rule, ...] = ()) -> Case:
    return Case(name, text, "done", PARTS, rules, LARGE, headers={"x-amz-checksum-crc32": crc32(LARGE)})


SKEWED = error("RequestTimeTooSkewed", more="<ServerTime>2023-07-25T16:27:59Z</ServerTime>")
NO_ID = "<InitiateMultipartUploadResult><Bucket>to</Bucket><Key>object</Key></InitiateMultipartUploadResult>"

# fmt: off
# The names are those of the files in tests/mock_s3_server of awslabs/aws-c-s3, with what a case adds after a comma.
MOCKS = [
    Case("AbortMultipartUpload/default", "aborts (204) after a part was refused for good", "failed: permission",
         "GET 2, Create 1, UploadPart 1, Abort 1",
         (rule("to", "UploadPart", "status", status=403, code="AccessDenied"),), LARGE),
    Case("CompleteMultipartUpload/default", "puts the parts together", "done", PARTS, (), LARGE),
    Case("CompleteMultipartUpload/async_access_denied_error", "200, and AccessDenied inside", "failed: permission",
         "GET 4, HEAD 1, Create 1, UploadPart 3, Complete 1, Abort 1",
         (rule("to", "CompleteMultipartUpload", "error_in_200", code="AccessDenied"),), LARGE),
    Case("CompleteMultipartUpload/async_error", "200, and InternalError inside, once", "done",
         "GET 4, HEAD 3, Create 1, UploadPart 3, Complete 2",
         (rule("to", "CompleteMultipartUpload", "error_in_200", code="InternalError", first=1),), LARGE),
    Case("CompleteMultipartUpload/async_error, carried out", "the same, though the object is there", "done",
         "GET 4, HEAD 3, Create 1, UploadPart 3, Complete 1, Abort 1",
         (rule("to", "CompleteMultipartUpload", "error_in_200", code="InternalError", first=1, apply=True),), LARGE),
    Case("CompleteMultipartUpload/async_internal_error", "200, and InternalError inside, always", "failed: server",
         "GET 4, HEAD 3, Create 1, UploadPart 3, Complete 3, Abort 1",
         (rule("to", "CompleteMultipartUpload", "error_in_200", code="InternalError"),), LARGE),
    Case("CompleteMultipartUpload/async_slow_down", "200, and SlowDown inside, once", "done",
         "GET 4, HEAD 3, Create 1, UploadPart 3, Complete 2",
         (rule("to", "CompleteMultipartUpload", "error_in_200", code="SlowDown", first=1),), LARGE),
    Case("CompleteMultipartUpload/default, slowly", "white space while it works, then the answer", "done", PARTS,
         (rule("to", "CompleteMultipartUpload", "whitespace", bytes=1000),
          rule("to", "CompleteMultipartUpload", "slice", bytes=100, pause_ms=20)), LARGE),
    Case("CompleteMultipartUpload/default, carried out without a word", "the object is there, and 200 says nothing; once",
         "done", "GET 4, HEAD 3, Create 1, UploadPart 3, Complete 1, Abort 1",
         (rule("to", "CompleteMultipartUpload", "status", status=200, body="", apply=True, first=1),), LARGE),
    Case("CompleteMultipartUpload/sse_kms", "encrypts: ETags are no MD5 of anything", "done", PARTS, (), LARGE,
         settings={"to": {"etag": "opaque"}}),
    Case("CreateMultipartUpload/default", "begins an upload", "done", PARTS, (), LARGE),
    Case("CreateMultipartUpload/no upload id", "200 without an id, once", "done",
         "GET 5, HEAD 3, Create 2, UploadPart 3, Complete 1",
         (rule("to", "CreateMultipartUpload", "status", status=200, body=NO_ID, first=1),), LARGE),
    Case("CreateMultipartUpload/no upload id, always", "200 without an id", "failed: server",
         "GET 3, Create 3, HEAD 2",
         (rule("to", "CreateMultipartUpload", "status", status=200, body=NO_ID),), LARGE),
    Case("CreateMultipartUpload/request_time_too_skewed", "says that our clock is wrong, while its own Date is ours",
         "stopped", "GET 1, Create 1",
         (rule("to", "CreateMultipartUpload", "status", status=403, body=SKEWED),), LARGE),
    Case("CreateMultipartUpload/request_time_too_skewed, truly", "a clock an hour ahead of ours", "done", PARTS, (), LARGE,
         server={"clock_offset_s": 3600, "checks_signatures": True,
                 "keys": [{"id": KEYS["AWS_ACCESS_KEY_ID"], "secret": KEYS["AWS_SECRET_ACCESS_KEY"]}]}),
    Case("CreateMultipartUpload/request_timeout", "400 RequestTimeout, once", "done",
         "GET 5, HEAD 3, Create 2, UploadPart 3, Complete 1",
         (rule("to", "CreateMultipartUpload", "status", status=400, code="RequestTimeout", first=1),), LARGE),
    Case("CreateMultipartUpload/request_timeout, always", "400 RequestTimeout", "failed: timeout",
         "GET 3, Create 3, HEAD 2",
         (rule("to", "CreateMultipartUpload", "status", status=400, code="RequestTimeout"),), LARGE),
    Case("GetObject/default", "404 for what was listed, and so says HEAD", "vanished", "GET 1, HEAD 1",
         (rule("from", "GetObject", "status", status=404, body=""),
          rule("from", "HeadObject", "status", status=404, body=""))),
    Case("GetObject/default, and HEAD differs", "404 for what was listed, and HEAD has it", "failed: missing",
         "GET 6, HEAD 6", (rule("from", "GetObject", "status", status=404, body=""),)),
    crc_mock("GetObject/get_object_checksum_combine_head + get_object_checksum_combine_part", "a CRC-32 of the whole object, ranges without one"),
    crc_mock("GetObject/get_object_checksum_combine_slow_part", "the same, and one range takes a second",
             (rule("from", "GetObject", "delay", delay_ms=1000, offset=PART + 1),)),
    Case("GetObject/get_object_checksum_mp_parts_count", "the whole at once, with its CRC-32 and a number of parts",
         "done", WHOLE, get_says(200, x_amz_checksum_crc32=crc32(SMALL), x_amz_checksum_type="FULL_OBJECT",
                                 x_amz_mp_parts_count="4")),
    Case("GetObject/get_object_checksum_noncombinable_head", "a SHA-256 of the whole object", "done", WHOLE,
         get_says(200, x_amz_checksum_sha256=sha256(SMALL))),
    Case("GetObject/get_object_checksum_noncombinable_head, wrong", "a SHA-256 of something else, once", "done",
         "GET 2, HEAD 1, PUT 1", get_says(200, first=1, x_amz_checksum_sha256=sha256(b"other"))),
    Case("GetObject/get_object_checksum_per_part_header", "a checksum of checksums, which is none of the bytes", "done",
         WHOLE, get_says(200, x_amz_checksum_crc32=f"{crc32(b'other')}-4", x_amz_checksum_type="COMPOSITE")),
    Case("GetObject/get_object_checksum_retry", "a length beyond the body, and the connection ends; once", "done",
         "GET 2, HEAD 1, PUT 1", (rule("from", "GetObject", "wrong_length", length_delta=23_456, first=1),),
         headers={"x-amz-checksum-crc32": crc32(SMALL)}),
    Case("GetObject/get_object_checksum_single_part + get_object_checksum_single_part_head", "the whole as a range, with its CRC-32", "done", WHOLE,
         get_says(206, Content_Range="bytes 0-99999/100000", x_amz_checksum_crc32=crc32(SMALL))),
    Case("GetObject/get_object_checksum_suffix_range_head + get_object_checksum_suffix_range_part", "the whole as a range, without a checksum", "done",
         WHOLE, get_says(206, Content_Range="bytes 0-99999/100000")),
    Case("GetObject/get_object_checksum_suffix_range_part, shorter", "the end of the object instead of the whole, once",
         "done", "GET 2, HEAD 1, PUT 1",
         (says("GetObject", "from", SMALL[-1000:], {"ETag": etag(SMALL), "Content-Range": "bytes 99000-99999/100000"},
               206, first=1),)),
    Case("GetObject/get_object_default_no_checksum", "no checksum at all", "done", WHOLE,
         settings={"from": {"checksums": "ignored"}}),
    Case("GetObject/get_object_delay_60s", "nothing for 60 s, once", "done", "GET 2, HEAD 1, PUT 1",
         (rule("from", "GetObject", "delay", delay_ms=60_000, first=1),), waits=True),
    Case("GetObject/get_object_error_part", "403 for one range", "failed: permission",
         "GET 4, Create 1, UploadPart 2, Abort 1",
         (rule("from", "GetObject", "status", status=403, code="AccessDenied", offset=2 * PART + 1),
          rule("from", "GetObject", "delay", delay_ms=200, offset=2 * PART + 1)), LARGE),
    Case("GetObject/get_object_invalid_response_missing_content_range", "206 without Content-Range, once", "done",
         "GET 5, HEAD 2, Create 1, UploadPart 3, Complete 1",
         (says("GetObject", "from", LARGE[:1], {"ETag": etag(LARGE)}, 206, first=1),), LARGE),
    Case("GetObject/get_object_invalid_response_missing_content_range, always", "206 without Content-Range",
         "failed: server", "GET 3", (says("GetObject", "from", LARGE[:1], {"ETag": etag(LARGE)}, 206),), LARGE),
    Case("GetObject/get_object_invalid_response_missing_etags", "206 without an ETag, once", "done",
         "GET 5, HEAD 2, Create 1, UploadPart 3, Complete 1",
         (says("GetObject", "from", LARGE[:1], {"Content-Range": f"bytes 0-0/{len(LARGE)}"}, 206, first=1),), LARGE),
    Case("GetObject/get_object_invalid_response_missing_etags, always", "206 without an ETag", "failed: server",
         "GET 3", (says("GetObject", "from", LARGE[:1], {"Content-Range": f"bytes 0-0/{len(LARGE)}"}, 206),),
         LARGE),
    Case("GetObject/get_object_long_error", "403 with the code NoSuchKey and 50 KiB of message", "failed: missing",
         "GET 6, HEAD 6",
         (rule("from", "GetObject", "status", status=403, body=error("NoSuchKey", "really long error " * 2800)),)),
    Case("GetObject/get_object_modified_first_part + get_object_modified_success", "412 for the third read, then the object as it was",
         "done", "GET 7, HEAD 3, Create 2, UploadPart 4, Complete 1, Abort 1",
         (rule("from", "GetObject", "swap", nth=3),), LARGE),
    Case("GetObject/get_object_modified_failure", "the object is another one for every read after the second",
         "failed: source_changed", "GET 8, Create 1, UploadPart 1, Abort 1, HEAD 6",
         (rule("from", "GetObject", "swap", **{"from": 3}),), LARGE),
    Case("GetObject/get_object_opaque_etag", "ETags that are no MD5", "done", PARTS, (), LARGE,
         settings={"from": {"etag": "opaque"}}),
    Case("GetObject/get_object_parallel_write_normal_part", "ranges as they are asked for", "done", PARTS, (), LARGE),
    Case("GetObject/get_object_parallel_write_delayed_part", "a second before one range", "done", PARTS,
         (rule("from", "GetObject", "delay", delay_ms=1000, offset=1),), LARGE),
    Case("GetObject/get_object_parallel_write_empty_part", "a range without a byte, once", "done",
         "GET 5, HEAD 2, Create 1, UploadPart 3, Complete 1",
         (says("GetObject", "from", b"", {"ETag": etag(LARGE), "Content-Range": f"bytes 0-{PART - 1}/{len(LARGE)}"}, 206,
               nth=2),), LARGE),
    Case("GetObject/get_object_parallel_write_empty_part, always", "the last range without a byte", "failed: network",
         "GET 6, Create 1, UploadPart 2, Abort 1",
         (says("GetObject", "from", b"", {"ETag": etag(LARGE), "Content-Range": f"bytes {2 * PART}-{len(LARGE) - 1}/{len(LARGE)}"},
               206, offset=2 * PART + 1),), LARGE),
    Case("GetObject/get_object_unmatch_checksum_crc32", "a CRC-32 of something else, once", "done", "GET 2, HEAD 1, PUT 1",
         get_says(200, first=1, x_amz_checksum_crc32=crc32(b"other"))),
    Case("GetObject/get_object_unmatch_checksum_crc32, always", "a CRC-32 of something else", "failed: checksum",
         "GET 3", get_says(200, x_amz_checksum_crc32=crc32(b"other"))),
    Case("UploadPart/default", "takes the parts", "done", PARTS, (), LARGE),
    Case("UploadPart/missing_etag", "200 without an ETag", "failed: server", "GET 2, Create 1, UploadPart 1, Abort 1",
         (rule("to", "UploadPart", "status", status=200, body=""),), LARGE),
    Case("UploadPart/throttle", "503 SlowDown, once", "done", "GET 5, HEAD 2, Create 1, UploadPart 4, Complete 1",
         (rule("to", "UploadPart", "status", status=503, code="SlowDown", first=1),), LARGE),
    Case("UploadPart/throttle, always", "503 SlowDown for the last part", "failed: throttled",
         "GET 6, Create 1, UploadPart 5, Abort 1",
         (rule("to", "UploadPart", "status", status=503, code="SlowDown", part=3),), LARGE),
    Case("UploadPart/upload_part_error", "403 for the third part", "failed: permission",
         "GET 4, Create 1, UploadPart 3, Abort 1",
         (rule("to", "UploadPart", "status", status=403, code="AccessDenied", part=3),
          rule("to", "UploadPart", "delay", delay_ms=200, part=3)), LARGE),
]

READ_AGAIN = "GET 2, HEAD 1, PUT 1"
PART_READ_AGAIN = "GET 5, Create 1, UploadPart 3, Complete 1, HEAD 2"
SENT_AGAIN = "GET 1, HEAD 1, PUT 2"
END = 1 << 40  # behind the last byte of any answer

# Toxics are of a connection: each is played with an object's body on its way in, on its way out, and with parts of both.
# A request that dies on a kept connection before a byte of its answer came is sent again at once, without a new read.
TOXICS = [
    Case("latency", "200 ms before every answer", "done", WHOLE,
         (rule("*", "*", "delay", delay_ms=200),)),
    Case("latency, parts", "100 ms before every answer", "done", PARTS, (rule("*", "*", "delay", delay_ms=100),), LARGE),
    Case("bandwidth, GET", "200 kB/s down", "done", WHOLE, (rule("from", "GetObject", "bandwidth", bytes=200_000),)),
    Case("bandwidth, PUT", "200 kB/s up", "done", WHOLE,
         (rule("to", "PutObject", "bandwidth", bytes=200_000, place="request"),)),
    Case("bandwidth, parts", "20 MB/s down and up", "done", PARTS,
         (rule("from", "GetObject", "bandwidth", bytes=20_000_000),
          rule("to", "UploadPart", "bandwidth", bytes=20_000_000, place="request")), LARGE),
    Case("slow_close, GET", "the connection stays open behind the answer", "done", WHOLE,
         (rule("from", "GetObject", "stall", after=END),)),
    Case("slow_close, PUT", "the same behind the answer to a PUT", "done", WHOLE,
         (rule("to", "PutObject", "stall", after=END),)),
    Case("slow_close, parts", "the same behind the last range and the answer to Complete's HEAD", "done", PARTS,
         (rule("from", "GetObject", "stall", after=END, offset=len(LARGE) - 1),
          rule("to", "HeadObject", "stall", after=END, nth=2)), LARGE),
    Case("timeout, GET", "no byte for 300 ms, then the end of the connection; once", "done", READ_AGAIN,
         (rule("from", "GetObject", "cut", place="answer", first=1),
          rule("from", "GetObject", "delay", delay_ms=300, first=1))),
    Case("timeout, GET for ever", "no byte, and the connection stays open; once", "done", READ_AGAIN,
         (rule("from", "GetObject", "stall", place="answer", first=1),), waits=True),
    Case("timeout, GET in the body", "half of the body, and the connection stays open; once", "done", READ_AGAIN,
         (rule("from", "GetObject", "stall", after=50_000, first=1),), waits=True),
    Case("timeout, PUT for ever", "half of the body is taken, and the connection stays open; once", "done",
         "GET 2, HEAD 2, PUT 2", (rule("to", "PutObject", "stall", place="request", after=50_000, first=1),), waits=True),
    Case("timeout, PUT without an answer", "the object is there, its answer never comes; once", "done",
         "GET 2, HEAD 3, PUT 1", (rule("to", "PutObject", "stall", place="answer", first=1),), waits=True),
    Case("timeout, range for ever", "half of a range, and the connection stays open; once", "done", PART_READ_AGAIN,
         (rule("from", "GetObject", "stall", after=2 * MIB, nth=2),), LARGE, waits=True),
    Case("timeout, Create without an answer", "the upload is begun, its answer never comes; once", "done",
         "GET 5, HEAD 3, Create 2, UploadPart 3, Complete 1, Abort 1",
         (rule("to", "CreateMultipartUpload", "stall", place="answer", first=1),), LARGE, waits=True),
    Case("timeout, part without an answer", "the part is there, its answer never comes; once", "done",
         "GET 5, HEAD 2, Create 1, UploadPart 4, Complete 1",
         (rule("to", "UploadPart", "stall", place="answer", part=2, first=1),), LARGE, waits=True),
    Case("reset_peer, GET", "RST in the body, once", "done", READ_AGAIN,
         (rule("from", "GetObject", "reset", after=50_000, first=1),)),
    Case("reset_peer, GET always", "RST in the body", "failed: network", "GET 3",
         (rule("from", "GetObject", "reset", after=50_000),)),
    Case("reset_peer, PUT", "RST in the body that is sent, once", "done", SENT_AGAIN,
         (rule("to", "PutObject", "reset", place="request", after=50_000, first=1),)),
    Case("reset_peer, PUT without an answer", "the object is there, RST instead of the answer; once", "done",
         "GET 1, HEAD 2, PUT 2", (rule("to", "PutObject", "reset", place="answer", first=1),)),
    Case("reset_peer, range", "RST in a range, once", "done", PART_READ_AGAIN,
         (rule("from", "GetObject", "reset", after=2 * MIB, nth=2),), LARGE),
    Case("reset_peer, part", "RST in a part that is sent, once", "done",
         "GET 5, HEAD 2, Create 1, UploadPart 4, Complete 1",
         (rule("to", "UploadPart", "reset", place="request", after=2 * MIB, part=2, first=1),), LARGE),
    Case("reset_peer, Create without an answer", "the upload is begun, RST instead of the answer; once", "done",
         "GET 4, HEAD 2, Create 2, UploadPart 3, Complete 1, Abort 1",
         (rule("to", "CreateMultipartUpload", "reset", place="answer", first=1),), LARGE),
    Case("reset_peer, Create without an answer, always", "the upload is begun, RST instead of the answer",
         "failed: network", "GET 3, HEAD 2, Create 6, Abort 6",
         (rule("to", "CreateMultipartUpload", "reset", place="answer"),), LARGE),
    Case("reset_peer, Complete without an answer", "the object is there, RST instead of the answer; once", "done",
         "GET 4, HEAD 2, Create 1, UploadPart 3, Complete 2",
         (rule("to", "CompleteMultipartUpload", "reset", place="answer", first=1),), LARGE),
    Case("slicer, GET", "1,000 bytes at a time", "done", WHOLE,
         (rule("from", "GetObject", "slice", bytes=1000, pause_ms=2),)),
    Case("slicer, PUT", "1,000 bytes at a time are taken, and the answer byte by byte", "done", WHOLE,
         (rule("to", "PutObject", "slice", bytes=1000, pause_ms=2, place="request"),
          rule("to", "PutObject", "slice", bytes=1, pause_ms=0.1, place="answer"))),
    Case("slicer, parts", "64 KiB at a time", "done", PARTS,
         (rule("from", "GetObject", "slice", bytes=65536, pause_ms=1),
          rule("to", "UploadPart", "slice", bytes=65536, pause_ms=1, place="request")), LARGE),
    Case("limit_data, GET", "the connection ends after 50,000 bytes, once", "done", READ_AGAIN,
         (rule("from", "GetObject", "cut", after=50_000, first=1),)),
    Case("limit_data, GET always", "the connection ends after 50,000 bytes", "failed: network", "GET 3",
         (rule("from", "GetObject", "cut", after=50_000),)),
    Case("limit_data, GET in the head", "the connection ends after 20 bytes of the head, once", "done", READ_AGAIN,
         (rule("from", "GetObject", "cut", place="answer", after=20, first=1),)),
    Case("limit_data, PUT", "the connection ends after 50,000 bytes of the body, once", "done", SENT_AGAIN,
         (rule("to", "PutObject", "cut", place="request", after=50_000, first=1),)),
    Case("limit_data, range", "the connection ends in a range, once", "done", PART_READ_AGAIN,
         (rule("from", "GetObject", "cut", after=2 * MIB, nth=2),), LARGE),
    Case("limit_data, part", "the connection ends in a part that is sent, once", "done",
         "GET 5, HEAD 2, Create 1, UploadPart 4, Complete 1",
         (rule("to", "UploadPart", "cut", place="request", after=2 * MIB, part=2, first=1),), LARGE),
]
# fmt: on
CASES = MOCKS + TOXICS


@dataclass(frozen=True)
class Resumed:
    """An object whose run is stopped while one call takes long, and the run after it. `parts` is how often each part was
    sent in both; `creates` how often an upload was begun."""

    name: str
    says: str
    late: Rule
    parts: tuple[int, int, int]
    creates: int = 1
    stopped_by: str = "interrupt"
    concurrency: int = 3
    then: str = ""  # what has become of the upload meanwhile


# The responses of the mock server, by operation.
RESPONSES = {
    "AbortMultipartUpload": "default",
    "CompleteMultipartUpload": "default async_access_denied_error async_error async_internal_error sse_kms",
    "CreateMultipartUpload": "default request_time_too_skewed request_timeout",
    "CreateSession": "default sse_kms",
    "GetObject": "default get_object_checksum_combine_head get_object_checksum_combine_part "
    "get_object_checksum_combine_slow_part get_object_checksum_mp_parts_count get_object_checksum_noncombinable_head "
    "get_object_checksum_per_part_header get_object_checksum_retry get_object_checksum_single_part "
    "get_object_checksum_single_part_head get_object_checksum_suffix_range_head get_object_checksum_suffix_range_part "
    "get_object_default_no_checksum get_object_delay_60s get_object_error_part "
    "get_object_invalid_response_missing_content_range get_object_invalid_response_missing_etags get_object_long_error "
    "get_object_modified_failure get_object_modified_first_part get_object_modified_success get_object_opaque_etag "
    "get_object_parallel_write_delayed_part get_object_parallel_write_empty_part get_object_parallel_write_normal_part "
    "get_object_pause_delayed_part get_object_pause_normal_part get_object_pause_resume "
    "get_object_unmatch_checksum_crc32",
    "ListParts": "default multiple_list_parts_1 multiple_list_parts_2 resume_first_part_not_completed",
    "UploadPart": "default missing_etag throttle throttle_before_finish upload_part_error",
}

LATE = 60_000
# fmt: off
RESUMED = [
    Resumed("GetObject/get_object_pause_delay_first_part", "the first read takes long; paused and resumed",
            rule("from", "GetObject", "delay", delay_ms=LATE, times=1), (1, 1, 1), stopped_by="pause"),
    Resumed("GetObject/get_object_pause_delayed_part + get_object_pause_normal_part + get_object_pause_resume",
            "the second range takes long; paused and resumed",
            rule("from", "GetObject", "delay", delay_ms=LATE, times=1, offset=PART + 1), (1, 1, 1), stopped_by="pause"),
    Resumed("ListParts/default", "404 for the upload, which somebody has aborted",
            rule("to", "UploadPart", "delay", delay_ms=LATE, times=1, part=3), (2, 2, 2), creates=2, then="aborted"),
    Resumed("ListParts/multiple_list_parts_1 + multiple_list_parts_2", "lists the parts on two pages",
            rule("to", "UploadPart", "delay", delay_ms=LATE, times=1, part=3), (1, 1, 2), concurrency=1, then="pages"),
    Resumed("ListParts/resume_first_part_not_completed", "has the second and the third part, but not the first",
            rule("to", "UploadPart", "stall", place="request", after=MIB, times=1, part=1), (2, 1, 1)),
]
OTHERS = [
    ("CreateSession/default + sse_kms", "sessions of a directory bucket", "refused: configuration", "none"),
    ("UploadPart/throttle_before_finish", "503 SlowDown before the part has been read, once", "done",
     "GET 5, Create 1, UploadPart 3 and the refused one, Complete 1, HEAD 1"),
]
# fmt: on


@dataclass(frozen=True)
class Outcome:
    outcome: str
    requests: str
    message: str
    seconds: float


def expand(requests: str) -> Counter[str]:
    return Counter({name: int(count) for name, count in re.findall(r"(\w+) (\d+)", requests)})


def shown(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in OPERATIONS.values() if counts[name])


def object_requests(server: FaultServer) -> Counter[str]:
    return Counter(OPERATIONS[row["op"]] for row in server.log() if row["op"] in OPERATIONS)


def outcome_of(ledger: Path, code: int) -> tuple[str, str]:
    """How the one item ended by the ledger, and why."""
    with waybill.Tracker(ledger) as tracker:
        items = tracker.snapshot().items
        failures = list(tracker.failures())
        reason = tracker.snapshot().reason
    assert items.eligible == 1, items
    if items.done:
        assert code == 0 and not failures
        return "done", ""
    if items.failed:
        assert code == 3
        return f"failed: {failures[0].error_class}", failures[0].message
    if items.vanished:
        return "vanished", ""
    assert code == 1 and items.pending == 1, (code, items)
    return "stopped", reason


def command(server: FaultServer, concurrency: int = 1, port: int = 0) -> list[str]:
    """Two names of one machine: the store is not asked to copy by itself."""
    source = f"s3://from/?endpoint=http://127.0.0.1:{server.port}&tags=false"
    destination = f"s3://to/?endpoint=http://localhost:{port or server.port}&tags=false"
    return ["run", "--from", source, "--to", destination, "--progress", "none", "--concurrency", str(concurrency)]


def run(tool: Waybill, server: FaultServer, timeout: float) -> tuple[int, str]:
    done = tool.run(*command(server), timeout=timeout)
    return done.returncode, done.stderr.decode(errors="replace")


def arrived(server: FaultServer, content: bytes) -> bool:
    """Whether the object is at the destination; whatever else is there is wrong."""
    assert set(server.keys("to")) <= {KEY.encode()}
    there = server.get("to", KEY)
    assert there in (None, content), "wrong bytes"
    return there is not None


def begin_upload(server: FaultServer, key: str) -> dict[str, bytes]:
    """An open upload of somebody else."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", f"/to/{key}?uploads")
    assert connection.getresponse().status == 200
    connection.close()
    server.clear_log()
    return server.uploads("to")


def play(case: Case) -> Outcome:
    with FaultServer("from", "to") as server, open_folder("waybill-faults-") as folder:
        for bucket, settings in case.settings.items():
            server.bucket(bucket, **settings)
        server.put("from", KEY, case.content, headers=dict(case.headers))
        theirs = begin_upload(server, "theirs")
        server.server(**case.server)
        rules = [server.rule(bucket=one.bucket, op=one.op, action=one.action, **one.more) for one in case.rules]
        tool = Waybill(folder, environment=KEYS, options=OPTIONS)
        begin = time.monotonic()
        code, _ = run(tool, server, 90 if case.waits else 30)
        seconds = time.monotonic() - begin
        outcome, message = outcome_of(folder / "ledger.db", code)
        requests = object_requests(server)
        assert all(server.fired(number) for number in rules), "a rule had nothing to do"
        assert arrived(server, case.content) or outcome != "done", "false done"
        assert server.uploads("to") == theirs, "an upload of ours stays open, or one of somebody else does not"
        if outcome != "done":
            # Nothing is left behind that would keep a sound store from getting the object.
            server.clear_rules()
            code, errors = run(tool, server, 30)
            assert (code, outcome_of(folder / "ledger.db", code)[0]) == (0, "done"), errors
            assert arrived(server, case.content), "false done"
        return Outcome(outcome, shown(requests), message, seconds)


@functools.cache  # of one test process
def slow_cases() -> dict[str, Future[Outcome]]:
    """The cases that wait for a timeout, all at once: they do nothing meanwhile."""
    slow = [case for case in CASES if case.waits]
    pool = ThreadPoolExecutor(len(slow))
    started = {case.name: pool.submit(play, case) for case in slow}
    pool.shutdown(wait=False)
    return started


@pytest.fixture(scope="module", autouse=True)
def begin_early(request: pytest.FixtureRequest) -> None:
    """What waits does so while everything else is played."""
    cases = [item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec")]
    if any(isinstance(case, Case) and case.waits for case in cases):
        slow_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_fault_ends_as_the_table_says(case: Case) -> None:
    found = slow_cases()[case.name].result(timeout=240) if case.waits else play(case)
    assert (found.outcome, found.requests) == (case.outcome, shown(expand(case.requests))), found.message
    assert len(found.message) < 1000 and "\n" not in found.message, "an error is one line that can be read"
    assert not case.waits or found.seconds >= 25, "nothing had to be waited for"


def part_list(server: FaultServer, numbers: list[int], is_truncated: bool) -> str:
    """A page of ListParts."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><Size>{PART}</Size>"
        f"<ETag>{etag(LARGE[(number - 1) * PART : number * PART])}</ETag></Part>"
        for number in numbers
    )
    upload = next(iter(server.uploads("to")))
    marker = f"<NextPartNumberMarker>{numbers[-1]}</NextPartNumberMarker>" if is_truncated else ""
    return (
        f"<ListPartsResult><Bucket>to</Bucket><Key>{KEY}</Key><UploadId>{upload}</UploadId>{marker}"
        f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>{parts}</ListPartsResult>"
    )


@pytest.mark.parametrize("case", RESUMED, ids=lambda case: case.name)
def test_what_was_stopped_goes_on_where_it_was(case: Resumed) -> None:
    with FaultServer("from", "to") as server, open_folder("waybill-faults-") as folder:
        server.put("from", KEY, LARGE)
        late = server.rule(bucket=case.late.bucket, op=case.late.op, action=case.late.action, **case.late.more)
        tool = Waybill(folder, environment=KEYS, options=OPTIONS)
        words = command(server, case.concurrency)
        process = tool.start(*words)
        try:
            first_read = case.late.op == "GetObject" and "offset" not in case.late.more
            others = 0 if first_read else 2

            def is_late() -> bool:
                sent = {row["part"] for row in server.log("UploadPart") if row["status"] == 200}
                return server.fired(late) == 1 and len(sent - {late_part(case)}) == others

            wait_for(is_late, 30, "all but the late call")
            if case.stopped_by == "pause":
                assert tool.run("pause").returncode == 0
            else:
                process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            tool.stop(process)
        assert process.returncode == 130, errors
        assert not arrived(server, LARGE)
        server.clear_rules()
        pages: list[int] = []
        if case.then == "aborted":
            abort(server)
        if case.then == "pages":
            # The first call asks only how the upload was begun.
            pages = [
                server.rule(bucket="to", op="ListParts", action="status", status=200, nth=2 + page, body=body)
                for page, body in enumerate([part_list(server, [1], True), part_list(server, [2], False)])
            ]
        again = tool.run("resume", timeout=60) if case.stopped_by == "pause" else tool.run(*words, timeout=60)
        assert again.returncode == 0, again.stderr
        assert all(server.fired(number) for number in pages), "the parts were not listed"
        sent = Counter(row["part"] for row in server.log("UploadPart"))
        assert (sent[1], sent[2], sent[3]) == case.parts
        assert object_requests(server)["Create"] == case.creates
        assert arrived(server, LARGE), "false done"
        assert server.uploads("to") == {}


@pytest.mark.parametrize("refusal", [(503, "SlowDown"), (400, "RequestTimeout")], ids=lambda refusal: refusal[1])
def test_an_upload_of_somebody_else_at_the_same_key_stays(refusal: tuple[int, str]) -> None:
    """U1: a beginning that was refused has begun nothing, and what is open there is not ours."""
    with FaultServer("from", "to") as server, open_folder("waybill-faults-") as folder:
        server.put("from", KEY, LARGE)
        theirs = begin_upload(server, KEY)
        server.rule(op="CreateMultipartUpload", action="status", status=refusal[0], code=refusal[1], first=2)
        code, errors = run(Waybill(folder, environment=KEYS, options=OPTIONS), server, 30)
        assert code == 0, errors
        assert arrived(server, LARGE), "false done"
        assert server.uploads("to") == theirs


def late_part(case: Resumed) -> int:
    """The part that the late call is about; 0 where it is about none."""
    part: int = case.late.more.get("part", 0)
    if not part and "offset" in case.late.more:
        part = case.late.more["offset"] // PART + 1
    return part


def abort(server: FaultServer) -> None:
    for upload in server.uploads("to"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("DELETE", f"/to/{KEY}?uploadId={upload}")
        assert connection.getresponse().status == 204
        connection.close()


def test_directory_buckets_are_refused_before_anything_is_asked() -> None:
    """CreateSession: no session is ever made, so that none of its answers matters."""
    with open_folder("waybill-faults-") as folder:
        tool = Waybill(folder, environment=KEYS | {"HTTPS_PROXY": "http://127.0.0.1:9"})
        done = tool.run("run", "--from", "s3://data--usw2-az1--x-s3/", "--to", "to", timeout=30)
        assert done.returncode == 2
        assert b"data--usw2-az1--x-s3" in done.stderr and b"directory buckets" in done.stderr, done.stderr


class EarlyAnswer(socketserver.ThreadingTCPServer):
    """Before the fault server: answers the first part with 503 once its head is there, and reads on as slowly as it may."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), EarlyAnswerPeer)
        self.behind = port
        self.lock = threading.Lock()
        self.is_answered = False
        self.read_after_answer = b""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.is_closed = threading.Event()

    def takes(self, data: bytes) -> bool:
        """Whether this is the head to answer; true once."""
        with self.lock:
            is_it = not self.is_answered and data.startswith(b"PUT ") and b"partNumber=1&" in data[:300]
            self.is_answered |= is_it
        return is_it


class EarlyAnswerPeer(socketserver.BaseRequestHandler):
    server: EarlyAnswer
    BODY = error("SlowDown").encode()

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.behind)) as behind:
            back = threading.Thread(target=self.pump_back, args=(behind,), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := self.request.recv(65536):
                    if self.server.takes(data):
                        return self.refuse()
                    behind.sendall(data)
            with contextlib.suppress(OSError):
                behind.shutdown(socket.SHUT_RDWR)
            back.join()

    def pump_back(self, behind: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := behind.recv(65536):
                self.request.sendall(data)

    def refuse(self) -> None:
        head = f"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: {len(self.BODY)}\r\n\r\n"
        self.request.sendall(head.encode() + self.BODY)
        with contextlib.suppress(OSError):
            time.sleep(0.5)
            while data := self.request.recv(65536):
                self.server.read_after_answer += data
        self.server.is_closed.set()


def test_an_early_answer_ends_the_sending_and_its_connection() -> None:
    """UploadPart/throttle_before_finish."""
    with (
        FaultServer("from", "to") as server,
        EarlyAnswer(server.port) as early,
        open_folder("waybill-faults-") as folder,
    ):
        threading.Thread(target=early.serve_forever, daemon=True).start()
        server.put("from", KEY, LARGE)
        tool = Waybill(folder, environment=KEYS, options=OPTIONS)
        try:
            done = tool.run(*command(server, port=early.server_address[1]), timeout=30)
        finally:
            early.shutdown()
        assert done.returncode == 0, done.stderr
        assert outcome_of(folder / "ledger.db", 0)[0] == "done"
        assert shown(object_requests(server)) == shown(expand(PART_READ_AGAIN))
        assert arrived(server, LARGE), "false done"
        assert early.is_answered
        assert early.is_closed.wait(10), "the connection was left open"
        assert len(early.read_after_answer) < PART, "the whole part was sent though it had been refused"
        assert b"HTTP/1.1" not in early.read_after_answer, "the connection was used again"


def test_every_read_of_a_part_names_the_revision() -> None:
    """GetObject/get_object_modified: a range without If-Match could be of another object."""
    with FaultServer("from", "to") as server, open_folder("waybill-faults-") as folder:
        server.put("from", KEY, LARGE)
        code, errors = run(Waybill(folder, environment=KEYS, options=OPTIONS), server, 30)
        assert code == 0, errors
        heads = [row["head"].lower() for row in server.log("GetObject")]
        assert len(heads) == 4
        assert all(b"if-match: " + etag(LARGE).encode() in head for head in heads)


def lines() -> list[tuple[str, str, str, str]]:
    resumed = [
        (
            case.name,
            case.says,
            "done",
            "in both runs: Create {}, parts sent {}, {} and {} times".format(case.creates, *case.parts),
        )
        for case in RESUMED
    ]
    cases = [(case.name, case.says, case.outcome, shown(expand(case.requests))) for case in CASES]
    return sorted([*cases[: len(MOCKS)], *resumed, *OTHERS]) + cases[len(MOCKS) :]


def table() -> str:
    text = [
        "# What stores answer, and how an object fares",
        "",
        "The responses of aws-c-s3's mock server (`tests/mock_s3_server` of awslabs/aws-c-s3) and the toxics of toxiproxy",
        "(Shopify/toxiproxy), by the names used there; what comes after a comma is a case of ours. Each is played by",
        "`tests/e2e/s3_faults_test.py` with one object, streamed from one bucket to another: 100,000 bytes, or 12 MiB in",
        "three parts where parts are named; three tries. The outcome is what the ledger says of the object; requests are",
        "counted by the server, listings apart. In no case a wrong byte arrives, is done what is not there, stays an upload",
        "of ours open, or hangs a run; where the object fails, the next run moves it once the store is sound. “stopped”: the",
        "run ends with one error, nothing has failed and everything is left to do. “vanished”: gone from the source. Written",
        "by that test with `--write`, from its expectations.",
        "",
        "| case | what the store or the network does | outcome | requests |",
        "|---|---|---|---|",
    ]
    text += [f"| {' | '.join(line)} |" for line in lines()]
    return "\n".join(text) + "\n"


def test_the_table_says_what_is_tested() -> None:
    names = [line[0] for line in lines()]
    assert len(set(names)) == len(names)
    assert {case.name.partition(",")[0] for case in TOXICS} == {
        "latency",
        "bandwidth",
        "slow_close",
        "timeout",
        "reset_peer",
        "slicer",
        "limit_data",
    }
    played = {(name.partition("/")[0], word) for name in names for word in re.findall(r"\w+", name.partition("/")[2])}
    assert {(op, name) for op, responses in RESPONSES.items() for name in responses.split()} <= played
    assert TABLE.read_text(encoding="utf-8") == table(), "run tests/e2e/s3_faults_test.py --write"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {sys.argv[0]} --write")
    TABLE.write_text(table(), encoding="utf-8")
