# SPDX-License-Identifier: Apache-2.0
"""A table of any database as a Catalog."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import sqlalchemy as sa

from waybill.catalogs import (
    Catalog,
    CatalogCapabilities,
    ReferenceId,
    ReferencePage,
    ReferenceUpdate,
    ReferenceValue,
    Since,
    UpdateResult,
)
from waybill.errors import InternalError, PermissionDeniedError
from waybill.records import printable
from waybill.sql.failures import in_our_words, is_refusal, refusal_class, words
from waybill.sql.place import endpoint_of, identity_of, make_engine
from waybill.sql.table import Columns, Table, bad, inspect, text_of
from waybill.stores import Context

__all__ = ["SqlCatalog"]

_Results = list[UpdateResult]

_PAGE = 1000
_BATCH = 500
_LOCK_SECONDS = 5
# Where a comparison can be made byte by byte, in one step with the write.
_EXACT = frozenset({"mariadb", "mysql", "postgresql", "sqlite"})


class SqlCatalog(Catalog):
    """A table with a column of URLs as a catalog.

    What lists and reads needs the right to SELECT and no other, and is done in transactions that cannot write where the
    database has such. A value is replaced in one step with the comparison, byte by byte, on PostgreSQL, SQLite, MySQL and
    MariaDB; elsewhere the database's own equality may take two values for one, and `capabilities` says ``"weak"``.

    Parameters
    ----------
    database : str, sqlalchemy.URL or sqlalchemy.Engine
        A password in a URL stands elsewhere: ``?password=env:NAME``. An engine is used as it is.
    table : str
    id : str
        Column of the record's id: integer, text or UUID, and unique by itself.
    url : str
        Column of the URLs.
    partition, partition_name : str, optional
        Columns of what the record belongs to, and of its name. Default: there is none.
    stamp : str, optional
        Column that rises whenever the record changes: a time, or a number. Default: there is none.
    names : sequence of str, optional
        Columns of further words, for key and URL templates.
    schema : str, optional
        Default: the connection's.

    Raises
    ------
    InvalidArgumentError
        Not a database's URL, a password in it, a driver that is not installed.
    """

    def __init__(
        self,
        database: str | sa.URL | sa.Engine,
        *,
        table: str,
        id: str = "id",
        url: str = "url",
        partition: str = "",
        partition_name: str = "",
        stamp: str = "",
        names: Sequence[str] = (),
        schema: str = "",
    ) -> None:
        if isinstance(database, sa.Engine):
            self._engine = database
        else:
            self._engine = make_engine(database)
            weakref.finalize(self, self._engine.dispose)
        self._columns = Columns(table, id, url, partition, partition_name, stamp, tuple(names), schema)
        self._dialect = self._engine.dialect.name
        self._endpoint = endpoint_of(self._engine.url)
        self._identity = identity_of(self._engine.url, f"{schema}.{table}" if schema else table, id, url)
        self._lock = threading.Lock()
        self._table: Table | None = None  # guarded by _lock

    def capabilities(self) -> CatalogCapabilities:
        with self._lock:
            length = self._table.max_value_length if self._table else 0
        return CatalogCapabilities(
            conditional="exact" if self._dialect in _EXACT else "weak", max_batch=_BATCH, max_value_length=length
        )

    def identity(self) -> str:
        return self._identity

    def endpoint(self) -> str:
        return self._endpoint

    def check(self, access: Literal["read", "update"], context: Context) -> None:
        with self._connected(context, access) as connection:
            table = self._inspected(connection, anew=True)
            with connection.begin():
                connection.execute(self._selected(table).where(sa.false()))
            if access == "update":
                self._expect_updatable(table)
                with connection.begin():
                    self._expect_right(connection, table)

    def list(self, since: Since, context: Context) -> Iterator[ReferencePage]:
        last: Any = None
        is_last = False
        while not is_last:
            with self._connected(context, "read") as connection:
                table = self._inspected(connection)
                if last is None and since.resume:
                    last = table.behind(since.resume)
                with connection.begin():
                    if last is None:
                        self._expect_ids(connection, table)
                    rows = connection.execute(self._page(table, since.stamp, last)).all()
            references = tuple(self._reference(table, row) for row in rows)
            is_last = len(rows) < _PAGE
            last = rows[-1]._mapping[self._columns.id] if rows else last
            yield ReferencePage(references, b"" if last is None else table.resume_of(last), is_last)

    def update(self, updates: Sequence[ReferenceUpdate], context: Context) -> Sequence[UpdateResult]:
        self._expect([update.id for update in updates])
        if not updates:
            return []
        with self._connected(context, "update") as connection:
            table = self._inspected(connection)
            self._expect_updatable(table)
            return self._in_transactions(connection, table, updates, context)

    def read(self, ids: Sequence[ReferenceId], context: Context) -> Sequence[ReferenceValue]:
        self._expect(ids)
        if not ids:
            return []
        with self._connected(context, "read") as connection:
            table = self._inspected(connection)
            with connection.begin():
                found = self._found(connection, table, [id.record for id in ids])
        return [found.get(id.record) or ReferenceValue(id, None, is_gone=True) for id in ids]

    @contextmanager
    def _connected(self, context: Context, access: Literal["read", "update"]) -> Iterator[sa.Connection]:
        """A connection whose statements end when the context says so."""
        context.check()
        with in_our_words(self._endpoint, context), self._engine.connect() as connection:
            if self._dialect == "postgresql":
                connection.execution_options(postgresql_readonly=access == "read")
                with connection.begin():
                    connection.exec_driver_sql(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
            elif self._dialect == "sqlite":
                with connection.begin():
                    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if access == 'read' else 'OFF'}")
            with _ended_with(context, connection.connection.driver_connection):
                yield connection

    def _inspected(self, connection: sa.Connection, anew: bool = False) -> Table:
        with self._lock:
            table = self._table
        if table is None or anew:
            with connection.begin():
                table = inspect(connection, self._columns)
            with self._lock:
                self._table = table
        return table

    def _expect(self, ids: Sequence[ReferenceId]) -> None:
        if len(ids) > _BATCH:
            raise _defect(f"more than {_BATCH} references in one call")
        for id in ids:
            if id.catalog != self._identity or id.field != self._columns.url:
                raise _defect(f"the field {id.field} of {id.catalog} is not one of {self._identity}")

    def _expect_updatable(self, table: Table) -> None:
        if table.is_view:
            raise _denied(f"{self._columns.table} is a view: it can be read, not updated; name the table behind it")

    def _expect_right(self, connection: sa.Connection, table: Table) -> None:
        """As far as the database tells."""
        if self._dialect == "sqlite":
            # No row is changed, and still it is refused where the file is read-only.
            connection.execute(sa.update(table.clause).values({table.url: None}).where(sa.false()))
            return
        if self._dialect != "postgresql":
            return
        if connection.exec_driver_sql("SHOW default_transaction_read_only").scalar() == "on" or (
            connection.exec_driver_sql("SELECT pg_catalog.pg_is_in_recovery()").scalar()
        ):
            raise _denied(f"{self._endpoint} is read-only")
        name = connection.dialect.identifier_preparer.format_table(table.clause)
        may = sa.text("SELECT pg_catalog.has_column_privilege(:table, :column, 'UPDATE')")
        if not connection.execute(may, {"table": name, "column": self._columns.url}).scalar():
            user = connection.exec_driver_sql("SELECT current_user").scalar()
            raise _denied(
                f"{user} has no right to UPDATE {self._columns.table}.{self._columns.url}: "
                f"GRANT UPDATE ({self._columns.url}) ON {name} TO {user}"
            )

    def _expect_ids(self, connection: sa.Connection, table: Table) -> None:
        """Null is never behind another id, and of two equal ones in a view the page's end could lose one."""
        where = f"the column {self._columns.id} of {self._columns.table}"
        if table.id_may_be_null:
            if connection.execute(
                sa.select(sa.literal(1)).select_from(table.clause).where(table.id.is_(None)).limit(1)
            ).first():
                raise bad(f"{where} is null in some records; every record needs an id")
        if table.is_view:
            twice = sa.select(table.id).group_by(table.id).having(sa.func.count() > 1).limit(1)
            if connection.execute(twice).first():
                raise bad(f"{where} is not unique in some records")

    def _selected(self, table: Table) -> sa.Select[Any]:
        return sa.select(*(table.column(name) for name in dict.fromkeys(self._columns.used())))

    def _ordered_id(self, table: Table) -> sa.ColumnElement[Any]:
        """So that two ids of a unique index are never equal: those of SQLite may be compared otherwise than its column."""
        if self._dialect == "sqlite" and table.id_kind == "text":
            return sa.collate(table.id, "BINARY")
        return table.id

    def _page(self, table: Table, stamp: str, last: Any) -> sa.Select[Any]:
        key = self._ordered_id(table)
        statement = self._selected(table).order_by(key).limit(_PAGE)
        if last is not None:
            statement = statement.where(key > sa.literal(last, table.id.type))
        if stamp and self._columns.stamp:
            changed = table.column(self._columns.stamp)
            since = sa.literal(table.stamp_value(stamp), changed.type)
            statement = statement.where(sa.or_(changed >= since, changed.is_(None)))
        return statement

    def _reference(self, table: Table, row: sa.Row[Any]) -> ReferenceValue:
        columns, held = self._columns, row._mapping
        value = held[columns.url]
        if value is not None and not isinstance(value, str):
            raise bad(f"the column {columns.url} of {columns.table} holds what is no text")
        return ReferenceValue(
            ReferenceId(self._identity, table.record_of(held[columns.id]), columns.url),
            value,
            text_of(held[columns.stamp]) if columns.stamp else "",
            text_of(held[columns.partition]) if columns.partition else "",
            text_of(held[columns.partition_name]) if columns.partition_name else "",
            {name: text_of(held[name]) for name in columns.names},
        )

    def _found(self, connection: sa.Connection, table: Table, records: Sequence[str]) -> dict[str, ReferenceValue]:
        """Those of `records` that are there, and no others that a collation takes for them."""
        keys = [key for key in map(table.id_of, dict.fromkeys(records)) if key is not None]
        if not keys:
            return {}
        rows = connection.execute(self._selected(table).where(table.id.in_(keys)))
        references = (self._reference(table, row) for row in rows)
        wanted = frozenset(records)
        return {reference.id.record: reference for reference in references if reference.id.record in wanted}

    def _in_transactions(
        self, connection: sa.Connection, table: Table, updates: Sequence[ReferenceUpdate], context: Context
    ) -> _Results:
        """All in one; where one is refused, and with it all of its transaction, in two of half the size, and so on: that one
        fails by itself."""
        context.check()
        try:
            with connection.begin():
                results = self._apply(connection, table, updates)
        except sa.exc.SQLAlchemyError as error:
            if not is_refusal(error):
                raise
            if len(updates) == 1:
                message = f"{self._columns.table}.{self._columns.url}: {words(error)}"
                return [UpdateResult("failed", refusal_class(error), message)]
        else:
            return [*results]
        half = len(updates) // 2
        return [
            *self._in_transactions(connection, table, updates[:half], context),
            *self._in_transactions(connection, table, updates[half:], context),
        ]

    def _apply(
        self, connection: sa.Connection, table: Table, updates: Sequence[ReferenceUpdate]
    ) -> Sequence[UpdateResult]:
        """Within a transaction."""
        records = [update.id.record for update in updates]
        before = {} if self._dialect in _EXACT else self._found(connection, table, records)
        if self._dialect == "postgresql" and len(set(records)) == len(records):
            changed: Sequence[bool] = self._apply_at_once(connection, table, updates)
        else:
            changed = [
                (self._dialect in _EXACT or _holds(before.get(update.id.record), update.expected))
                and self._apply_one(connection, table, update)
                for update in updates
            ]
        left = [record for record, is_changed in zip(records, changed, strict=True) if not is_changed]
        now = self._found(connection, table, left)
        return [
            UpdateResult("updated") if is_changed else self._not_changed(update, now.get(update.id.record))
            for update, is_changed in zip(updates, changed, strict=True)
        ]

    def _apply_at_once(
        self, connection: sa.Connection, table: Table, updates: Sequence[ReferenceUpdate]
    ) -> Sequence[bool]:
        """In one statement, which says what it changed. Who waits for another writer compares what that one left."""
        keys = [table.id_of(update.id.record) for update in updates]
        rows = [
            (key, self._padded(table, update.expected), update.value)
            for key, update in zip(keys, updates, strict=True)
            if key is not None
        ]
        if not rows:
            return [False] * len(updates)
        wanted = sa.values(
            sa.column("record", table.id.type),
            sa.column("expected", sa.Text()),
            sa.column("value", sa.Text()),
            name="wanted",
        ).data(rows)
        statement = (
            sa.update(table.clause)
            .values({table.url: wanted.c.value})  # a cast to the column's type would cut off what is too long
            .where(table.id == wanted.c.record, _text(table.url).is_not_distinct_from(wanted.c.expected.collate("C")))
            .returning(table.id)
        )
        changed = {table.record_of(row[0]) for row in connection.execute(statement)}
        return [update.id.record in changed for update in updates]

    def _apply_one(self, connection: sa.Connection, table: Table, update: ReferenceUpdate) -> bool:
        key = table.id_of(update.id.record)
        if key is None:
            return False
        statement = sa.update(table.clause).values({table.url: update.value}).where(table.id == key)
        if table.id_kind == "text" and self._dialect == "sqlite":
            statement = statement.where(sa.collate(table.id, "BINARY") == key)
        elif table.id_kind == "text" and self._dialect in ("mysql", "mariadb"):
            statement = statement.where(_bytes(table.id) == _bytes(sa.literal(key)))
        result = connection.execute(statement.where(self._as_expected(table, update.expected)))
        if result.rowcount > 1:
            raise bad(f"there are {result.rowcount} records {printable(update.id.record)!r} in {self._columns.table}")
        return result.rowcount == 1

    def _as_expected(self, table: Table, expected: str | None) -> sa.ColumnElement[bool]:
        if expected is None:
            return table.url.is_(None)
        value = sa.literal(self._padded(table, expected), sa.Text())
        if self._dialect == "postgresql":
            return _text(table.url) == value.collate("C")
        if self._dialect == "sqlite":
            return sa.and_(sa.func.typeof(table.url) == "text", sa.collate(table.url, "BINARY") == value)
        if self._dialect in ("mysql", "mariadb"):
            return sa.and_(table.url == value, _bytes(table.url) == _bytes(value))
        return table.url == value

    def _padded(self, table: Table, expected: str | None) -> str | None:
        """Of CHAR(n) the database compares, as text, what comes before the blanks at the end."""
        is_cut = table.is_padded and self._dialect == "postgresql" and expected is not None
        return expected.rstrip(" ") if is_cut and expected is not None else expected

    def _not_changed(self, update: ReferenceUpdate, now: ReferenceValue | None) -> UpdateResult:
        if now is None:
            return UpdateResult("failed", "missing", "there is no such record any more")
        if now.value != update.expected:
            return UpdateResult("conflict")
        # A trigger or a policy left it, or somebody put it back between the two looks.
        return UpdateResult(
            "failed", "unsupported", f"the database left {self._columns.table}.{self._columns.url} as it was"
        )


@contextmanager
def _ended_with(context: Context, driver: Any) -> Iterator[None]:
    """Tells the database to end what it does for `driver` when the context is cancelled, until it has ended."""
    cancel = next(
        (getattr(driver, name) for name in ("cancel_safe", "cancel", "interrupt") if hasattr(driver, name)), None
    )
    if cancel is None:
        yield
        return
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.1):
            if context.cancelled:
                try:
                    cancel()
                except Exception:
                    continue  # the connection may have gone by itself

    watcher = threading.Thread(target=watch, name="waybill-sql-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Compared byte by byte on PostgreSQL, whatever the collation of the column, and also where its type folds case."""
    return sa.cast(column, sa.Text()).collate("C")


def _bytes(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.cast(value, sa.LargeBinary())


def _holds(reference: ReferenceValue | None, expected: str | None) -> bool:
    return reference is not None and reference.value == expected


def _defect(message: str) -> InternalError:
    return InternalError(message, code="internal", error_class="internal")


def _denied(message: str) -> PermissionDeniedError:
    return PermissionDeniedError(message, code="permission_denied", error_class="permission")
