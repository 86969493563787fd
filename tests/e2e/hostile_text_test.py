# SPDX-License-Identifier: Apache-2.0
"""Names that would move a terminal's cursor, turn the reading direction or pass for one another: each stays itself in
every store, and none comes out of any command as more than text; nor does what a store says in its errors.
"""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fault_server import FaultServer
from process import LAUNCHER, PYTHON, Waybill, check_accounts, open_folder, unescape

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "keys", "AWS_SECRET_ACCESS_KEY": "keys-secret", "AWS_REGION": "us-east-1"}
# Sets the title, clears the screen (with the one character that begins such a sequence too), turns the direction, ends
# the line, and goes back to its beginning.
EVIL = "\x1b]0;title\x07\x1b[2J\u009b2J\u202eevil\u2066\u061c\ufeff\u2028\u2029\u200f\r\b\x7f"
NAMES = [
    "esc-\x1b[31mred",
    "osc-\x1b]0;title\x07",
    "csi-\u009b31m",
    "newline-\n{}",
    "return-\r",
    "tab-\t",
    "del-\x7f",
    "next-line-\u0085",
    *(f"bidi-{mark}" for mark in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),
    "separators-\u2028\u2029",
    "mark-\ufeff",
    "markup-[bold red]x[bold]",
    "emoji-\U0001f469\u200d\U0001f4bb",
    # Twins, of which each is somebody else.
    "nfc-\u00fc",
    "nfd-u\u0308",
    "twin-\u00e9",
    "twin-e\u0301",
    "case-a",
    "case-A",
    "CASE-A",
    "k-\u212a",
    "K-K",
]
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_harmful(char: str) -> bool:
    """By Unicode's own tables, not by ours."""
    return (
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(char) in BIDI
        or char in "\u061c\u200e\u200f\ufeff"
    )


def check_text(text: bytes) -> None:
    for line in text.decode("utf-8").split("\n"):
        harmful = {f"U+{ord(char):04X}" for char in line if is_harmful(char)}
        assert not harmful, f"{harmful} in {line!r}"


def check_json(text: bytes) -> list[Any]:
    """The objects of the lines; each line is harmless as it stands."""
    check_text(text)
    return [json.loads(line) for line in text.decode("utf-8").splitlines()]


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-text-") as path:
        yield path


def test_twins_stay_apart_in_every_store(folder: Path) -> None:
    """S3 to S3, folder to folder, and from a folder to S3; every one with its own bytes."""
    contents = {name.encode(): b"content of " + name.encode() for name in NAMES}
    root = folder / "root"
    root.mkdir()
    for name, content in contents.items():
        with open(os.path.join(os.fsencode(root), name), "wb") as file:
            file.write(content)
    with FaultServer("from", "to", "up") as server:
        for name, content in contents.items():
            server.put("from", name, content)
        for number, (source, destination) in enumerate(
            [
                (server.url("from").replace("127.0.0.1", "localhost"), server.url("to")),
                (str(root), str(folder / "copy")),
                (str(root), server.url("up")),
            ]
        ):
            waybill = Waybill(folder, environment=ENVIRONMENT, tracker=f"{number}.db")
            done = waybill.run("run", "--from", source, "--to", destination, "--progress", "none")
            assert done.returncode == 0, done.stderr
            check_text(done.stdout + done.stderr)
            status = waybill.status()
            check_accounts(status)
            assert status["items"]["new"] == len(NAMES)
            listed = check_json(waybill.run("items", "--json").stdout)
            assert {unescape(row["key"]) for row in listed} == contents.keys()
            check_text(waybill.run("items").stdout)
        for bucket in ("to", "up"):
            assert {key: server.get(bucket, key) for key in server.keys(bucket)} == contents
    there = os.fsencode(folder / "copy")
    assert {
        entry: Path(os.fsdecode(os.path.join(there, entry))).read_bytes() for entry in os.listdir(there)
    } == contents


def fail_everything(server: FaultServer) -> None:
    """Each read is refused in words that are as bad as the names."""
    body = f"<Error><Code>{EVIL}</Code><Message>{EVIL}</Message><RequestId>{EVIL}</RequestId></Error>"
    server.rule(op="GetObject", action="status", status=400, body=body)
    server.rule(op="ListObjectsV2", action="delay", delay_ms=1)


