# SPDX-License-Identifier: Apache-2.0
"""The table behind a catalog: what its columns are, and how their values become text and come back."""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from waybill.errors import InvalidArgumentError
from waybill.nearest import did_you_mean

_MAX_RECORD_BYTES = 1024
_CHECKED = r"\W*(?:char(?:acter)?_)?length\W+{}\W+(?:::\w+\W*)?<= *(\d+)\W*"


@dataclass(frozen=True)
class Columns:
    """The names of `SqlCatalog`'s parameters; empty where there is no such column."""

    table: str
    id: str
    url: str
    partition: str
    partition_name: str
    stamp: str
    names: tuple[str, ...]
    schema: str

    def used(self) -> list[str]:
        """Of all columns that are read."""
        return [name for name in (self.id, self.url, self.partition, self.partition_name, self.stamp) if name] + list(
            self.names
        )


@dataclass(frozen=True)
class Table:
    """What was found."""

    columns: Columns
    clause: sa.TableClause
    id_kind: Literal["integer", "text", "uuid"]
    id_may_be_null: bool
    is_view: bool
    is_padded: bool
    """The values are of CHAR(n): those that differ in blanks at their end are one."""
    max_value_length: int

    def column(self, name: str) -> sa.ColumnClause[Any]:
        return self.clause.c[name]

    @property
    def id(self) -> sa.ColumnClause[Any]:
        return self.clause.c[self.columns.id]

    @property
    def url(self) -> sa.ColumnClause[Any]:
        return self.clause.c[self.columns.url]

    def record_of(self, value: Any) -> str:
        """The id of a row as text."""
        if self.id_kind == "integer" and isinstance(value, decimal.Decimal) and value == int(value):
            value = int(value)
        wanted = {"integer": int, "text": str, "uuid": uuid.UUID}[self.id_kind]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise bad(f"the column {self.columns.id} of {self.columns.table} holds an id that is no {self.id_kind}")
        record = str(value)
        if len(record.encode()) > _MAX_RECORD_BYTES:
            raise bad(f"the column {self.columns.id} of {self.columns.table} holds an id of more than 1,024 bytes")
        return record

    def id_of(self, record: str) -> Any:
        """The inverse; None for text that is no record's."""
        if self.id_kind == "text":
            return None if "\0" in record else record
        try:
            value = int(record) if self.id_kind == "integer" else uuid.UUID(record)
        except ValueError:
            return None
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            return None
        return value if str(value) == record else None

    def resume_of(self, value: Any) -> bytes:
        """Where a listing goes on behind an id. Of SQLite it is the same as of the catalog that is built in."""
        return (self.id_kind[0] + self.record_of(value)).encode()

    def behind(self, resume: bytes) -> Any:
        """The inverse."""
        text = resume.decode("utf-8", "replace")
        value = self.id_of(text[1:]) if text[:1] == self.id_kind[0] else None
        if value is None:
            raise bad(f"the resume of a listing is not one of {self.columns.table}")
        return value

    def stamp_value(self, stamp: str) -> Any:
        """What the stamp column holds, of the text that a listing gave."""
        try:
            kind = self.column(self.columns.stamp).type.python_type
        except NotImplementedError:
            kind = str
        try:
            if issubclass(kind, datetime.datetime | datetime.date):
                return kind.fromisoformat(stamp)
            return kind(stamp) if kind in (int, float, decimal.Decimal) else stamp
        except (ValueError, decimal.InvalidOperation):
            raise bad(f"the stamp {stamp!r} is none of {self.columns.table}.{self.columns.stamp}") from None


