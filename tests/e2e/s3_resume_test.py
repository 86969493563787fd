# SPDX-License-Identifier: Apache-2.0
"""A large object that is killed on its way, again and again: the same command carries on inside it, and sends again no
more than what was in flight. What was sent is counted by the store, or by a proxy before it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import boto3
import pytest
from awscrt import checksums
from botocore.config import Config
from fault_server import FaultServer
from process import Waybill, check_accounts, open_folder, wait_for
from s3 import S3Server
from stall_proxy import StallProxy

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
MIB = 1 << 20
GIB = 1 << 30
KILLS = 5
KEY = "000000000000"
LONG = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-resume-") as path:
        yield path


def run_with_kills(waybill: Waybill, words: list[str], size: int, sent: Callable[[], int]) -> list[int]:
    """Kills the command at points spread over the object, and runs it to its end. Gives what was sent at each kill."""
    at_kill = []
    for kill in range(1, KILLS + 1):
        process = waybill.start(*words)
        try:
            # What was sent again comes on top, so that the points stay where they are in the object or lie before.
            wait_for(lambda: sent() >= size * kill // (KILLS + 1) or process.poll() is not None, 600, "progress")  # noqa: B023
            if process.poll() is not None:
                raise AssertionError(f"it ended before it could be killed: {process.communicate()!r}")
        finally:
            waybill.stop(process)
        at_kill.append(sent())
    done = waybill.run(*words, timeout=1200)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    status = waybill.status()
    check_accounts(status)
    assert status["run"]["state"] == "completed"
    assert (status["items"]["done"], status["items"]["failed"]) == (1, 0)
    assert status["bytes"]["done"] == size
    return at_kill


def digest_of(stream: Any) -> str:
    """The CRC-64/NVME of a stream, computed by code that is not ours."""
    crc = 0
    while block := stream.read(MIB):
        crc = checksums.crc64nvme(block, crc)
    return base64.b64encode(crc.to_bytes(8)).decode()


def digest_at(url: str) -> str:
    with urlopen(url) as answer:
        return digest_of(answer)


def part_bytes(server: FaultServer) -> int:
    return int(server.counts().get("UploadPart", {}).get("bytes_in", 0))


@pytest.mark.parametrize(
    ("size", "concurrency", "part_size"),
    [(512 * MIB + 5, 4, 5 * MIB), pytest.param(20 * GIB + 5, 8, 16 * MIB, marks=LONG)],
)
def test_an_object_that_is_killed_five_times_is_carried_on_inside(
    folder: Path, size: int, concurrency: int, part_size: int
) -> None:
    options = {"part_size_bytes": part_size, "body_budget_bytes": 2 * concurrency * part_size}
    with FaultServer("from", "to") as server:
        server.bucket("to", digest_only=True)
        server.generate("from", shape="padded", count=1, size=size)
        waybill = Waybill(folder, environment=ENVIRONMENT, options=options)
        source = server.url("from").replace("127.0.0.1", "localhost")
        words = ["run", "--from", source, "--to", server.url("to"), "--concurrency", str(concurrency)]
        at_kill = run_with_kills(waybill, words, size, lambda: part_bytes(server))

        again = part_bytes(server) - size
        print(
            f"sent {at_kill} at the kills; {again / MIB:.1f} MiB again after {KILLS} kills, "
            f"at most {KILLS * concurrency * part_size / MIB:.0f}; {server.counts()['UploadPart']}"
        )
        assert 0 <= again <= KILLS * concurrency * part_size
        assert server.counts()["CreateMultipartUpload"]["requests"] == 1, "it began anew"
        assert server.counts()["CompleteMultipartUpload"]["requests"] == 1
        there = server.describe("to", KEY)
        assert there is not None
        assert there["size"] == size
        assert there["crc64"] == digest_at(f"{server.endpoint}/from/{KEY}")
        assert not server.uploads("to")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_real_server_is_sent_little_again(folder: Path) -> None:
    """2 GiB; the bytes are counted by a proxy before the server, which has no log of them."""
    size, concurrency, part_size = 2 * GIB + 5, 4, 8 * MIB
    with FaultServer("from") as origin, S3Server("target") as target, StallProxy(target.port) as proxy:
        origin.generate("from", shape="padded", count=1, size=size)
        waybill = Waybill(folder, environment=target.environment, options={"part_size_bytes": part_size})
        words = ["run", "--from", origin.url("from"), "--to", target.url("target", endpoint=proxy.endpoint)]
        at_kill = run_with_kills(waybill, [*words, "--concurrency", str(concurrency)], size, lambda: proxy.bytes_moved)

        # Heads and answers pass the proxy as well.
        again = proxy.bytes_moved - size
        print(f"sent {at_kill} at the kills; {again / MIB:.1f} MiB more than the object has")
        assert 0 <= again <= KILLS * concurrency * part_size + 4 * MIB
        assert target.open_uploads("target") == []
        made = boto3.session.Session(
            aws_access_key_id=target.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=target.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=target.environment["AWS_REGION"],
        ).client("s3", endpoint_url=target.endpoint, config=Config(s3={"addressing_style": "path"}))
        try:
            with made.get_object(Bucket="target", Key=KEY)["Body"] as stream:
                assert digest_of(stream) == digest_at(f"{origin.endpoint}/from/{KEY}")
        finally:
            made.close()
