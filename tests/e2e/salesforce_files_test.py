# SPDX-License-Identifier: Apache-2.0
"""Salesforce Files, copied with the command line from the fault server's Salesforce: bodies that break off, sessions that
end, versions that come and files that go meanwhile; and the records that point at them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from process import Waybill
from salesforce import CONSUMER_KEY, CONSUMER_SECRET, ENTRY, SalesforceServer

HOST = "acme.my.salesforce.com"
VERSION, ATTACHMENT = "ContentVersion", "Attachment"


@pytest.fixture
def server() -> Iterator[SalesforceServer]:
    with SalesforceServer() as running:
        yield running


@pytest.fixture
def waybill(tmp_path: Path) -> Waybill:
    return Waybill(tmp_path, environment={"SF_SECRET": CONSUMER_SECRET}, options={"retry_base_ms": 5})


def url(server: SalesforceServer, what: str, **more: str) -> str:
    parameters = {"client_id": CONSUMER_KEY, "client_secret": "env:SF_SECRET", "endpoint": server.endpoint, **more}
    return f"salesforce://{HOST}/{what}?" + "&".join(f"{name}={value}" for name, value in parameters.items())


def told(waybill: Waybill, *words: str, code: int = 0) -> str:
    done = waybill.run(*words)
    assert done.returncode == code, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def items(waybill: Waybill) -> dict[str, int]:
    counts: dict[str, int] = json.loads(told(waybill, "status", "--json"))["items"]
    return counts


def value(server: SalesforceServer, what: str, number: int, field: str) -> Any:
    return server.record(what, number)["values"][field]


def md5_of(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def bodies(server: SalesforceServer) -> int:
    """How many bodies were asked for so far."""
    counts: dict[str, Any] = server.counts()
    return int(counts.get("GetBlob", {"requests": 0})["requests"])


def test_documents_through_trouble_and_their_changes(server: SalesforceServer, waybill: Waybill) -> None:
    n = 40
    server.files(n, versions=2, size=0, size_most=200_000)
    # The first document's second version is yet to come.
    server.plant(VERSION, 0, {"IsLatest": True})
    server.plant(VERSION, 1, {"IsLatest": False})
    versions = {value(server, VERSION, 2 * k + 1, "ContentDocumentId"): 2 * k + (k > 0) for k in range(n)}
    server.salesforce(session_calls=25)
    server.rule(action="cut", op="GetBlob", every=4, times=5, after=0)
    server.rule(action="flip", op="GetBlob", every=7, times=2, after=0)
    server.rule(action="status", op="GetBlob", nth=9, status=503, code="SERVER_UNAVAILABLE")

    def check() -> None:
        found = {file.name: md5_of(file) for file in (waybill.folder / "to").iterdir()}
        assert found.keys() == versions.keys()
        wrong = [key for key, k in versions.items() if found[key] != value(server, VERSION, k, "Checksum")]
        assert not wrong

    told(waybill, "run", "--from", url(server, VERSION), "--to", "to")
    check()
    counts = items(waybill)
    assert (counts["done"], counts["failed"], counts["discovered"]) == (n, 0, n)
    assert server.usage()["logins"] >= (n + 8) // 25 + 1
    told(waybill, "verify")

    # A title is no content; a version is.
    asked = bodies(server)
    server.edit(VERSION, 3, {"Title": "Renamed"})
    told(waybill, "run")
    assert bodies(server) == asked
    server.edit(VERSION, 0, {"IsLatest": False})
    server.edit(VERSION, 1, {"IsLatest": True})
    told(waybill, "verify", code=3)
    told(waybill, "run")
    assert bodies(server) - asked in range(1, 3)  # an unlucky one is asked twice
    versions[value(server, VERSION, 0, "ContentDocumentId")] = 1
    check()
    counts = items(waybill)
    assert (counts["updated"], counts["unchanged"]) == (1, n - 1)
    told(waybill, "verify")


def test_what_files_belong_to_is_in_the_audit(server: SalesforceServer, waybill: Waybill) -> None:
    server.files(3)
    told(waybill, "run", "--from", url(server, VERSION), "--to", "to")
    told(waybill, "verify", "--level", "content")
    told(waybill, "report", "--audit", "audit")
    told(waybill, "report", "--check", "audit")
    lines = [json.loads(line) for line in (waybill.folder / "audit" / "audit-000001.jsonl").read_text().splitlines()]
    found = {line["key"]: line.get("result") for line in lines if line["record"] == "item"}
    accounts = [value(server, "ContentDocumentLink", k, "LinkedEntityId") for k in range(3)]
    assert found == {value(server, VERSION, k, "ContentDocumentId"): {"linked": f"{accounts[k]}:V"} for k in range(3)}


def test_all_versions_under_names_of_ones_own(server: SalesforceServer, waybill: Waybill) -> None:
    server.files(3, versions=3)
    keys = "{names.document_id}/{names.version_number} {names.file_name}"
    told(waybill, "run", "--from", url(server, VERSION, versions="all"), "--to", "to", "--key-template", keys)
    found = sorted(str(file.relative_to(waybill.folder / "to")) for file in (waybill.folder / "to").rglob("*.bin"))
    documents = [value(server, VERSION, 3 * k, "ContentDocumentId") for k in range(3)]
    assert found == [f"{document}/{v} Title {k}.bin" for k, document in enumerate(documents) for v in (1, 2, 3)]
    assert md5_of(waybill.folder / "to" / found[5]) == value(server, VERSION, 5, "Checksum")
    told(waybill, "verify")


def test_attachments_that_change_and_go_while_they_are_read(server: SalesforceServer, waybill: Waybill) -> None:
    server.files(1, accounts=5)
    body = b"another body"
    content = base64.b64encode(body).decode()
    server.edit(ATTACHMENT, 2, {"Body": content}, op="GetBlob", nth=1)
    server.edit(ATTACHMENT, 4, {"IsDeleted": True}, op="GetBlob", nth=1)
    told(waybill, "run", "--from", url(server, ATTACHMENT), "--to", "to", "--concurrency", "1", code=3)
    counts = items(waybill)
    assert (counts["done"], counts["vanished"], counts["failed"]) == (4, 1, 0)
    assert (waybill.folder / "to" / value(server, ATTACHMENT, 2, "Id")).read_bytes() == body
    assert not (waybill.folder / "to" / value(server, ATTACHMENT, 4, "Id")).exists()


def test_records_that_point_at_files_are_switched(server: SalesforceServer, waybill: Waybill) -> None:
    server.files(3)
    server.entries(4, accounts=5)
    documents = [value(server, VERSION, k, "ContentDocumentId") for k in range(3)]
    download = "/sfc/servlet.shepherd/document/download/"
    olds = [f"https://{HOST}{download}{documents[0]}", f"https://acme.file.force.com{download}{documents[1][:15]}",
            f"{download}{documents[2]}?operationContext=S", "https://elsewhere.example.com/x"]  # fmt: skip
    for number, old in enumerate(olds):
        server.plant(ENTRY, number, {"Document__c": old})
    told(waybill, "run", "--from", url(server, VERSION), "--to", "to")
    told(waybill, "verify")
    place = f"file://{waybill.folder}/to/"
    catalog = ["--catalog", url(server, f"{ENTRY}.Document__c"), "--url-template", place + "{destination_key}"]
    plan = json.loads(told(waybill, "cutover", "--json", "--accept-window", *catalog))["hash"]
    told(waybill, "cutover", "--execute", "--plan", plan, "--accept-window", *catalog[:2])
    news = [place + document for document in documents]
    assert [value(server, ENTRY, number, "Document__c") for number in range(4)] == [*news, olds[3]]