def text_of(value: Any) -> str:
    """A word of a record; the same moment is always the same word."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC)
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def inspect(connection: sa.Connection, columns: Columns) -> Table:
    """Raises InvalidArgumentError, with the nearest name, where there is no such table or column, or the id is not unique."""
    inspector = sa.inspect(connection)
    schema = columns.schema or None
    views = inspector.get_view_names(schema)
    tables = inspector.get_table_names(schema)
    if columns.table not in views and columns.table not in tables:
        materialized = getattr(inspector, "get_materialized_view_names", None)
        views = [*views, *(materialized(schema) if materialized else ())]
    if columns.table not in views and columns.table not in tables:
        raise bad(f"there is no table {columns.table!r}" + _near(columns.table, [*tables, *views]))
    found = {column["name"]: column for column in inspector.get_columns(columns.table, schema)}
    for name in columns.used():
        if name not in found:
            raise bad(f"the table {columns.table} has no column {name!r}" + _near(name, found))
    if columns.id == columns.url:
        raise bad(f"id and url are the same column {columns.id}")
    is_view = columns.table not in tables
    if not is_view:
        _expect_unique(inspector, columns)
    url = found[columns.url]["type"]
    _expect_text(columns, url)
    clause = sa.table(
        columns.table, *(sa.column(name, found[name]["type"]) for name in dict.fromkeys(columns.used())), schema=schema
    )
    return Table(
        columns,
        clause,
        _id_kind(columns, found[columns.id]["type"]),
        bool(found[columns.id]["nullable"]) or is_view,
        is_view,
        isinstance(url, sa.CHAR),
        0 if is_view else _length_bound(inspector, columns, url),
    )


def _near(word: str, known: Iterable[str]) -> str:
    names = list(known)
    return did_you_mean(word, names) or ("; there are " + ", ".join(sorted(names)[:12]) if names else "; there is none")


def _expect_unique(inspector: sa.Inspector, columns: Columns) -> None:
    wanted = [columns.id]
    primary: Sequence[str] = inspector.get_pk_constraint(columns.table, columns.schema or None)["constrained_columns"]
    if list(primary) == wanted:
        return
    for constraint in inspector.get_unique_constraints(columns.table, columns.schema or None):
        if constraint["column_names"] == wanted:
            return
    for index in inspector.get_indexes(columns.table, columns.schema or None):
        is_partial = any(name.endswith("_where") for name in index.get("dialect_options", {}))
        if index["unique"] and index["column_names"] == wanted and not is_partial:
            return
    composite = f"; its primary key is of {len(primary)} columns, ({', '.join(primary)})" if len(primary) > 1 else ""
    raise bad(f"the column {columns.id} of {columns.table} is not unique by itself{composite}; name a column that is")


def _expect_text(columns: Columns, kind: sa.types.TypeEngine[Any]) -> None:
    try:
        is_text = issubclass(kind.python_type, str)
    except NotImplementedError:
        is_text = True  # a type of the database's own
    if not is_text:
        raise bad(f"the column {columns.url} of {columns.table} is {type(kind).__name__.upper()}; URLs are text")


def _id_kind(columns: Columns, kind: sa.types.TypeEngine[Any]) -> Literal["integer", "text", "uuid"]:
    if isinstance(kind, sa.Uuid):
        return "uuid"
    if isinstance(kind, sa.Integer) or (isinstance(kind, sa.Numeric) and not kind.scale and kind.precision):
        return "integer"
    if isinstance(kind, sa.String):
        return "text"
    raise bad(f"the column {columns.id} of {columns.table} is {kind}; an id is an integer, text or UUID")


def _length_bound(inspector: sa.Inspector, columns: Columns, kind: sa.types.TypeEngine[Any]) -> int:
    """Where it is plain: VARCHAR(200), or CHECK (length(url) <= 200)."""
    bounds = [kind.length] if isinstance(kind, sa.String) and kind.length else []
    try:
        checks = inspector.get_check_constraints(columns.table, columns.schema or None)
    except NotImplementedError:
        checks = []
    pattern = re.compile(_CHECKED.format(re.escape(columns.url)), re.IGNORECASE)
    bounds += [int(found[1]) for check in checks if (found := pattern.fullmatch(check["sqltext"]))]
    return min(bounds, default=0)


def bad(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")
