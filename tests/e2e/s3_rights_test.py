# SPDX-License-Identifier: Apache-2.0
"""The rights that docs/s3-rights.md names are those that do, and none of them can be spared: its table is read, and every
command is run under what its line says and nothing else, on real servers; then without each one of them.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from process import PROJECT, Waybill, wait_for
from s3_rights import RightsServer, profile, statements
from stall_proxy import StallProxy

pytestmark = pytest.mark.timeout(900)  # a dozen commands in a row, on a machine that may be busy

PAGE = (PROJECT / "docs/s3-rights.md").read_text(encoding="utf-8")
MIB = 1 << 20
PARTS = {"part_size_bytes": 5 * MIB, "part_threshold_bytes": 5 * MIB}
LARGE = "large.bin"
TAGS = "owner=acme"
CONTENT = {f"{number}.txt": f"document {number}".encode() for number in range(3)} | {LARGE: bytes(11 * MIB)}
READER = frozenset({"s3:GetObject"})
# The rights that only a run needs which carries on, with what the process before it had last sent.
CARRYING_ON = {
    "s3:ListBucketMultipartUploads": "upload",
    "s3:AbortMultipartUpload": "upload",
    "s3:ListMultipartUploadParts": "part",
}


@dataclass(frozen=True)
class Rights:
    """What one line of the table allows on both sides."""

    source: frozenset[str]
    destination: frozenset[str]

    def without(self, side: str, action: str) -> Rights:
        return Rights(
            self.source - {action} if side == "source" else self.source,
            self.destination - {action} if side == "destination" else self.destination,
        )


def actions(text: str) -> frozenset[str]:
    found = frozenset(re.findall(r"`(s3:\w+)`", text))
    assert found or text.strip() == "none", text
    return found


def read_table() -> dict[str, Rights]:
    """By the command at the beginning of each line."""
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    return {command.replace("`", ""): Rights(actions(source), actions(target)) for command, source, target in rows}


TABLE = read_table()


def all_spared() -> Iterator[Any]:
    """Every right of every line, but those that the line above has for the same command with fewer words."""
    for command, rights in TABLE.items():
        shorter = TABLE.get(command.partition(" --")[0], rights)
        plain = Rights(frozenset(), frozenset()) if shorter is rights else shorter
        for side in ("source", "destination"):
            for action in sorted(getattr(rights, side) - getattr(plain, side)):
                yield pytest.param(command, side, action, id=f"{command} without {action} of the {side}")


class Site:
    """A server with objects in the bucket ``old``, that have tags and metadata, and a table of URLs that point at them."""

    def __init__(self, server: RightsServer, proxy: StallProxy, folder: Path) -> None:
        self.server, self.proxy, self.folder = server, proxy, folder
        self.root = server.client()
        self.records = folder / "crm.db"
        server.make_users()
        old = f"http://localhost:{server.port}/old"  # another store by its name: nothing is copied inside of one
        for key, body in CONTENT.items():
            self.root.put_object(Bucket="old", Key=f"docs/{key}", Body=body, Tagging=TAGS, Metadata={"kept": "yes"})
        with closing(sqlite3.connect(self.records)) as database, database:
            database.execute("CREATE TABLE documents(id TEXT PRIMARY KEY, url TEXT)")
            database.executemany("INSERT INTO documents VALUES (?, ?)", [(k, f"{old}/docs/{k}") for k in CONTENT])
        self.catalog = f"sqlite://{quote(str(self.records))}?table=documents&id=id&url=url"
        self.source = f"s3://old/docs?endpoint=http://localhost:{server.port}&profile=old"
        self.contents = self.source.replace("/docs", "")

    def urls(self) -> set[str]:
        with closing(sqlite3.connect(self.records)) as database:
            return {url for (url,) in database.execute("SELECT url FROM documents")}

    def open_uploads(self, prefix: str) -> list[str]:
        listed = self.root.list_multipart_uploads(Bucket="new", Prefix=f"{prefix}/{LARGE}").get("Uploads") or []
        return [upload["UploadId"] for upload in listed]


class Ladder:
    """One migration into the folder `prefix` of the bucket ``new``. With `contents` the table is its source."""

    def __init__(self, site: Site, prefix: str, contents: bool) -> None:
        self.site, self.prefix = site, prefix
        self.folder = site.folder / prefix
        self.folder.mkdir(exist_ok=True)
        self.keys = self.folder / "credentials"
        self.target = f"s3://new/{prefix}?endpoint={site.proxy.endpoint}&profile=new"
        sources = ("--catalog", site.catalog, "--contents", site.contents, "--key-template", "{name}")
        self.stores = (*(sources if contents else ("--from", site.source)), "--to", self.target)
        self.waybill = Waybill(
            self.folder,
            environment={"AWS_SHARED_CREDENTIALS_FILE": str(self.keys), "AWS_REGION": "us-east-1"},
            options=PARTS,
        )

    def may(self, rights: Rights) -> None:
        self.site.server.grant(self.keys, old=rights.source, new=rights.destination, app=READER)

    def told(self, *words: str) -> tuple[int, str]:
        """The exit code, and everything that the command says, also into its log."""
        log = self.folder / "log.jsonl"
        log.unlink(missing_ok=True)
        logged = () if words[0] in ("doctor", "plan", "readiness", "references") else ("--log-file", str(log))
        done = self.waybill.run(*words, *logged)
        text = (done.stdout + done.stderr).decode()
        return done.returncode, text + (log.read_text() if log.exists() else "")

    def switch(self) -> tuple[int, str]:
        """Readiness and cutover, as far as they come."""
        asked = ("--probe-as", "profile:app")
        template = ("--catalog", self.site.catalog, "--url-template", f"s3://new/{self.prefix}/{{destination_key}}")
        code, text = self.told("readiness", *template, *asked)
        if code != 0:
            return code, text
        planned = self.waybill.run("cutover", "--json", *asked)
        if planned.returncode != 0:
            return planned.returncode, (planned.stdout + planned.stderr).decode()
        code, text = self.told("cutover", "--execute", "--plan", json.loads(planned.stdout)["hash"])
        return code, text + self.told("references", "--state", "failed")[1]

    def do(self, command: str) -> tuple[int, str]:
        """A line of the table."""
        ways: dict[str, Callable[[], tuple[int, str]]] = {
            "doctor": lambda: self.told("doctor", "--from", self.site.source, "--to", self.target),
            "plan": lambda: self.told("plan", *self.stores),
            "run": lambda: self.told("run", *self.stores, "--progress", "none"),
            "verify": lambda: self.told("verify", "--strict"),
            "verify --level content": lambda: self.told("verify", "--level", "content", "--strict"),
            "readiness, cutover": self.switch,
            "rollback": lambda: self.told("rollback", "--execute"),
        }
        return ways[command.replace(" --contents", "")]()

    def expect(self, command: str) -> None:
        """That it works under the rights of its line, and asks for no others."""
        self.may(TABLE[command])
        code, text = self.do(command)
        assert code == 0, text
        assert "lack" not in text, text

    def break_off(self, last: str) -> None:
        """A run that is killed when it has begun an upload and does not know its id (``upload``), or has two of its three
        parts (``part``)."""
        proxy = self.site.proxy
        key = f"/new/{self.prefix}/{LARGE}".encode()
        if last == "upload":
            proxy.freeze_at(b"POST " + key + b"?uploads", 1, passes=True)
        else:
            proxy.freeze_at(b"PUT " + key + b"?partNumber=3", 1)
        process = self.waybill.start("run", *self.stores, "--progress", "none", "--concurrency", "1")
        try:
            wait_for(lambda: proxy.is_frozen or process.poll() is not None, 120, "its request")
            assert process.poll() is None, process.communicate()
            if last == "part":
                wait_for(lambda: self.count("upload_parts") == 2, 60, "two parts in the ledger")
            wait_for(lambda: len(self.site.open_uploads(self.prefix)) == 1, 60, "an open upload")
        finally:
            self.waybill.stop(process)
            proxy.thaw()

    def count(self, table: str) -> int:
        with closing(sqlite3.connect(f"file:{self.folder / 'ledger.db'}?mode=ro", uri=True)) as ledger:
            number: int = ledger.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            return number

    def expect_whole(self) -> None:
        """At the new place: bytes, tags and metadata; and nothing else, also no upload."""
        root = self.site.root
        listed = root.list_objects_v2(Bucket="new", Prefix=f"{self.prefix}/").get("Contents", [])
        assert {entry["Key"].removeprefix(f"{self.prefix}/") for entry in listed} == CONTENT.keys()
        for name, body in CONTENT.items():
            key = f"{self.prefix}/{name}"
            answer = root.get_object(Bucket="new", Key=key)
            assert answer["Metadata"]["kept"] == "yes", key
            is_same = answer["Body"].read() == body
            assert is_same, key
            tags = root.get_object_tagging(Bucket="new", Key=key)["TagSet"]
            assert tags == [{"Key": "owner", "Value": "acme"}], key
        assert not self.site.open_uploads(self.prefix)


def test_the_policies_are_those_of_the_table() -> None:
    found = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
    every_source = frozenset[str]().union(*(rights.source for rights in TABLE.values()))
    other = frozenset[str]().union(*(rights.destination for command, rights in TABLE.items() if command != "run"))
    expected = [("old-files", every_source), ("acme-files", TABLE["run"].destination), ("acme-files", other)]
    for policy, (bucket, names) in zip(found, expected, strict=True):
        assert policy["Version"] == "2012-10-17"
        for one, of_table in zip(policy["Statement"], statements(bucket, names), strict=True):
            assert {**one, "Action": sorted(one["Action"])} == of_table


@contextmanager
def make_site(server: str, folder: Path) -> Iterator[Site]:
    with RightsServer(server) as running, StallProxy(running.port) as proxy:
        yield Site(running, proxy, folder)


def test_every_command_works_under_the_rights_of_its_line(tmp_path: Path) -> None:
    with make_site("minio", tmp_path) as site:
        ladder = Ladder(site, "whole", contents=False)
        ladder.expect("doctor")
        ladder.expect("plan")
        ladder.may(TABLE["run"])
        ladder.break_off("upload")
        ladder.break_off("part")
        moved = site.proxy.bytes_moved
        ladder.expect("run")
        assert site.proxy.bytes_moved - moved < 5 * MIB, "parts that were there were sent again"
        ladder.expect_whole()
        ladder.expect("verify")
        ladder.expect("verify --level content")
        old = site.urls()
        ladder.expect("readiness, cutover")
        assert site.urls() == {f"s3://new/whole/{key}" for key in CONTENT}
        ladder.expect("rollback")
        assert site.urls() == old
        expect_copies_inside(site)


def expect_copies_inside(site: Site) -> None:
    """With the rights of both sides, and no others, in one hand: the store copies, and no content moves."""
    ladder = Ladder(site, "inside", contents=False)
    both = [*statements("old", TABLE["run"].source), *statements("new", TABLE["run"].destination)]
    ladder.keys.write_text(profile("both", site.server.session(both)))
    at = f"?endpoint={site.proxy.endpoint}&profile=both"
    moved = site.proxy.bytes_moved
    code, text = ladder.told(
        "run", "--from", f"s3://old/docs{at}", "--to", f"s3://new/inside{at}", "--progress", "none"
    )
    assert code == 0, text
    assert site.proxy.bytes_moved - moved < MIB
    ladder.expect_whole()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """versitygw, as MinIO lets tags be written without the right to."""
    with make_site("versitygw", tmp_path_factory.mktemp("strict")) as site:
        yield site


@pytest.fixture(scope="module")
def copied(strict: Site) -> dict[bool, Ladder]:
    """Migrations that are copied and verified under the rights of these lines, without and with a table as source."""
    plain, contents = Ladder(strict, "plain", contents=False), Ladder(strict, "contents", contents=True)
    plain.expect("run")
    plain.expect("verify --level content")
    contents.expect("plan")
    contents.expect("run")
    contents.expect("verify --contents")
    for ladder in (plain, contents):
        ladder.expect_whole()
        shutil.copy(ladder.folder / "ledger.db", ladder.folder / "kept.db")
    return {False: plain, True: contents}


@pytest.mark.parametrize(("command", "side", "action"), list(all_spared()))
def test_what_is_lacking_is_named(
    strict: Site, copied: dict[bool, Ladder], command: str, side: str, action: str
) -> None:
    contents = command.endswith("--contents")
    if command.startswith(("plan", "run")):
        ladder = Ladder(strict, f"{command}-{side}-{action}".replace(":", "-").replace(" ", ""), contents)
    else:
        ladder = copied[contents]
        shutil.copy(ladder.folder / "kept.db", ladder.folder / "ledger.db")
    rights = TABLE[command]
    if command == "run" and action in CARRYING_ON:
        ladder.may(rights)
        ladder.break_off(CARRYING_ON[action])
    ladder.may(rights.without(side, action))
    code, text = ladder.do(command)
    assert re.search(rf"(lack|need) {action}(?!\w| to be told)", text), text
    assert (code == 0) == (contents or action in CARRYING_ON), text
