# SPDX-License-Identifier: Apache-2.0
"""Readiness, cutover, rollback and references on the command line: what they print, how they end, and how they are
stopped and carried on."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from process import Waybill, wait_for
from small_crm import SmallCrm


@pytest.fixture
def crm(tmp_path: Path) -> SmallCrm:
    return SmallCrm(tmp_path)


@pytest.fixture
def waybill(crm: SmallCrm) -> Waybill:
    """Copied and verified."""
    command = Waybill(crm.folder)
    assert command.run("run", "--from", "old", "--to", "new").returncode == 0
    assert command.run("verify").returncode == 0
    return command


def told(waybill: Waybill, *words: str, code: int = 0) -> str:
    done = waybill.run(*words)
    assert done.returncode == code, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def complaint(waybill: Waybill, *words: str, code: int = 2) -> str:
    """The one line of a command that is refused; nothing was printed before it."""
    done = waybill.run(*words)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (code, b"", 1), (done.stdout + done.stderr).decode()
    return lines[0]


def planned(waybill: Waybill, crm: SmallCrm, *words: str) -> str:
    text = told(waybill, "cutover", "--catalog", crm.catalog, "--url-template", crm.template, *words)
    found = re.search("^next: waybill cutover --execute --plan ([0-9a-f]{16})", text, re.MULTILINE)
    assert found, text
    return found[1]


@contextmanager
def locked(crm: SmallCrm) -> Iterator[None]:
    """Nobody can write to the catalog meanwhile."""
    with closing(sqlite3.connect(crm.database, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


def is_under_way(waybill: Waybill) -> bool:
    """A batch is journalled, and waits for the catalog."""
    status = waybill.status()
    return bool(status["run"]["phase"] == "cutover" and status["references"]["intended"])


def test_the_whole_way(waybill: Waybill, crm: SmallCrm) -> None:
    before = crm.urls()
    ready = told(waybill, "readiness", "--catalog", crm.catalog, "--url-template", crm.template)
    assert "ready: 12 of 12 references would be switched" in ready
    assert "REFUSED" not in ready
    shown = told(waybill, "cutover")
    plan = re.search("^plan ([0-9a-f]{16}); nothing was changed$", shown, re.MULTILINE)
    assert plan, shown
    assert "to switch           12  of 12 references; 12 items\n" in shown
    assert (
        f"  001: 001-0  {before['001-0']}\n    → {crm.template.replace('{destination_key}', '001/document%200.txt')}"
        in shown
    )
    assert f"next: waybill cutover --execute --plan {plan[1]} --canary 10" in shown
    assert crm.urls() == before
    canary = told(waybill, "cutover", "--execute", "--plan", plan[1], "--canary", "5")
    assert "5 of 5 references switched" in canary
    assert f"next: waybill cutover --execute --plan {plan[1]} " in canary
    crm.edit("003-3", "https://elsewhere.example.com/x")
    rest = told(waybill, "cutover", "--execute", "--plan", plan[1], code=3)
    assert "6 of 7 references switched" in rest
    assert "next: waybill references --state conflict" in rest
    status = told(waybill, "status")
    assert "run          4, cutover completed_with_differences" in status
    assert "this run     6 of 7 references switched" in status
    assert "11 switched, 1 in conflict" in status
    assert "items" not in status, "of a run of references, items say nothing"
    assert "6 of 7 references switched  1 in conflict" in told(waybill, "history")
    assert told(waybill, "references", "--state", "conflict").startswith("conflict   003: 003-3  https://elsewhere")
    back = told(waybill, "rollback", "--partition", "001")
    assert "to restore            4  of 12 references" in back
    assert f"    → {before['001-0']}" in back
    assert len(crm.switched()) == 11
    assert "4 of 4 references restored" in told(waybill, "rollback", "--partition", "001", "--execute")
    (crm.folder / "records.txt").write_text("002-0\n002-1\n")
    assert "2 of 2 references" in told(
        waybill, "rollback", "--records", "records.txt", "--record", "002-1", "--execute"
    )
    assert "5 of 5 references restored" in told(waybill, "rollback", "--execute")
    assert crm.urls() == before | {"003-3": "https://elsewhere.example.com/x"}
    journal = told(waybill, "references", "--record", "001-0")
    assert journal.startswith("restored   001: 001-0  ")
    assert "  1. run 3, " in journal


def test_json_is_what_the_library_says(waybill: Waybill, crm: SmallCrm) -> None:
    words = ("--catalog", crm.catalog, "--url-template", crm.template, "--json")
    ready = json.loads(told(waybill, "readiness", *words))
    plan = json.loads(told(waybill, "cutover", "--json"))
    assert (ready["ready"], ready["hash"]) == (True, plan["hash"])
    assert {gate["name"]: gate["passed"] for gate in plan["gates"]}["window"] is True
    lines = [
        json.loads(line)
        for line in told(waybill, "cutover", "--execute", "--plan", plan["hash"], "--json").splitlines()
    ]
    assert (lines[-1]["type"], lines[-1]["exit_code"]) == ("report", 0)
    assert lines[-1]["snapshot"]["references"]["run"]["updated"] == 12
    rows = [json.loads(line) for line in told(waybill, "references", "--state", "updated", "--json").splitlines()]
    assert [row["record"] for row in rows] == sorted(crm.urls())
    assert {row["value"] for row in rows} == set(crm.urls().values())
    assert json.loads(told(waybill, "rollback", "--json"))["references"] == 12
    reference, switch = map(json.loads, told(waybill, "references", "--record", "001-1", "--json").splitlines())
    assert (reference["type"], switch["type"], switch["state"]) == ("reference", "switch", "applied")
    assert switch["intended"] == crm.urls()["001-1"]


def test_what_is_not_ready_is_refused(crm: SmallCrm) -> None:
    waybill = Waybill(crm.folder)
    assert waybill.run("run", "--from", "old", "--to", "new").returncode == 0
    places = ("--catalog", crm.catalog, "--url-template", crm.template)
    shown = told(waybill, "readiness", *places, code=4)
    assert "REFUSED  verified    12: its item is copied, and not verified; run: waybill verify" in shown
    assert "not ready: 1 of 11 gates refuses" in shown
    plan = json.loads(told(waybill, "cutover", "--json", code=4))["hash"]
    assert "is not ready: verified" in complaint(waybill, "cutover", "--execute", "--plan", plan, code=4)
    assert crm.switched() == set()
    told(waybill, "verify")
    assert "ready: 12" in told(waybill, "readiness")


def test_wrong_words_are_one_line_each(waybill: Waybill, crm: SmallCrm) -> None:
    assert "--url-template" in complaint(waybill, "readiness", "--catalog", crm.catalog)
    assert "--catalog" in complaint(waybill, "readiness", "--url-template", crm.template)
    assert "there is none yet" in complaint(waybill, "cutover", "--execute", "--catalog", crm.catalog)
    bare = ("--catalog", crm.catalog, "--url-template", "https://h/")
    assert "destination_key" in complaint(waybill, "cutover", *bare)
    for wrong, named in (
        (crm.catalog.replace("crm.db", "nowhere.db"), "nowhere.db"),
        (crm.catalog.replace("table=documents", "table=documnets"), "documents"),
        ("ftp://h/x", "ftp"),
    ):
        said = complaint(waybill, "readiness", "--catalog", wrong, "--url-template", crm.template)
        assert named in said
    plan = planned(waybill, crm)
    said = complaint(waybill, "cutover", "--execute")
    assert plan in said
    assert "12 references" in said
    assert "not the newest" in complaint(waybill, "cutover", "--execute", "--plan", "0" * 16, code=4)
    assert "--execute" in complaint(waybill, "cutover", "--plan", plan)
    assert "--partition" in complaint(waybill, "cutover", "--execute", "--plan", plan, "--partition", "001")
    assert "nothing to take back" in complaint(waybill, "rollback", "--execute", code=4)
    assert "nowhere.txt" in complaint(waybill, "rollback", "--records", "nowhere.txt")
    assert "no record" in complaint(waybill, "references", "--record", "zzz")
    assert "pending" in complaint(waybill, "references", "--state", "pendign")
    age = complaint(waybill, "readiness", "--max-verified-age", "yesterday")
    assert "--max-verified-age" in age
    assert crm.switched() == set()


def test_a_spec_names_catalog_and_template(waybill: Waybill, crm: SmallCrm) -> None:
    spec = {"from": "old", "to": "new", "tracker": "ledger.db", "catalog": crm.catalog, "url_template": crm.template}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in spec.items())
    (crm.folder / "crm.toml").write_text(text)
    done = told(waybill, "readiness", "crm.toml")
    assert "ready: 12" in done
    told(waybill, "run", "crm.toml")
    assert crm.switched() == set(), "a copy never writes to the system of record"


def carried_on(waybill: Waybill, crm: SmallCrm) -> None:
    done = told(waybill, "resume")
    assert "12 of 12 references switched" in done
    assert len(crm.switched()) == 12
    assert len([line for line in told(waybill, "history").splitlines() if "cutover" in line]) == 1


def test_ctrl_c_and_resume(waybill: Waybill, crm: SmallCrm) -> None:
    plan = planned(waybill, crm)
    with locked(crm):
        process = waybill.start("cutover", "--execute", "--plan", plan, "--progress", "plain")
        wait_for(lambda: is_under_way(waybill), 60, "a batch under way")
        assert "cutover running" in told(waybill, "status")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"cutover running, 0 of 12 references switched" in errors
    assert crm.switched() == set()
    carried_on(waybill, crm)


def test_pause_and_resume(waybill: Waybill, crm: SmallCrm) -> None:
    plan = planned(waybill, crm)
    with locked(crm):
        process = waybill.start("cutover", "--execute", "--plan", plan, "--progress", "none")
        wait_for(lambda: is_under_way(waybill), 60, "a batch under way")
        told(waybill, "pause")
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, (out + errors).decode()
    assert b"next: waybill resume" in out
    assert "paused" in complaint(waybill, "cutover", "--execute", "--plan", plan, code=4)
    carried_on(waybill, crm)


def test_a_killed_cutover_is_seen_and_carried_on(waybill: Waybill, crm: SmallCrm) -> None:
    plan = planned(waybill, crm)
    with locked(crm):
        process = waybill.start("cutover", "--execute", "--plan", plan, "--progress", "none")
        wait_for(lambda: is_under_way(waybill), 60, "a batch under way")
        process.kill()
        process.communicate(timeout=60)
    assert waybill.status()["run"]["state"] == "interrupted"
    carried_on(waybill, crm)


def test_watch_ends_with_the_run(waybill: Waybill, crm: SmallCrm) -> None:
    plan = planned(waybill, crm)
    with locked(crm):
        process = waybill.start("cutover", "--execute", "--plan", plan, "--progress", "none")
        wait_for(lambda: is_under_way(waybill), 60, "a batch under way")
        watching: subprocess.Popen[Any] = waybill.start("watch", "--progress", "plain")
        assert watching.stderr is not None
        assert b"cutover running, 0 of 12 references" in watching.stderr.readline()
    process.communicate(timeout=60)
    out, _ = watching.communicate(timeout=60)
    assert (process.returncode, watching.returncode) == (0, 0)
    assert b"12 of 12 references switched" in out
