# SPDX-License-Identifier: Apache-2.0
"""The guide to Salesforce: its commands are run, in order, against an organization; and what cannot work is told in one clear
line, by doctor and by the commands themselves.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process import PROJECT, PYTHON, Waybill
from salesforce import CONSUMER_KEY, ENTRY, USER, SalesforceServer, key_pair, record_id

from waybill.cli.help import COMMANDS

GUIDE = (PROJECT / "docs/guides/salesforce.md").read_text(encoding="utf-8")
RECORDS = 12
FIELD = "Document__c"


@pytest.fixture(scope="module")
def running() -> Iterator[SalesforceServer]:
    with SalesforceServer("old", "acme-files") as server:
        yield server


@pytest.fixture
def server(running: SalesforceServer) -> SalesforceServer:
    """An organization whose records point at objects of the bucket ``old``."""
    running.reset()
    running.entries(RECORDS, accounts=3, url=f"{running.endpoint}/old/docs/{{n}}.pdf")
    for number in range(RECORDS):
        running.put("old", f"docs/{number}.pdf", f"document {number}")
    return running


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "secrets" / "acme.pem"
    path.parent.mkdir()
    path.write_text("".join(key_pair()))
    return path


@pytest.fixture
def catalog(server: SalesforceServer, key: Path) -> Callable[..., str]:
    """Makes the URL of a catalog; what is given replaces or adds a parameter, None removes it."""

    def make(path: str = f"{ENTRY}.{FIELD}", host: str = "acme.my.salesforce.com", **changes: str | None) -> str:
        parameters = {
            "client_id": CONSUMER_KEY, "username": USER, "key": f"file:{key}", "endpoint": server.endpoint,
            "mode": "fast",
        } | changes  # fmt: skip
        words = [f"{name}={value}" for name, value in parameters.items() if value is not None]
        return f"salesforce://{host}/{path}?{'&'.join(words)}"

    return make


@pytest.fixture
def waybill(tmp_path: Path) -> Waybill:
    folder = tmp_path / "work"
    folder.mkdir()
    keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x" * 40, "AWS_REGION": "us-east-1"}
    return Waybill(folder, environment=keys)


def values(server: SalesforceServer) -> list[str | None]:
    return list(server.values(ENTRY, FIELD).values())


def test_every_command_of_the_guide_is_run(
    server: SalesforceServer, catalog: Callable[..., str], waybill: Waybill
) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 3
    script = "set -eux\n" + "".join(blocks)
    # The places are ours; everything else is as it stands there.
    places = {
        re.search(r'CATALOG="(.*?)"', script)[1]: catalog(mode=None),  # type: ignore[index]
        "s3://old-files?profile=old": server.url("old"),
        '"s3://acme-files"': f'"{server.url("acme-files")}"',
        "https://files.acme.example/": f"{server.endpoint}/acme-files/",
    }
    for place, ours in places.items():
        assert place in script
        script = script.replace(place, ours)
    command = waybill.folder / "bin" / "waybill"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(PYTHON)} -m waybill "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        ["sh", "-c", script], cwd=waybill.folder, capture_output=True, encoding="utf-8", timeout=300, check=False,
        env=waybill.environment | {"PATH": f"{command.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert f"{RECORDS - 5} of {RECORDS - 5} references switched" in done.stdout, done.stdout[-3000:]
    assert f"{RECORDS} of {RECORDS} references restored" in done.stdout
    assert server.writes(ENTRY, FIELD) == {"records": RECORDS, "writes": 2 * RECORDS, "most": 2}
    assert all(value and "/old/docs/" in value for value in values(server))


def test_commands_that_the_guide_names_exist() -> None:
    known = {name for names in COMMANDS.values() for name in names}
    code = re.findall(r"^```sh\n.*?^```|`[^`\n]+`", GUIDE, re.MULTILINE | re.DOTALL)
    named = {name for part in code for name in re.findall(r"\bwaybill ([a-z]+(?:-[a-z]+)?)", part)}
    assert named <= known, named - known


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        path, _, anchor = target.partition("#")
        text = (PROJECT / "docs/guides" / path).read_text(encoding="utf-8") if path else GUIDE
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


def doctor(waybill: Waybill, url: str, code: int) -> dict[str, tuple[str, str]]:
    """What doctor says of a catalog: verdict and text by subject."""
    done = waybill.run("doctor", "--catalog", url)
    assert done.returncode == code, done.stdout.decode() + done.stderr.decode()
    found = {}
    for line in done.stdout.decode().splitlines():
        if match := re.fullmatch(r"(ok|warn|fail) +catalog(?:: ([a-z]+))?: (.*)", line):
            found[match[2] or "catalog"] = (match[1], match[3])
    return found


def test_doctor_says_all_of_an_organization(
    server: SalesforceServer, catalog: Callable[..., str], waybill: Waybill
) -> None:
    found = doctor(waybill, catalog(), 0)
    assert {subject: verdict for subject, (verdict, _) in found.items()} == {
        "reachable": "ok", "credentials": "warn", "version": "ok", "calls": "ok", "field": "ok", "update": "ok",
        "list": "ok", "window": "warn",
    }  # fmt: skip
    assert re.search(r"JWT bearer as .*; its certificate ends 20\d\d-\d\d-\d\d", found["credentials"][1])
    assert "31.0 to 68.0" in found["version"][1]
    assert re.search(r"\d+ of 100000 used .*; 79\d{3} are left to waybill \(max_api_share=0.8\)", found["calls"][1])
    assert "url of at most 255 characters, filterable" in found["field"][1]
    assert "12 references" in found["list"][1]
    assert "--accept-window" in found["window"][1]
    assert not server.writes(ENTRY, FIELD)["writes"]

    server.usage(calls=79_000)
    assert doctor(waybill, catalog(), 0)["calls"][0] == "warn"
    server.usage(calls=99_000)
    full = doctor(waybill, catalog(), 1)
    assert "0 are left" in full["calls"][1] and "by itself" in full["field"][1], full


def test_doctor_tells_a_missing_right(server: SalesforceServer, catalog: Callable[..., str], waybill: Waybill) -> None:
    server.salesforce(users=[server.user(read_only=[f"{ENTRY}.{FIELD}"])])
    verdict, text = doctor(waybill, catalog(), 0)["update"]
    assert verdict == "warn" and f"{ENTRY}.{FIELD}" in text and "edit" in text
    server.salesforce(users=[server.user(hidden=[f"{ENTRY}.{FIELD}"])])
    verdict, text = doctor(waybill, catalog(), 1)["field"]
    assert verdict == "fail" and f"no field {FIELD} that this user may see" in text
    server.salesforce(users=[server.user(may_use_api=False)])
    assert any("API" in text for verdict, text in doctor(waybill, catalog(), 1).values() if verdict == "fail")


BAD = {
    "an object that is not there": (
        {"path": "DocListEntri__c.Document__c"},
        "field",
        'did you mean "DocListEntry__c"?',
    ),
    "a field that is not there": ({"path": "DocListEntry__c.Documant__c"}, "field", 'did you mean "Document__c"?'),
    "a path that leads nowhere": ({"partition": "Acount__r.Id"}, "field", 'did you mean "Account__r"?'),
    "a field that holds no URLs": ({"path": "DocListEntry__c.Size__c"}, "field", "holds no URLs"),
    "another certificate": ({"client_id": "other"}, "credentials", "certificate"),
    "an expired certificate": (
        {"client_id": "expired", "key": "file:{folder}/expired.pem"},
        "credentials",
        "certificate is expired",
    ),
    "a user without the app": ({"username": "nobody@example.com"}, "credentials", "pre-authorized"),
    "no such app": ({"client_id": "nobody"}, "credentials", "client_id"),
    "a version that is gone": ({"api_version": "50.0"}, "version", "is not there, or not any more"),
    "a version that is none": ({"api_version": "20.0"}, "catalog", "at least 49.0"),
    "no key": ({"key": "file:/nowhere/key.pem"}, "credentials", "/nowhere/key.pem"),
    "a secret in the URL": ({"key": "MIIEvQIBADANB"}, "catalog", "never belongs in a URL"),
    "nobody there": ({"endpoint": "http://127.0.0.1:1"}, "reachable", "My Domain"),
    "a misspelt parameter": ({"pertition": "Account__c"}, "catalog", 'did you mean "partition"?'),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_work_is_one_clear_line(
    what: str, server: SalesforceServer, catalog: Callable[..., str], waybill: Waybill
) -> None:
    server.salesforce(
        first_version=55,
        apps=[
            server.app(),
            server.app(key="other", certificate=key_pair.__wrapped__()[1]),
            server.app(key="expired", certificate=key_pair(-1)[1]),
        ],
    )
    (waybill.folder / "expired.pem").write_text(key_pair(-1)[0])
    changes, subject, said = BAD[what]
    url = catalog(**{name: value.format(folder=waybill.folder) for name, value in changes.items()})
    failed = {name: text for name, (verdict, text) in doctor(waybill, url, 1).items() if verdict == "fail"}
    assert list(failed) == [subject], failed
    assert said in failed[subject]
    # A command that needs it says the same, in one line.
    done = waybill.run("plan", "--catalog", url, "--to", server.url("acme-files"))
    lines = done.stderr.decode().splitlines()
    assert done.returncode in (1, 2), done.stdout.decode()
    assert len(lines) == 1 and lines[0].startswith("waybill: "), lines


def test_short_fields_texts_that_are_no_urls_and_ids_of_both_lengths(
    server: SalesforceServer, catalog: Callable[..., str], waybill: Waybill
) -> None:
    """A new value that the field cannot hold is refused before anything is written; a text stays as it is, and is told; a record
    is found by 15 characters of its id as by 18."""

    def told(*words: str, code: int = 0) -> str:
        done = waybill.run(*words)
        assert done.returncode == code, done.stdout.decode() + done.stderr.decode()
        return done.stdout.decode()

    server.entries(RECORDS, accounts=3, url=f"{server.endpoint}/old/docs/{{n}}.pdf", length=100)
    server.plant(ENTRY, 7, {FIELD: "see folder 12"})
    told("run", "--catalog", catalog(), "--contents", server.url("old"), "--to", server.url("acme-files"), code=3)
    assert re.search(r"see folder 12.*unsupported|unsupported.*see folder 12", told("failed"), re.DOTALL)
    told("waive", "--class", "unsupported", "--why", "no file was ever there")
    told("verify")
    switching = ("--catalog", catalog(), "--accept-window", "--probes", "1", "--url-template")
    long = told("readiness", *switching, f"{server.endpoint}/acme-files/{{destination_key}}?{'x' * 100}", code=4)
    assert "REFUSED  values" in long and "and the field holds 100" in long, long
    assert not server.writes(ENTRY, FIELD)["writes"]

    record = record_id("a0B", 5)
    switching = (*switching, f"{server.endpoint}/acme-files/{{destination_key}}", "--record", record[:15])
    plan = re.search(r"\b[0-9a-f]{16}\b", told("cutover", *switching))
    assert plan is not None
    told("cutover", "--execute", "--plan", plan[0], code=3)  # the others are left
    assert server.writes(ENTRY, FIELD) == {"records": 1, "writes": 1, "most": 1}
    assert told("references", "--record", record[:15]) == told("references", "--record", record)
    told("rollback", "--record", record[:15], "--execute")
    assert server.values(ENTRY, FIELD)[record] == f"{server.endpoint}/old/docs/5.pdf"
    assert server.values(ENTRY, FIELD)[record_id("a0B", 7)] == "see folder 12"
