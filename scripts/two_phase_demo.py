#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two phases on a small system of record: a SQLite table whose records point at files of a folder.

Backs the files up, switches the records over, and takes that back; prints each command as one would type it, and checks
what the records hold after it. Exits with 1 as soon as something is not as it must be. Everything it makes lies in the
folder that it is given, which it empties first.

Usage: scripts/demo --two-phase, or two_phase_demo.py FOLDER
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

ACCOUNTS = {"A-1": "Acme Corporation", "B-2": "Beta & Sons", "C-3": "Café Gamma"}
EACH = 20
ELSEWHERE = "https://wiki.example.com/handbook"
EDITED = "https://files.example.com/moved-by-hand.pdf"


class Demo:
    """The system of record, the two folders, and the command line on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.old, self.new = self.folder / "old store", self.folder / "new store"
        self.database = self.folder / "crm.db"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.catalog = (
            f"sqlite://{quote(str(self.database))}?table=documents&id=id&url=url&partition=account&partition_name=name"
        )
        self.template = f"file://{quote(str(self.new))}/{{destination_key}}"

    def make(self) -> None:
        say(f"A system of record: {len(ACCOUNTS)} accounts with {EACH} documents each, in {self.database}")
        self.sql("CREATE TABLE documents(id TEXT PRIMARY KEY, account TEXT, name TEXT, url TEXT)")
        for account in ACCOUNTS:
            for number in range(EACH):
                self.add(account, number)
        shared = self.urls()["A-1/0"]
        self.sql("INSERT INTO documents VALUES ('B-2/shared', 'B-2', ?, ?)", ACCOUNTS["B-2"], shared)
        self.sql("INSERT INTO documents VALUES ('C-3/elsewhere', 'C-3', ?, ?)", ACCOUNTS["C-3"], ELSEWHERE)

    def add(self, account: str, number: int) -> None:
        path = self.old / account / f"contract {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"contract {number} of {ACCOUNTS[account]}\n", encoding="utf-8")
        url = f"file://{quote(str(path))}"
        self.sql("INSERT INTO documents VALUES (?, ?, ?, ?)", f"{account}/{number}", account, ACCOUNTS[account], url)

    def sql(self, statement: str, *values: str) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def urls(self) -> dict[str, str]:
        return dict(self.sql("SELECT id, url FROM documents ORDER BY id"))

    def switched(self, account: str = "") -> int:
        begin = f"file://{quote(str(self.new))}/"
        return sum(url.startswith(begin) for record, url in self.urls().items() if record.startswith(account))

    def waybill(self, *words: str, code: int = 0, is_shown: bool = True) -> str:
        """Run a command that has to end with `code`."""
        words = (*words, "--tracker", "ledger.db")
        if is_shown:
            print(f"\n$ waybill {shlex.join(words)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "waybill", *words],
            capture_output=True,
            encoding="utf-8",
            check=False,
            cwd=self.folder,
        )
        if is_shown:
            print(done.stdout, end="", flush=True)
        if done.returncode != code:
            fail(f"waybill {words[0]} ended with {done.returncode}, not {code}: {done.stderr.strip()}")
        return done.stdout


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def fail(text: str) -> NoReturn:
    print(f"demo: {text}", file=sys.stderr)
    sys.exit(1)


def expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        fail(f"{what}: {found!r}, not {wanted!r}")
    print(f"   as it must be: {what}: {found}", flush=True)


def back_up(demo: Demo) -> None:
    stores = ("--from", demo.old.name, "--to", demo.new.name)
    say("Phase 1, a backup. First one account, then a small batch, then everything. The records are not touched")
    before = demo.urls()
    demo.waybill("run", *stores, "--include", "A-1/*", "--progress", "none")
    demo.waybill("run", *stores, "--limit", "5", "--progress", "none", is_shown=False)
    demo.waybill("run", *stores, "--progress", "none")
    expect("files in the new store", sum(path.is_file() for path in demo.new.rglob("*")), len(ACCOUNTS) * EACH)
    say("A user adds a document meanwhile. Is everything ready to be switched?")
    demo.add("A-1", EACH)
    places = ("--catalog", demo.catalog, "--url-template", demo.template)
    demo.waybill("readiness", *places, code=4)
    say("It is not: copy what is new, and verify")
    demo.waybill("run", "--progress", "none")
    demo.waybill("verify", "--progress", "none")
    demo.waybill("readiness")
    after = demo.urls()
    expect("records that the backup has changed", sum(after[one] != before[one] for one in before), 0)


def switch_over(demo: Demo) -> None:
    say("Phase 2. What would be switched, from what to what; then the first five")
    found = re.search("plan ([0-9a-f]{16})", demo.waybill("cutover"))
    plan = found[1] if found else fail("the plan has no hash")
    demo.waybill("cutover", "--execute", "--plan", plan, "--canary", "5", "--progress", "none")
    expect("records that are switched", demo.switched(), 5)
    say("Before the rest is switched, a user edits a record: the edit is kept, and listed")
    demo.sql("UPDATE documents SET url = ? WHERE id = 'C-3/7'", EDITED)
    demo.waybill("cutover", "--execute", "--plan", plan, "--progress", "none", code=3)
    expect("what the user wrote", demo.urls()["C-3/7"], EDITED)
    expect("records that are switched", demo.switched(), len(ACCOUNTS) * EACH + 2 - 1)
    demo.waybill("references", "--state", "conflict")


def take_back(demo: Demo, before: dict[str, str]) -> None:
    say("The way back: first one account, then everything")
    demo.waybill("rollback", "--partition", "B-2")
    demo.waybill("rollback", "--partition", "B-2", "--execute", "--progress", "none")
    expect("records of B-2 that are switched", demo.switched("B-2"), 0)
    demo.waybill("rollback", "--execute", "--progress", "none")
    after = demo.urls()
    expect("records that are not what they were", {one for one in after if after[one] != before[one]}, {"C-3/7"})
    status = json.loads(demo.waybill("status", "--json", is_shown=False))
    expect("references that were restored", status["references"]["restored"], len(ACCOUNTS) * EACH + 1)
    demo.waybill("references", "--record", "B-2/shared")
    demo.waybill("history")


def main() -> None:
    if len(sys.argv) != 2:
        print("usage: two_phase_demo.py FOLDER", file=sys.stderr)
        sys.exit(2)
    demo = Demo(Path(sys.argv[1]))
    demo.make()
    back_up(demo)
    before = demo.urls()
    switch_over(demo)
    take_back(demo, before)
    say(f"Done. The ledger {demo.folder / 'ledger.db'} holds all of it; nothing was lost, and nobody's edit")


if __name__ == "__main__":
    main()
