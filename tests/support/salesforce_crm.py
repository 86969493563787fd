# SPDX-License-Identifier: Apache-2.0
"""The system of record of crm.py as an organization of the fault server's Salesforce."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from crm import USER, Change, Crm, Document, World
from salesforce import CONSUMER_KEY, ENTRY, SalesforceServer, key_pair, record_id

FIELD = "Document__c"
SESSION_IDS = "00D5g0000000001!AQ"
"""How those of the server begin."""
ASSERTIONS = "eyJhbGciOiJSUzI1Ni"
"""How a JWT begins."""
_SPARE = 2_000  # records that users may add later; until then they are deleted
_PASSWORD = "canary-Password.7dR1kT5n"
_SECURITY_TOKEN = "canarySecurityToken3pX8"
_CLIENT_SECRET = "canary-ClientSecret.2wF6bJ9q"
_REFRESH_TOKEN = "canary-RefreshToken.4hN8sV1z"


class SalesforceCrm(Crm):
    """`DocListEntry__c` below accounts, with a user who may only read, and one who may also edit `Document__c` and nothing else.

    `secrets` is a folder for what URLs name as files; `flow` is how the switcher logs in: ``key``, ``client_secret``,
    ``refresh_token`` or ``password``. The reader logs in with the key.
    """

    has_roles = True
    words = ("--accept-window",)

    def __init__(
        self, server: SalesforceServer, world: World, secrets: Path, mode: str, flow: str = "key", **settings: object
    ) -> None:
        self.server = server
        self.mode = mode
        self.flow = flow
        self.parameters = ""
        self.roles = {"reader": record_id("005", 1), "switcher": record_id("005", 2)}
        self._names = {role: f"{role}@example.com" for role in self.roles}
        self._key = secrets / "key.pem"
        self._key.write_text(key_pair()[0])
        self._refresh_token = secrets / "refresh-token"
        self._refresh_token.write_text(_REFRESH_TOKEN)
        self.environment = {
            "SF_PASSWORD": _PASSWORD,
            "SF_SECURITY_TOKEN": _SECURITY_TOKEN,
            "SF_CLIENT_SECRET": _CLIENT_SECRET,
        }
        app = server.app(
            secret=_CLIENT_SECRET, run_as=self._names["switcher"], refresh_tokens=[_REFRESH_TOKEN],
            rotates_refresh_tokens=True,
        )  # fmt: skip
        users = [self._user("reader", [ENTRY]), self._user("switcher", [f"{ENTRY}.Account__c", f"{ENTRY}.Notes__c"])]
        server.salesforce(apps=[app], users=users, **settings)
        self._fill(world)

    @property
    def secrets(self) -> list[str]:
        key = key_pair()[0].splitlines()
        return [*self.environment.values(), _REFRESH_TOKEN, "5Aep861", key[1], key[5], SESSION_IDS, ASSERTIONS]

    def catalog(self, role: str) -> str:
        logins = {
            "key": f"client_id={CONSUMER_KEY}&username={self._names[role]}&key=file:{quote(str(self._key))}",
            "client_secret": f"client_id={CONSUMER_KEY}&client_secret=env:SF_CLIENT_SECRET",
            "refresh_token": f"client_id={CONSUMER_KEY}&client_secret=env:SF_CLIENT_SECRET"
            f"&refresh_token=file:{quote(str(self._refresh_token))}",
            "password": f"username={self._names[role]}&password=env:SF_PASSWORD&security_token=env:SF_SECURITY_TOKEN",
        }
        login = logins["key" if role == "reader" else self.flow]
        place = f"salesforce://acme.my.salesforce.com/{ENTRY}.{FIELD}"
        return f"{place}?{login}&endpoint={self.server.endpoint}&mode={self.mode}{self.parameters}"

    def insert(self, documents: Iterable[Document], accounts: Mapping[str, str]) -> None:
        new = {self.number(one.record): {**self._values(one), "IsDeleted": "false"} for one in documents}
        self.server.edit_all(ENTRY, new)

    def edit(self, values: Mapping[str, str | None]) -> None:
        edits = {self.number(record): {FIELD: self.held(value)} for record, value in values.items()}
        self.server.edit_all(ENTRY, edits)

    def delete(self, records: Iterable[str]) -> None:
        self.server.edit_all(ENTRY, {self.number(record): {"IsDeleted": "true"} for record in records})

    def held(self, value: str | None) -> str | None:
        return value or None  # an empty text is null

    def urls(self) -> dict[str, str | None]:
        return self.server.values(ENTRY, FIELD)

    def changes(self) -> list[Change]:
        ours = set(self.roles.values())
        found = self.server.changes(ENTRY, FIELD)
        return [Change(record, before, after, who if who in ours else USER) for record, before, after, who, _ in found]

    def number(self, record: str) -> int:
        return self._numbers[record]

    def _user(self, role: str, read_only: Sequence[str]) -> dict[str, object]:
        return self.server.user(
            name=self._names[role], id=self.roles[role], password=_PASSWORD, security_token=_SECURITY_TOKEN,
            read_only=["Account", *read_only],
        )  # fmt: skip

    def _fill(self, world: World) -> None:
        count = len(world.documents) + _SPARE
        self._numbers = {record_id("a0B", number): number for number in range(count)}
        self._accounts = {account: number for number, account in enumerate(world.accounts)}
        self.server.entries(count, accounts=len(world.accounts), length=2000)
        names = {number: {"Name": world.accounts[account]} for account, number in self._accounts.items()}
        self.server.plant_all("Account", names)
        documents = {self.number(one.record): self._values(one) for one in world.documents.values()}
        self.server.plant_all(ENTRY, documents)
        spare = range(len(world.documents), count)
        self.server.plant_all(ENTRY, {number: {FIELD: None} for number in spare})
        self.server.edit_all(ENTRY, {number: {"IsDeleted": "true"} for number in spare})

    def _values(self, document: Document) -> dict[str, str | None]:
        return {FIELD: self.held(document.url), "Account__c": document.account}
