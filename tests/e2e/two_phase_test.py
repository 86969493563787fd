# SPDX-License-Identifier: Apache-2.0
"""The whole ladder of two phases over a large system of record: 20,000 records of 500 accounts in PostgreSQL and in SQLite,
whose files go from one bucket of a real S3 server into another. Everything is done on the command line; what came of it is
looked at in the database, in its log of changes, in the files of the buckets, and in the ledger by SQL.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import faults_build
import psycopg
import pytest
from crm import DOCUMENTS, USER, Crm, PostgresCrm, SqliteCrm, World
from ladder import Ladder, make_server
from phases import back_up, change_much, climb, get_ready, show_everything
from postgres import Postgres
from process import open_folder
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
    show_everything(few)
    few.expect_no_secrets()
