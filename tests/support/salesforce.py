# SPDX-License-Identifier: Apache-2.0
"""The fault server's Salesforce (tests/support/fault_server/README.md), with records like those of a real migration:
`DocListEntry__c`, whose `Document__c` is the URL of a file, below accounts; and what other clients need to reach it.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from fault_server import FaultServer
from process import PROJECT
from requests.adapters import HTTPAdapter

USER = "migration@example.com"
PASSWORD = "pass<w>&ord"
SECURITY_TOKEN = "TokenOfTheUser"
BASE_62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
INSTANCE = "5g0"  # what follows the key prefix in every id of the server
CONSUMER_KEY = "3MVG9.consumer"
CONSUMER_SECRET = "secret of the consumer"
ENTRY = "DocListEntry__c"
JSFORCE = PROJECT / "build/tools/jsforce"


@functools.cache
def key_pair(days: int = 1) -> tuple[str, str]:
    """A private key and its certificate, both PEM, which ends in so many days: it may have ended."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "migration")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


class SalesforceServer(FaultServer):
    """A fault server with a user, a connected app and, once they are asked for, records."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.set_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)

    def reset(self) -> None:
        super().reset()
        self.set_up()

    def set_up(self) -> None:
        self.salesforce(
            instance_url=self.endpoint,
            users=[{"name": USER, "password": PASSWORD, "security_token": SECURITY_TOKEN}],
            apps=[self.app()],
        )

    def app(self, **more: Any) -> dict[str, Any]:
        """The connected app, as `salesforce(apps=[…])` takes it."""
        return {
            "key": CONSUMER_KEY,
            "secret": CONSUMER_SECRET,
            "certificate": key_pair()[1],
            "run_as": USER,
            "refresh_tokens": ["refresh-1"],
            **more,
        }

    def user(self, **more: Any) -> dict[str, Any]:
        """The user, as `salesforce(users=[…])` takes it: with `hidden` and `read_only`, for instance."""
        return {"name": USER, "password": PASSWORD, "security_token": SECURITY_TOKEN, **more}

    def salesforce(self, **settings: Any) -> None:
        self.control("salesforce", settings)

    def object(self, name: str, key_prefix: str, fields: list[dict[str, Any]], **records: Any) -> None:
        """Defines an object anew, with `count` records that are made up."""
        self.control("salesforce_object", {"name": name, "key_prefix": key_prefix, "fields": fields, **records})

    def entries(
        self,
        count: int,
        accounts: int = 500,
        url: str = "https://old.example.com/docs/{n}.pdf",
        length: int = 255,
        **more: Any,
    ) -> None:
        """`count` entries over `accounts` accounts; `more` are fields of the records: per_second, first_stamp_s."""
        self.object("Account", "001", [{"name": "Name", "made": "Account {n}", "updateable": True}], count=accounts)
        self.object(
            ENTRY,
            "a0B",
            [
                {"name": "Name", "made": "DLE-{n:8}", "length": 80, "updateable": False},
                {"name": "Document__c", "type": "url", "length": length, "made": url},
                {
                    "name": "Account__c",
                    "type": "reference",
                    "refers_to": "Account",
                    "relationship": "Account__r",
                    "made": f"{{n%{accounts}}}",
                },
                {"name": "Size__c", "type": "double", "made": "{n%1000}"},
                {"name": "Notes__c", "type": "textarea", "length": 32768, "filterable": False},
            ],
            count=count,
            **more,
        )

    def files(self, documents: int, versions: int = 1, size: int = 1000, size_most: int = 0, accounts: int = 5) -> None:
        """Salesforce Files: `documents` with `versions` each, linked to accounts; and an attachment of each account."""
        body = {"body_size": size, "body_size_most": size_most}
        self.object("Account", "001", [{"name": "Name", "made": "Account {n}"}], count=accounts)
        self.object(
            "ContentDocument",
            "069",
            [{"name": "Title", "made": "Title {n}"}, {"name": "FileExtension", "made": "bin"}],
            count=documents,
        )
        document = {"name": "ContentDocumentId", "type": "reference", "refers_to": "ContentDocument"}
        self.object(
            "ContentVersion",
            "068",
            [
                {**document, "relationship": "ContentDocument", "made": f"{{n/{versions}}}"},
                {"name": "Title", "made": f"Title {{n/{versions}}}"},
                {"name": "PathOnClient", "made": f"Title {{n/{versions}}}.bin"},
                {"name": "FileExtension", "made": "bin"},
                {"name": "VersionNumber", "made": f"{{n%{versions}+1}}"},
                {"name": "IsLatest", "type": "boolean", "made": f"{{n%{versions}={versions - 1}}}"},
                {"name": "ContentSize", "type": "int", "made": "{size}"},
                {"name": "Checksum", "length": 50, "made": "{md5}"},
                {"name": "VersionData", "type": "base64"},
            ],
            count=documents * versions,
            **body,
        )
        account = {"type": "reference", "refers_to": "Account", "made": f"{{n%{accounts}}}"}
        self.object(
            "ContentDocumentLink",
            "06A",
            [
                {**document, "relationship": "ContentDocument", "made": "{n}", "has_to_be_pinned": True},
                {"name": "LinkedEntityId", **account, "has_to_be_pinned": True},
                {"name": "ShareType", "made": "V"},
            ],
            count=documents,
        )
        self.object(
            "Attachment",
            "00P",
            [
                {"name": "ParentId", **account},
                {"name": "Name", "made": "attached {n}.bin"},
                {"name": "BodyLength", "type": "int", "made": "{size}"},
                {"name": "Body", "type": "base64"},
            ],
            count=accounts,
            seed=2,
            **body,
        )

    def edit(self, object_name: str, number: int, values: dict[str, Any], **more: Any) -> None:
        """An edit by a user's hand: at once, or with `op` (and `nth`, `after`) at the moment of such a call."""
        self.control("salesforce_edit", {"object": object_name, "number": number, "values": values, **more})

    def plant(self, object_name: str, number: int, values: dict[str, Any]) -> str:
        """What a record has from the beginning; gives its id."""
        planted: str = self.control("salesforce_plant", {"object": object_name, "number": number, "values": values})
        return planted

    def plant_all(self, object_name: str, values: Mapping[int, Mapping[str, Any]]) -> None:
        """What many records have from the beginning, by their numbers."""
        self.control("salesforce_plant", {"object": object_name, "records": _records(values)})

    def edit_all(self, object_name: str, values: Mapping[int, Mapping[str, Any]], **more: Any) -> None:
        """Edits by a user's hand, at once."""
        self.control("salesforce_edit", {"object": object_name, "records": _records(values), **more})

    def values(self, object_name: str, field: str) -> dict[str, str | None]:
        """What each record holds, by its id."""
        found: dict[str, str | None] = self.control("salesforce_values", {"object": object_name, "field": field})
        return found

    def changes(self, object_name: str, field: str) -> list[tuple[str, str | None, str | None, str, str]]:
        """Every change of a field, in order: record, before, after, user (its id), call."""
        return [tuple(row) for row in self.control("salesforce_changes", {"object": object_name, "field": field})]

    def record(self, object_name: str, number: int) -> dict[str, Any]:
        """`values` and `history` of a record: every change with before, after, user and call."""
        found: dict[str, Any] = self.control("salesforce_record", {"object": object_name, "number": number})
        return found

    def writes(self, object_name: str, field: str) -> dict[str, int]:
        """How calls wrote a field: `records` that were written, `writes` in all, and the `most` of one record."""
        found: dict[str, int] = self.control("salesforce_writes", {"object": object_name, "field": field})
        return found

    def fail_records(self, object_name: str, code: str, **more: Any) -> None:
        """Records that cannot be written: `numbers`, `every`, `parent`, `times`, `message`, `fields`."""
        self.control("salesforce_fail_records", {"object": object_name, "code": code, **more})

    def expire(self, what: str) -> None:
        self.control("salesforce_expire", {"what": what})

    def usage(self, **changes: int) -> dict[str, int]:
        """Calls of the day, logins and so on; `calls=` and `query_jobs=` set them."""
        found: dict[str, int] = self.control("salesforce_usage", changes)
        return found


