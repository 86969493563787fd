# SPDX-License-Identifier: Apache-2.0
"""Secrets are planted, and looked for everywhere afterwards: ledgers with what lies beside them, what was printed, and
what other processes are told. Runs that succeed, that are refused, that fail half way, and one that is killed.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from process import PROJECT, Waybill, open_folder, run_checked, wait_for
from s3 import S3Server
from stall_proxy import StallProxy

KEY_ID = "AKIACANARY0000000001"
SECRET = "canary-Secret/8f3K+Zt5mQ2vW9xR4pL7nB1c"
TOKEN = "canary-Token//FwoGZXIvYXdzEJr+u8h2k5t3Qb9d=="
OTHER_SECRET = "canary-Profile/5uY8+eD3hJ6kM1oP4sV0a2z"


def needles() -> list[bytes]:
    """The secrets as they are, as they look in a URL, in base64, and the middle of each."""
    found = []
    for secret in (SECRET, TOKEN, OTHER_SECRET):
        found += [
            secret.encode(),
            quote(secret, safe="").encode(),
            base64.b64encode(secret.encode()),
            secret[9:29].encode(),
        ]
    return found


def seen_in(text: bytes) -> list[bytes]:
    return [needle for needle in needles() if needle in text]


@dataclass
class Watch:
    """Runs commands and keeps everything that was printed."""

    folder: Path
    environment: dict[str, str]
    printed: list[bytes] = field(default_factory=list)

    def waybill(self, **environment: str) -> Waybill:
        return Waybill(self.folder, environment=self.environment | environment)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        done = self.waybill(**environment).run(*words)
        self.printed += [done.stdout, done.stderr]
        return done

    def expect_no_secret(self, *, beside: tuple[str, ...] = ()) -> None:
        """Asks the ledger everything, and looks through all of it."""
        for words in (["status"], ["items"], ["failed"]):
            for done in (self.run(*words), self.run(*words, "--json")):
                assert done.returncode == 0, done.stderr
        files = {path.name: path.read_bytes() for path in self.folder.glob("ledger.db*")}
        assert {"ledger.db", "ledger.db.lock", *beside} <= files.keys()
        dumped = run_checked(["sqlite3", "-readonly", str(self.folder / "ledger.db"), ".dump"]).stdout
        assert b"s3://target" in dumped
        for name, text in [*files.items(), ("its dump", dumped)]:
            assert not seen_in(text), f"{name} holds {seen_in(text)}"
        for text in self.printed:
            assert not seen_in(text), text.decode(errors="replace")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server("target") as running:
        root = running.environment
        run_checked(
            [PROJECT / "build/tools/bin/versitygw", "admin", "--endpoint-url", running.endpoint, "--region", "us-east-1",
             "--access", root["AWS_ACCESS_KEY_ID"], "--secret", root["AWS_SECRET_ACCESS_KEY"],
             "create-user", "--access", KEY_ID, "--secret", SECRET, "--role", "admin"]
        )  # fmt: skip
        yield running


@pytest.fixture
def watch(server: S3Server) -> Iterator[Watch]:
    server.empty("target")
    environment = {
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }
    with open_folder("waybill-secrets-") as folder:
        (folder / "source").mkdir()
        for number in range(200):
            (folder / "source" / f"{number:03}").write_bytes(b"%d" % number * 2000)
        yield Watch(folder, environment)


def test_the_secrets_would_be_seen(watch: Watch) -> None:
    for secret in (SECRET, TOKEN, OTHER_SECRET):
        assert seen_in(f"at https://host/?token={quote(secret, safe='')}&x=1".encode())
        assert seen_in(b"Authorization: " + secret.encode())


def test_runs_that_succeed_and_runs_that_fail(watch: Watch, server: S3Server) -> None:
    url = server.url("target", "in")
    moved = watch.run("run", "--from", "source", "--to", url, "--json")
    assert moved.returncode == 0, moved.stderr
    assert watch.run("verify", "--json").returncode == 0
    # Somebody else's object makes an item fail, with what the store said.
    (watch.folder / "source" / "occupied").write_bytes(b"ours")
    (server.objects("target") / "in" / "occupied").write_bytes(b"somebody else's")
    assert watch.run("run").returncode == 3
    assert watch.run("run", AWS_SECRET_ACCESS_KEY=OTHER_SECRET).returncode == 1
    assert watch.run("run", AWS_ACCESS_KEY_ID="AKIAUNKNOWN").returncode == 1
    # This server knows no session tokens: it says so, and has been sent one.
    refused = watch.run("run", AWS_SESSION_TOKEN=TOKEN)
    assert refused.returncode == 1
    assert b"InvalidToken" in refused.stderr
    assert watch.run("verify", AWS_SECRET_ACCESS_KEY=OTHER_SECRET).returncode == 1
    assert watch.run("run", "--from", "source", "--to", "s3://target/in?endpoint=http://127.0.0.1:1").returncode == 1
    watch.expect_no_secret()


def test_secrets_of_a_profile(watch: Watch, server: S3Server) -> None:
    (watch.folder / ".aws").mkdir()
    keys = (
        f"[good]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
        f"[token]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
        f"[half]\naws_secret_access_key = {OTHER_SECRET}\n"
        f"[wrong]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {OTHER_SECRET}\n"
    )
    (watch.folder / ".aws" / "credentials").write_text(keys)
    url = server.url("target", "in")
    assert watch.run("run", "--from", "source", "--to", f"{url}&profile=good").returncode == 0
    # Without a profile in the URL the environment would win.
    for profile in ("half", "wrong", "token", "none"):
        assert watch.run("run", "--from", "source", "--to", f"{url}&profile={profile}").returncode == 1
    watch.expect_no_secret()


def test_secrets_that_were_put_where_none_belongs(watch: Watch, server: S3Server) -> None:
    """In a URL they are refused, and not repeated."""
    assert watch.run("run", "--from", "source", "--to", server.url("target", "in")).returncode == 0
    secret, token = quote(SECRET, safe=""), quote(TOKEN, safe="")
    host = server.endpoint.removeprefix("http://")
    for bad in (
        f"s3://{KEY_ID}:{secret}@target/in?endpoint={server.endpoint}",
        f"s3://target/in?endpoint=http://{KEY_ID}:{secret}@{host}",
        f"s3://target/in?endpoint={server.endpoint}&secret_access_key={secret}",
        f"s3://target/in?endpoint={server.endpoint}&session_token={token}",
        f"s3://target/in?endpoint={server.endpoint}&X-Amz-Security-Token={token}&X-Amz-Signature=0123456789abcdef",
        f"ftp://{KEY_ID}:{secret}@host/in",
        f"s3://{KEY_ID}:{SECRET}@target/in?endpoint={server.endpoint}",
        f"s3://target/in?endpoint=http://{KEY_ID}:{SECRET}@{host}",
    ):
        done = watch.run("run", "--from", "source", "--to", bad)
        assert done.returncode == 2, done.stderr
        assert re.fullmatch(rb"waybill: [^\n]+\n", done.stderr), done.stderr
        assert not seen_in(done.stderr), done.stderr.decode()
    watch.expect_no_secret()


def test_a_run_that_is_killed_leaves_none_behind(watch: Watch, server: S3Server) -> None:
    """With transfers under way, seen from outside, and with what the kill leaves beside the ledger."""
    with StallProxy(server.port) as proxy:
        url = server.url("target", "in", endpoint=proxy.endpoint)
        waybill = watch.waybill()
        proxy.freeze_at(b"PUT /target/in/", 60)
        process = waybill.start("run", "--from", "source", "--to", url, "--concurrency", "4", "--json")
        try:
            wait_for(lambda: proxy.is_frozen or process.poll() is not None, 60, "the 60th transfer")
            wait_for(lambda: waybill.status()["items"]["done"] > 0, 60, "something recorded")
            watch.expect_no_secret(beside=("ledger.db-wal",))
            watch.printed.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
            assert process.poll() is None, "the run ended before it could be looked at"
            process.kill()
        finally:
            proxy.thaw()
            process.kill()
            watch.printed += process.communicate()
        assert os.path.getsize(watch.folder / "ledger.db-wal") > 0
        watch.expect_no_secret(beside=("ledger.db-wal",))
