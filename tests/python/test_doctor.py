# SPDX-License-Identifier: Apache-2.0
"""Doctor: one line for each thing that could keep a migration from working, and an archive that gives nothing away."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer

import waybill

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

SECRET = "wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLEsessionTOKEN0123456789"
LINE = re.compile(r"(ok  |warn|fail)  [^:]+(: [a-z]+)?: .+")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer("from", "to") as running:
        running.put("from", "a key", b"content")
        running.server(checks_signatures=True, keys=[{"id": "AKIA", "secret": SECRET, "session_token": TOKEN}])
        yield running


@pytest.fixture
def doctor(cli: CommandLine, server: FaultServer) -> Any:
    """Runs doctor from one bucket to the other, with the right credentials unless told otherwise."""

    def run(*words: str, source: str = "from", code: int = 0, **variables: str) -> list[dict[str, str]]:
        environment = {
            "AWS_ACCESS_KEY_ID": "AKIA",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
        } | variables
        urls = [f"s3://{bucket}?endpoint={server.endpoint}&region=us-east-1" for bucket in (source, "to")]
        done = cli("doctor", "--from", urls[0], "--to", urls[1], "--json", *words, environment=environment)
        assert done.returncode == code, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def one_of(found: list[dict[str, str]], subject: str) -> dict[str, str]:
    (one,) = [entry for entry in found if entry["subject"] == subject]
    return one


def test_all_is_well(cli: CommandLine, tree: Path) -> None:
    (cli.folder / "job.toml").write_text('from = "source"\nto = "to"\ntracker = "job.db"\n')
    before = sorted(path.name for path in cli.folder.iterdir())
    done = cli("doctor", "job.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert all(line.startswith("ok    ") for line in lines)
    assert sorted(path.name for path in cli.folder.iterdir()) == before, "nothing is written"
    subjects = [line[6:].split(":")[0] for line in lines]
    assert subjects[:5] == ["waybill", "python", "OpenSSL", "SQLite", "libcurl"]
    assert {"ledger", "disk", "source", "destination"} <= set(subjects)
    assert cli("run", "job.toml").returncode == 0
    assert "ok    ledger: job.db is sound, 12 items" in cli("doctor", "job.toml").stdout
    from_ledger = cli("doctor", "--tracker", "job.db").stdout
    assert "source: reachable" in from_ledger, "the stores are those that the ledger names"
    assert "last run: 1, copy completed" in from_ledger


def test_each_fault_has_a_line_and_a_fix(cli: CommandLine, tree: Path) -> None:
    missing = cli("doctor", "--from", "nowhere", "--to", "ftp://x", "--tracker", "no/folder/x.db")
    assert missing.returncode == 1
    failed = [line for line in missing.stdout.splitlines() if line.startswith("fail")]
    assert len(failed) == 3, missing.stdout
    assert all(" — " in line for line in failed)
    assert "the folder of no/folder/x.db is not there" in failed[0]
    assert "nowhere" in failed[1]
    assert "unknown scheme ftp" in failed[2]
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    with sqlite3.connect(cli.folder / "waybill.db") as database:
        database.execute("UPDATE counters SET failed = 1")
        database.execute("UPDATE runs SET state = 1")
    damaged = cli("doctor")
    assert damaged.returncode == 1
    assert re.search(r"fail  ledger: waybill.db is damaged: .* — .*waybill db recover", damaged.stdout)
    assert re.search(r"warn  last run: 1, copy interrupted — waybill run", damaged.stdout)
    (cli.folder / "text.db").write_text("no ledger")
    assert "fail  ledger: " in cli("doctor", "--tracker", "text.db").stdout


def test_rights_are_told_apart(doctor: Any, server: FaultServer) -> None:
    found = doctor("--write")
    assert {entry["verdict"] for entry in found} == {"ok"}
    for subject in ("source: list", "source: read", "source: clock", "destination: write", "destination: read",
                    "destination: delete", "destination: parts"):  # fmt: skip
        one_of(found, subject)
    assert server.keys("to") == [], "what was written is gone"
    assert server.uploads("to") == {}

    wrong = doctor(code=1, AWS_SECRET_ACCESS_KEY="x" * 40)
    assert one_of(wrong, "source: reachable")["verdict"] == "ok"
    assert one_of(wrong, "source: credentials")["verdict"] == "fail"
    assert "credentials" in one_of(wrong, "source: credentials")["fix"]

    nowhere = doctor(source="nobucket", code=1)
    assert one_of(nowhere, "source: reachable")["verdict"] == "fail"
    assert "nobucket" in one_of(nowhere, "source: reachable")["text"]

    server.rule(op="GetObject", bucket="from", action="status", status=403, code="AccessDenied")
    server.rule(op="PutObject", bucket="to", action="status", status=403, code="AccessDenied")
    refused = doctor("--write", code=1)
    assert one_of(refused, "source: list")["verdict"] == "ok"
    assert one_of(refused, "source: read")["verdict"] == "fail"
    assert one_of(refused, "destination: write")["verdict"] == "fail"
    assert "right" in one_of(refused, "destination: write")["fix"]


def test_without_write_nothing_is_written(doctor: Any, server: FaultServer) -> None:
    found = doctor()
    assert one_of(found, "destination: write")["text"] == "not tried; --write tries it"
    asked = {operation for operation, counted in server.counts().items() if counted["requests"]}
    assert not {operation for operation in asked if operation.startswith(("Put", "Create", "Delete", "Upload"))}, asked


def test_a_probe_that_may_not_be_removed_is_named(doctor: Any, server: FaultServer) -> None:
    server.rule(op="DeleteObject*", action="status", status=403, code="AccessDenied")
    left = one_of(doctor("--write"), "destination: delete")
    assert left["verdict"] == "warn"
    (key,) = server.keys("to")
    assert key.startswith(b".waybill-probe-")
    assert key.decode() in left["fix"]


def test_a_clock_that_is_wrong_is_seen(doctor: Any, server: FaultServer) -> None:
    assert one_of(doctor(), "source: clock")["verdict"] == "ok"
    server.server(clock_offset_s=120)
    clock = one_of(doctor(), "source: clock")
    assert clock["verdict"] == "warn"
    assert re.fullmatch(r"this machine's is 1[12]\d s behind the store's", clock["text"])
    server.server(clock_offset_s=-3600)
    assert "ahead of the store's" in one_of(doctor(), "destination: clock")["text"]


def test_an_endpoint_that_is_not_there(doctor: Any, server: FaultServer, cli: CommandLine) -> None:
    done = cli("doctor", "--from", "s3://from?endpoint=http://127.0.0.1:1&region=us-east-1&anonymous=true")
    assert done.returncode == 1
    assert re.search(r"fail  source: reachable: .* — check the endpoint", done.stdout), done.stdout


def members_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
        return found


def test_the_archive_holds_no_secret_and_no_key_unasked(doctor: Any, server: FaultServer, cli: CommandLine) -> None:
    """Secrets are planted wherever one could be: credentials, a URL, what a store says, a key that fails."""
    server.put("from", "customers/Jane Doe.txt", b"content")
    body = f"<Error><Code>InvalidRequest</Code><Message>key AKIA, {SECRET}, {TOKEN}</Message></Error>"
    server.rule(op="GetObject", key="customers*", action="status", status=400, body=body)
    variables = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
    source = f"s3://from?endpoint={server.endpoint}&region=us-east-1"
    ran = cli("run", "--from", source, "--to", "to", "--exclude", "private/**", environment=variables)
    assert ran.returncode == 3, ran.stderr
    doctor("--bundle", "support.tar.gz", "--tracker", "waybill.db")
    path = cli.folder / "support.tar.gz"
    assert path.stat().st_mode & 0o777 == 0o600
    found = members_of(path)
    assert sorted(name.removeprefix("support/") for name in found) == [
        "doctor.jsonl", "errors.jsonl", "events.jsonl", "history.jsonl", "snapshot.json", "versions.json",
    ]  # fmt: skip
    everything = b"".join(found.values())
    for planted in (SECRET, TOKEN, "Jane", "private"):
        assert planted.encode() not in everything, planted
    assert json.loads(found["support/snapshot.json"])["items"]["failed"] == 1
    assert json.loads(found["support/errors.jsonl"])["http_status"] == 400
    assert len(found["support/events.jsonl"].splitlines()) > 1
    assert json.loads(found["support/history.jsonl"])["record"]["options"]["max_attempts"] == 8
    assert set(json.loads(found["support/versions.json"])) == {"waybill", "python", "libcurl", "OpenSSL", "SQLite"}

    refused = cli("doctor", "--bundle", "support.tar.gz")
    assert refused.returncode == 2
    assert "is there already" in refused.stderr
    doctor("--bundle", "named.tar.gz", "--tracker", "waybill.db", "--with-keys")
    named = b"".join(members_of(cli.folder / "named.tar.gz").values())
    assert b"Jane Doe" in named
    assert b"private/**" in named
    assert SECRET.encode() not in named
    assert TOKEN.encode() not in named


def test_the_archive_can_be_of_one_run(cli: CommandLine, tree: Path) -> None:
    for _ in range(3):
        assert cli("run", "--from", tree, "--to", "to").returncode == 0
    assert cli("doctor", "--bundle", "one.tar.gz", "--run", "2").returncode == 0
    found = members_of(cli.folder / "one.tar.gz")
    runs = {json.loads(line)["run"] for line in found["one/events.jsonl"].splitlines()}
    assert runs == {2}
    assert [json.loads(line)["record"]["run"] for line in found["one/history.jsonl"].splitlines()] == [2]


def test_the_package_looks_as_the_command_does(tree: Path, tmp_path: Path) -> None:
    found = list(waybill.diagnose(tree, tmp_path / "to", tmp_path / "x.db"))
    assert {one.verdict for one in found} == {"ok"}
    assert [one.subject for one in found if one.subject.startswith("source")] == [
        "source: reachable", "source: list", "source: read",
    ]  # fmt: skip
    assert not os.path.exists(tmp_path / "x.db")


@pytest.fixture
def catalog(cli: CommandLine) -> str:
    """The URL of a table of three documents; a parameter that is given again replaces an earlier one."""
    with sqlite3.connect(cli.folder / "crm.db") as database:
        database.executescript(
            "CREATE TABLE documents (id TEXT PRIMARY KEY, url TEXT); CREATE VIEW seen AS SELECT * FROM documents;"
            "INSERT INTO documents VALUES ('1', 'https://h/1'), ('2', 'https://h/2'), ('3', NULL);"
        )
    return f"sqlite://{cli.folder}/crm.db?id=id&"


def catalog_lines(done: Any, code: int) -> list[str]:
    assert done.returncode == code, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if " catalog: " in line]


def test_a_catalog_is_looked_at(cli: CommandLine, catalog: str) -> None:
    table = catalog + "table=documents&url=url"
    lines = catalog_lines(cli("doctor", "--catalog", table), 0)
    assert [line.split(": ")[1] for line in lines] == ["reachable", "update", "list", "window"]
    assert all(line.startswith("ok    ") for line in lines), lines
    assert lines[2].endswith(": 3 references")
    # A view can be listed, and that is all that a copy needs.
    lines = catalog_lines(cli("doctor", "--catalog", catalog + "table=seen&url=url"), 0)
    assert [line for line in lines if line.startswith("warn  catalog: update: ")], lines
    assert any(line.endswith(": 3 references") for line in lines), lines

    (line,) = catalog_lines(cli("doctor", "--catalog", catalog + "table=documents&url=urls"), 1)
    assert line.startswith("fail  catalog: reachable: ") and 'did you mean "url"?' in line, line
    (line,) = catalog_lines(cli("doctor", "--catalog", catalog + "table=documents&url=url&colour=red"), 1)
    assert "colour" in line and line.endswith("correct the URL"), line
    with sqlite3.connect(cli.folder / "crm.db") as database:
        assert database.execute("SELECT count(url) FROM documents").fetchone() == (2,)


def test_the_catalog_of_a_spec_and_that_of_a_ledger_are_looked_at(cli: CommandLine, catalog: str, tree: Path) -> None:
    table = catalog + "table=documents&url=url"
    (cli.folder / "job.toml").write_text(f'from = "source"\nto = "to"\ntracker = "job.db"\ncatalog = "{table}"\n')
    assert len(catalog_lines(cli("doctor", "job.toml"), 0)) == 4
    assert cli("run", "job.toml").returncode == 0
    assert not catalog_lines(cli("doctor", "--tracker", "job.db"), 0)
    cli("readiness", "job.toml", "--url-template", "https://new/{destination_key}")
    assert len(catalog_lines(cli("doctor", "--tracker", "job.db"), 0)) == 4


def test_the_window_of_a_catalog_without_conditions_is_told() -> None:
    class Register(waybill.Catalog):
        def identity(self) -> str:
            return "register"

        def list(self, since: Any, context: Any) -> Any:
            raise waybill.UnavailableError("it sleeps")

        def update(self, updates: Any, context: Any) -> Any:
            raise AssertionError("doctor changes nothing")

        read = update

    found = [one for one in waybill.diagnose(catalog=Register()) if one.subject.startswith("catalog")]
    verdicts = {one.subject: one.verdict for one in found}
    assert verdicts == {
        "catalog: reachable": "ok", "catalog: update": "ok", "catalog: list": "fail", "catalog: window": "warn",
    }  # fmt: skip
    assert "is lost" in found[-1].text and "--accept-window" in found[-1].fix
