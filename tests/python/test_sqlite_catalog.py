# SPDX-License-Identifier: Apache-2.0
"""The catalog of SQLite that is built in: what it refuses and how it says so, tables of all kinds, triggers, rights, locks. What
every catalog keeps is in test_catalog_conformance.py."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from process import open_folder, run_checked, unprivileged

import waybill
from waybill import Catalog, Context, ReferenceId, ReferenceUpdate, ReferenceValue, Since, UpdateResult


class Database:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)

    def run(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def open(self, table: str = "documents", id: str = "id", url: str = "url", more: str = "") -> Catalog:
        return waybill.open_catalog(f"sqlite://{self.path}?table={table}&id={id}&url={url}{more}")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "crm.db")
    made.run("CREATE TABLE documents (id TEXT PRIMARY KEY, url VARCHAR(200), account TEXT)")
    made.run("INSERT INTO documents VALUES ('a', 'old a', 'x'), ('b', 'old b', 'x'), ('c', 'old c', 'y')")
    yield made
    made.connection.close()


def listed(catalog: Catalog, since: str = "") -> dict[str, str | None]:
    pages = catalog.list(Since(since), Context())
    return {value.id.record: value.value for page in pages for value in page.references}  # type: ignore[union-attr]


def update(catalog: Catalog, *updates: tuple[str, str | None, str | None]) -> list[UpdateResult]:
    field = catalog.identity().rpartition("url=")[2]
    made = [ReferenceUpdate(ReferenceId(catalog.identity(), id, field), old, new) for id, old, new in updates]
    return list(catalog.update(made, Context()))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://crm.db?table=documents&id=id&url=url", "sqlite:///path/crm.db"),
        ("sqlite:///?table=documents&id=id&url=url", "sqlite:///path/crm.db"),
        ("sqlite:///crm.db?id=id&url=url", "the parameter table of a catalog is missing"),
        ("sqlite:///crm.db?table=documents&id=id", "the parameter url of a catalog is missing"),
        ("sqlite:///crm.db?table=documents&id=id&url=", "the parameter url of a catalog is empty"),
        ("sqlite:///crm.db?tabel=documents&id=id&url=url", r'unknown parameter "tabel".*did you mean "table"\?'),
        ("sqlite:///crm.db?table=t&id=id&url=url&names=a,,b", "names=file_name,created"),
        ("sqlite:///crm.db?table=t&id=id&url=%00", "the parameter url of a catalog is empty"),
        ("gopher://crm.db?table=t", "unknown scheme gopher://; known are .*sqlite"),
        ("s3://bucket/", "s3:// cannot be a catalog"),
    ],
)
def test_urls_that_are_none_are_refused_at_once(url: str, said: str) -> None:
    with pytest.raises(waybill.Error, match=said) as raised:
        waybill.open_catalog(url)
    assert raised.value.error_class == "configuration"
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(
    ("table", "id", "url", "more", "said"),
    [
        ("docments", "id", "url", "", r'has no table "docments"; did you mean "documents"\?'),
        ("accounts", "id", "url", "", r'has no table "accounts"; it has documents'),
        ("documents", "id", "ulr", "", r'has no column "ulr"; did you mean "url"\?'),
        ("documents", "xyzzy", "url", "", 'has no column "xyzzy"; it has id, url, account'),
        ("documents", "id", "url", "&partition=acount", r'"acount"; did you mean "account"\?'),
        ("documents", "id", "url", "&names=account,fil_name", 'has no column "fil_name"'),
        ("documents", "id", "url", "&stamp=changed", 'has no column "changed"'),
        ("documents", "account", "url", "", "account of documents is not unique by itself"),
        ("documents", "id", "ID", "", "id and url are the same column"),
        ("documents", "id", '1"; DROP TABLE documents; --', "", "has no column"),
    ],
)
def test_names_that_are_not_there_are_told_with_the_nearest(
    database: Database, table: str, id: str, url: str, more: str, said: str
) -> None:
    catalog = database.open(table, id, url.replace(";", "%3B"), more)
    for call in (lambda: catalog.check("read", Context()), lambda: listed(catalog)):
        with pytest.raises(waybill.InvalidArgumentError, match=said) as raised:
            call()
        assert "\n" not in raised.value.message
    assert len(database.run("SELECT * FROM documents")) == 3


def test_files_that_are_no_database(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is a text and no database at all\n" * 100)
    for name, kind, said in [
        ("none.db", waybill.NotFoundError, "there is no database .*none.db"),
        ("", waybill.InvalidArgumentError, "is a folder"),
        ("text", waybill.InvalidArgumentError, "text is not a SQLite database"),
    ]:
        catalog = waybill.open_catalog(f"sqlite://{tmp_path}/{name}?table=t&id=id&url=url")
        with pytest.raises(kind, match=said):
            catalog.check("read", Context())
        with pytest.raises(kind, match=said):
            listed(catalog)
        assert catalog.capabilities().max_value_length == 0
    assert not (tmp_path / "none.db").exists()


def test_ids_of_every_kind_come_back_as_they_are(database: Database) -> None:
    database.run("CREATE TABLE untyped (id PRIMARY KEY NOT NULL, url TEXT)")
    for id in (7, "07", "seven", -1, "", 9223372036854775807, "9223372036854775808"):
        database.run("INSERT INTO untyped VALUES (?, 'old')", id)
    catalog = database.open("untyped")
    ids = {"7", "07", "seven", "-1", "", "9223372036854775807", "9223372036854775808"}
    assert set(listed(catalog)) == ids
    assert [result.status for result in update(catalog, *((id, "old", f"new {id}") for id in ids))] == ["updated"] * 7
    assert dict(database.run("SELECT typeof(id), count(*) FROM untyped WHERE url = 'new ' || id GROUP BY 1")) == {
        "integer": 3,
        "text": 4,
    }
    database.run("INSERT INTO untyped VALUES ('7', 'other')")
    assert update(catalog, ("7", "new 7", "x"))[0].message.startswith("there are two records with this id")
    assert database.run("SELECT count(*) FROM untyped WHERE url = 'x'") == [(0,)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("INSERT INTO documents VALUES (NULL, 'url', '')", "id of documents is null in some records"),
        ("INSERT INTO documents VALUES (x'00ff', 'url', '')", "holds bytes; an id is a whole number or text"),
        (f"INSERT INTO documents VALUES ('{'x' * 1025}', 'url', '')", "more than 1,024 bytes"),
    ],
)
def test_records_that_cannot_be_named_are_refused(database: Database, made: str, said: str) -> None:
    database.run(made)
    with pytest.raises(waybill.InvalidArgumentError, match=said):
        listed(database.open())


def test_views_are_read_and_not_updated(database: Database) -> None:
    database.run("CREATE VIEW both AS SELECT id, url FROM documents")
    database.run("CREATE TRIGGER through INSTEAD OF UPDATE ON both BEGIN SELECT 1; END")
    catalog = database.open("both")
    catalog.check("read", Context())
    assert listed(catalog) == {"a": "old a", "b": "old b", "c": "old c"}
    with pytest.raises(waybill.FailedPreconditionError, match="both is a view: it can be read, not updated"):
        catalog.check("update", Context())
    with pytest.raises(waybill.FailedPreconditionError, match="both is a view"):
        update(catalog, ("a", "old a", "new"))
    database.run("CREATE VIEW twice AS SELECT id, url FROM documents UNION ALL SELECT id, url FROM documents")
    with pytest.raises(waybill.InvalidArgumentError, match="not unique: there are two records a"):
        listed(database.open("twice"))


def test_a_column_that_is_computed_is_not_updated(database: Database) -> None:
    database.run("CREATE TABLE computed (id INTEGER PRIMARY KEY, name TEXT, url TEXT AS ('https://x/' || name) STORED)")
    with pytest.raises(waybill.FailedPreconditionError, match="computes its column url"):
        database.open("computed").check("update", Context())


@pytest.mark.parametrize(
    ("declared", "length"),
    [
        ("url VARCHAR(200)", 200),
        ("url national character varying ( 80 )", 0),
        ("url TEXT CHECK (length(url) <= 120)", 120),
        ('url VARCHAR(200), CHECK ( LENGTH("URL")<=99 )', 99),
        ("url TEXT CHECK (length(url) <= 10 OR id = 1)", 0),
        ("url TEXT", 0),
    ],
)
def test_how_long_a_value_may_be_is_known_where_it_is_plain(database: Database, declared: str, length: int) -> None:
    database.run(f"CREATE TABLE lengths (id INTEGER PRIMARY KEY, {declared})")
    assert database.open("lengths").capabilities().max_value_length == length


def test_triggers_do_their_work_and_what_they_refuse_fails_alone(database: Database) -> None:
    database.run("CREATE TABLE log (id, url)")
    database.run("CREATE TRIGGER logged AFTER UPDATE ON documents BEGIN INSERT INTO log VALUES (new.id, new.url); END")
    database.run(
        "CREATE TRIGGER guarded BEFORE UPDATE ON documents WHEN new.url LIKE 'bad%' BEGIN "
        "SELECT CASE new.url WHEN 'bad abort' THEN RAISE(ABORT, 'not this one') WHEN 'bad ignore' THEN RAISE(IGNORE) "
        "ELSE RAISE(ROLLBACK, 'nothing at all') END; END"
    )
    catalog = database.open()
    for value, said in [
        ("bad abort", "documents.url: not this one"),
        ("bad ignore", "a trigger of documents left the value as it was"),
        ("bad rollback", "documents.url: nothing at all"),
    ]:
        database.run("DELETE FROM log")
        database.run("UPDATE documents SET url = 'old ' || id")
        database.run("DELETE FROM log")
        results = update(catalog, ("a", "old a", "new a"), ("b", "old b", value), ("c", "old c", "new c"))
        assert [result.status for result in results] == ["updated", "failed", "updated"]
        assert (results[1].error_class, results[1].message) == ("unsupported", said)
        assert listed(catalog) == {"a": "new a", "b": "old b", "c": "new c"}
        assert database.run("SELECT * FROM log") == [("a", "new a"), ("c", "new c")]


def test_constraints_that_are_looked_at_last_fail_what_broke_them_alone(database: Database) -> None:
    database.run("CREATE TABLE places (url TEXT PRIMARY KEY)")
    database.run("INSERT INTO places VALUES ('old'), ('new')")
    database.run(
        "CREATE TABLE bound (id INTEGER PRIMARY KEY, url TEXT REFERENCES places DEFERRABLE INITIALLY DEFERRED UNIQUE)"
    )
    database.run("INSERT INTO bound VALUES (1, 'old'), (2, NULL)")
    catalog = database.open("bound")
    results = update(catalog, ("1", "old", "new"), ("2", None, "nowhere"))
    assert [(result.status, result.error_class) for result in results] == [
        ("updated", "none"),
        ("failed", "unsupported"),
    ]
    assert update(catalog, ("2", None, "new"))[0].message == "bound.url: UNIQUE constraint failed: bound.url"
    assert listed(catalog) == {"1": "new", "2": None}


def test_values_that_are_no_text_are_left_alone(database: Database) -> None:
    database.run("CREATE TABLE loose (id INTEGER PRIMARY KEY, url)")
    database.run("INSERT INTO loose VALUES (1, 7), (2, x'616263'), (3, '7')")
    catalog = database.open("loose")
    assert listed(catalog) == {"1": "7", "2": "abc", "3": "7"}
    results = update(catalog, ("1", "7", "new"), ("2", "abc", "new"), ("3", "7", "new"))
    assert [result.status for result in results] == ["failed", "failed", "updated"]
    assert "holds a number or bytes, and no text" in results[0].message
    assert database.run("SELECT typeof(url) FROM loose") == [("integer",), ("blob",), ("text",)]


def test_what_reads_leaves_the_file_as_it_is(database: Database) -> None:
    def digest() -> str:
        return hashlib.sha256(database.path.read_bytes()).hexdigest()

    catalog = database.open()
    before = digest(), sorted(os.listdir(database.path.parent))
    catalog.check("read", Context())
    catalog.check("update", Context())
    assert len(listed(catalog)) == 3
    assert len(catalog.read([ReferenceId(catalog.identity(), "a", "url")], Context())) == 1
    assert (digest(), sorted(os.listdir(database.path.parent))) == before


def test_a_database_in_write_ahead_mode(database: Database) -> None:
    database.run("PRAGMA journal_mode = WAL")
    catalog = database.open()
    database.run("BEGIN IMMEDIATE")
    database.run("UPDATE documents SET url = 'not yet' WHERE id = 'a'")
    assert listed(catalog)["a"] == "old a"
    database.run("COMMIT")
    assert [result.status for result in update(catalog, ("a", "not yet", "new a"))] == ["updated"]
    assert listed(catalog)["a"] == "new a"


def test_a_table_that_somebody_writes_to_may_be_asked_again(database: Database) -> None:
    """Five seconds are waited, then it fails and says that it may be tried again; when the lock is gone, so is the wait."""
    catalog = database.open()
    database.run("BEGIN IMMEDIATE")
    with pytest.raises(waybill.UnavailableError, match="is being written by another program") as raised:
        update(catalog, ("a", "old a", "new a"))
    assert raised.value.retryable
    results: list[UpdateResult] = []
    waiting = threading.Thread(target=lambda: results.extend(update(catalog, ("a", "old a", "new a"))))
    waiting.start()
    database.run("COMMIT")
    waiting.join(60)
    assert [result.status for result in results] == ["updated"]


READ_ONLY = """
import sys, waybill
catalog = waybill.open_catalog(f"sqlite://{sys.argv[1]}?table=documents&id=id&url=url")
catalog.check("read", waybill.Context())
assert sum(len(page.references) for page in catalog.list(waybill.Since(), waybill.Context())) == 3
try:
    catalog.check("update", waybill.Context())
