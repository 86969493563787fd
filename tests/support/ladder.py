# SPDX-License-Identifier: Apache-2.0
"""The steps of a two-phase migration on the command line over the records of crm.py, with what has to hold at each."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import boto3
import faults_build
from crm import LIMIT_BYTES, SECRETS, USER, Crm, World
from process import PROJECT, Waybill, run_checked
from s3 import S3Server

KEY_ID = "AKIACANARY0000000003"
SECRET_KEY = "canary-SecretKey/3dF6+hK9mP2sV5yB8e"
KEY_TEMPLATE = "uploads/{partition_name|slug|default:unnamed}/{name}"
COPY_EVENTS = {"listing_page": 8, "claim": 4, "write": 300, "put_done": 300, "commit": 8}
SWITCH_EVENTS = {"journalled": 6, "update_done": 6, "read_back": 6, "outcome": 6, "commit": 12}
ROLLBACK_EVENTS = {name: most for name, most in SWITCH_EVENTS.items() if name != "journalled"}
"""Where a process may be killed, and up to how often each event has happened in it by then."""


KEYS_AND_VALUES = frozenset(
    "items.key failures.key waivers.key findings.key targets.key segments.first_key segments.last_key segments.claimed_to "
    "refs.value journal.old journal.observed".split()
)
"""The columns of a ledger in which a signed link may stand: keys of items, which are such links, and what references held."""


def seen_in(text: bytes, secrets: Sequence[str]) -> list[str]:
    """Those that stand there, also percent-encoded or in base64."""
    return [
        secret
        for secret in secrets
        if secret.encode() in text
        or quote(secret, safe="").encode() in text
        or base64.b64encode(secret.encode()).rstrip(b"=")[:-1] in text
    ]


def unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files of an archive."""
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if (file := archive.extractfile(member)) is not None:
                yield member.name, file.read()


@contextmanager
def make_server() -> Iterator[S3Server]:
    """The store, with an account whose secret key is looked for afterwards."""
    with S3Server("old", "new", "private") as running:
        root = running.environment
        run_checked(
            [PROJECT / "build/tools/bin/versitygw", "admin", "--endpoint-url", running.endpoint, "--region", "us-east-1",
             "--access", root["AWS_ACCESS_KEY_ID"], "--secret", root["AWS_SECRET_ACCESS_KEY"],
             "create-user", "--access", KEY_ID, "--secret", SECRET_KEY, "--role", "admin"]
        )  # fmt: skip
        yield running


def expect_equal(found: Mapping[str, Any], expected: Mapping[str, Any], what: str) -> None:
    """As `==`; says where two large mappings differ, and does not print them."""
    wrong = [name for name in sorted({**found, **expected}) if found.get(name, ...) != expected.get(name, ...)]
    told = "; ".join(
        f"{name} is {found.get(name, ...)!r:.200} and not {expected.get(name, ...)!r:.200}" for name in wrong[:3]
    )
    if wrong:
        raise AssertionError(f"{what}: {len(wrong)} of {len(expected)} differ: {told}")


