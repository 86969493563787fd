# SPDX-License-Identifier: Apache-2.0
"""--trace-http: a line for every request, and nothing secret in any of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer

import waybill

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

SECRET = "wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLEsessionTOKEN0123456789"
CUSTOMER_KEY = base64.b64encode(bytes(range(32))).decode()
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (GET|HEAD|PUT|POST|DELETE) \d+ \d+\.\d ms \d+ B http://\S+( request-id=\S+)?"
    r"( failed: .+)?"
)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer("from") as running:
        for number in range(5):
            running.put("from", f"key {number}", b"content")
        yield running


def variables() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "CUSTOMER_KEY": CUSTOMER_KEY,
    }


def test_every_request_has_a_line_and_no_line_a_secret(cli: CommandLine, server: FaultServer) -> None:
    source = f"s3://from?endpoint={server.endpoint}&region=us-east-1"
    server.clear_log()
    ran = cli("run", "--from", source, "--to", "to", "--trace-http", "trace", environment=variables())
    assert ran.returncode == 0, ran.stderr
    path = cli.folder / "trace"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    lines = text.splitlines()
    assert all(LINE.fullmatch(line) for line in lines), text
    assert len(lines) == sum(counted["requests"] for counted in server.counts().values())
    assert sum("/from/key%20" in line for line in lines) >= 5
    assert any("list-type=2" in line for line in lines), "what is harmless is shown"
    # What is not encrypted is refused with a key, which has been sent then.
    keyed = cli("run", "--from", f"{source}&sse_c_key=env:CUSTOMER_KEY", "--to", "keyed", "--tracker", "keyed.db",
                "--trace-http", "keyed.trace", environment=variables())  # fmt: skip
    assert keyed.returncode == 3, keyed.stderr
    with_key = (cli.folder / "keyed.trace").read_text()
    assert " 400 " in with_key
    for planted in (SECRET, TOKEN, CUSTOMER_KEY, "AKIAEXAMPLE", "Signature", "Credential="):
        assert planted not in text + with_key, planted
    again = cli("verify", "--trace-http", "trace", environment=variables())
    assert again.returncode == 0, again.stderr
    assert path.read_text().startswith(text), "it is appended to"
    assert len(path.read_text()) > len(text)


def test_a_trace_on_stderr(cli: CommandLine, server: FaultServer) -> None:
    source = f"s3://from?endpoint={server.endpoint}&region=us-east-1"
    planned = cli("plan", "--from", source, "--to", "to", "--trace-http", "-", "--json", environment=variables())
    assert planned.returncode == 0, planned.stderr
    assert len([line for line in planned.stderr.splitlines() if LINE.fullmatch(line)]) >= 2
    assert planned.stdout.startswith("{"), "stdout is as without"
    refused = cli("plan", "--from", source, "--to", "to", "--trace-http", "no/such/file", environment=variables())
    assert refused.returncode == 2
    assert "the trace no/such/file cannot be written" in refused.stderr


def test_what_has_no_answer_says_why(cli: CommandLine) -> None:
    source = "s3://from?endpoint=http://127.0.0.1:1&region=us-east-1&anonymous=true"
    assert cli("plan", "--from", source, "--to", "to", "--trace-http", "trace").returncode == 1
    line = (cli.folder / "trace").read_text().splitlines()[0]
    assert LINE.fullmatch(line), line
    assert " 0 " in line
    assert " failed: " in line


def test_the_package_traces_until_it_is_told_not_to(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    url = f"s3://from?endpoint={server.endpoint}&region=us-east-1&anonymous=true"
    migration = waybill.Migration(url, tmp_path / "to", "memory:")
    waybill.trace_http(tmp_path / "trace")
    try:
        migration.plan()
    finally:
        waybill.trace_http(None)
    seen = (tmp_path / "trace").read_text()
    assert seen
    migration.plan()
    assert (tmp_path / "trace").read_text() == seen
