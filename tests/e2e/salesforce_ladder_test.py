# SPDX-License-Identifier: Apache-2.0
"""The whole ladder of two phases over Salesforce: 20,000 records of 500 accounts in the organization of the fault server,
whose files go from one bucket of a real S3 server into another, in each way to write; what users do in between, sessions and
days that end, and how many calls it takes.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import faults_build
import pytest
from crm import DOCUMENTS, World
from ladder import Ladder, expect_equal, make_server
from phases import back_up, change_much, get_ready, show_everything, switch, take_back
from process import open_folder
from s3 import S3Server
from salesforce import ENTRY, SalesforceServer, record_id
from salesforce_crm import FIELD, SalesforceCrm

ACCOUNTS = 500
FEW = 40  # accounts, where their number is not the point
ALL_RECORDS = 1_344_438  # of the migration that this is for
IN_A_CALL = {"fast": 400, "safe": 200, "frozen": 10_000}  # records that a composite or a job writes
LOOKS = {"fast": 2, "safe": 3, "frozen": 2}  # at a record, beside those of listings
BEGINS = {"fast": "Composite", "safe": "Composite", "frozen": "CreateIngestJob"}
CARRIED_OUT = {"fast": "Composite", "safe": "Composite", "frozen": "IngestJob"}
MODES = list(IN_A_CALL)
# The mode that is taken unless told otherwise is climbed in each run of the tests, the others in the long lane.
IN_TURN = [mode if mode == "safe" else pytest.param(mode, marks=pytest.mark.long) for mode in MODES]


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with make_server() as running:
        yield running


@pytest.fixture
def folder(store: S3Server) -> Iterator[Path]:
    for bucket in store.buckets:
        store.empty(bucket)
    with open_folder("waybill-salesforce-") as path:
        yield path


@pytest.fixture(scope="module")
def organization() -> Iterator[SalesforceServer]:
    with SalesforceServer() as running:
        yield running


@pytest.fixture
def server(organization: SalesforceServer) -> SalesforceServer:
    organization.reset()
    organization.control("configure_log", {"limit": 100_000, "heads": False})
    return organization


def make_ladder(
    folder: Path, store: S3Server, server: SalesforceServer, secrets: Path, accounts: int, mode: str, **more: Any
) -> tuple[Ladder, SalesforceCrm]:
    world = World(store.endpoint, accounts, record_id)
    assert len(world.documents) == accounts * DOCUMENTS
    crm = SalesforceCrm(server, world, secrets, mode, **more)
    return Ladder(folder, store, crm, world, random.SystemRandom().randrange(2**32)), crm


def calls_since(server: SalesforceServer, before: dict[str, int]) -> dict[str, int]:
    """The calls by operation."""
    now = calls_of(server)
    return {op: count - before.get(op, 0) for op, count in now.items() if count > before.get(op, 0)}


def calls_of(server: SalesforceServer) -> dict[str, int]:
    return {op: counted["requests"] for op, counted in server.counts().items()}


def climb(ladder: Ladder, server: SalesforceServer, mode: str, changes: int, kills: int) -> dict[str, int]:
    """The whole ladder; the calls of the switch."""
    back_up(ladder, kills // 3)
    plan = get_ready(ladder, change_much(ladder, changes))
    ladder.note_values()
    before = calls_of(server)
    switch(ladder, plan, kills)
    calls = calls_since(server, before)
    take_back(ladder, kills)
    assert ladder.waybill.status()["run"]["state"] == "completed_with_differences"
    return calls


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", IN_TURN)
def test_twenty_thousand_records(
    mode: str, folder: Path, store: S3Server, server: SalesforceServer, tmp_path: Path
) -> None:
    """Sessions end every 50 calls, and a write locks the record's account. Nothing is lost, nothing is written twice, no value of
    ours is journalled as an old one; it takes as many calls as there are collections, and none finds an account locked."""
    ladder, _ = make_ladder(folder, store, server, tmp_path, ACCOUNTS, mode, session_calls=50)
    server.salesforce(locks_parents=mode != "frozen")
    server.rule(action="delay", op=BEGINS[mode], every=1, delay_ms=50)  # with the locks that it holds
    logins = server.usage()["logins"]
    calls = climb(ladder, server, mode, 1_000, kills=0)
    assert server.usage()["logins"] - logins > 10
    assert server.usage()["locked"] == 0
    switched = len(ladder.world.records("switched"))
    written = calls[BEGINS[mode]]
    print(f"{mode}: {calls} for {switched} records; {written * ALL_RECORDS / switched:.0f} writes for {ALL_RECORDS:,}")
    # A canary of ten, and a call that is not full at the end of each batch.
    assert math.ceil(switched / IN_A_CALL[mode]) <= written <= switched / IN_A_CALL[mode] * 1.1 + 2
    assert calls["GetCollection"] <= LOOKS[mode] * switched / 1800 * 1.2 + 4, "looked at before, and read back"
    assert not {"UpdateRecord", "UpdateCollection", "GetRecord"} & set(calls)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", MODES)
def test_twenty_thousand_records_killed_all_the_way(
    mode: str, folder: Path, store: S3Server, server: SalesforceServer, tmp_path: Path
) -> None:
    """As above, by processes that are killed at drawn events."""
    ladder, _ = make_ladder(folder, store, server, tmp_path, ACCOUNTS, mode, session_calls=50)
    ladder.may_be_killed(faults_build.build(sanitizers=True))
    climb(ladder, server, mode, 1_000, kills=12)


@pytest.fixture
def make_few(
    folder: Path, store: S3Server, server: SalesforceServer, tmp_path: Path
) -> Callable[..., tuple[Ladder, SalesforceCrm]]:
    """Makes a ladder over a few accounts; nothing is done yet."""
    return lambda mode, **more: make_ladder(folder, store, server, tmp_path, FEW, mode, **more)


@contextmanager
def day_ends_after(server: SalesforceServer, calls: int, limit: int) -> Iterator[list[int]]:
    """So many calls, and there are no more; once they have been used up, the next day comes. Gives the days that ended."""
    server.usage(calls=limit - calls)
    is_over = threading.Event()
    ended: list[int] = []

    def watch() -> None:
        while not is_over.is_set():
            if server.usage()["calls"] >= limit:
                is_over.wait(0.3)  # nothing is asked meanwhile but whether there are calls again
                ended.append(server.usage()["calls"])
                server.usage(calls=0)
                return
            is_over.wait(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield ended
    finally:
        is_over.set()
        watcher.join()
        server.usage(calls=0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("mode", "share"),
    [
        pytest.param("fast", 1, marks=pytest.mark.long),
        pytest.param("fast", 0.5, marks=pytest.mark.long),
        ("safe", 1),
        pytest.param("frozen", 1, marks=pytest.mark.long),
    ],
)
def test_a_day_that_ends_in_the_middle_of_each_phase(
    mode: str, share: float, make_few: Callable[..., tuple[Ladder, SalesforceCrm]], server: SalesforceServer
) -> None:
    """Nothing fails: it pauses, and carries on by itself. At a share of half of the calls the others have theirs. (What a
    command looks at first, whether it may begin, is six calls at most; a day that has ended before is told at once.)"""
    daily = 10_000
    limit = int(daily * share)
    ladder, crm = make_few(mode, daily_calls=daily, page_records=200)
    crm.parameters = f"&max_api_share={share}"
    world = ladder.world
    copying = ("--catalog", crm.catalog("switcher"), *ladder.copying[2:])
    ended: dict[str, list[int]] = {}

    def told(phase: str, calls: int, *words: str, code: int = 0) -> None:
        with day_ends_after(server, calls, limit) as days:
            ladder.told(*words, code=code)
        ended[phase] = days

    told("run", 6, "run", *copying, code=3)
    told("verify", 6, "verify", code=3)
    ladder.told("waive", "--class", "unsupported", "--why", "no file was ever there")
    ladder.publish()
    ladder.note_values()
    told("readiness", 6, "readiness", *ladder.switching, "--accept-window")
    plan = ladder.planned("cutover")["hash"]
    told("cutover", 6, "cutover", "--execute", "--plan", plan)
    assert ladder.switched() == world.records("switched")
    told("rollback", 6, "rollback", "--execute")
    expect_equal(crm.urls(), ladder.original, "the rollback of all")
    assert all(ended.values()), ended
    # Those that were under way, and one that looks.
    assert max(days[0] for days in ended.values() if days) <= limit + 16
    assert server.writes(ENTRY, FIELD)["most"] == 2
    assert ladder.waybill.status()["references"]["failed"] == 0


def make_ready(ladder: Ladder, crm: SalesforceCrm) -> str:
    """Everything is copied, and may be switched; the hash of the plan."""
    back_up(ladder, kills=0)
    ladder.told("verify", code=3)
    ladder.told("waive", "--class", "unsupported", "--why", "no file was ever there")
    ladder.publish()
    plan = ladder.planned("readiness", "--catalog", crm.catalog("switcher"), *ladder.switching)
    ladder.note_values()
    return str(plan["hash"])


def journalled(ladder: Ladder, record: str) -> list[str]:
    """What was there at each switch of a record."""
    return [old for (old,) in ladder.ask(f"SELECT old FROM journal_view WHERE record = '{record}'")]


@pytest.mark.parametrize(
    ("mode", "moment"),
    [
        ("fast", "Composite"),
        ("fast", "SubUpdateCollection"),
        ("safe", "Composite"),
        ("safe", "SubUpdateCollection"),
        ("frozen", "IngestJob"),
    ],
)
def test_an_edit_after_the_look_is_kept_or_is_in_the_window(
    mode: str, moment: str, make_few: Callable[..., tuple[Ladder, SalesforceCrm]], server: SalesforceServer
) -> None:
    """Between the look at a record and the call that writes it: the edit stays, and is a conflict, and the others are written.
    Between the condition and the write inside of that call, or before a job is carried out: it is lost in the window, which was
    accepted and is told."""
    ladder, crm = make_few(mode)
    plan = make_ready(ladder, crm)
    expected = ladder.world.records("switched")
    edited = expected[7]
    mine = "https://users.example.com/mine.pdf"
    server.edit(ENTRY, crm.number(edited), {FIELD: mine}, op=moment, nth=1)
    # The canary is one collection, so that the look at the record is over when it is edited.
    is_kept = moment == "Composite"
    ladder.told("cutover", "--execute", "--plan", plan, "--canary", "10", code=3 if is_kept else 0)
    assert server.usage()["waiting_edits"] == 0
    assert mine in [change.new for change in crm.changes() if change.record == edited], "it was there"
    if is_kept:
        assert crm.urls()[edited] == mine
        assert ladder.switched() == sorted(set(expected[:10]) - {edited}), "the others are written"
        (row,) = ladder.rows("references", "--state", "conflict")
        assert row["record"] == edited
    else:
        assert ladder.switched() == expected[:10]
    assert journalled(ladder, edited) == [ladder.original[edited]]
    assert "unguarded window: 10 updates" in ladder.told("history"), "how long it was open stands there"


@pytest.mark.parametrize("mode", MODES)
def test_an_edit_after_the_write_is_a_conflict_and_stays(
    mode: str, make_few: Callable[..., tuple[Ladder, SalesforceCrm]], server: SalesforceServer
) -> None:
    """Between the write and its answer: the reading back sees it."""
    ladder, crm = make_few(mode)
    plan = make_ready(ladder, crm)
    edited = ladder.world.records("switched")[7]
    mine = "https://users.example.com/mine.pdf"
    server.edit(ENTRY, crm.number(edited), {FIELD: mine}, op=CARRIED_OUT[mode], nth=1, after=True)
    ladder.told("cutover", "--execute", "--plan", plan, "--canary", "10", code=3)
    assert crm.urls()[edited] == mine
    assert [row["record"] for row in ladder.rows("references", "--state", "conflict")] == [edited]
    ladder.told("rollback", "--execute")
    expect_equal(crm.urls(), ladder.original | {edited: mine}, "the rollback")


def test_records_that_cannot_be_written_fail_alone(
    make_few: Callable[..., tuple[Ladder, SalesforceCrm]], server: SalesforceServer
) -> None:
    """A validation rule refuses some; others are locked by another's call for a while, and are tried again."""
    ladder, crm = make_few("safe")
    plan = make_ready(ladder, crm)
    expected = ladder.world.records("switched")
    refused = expected[3:6]
    server.fail_records(
        ENTRY, "FIELD_CUSTOM_VALIDATION_EXCEPTION", message="Documents of 2019 are closed.",
        numbers=[crm.number(record) for record in refused],
    )  # fmt: skip
    server.fail_records(
        ENTRY, "UNABLE_TO_LOCK_ROW", numbers=[crm.number(record) for record in expected[20:40]], times=20
    )
    ladder.told("cutover", "--execute", "--plan", plan, code=3)
    assert ladder.switched() == sorted(set(expected) - set(refused))
    failed = ladder.rows("references", "--state", "failed")
    assert [row["record"] for row in failed] == refused
    assert "Documents of 2019 are closed." in ladder.told("references", "--record", refused[0])


