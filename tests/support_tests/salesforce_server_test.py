# SPDX-License-Identifier: Apache-2.0
"""The fault server's Salesforce, proven by clients that are not ours: simple-salesforce and jsforce."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
import requests
from salesforce import (
    CONSUMER_KEY,
    CONSUMER_SECRET,
    ENTRY,
    PASSWORD,
    SECURITY_TOKEN,
    USER,
    SalesforceServer,
    key_pair,
    loopback_session,
    run_jsforce,
)
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceOperationError,
    SalesforceRefusedRequest,
)

VERSION = "62.0"
JSFORCE_LOGIN = f"""
    const connection = new jsforce.Connection({{loginUrl: endpoint, version: '{VERSION}'}});
    await connection.login('{USER}', '{PASSWORD}{SECURITY_TOKEN}');
"""


@pytest.fixture(scope="module")
def running() -> Iterator[SalesforceServer]:
    with SalesforceServer() as server:
        yield server


@pytest.fixture
def server(running: SalesforceServer) -> SalesforceServer:
    running.reset()
    return running


def login(server: SalesforceServer, **more: Any) -> Salesforce:
    """simple-salesforce, logged in with a password unless something else is given."""
    if not more:
        more = {"username": USER, "password": PASSWORD, "security_token": SECURITY_TOKEN}
    return Salesforce(session=loopback_session(server), version=VERSION, **more)


@pytest.fixture
def sf(server: SalesforceServer) -> Salesforce:
    return login(server)


def assertion(**changes: Any) -> str:
    claims = {"iss": CONSUMER_KEY, "sub": USER, "aud": "https://login.salesforce.com", "exp": int(time.time()) + 180}
    return jwt.encode({**claims, **changes}, key_pair()[0], algorithm="RS256")


def token(server: SalesforceServer, host: str = "corp.my.salesforce.com", **form: str) -> requests.Response:
    return loopback_session(server).post(f"https://{host}/services/oauth2/token", form)


JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


# Logins.


def test_each_login_of_simple_salesforce(server: SalesforceServer) -> None:
    logins: list[dict[str, Any]] = [
        {"username": USER, "password": PASSWORD, "security_token": SECURITY_TOKEN},
        {"username": USER, "password": PASSWORD, "organizationId": "00D5g0000000001EAA"},
        {"username": USER, "consumer_key": CONSUMER_KEY, "privatekey": key_pair()[0]},
        {"consumer_key": CONSUMER_KEY, "consumer_secret": CONSUMER_SECRET, "domain": "corp.my"},
    ]
    server.entries(3)
    for one in logins:
        sf = login(server, **one)
        assert sf.query(f"SELECT COUNT() FROM {ENTRY}")["totalSize"] == 3
        assert sf.limits()["DailyApiRequests"] == {"Max": 100_000, "Remaining": 100_000 - server.usage()["calls"]}
        assert sf.api_usage["api-usage"].used == server.usage()["calls"]
    assert server.usage()["logins"] == len(logins)


def test_logins_that_are_refused(server: SalesforceServer) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"username": USER, "password": PASSWORD, "security_token": "x"}, "INVALID_LOGIN"),
        ({"username": "nobody@example.com", "password": PASSWORD, "security_token": SECURITY_TOKEN}, "INVALID_LOGIN"),
        ({"consumer_key": CONSUMER_KEY, "consumer_secret": "wrong", "domain": "corp.my"}, "invalid_client"),
        ({"username": "x@example.com", "consumer_key": CONSUMER_KEY, "privatekey": key_pair()[0]}, "invalid_grant"),
    ]
    for one, code in wrong:
        with warnings.catch_warnings(action="ignore"), pytest.raises(SalesforceAuthenticationFailed) as caught:
            login(server, **one)
        assert caught.value.code == code
    with pytest.raises(SalesforceAuthenticationFailed) as caught:
        Salesforce(USER, PASSWORD, SECURITY_TOKEN, version="65.0", session=loopback_session(server))
    assert caught.value.code == "UNSUPPORTED_API_VERSION"
    server.salesforce(soap_login=False)
    with pytest.raises(SalesforceAuthenticationFailed, match="disabled by default"):
        login(server)


def test_an_assertion_is_verified(server: SalesforceServer) -> None:
    assert token(server, grant_type=JWT_GRANT, assertion=assertion()).status_code == 200
    good = assertion()
    forged = good[: good.rindex(".")] + "." + jwt.encode({}, key_pair()[0], algorithm="RS256").rpartition(".")[2]
    refused = {
        "invalid assertion": forged,
        "expired authorization code": assertion(exp=int(time.time()) - 1),
        "audience is invalid": assertion(aud="https://test.salesforce.com"),
        "user hasn't approved this consumer": assertion(sub="nobody@example.com"),
        "client identifier invalid": assertion(iss="another"),
    }
    for description, one in refused.items():
        answer = token(server, grant_type=JWT_GRANT, assertion=one)
        assert (answer.status_code, answer.json()["error_description"]) == (400, description)
    server.salesforce(is_sandbox=True)
    assert token(server, grant_type=JWT_GRANT, assertion=assertion(aud="https://test.salesforce.com")).ok


def test_client_credentials_need_a_host_of_ones_own(server: SalesforceServer) -> None:
    form = {"grant_type": "client_credentials", "client_id": CONSUMER_KEY, "client_secret": CONSUMER_SECRET}
    assert token(server, **form).ok
    refused = token(server, host="login.salesforce.com", **form)
    assert refused.json() == {"error": "invalid_grant", "error_description": "request not supported on this domain"}


def test_refresh_tokens_rotate(server: SalesforceServer) -> None:
    form = {"grant_type": "refresh_token", "client_id": CONSUMER_KEY}
    assert "refresh_token" not in token(server, refresh_token="refresh-1", **form).json()
    server.salesforce(apps=[server.app(rotates_refresh_tokens=True)])
    second = token(server, refresh_token="refresh-1", **form).json()["refresh_token"]
    assert token(server, refresh_token="refresh-1", **form).json()["error"] == "invalid_grant"
    assert token(server, refresh_token=second, **form).ok


def test_sessions_end(server: SalesforceServer, sf: Salesforce) -> None:
    server.salesforce(session_calls=2)
    # Without a password it cannot log in again.
    bare = login(server, session_id=sf.session_id, instance_url=server.endpoint)
    bare.limits()
    bare.limits()
    with pytest.raises(SalesforceExpiredSession) as caught:
        bare.limits()
    assert caught.value.content[0]["errorCode"] == "INVALID_SESSION_ID"
    sf.limits()
    assert server.usage()["logins"] == 2
    server.salesforce(session_calls=0)
    server.expire("sessions")
    bare = login(server, session_id=sf.session_id, instance_url=server.endpoint)
    with pytest.raises(SalesforceExpiredSession):
        bare.limits()


# Reading.


def test_queries_in_pages(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(4_500, accounts=7)
    first = sf.query(f"SELECT Id, Document__c, Account__r.Id, Account__r.Name FROM {ENTRY}")
    assert (first["totalSize"], first["done"], len(first["records"])) == (4_500, False, 2_000)
    record = first["records"][8]
    assert record["Document__c"] == "https://old.example.com/docs/8.pdf"
    assert record["Account__r"]["Name"] == "Account 1"
    assert record["attributes"]["url"].endswith(record["Id"]) and len(record["Id"]) == 18
    every = sf.query_all(f"SELECT Id FROM {ENTRY}")["records"]
    ids = [row["Id"] for row in every]
    assert len(set(ids)) == 4_500 and ids == sorted(ids)
    counts = server.counts()
    assert (counts["Query"]["requests"], counts["QueryMore"]["requests"]) == (2, 2)
    server.expire("cursors")
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_QUERY_LOCATOR"):
        sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)


def test_the_page_of_a_query_is_a_wish(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(500)
    headers = {"Sforce-Query-Options": "batchSize=200"}
    assert len(sf.query(f"SELECT Id FROM {ENTRY}", headers=headers)["records"]) == 200


def test_a_listing_goes_on_by_stamp_and_id(server: SalesforceServer, sf: Salesforce) -> None:
    # Far more records in a second than a page holds.
    server.entries(3_000, per_second=1_000)
    server.edit(ENTRY, 5, {"Notes__c": "changed"})
    server.edit(ENTRY, 2_999, {"Document__c": None})
    seen: list[str] = []
    where = ""
    while True:
        page = sf.query(f"SELECT Id, SystemModstamp FROM {ENTRY} {where} ORDER BY SystemModstamp, Id LIMIT 300")[
            "records"
        ]
        if not page:
            break
        seen += [row["Id"] for row in page]
        stamp, last = page[-1]["SystemModstamp"].replace("+0000", "Z"), page[-1]["Id"]
        where = f"WHERE SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{last}')"
    assert len(seen) == len(set(seen)) == 3_000
    assert seen[-2:] == sorted(seen[-2:]) and server.record(ENTRY, 5)["values"]["Id"] in seen[-2:]


def test_conditions(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(100, accounts=10)
    server.plant(ENTRY, 3, {"Document__c": "https://old.example.com/it's 100%_\\.pdf"})
    server.plant(ENTRY, 4, {"Document__c": None})
    account = sf.query("SELECT Id FROM Account WHERE Name = 'account 4'")["records"][0]["Id"]
    conditions = {
        f"Account__c = '{account}'": 10,
        f"Account__r.Id = '{account[:15]}'": 10,
        f"Account__r.Name LIKE 'Account %' AND Account__c != '{account}'": 90,
        "Document__c = null": 1,
        "Document__c != null AND Size__c >= 90": 10,
        "Document__c LIKE 'https://old.example.com/docs/1_.pdf'": 10,
        r"Document__c LIKE '%it\'s 100\%\_\\\\.pdf'": 1,
        "(Size__c < 5 OR Size__c > 95) AND NOT (Size__c IN (1, 2, 97))": 6,
        f"Account__c NOT IN ('{account}') AND (Document__c = null OR Size__c = 50)": 1,
        "SystemModstamp >= 2025-01-01T00:01:00Z AND SystemModstamp < 2025-01-01T00:01:10.000+00:00": 10,
        "IsDeleted = false": 100,
    }
    for condition, expected in conditions.items():
        assert sf.query(f"SELECT COUNT() FROM {ENTRY} WHERE {condition}")["totalSize"] == expected, condition
    newest = sf.query(f"SELECT Name FROM {ENTRY} ORDER BY Account__r.Name DESC, Size__c DESC NULLS LAST LIMIT 2")
    assert [row["Name"] for row in newest["records"]] == ["DLE-00000099", "DLE-00000089"]


def test_deleted_records_come_with_query_all_only(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(10)
    server.edit(ENTRY, 3, {"IsDeleted": True})
    assert sf.query(f"SELECT Id FROM {ENTRY}")["totalSize"] == 9
    deleted = sf.query(f"SELECT Id, IsDeleted FROM {ENTRY} WHERE IsDeleted = true", include_deleted=True)["records"]
    assert [row["IsDeleted"] for row in deleted] == [True]


QUERY_ERRORS = [
    ("SELECT Id FORM Account", "MALFORMED_QUERY", "unexpected token: 'FORM'"),
    (f"SELECT DISTINCT Id FROM {ENTRY}", "MALFORMED_QUERY", "ERROR at Row:1:Column:17"),
    (f"SELECT Id FROM {ENTRY} WHERE Name = 'a", "MALFORMED_QUERY", "unterminated string"),
    (f"SELECT Id FROM {ENTRY} WHERE Name = 'a' AND Id = '1' OR Id = '2'", "MALFORMED_QUERY", "unexpected token: 'OR'"),
    (
        f"SELECT Id, Dokument__c FROM {ENTRY}",
        "INVALID_FIELD",
        "No such column 'Dokument__c' on entity 'DocListEntry__c'",
    ),
    (f"SELECT Account.Name FROM {ENTRY}", "INVALID_FIELD", "Didn't understand relationship 'Account'"),
    ("SELECT Id FROM DocListEntry", "INVALID_TYPE", "sObject type 'DocListEntry' is not supported"),
    (f"SELECT Id FROM {ENTRY} WHERE Notes__c = 'x'", "INVALID_FIELD", "can not be filtered"),
    (f"SELECT Id FROM {ENTRY} WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field"),
    (f"SELECT Id FROM {ENTRY} WHERE SystemModstamp > '2026'", "INVALID_FIELD", "must be of type dateTime"),
]


@pytest.mark.parametrize(("query", "code", "message"), QUERY_ERRORS)
def test_queries_that_are_refused(
    server: SalesforceServer, sf: Salesforce, query: str, code: str, message: str
) -> None:
    server.entries(1)
    with pytest.raises(SalesforceMalformedRequest) as caught:
        sf.query(query)
    error = caught.value.content[0]
    assert error["errorCode"] == code and message in error["message"]


def test_descriptions_follow_the_rights(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(1, length=120)
    described = getattr(sf, ENTRY).describe()
    fields = {field["name"]: field for field in described["fields"]}
    url = fields["Document__c"]
    assert (url["type"], url["length"], url["filterable"], url["updateable"], url["nillable"]) == (
        "url",
        120,
        True,
        True,
        True,
    )
    assert fields["Account__c"]["relationshipName"] == "Account__r" and not fields["Notes__c"]["filterable"]
    assert ENTRY in [one["name"] for one in sf.describe()["sobjects"]]
    server.salesforce(users=[server.user(read_only=[f"{ENTRY}.Document__c"], hidden=[f"{ENTRY}.Size__c", "Account"])])
    fields = {field["name"]: field for field in getattr(sf, ENTRY).describe()["fields"]}
    assert not fields["Document__c"]["updateable"] and "Size__c" not in fields
    for query in (f"SELECT Size__c FROM {ENTRY}", f"SELECT Account__r.Name FROM {ENTRY}", "SELECT Id FROM Account"):
        with pytest.raises(SalesforceMalformedRequest):
            sf.query(query)


def test_versions_come_and_go(server: SalesforceServer, sf: Salesforce) -> None:
    session = loopback_session(server)
    versions = session.get("https://corp.my.salesforce.com/services/data").json()
    assert (versions[0]["version"], versions[-1]["version"]) == ("31.0", "68.0")
    for version, status in (("30.0", 410), ("69.0", 404), ("x", 404)):
        answer = session.get(
            f"https://corp.my.salesforce.com/services/data/v{version}/limits",
            headers={"Authorization": f"Bearer {sf.session_id}"},
        )
        assert answer.status_code == status


# Limits.


def test_the_calls_of_a_day_are_limited(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(1)
    server.salesforce(daily_calls=3)
    for _ in range(3):
        sf.limits()
    with pytest.raises(SalesforceRefusedRequest) as caught:
        sf.query(f"SELECT Id FROM {ENTRY}")
    assert caught.value.content[0] == {
        "errorCode": "REQUEST_LIMIT_EXCEEDED",
        "message": "TotalRequests Limit exceeded.",
    }
    server.usage(calls=0)
    assert sf.query(f"SELECT Id FROM {ENTRY}")["totalSize"] == 1


def test_faults_are_said_as_salesforce_says_them(server: SalesforceServer, sf: Salesforce) -> None:
    server.rule(action="status", op="Limits", status=503, code="SERVER_UNAVAILABLE", times=1)
    with pytest.raises(Exception, match="SERVER_UNAVAILABLE"):
        sf.limits()
    sf.limits()


# jsforce.


def test_jsforce_reads(server: SalesforceServer) -> None:
    server.entries(2_500, accounts=5)
    result = run_jsforce(
        server,
        JSFORCE_LOGIN
        + f"""
        const query = await connection.query('SELECT Id, Document__c, Account__r.Name FROM {ENTRY}', {{autoFetch: true, maxFetch: 10000}});
        const described = await connection.sobject('{ENTRY}').describe();
        const one = await connection.sobject('{ENTRY}').retrieve(query.records[7].Id);
        let refusal = null;
        try {{ await connection.query('SELECT Nothing__c FROM {ENTRY}'); }} catch (error) {{ refusal = error.errorCode; }}
        return {{count: query.records.length, total: query.totalSize, name: query.records[6].Account__r.Name,
                 fields: described.fields.map((field) => field.name), url: one.Document__c, refusal,
                 usage: connection.limitInfo.apiUsage}};
        """,
    )
    assert (result["count"], result["total"], result["name"]) == (2_500, 2_500, "Account 1")
    assert "Document__c" in result["fields"] and result["url"].endswith("/7.pdf")
    assert result["refusal"] == "INVALID_FIELD"
    assert result["usage"] == {"used": server.usage()["calls"], "limit": 100_000}


def test_jsforce_authorizes_and_refreshes(server: SalesforceServer) -> None:
    server.entries(1)
    server.salesforce(apps=[server.app(rotates_refresh_tokens=True)])
    result = run_jsforce(
        server,
        f"""
        const oauth2 = {{loginUrl: endpoint, clientId: '{CONSUMER_KEY}', clientSecret: '{CONSUMER_SECRET}'}};
        const credentials = new jsforce.Connection({{oauth2, version: '{VERSION}'}});
        await credentials.authorize({{grant_type: 'client_credentials'}});
        const total = (await credentials.query('SELECT Id FROM {ENTRY}')).totalSize;
        const refreshing = new jsforce.Connection({{
          oauth2, version: '{VERSION}', instanceUrl: endpoint, accessToken: 'ended', refreshToken: 'refresh-1'}});
        return [total, (await refreshing.query('SELECT Id FROM {ENTRY}')).totalSize];
        """,
    )
    assert result == [1, 1]
    assert server.usage()["logins"] == 2 and server.counts()["Token"]["requests"] == 2


# Size.


def test_records_are_made_up_as_they_are_asked_for(server: SalesforceServer, sf: Salesforce) -> None:
    count = 1_344_438
    server.entries(count, per_second=20)
    server.control("configure_log", {"limit": 1000})
    stamp = "2025-01-01T18:00:00Z"
    page = sf.query(
        f"SELECT Id, Document__c FROM {ENTRY} WHERE SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND "
        f"Id > '{server.plant(ENTRY, 1_296_010, {})}') ORDER BY SystemModstamp, Id LIMIT 2000"
    )["records"]
    assert len(page) == 2000 and page[0]["Document__c"].endswith("/1296011.pdf")
    last = sf.query(f"SELECT Name FROM {ENTRY} WHERE Id >= '{server.plant(ENTRY, count - 1, {})}'")["records"]
    assert [row["Name"] for row in last] == [f"DLE-{count - 1:08}"]


# Writing.


def rows(sf: Salesforce, *names: str, where: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sf.query(f"SELECT Id, {', '.join(names)} FROM {ENTRY} {where}")["records"]
    return found


def collection(sf: Salesforce, records: list[dict[str, Any]], all_or_none: bool = False) -> list[dict[str, Any]]:
    body = {
        "allOrNone": all_or_none,
        "records": [{"attributes": {"type": ENTRY}, **record} for record in records],
    }
    results: list[dict[str, Any]] = sf.restful("composite/sobjects", method="PATCH", json=body)
    return results


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_up(server: SalesforceServer) -> bool:
    try:
        server.usage()
    except OSError:
        return False
    return True


def codes(results: list[dict[str, Any]]) -> list[str]:
    return [error["statusCode"] for result in results for error in result["errors"]]


def test_one_record_is_updated(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(3)
    entry = rows(sf, "SystemModstamp")[1]
    assert getattr(sf, ENTRY).update(entry["Id"], {"Document__c": "https://new.example.com/1.pdf"}) == 204
    found = getattr(sf, ENTRY).get(entry["Id"])
    assert found["Document__c"] == "https://new.example.com/1.pdf"
    assert found["SystemModstamp"] > entry["SystemModstamp"]
    history = server.record(ENTRY, 1)["history"]
    assert [(one["before"], one["after"], one["call"]) for one in history] == [
        ("https://old.example.com/docs/1.pdf", "https://new.example.com/1.pdf", "UpdateRecord")
    ]
    assert history[0]["user"] == found["LastModifiedById"]
    with pytest.raises(SalesforceMalformedRequest, match="STRING_TOO_LONG"):
        getattr(sf, ENTRY).update(entry["Id"], {"Document__c": "https://new.example.com/" + "x" * 240})


def test_each_record_of_a_collection_has_a_result(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(12)
    server.edit(ENTRY, 4, {"IsDeleted": True})
    server.fail_records(ENTRY, "UNABLE_TO_LOCK_ROW", numbers=[5], times=1)
    server.fail_records(ENTRY, "DUPLICATES_DETECTED", numbers=[6])
    ids = [row["Id"] for row in sf.query_all(f"SELECT Id FROM {ENTRY}", include_deleted=True)["records"]]
    records = [{"Id": one, "Document__c": f"https://new.example.com/{at}"} for at, one in enumerate(ids)]
    records[7]["Document__c"] = "x" * 256
    records[8]["Id"] = ids[8][:15]
    records[9]["Id"] = "0015g0000000000AAA"
    results = collection(sf, records)
    assert codes(results) == [
        "ENTITY_IS_DELETED",
        "UNABLE_TO_LOCK_ROW",
        "DUPLICATES_DETECTED",
        "STRING_TOO_LONG",
        "MALFORMED_ID",
    ]
    assert [result["success"] for result in results] == [True] * 4 + [False] * 4 + [True, False, True, True]
    # What was locked once is not any more.
    assert collection(sf, [records[5]])[0]["success"]
    assert server.writes(ENTRY, "Document__c") == {"records": 8, "writes": 8, "most": 1}


def test_all_or_none(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(3)
    before = rows(sf, "Document__c", "SystemModstamp")
    records = [{"Id": row["Id"], "Document__c": "https://new.example.com/"} for row in before]
    records[2]["Document__c"] = "x" * 256
    results = collection(sf, records, all_or_none=True)
    assert codes(results) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK"] * 2 + ["STRING_TOO_LONG"]
    assert rows(sf, "Document__c", "SystemModstamp") == before
    assert server.writes(ENTRY, "Document__c")["writes"] == 0


def test_collections_that_are_refused(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(201)
    entry = rows(sf, "Name")[0]["Id"]
    with pytest.raises(SalesforceMalformedRequest, match="record limit reached"):
        collection(sf, [{"Id": entry}] * 201)
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_FIELD"):
        collection(sf, [{"Id": entry, "Name": "x", "Nothing__c": 1}])
    assert codes(collection(sf, [{"Id": entry, "Name": "x"}])) == ["INVALID_FIELD_FOR_INSERT_UPDATE"]
    server.salesforce(users=[server.user(read_only=[ENTRY])])
    assert codes(collection(sf, [{"Id": entry, "Document__c": "x"}])) == ["INSUFFICIENT_ACCESS_OR_READONLY"]


def test_records_are_read_by_their_ids(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(5)
    ids = [row["Id"] for row in rows(sf, "Name")]
    server.edit(ENTRY, 2, {"IsDeleted": True})
    found = sf.restful(f"composite/sobjects/{ENTRY}", params={"ids": ",".join(ids[1:4]), "fields": "Id,Name"})
    assert [one and one["Name"] for one in found] == ["DLE-00000001", None, "DLE-00000003"]


def test_an_edit_comes_between_reading_and_writing(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(3)
    read = rows(sf, "Document__c")
    server.edit(ENTRY, 1, {"Document__c": "https://users.example.com/"}, op="UpdateCollection")
    server.edit(ENTRY, 2, {"Document__c": "https://users.example.com/"}, op="UpdateCollection", after=True)
    collection(sf, [{"Id": row["Id"], "Document__c": "https://new.example.com/"} for row in read])
    assert [row["Document__c"] for row in rows(sf, "Document__c")] == [
        "https://new.example.com/",
        "https://new.example.com/",
        "https://users.example.com/",
    ]
    assert [change["call"] for change in server.record(ENTRY, 1)["history"]] == ["user", "UpdateCollection"]
    assert server.usage()["waiting_edits"] == 0


def test_writes_below_one_parent_lock_each_other(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(4, accounts=2)
    server.salesforce(locks_parents=True)
    ids = [row["Id"] for row in rows(sf, "Name")]
    # The first call waits for its answer, so it is under way until its connection ends.
    server.rule(action="delay", op="UpdateCollection", nth=1, delay_ms=600_000)
    ended: list[type[Exception]] = []

    def first_call() -> None:
        try:
            collection(sf, [{"Id": ids[0], "Document__c": "a"}])
        except requests.ConnectionError as error:
            ended.append(type(error))

    first = threading.Thread(target=first_call)
    first.start()
    wait_until(lambda: server.writes(ENTRY, "Document__c")["writes"] == 1)
    other = login(server)
    second = collection(other, [{"Id": one, "Document__c": "b"} for one in ids])
    assert codes(second) == ["UNABLE_TO_LOCK_ROW"] * 2
    assert [result["success"] for result in second] == [False, True, False, True]
    assert server.usage()["locked"] == 2
    server.down(1)
    first.join()
    assert len(ended) == 1
    wait_until(lambda: is_up(server))
    again = login(server)
    assert codes(collection(again, [{"Id": one, "Document__c": "b"} for one in ids])) == []


def composite(sf: Salesforce, requests: list[dict[str, Any]], all_or_none: bool = False) -> list[dict[str, Any]]:
    answer = sf.restful("composite", method="POST", json={"allOrNone": all_or_none, "compositeRequest": requests})
    responses: list[dict[str, Any]] = answer["compositeResponse"]
    return responses


def test_a_composite_is_one_call(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(30)
    ids = [row["Id"] for row in rows(sf, "Name")]
    base = f"/services/data/v{VERSION}/sobjects/{ENTRY}"
    patches = [
        {"method": "PATCH", "url": f"{base}/{one}", "referenceId": f"r{at}", "body": {"Document__c": f"https://n/{at}"}}
        for at, one in enumerate(ids)
    ]
    before = server.usage()["calls"]
    responses = composite(sf, patches[:25])
    assert [(one["httpStatusCode"], one["referenceId"]) for one in responses] == [(204, f"r{at}") for at in range(25)]
    assert server.usage()["calls"] == before + 1
    with pytest.raises(SalesforceMalformedRequest, match="LIMIT_EXCEEDED"):
        composite(sf, patches[:26])
    patches[1]["url"] = f"{base}/{ids[1][:-4]}zAAA"
    failed = composite(sf, patches[:3])
    assert [one["httpStatusCode"] for one in failed] == [204, 404, 204]
    halted = composite(sf, patches[25:27] + patches[1:2] + patches[27:28], all_or_none=True)
    assert [one["body"][0]["errorCode"] for one in halted] == ["PROCESSING_HALTED"] * 2 + [
        "NOT_FOUND",
        "PROCESSING_HALTED",
    ]
    assert server.record(ENTRY, 25)["history"] == []
    chained = composite(
        sf,
        [
            {
                "method": "GET",
                "url": f"/services/data/v{VERSION}/query?q=SELECT+Id+FROM+{ENTRY}+LIMIT+1",
                "referenceId": "found",
            },
            {"method": "GET", "url": f"{base}/@{{found.records[0].Id}}?fields=Name", "referenceId": "one"},
        ],
    )
    assert chained[1]["body"]["Name"] == "DLE-00000000"


def test_conditions_hold_for_accounts_only(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(2)
    account, entry = sf.query("SELECT Id FROM Account LIMIT 1")["records"][0]["Id"], rows(sf, "Name")[0]["Id"]
    base = f"/services/data/v{VERSION}/sobjects"
    old = {"If-Unmodified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}
    requests = [
        {"url": f"{base}/Account/{account}", "body": {"Name": "x"}, "httpHeaders": old},
        {"url": f"{base}/Account/{account}", "body": {"Name": "x"}, "httpHeaders": {"If-Match": '"other"'}},
        {"url": f"{base}/Account/{account}", "body": {"Name": "x"}, "httpHeaders": {"If-Unmodified-Since": "soon"}},
        # Nobody knows that custom objects have conditions, so here they have none.
        {"url": f"{base}/{ENTRY}/{entry}", "body": {"Document__c": "x"}, "httpHeaders": old},
        {"url": f"{base}/{ENTRY}/{entry}", "body": {"Document__c": "x"}, "httpHeaders": {"If-Match": '"other"'}},
    ]
    sent = [{"method": "PATCH", "referenceId": f"r{at}", **request} for at, request in enumerate(requests)]
    assert [one["httpStatusCode"] for one in composite(sf, sent)] == [412, 412, 400, 204, 204]


def test_jsforce_writes(server: SalesforceServer) -> None:
    server.entries(450)
    server.fail_records(ENTRY, "UNABLE_TO_LOCK_ROW", numbers=[3])
    result = run_jsforce(
        server,
        JSFORCE_LOGIN
        + f"""
        const {{records}} = await connection.query('SELECT Id FROM {ENTRY}');
        const changed = records.map((record) => ({{Id: record.Id, Document__c: 'https://new.example.com/' + record.Id}}));
        const single = await connection.sobject('{ENTRY}').update(changed[0]);
        const results = await connection.sobject('{ENTRY}').update(changed, {{allowRecursive: true}});
        return {{single, ids: records.map((record) => record.Id), results}};
        """,
    )
    assert result["single"]["success"]
    results = result["results"]
    assert [one.get("id") for one in results] == [one if at != 3 else None for at, one in enumerate(result["ids"])]
    assert [
        (at, one["errors"][0]["errorCode"] if "errorCode" in one["errors"][0] else one["errors"][0]["statusCode"])
        for at, one in enumerate(results)
        if not one["success"]
    ] == [(3, "UNABLE_TO_LOCK_ROW")]
    assert server.counts()["UpdateCollection"]["requests"] == 3
    assert server.writes(ENTRY, "Document__c") == {"records": 449, "writes": 450, "most": 2}


# Bulk.


def read_csv(text: str | bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text if isinstance(text, str) else text.decode())))


def test_a_bulk_query_in_pages(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(1_000, accounts=3)
    server.plant(ENTRY, 1, {"Document__c": 'a "quoted", long\nname'})
    query = f"SELECT Id, Document__c, Account__r.Name, SystemModstamp, Notes__c FROM {ENTRY}"
    pages = list(getattr(sf.bulk2, ENTRY).query(query, max_records=300, wait=0.01))
    assert [len(read_csv(page)) for page in pages] == [300, 300, 300, 100]
    found = [row for page in pages for row in read_csv(page)]
    assert found[1]["Document__c"] == 'a "quoted", long\nname' and found[1]["Account__r.Name"] == "Account 1"
    assert found[7]["SystemModstamp"] == "2025-01-01T00:00:07.000Z" and found[7]["Notes__c"] == ""
    counts = server.counts()
    assert (counts["CreateQueryJob"]["requests"], counts["GetQueryResults"]["requests"]) == (1, 4)
    # Under way once, as `bulk_polls` says, then complete.
    assert counts["GetQueryJob"]["requests"] == 2


def bulk(sf: Salesforce, method: str, path: str, **more: Any) -> requests.Response:
    return sf.session.request(
        method,
        f"{sf.bulk2_url}{path}",
        headers={"Authorization": f"Bearer {sf.session_id}", **more.pop("headers", {})},
        **more,
    )


def test_results_stay_as_they_were(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(250)
    server.salesforce(bulk_polls=0)
    query = {"operation": "queryAll", "query": f"SELECT Id, Document__c FROM {ENTRY}"}
    job = bulk(sf, "POST", "query", json={**query, "lineEnding": "CRLF", "columnDelimiter": "PIPE"}).json()
    assert job["state"] == "UploadComplete"
    results = f"query/{job['id']}/results"
    assert bulk(sf, "GET", results).status_code == 400
    assert bulk(sf, "GET", f"query/{job['id']}").json()["state"] == "JobComplete"
    first = bulk(sf, "GET", results, params={"maxRecords": 100})
    locator = first.headers["Sforce-Locator"]
    assert first.headers["Sforce-NumberOfRecords"] == "100" and first.text.startswith('"Id"|"Document__c"\r\n')
    second = bulk(sf, "GET", results, params={"maxRecords": 100, "locator": locator})
    server.edit(ENTRY, 150, {"Document__c": "https://users.example.com/"})
    again = bulk(sf, "GET", results, params={"maxRecords": 100, "locator": locator})
    assert again.text == second.text and "/150.pdf" in again.text
    last = bulk(sf, "GET", results, params={"locator": again.headers["Sforce-Locator"]})
    assert (last.headers["Sforce-Locator"], last.headers["Sforce-NumberOfRecords"]) == ("null", "50")
    server.expire("locators")
    assert bulk(sf, "GET", results, params={"locator": locator}).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    other = sf.bulk2_url.replace(VERSION, "61.0")
    assert sf.session.get(f"{other}{results}", headers={"Authorization": f"Bearer {sf.session_id}"}).status_code == 409
    assert bulk(sf, "DELETE", f"query/{job['id']}").status_code == 204
    assert bulk(sf, "GET", f"query/{job['id']}").status_code == 404


def test_result_pages_are_read_side_by_side(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(650)
    server.salesforce(bulk_polls=0, bulk_page_records=100)
    job = bulk(sf, "POST", "query", json={"operation": "query", "query": f"SELECT Id FROM {ENTRY}"}).json()["id"]
    bulk(sf, "GET", f"query/{job}")
    five = bulk(sf, "GET", f"query/{job}/resultPages").json()
    rest = sf.session.get(
        f"https://{sf.sf_instance}{five['nextRecordsUrl']}", headers={"Authorization": f"Bearer {sf.session_id}"}
    ).json()
    urls = [page["resultUrl"] for page in five["resultPages"] + rest["resultPages"]]
    assert (len(five["resultPages"]), five["done"], len(urls), rest["done"]) == (5, False, 7, True)

    def read(url: str) -> list[dict[str, str]]:
        page = loopback_session(server).get(
            f"https://{sf.sf_instance}{url}", headers={"Authorization": f"Bearer {sf.session_id}"}
        )
        return read_csv(page.text)

    with ThreadPoolExecutor(5) as pool:
        pages = list(pool.map(read, reversed(urls)))
    assert [len(page) for page in pages] == [50] + [100] * 6
    assert len({row["Id"] for page in pages for row in page}) == 650


def test_the_query_jobs_of_a_day_are_limited(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(1)
    server.salesforce(daily_query_jobs=1)
    query = {"operation": "query", "query": f"SELECT Id FROM {ENTRY}"}
    job = bulk(sf, "POST", "query", json=query).json()
    assert bulk(sf, "PATCH", f"query/{job['id']}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert bulk(sf, "POST", "query", json=query).status_code == 400
    assert sf.limits()["DailyBulkV2QueryJobs"]["Remaining"] == 0
    assert sf.query(f"SELECT Id FROM {ENTRY}")["totalSize"] == 1


def test_a_bulk_update(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(60)
    server.fail_records(ENTRY, "UNABLE_TO_LOCK_ROW", message="unable to obtain exclusive access", numbers=[9])
    server.edit(ENTRY, 20, {"IsDeleted": True})
    server.edit(ENTRY, 5, {"Document__c": "https://users.example.com/"}, op="IngestJob")
    ids = [row["Id"] for row in sf.query_all(f"SELECT Id FROM {ENTRY}", include_deleted=True)["records"]]
    records = [{"Id": one, "Document__c": f"https://new.example.com/{at}"} for at, one in enumerate(ids)]
    records[3]["Document__c"] = "#N/A"
    records[4]["Document__c"] = ""
    client = getattr(sf.bulk2, ENTRY)
    (summary,) = client.update(records=records, wait=0.01)
    assert (summary["numberRecordsProcessed"], summary["numberRecordsFailed"]) == (60, 2)
    done = read_csv(client.get_successful_records(summary["job_id"]))
    failed = {row["sf__Id"]: row["sf__Error"] for row in read_csv(client.get_failed_records(summary["job_id"]))}
    assert failed == {
        ids[9]: "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access: --",
        ids[20]: "ENTITY_IS_DELETED:entity is deleted: --",
    }
    # Every record has its result, and the order is not that of the request.
    order = [row["sf__Id"] for row in done]
    assert sorted([*order, *failed]) == ids and order != sorted(order)
    assert read_csv(client.get_unprocessed_records(summary["job_id"])) == []
    values = [server.record(ENTRY, number)["values"]["Document__c"] for number in (2, 3, 4, 5)]
    assert values == [
        "https://new.example.com/2",
        None,
        "https://old.example.com/docs/4.pdf",
        "https://new.example.com/5",
    ]
    assert [one["call"] for one in server.record(ENTRY, 5)["history"]] == ["user", "IngestJob"]


def test_bulk_updates_that_fail(server: SalesforceServer, sf: Salesforce) -> None:
    server.entries(30)
    records = [{"Id": row["Id"], "Document__c": "https://new.example.com/"} for row in rows(sf, "Name")]
    client = getattr(sf.bulk2, ENTRY)
    with pytest.raises(SalesforceOperationError, match="Field name not found : Nothing__c"):
        client.update(records=[{**record, "Nothing__c": "x"} for record in records], wait=0.01)
    job = bulk(sf, "POST", "ingest", json={"object": ENTRY, "operation": "update", "contentType": "CSV"}).json()
    batches = f"ingest/{job['id']}/batches"
    upload = {"data": "Id,Document__c\r\n", "headers": {"Content-Type": "text/csv"}}
    assert bulk(sf, "PUT", batches, **upload).status_code == 201
    assert bulk(sf, "PUT", batches, data="Id\n", headers={"Content-Type": "text/csv"}).status_code == 400
    bulk(sf, "PATCH", f"ingest/{job['id']}", json={"state": "UploadComplete"})
    bulk(sf, "GET", f"ingest/{job['id']}")
    assert "LineEnding is invalid" in bulk(sf, "GET", f"ingest/{job['id']}").json()["errorMessage"]
    server.salesforce(bulk_stops_after=10)
    with pytest.raises(SalesforceOperationError, match="was ended"):
        client.update(records=records, wait=0.01)
    stopped = server.log("CreateIngestJob")[-1]
    assert stopped["status"] == 200 and server.writes(ENTRY, "Document__c") == {"records": 10, "writes": 10, "most": 1}


def test_jsforce_in_bulk(server: SalesforceServer) -> None:
    server.entries(120)
    server.edit(ENTRY, 7, {"IsDeleted": True})
    result = run_jsforce(
        server,
        JSFORCE_LOGIN
        + f"""
        connection.bulk2.pollInterval = 10;
        connection.bulk2.pollTimeout = 60000;
        const stream = await connection.bulk2.query('SELECT Id, Document__c FROM {ENTRY}', {{scanAll: true}});
        const records = await stream.toArray();
        const results = await connection.bulk2.loadAndWaitForResults({{
          object: '{ENTRY}', operation: 'update',
          input: records.map((record) => ({{Id: record.Id, Document__c: 'https://new.example.com/'}}))}});
        return {{count: records.length, done: results.successfulResults.length,
                 failed: results.failedResults.map((row) => row.sf__Error)}};
        """,
    )
    assert result == {"count": 120, "done": 119, "failed": ["ENTITY_IS_DELETED:entity is deleted: --"]}
    assert server.writes(ENTRY, "Document__c") == {"records": 119, "writes": 119, "most": 1}


# Files.


def test_files_and_their_versions(server: SalesforceServer, sf: Salesforce) -> None:
    server.files(4, versions=3, size=100, size_most=5_000)
    versions = sf.query(
        "SELECT Id, Title, IsLatest, VersionNumber, ContentSize, Checksum, VersionData, ContentDocument.Title FROM ContentVersion"
    )["records"]
    assert len(versions) == 12 and sum(version["IsLatest"] for version in versions) == 4
    assert [version["VersionNumber"] for version in versions[:4]] == ["1", "2", "3", "1"]
    for version in versions:
        body = sf.session.get(
            f"https://{sf.sf_instance}{version['VersionData']}",
            headers={"Authorization": f"Bearer {sf.session_id}", "Range": "bytes=0-9"},
        )
        assert body.status_code == 200 and len(body.content) == version["ContentSize"]
        assert hashlib.md5(body.content).hexdigest() == version["Checksum"]
    assert len({version["Checksum"] for version in versions}) == 12
    assert sf.ContentVersion.get_base64(versions[0]["Id"], "VersionData")[:4] != b""
    attachment = sf.query("SELECT Id, BodyLength FROM Attachment")["records"][0]
    assert len(sf.Attachment.get_base64(attachment["Id"])) == attachment["BodyLength"]


def test_content_that_is_replaced(server: SalesforceServer, sf: Salesforce) -> None:
    server.files(1)
    version = sf.query("SELECT Id, Checksum FROM ContentVersion")["records"][0]
    for body in (b"another body", b""):
        server.edit("ContentVersion", 0, {"VersionData": base64.b64encode(body).decode()})
        now = sf.query("SELECT Checksum, ContentSize FROM ContentVersion")["records"][0]
        assert (now["Checksum"], now["ContentSize"]) == (hashlib.md5(body).hexdigest(), len(body))
        assert sf.ContentVersion.get_base64(version["Id"], "VersionData") == body
    with pytest.raises(AssertionError, match="base64"):
        server.edit("ContentVersion", 0, {"VersionData": "no base64!"})


def test_links_of_files_need_a_filter(server: SalesforceServer, sf: Salesforce) -> None:
    server.files(10, accounts=5)
    with pytest.raises(SalesforceMalformedRequest, match="Implementation restriction"):
        sf.query("SELECT LinkedEntityId FROM ContentDocumentLink")
    account = sf.query("SELECT Id FROM Account")["records"][1]["Id"]
    links = sf.query(
        f"SELECT ContentDocumentId, ContentDocument.Title FROM ContentDocumentLink WHERE LinkedEntityId IN ('{account}')"
    )["records"]
    assert [link["ContentDocument"]["Title"] for link in links] == ["Title 1", "Title 6"]


def test_jsforce_streams_a_body(server: SalesforceServer) -> None:
    server.files(1, size=300_000)
    result = run_jsforce(
        server,
        JSFORCE_LOGIN
        + """
        const version = (await connection.query('SELECT Id, Checksum FROM ContentVersion')).records[0];
        const hash = require('crypto').createHash('md5');
        for await (const part of connection.sobject('ContentVersion').record(version.Id).blob('VersionData')) hash.update(part);
        return [version.Checksum, hash.digest('hex')];
        """,
    )
    assert result[0] == result[1]
