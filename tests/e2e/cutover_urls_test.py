# SPDX-License-Identifier: Apache-2.0
"""URLs before and after a cutover, on a real S3 server: new ones answer to those who will use them and not only to us, and
links that another program has signed are old places like others."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from process import Waybill
from s3 import S3Server
from small_crm import SmallCrm


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server("origin", "target", server="minio") as running:
        yield running


@pytest.fixture
def client(server: S3Server) -> Iterator[Any]:
    made = boto3.session.Session(
        aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        region_name=server.environment["AWS_REGION"],
    ).client(
        "s3", endpoint_url=server.endpoint, config=Config(s3={"addressing_style": "path"}, signature_version="s3v4")
    )
    yield made
    made.close()


def profile(name: str, key: str, secret: str) -> str:
    return f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


def urls_gate(waybill: Waybill, *words: str) -> dict[str, Any]:
    done = waybill.run("readiness", "--json", *words)
    assert done.returncode in (0, 4), done.stderr.decode()
    gates: list[dict[str, Any]] = json.loads(done.stdout)["gates"]
    return next(gate for gate in gates if gate["name"] == "urls")


def test_new_values_answer_to_whom_they_are_for_and_not_only_to_us(
    server: S3Server, client: Any, tmp_path: Path
) -> None:
    crm = SmallCrm(tmp_path)
    keys = tmp_path / "credentials"
    wrong = "planted-secret-of-nobody"
    known = server.environment["AWS_ACCESS_KEY_ID"], server.environment["AWS_SECRET_ACCESS_KEY"]
    keys.write_text(profile("app", *known) + profile("stranger", "stranger", wrong))
    environment = server.environment | {"AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    waybill = Waybill(tmp_path, environment=environment)
    assert waybill.run("run", "--from", "old", "--to", server.url("target", "in")).returncode == 0
    assert waybill.run("verify").returncode == 0
    told = ("--catalog", crm.catalog, "--url-template", "s3://target/in/{destination_key}")

    private = urls_gate(waybill, *told)
    assert (private["passed"], private["count"]) == (False, 12), "what we wrote we can read, and others cannot"
    assert "12 of 12 new values, asked for without credentials, do not answer" in private["evidence"]
    stranger = urls_gate(waybill, "--probe-as", "profile:stranger")
    assert (stranger["passed"], stranger["count"]) == (False, 12)
    app = urls_gate(waybill, "--probe-as", "profile:app")
    assert app["passed"]
    assert app["evidence"] == "all 12 new values were asked for by the profile app, and answered with the right size"

    policy = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::target/*"}
    client.put_bucket_policy(Bucket="target", Policy=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
    try:
        public = urls_gate(waybill)
        assert public["passed"], public["evidence"]
        assert "without credentials" in public["evidence"]
        assert urls_gate(waybill, "--probes", "3")["evidence"].startswith("3 new values were asked for")
    finally:
        client.delete_bucket_policy(Bucket="target")
    for file in (*tmp_path.glob("ledger.db*"), *tmp_path.glob("*.log")):
        assert wrong.encode() not in file.read_bytes(), file
    refused = waybill.run("readiness", "--probe-as", "header:planted-secret-itself")
    assert refused.returncode == 2
    assert b"planted-secret" not in refused.stdout + refused.stderr


def test_links_that_another_program_signed_are_copied_and_switched_and_expired_ones_vanish(
    server: S3Server, client: Any, tmp_path: Path
) -> None:
    def link(name: str, life: int) -> str:
        client.put_object(Bucket="origin", Key=name, Body=f"content of {name}".encode())
        signed: str = client.generate_presigned_url(
            "get_object", Params={"Bucket": "origin", "Key": name}, ExpiresIn=life
        )
        return signed

    urls = {
        "gone": link("is gone.txt", 3600),
        "good 0": link("plain.txt", 3600),
        "good 1": link("a b+c/é%41.txt", 3600),
        "late": link("too late.txt", 1),
        "later": link("later.txt", 1),
    }
    client.delete_object(Bucket="origin", Key="is gone.txt")
    time.sleep(2.5)
    crm = tmp_path / "crm.db"
    with closing(sqlite3.connect(crm)) as database, database:
        database.execute("CREATE TABLE documents(id TEXT PRIMARY KEY, url TEXT)")
        database.executemany("INSERT INTO documents VALUES (?, ?)", urls.items())
    rows = [json.dumps({"url": url}) for record, url in urls.items() if record != "later"]
    (tmp_path / "links.jsonl").write_text("\n".join(rows) + "\n")

    waybill = Waybill(tmp_path)  # without credentials: the links carry their own
    words = ("--from", f"manifest://{quote(str(tmp_path))}/links.jsonl", "--to", "new", "--key-template", "{id}")
    done = waybill.run("run", *words)
    assert done.returncode == 3, done.stderr.decode()
    assert waybill.run("verify").returncode in (0, 3)
    new = sorted(path.read_text() for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert new == ["content of a b+c/é%41.txt", "content of plain.txt"]

    catalog = f"sqlite://{quote(str(crm))}?table=documents&id=id&url=url"
    template = f"file://{quote(str(tmp_path / 'new'))}/{{destination_key}}"
    planned = waybill.run("cutover", "--json", "--catalog", catalog, "--url-template", template)
    assert planned.returncode == 0, (planned.stdout + planned.stderr).decode()
    plan = json.loads(planned.stdout)
    signatures = [url.partition("X-Amz-Signature=")[2][:64] for url in urls.values()]
    assert all(len(one) == 64 for one in signatures)
    assert not any(one in planned.stdout.decode() for one in signatures), "what lets its holder in is not shown"
    assert (plan["references"]["pending"], plan["references"]["vanished"]) == (2, 3)
    dead = {one["record"]: one["reason"] for one in plan["unswitched"]}
    assert dead.keys() == {"gone", "late", "later"}
    assert dead["later"] == "its old place is dead: it refuses us", "no copy has met it: the link was asked"
    listed = waybill.run("references", "--json", "--state", "vanished").stdout.decode()
    classes = {row["record"]: row["error_class"] for row in map(json.loads, listed.splitlines())}
    assert classes == {"gone": "missing", "late": "permission", "later": "permission"}

    done = waybill.run("cutover", "--execute", "--plan", plan["hash"])
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    with closing(sqlite3.connect(crm)) as database:
        held = dict(database.execute("SELECT id, url FROM documents"))
    assert {record for record, url in held.items() if url.startswith("file://")} == {"good 0", "good 1"}
    assert {record: held[record] for record in dead} == {record: urls[record] for record in dead}
    assert waybill.run("rollback", "--execute").returncode == 0
    with closing(sqlite3.connect(crm)) as database:
        assert dict(database.execute("SELECT id, url FROM documents")) == urls, "byte for byte"
