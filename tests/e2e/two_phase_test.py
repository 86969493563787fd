# SPDX-License-Identifier: Apache-2.0
"""The whole ladder of two phases over a large system of record: 20,000 records of 500 accounts in PostgreSQL and in SQLite,
whose files go from one bucket of a real S3 server into another. Everything is done on the command line; what came of it is
looked at in the database, in its log of changes, in the files of the buckets, and in the ledger by SQL.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import faults_build
import psycopg
import pytest
from crm import DOCUMENTS, SESSION, SIGNATURE, TOKEN, USER, USERINFO, Crm, PostgresCrm, SqliteCrm, World
from ladder import COPY_EVENTS, ROLLBACK_EVENTS, SWITCH_EVENTS, Ladder, expect_equal, make_server
from postgres import Postgres
from process import check_accounts, open_folder
from s3 import S3Server

ACCOUNTS = 500
FEW = 40  # accounts, where their number is not the point


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with make_server() as running:
        yield running


@pytest.fixture
def folder(server: S3Server) -> Iterator[Path]:
    for bucket in server.buckets:
        server.empty(bucket)
    with open_folder("waybill-phases-") as path:
        yield path


def back_up(ladder: Ladder, kills: int) -> None:
    """Analysis, and the first copy."""
    world = ladder.world
    items = {(one.account, one.url): one.fate for one in world.documents.values() if one.url}
    fates = Counter(items.values())
    (plan,) = ladder.rows("plan", *ladder.copying)
    assert plan["items"] == len(items)
    assert plan["items_in_collisions"] > 0
    ladder.note_values()
    ladder.carried_through(("run", *ladder.copying), ("run", *ladder.limit), COPY_EVENTS, kills, code=3)
    status = ladder.waybill.status()
    check_accounts(status)
    found = {name: status["items"][name] for name in ("done", "failed", "vanished", "excluded")}
    assert found == {
        "done": fates["switched"],
        "failed": fates["unsupported"],
        "vanished": fates["missing"] + fates["permission"],
        "excluded": fates["excluded"],
    }


def change_much(ladder: Ladder, number: int) -> dict[str, int]:
    """So many changes in the system of record: new records, other URLs, other contents behind the same, and no record any
    more; how many of each."""
    world, crm = ladder.world, ladder.crm
    accounts = list(world.accounts)
    few = max(1, number // 10)
    counts = {"new": 3 * few, "moved": 3 * few, "rewritten": 3 * few, "deleted": number - 9 * few}

    def each(nth: int, count: int) -> list[str]:
        """The n-th document of so many accounts."""
        return [world.nth_of(accounts[n % len(accounts)], nth + n // len(accounts)) for n in range(count)]

    new = [world.add(accounts[n % len(accounts)], f"new {n}.pdf") for n in range(counts["new"])]
    moved = [world.move(record) for record in each(0, counts["moved"])]
    for record in each(6, counts["rewritten"]):
        world.rewrite(record)
    deleted = each(12, counts["deleted"])
    for record in deleted:
        world.remove(record)
    world.store(ladder.server.objects("old"))
    crm.insert(new, world.accounts)
    crm.execute("UPDATE documents SET url = ? WHERE id = ?", [(one.url, one.record) for one in moved])
    crm.delete(deleted)
    return counts


def get_ready(ladder: Ladder, counts: dict[str, int]) -> str:
    """Everything that stands in the way is told, each thing is done, and the plan is ready; its hash."""
    world, crm = ladder.world, ladder.crm
    n_unsupported = len(world.records("unsupported"))
    switching = ("--catalog", crm.catalog("reader"), *ladder.switching)
    refused = ladder.refused(ladder.planned("readiness", *switching, code=4))
    n_switched = len(world.records("switched"))
    n_news = counts["new"] + counts["moved"]
    denied = {"rights": 1} if crm.has_roles else {}
    expected = {"items": n_unsupported, "delta": n_news, "failed": n_unsupported, "verified": n_switched - n_news}
    assert refused == expected | denied

    ladder.told("run", *ladder.limit, code=3)
    items = ladder.waybill.status()["items"]
    assert (items["new"], items["updated"]) == (n_news, counts["rewritten"]), items
    ladder.told("verify", code=3)  # of what failed there is nothing to compare
    refused = ladder.refused(ladder.planned("readiness", code=4))
    probes = min(100, n_switched)
    assert refused == {"items": n_unsupported, "failed": n_unsupported, "urls": probes} | denied, "nobody may read"

    ladder.told("waive", "--class", "unsupported", "--why", "no file was ever there")
    ladder.publish()
    if crm.has_roles:
        plan = ladder.planned("readiness", code=4)
        assert ladder.refused(plan) == {"rights": 1}, "a role that only reads"
        ladder.told("cutover", "--execute", "--plan", plan["hash"], code=4)
        assert not ladder.switched()

    plan = ladder.planned("readiness", "--catalog", crm.catalog("switcher"), *ladder.switching)
    assert plan["ready"]
    dry = ladder.planned("cutover")
    assert (dry["hash"], dry["references"]["pending"]) == (plan["hash"], n_switched)
    return str(plan["hash"])


def switch(ladder: Ladder, plan: str, kills: int) -> None:
    """A canary, what users do meanwhile, and the rest."""
    world = ladder.world
    expected = world.records("switched")
    execute = ("cutover", "--execute", "--plan", plan)
    ladder.told(*execute, "--canary", "10")
    assert ladder.switched() == expected[:10]
    ladder.check_standing()

    waiting = ladder.draw.sample(expected[10:], 15)
    values = ["", None, "an edit by a user", world.url("somewhere/else.pdf"), world.url("mine.pdf", "private")]
    ladder.edit(dict(zip(waiting[:10], 2 * values, strict=True)))
    ladder.edit({expected[0]: "an edit after the switch"})
    ladder.remove(waiting[10:])
    ladder.carried_through(execute, ("resume",), SWITCH_EVENTS, kills, code=3)
    ladder.check_standing()
    rest = sorted(set(expected) - set(waiting) - {expected[0]})
    assert ladder.switched() == rest
    ladder.check_contents()
    states = Counter(row["state"] for row in ladder.rows("references"))
    assert states["updated"] == len(rest)
    conflicts = {row["record"] for row in ladder.rows("references", "--state", "conflict")}
    assert conflicts == {*waiting[:10], expected[0]}
    references = ladder.waybill.status()["references"]
    assert (references["updated"], references["conflict"]) == (len(rest), 11)


def take_back(ladder: Ladder, kills: int) -> None:
    """One account, what users do meanwhile, and all the rest."""
    world, crm = ladder.world, ladder.crm
    before = crm.urls()
    switched = ladder.switched()
    account = world.documents[switched[len(switched) // 2]].account
    of_account = [record for record in switched if world.documents[record].account == account]
    ladder.told("rollback", "--partition", account)
    assert ladder.switched() == switched
    ladder.told("rollback", "--partition", account, "--execute")
    expected = before | {record: ladder.original[record] for record in of_account}
    expect_equal(crm.urls(), expected, "the rollback of an account")

    left = ladder.switched()
    edited = ladder.draw.sample(left, 10)
    ladder.edit({record: f"{ladder.new}an/edit {n}" for n, record in enumerate(edited)})
    ladder.remove(ladder.draw.sample(sorted(set(left) - set(edited)), 5))
    ladder.carried_through(("rollback", "--execute"), ("resume",), ROLLBACK_EVENTS, kills, code=3)
    ladder.check_standing()
    original = {record: value for record, value in ladder.original.items() if record not in ladder.removed}
    expect_equal(crm.urls(), original | ladder.edited, "the rollback of all")
    conflicts = {row["record"] for row in ladder.rows("references", "--state", "conflict")}
    assert conflicts >= set(edited)


def climb(ladder: Ladder, changes: int, kills: int) -> None:
    back_up(ladder, kills // 3)
    counts = change_much(ladder, changes)
    plan = get_ready(ladder, counts)
    ladder.note_values()
    switch(ladder, plan, kills)
    take_back(ladder, kills)
    assert ladder.waybill.status()["run"]["state"] == "completed_with_differences"


def open_crm(kind: str, folder: Path, postgres: Postgres, world: World) -> Crm:
    return PostgresCrm(postgres, world) if kind == "postgresql" else SqliteCrm(folder / "crm.db", world)


def climb_in(kind: str, folder: Path, server: S3Server, postgres: Postgres, kills: int) -> None:
    world = World(server.endpoint, ACCOUNTS)
    assert len(world.documents) == ACCOUNTS * DOCUMENTS == 20_000
    with closing(open_crm(kind, folder, postgres, world)) as crm:
        ladder = Ladder(folder, server, crm, world, random.SystemRandom().randrange(2**32))
        if kills:
            ladder.may_be_killed(faults_build.build(sanitizers=True))
        climb(ladder, 1_000, kills)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_twenty_thousand_records(kind: str, folder: Path, server: S3Server, postgres: Postgres) -> None:
    """Nothing is lost, nothing is written twice, and no value of ours is journalled as an old one."""
    climb_in(kind, folder, server, postgres, kills=0)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_twenty_thousand_records_killed_all_the_way(
    kind: str, folder: Path, server: S3Server, postgres: Postgres
) -> None:
    """As above, by processes that are killed at drawn events."""
    climb_in(kind, folder, server, postgres, kills=12)


@pytest.fixture
def few(folder: Path, server: S3Server, postgres: Postgres) -> Iterator[Ladder]:
    """A few accounts in PostgreSQL; nothing is done yet."""
    world = World(server.endpoint, FEW)
    with closing(PostgresCrm(postgres, world)) as crm:
        yield Ladder(folder, server, crm, world, 1)


def test_a_copy_needs_no_right_to_write_and_a_cutover_without_it_is_refused(few: Ladder, postgres: Postgres) -> None:
    crm = few.crm
    assert isinstance(crm, PostgresCrm)
    back_up(few, kills=0)
    counts = change_much(few, 50)
    log = crm.changes()
    get_ready(few, counts)
    assert crm.changes() == log
    assert {change.who for change in log} == {USER}
    with crm.connected("reader") as reader:
        assert reader.execute("SELECT count(*) FROM documents").fetchone() == (len(few.world.documents),)
        for sql in (
            "UPDATE documents SET url = 'written'",
            "UPDATE documents SET title = 'written' WHERE id = 'a0B000000000'",
            "INSERT INTO documents (id, account) VALUES ('new', 'new')",
            "DELETE FROM documents",
            "CREATE TABLE own (id text)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(sql)
    # A plan made by one that may is not executed by one that may not either.
    plan = few.planned("cutover")["hash"]
    done = few.waybill.run("cutover", "--execute", "--plan", plan, "--catalog", crm.catalog("reader"))
    assert done.returncode != 0
    assert not few.switched()
    assert crm.changes() == log


def test_what_users_do_after_a_cutover_is_switched_by_the_next_round(few: Ladder) -> None:
    world, crm = few.world, few.crm
    back_up(few, kills=0)
    plan = get_ready(few, change_much(few, 50))
    few.note_values()
    few.told("cutover", "--execute", "--plan", plan)
    expected = world.records("switched")
    assert few.switched() == expected
    few.check_contents()
    # A record that is switched points at another file of the old store; the old file of another has another content.
    moved = world.move(expected[3])
    world.rewrite(expected[8])
    added = world.add(moved.account, "later.pdf")
    world.store(few.server.objects("old"))
    crm.edit({moved.record: moved.url})
    crm.insert([added], world.accounts)
    few.told("run", *few.limit, code=3)
    items = few.waybill.status()["items"]
    assert (items["new"], items["updated"]) == (2, 1), "what is switched stands for its old item"
    few.told("verify", code=3)
    few.note_values()
    plan = few.planned("cutover", "--catalog", crm.catalog("switcher"))
    assert plan["references"]["pending"] == 2
    few.told("cutover", "--execute", "--plan", plan["hash"])
    assert few.switched() == sorted([*expected, added.record])
    few.check_contents()
    few.check_changes(rounds=2)
    few.told("rollback", "--execute")
    assert not few.switched()
    assert crm.urls()[moved.record] == moved.url
    few.check_changes(rounds=2)


def test_secrets_appear_in_nothing_but_the_values_themselves(few: Ladder) -> None:
    """Passwords, keys, and what is signed: in no output and no file. In the ledger, what stands in values of records is
    where the values themselves have to be: the way back needs them as they were."""
    world = few.world
    back_up(few, kills=0)
    plan = get_ready(few, change_much(few, 50))
    few.note_values()
    few.edit({world.records("switched")[0]: f"https://clerk:{USERINFO}@example.com/mine.pdf?token={TOKEN}"})
    few.told("cutover", "--execute", "--plan", plan, "--json", "--log-file", "log.jsonl", code=3)
    signed = world.url("mine.pdf", "private") + f"?sig={SIGNATURE}#{SESSION}"
    few.edit({few.switched()[0]: signed})
    for words in ("rollback", "rollback --json"):
        few.told(*words.split())
    few.told("rollback", "--execute", "--json", "--log-file", "log.jsonl", code=3)
    few.told("run", *few.limit, "--json", "--log-file", "log.jsonl", "--trace-http", "trace.txt", code=3)
    few.told("verify", "--json", "--log-file", "log.jsonl", code=3)
    looks = "status items failed errors logs history partitions findings references report plan".split()
    for words in [*looks, "errors --last 50", "errors --group-by host", "readiness", "cutover"]:
        few.told(*words.split(), code=None)
        if words != "report":
            few.told(*words.split(), "--json", code=None)
    for record in few.edited:
        few.told("references", "--record", record)
        few.told("references", "--record", record, "--json")
    for form in "json jsonl csv html md".split():
        few.told("report", "--format", form, "--out", f"report.{form}")
    few.told("report", "--audit", "audit")
    few.told("doctor", "--bundle", "bundle.tar.gz", code=None)
    few.told("doctor", "--bundle", "with-keys.tar.gz", "--with-keys", code=None)
    few.expect_no_secrets()
