# SPDX-License-Identifier: Apache-2.0
"""Keys that tools lose: each arrives byte for byte on every store, or fails by name with that store's own answer.

S3 → S3 → S3: objects at the fault server, which holds any key, are copied to the store and from there back to the fault
server. Filesystem → S3 → filesystem: files with the names that a folder can hold, to the store and back. What becomes of
each key is the table in docs/s3-keys.md: this file as a program with --write writes it, and a test compares it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pytest
from fault_server import FaultServer
from process import PROJECT, Waybill, check_accounts, open_folder
from s3 import S3Server

TABLE = PROJECT / "docs/s3-keys.md"
EXACT = "byte-exact"
BUCKETS = ("keys", "folder")


class Store(Protocol):
    """What a store of the table has to have."""

    def url(self, bucket: str, prefix: str = "") -> str: ...


@dataclass(frozen=True)
class Kind:
    """A store of the table: how it is called there, and how it is started with its buckets."""

    name: str
    start: Callable[..., AbstractContextManager[Store]]
    environment: Callable[[Store], dict[str, str]] = lambda store: getattr(store, "environment", {})


STORES = [
    Kind("fault server", FaultServer),
    Kind("versitygw", S3Server),
    Kind("MinIO", functools.partial(S3Server, server="minio")),
]


@dataclass(frozen=True)
class Case:
    """A key of the checklist. `shown` is what the table calls it where its bytes would not do."""

    line: str
    key: bytes
    shown: str = ""

    @property
    def is_file_name(self) -> bool:
        """Whether a folder can hold it under this name."""
        parts = self.key.split(b"/")
        return all(part not in (b"", b".", b"..") and len(part) <= 255 and b"\0" not in part for part in parts)


def text(line: str, *keys: str) -> list[Case]:
    return [Case(line, key.encode()) for key in keys]


# Every key has a folder of its own at its beginning where it can have one, so that none is in the way of another in
# stores that keep objects as files.
CASES = [
    *text(
        "K1", "space in key", " leading space", "trailing space ", "plus+plus", "percent%", "half%2", "slash%2Fslash"
    ),
    *text("K1", "amp&ersand", "equal=s", "question?mark", "hash#", "tilde~", "bang!'()*", "quote\"'`", "back\\slash"),
    *text("K1", "colon:semi;comma,", "at@dollar$", "<angle>", "{brace}[bracket]|^", "emoji 😀", "nfc-ü", "nfd-u\u0308"),
    *[Case("K2", b"control-" + bytes([code])) for code in range(1, 32)],
    Case("K2", b"del-\x7f"),
    Case("K2", "c1-\u0085".encode()),
    Case("K2", "line-\u2028".encode(), "line-U+2028"),
    Case("K2", "bidi-\u202e".encode(), "bidi-U+202E"),
    Case("K2", "replacement-\ufffd".encode(), "replacement-U+FFFD"),
    Case("K2", "noncharacter-\ufffe".encode(), "noncharacter-U+FFFE"),
    Case("K2", "noncharacter-\uffff".encode(), "noncharacter-U+FFFF"),
    *text("K3", "double//slash", "/leading", "//leading-two", "trailing/", "two-trailing//", "./dot", "d1/./dot"),
    *text("K3", "d2/../up", "../up", "..", ".", "d3/.", "d4/..", "...", "d5/.hidden", "d6/..two"),
    *text("K4", "soap"),
    Case("K4", b"x" * 200 + b"/" + b"y" * 200 + b"/" + b"z" * 622, "1,024 bytes, a part of 622"),
    Case("K4", b"/".join([b"k" * 203] * 5 + [b"m" * 4]), "1,024 bytes, parts of 203"),
    Case("K4", b"/".join(["ü".encode() * 101] * 5 + [b"n" * 9]), "1,024 bytes, of two each"),
]


def content_of(case: Case) -> bytes:
    return b"content of " + case.key


def read_folder(root: Path) -> dict[bytes, bytes]:
    found = {}
    for folder, _, names in os.walk(os.fsencode(root)):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, os.fsencode(root))] = file.read()
    return found


def refusals(waybill: Waybill, source: str, destination: str) -> dict[bytes, str]:
    """Copies, and gives what failed and why: waybill's class, and the store's answer where there is one."""
    # One at a time, so that what is learnt of the store from one key comes in the same order each time.
    done = waybill.run("run", "--from", source, "--to", destination, "--progress", "none", "--concurrency", "1")
    assert done.returncode in (0, 3), done.stderr.decode(errors="replace")
    status = waybill.status()
    check_accounts(status)
    failed = waybill.failed()
    assert status["items"]["failed"] == len(failed)
    assert status["items"]["done"] + len(failed) == status["items"]["eligible"]
    shown = {}
    for key, row in failed.items():
        said = " ".join(str(part) for part in (row.get("http_status"), row.get("provider_code")) if part)
        shown[key] = f"{row['error_class']}: {said or 'not tried'}"
    return shown


def compare(keys: list[bytes], there: dict[bytes, bytes], steps: list[dict[bytes, str]]) -> dict[bytes, str]:
    """The outcome of each key. What arrived is right, nothing else arrived, and what did not has failed by name."""
    outcomes = {}
    for key in keys:
        refused = next((f"{step[key]} (way {number})" for number, step in enumerate(steps, 1) if key in step), "")
        if refused:
            assert key not in there, f"{key!r} is there though it failed: {refused}"
            outcomes[key] = refused
        else:
            assert there.get(key) == b"content of " + key, f"{key!r} was lost or changed without a word"
            outcomes[key] = EXACT
    assert there.keys() <= set(keys), f"not asked for: {there.keys() - set(keys)}"
    return outcomes


def s3_to_s3(store: Store, environment: dict[str, str], folder: Path) -> dict[bytes, str]:
    keys = [case.key for case in CASES]
    with FaultServer("origin", "back") as origin:
        for case in CASES:
            origin.put("origin", case.key, content_of(case))
        there = refusals(
            Waybill(folder, environment=environment, tracker="there.db"), origin.url("origin"), store.url("keys")
        )
        back = refusals(
            Waybill(folder, environment=environment, tracker="back.db"), store.url("keys"), origin.url("back")
        )
        arrived = {key: origin.get("back", key) or b"" for key in origin.keys("back")}
    return compare(keys, arrived, [there, back])


def filesystem_and_back(store: Store, environment: dict[str, str], folder: Path) -> dict[bytes, str]:
    files = [case for case in CASES if case.is_file_name]
    root = folder / "files"
    for case in files:
        path = os.path.join(os.fsencode(root), case.key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content_of(case))
    there = refusals(Waybill(folder, environment=environment, tracker="up.db"), str(root), store.url("folder"))
    back = refusals(
        Waybill(folder, environment=environment, tracker="down.db"), store.url("folder"), str(folder / "copy")
    )
    return compare([case.key for case in files], read_folder(folder / "copy"), [there, back])


@dataclass(frozen=True)
class Outcomes:
    """What became of each key at one store, on both ways."""

    s3: dict[bytes, str]
    files: dict[bytes, str]


@functools.cache  # of one test process
def outcomes_at(kind: Kind) -> Outcomes:
    keys = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
    with kind.start(*BUCKETS) as store, open_folder("waybill-keys-") as folder:
        environment = keys | kind.environment(store)
        return Outcomes(s3_to_s3(store, environment, folder), filesystem_and_back(store, environment, folder))


def shown(case: Case) -> str:
    """A key on one line of a table, unambiguous."""
    if case.shown:
        return case.shown
    escaped = "".join(
        char if char.isprintable() and char != "\\" else repr(char)[1:-1] for char in case.key.decode("utf-8")
    )
    fence = "``" if "`" in escaped else "`"
    space = " " if fence == "``" or escaped[0] == " " or escaped[-1] == " " else ""
    return f"{fence}{space}{escaped}{space}{fence}".replace("|", "\\|")


def table() -> str:
    lines = [
        "# Keys and stores",
        "",
        "What becomes of each key: S3 → the store → S3, and filesystem → the store → filesystem. Written by",
        "`tests/e2e/s3_keys_test.py --write` from runs against these stores, and compared by that test. A key arrives",
        f"{EXACT}, or fails with a class and the store's answer; “not tried” is waybill's own refusal, where the store is",
        "known to hold the key as another one or to list it wrongly. “way 1” is to the store, “way 2” from it.",
        "“–”: not the name of a file.",
        "",
        "| line | key | " + " | ".join(f"{kind.name}, S3 | {kind.name}, files" for kind in STORES) + " |",
        "|---|---|" + "---|---|" * len(STORES),
    ]
    for case in CASES:
        cells = []
        for kind in STORES:
            outcomes = outcomes_at(kind)
            cells += [outcomes.s3[case.key], outcomes.files.get(case.key, "–")]
        lines.append(f"| {case.line} | {shown(case)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-keys-") as path:
        yield path


@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.name)
def test_every_key_arrives_or_fails_with_the_stores_answer(kind: Kind) -> None:
    outcomes = outcomes_at(kind)
    assert len(outcomes.s3) == len(CASES)
    for outcome in {*outcomes.s3.values(), *outcomes.files.values()} - {EXACT}:
        # An answer that has no meaning of its own is shown as it is; it is never a server's passing trouble.
        assert re.match(r"unsupported: |server: 4\d\d ", outcome), outcome


def test_the_fault_server_holds_every_key() -> None:
    outcomes = outcomes_at(STORES[0])
    assert {key: outcome for key, outcome in outcomes.s3.items() if outcome != EXACT} == {}
    assert {key: outcome for key, outcome in outcomes.files.items() if outcome != EXACT} == {}


def test_the_committed_table_is_what_happens() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "run tests/e2e/s3_keys_test.py --write and look at the change"


def test_every_key_is_copied_inside_a_store(folder: Path) -> None:
    """K6: the source of a copy is a header with an encoded key in it."""
    with FaultServer("origin", "copy") as server:
        for case in CASES:
            server.put("origin", case.key, content_of(case))
        environment = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret"}
        failed = refusals(Waybill(folder, environment=environment), server.url("origin"), server.url("copy"))
        assert failed == {}
        assert {key: server.get("copy", key) for key in server.keys("copy")} == {
            case.key: content_of(case) for case in CASES
        }
        counts = server.counts()
        # One is made a second time, and refused, to see whether conditions are heeded.
        assert counts["CopyObject"]["requests"] == len(CASES) + 1
        assert "GetObject" not in counts


def test_names_that_no_s3_key_can_have_fail_one_by_one(folder: Path) -> None:
    """K2, K4: invalid UTF-8, and a key that only the prefix makes too long."""
    root = folder / "root"
    prefix = "p" * 20
    long = b"/".join([b"x" * 250] * 4) + b"/12345"  # 1,009 bytes
    names = {b"invalid-\xff": False, b"cut-\xc3": False, long: False, b"fits": True}
    for name in names:
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"content of " + name)
    with FaultServer("target") as server:
        environment = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret"}
        failed = refusals(Waybill(folder, environment=environment), str(root), server.url("target", prefix))
        assert failed == {name: "unsupported: not tried" for name, fits in names.items() if not fits}
        assert server.keys("target") == [prefix.encode() + b"/fits"]


def test_keys_that_are_one_file_are_reported_and_not_overwritten(folder: Path) -> None:
    """K5: a file and a folder of one name, names that a path would tidy up, a part that is too long for a file."""
    keys = [b"a", b"/a", b"a/b", b"./a", b"x/../a", b"c//d", b"c/d", b"e/", b"n" * 256, b"o" * 255, b"A"]
    with FaultServer("origin") as server:
        for key in keys:
            server.put("origin", key, b"content of " + key)
        environment = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret"}
        failed = refusals(Waybill(folder, environment=environment), server.url("origin"), str(folder / "copy"))
    there = read_folder(folder / "copy")
    assert there.keys() | failed.keys() == set(keys), "every one is there or has failed by name"
    assert not there.keys() & failed.keys()
    for key, content in there.items():
        assert content == b"content of " + key
    # Of a file and a folder of one name only one can be there; which is first is not promised.
    assert {b"c/d", b"o" * 255, b"A"} <= there.keys()
    assert len({b"a", b"a/b"} & there.keys()) == 1
    assert {b"/a", b"./a", b"x/../a", b"c//d", b"e/", b"n" * 256} <= failed.keys()
    assert {reason.partition(":")[0] for reason in failed.values()} <= {"unsupported", "collision", "too_large"}


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {sys.argv[0]} --write")
    with contextlib.chdir(PROJECT):
        TABLE.write_text(table(), encoding="utf-8")