@pytest.mark.parametrize("flow", ["key", "client_secret", "refresh_token", "password"])
def test_secrets_appear_in_nothing(
    flow: str, make_few: Callable[..., tuple[Ladder, SalesforceCrm]], server: SalesforceServer
) -> None:
    """However it logs in, and though its sessions end on the way: password, security token, private key, JWT, session id,
    client secret and refresh token are in no output and no file."""
    ladder, crm = make_few("safe", flow=flow, session_calls=5)
    if flow == "key":
        show_everything(ladder)
        ladder.expect_no_secrets()
        return
    plan = make_ready(ladder, crm)
    ladder.told("cutover", "--execute", "--plan", plan, "--log-file", "log.jsonl")
    copying = ("--catalog", crm.catalog("switcher"), *ladder.copying[2:])
    ladder.told("run", *copying, "--log-file", "log.jsonl", "--trace-http", "trace.txt", code=3)
    ladder.told("doctor", "--catalog", crm.catalog("switcher"), "--bundle", "bundle.tar.gz", code=None)
    ladder.told("report", "--audit", "audit")
    server.expire("refresh_tokens")
    server.salesforce(users=[])
    server.expire("sessions")
    ladder.told("rollback", "--execute", "--log-file", "log.jsonl", code=1)
    ladder.expect_hidden(crm.secrets)
