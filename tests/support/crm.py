# SPDX-License-Identifier: Apache-2.0
"""A large system of record: accounts, each with documents whose URLs point into an old store, and what can go wrong with
both. The same records come out of the same numbers each time.

`World` says what there is; `PostgresCrm` and `SqliteCrm` are tables that hold its records, and log by a trigger who changed
what; `SalesforceCrm` is the fault server's organization (tests/support/salesforce_crm.py). The store is a bucket of a real S3 server, whose objects are files (tests/support/s3.py).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psycopg
from postgres import Postgres

# What has to come of a record: its reference is switched; its link is dead, or forbidden; its file is over the limit; its
# value can be read by nothing; it holds nothing.
Fate = Literal["switched", "missing", "permission", "excluded", "unsupported", "nothing"]

RECORD, ACCOUNT = "a0B", "001"  # how ids begin
LIMIT_BYTES = 64 << 10
USER = "clerk"

PASSWORD = "canary-Password.4tG7wQ2z-{role}"
TOKEN = "canary-Token.9sK3vB8n"
SIGNATURE = "5e0fcaca00" + "d1e55ec7e7" * 4 + "a1b2c3d4e5f607"
SESSION = "canary-Session.6hJ1xM5c"
USERINFO = "canary-Userinfo.2pL9yR4d"
SECRETS = (TOKEN, SIGNATURE, SESSION, USERINFO)
"""Those that stand in values of records."""

_SIGNED = (
    "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIACANARY0000000002%2F20260101%2Feu-west-1%2Fs3%2Faws4_request"
    f"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=604800&X-Amz-Security-Token={SESSION}&X-Amz-SignedHeaders=host"
    f"&X-Amz-Signature={SIGNATURE}"
)
_ACCOUNT_NAMES = (
    "Müller & Söhne",
    'O\'Brien "Brothers" Ltd.',
    "株式会社テスト",
    "north/south",
    "100% Bio GmbH",
    "",
    "two\nlines",
    "..",
    "<b>Bold</b> Inc",
    "%2e%2e%2f",
)
_ODD_NAMES = (
    "Vertrag – Übersicht (final).pdf",
    "日本語の契約書.pdf",
    "double \"quotes\" and 'single'.txt",
    "100% sure.pdf",
    "percent %2F %00 literal.pdf",
    "a+b=c&d;e,f.pdf",
    "two\nlines.pdf",
    "a\ttab.pdf",
    " blanks around ",
    "emoji \N{ROCKET}.png",
    "decomposed e\N{COMBINING ACUTE ACCENT}.pdf",
    "back\\slash.pdf",
    "what?#not a fragment.pdf",
    "sub/folder/deep.pdf",
    "-rf *",
    ".hidden",
    "long " + "x" * 190 + ".pdf",
    "report~1a2b3c4d5e6f7081.pdf",
    "{destination_key}{partition}.pdf",
    "$(id) `id` ;'--.sql",
    "<script>alert(1)</script>.html",
    "turned \N{RIGHT-TO-LEFT OVERRIDE}fdp.exe",
)
_NO_URLS = (
    "see folder 12",
    "n/a",
    "C:\\Akten\\Vertrag 7.pdf",
    "\\\\server\\share\\file.doc",
    "//host/path.pdf",
    "ftp://files.example.com/x.pdf?token=" + TOKEN,
    f"https://clerk:{USERINFO}@files.example.com/x.pdf",
    "http://",
    "%",
    "two\nlines",
)
_OWN = 18  # documents of an account that have a file to themselves
_SHARED = 4  # files of an account that several documents point at
_EACH = 4  # so many
DOCUMENTS = _OWN + 2 + _SHARED * _EACH + 4
"""Of each account."""


@dataclass(frozen=True)
class Document:
    """A record, and what has to come of it. `content` is that of the file it points at."""

    record: str
    account: str
    title: str
    url: str | None
    fate: Fate
    content: bytes = b""


class World:
    """So many accounts with `DOCUMENTS` records each. The URLs are those of the bucket ``old`` at `endpoint`; of
    ``private`` nobody may read anything."""

    def __init__(self, endpoint: str, accounts: int, ids: Callable[[str, int], str] | None = None) -> None:
        """`ids` makes the id of a record or an account out of its prefix and number."""
        self.endpoint = endpoint
        self._ids = ids or (lambda prefix, number: f"{prefix}{number:0{9 if prefix == RECORD else 5}}")
        # Accounts of one name: every tenth of the second half is called as one of the first half.
        names = [_ACCOUNT_NAMES[n // 7 % 10] if n % 7 == 0 else f"Customer {n}" for n in range(accounts)]
        self.accounts = {
            self._ids(ACCOUNT, n): names[n % (accounts // 2) if n % 10 == 3 else n] for n in range(accounts)
        }
        self._numbers = {account: n for n, account in enumerate(self.accounts)}
        self.documents: dict[str, Document] = {}
        self.objects: dict[str, bytes] = {}
        self._unstored: set[str] = set()
        self._made = 0
        for number, account in enumerate(self.accounts):
            self._fill(number, account)

    def records(self, *fates: Fate) -> list[str]:
        """Those that this has to come of, in order; without `fates` all."""
        return [record for record, one in sorted(self.documents.items()) if not fates or one.fate in fates]

    def of_account(self, account: str) -> list[str]:
        return [record for record in self.records() if self.documents[record].account == account]

    def add(
        self, account: str, name: str, fate: Fate = "switched", content: bytes = b"", shape: str = "{}"
    ) -> Document:
        """A new record on a new file `name` of the account; `shape` is that of its URL."""
        key = f"{account}/{name}"
        content = content or f"{key}\n{hashlib.sha256(key.encode()).hexdigest()}\n".encode()
        self._put(key, content)
        return self._document(account, name, shape.format(self.url(key)), fate, content)

    def move(self, record: str) -> Document:
        """The record points at another file."""
        one = self.documents[record]
        key = f"{one.account}/moved/{one.title}"
        self._put(key, b"moved: " + one.content)
        return self._keep(replace(one, url=self.url(key), content=self.objects[key]))

    def rewrite(self, record: str) -> Document:
        """The file that the record points at, alone of all, has another content."""
        one = self.documents[record]
        key = f"{one.account}/{one.title}"
        assert one.url == self.url(key)
        self._put(key, b"rewritten: " + one.content)
        return self._keep(replace(one, content=self.objects[key]))

    def remove(self, record: str) -> None:
        del self.documents[record]

    def url(self, key: str, bucket: str = "old") -> str:
        return f"{self.endpoint}/{bucket}/{quote(key)}"

    def store(self, objects: Path) -> None:
        """What is not there yet goes into the bucket ``old``, whose objects are files in the folder, as the server writes
        them: a new file with the MD5 as its ETag."""
        for key in self._unstored:
            path = objects / key
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = objects / ".fresh"
            fresh.write_bytes(self.objects[key])
            os.setxattr(fresh, "user.etag", hashlib.md5(self.objects[key]).hexdigest().encode())
            os.replace(fresh, path)
        self._unstored.clear()

    def _put(self, key: str, content: bytes) -> None:
        self.objects[key] = content
        self._unstored.add(key)

    def _document(self, account: str, title: str, url: str | None, fate: Fate, content: bytes = b"") -> Document:
        self._made += 1
        return self._keep(Document(self._ids(RECORD, self._made - 1), account, title, url, fate, content))

    def _keep(self, document: Document) -> Document:
        self.documents[document.record] = document
        return document

    def _fill(self, number: int, account: str) -> None:
        for n in range(_OWN):
            self.add(account, f"document {n:02}.pdf")  # the same names in every account
        for n in (2 * number, 2 * number + 1):
            self.add(account, _ODD_NAMES[n % len(_ODD_NAMES)])
        for n in range(_SHARED):
            first = self.add(account, f"shared {n}.pdf")
            for _ in range(_EACH - 1):
                self._document(account, first.title, first.url, "switched", first.content)
        shapes = (self._other_spellings, self._secrets, self._dead, self._values)
        for n in range(4):
            shapes[n](number, account)

    def _other_spellings(self, number: int, account: str) -> None:
        """Values that differ from each other, and point at one file; or at one of another account."""
        first = self.documents[self.nth_of(account, 0)]
        key = f"{account}/{first.title}"
        other = next(iter(self.accounts))
        url = (
            f"s3://old/{key}",
            f"{self.endpoint}/old/{key}",  # a blank as it is
            self.url(key) + "#page=2",
            self.url(f"{other}/document 05.pdf"),
        )[number % 4]
        content = self.objects[f"{other}/document 05.pdf"] if number % 4 == 3 else first.content
        self._document(account, first.title, url, "switched", content)

    def _secrets(self, number: int, account: str) -> None:
        shape = ("{}", "{}" + _SIGNED, "{}?token=" + TOKEN)[number % 3]
        self.add(account, "signed.pdf", shape=shape)

    def _dead(self, number: int, account: str) -> None:
        query = "?token=" + TOKEN if number % 4 == 1 else ""
        if number % 3 == 0:
            self._document(account, "gone.pdf", self.url(f"{account}/gone.pdf") + query, "missing")
        elif number % 3 == 1:
            self._document(account, "mine.pdf", self.url(f"{account}/mine.pdf", "private") + query, "permission")
        else:
            self.add(account, "film.mp4", "excluded", b"x" * (LIMIT_BYTES + 1))

    def _values(self, number: int, account: str) -> None:
        if number % 5 == 0:
            self._document(account, "null", None, "nothing")
        elif number % 5 == 1:
            self._document(account, "empty", "", "nothing")
        elif number % 5 == 2:
            self._document(account, "no file", _NO_URLS[number // 5 % len(_NO_URLS)], "unsupported")
        else:
            self.add(account, "last.pdf")

    def nth_of(self, account: str, nth: int) -> str:
        """The n-th of the documents that the account had at first."""
        return self._ids(RECORD, self._numbers[account] * DOCUMENTS + nth)


@dataclass(frozen=True)
class Change:
    """A write to the table, as its trigger saw it."""

    record: str
    old: str | None
    new: str | None
    who: str


class Crm:
    """A system of record that tells who changed what.

    Attributes
    ----------
    has_roles : bool
        Whether it keeps one who may only read from writing.
    roles : dict
        What ``reader`` and ``switcher`` are called in its changes.
    environment : dict
        The secrets that its URLs name.
    words : sequence of str
        What a plan of a cutover has to be told besides.
    """

    has_roles: bool
    roles: dict[str, str]
    environment: dict[str, str]
    words: Sequence[str] = ()

    @property
    def secrets(self) -> Sequence[str]:
        """What may stand nowhere at all."""
        return list(self.environment.values())

    def catalog(self, role: str) -> str:
        """The URL with which waybill opens it; `role` is ``reader``, which may only read, or ``switcher``."""
        raise NotImplementedError

    def insert(self, documents: Iterable[Document], accounts: Mapping[str, str]) -> None:
        raise NotImplementedError

    def edit(self, values: Mapping[str, str | None]) -> None:
        """What users do: the records hold other values."""
        raise NotImplementedError

    def delete(self, records: Iterable[str]) -> None:
        raise NotImplementedError

    def held(self, value: str | None) -> str | None:
        """What a record holds that is given this value."""
        return value

    def urls(self) -> dict[str, str | None]:
        """What each record holds."""
        raise NotImplementedError

    def changes(self) -> list[Change]:
        """Everything that was written since it was filled, in order."""
        raise NotImplementedError

    def close(self) -> None:
        """Its connections, where it has any."""


class SqlCrm(Crm):
    """The table ``documents`` in a database, and the table ``changes``, which a trigger fills."""

    def execute(self, sql: str, rows: Sequence[tuple[Any, ...]] = ((),)) -> None:
        """A statement for each row of parameters, which it names as ``?``; as a user."""
        raise NotImplementedError

    def query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        raise NotImplementedError

    def insert(self, documents: Iterable[Document], accounts: Mapping[str, str]) -> None:
        self.execute(
            "INSERT INTO documents (id, account, name, title, url) VALUES (?, ?, ?, ?, ?)",
            [(one.record, one.account, accounts[one.account], one.title, one.url) for one in documents],
        )

    def edit(self, values: Mapping[str, str | None]) -> None:
        self.execute("UPDATE documents SET url = ? WHERE id = ?", [(url, record) for record, url in values.items()])

    def delete(self, records: Iterable[str]) -> None:
        self.execute("DELETE FROM documents WHERE id = ?", [(record,) for record in records])

    def urls(self) -> dict[str, str | None]:
        return dict(self.query("SELECT id, url FROM documents"))

    def changes(self) -> list[Change]:
        return [Change(*row) for row in self.query("SELECT id, old, new, who FROM changes ORDER BY n")]


class PostgresCrm(SqlCrm):
    """A database of its own, with a role that may only read, and one that may also update the URLs. Their passwords stand
    in `environment`."""

    has_roles = True

    def __init__(self, postgres: Postgres, world: World) -> None:
        self._postgres = postgres
        self._database = postgres.make_database()
        self._connection = postgres.connect(self._database)
        self.environment = {}
        self.roles = {role: f"{role}_{self._database}" for role in ("reader", "switcher")}
        self._connection.execute(
            b"CREATE TABLE documents (id text PRIMARY KEY, account text NOT NULL, name text, title text, url varchar(2000))"
        )
        for role, user in self.roles.items():
            password = PASSWORD.format(role=role)
            self.environment[f"CRM_{role.upper()}"] = password
            self._connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'".encode())
            self._connection.execute(f"GRANT SELECT ON documents TO {user}".encode())
        self._connection.execute(f"GRANT UPDATE (url) ON documents TO {self.roles['switcher']}".encode())
        self.insert(world.documents.values(), world.accounts)
        # The log is the trigger's, not the writer's: nobody else needs a right to it.
        self._connection.execute(
            b"CREATE TABLE changes (n bigserial PRIMARY KEY, id text, old text, new text, who text);"
            b"CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
            b"INSERT INTO changes (id, old, new, who) VALUES (coalesce(OLD.id, NEW.id), OLD.url, NEW.url, session_user); "
            b"RETURN NULL; END $$;"
            b"CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON documents FOR EACH ROW EXECUTE FUNCTION note_change()"
        )

    def catalog(self, role: str) -> str:
        place = f"postgresql+psycopg://{self.roles[role]}@127.0.0.1:{self._postgres.port}/{self._database}"
        columns = "table=documents&id=id&url=url&partition=account&partition_name=name"
        return f"{place}?{columns}&password=env:CRM_{role.upper()}"

    def execute(self, sql: str, rows: Sequence[tuple[Any, ...]] = ((),)) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(sql.replace("?", "%s").encode(), rows)

    def query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        return iter(self._connection.execute(sql.encode()).fetchall())

    def changes(self) -> list[Change]:
        """Of those that are no role of ours, users."""
        return [one if one.who in self.roles.values() else replace(one, who=USER) for one in super().changes()]

    @contextmanager
    def connected(self, role: str) -> Iterator[psycopg.Connection]:
        """As the role itself."""
        password = PASSWORD.format(role=role)
        with closing(self._postgres.connect(self._database, self.roles[role], password)) as connection:
            yield connection

    def close(self) -> None:
        self._connection.close()


class SqliteCrm(SqlCrm):
    """A file. SQLite has no roles: whoever writes through `execute` is noted as a user, all others as ``switcher``."""

    has_roles = False

    def __init__(self, path: Path, world: World) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        self.environment: dict[str, str] = {}
        self.roles = {"reader": "reader", "switcher": "switcher"}
        self._connection.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;"
            "CREATE TABLE documents (id TEXT PRIMARY KEY, account TEXT NOT NULL, name TEXT, title TEXT, url TEXT);"
            "CREATE TABLE changes (n INTEGER PRIMARY KEY, id TEXT, old TEXT, new TEXT, who TEXT);"
            "CREATE TABLE writer (who TEXT); INSERT INTO writer VALUES ('switcher')"
        )
        self.insert(world.documents.values(), world.accounts)
        for event, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old")):
            old, new = ("NULL" if event == "INSERT" else "old.url"), ("NULL" if event == "DELETE" else "new.url")
            self._connection.execute(
                f"CREATE TRIGGER noted_{event} AFTER {event} ON documents BEGIN INSERT INTO changes (id, old, new, who) "
                f"SELECT {row}.id, {old}, {new}, who FROM writer; END"
            )

    def catalog(self, role: str) -> str:
        columns = "table=documents&id=id&url=url&partition=account&partition_name=name"
        return f"sqlite://{quote(str(self._path))}?{columns}"

    def execute(self, sql: str, rows: Sequence[tuple[Any, ...]] = ((),)) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE writer SET who = ?", (USER,))
        self._connection.executemany(sql, rows)
        self._connection.execute("UPDATE writer SET who = 'switcher'")
        self._connection.execute("COMMIT")

    def query(self, sql: str) -> Iterator[tuple[Any, ...]]:
        return iter(self._connection.execute(sql).fetchall())

    def close(self) -> None:
        self._connection.close()
