# SPDX-License-Identifier: Apache-2.0
"""Catalogs through SQLAlchemy on PostgreSQL: what is refused and how it is said, rights, secrets, locks, types. What every catalog
keeps is in test_catalog_conformance.py."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from postgres import Postgres

import waybill
from waybill import Context, ReferenceId, ReferenceUpdate, Since, UpdateResult
from waybill.catalogs import as_engine_sees
from waybill.sql import SqlCatalog

pytestmark = pytest.mark.timeout(120)
numbers = itertools.count()


class Database:
    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.connection = postgres.connect()
        self.schema = f"crm_{next(numbers)}"
        self.run(f"CREATE SCHEMA {self.schema}; SET search_path = {self.schema}")

    def run(self, sql: str) -> psycopg.Cursor:
        return self.connection.execute(sql.encode())

    def open(self, table: str = "documents", user: str = "tester", **columns: str) -> SqlCatalog:
        return SqlCatalog(self.postgres.url("postgres", user), table=table, schema=self.schema, **columns)  # type: ignore[arg-type]

    def make_role(self, *grants: str) -> str:
        role = f"role_{next(numbers)}"
        self.run(
            f"CREATE ROLE {role} LOGIN PASSWORD '{self.postgres.password}'; GRANT USAGE ON SCHEMA {self.schema} TO {role}"
        )
        for grant in grants:
            self.run(f"GRANT {grant} ON documents TO {role}")
        return role


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    made = Database(postgres)
    made.run("CREATE TABLE documents (id integer PRIMARY KEY, url text, account text, big text)")
    made.run("INSERT INTO documents SELECT n, 'old ' || n, 'a' FROM generate_series(1, 3) n")
    yield made
    made.run(f"DROP SCHEMA {made.schema} CASCADE")
    made.connection.close()


def listed(catalog: waybill.Catalog, since: str = "") -> dict[str, str | None]:
    pages = as_engine_sees(catalog).list(Since(since), Context())
    return {value.id.record: value.value for page in pages for value in page.references}  # type: ignore[union-attr]


def update(catalog: waybill.Catalog, *updates: tuple[str, str | None, str | None]) -> list[UpdateResult]:
    field = catalog.identity().rpartition("url=")[2]
    made = [ReferenceUpdate(ReferenceId(catalog.identity(), id, field), old, new) for id, old, new in updates]
    return list(as_engine_sees(catalog).update(made, Context()))


def test_a_role_that_may_only_select_can_list_and_nothing_more(database: Database) -> None:
    """What a copy does to the system of record needs SELECT alone, and has no way to write: not even the owner's connection has."""
    reader = database.open(user=database.make_role("SELECT"))
    before = database.run("SELECT *, xmin FROM documents ORDER BY id").fetchall()
    as_engine_sees(reader).check("read", Context())
    assert listed(reader) == {"1": "old 1", "2": "old 2", "3": "old 3"}
    with pytest.raises(waybill.PermissionDeniedError, match=r"GRANT UPDATE \(url\) ON .*documents TO role_"):
        as_engine_sees(reader).check("update", Context())
    with pytest.raises(waybill.PermissionDeniedError, match="permission denied for table documents") as raised:
        update(reader, ("1", "old 1", "new"))
    assert (raised.value.error_class, raised.value.retryable) == ("permission", False)
    owner = database.open()
    with (
        pytest.raises(waybill.PermissionDeniedError, match="read-only transaction"),
        owner._connected(Context(), "read") as connection,
        connection.begin(),
    ):
        connection.exec_driver_sql(f"UPDATE {database.schema}.documents SET url = 'written'")
    assert database.run("SELECT *, xmin FROM documents ORDER BY id").fetchall() == before