def run_on_a_terminal(waybill: Waybill, *words: str) -> bytes:
    """What comes on the terminal that standard error is."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PYTHON, "-c", LAUNCHER, *words, "--tracker", waybill.tracker],
        cwd=waybill.folder,
        env=waybill.environment | {"TERM": "xterm-256color", "COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while True:
            if not select.select([ours], [], [], 60)[0]:
                raise AssertionError("nothing for a minute")
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
    finally:
        process.wait(timeout=60)
        os.close(ours)
    return shown


def test_no_command_shows_more_than_text(folder: Path) -> None:
    """The names, the name of the migration, its places, and what the store says: in text and in JSON."""
    prefix = EVIL.replace("\x00", "") + "/"
    with FaultServer("from", "to") as server:
        for name in NAMES:
            server.put("from", prefix + name, b"content")
        source = server.url("from", quote(prefix)).replace("127.0.0.1", "localhost")
        destination = server.url("to", quote(prefix))
        move = ["run", "--from", source, "--to", destination, "--name", EVIL]
        plan = ["plan", "--from", source, "--to", destination]
        waybill = Waybill(folder, environment=ENVIRONMENT, tracker="led\u202eger\x1b[2J.db")

        # A plan names what would not move: an object of the same key is there, and is another one.
        server.put("to", prefix + NAMES[0], b"occupied")
        for words in (plan, [*plan, "--json"]):
            done = waybill.run(*words)
            assert done.returncode == 0, done.stderr
            check_text(done.stdout + done.stderr)

        fail_everything(server)
        done = waybill.run(*move, "--json", "--progress", "plain")
        assert done.returncode == 3, done.stderr
        lines = check_json(done.stdout)
        check_text(done.stderr)
        assert lines[-1]["snapshot"]["migration"]["name"] == EVIL, "escaped, and the same"
        assert any(line["type"] == "event" and "evil" in line["event"]["text"] for line in lines)

        failed = check_json(waybill.run("failed", "--json").stdout)
        assert {unescape(row["key"]).decode() for row in failed} == set(NAMES)
        said = [row for row in failed if row["error_class"] != "occupied"]
        assert len(said) == len(NAMES) - 1
        for row in said:
            assert "evil" in row["provider_code"]
            assert "evil" in row["request_id"]
            assert "evil" in row["message"]
        for words in (["status"], ["items"], ["failed"], ["verify"], move, [*move, "--progress", "plain"]):
            done = waybill.run(*words)
            assert done.stdout or done.stderr
            check_text(done.stdout + done.stderr)
        for words in (["status", "--json"], ["items", "--json"], ["verify", "--json"]):
            assert check_json(waybill.run(*words).stdout), words

        # Of a whole bucket that is refused.
        server.rule(op="ListObjectsV2", action="status", status=400, body=f"<Error><Code>{EVIL}</Code></Error>")
        done = waybill.run(*move)
        assert done.returncode == 1
        assert b"evil" in done.stderr
        check_text(done.stdout + done.stderr)


def test_the_live_view_shows_names_as_text(folder: Path) -> None:
    """The bar moves the cursor by itself; nothing of a name does."""
    with FaultServer("from", "to") as server:
        for name in NAMES:
            server.put("from", name + EVIL, b"content")
        server.rule(op="GetObject", action="delay", delay_ms=1500)
        source = server.url("from").replace("127.0.0.1", "localhost")
        waybill = Waybill(folder, environment=ENVIRONMENT)
        shown = run_on_a_terminal(waybill, "run", "--from", source, "--to", server.url("to"), "--progress", "bar")
        assert waybill.status()["items"]["new"] == len(NAMES)
    text = shown.decode("utf-8")
    assert "in flight" in text, "the view was there"
    assert "evil" in text, "and with names"
    for part in ("\x1b]0;title", "\x07", "\u009b", "\u202e", "\u2066", "\u061c", "\ufeff", "\u2028", "\x7f", "\b"):
        assert part not in text, repr(part)
