# SPDX-License-Identifier: Apache-2.0
"""Destination keys made by a template, over whole processes and a real S3 server: names that collide, odd names, kills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from process import Waybill, check_accounts, open_folder, wait_for
from s3 import S3Server

TEMPLATE = "uploads/{dir|slug}/{name|slug}"
KILLS = 3


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-keys-") as path:
        yield path


def fill(source: Path, accounts: int) -> dict[str, bytes]:
    """Files of accounts whose names become one, with names that become one."""
    content = {}
    for account in range(accounts):
        for name in ("report.pdf", "Report one.pdf", "Report?one.pdf", "Grüße.txt", "no extension", ".hidden"):
            path = source / f"Acme {'&+!?'[account % 4]} {'Co' if account % 2 else 'Inc'}" / f"{account}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content[str(path.relative_to(source))] = f"{path.relative_to(source)}".encode() * 20
            path.write_bytes(content[str(path.relative_to(source))])
    return content


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_at(waybill: Waybill, count: int, to: Path, *words: str) -> None:
    """Starts the command, and kills it once there are more than so many files."""
    process = waybill.start(*words)
    try:
        wait_for(lambda: len(list(to.rglob("*"))) > count or process.poll() is not None, 120, "progress")
    finally:
        waybill.stop(process)


def test_kills_and_the_same_keys(folder: Path) -> None:
    """Killed while it lists and while it moves: the keys are those of a run that nobody has disturbed."""
    content = fill(folder / "source", 60)
    template = "uploads/{partition|default:all}/{name|slug}"
    calm = Waybill(folder, tracker="calm.db")
    words = ("run", "--from", str(folder / "source"), "--key-template", template)
    assert calm.run(*words, "--to", str(folder / "calm")).returncode == 0
    wanted = files_of(folder / "calm")
    assert sorted(wanted.values()) == sorted(content.values())
    assert not any(name.endswith("/report.pdf") for name in wanted), "all of one name have a suffix"

    killed = Waybill(folder, tracker="killed.db")
    for kill in range(KILLS):
        kill_at(killed, len(content) * kill // KILLS, folder / "killed", *words, "--to", str(folder / "killed"))
    assert killed.run(*words, "--to", str(folder / "killed")).returncode == 0
    check_accounts(killed.status())
    assert files_of(folder / "killed") == wanted
    assert killed.run("verify", "--level", "content").returncode == 0


def test_an_s3_server_is_listed_beside_the_ledger(folder: Path) -> None:
    content = fill(folder / "source", 8)
    with S3Server("one", "two") as server:
        up = Waybill(folder, environment=server.environment)
        assert up.run("run", "--from", str(folder / "source"), "--to", server.url("one")).returncode == 0
        across = Waybill(folder, tracker="across.db", environment=server.environment)
        words = ("run", "--from", server.url("one"), "--to", server.url("two", "base"), "--key-template", TEMPLATE)
        assert across.run(*words).returncode == 0
        status = across.status()
        check_accounts(status)
        assert status["items"]["done"] == len(content)
        assert across.run("verify").returncode == 0

        there = server.objects("two") / "base"
        wanted = files_of(there)
        assert sorted(wanted.values()) == sorted(content.values())
        assert all(name.isascii() and " " not in name for name in wanted)
        assert sum("/Report_one~" in name for name in wanted) == 16
        assert "uploads/Acme_Inc_0/report.pdf" in wanted

        lost = "uploads/Acme_Inc_0/report.pdf"
        (there / lost).unlink()
        (there / "zzz").write_bytes(b"nobody's")
        found = across.run("verify", "--json")
        assert found.returncode == 3
        lines = [json.loads(line) for line in found.stdout.splitlines()]
        missing = next(name for name, body in content.items() if body == wanted[lost])
        assert sorted((line["kind"], line["key"]) for line in lines if "kind" in line) == [
            ("extra", "zzz"),
            ("missing", missing),
        ]
        plan = json.loads(across.run("delete-extra", "--json").stdout)
        assert plan["items"] == 1
        assert across.run("delete-extra", "--execute", plan["hash"]).returncode == 0
        assert across.run("retry", "--findings").returncode == 0
        assert across.run("verify").returncode == 0
        assert files_of(there) == wanted