def test_the_right_to_one_column_is_enough(database: Database) -> None:
    catalog = database.open(user=database.make_role("SELECT (id, url)", "UPDATE (url)"))
    as_engine_sees(catalog).check("update", Context())
    assert [result.status for result in update(catalog, ("1", "old 1", "new 1"))] == ["updated"]
    blind = database.open(user=database.make_role("SELECT (id)", "UPDATE (url)"))
    with pytest.raises(waybill.PermissionDeniedError, match="permission denied for table documents"):
        as_engine_sees(blind).check("read", Context())


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"table": "docments"}, "there is no table 'docments'; did you mean 'documents'?"),
        ({"url": "ulr"}, "has no column 'ulr'; did you mean 'url'?"),
        ({"partition": "acount"}, "'acount'; did you mean 'account'?"),
        ({"id": "xyzzy"}, "has no column 'xyzzy'; there are account, big, id, url"),
        ({"id": "account"}, "account of documents is not unique by itself"),
        ({"table": "pairs", "id": "a"}, "its primary key is of 2 columns, (a, b)"),
        ({"table": "fractions"}, "an id is an integer, text or UUID"),
        ({"url": "id"}, "id and url are the same column"),
        ({"table": "numbers"}, "URLs are text"),
        ({"url": 'url"; DROP TABLE documents; --'}, "has no column"),
    ],
)
def test_names_that_are_not_there_are_told_with_the_nearest(
    database: Database, columns: dict[str, str], said: str
) -> None:
    database.run("CREATE TABLE pairs (a integer, b integer, url text, PRIMARY KEY (a, b))")
    database.run("CREATE TABLE fractions (id double precision PRIMARY KEY, url text)")
    database.run("CREATE TABLE numbers (id integer PRIMARY KEY, url integer)")
    catalog = database.open(**columns)
    for call in (lambda: as_engine_sees(catalog).check("read", Context()), lambda: listed(catalog)):
        with pytest.raises(waybill.InvalidArgumentError) as raised:
            call()
        assert said in raised.value.message
        assert "\n" not in raised.value.message


def test_views_are_read_and_not_updated(database: Database) -> None:
    database.run(
        "CREATE VIEW seen AS SELECT id, url FROM documents; CREATE MATERIALIZED VIEW kept AS SELECT id, url FROM documents"
    )
    for view in ("seen", "kept"):
        catalog = database.open(view)
        assert listed(catalog) == {"1": "old 1", "2": "old 2", "3": "old 3"}
        with pytest.raises(waybill.PermissionDeniedError, match=f"{view} is a view"):
            as_engine_sees(catalog).check("update", Context())
        with pytest.raises(waybill.PermissionDeniedError, match=f"{view} is a view"):
            update(catalog, ("1", "old 1", "new"))
    database.run("CREATE VIEW twice AS SELECT id, url FROM documents UNION ALL SELECT id, url FROM documents")
    with pytest.raises(waybill.InvalidArgumentError, match="not unique"):
        listed(database.open("twice"))


def test_types_of_the_databases_own(database: Database) -> None:
    database.run(
        "CREATE TABLE own (id uuid PRIMARY KEY, url char(40), account numeric(10), changed timestamptz, day date);"
        "INSERT INTO own SELECT gen_random_uuid(), 'old', 7, '2026-03-01 10:00:00.123456+02', '2026-03-01' FROM generate_series(1, 3)"
    )
    catalog = database.open("own", partition="account", stamp="changed", partition_name="day")
    pages = list(as_engine_sees(catalog).list(Since(), Context()))
    values = [value for page in pages for value in page.references]  # type: ignore[union-attr]
    assert [(value.partition, value.partition_name, value.stamp) for value in values] == [
        ("7", "2026-03-01", "2026-03-01T08:00:00.123456+00:00")
    ] * 3
    assert all(str(uuid.UUID(value.id.record)) == value.id.record for value in values)
    database.run("UPDATE own SET changed = '2026-03-02 10:00:00+02' WHERE id = (SELECT min(id::text)::uuid FROM own)")
    assert len(listed(catalog, "2026-03-02T08:00:00+00:00")) == 1
    assert len(listed(catalog, values[0].stamp)) == 3
    with pytest.raises(waybill.InvalidArgumentError, match="stamp 'yesterday'"):
        listed(catalog, "yesterday")
    held = values[0].value
    assert held == "old".ljust(40)
    record = values[0].id.record
    assert [result.status for result in update(catalog, (record, "other", "new"), (record, held, "new"))] == [
        "conflict",
        "updated",
    ]
    assert update(catalog, ("not-a-uuid", "old", "new"))[0].error_class == "missing"
    assert update(catalog, (record.upper(), "new".ljust(40), "x"))[0].error_class == "missing"


