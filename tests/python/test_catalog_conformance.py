# SPDX-License-Identifier: Apache-2.0
"""The conformance suite for catalogs: on those that are built in, over PostgreSQL and SQLite, on one over a dictionary, and on
broken ones that have to fail."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import psycopg
import pytest
from dict_catalog import DictCatalog, DictCatalogFixture
from postgres import Postgres

import waybill
from waybill import Catalog, Context, ReferenceId, ReferencePage, ReferenceUpdate, ReferenceValue, Since, UpdateResult
from waybill.conformance import CatalogConformance, CatalogFixture
from waybill.sql import SqlCatalog

pytestmark = pytest.mark.timeout(120)

MAX_LENGTH = 200
numbers = itertools.count()
COLUMNS = "partition=account&partition_name=account name&stamp=changed&names=File Name,created"


class TableFixture(CatalogFixture):
    """A table whose names need quotes, behind any DB-API connection."""

    keeps_partitions = True
    keeps_stamps = True
    names = ("File Name", "created")
    refused_value = "x" * (MAX_LENGTH + 1)
    field = "the URL"
    mark = "?"

    others: Any
    opened: Catalog
    changes = 0

    @property
    def catalog(self) -> Catalog:
        return self.opened

    def run(self, sql: str, *parameters: Any) -> Any:
        return self.others.execute(sql.replace("?", self.mark), parameters)

    def put(self, records: Sequence[ReferenceValue]) -> None:
        self.run("BEGIN")
        for record in records:
            self.changes += 1
            names = [record.names.get(name, "") for name in self.names]
            self.run(
                'INSERT INTO "The Documents" VALUES (?, ?, ?, ?, ?, ?, ?)',
                *(
                    self.key(record.id.record),
                    record.value,
                    record.partition,
                    record.partition_name,
                    self.changes,
                    *names,
                ),
            )
        self.run("COMMIT")

    def key(self, record: str) -> Any:
        return record

    def set(self, record: str, value: str | None) -> None:
        self.changes += 1
        self.run(
            'UPDATE "The Documents" SET "the URL" = ?, changed = ? WHERE "an id" = ?',
            value,
            self.changes,
            self.key(record),
        )

    def remove(self, record: str) -> None:
        self.run('DELETE FROM "The Documents" WHERE "an id" = ?', self.key(record))

    def value(self, record: str) -> str | None:
        (row,) = self.run('SELECT "the URL" FROM "The Documents" WHERE "an id" = ?', self.key(record)).fetchall()
        return cast("str | None", row[0])


def create_table(id_type: str, url_type: str, more: str = "") -> str:
    return (
        f'CREATE TABLE "The Documents" ("an id" {id_type}, "the URL" {url_type}, account text, "account name" text, '
        f'changed integer, "File Name" text, created text{more})'
    )


def catalog_url(database: str, table: str = "The Documents") -> str:
    parameters = f"table={table}&id=an id&url=the URL&{COLUMNS}"
    return database + ("&" if "?" in database else "?") + quote(parameters, safe="=&,")


class SqliteFixture(TableFixture):
    """`scheme`: whether it is the catalog that is built in, or SQLAlchemy's."""

    def __init__(self, scheme: str, folder: Path, id_type: str = "TEXT COLLATE NOCASE NOT NULL") -> None:
        path = folder / "crm.db"
        self.others = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.run("PRAGMA synchronous = OFF")
        # The collations are traps: neither the record nor the value may be compared by them.
        check = f', CHECK (length("the URL") <= {MAX_LENGTH})'
        self.run(create_table(id_type, "TEXT COLLATE NOCASE", check))
        self.run('CREATE UNIQUE INDEX by_id ON "The Documents" ("an id" COLLATE BINARY)')
        self.run('CREATE VIEW reader AS SELECT * FROM "The Documents"')
        self.database = f"{scheme}://{path}"
        self.opened = waybill.open_catalog(catalog_url(self.database))

    def run(self, sql: str, *parameters: Any) -> Any:
        return super().run(sql.replace('"an id" = ?', '"an id" = ? COLLATE BINARY'), *parameters)

    def stall(self) -> bool:
        self.run("BEGIN EXCLUSIVE")
        return True

    def resume(self) -> None:
        if self.others.in_transaction:
            self.run("ROLLBACK")

    def missing_store(self) -> Catalog:
        return waybill.open_catalog(catalog_url(self.database.replace("crm.db", "no such folder/crm.db")))

    def without_right_to_update(self) -> Catalog:
        return waybill.open_catalog(catalog_url(self.database, "reader"))