class Ladder:
    """One migration, its ledger in `folder`.

    Attributes
    ----------
    printed : list of bytes
        Everything that the commands printed.
    olds : dict
        Of each record, the values that may have been journalled as old: those that it held at a plan.
    original : dict
        What each record held when it was last noted: what a rollback has to restore.
    edited, removed : dict, set
        What users have done since; it has to stay.
    """

    def __init__(self, folder: Path, server: S3Server, crm: Crm, world: World, seed: int) -> None:
        self.folder, self.server, self.crm, self.world = folder, server, crm, world
        self.draw = random.Random(seed)
        self.waybill = Waybill(
            folder,
            environment=crm.environment
            | {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1"},
        )
        self.killable: Waybill | None = None
        self.new = f"{server.endpoint}/new/"
        self.switching = ("--url-template", f"{self.new}{{destination_key}}")
        self.limit = ("--max-size", str(LIMIT_BYTES))  # of a run, not of the migration
        self.copying = (
            "--catalog", crm.catalog("reader"), "--contents", server.url("old"), "--to", server.url("new"),
            "--key-template", KEY_TEMPLATE, *self.limit,
        )  # fmt: skip
        self.printed: list[bytes] = []
        self.olds: dict[str, set[str | None]] = {}
        self.original: dict[str, str | None] = {}
        self.edited: dict[str, str | None] = {}
        self.removed: set[str] = set()
        self.script: list[str] = []
        print(f"seed {seed}")  # which pytest shows where the test fails
        world.store(server.objects("old"))

    def may_be_killed(self, package: Path) -> None:
        """By the build in `package`, which has fault points and sanitizers."""
        environment = self.waybill.environment | faults_build.sanitizer_environment()
        self.killable = Waybill(self.folder, environment=environment, package=package)

    # Commands.

    def told(self, *words: str, code: int | None = 0) -> str:
        """What a command prints that ends with `code`; without one, with any but that of a wrong command line."""
        done = self.waybill.run(*words)
        self.printed += [done.stdout, done.stderr]
        assert done.returncode == code or (code is None and done.returncode in (0, 1, 3, 4)), (
            f"{words} gave {done.returncode}: {(done.stdout + done.stderr).decode()[-3000:]}"
        )
        return done.stdout.decode()

    def rows(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.told(*words, "--json", code=code).splitlines()]

    def planned(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The plan of `readiness` or `cutover`; nothing is changed by it."""
        before = len(self.crm.changes())
        (plan,) = self.rows(*words, *self.crm.words, code=code)
        assert len(self.crm.changes()) == before
        return plan

    def refused(self, plan: Mapping[str, Any]) -> dict[str, int]:
        """The gates that a plan does not pass, with their numbers."""
        return {gate["name"]: gate["count"] for gate in plan["gates"] if not gate["passed"]}

    def carried_through(
        self, first: Sequence[str], again: Sequence[str], events: Mapping[str, int], kills: int, *, code: int
    ) -> str:
        """Starts the command, killed so many times at drawn events, and each time carries on; then lets it end."""
        words = first
        for _ in range(kills):
            assert self.killable is not None
            name = self.draw.choice(list(events))
            event = f"{name}:{self.draw.randint(1, events[name])}"
            self.script.append(f"{words[0]} {event}")
            done = self.killable.run(*words, WAYBILL_FAULT_KILL=event)
            self.printed += [done.stdout, done.stderr]
            print(f"{words[0]} at {event}: {done.returncode}")
            assert done.returncode in (-9, code), (done.stdout + done.stderr).decode()[-3000:]
            if done.returncode == code:
                return done.stdout.decode()  # it came to its end before
            self.check_standing()
            words = again
        return self.told(*words, code=code)

    # What the ledger, the database and the store hold.

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The ledger, not through our code."""
        with closing(sqlite3.connect(f"file:{self.folder / self.waybill.tracker}?mode=ro", uri=True)) as ledger:
            return ledger.execute(sql).fetchall()

    def note_values(self) -> None:
        """What the records hold now is what a switch from here on replaces."""
        self.original = self.crm.urls()
        for record, value in self.original.items():
            self.olds.setdefault(record, set()).add(value)

    def edit(self, values: dict[str, str | None]) -> None:
        self.crm.edit(values)
        self.edited |= {record: self.crm.held(value) for record, value in values.items()}

    def remove(self, records: Sequence[str]) -> None:
        self.crm.delete(records)
        self.removed |= set(records)

    def check_standing(self) -> None:
        """What has to hold at any instant, also after a kill: a record holds what it held, what is journalled as its new
        value, or what a user wrote; the journal's old values are such as records held before; nothing was written twice."""
        switches: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
        for record, old, intended in self.ask("SELECT record, old, intended FROM journal_view ORDER BY generation"):
            switches[record].append((old, intended))
            assert old in self.olds[record], f"{record}: {old} is journalled as old, after {self.script}"
            assert not old.startswith(self.new), f"{record}: a value of ours is journalled as old, after {self.script}"
        for record, value in self.crm.urls().items():
            if record in self.edited:
                assert value == self.edited[record], f"{record}: an edit is lost, after {self.script}"
            elif value not in self.olds[record]:
                intended = {new for _, new in switches[record]}
                assert value in intended, f"{record} holds {value}, which is in no journal, after {self.script}"
        self.check_changes()

    def check_changes(self, rounds: int = 1) -> None:
        """The database's own log: what is not a user's is by the role that may, and each record was switched and taken
        back at most so many times."""
        ours: dict[str, list[tuple[str | None, str | None]]] = defaultdict(list)
        for change in self.crm.changes():
            if change.who != USER:
                assert change.who == self.crm.roles["switcher"], change
                ours[change.record].append((change.old, change.new))
        for record, changes in ours.items():
            forth = [old for old, new in changes if str(new).startswith(self.new)]
            back = [new for old, new in changes if str(old).startswith(self.new)]
            assert len(changes) == len(forth) + len(back), f"{record}: {changes}"
            assert set(forth + back) <= self.olds[record], f"{record}: {changes}"
            assert len(forth) <= rounds and len(back) <= len(forth), f"{record}: {changes}, after {self.script}"

    def switched(self) -> list[str]:
        """The records that hold a value of ours."""
        return sorted(record for record, value in self.crm.urls().items() if str(value).startswith(self.new))

    def check_contents(self) -> None:
        """Every switched record points at the bytes it pointed at before."""
        objects = self.server.objects("new")
        known: dict[str, bytes] = {}
        for record, value in self.crm.urls().items():
            if not str(value).startswith(self.new):
                continue
            assert value is not None
            key = unquote(value.removeprefix(self.new))
            if key not in known:
                known[key] = (objects / key).read_bytes()
            document = self.world.documents[record]
            assert known[key] == document.content, f"{record}: {document.url} became {value}, which is another file"

    def expect_hidden(self, secrets: Sequence[str], in_values: Sequence[str] = ()) -> None:
        """In nothing that was printed or written; those that stand `in_values` of records may be in the ledger."""
        for text in self.printed:
            assert not seen_in(text, [*secrets, *in_values]), text.decode(errors="replace")[:3000]
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        assert files
        for path in files:
            is_ledger = path.name.startswith(self.waybill.tracker)
            texts = [(path.name, path.read_bytes())] if path.suffix != ".gz" else list(unpacked(path))
            for name, text in texts:
                found = seen_in(text, secrets if is_ledger else [*secrets, *in_values])
                assert not found, f"{path.name}: {name} holds {found}"

    def expect_no_secrets(self) -> None:
        """In everything that was printed or written; in the ledger, those of values stand in `KEYS_AND_VALUES` alone."""
        self.expect_hidden([SECRET_KEY, *self.crm.secrets], SECRETS)
        ledger = self.folder / self.waybill.tracker
        assert len([path for path in self.folder.rglob("*") if path.is_file()]) > 10
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as rows:
            tables = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            places = set()
            for table in tables:
                cursor = rows.execute(f'SELECT * FROM "{table}"')
                for row in cursor:
                    for (column, *_), cell in zip(cursor.description, row, strict=True):
                        if seen_in(cell if isinstance(cell, bytes) else str(cell).encode(), SECRETS):
                            places.add(f"{table}.{column}")
        assert {"items.key", "refs.value", "journal.old"} <= places <= KEYS_AND_VALUES, places

    def publish(self) -> None:
        """Everybody may read the new store."""
        allow = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::new/*"}
        boto3.client(
            "s3", endpoint_url=self.server.endpoint, region_name="us-east-1", aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET_KEY,
        ).put_bucket_policy(Bucket="new", Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))  # fmt: skip