except waybill.PermissionDeniedError as error:
    assert error.error_class == "permission", error.error_class
    print(error.message)
"""


@pytest.mark.parametrize("what", ["file", "folder"])
def test_rights_to_the_file_and_its_folder_are_looked_at(what: str, database: Database) -> None:
    with open_folder() as folder:
        path = folder / "crm.db"
        shutil.copyfile(database.path, path)
        if os.geteuid() == 0:
            shutil.chown(path, "nobody", "nogroup")
        (path if what == "file" else folder).chmod(0o444 if what == "file" else 0o555)
        said = run_checked([*unprivileged(), sys.executable, "-c", READ_ONLY, path], cwd="/").stdout.decode()
        assert said.startswith(f"{path if what == 'file' else folder} cannot be written"), said
        assert ("journal" in said) == (what == "folder")


def test_references_of_another_catalog_are_refused(database: Database) -> None:
    catalog = database.open()
    with pytest.raises(waybill.Error, match="is not one of"):
        catalog.read([ReferenceId("another", "a", "url")], Context())
    many = [ReferenceId(catalog.identity(), "a", "url")] * 501
    with pytest.raises(waybill.Error, match="more ids than max_batch"):
        catalog.read(many, Context())


def test_the_identity_is_that_of_the_real_file(database: Database) -> None:
    link = database.path.parent / "link.db"
    link.symlink_to(database.path)
    catalog = waybill.open_catalog(f"sqlite://{link}?table=Documents&id=ID&url=Url&stamp=account")
    assert catalog.identity() == database.open().identity() == f"sqlite:{database.path}?table=documents&id=id&url=url"
    assert [value.value for value in catalog.read([ReferenceId(catalog.identity(), "b", "Url")], Context())] == [
        "old b"
    ]
    assert isinstance(catalog.read([], Context()), list)
    assert ReferenceValue(ReferenceId("", "", ""), None).names == {}
