# SPDX-License-Identifier: Apache-2.0
"""Catalogs in Python as the engine will call them: round trips through the adapter and back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

import waybill
from waybill.catalogs import as_engine_sees

TABLE = {f"{number:05}": f"old/{number}" for number in range(2500)}


def id_of(record: str) -> waybill.ReferenceId:
    return waybill.ReferenceId("crm", record, "url__c")


class TableCatalog(waybill.Catalog):
    """A table in a dictionary; every hundredth field is null."""

    def __init__(self) -> None:
        self.table: dict[str, str | None] = {
            record: None if record.endswith("00") else value for record, value in TABLE.items()
        }
        self.since: list[waybill.Since] = []
        self.page = 0
        self.fails_once_at: str | None = None

    def capabilities(self) -> waybill.CatalogCapabilities:
        return waybill.CatalogCapabilities(conditional="exact", max_batch=200)

    def identity(self) -> str:
        return "crm://Ünal/documents"

    def value(self, record: str) -> waybill.ReferenceValue:
        return waybill.ReferenceValue(
            id_of(record),
            self.table.get(record),
            f"stamp {record}",
            "p",
            "Ünal & co",
            {"file name": f"ä {record}.pdf", "created": ""},
            record not in self.table,
        )

    def list(
        self, since: waybill.Since, context: waybill.Context
    ) -> Iterator[waybill.ReferenceValue | waybill.ReferencePage]:
        self.since.append(since)
        records = [record for record in sorted(self.table) if record.encode() > since.resume]
        while self.page and records:
            page, records = records[: self.page], records[self.page :]
            if self.fails_once_at is not None and self.fails_once_at in page:
                self.fails_once_at = None
                raise ConnectionError("it broke off")
            values = tuple(self.value(record) for record in page)
            yield waybill.ReferencePage(values, page[-1].encode(), is_last=not records)
        for record in records:
            yield self.value(record)

    def update(
        self, updates: Sequence[waybill.ReferenceUpdate], context: waybill.Context
    ) -> Sequence[waybill.UpdateResult]:
        results = []
        for update in updates:
            if update.id.record not in self.table:
                results.append(waybill.UpdateResult("failed", "missing", "no such record", retryable=True))
            elif self.table[update.id.record] != update.expected or update.expected_stamp == "old":
                results.append(waybill.UpdateResult("conflict", "conflict"))
            else:
                self.table[update.id.record] = update.value
                results.append(waybill.UpdateResult("updated"))
        return results

    def read(self, ids: Sequence[waybill.ReferenceId], context: waybill.Context) -> Sequence[waybill.ReferenceValue]:
        return [self.value(id.record) for id in ids]


def test_what_a_catalog_says_comes_back_whole() -> None:
    catalog = TableCatalog()
    engine = as_engine_sees(catalog)
    assert engine.identity() == "crm://Ünal/documents"
    assert engine.capabilities() == waybill.CatalogCapabilities(conditional="exact", max_batch=200)
    context = waybill.Context()
    ids = [id_of("00001"), id_of("00100"), id_of("none")]
    assert engine.read(ids, context) == catalog.read(ids, context)
    assert [value.value for value in engine.read(ids, context)] == ["old/1", None, None]
    updates = [
        waybill.ReferenceUpdate(id_of("00001"), "old/1", "new/1"),
        waybill.ReferenceUpdate(id_of("00100"), None, "new/100", "stamp"),
        waybill.ReferenceUpdate(id_of("00002"), "else", None),
        waybill.ReferenceUpdate(id_of("00003"), "old/3", None, "old"),
        waybill.ReferenceUpdate(id_of("none"), None, "new"),
    ]
    assert engine.update(updates, context) == [
        waybill.UpdateResult("updated"),
        waybill.UpdateResult("updated"),
        waybill.UpdateResult("conflict", "conflict"),
        waybill.UpdateResult("conflict", "conflict"),
        waybill.UpdateResult("failed", "missing", "no such record", retryable=True),
    ]
    assert (catalog.table["00001"], catalog.table["00100"], catalog.table["00003"]) == ("new/1", "new/100", "old/3")


def references(listing: Iterable[Any]) -> list[waybill.ReferenceValue]:
    return [value for page in listing for value in page.references]


@pytest.mark.parametrize("page", [0, 300])
def test_listings_are_drawn_page_by_page(page: int) -> None:
    catalog = TableCatalog()
    catalog.page = page
    pages: list[Any] = list(as_engine_sees(catalog).list(waybill.Since("since", b""), waybill.Context()))
    assert references(pages) == [catalog.value(record) for record in sorted(TABLE)]
    assert [len(one.references) for one in pages] == ([1000, 1000, 500] if page == 0 else [300] * 8 + [100])
    assert pages[0].resume == (b"" if page == 0 else b"00299")
    assert [one.is_last for one in pages] == [False] * (len(pages) - 1) + [True]
    assert catalog.since == [waybill.Since("since", b"")]
    catalog.page = 300
    rest = as_engine_sees(catalog).list(waybill.Since(resume=b"02399"), waybill.Context())
    assert [value.id.record for value in references(rest)] == [f"{number:05}" for number in range(2400, 2500)]


def test_listings_are_lazy_and_end_where_they_are_left() -> None:
    drawn = []

    class Endless(TableCatalog):
        def list(self, since: waybill.Since, context: waybill.Context) -> Iterator[waybill.ReferenceValue]:
            while True:
                drawn.append(1)
                yield self.value("00001")

    listing: Any = as_engine_sees(Endless()).list(waybill.Since(), waybill.Context())
    assert len(next(listing).references) == 1000
    assert len(drawn) == 1000


def test_a_listing_that_broke_off_is_asked_for_anew_from_its_last_resume() -> None:
    catalog = TableCatalog()
    catalog.page, catalog.fails_once_at = 300, "01000"
    context = waybill.Context()
    core = as_engine_sees(catalog)._core.list(waybill.Since("since"), context)  # type: ignore[attr-defined]
    pages = [core.next(context) for _ in range(3)]
    with pytest.raises(waybill.UnavailableError, match="it broke off") as raised:
        core.next(context)
    assert raised.value.retryable
    while not pages[-1].is_last:
        pages.append(core.next(context))
    assert references(pages) == [catalog.value(record) for record in sorted(TABLE)]
    assert catalog.since == [waybill.Since("since"), waybill.Since("since", b"00899")]


def test_what_was_drawn_before_an_exception_is_not_lost() -> None:
    class Breaking(TableCatalog):
        def list(self, since: waybill.Since, context: waybill.Context) -> Iterator[waybill.ReferenceValue]:
            yield self.value("00001")
            raise PermissionError("no more")

    listing: Any = as_engine_sees(Breaking()).list(waybill.Since(), waybill.Context())
    assert [value.id.record for value in next(listing).references] == ["00001"]
    with pytest.raises(waybill.PermissionDeniedError, match="no more"):
        next(listing)


def test_wrong_answers_are_named() -> None:
    class Wrong(TableCatalog):
        answers: Any = ()

        def read(self, ids: Sequence[waybill.ReferenceId], context: waybill.Context) -> Any:
            return self.answers

        def list(self, since: waybill.Since, context: waybill.Context) -> Any:
            return ["reference"]

    catalog = Wrong()
    engine = as_engine_sees(catalog)
    for answers, said in [
        ((), r"read\(\) gave 0 answers to 1 questions"),
        (None, "read: None is not a sequence"),
        ([waybill.ReferenceValue(id_of("1"), 7)], "value: 7 is not str or bytes"),  # type: ignore[arg-type]
        (
            [waybill.ReferenceValue(id_of("1"), None, names={"a": 7})],  # type: ignore[dict-item]
            "names: 7 is not str or bytes",
        ),
        ([waybill.Since()], r"read: Since\(.* is not a waybill\.ReferenceValue"),
    ]:
        catalog.answers = answers
        with pytest.raises(waybill.InternalError, match=said):
            engine.read([id_of("1")], waybill.Context())
    with pytest.raises(
        waybill.InternalError, match=r"what list\(\) gave: 'reference' is not a waybill\.ReferenceValue"
    ):
        list(engine.list(waybill.Since(), waybill.Context()))
    with pytest.raises(waybill.InvalidArgumentError, match=r"is not a waybill\.Catalog"):
        as_engine_sees(object())  # type: ignore[arg-type]


def test_check_is_asked_and_capabilities_again_after_it() -> None:
    class Checked(TableCatalog):
        asked: list[str] = []  # noqa: RUF012
        length = 0

        def capabilities(self) -> waybill.CatalogCapabilities:
            return waybill.CatalogCapabilities(max_value_length=self.length, locks_partitions=self.length > 0)

        def endpoint(self) -> str:
            return "crm://Ünal"

        def check(self, access: str, context: waybill.Context) -> None:
            self.asked.append(access)
            self.length = 255
            if access == "update":
                raise PermissionError("no right to update")

    engine = as_engine_sees(Checked())
    assert engine.endpoint() == "crm://Ünal"
    assert engine.capabilities().max_value_length == 0
    assert not engine.capabilities().locks_partitions
    engine.check("read", waybill.Context())
    assert engine.capabilities().max_value_length == 255
    assert engine.capabilities().locks_partitions
    with pytest.raises(waybill.PermissionDeniedError, match="no right to update"):
        engine.check("update", waybill.Context())
    assert Checked.asked == ["read", "update"]
    with pytest.raises(waybill.InternalError, match="access: 'write' is not one of its words"):
        engine.check("write", waybill.Context())  # type: ignore[arg-type]
    plain = as_engine_sees(TableCatalog())
    plain.check("update", waybill.Context())
    assert plain.endpoint() == plain.identity()


@pytest.mark.parametrize("method", ["check", "list", "read", "update"])
def test_calls_that_hang_are_given_up(method: str) -> None:
    gate = threading.Event()

    class Hanging(TableCatalog):
        def check(self, access: str, context: waybill.Context) -> None:
            gate.wait(60)

        def list(self, since: waybill.Since, context: waybill.Context) -> Any:
            gate.wait(60)
            return []

        def read(self, ids: Sequence[waybill.ReferenceId], context: waybill.Context) -> Any:
            gate.wait(60)

        def update(self, updates: Sequence[waybill.ReferenceUpdate], context: waybill.Context) -> Any:
            gate.wait(60)

    engine = as_engine_sees(Hanging())
    context = waybill.Context()
    calls = {
        "check": lambda: engine.check("read", context),
        "list": lambda: list(engine.list(waybill.Since(), context)),
        "read": lambda: engine.read([], context),
        "update": lambda: engine.update([], context),
    }
    threading.Timer(0.2, context.cancel).start()
    begun = time.monotonic()
    try:
        with pytest.raises(waybill.CancelledError):
            calls[method]()
        assert time.monotonic() - begun < 30  # long before the gate opens by itself
    finally:
        gate.set()