class TestBuiltinSqlite(CatalogConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[CatalogFixture]:
        fixture = SqliteFixture("sqlite", tmp_path)
        yield fixture
        fixture.others.close()


class TestSqliteThroughSqlAlchemy(CatalogConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[CatalogFixture]:
        fixture = SqliteFixture("sqlite+pysqlite", tmp_path)
        # SQLAlchemy's URLs have the whole path behind a fourth slash.
        fixture.database = fixture.database.replace(":///", ":////")
        fixture.opened = waybill.open_catalog(catalog_url(fixture.database))
        yield fixture
        fixture.others.close()


class TestDatabasesThatFoldCase(CatalogConformance):
    """What is done where nothing is known of the database but its SQL: SQLite under another name."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[CatalogFixture]:
        fixture = SqliteFixture("sqlite+pysqlite", tmp_path, "TEXT NOT NULL")
        fixture.database = fixture.database.replace(":///", ":////")
        catalog = cast("SqlCatalog", waybill.open_catalog(catalog_url(fixture.database)))
        catalog._dialect = "another"
        assert catalog.capabilities().conditional == "weak"
        fixture.opened = catalog
        yield fixture
        fixture.others.close()


class PostgresFixture(TableFixture):
    mark = "%s"

    def __init__(self, postgres: Postgres, id_type: str, url_type: str) -> None:
        self.postgres = postgres
        self.is_number = id_type.startswith("bigint")
        self.schema = f"Schema {next(numbers)}"
        self.others = postgres.connect()
        self.run(f'CREATE SCHEMA "{self.schema}"')
        self.run(f'SET search_path = "{self.schema}"')
        # Letters of both cases are equal to this collation.
        self.run("CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        self.run(create_table(id_type, url_type))
        self.blocker: psycopg.Connection | None = None
        self.opened = self.open(postgres.url("postgres"))

    def run(self, sql: str, *parameters: Any) -> Any:
        return super().run(sql, *parameters) if parameters else self.others.execute(sql)

    def open(self, database: str) -> Catalog:
        return waybill.open_catalog(catalog_url(database) + "&schema=" + quote(self.schema))

    def close(self) -> None:
        self.run(f'DROP SCHEMA "{self.schema}" CASCADE')
        self.others.close()

    def record(self, number: int) -> str:
        return str(number) if self.is_number else super().record(number)

    def can_hold_record(self, record: str) -> bool:
        return not self.is_number or record in ("7", "-1", "0", "9223372036854775807")

    def key(self, record: str) -> Any:
        return int(record) if self.is_number else record

    def stall(self) -> bool:
        self.blocker = self.postgres.connect()
        self.blocker.execute("BEGIN")
        self.blocker.execute(f'LOCK TABLE "{self.schema}"."The Documents" IN ACCESS EXCLUSIVE MODE')
        return True

    def resume(self) -> None:
        if self.blocker is not None:
            self.blocker.close()
            self.blocker = None

    def missing_store(self) -> Catalog:
        return self.open(self.postgres.url("no_such_database"))

    def without_right_to_update(self) -> Catalog:
        user = f"reader_{next(numbers)}"
        self.run(f"CREATE ROLE {user} LOGIN PASSWORD '{self.postgres.password}'")
        self.run(f'GRANT USAGE ON SCHEMA "{self.schema}" TO {user}')
        self.run(f'GRANT SELECT ON "The Documents" TO {user}')
        return self.open(self.postgres.url("postgres", user))


# Ids are compared by a collation that is no order of bytes, values by one that folds case.
KINDS = {
    "text": ('text COLLATE "en-x-icu" PRIMARY KEY', f"varchar({MAX_LENGTH}) COLLATE folding"),
    "number": ("bigint PRIMARY KEY", f'text CHECK (length("the URL") <= {MAX_LENGTH})'),
}


@pytest.fixture(params=KINDS)
def postgres_table(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[PostgresFixture]:
    fixture = PostgresFixture(postgres, *KINDS[request.param])
    yield fixture
    fixture.close()


class TestPostgres(CatalogConformance):
    @pytest.fixture
    def store(self, postgres_table: PostgresFixture) -> CatalogFixture:
        return postgres_table


class TestDictCatalog(CatalogConformance):
    @pytest.fixture
    def store(self) -> CatalogFixture:
        return DictCatalogFixture()


class FoldsCase(DictCatalog):
    def is_as_expected(self, row: ReferenceValue, update: ReferenceUpdate) -> bool:
        return (row.value or "").lower() == (update.expected or "").lower() and (row.value is None) == (
            update.expected is None
        )


class TakesNullForEmpty(DictCatalog):
    def is_as_expected(self, row: ReferenceValue, update: ReferenceUpdate) -> bool:
        return (row.value or "") == (update.expected or "")


class ListsNullAsEmpty(DictCatalog):
    def list(self, since: Since, context: Context) -> Iterator[ReferencePage]:
        for page in super().list(since, context):
            yield replace(page, references=tuple(replace(one, value=one.value or "") for one in page.references))


class ComparesNothing(DictCatalog):
    def is_as_expected(self, row: ReferenceValue, update: ReferenceUpdate) -> bool:
        return True


class ComparesBeforeItWrites(DictCatalog):
    """As a program does that reads, compares and then updates by the id alone."""

    def __init__(self) -> None:
        super().__init__()
        self.all_compared = threading.Barrier(4)

    def update(self, updates: Sequence[ReferenceUpdate], context: Context) -> Sequence[UpdateResult]:
        as_expected = [self.rows[update.id.record].value == update.expected for update in updates]
        self.all_compared.wait(30)
        return [
            self.update_one(replace(update, expected=self.rows[update.id.record].value))
            if is_as_expected
            else UpdateResult("conflict")
            for update, is_as_expected in zip(updates, as_expected, strict=True)
        ]


class PagesByPosition(DictCatalog):
    """As a program does that lists with OFFSET."""

    def list(self, since: Since, context: Context) -> Iterator[ReferencePage]:
        offset = int(since.resume or b"0")
        is_last = False
        while not is_last:
            rows = [self.rows[record] for record in sorted(self.rows)][offset : offset + self.page]
            offset += len(rows)
            is_last = len(rows) < self.page
            yield ReferencePage(tuple(rows), str(offset).encode(), is_last)


class AnswersInItsOwnOrder(DictCatalog):
    def update(self, updates: Sequence[ReferenceUpdate], context: Context) -> Sequence[UpdateResult]:
        return super().update(sorted(updates, key=lambda update: update.id), context)


class TakesNumbersForIds(DictCatalog):
    def read(self, ids: Sequence[ReferenceId], context: Context) -> Sequence[ReferenceValue]:
        return super().read([replace(id, record=id.record.strip()) for id in ids], context)


class UndoesTheWholeBatch(DictCatalog):
    def update(self, updates: Sequence[ReferenceUpdate], context: Context) -> Sequence[UpdateResult]:
        with self.lock:
            before = dict(self.rows)
        results = super().update(updates, context)
        if any(result.status == "failed" for result in results):
            self.rows = before
        return results


class SaysTheValue(DictCatalog):
    def update_one(self, update: ReferenceUpdate) -> UpdateResult:
        result = super().update_one(update)
        return replace(result, message=f"too long: {update.value}") if result.error_class == "too_large" else result


BROKEN = [
    (FoldsCase, "test_updates_where_the_value_is_as_expected_and_nowhere_else"),
    (TakesNullForEmpty, "test_updates_where_the_value_is_as_expected_and_nowhere_else"),
    (ComparesNothing, "test_one_result_for_each_update_in_order"),
    (ComparesBeforeItWrites, "test_of_many_that_update_at_once_one_wins"),
    (ListsNullAsEmpty, "test_lists_and_reads_every_record_as_it_is"),
    (PagesByPosition, "test_a_listing_loses_no_record_that_is_there_all_along"),
    (AnswersInItsOwnOrder, "test_one_result_for_each_update_in_order"),
    (TakesNumbersForIds, "test_a_record_that_only_looks_like_it_is_not_touched"),
    (UndoesTheWholeBatch, "test_a_refused_value_fails_alone_and_says_why"),
    (SaysTheValue, "test_a_refused_value_fails_alone_and_says_why"),
]


@pytest.mark.parametrize(("kind", "case"), BROKEN)
def test_the_suite_finds_catalogs_that_are_broken(kind: type[DictCatalog], case: str) -> None:
    suite = CatalogConformance()
    suite.store = DictCatalogFixture(kind)
    suite.context = Context()
    suite._request = cast("pytest.FixtureRequest", SimpleNamespace(node=SimpleNamespace(user_properties=[])))
    with pytest.raises(AssertionError):
        getattr(suite, case)()


def test_the_two_catalogs_of_sqlite_are_one(tmp_path: Path) -> None:
    """What is planned with one can be carried out with the other."""
    fixture = SqliteFixture("sqlite", tmp_path)
    fixture.put([ReferenceValue(ReferenceId("", "a", ""), "old")])
    other = SqlCatalog(f"sqlite+pysqlite:///{tmp_path}/crm.db", table="The Documents", id="an id", url="the URL")
    assert other.identity() == fixture.catalog.identity()
    update = ReferenceUpdate(ReferenceId(other.identity(), "a", "the URL"), "old", "new")
    assert fixture.catalog.update([update], Context())[0].status == "updated"
    assert other.read([update.id], Context())[0].value == "new"
    fixture.put([ReferenceValue(ReferenceId("", f"record {number:04}", ""), None) for number in range(1500)])
    for one, another in [(fixture.catalog, other), (other, fixture.catalog)]:
        first, second = cast("Sequence[ReferencePage]", list(one.list(Since(), Context())))
        rest = cast("Sequence[ReferencePage]", list(another.list(Since(resume=first.resume), Context())))
        assert [[value.id.record for value in page.references] for page in rest] == [
            [value.id.record for value in second.references]
        ]
        with pytest.raises(waybill.InvalidArgumentError, match="the resume of a listing is not one of"):
            list(one.list(Since(resume=b"record 7"), Context()))
    fixture.others.close()