def test_what_triggers_and_constraints_refuse_fails_alone(database: Database) -> None:
    database.run(
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF new.url = 'bad raise' THEN RAISE EXCEPTION 'not this one'; ELSIF new.url = 'bad ignore' THEN RETURN NULL; END IF; "
        "RETURN new; END $$;"
        "CREATE TRIGGER guarded BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION guard();"
        "CREATE TABLE places (url text PRIMARY KEY); INSERT INTO places SELECT url FROM documents;"
        "INSERT INTO places VALUES ('new'), ('bad raise'), ('bad ignore');"
        "ALTER TABLE documents ADD FOREIGN KEY (url) REFERENCES places DEFERRABLE INITIALLY DEFERRED"
    )
    catalog = database.open()
    for value, said in [
        ("bad raise", "documents.url: not this one"),
        ("bad ignore", "the database left documents.url as it was"),
        ("nowhere", 'documents.url: insert or update on table "documents" violates foreign key constraint'),
        ("with a \0 in it", "documents.url: PostgreSQL text fields cannot contain NUL"),
    ]:
        results = update(catalog, ("1", "old 1", "new"), ("2", "old 2", value), ("3", "old 3", "new"))
        assert [result.status for result in results] == ["updated", "failed", "updated"], value
        assert results[1].error_class == "unsupported"
        assert results[1].message.startswith(said)
        assert listed(catalog) == {"1": "new", "2": "old 2", "3": "new"}
        update(catalog, ("1", "new", "old 1"), ("3", "new", "old 3"))


def test_the_same_record_twice_in_a_batch_is_done_in_order(database: Database) -> None:
    results = update(database.open(), ("1", "old 1", "a"), ("1", "a", "b"), ("1", "old 1", "c"))
    assert [result.status for result in results] == ["updated", "updated", "conflict"]
    assert listed(database.open())["1"] == "b"


def test_an_edit_that_is_not_committed_yet_is_waited_for_and_wins(database: Database, eventually: object) -> None:
    """The update waits for the other writer's end and then compares what that one left."""
    catalog = database.open()
    with database.postgres.connect() as other:
        other.execute("BEGIN")
        other.execute(f"UPDATE {database.schema}.documents SET url = 'edited' WHERE id = 1".encode())
        results: list[UpdateResult] = []
        waiting = threading.Thread(
            target=lambda: results.extend(update(catalog, ("1", "old 1", "new"), ("2", "old 2", "new")))
        )
        waiting.start()
        blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        eventually(lambda: database.run(blocked).fetchall() == [(1,)])  # type: ignore[operator]
        other.execute("COMMIT")
        waiting.join(60)
    assert [result.status for result in results] == ["conflict", "updated"]
    assert listed(catalog) == {"1": "edited", "2": "new", "3": "old 3"}


