# SPDX-License-Identifier: Apache-2.0
"""Records as lazy sequences that tables are made of.

A table has one schema for each kind of record, made of its fields, whatever the ledger holds:

- integers are int64, words and texts string, keys binary;
- names that end in ``_ms`` or ``_ns`` lose that, and are timestamps in UTC of that unit;
- digests are lower-case hexadecimal, as in reports;
- a record in a record becomes columns: ``items.done`` is ``items_done``; those of the record that the row is about keep
  their names;
- counts by name (``failed_by_class``) are maps of string to int64.

Nothing of pyarrow, pandas or polars is loaded before it is asked for.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from waybill.errors import missing_package
from waybill.records import Outcome, RunSummary

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import polars  # type: ignore[import-not-found, unused-ignore]
    import pyarrow  # type: ignore[import-untyped, import-not-found, unused-ignore]

__all__ = ["Records"]

Record_co = TypeVar("Record_co", covariant=True)
Page = list[dict[str, Any]]

# The part of a record that its row is about; of what else it holds, what that part says already is left out.
_ABOUT = {Outcome: "item", RunSummary: "record"}
_HEX_DIGITS = {"crc64nvme": 16, "sha256": 64, "stored_crc64nvme": 16, "stored_sha256": 64}


class Records(Generic[Record_co]):
    """Records of a ledger, read anew each time that they are iterated over; a page of a thousand is in memory at once.

    pandas, polars and pyarrow take them as they are: ``pandas.DataFrame(records)``, ``polars.DataFrame(records)``,
    ``pyarrow.table(records)``; where pyarrow is installed, so does whatever reads Arrow streams (DuckDB, for example).
    `to_pandas`, `to_polars` and `to_arrow` give typed columns, also where there is no record at all. Docs:
    docs/python.md.

    What a ledger cannot do is raised when its records are read, not before.

    Examples
    --------
    >>> failures = waybill.Tracker("photos.db").failures()
    >>> failures.to_pandas().groupby("error_class").size()
    """

    __slots__ = ("_kind", "_make", "_pages")

    def __init__(
        self, kind: type[Record_co], make: Callable[[dict[str, Any]], Record_co], pages: Callable[[], Iterator[Page]]
    ) -> None:
        self._kind = kind
        self._make = make
        self._pages = pages

    def __iter__(self) -> Iterator[Record_co]:
        for page in self._pages():
            for row in page:
                yield self._make(row)

    def __repr__(self) -> str:
        return f"<waybill.Records of {self._kind.__name__}; iterate over them, or see to_pandas()>"

    def to_arrow(self) -> pyarrow.Table:
        """A table with typed columns. Holds all records, as columns; no Python object for each of them.

        Raises
        ------
        ImportError
            pyarrow is not installed.
        """
        return self.to_batches().read_all()

    def to_batches(self) -> pyarrow.RecordBatchReader:
        """The same batch by batch, a thousand records each: memory does not grow with their number.

        Raises
        ------
        ImportError
            pyarrow is not installed.
        """
        arrow = _arrow("arrow")
        columns = _columns(self._kind)
        schema = arrow.schema([column.field(arrow) for column in columns])
        return arrow.RecordBatchReader.from_batches(schema, self._batches(arrow, columns, schema))

    def to_pandas(self) -> pandas.DataFrame:
        """A data frame with typed columns.

        Integers are ``Int64``, which has a word for missing ones; times are ``datetime64`` in UTC; maps are dicts.

        Raises
        ------
        ImportError
            pandas or pyarrow is not installed.
        """
        arrow = _arrow("pandas")
        try:
            import pandas  # noqa: PLC0415 (only where it is asked for)
        except ImportError:
            raise missing_package("pandas", "pandas") from None
        kinds = {arrow.int64(): pandas.Int64Dtype(), arrow.bool_(): pandas.BooleanDtype()}
        return self.to_arrow().to_pandas(types_mapper=kinds.get, maps_as_pydicts="strict")

    def to_polars(self) -> polars.DataFrame:
        """A data frame with typed columns; maps are lists of key and value.

        Raises
        ------
        ImportError
            polars or pyarrow is not installed.
        """
        _arrow("polars")
        try:
            import polars  # noqa: PLC0415
        except ImportError:
            raise missing_package("polars", "polars") from None
        return polars.DataFrame(self)

    @property
    def __arrow_c_stream__(self) -> Callable[..., object]:
        # Where pyarrow is not installed there is no such attribute, and others iterate.
        if find_spec("pyarrow") is None:
            raise AttributeError("__arrow_c_stream__ needs pyarrow")
        return self._stream

    def _stream(self, requested_schema: object = None) -> object:
        return self.to_batches().__arrow_c_stream__(requested_schema)

    def _batches(self, arrow: Any, columns: tuple[_Column, ...], schema: Any) -> Iterator[Any]:
        for page in self._pages():
            arrays = [
                arrow.array(column.values(page), entry.type) for column, entry in zip(columns, schema, strict=True)
            ]
            yield arrow.record_batch(arrays, schema=schema)


class _Column(NamedTuple):
    name: str
    path: tuple[str, ...]
    kind: str
    is_optional: bool

    def field(self, arrow: Any) -> Any:
        known = {
            "bool": arrow.bool_(),
            "bytes": arrow.binary(),
            "float": arrow.float64(),
            "int": arrow.int64(),
            "map": arrow.map_(arrow.string(), arrow.int64()),
            "ms": arrow.timestamp("ms", "UTC"),
            "ns": arrow.timestamp("ns", "UTC"),
        }
        return arrow.field(self.name, known.get(self.kind, arrow.string()), nullable=self.is_optional)

    def values(self, page: Page) -> list[Any]:
        rows: list[Any] = page
        for step in self.path[:-1]:
            rows = [row[step] if row is not None else None for row in rows]
        last = self.path[-1]
        values: list[Any] = [row[last] if row is not None else None for row in rows]
        match self.kind:
            case "str":
                return [_text(value) for value in values]
            case "map":
                return [[(_text(name), number) for name, number in value.items()] for value in values]
            case "crc64nvme":
                return [f"{value:016x}" if value is not None else None for value in values]
            case "sha256":
                return [value.hex() if value is not None else None for value in values]
        return values


def _columns(kind: type[Any]) -> tuple[_Column, ...]:
    about = _ABOUT.get(kind)
    if about is None:
        return tuple(_flattened(kind))
    known = {entry.name for entry in fields(get_type_hints(kind)[about])}
    columns = []
    for column in _flattened(kind):
        if column.path[0] == about:
            columns.append(column._replace(name=column.name.removeprefix(f"{about}_")))
        elif column.path[-1] not in known:
            columns.append(column)
    return tuple(columns)


def _flattened(
    kind: type[Any], path: tuple[str, ...] = (), prefix: str = "", is_optional: bool = False
) -> Iterator[_Column]:
    hints = get_type_hints(kind)
    for entry in fields(kind):
        hint, may_lack = _without_none(hints[entry.name])
        may_lack = may_lack or is_optional
        inner = (*path, entry.name)
        name = prefix + entry.name
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _flattened(hint, inner, f"{name}_", may_lack)
        elif entry.name in _HEX_DIGITS:
            yield _Column(name, inner, entry.name.removeprefix("stored_"), may_lack)
        elif hint is int and name.endswith(("_ms", "_ns")):
            yield _Column(name[:-3], inner, name[-2:], may_lack)
        elif get_origin(hint) in (dict, Mapping):
            yield _Column(name, inner, "map", may_lack)
        else:
            yield _Column(name, inner, hint.__name__ if hint in (bool, bytes, float, int) else "str", may_lack)


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        (rest,) = (one for one in get_args(hint) if one is not type(None))
        return rest, True
    return hint, False


def _text(text: str | None) -> str | None:
    """Arrow's text is UTF-8: a byte that is not stands as ``\\xff``."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _arrow(extra: str) -> Any:
    try:
        import pyarrow  # noqa: PLC0415
    except ImportError:
        raise missing_package("pyarrow", extra) from None
    return pyarrow
