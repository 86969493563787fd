# SPDX-License-Identifier: Apache-2.0
"""A catalog over a dictionary, and the fixture that the conformance suite wants of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from waybill import (
    Catalog,
    CatalogCapabilities,
    Context,
    ReferenceId,
    ReferencePage,
    ReferenceUpdate,
    ReferenceValue,
    Since,
    UpdateResult,
)
from waybill.conformance import CatalogFixture

MAX_LENGTH = 200


class DictCatalog(Catalog):
    """Calls wait for `gate`."""

    page = 1000

    def __init__(self) -> None:
        self.rows: dict[str, ReferenceValue] = {}
        self.lock = threading.Lock()
        self.gate = threading.Event()
        self.gate.set()
        self.changes = 0

    def capabilities(self) -> CatalogCapabilities:
        return CatalogCapabilities(conditional="exact", max_batch=100, max_value_length=MAX_LENGTH)

    def identity(self) -> str:
        return "dict://documents"

    def check(self, access: str, context: Context) -> None:
        self.wait(context)

    def list(self, since: Since, context: Context) -> Iterator[ReferencePage]:
        last = since.resume.decode()
        is_last = False
        while not is_last:
            self.wait(context)
            with self.lock:
                behind = [record for record in sorted(self.rows) if record > last]
                rows = [self.rows[record] for record in behind[: self.page]]
            is_last = len(rows) < self.page
            last = rows[-1].id.record if rows else last
            yield ReferencePage(tuple(row for row in rows if row.stamp >= since.stamp), last.encode(), is_last)

    def update(self, updates: Sequence[ReferenceUpdate], context: Context) -> Sequence[UpdateResult]:
        self.wait(context)
        return [self.update_one(update) for update in updates]

    def update_one(self, update: ReferenceUpdate) -> UpdateResult:
        with self.lock:
            row = self.rows.get(update.id.record)
            if row is None:
                return UpdateResult("failed", "missing", "no such record")
            if not self.is_as_expected(row, update):
                return UpdateResult("conflict")
            if update.value is not None and len(update.value) > MAX_LENGTH:
                return UpdateResult("failed", "too_large", "the value is too long")
            self.write(row, update.value)
            return UpdateResult("updated")

    def is_as_expected(self, row: ReferenceValue, update: ReferenceUpdate) -> bool:
        return row.value == update.expected

    def read(self, ids: Sequence[ReferenceId], context: Context) -> Sequence[ReferenceValue]:
        self.wait(context)
        with self.lock:
            return [self.rows.get(id.record) or ReferenceValue(id, None, is_gone=True) for id in ids]

    def write(self, row: ReferenceValue, value: str | None) -> None:
        self.changes += 1
        self.rows[row.id.record] = ReferenceValue(
            ReferenceId(self.identity(), row.id.record, "url"),
            value,
            f"{self.changes:09}",
            row.partition,
            row.partition_name,
            row.names,
        )

    def wait(self, context: Context) -> None:
        self.gate.wait()
        context.check()


class DictCatalogFixture(CatalogFixture):
    keeps_partitions = True
    keeps_stamps = True
    names = ("file_name", "created")
    refused_value = "x" * (MAX_LENGTH + 1)
    field = "url"

    def __init__(self, kind: type[DictCatalog] = DictCatalog) -> None:
        self._catalog = kind()

    @property
    def catalog(self) -> DictCatalog:
        return self._catalog

    def put(self, records: Sequence[ReferenceValue]) -> None:
        with self.catalog.lock:
            for record in records:
                self.catalog.write(record, record.value)

    def set(self, record: str, value: str | None) -> None:
        with self.catalog.lock:
            self.catalog.write(self.catalog.rows[record], value)

    def remove(self, record: str) -> None:
        with self.catalog.lock:
            del self.catalog.rows[record]

    def value(self, record: str) -> str | None:
        with self.catalog.lock:
            return self.catalog.rows[record].value

    def stall(self) -> bool:
        self.catalog.gate.clear()
        return True

    def resume(self) -> None:
        self.catalog.gate.set()