def _records(values: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"number": number, "values": dict(of_record)} for number, of_record in values.items()]


def record_id(key_prefix: str, number: int) -> str:
    """The id of a record, of 18 characters."""
    digits = ""
    while number > 0:
        number, digit = divmod(number, 62)
        digits = BASE_62[digit] + digits
    short = f"{key_prefix}{INSTANCE}{digits:0>{15 - 3 - len(INSTANCE)}}"
    suffix = ""
    for at in (0, 5, 10):
        suffix += "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[sum(1 << n for n in range(5) if short[at + n].isupper())]
    return short + suffix


class Loopback(HTTPAdapter):
    """Takes every request to the test server, whatever host it is for, and without TLS, which the server has not."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.endpoint = endpoint

    def send(self, request: requests.PreparedRequest, *arguments: Any, **more: Any) -> requests.Response:
        assert request.url is not None
        asked = urlsplit(request.url)
        request.headers["Host"] = asked.netloc
        request.url = self.endpoint + asked.path + (f"?{asked.query}" if asked.query else "")
        return super().send(request, *arguments, **more)


def loopback_session(server: FaultServer) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Loopback(server.endpoint))
    session.mount("http://", Loopback(server.endpoint))
    return session


def run_jsforce(server: FaultServer, body: str) -> Any:
    """Runs the body of an asynchronous function of `jsforce` and `endpoint`; what it returns, through JSON."""
    program = f"""
        const jsforce = require('jsforce');
        const endpoint = {json.dumps(server.endpoint)};
        (async () => {{ {body} }})().then(
          (result) => process.stdout.write(JSON.stringify(result === undefined ? null : result)),
          (error) => {{ process.stderr.write(String(error && error.stack || error)); process.exit(1); }});
    """
    done = subprocess.run(
        ["node", "-e", program],
        capture_output=True,
        check=False,
        cwd=JSFORCE,
        timeout=120,
        env={**os.environ, "NODE_PATH": str(JSFORCE / "node_modules"), "NODE_NO_WARNINGS": "1"},
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return json.loads(done.stdout)