def test_a_lock_that_is_held_too_long_may_be_tried_again(database: Database) -> None:
    catalog = database.open()
    with database.postgres.connect() as other:
        other.execute("BEGIN")
        other.execute(f"UPDATE {database.schema}.documents SET url = 'edited' WHERE id = 1".encode())
        with pytest.raises(waybill.UnavailableError, match="lock timeout") as raised:
            update(catalog, ("1", "old 1", "new"), ("2", "old 2", "new"))
        assert raised.value.retryable
        other.execute("ROLLBACK")
    assert [result.status for result in update(catalog, ("1", "old 1", "new"))] == ["updated"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://me:Sesame42@127.0.0.1/crm?table=t&id=id&url=url", "password=env:NAME"),
        ("postgresql+psycopg://me@127.0.0.1/crm?table=t&id=id&url=url&password=Sesame42", "password=env:NAME"),
        (
            "postgresql+psycopg://me@127.0.0.1/crm?table=t&id=id&url=url&password=env:NO_SUCH_NAME",
            "there is no NO_SUCH_NAME",
        ),
        ("postgresql+psycopg://me:Sesame42@127.0.0.1:port/crm?table=t", "not a database's URL"),
        (
            "postgresql+psycopg://me@127.0.0.1/crm?tabel=t&id=id&url=url",
            "table of a catalog is missing.*there is 'tabel'",
        ),
        (
            "postgresql+psycopg://me@127.0.0.1/crm?table=t&table=u&id=id&url=url",
            "table of a catalog is empty or stands there twice",
        ),
        ("nosuch+thing://me@127.0.0.1/crm?table=t&id=id&url=url", "no database that SQLAlchemy knows"),
        ("mysql+pymysql://me@127.0.0.1/crm?table=t&id=id&url=url", "the driver pymysql is not installed"),
    ],
)
def test_urls_that_are_wrong_say_so_without_what_is_secret(url: str, said: str) -> None:
    with pytest.raises(waybill.InvalidArgumentError, match=said) as raised:
        waybill.open_catalog(url)
    assert "Sesame42" not in repr(raised.value) + str(raised.value.__cause__)
    assert "\n" not in raised.value.message


def test_who_cannot_log_in_is_told_without_the_password(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_TEST_PASSWORD", "Sesame42")
    catalog = SqlCatalog(postgres.url("postgres"), table="documents")
    with pytest.raises(waybill.UnauthenticatedError, match="authentication failed") as raised:
        as_engine_sees(catalog).check("read", Context())
    for shown in (
        raised.value.message,
        repr(raised.value),
        catalog.identity(),
        catalog.endpoint(),
        repr(catalog._engine),
    ):
        assert "Sesame42" not in shown
    assert (raised.value.error_class, raised.value.retryable) == ("auth", False)
    nobody = SqlCatalog("postgresql+psycopg://me@127.0.0.1:1/crm", table="documents")
    with pytest.raises(waybill.UnavailableError) as refused:
        as_engine_sees(nobody).check("read", Context())
    assert (refused.value.error_class, refused.value.retryable) == ("network", True)


def test_values_are_in_no_error(database: Database) -> None:
    """PostgreSQL quotes the row in its details, SQLAlchemy the parameters."""
    database.run("ALTER TABLE documents ADD CHECK (url NOT LIKE '%Sesame%')")
    (result,) = update(database.open(), ("1", "old 1", "https://new.example/?token=Sesame42"))
    assert result.status == "failed"
    assert "Sesame" not in result.message


def test_an_engine_of_ones_own_is_used_as_it_is(database: Database) -> None:
    place = sa.URL.create(
        "postgresql+psycopg", "tester", database.postgres.password, "127.0.0.1", database.postgres.port, "postgres"
    )
    engine = sa.create_engine(place, connect_args={"options": f"-csearch_path={database.schema}"})
    catalog = SqlCatalog(engine, table="documents")
    assert (
        catalog.identity() == f"postgresql://127.0.0.1:{database.postgres.port}/postgres?table=documents&id=id&url=url"
    )
    assert listed(catalog) == {"1": "old 1", "2": "old 2", "3": "old 3"}
    engine.dispose()


def test_waybill_needs_no_sqlalchemy_but_for_this() -> None:
    """What is not installed is said, with the extra."""
    code = (
        "import sys; sys.modules['sqlalchemy'] = None; import waybill\n"
        "waybill.open_catalog('sqlite:///crm.db?table=t&id=id&url=url')\n"
        "try: waybill.open_catalog('postgresql://db/crm?table=t&id=id&url=url')\n"
        "except ImportError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "SQLAlchemy is not installed; it comes with: pip install 'waybill[sql]'"
