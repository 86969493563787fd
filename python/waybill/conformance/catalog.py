# SPDX-License-Identifier: Apache-2.0
"""What every Catalog keeps (waybill.Catalog)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import pytest

from waybill.catalogs import (
    Catalog,
    ReferenceId,
    ReferencePage,
    ReferenceUpdate,
    ReferenceValue,
    Since,
    UpdateResult,
    as_engine_sees,
)
from waybill.conformance.fixtures import CatalogFixture
from waybill.conformance.support import Suite, cancel_during, error_of, fails_with, in_threads
from waybill.errors import Error
from waybill.stores import Context

__all__ = ["CatalogConformance"]

# Ids that differ, but not to everybody.
_RECORDS = (
    *("7", "07", "007", "+7", "7.0", " 7", "7 ", "abc", "ABC", "Abc", "-1", "0", "9223372036854775807"),
    *("9223372036854775808", "1e3", "a'b", 'a"b', "a;b--", "a%b_", "é", "e\u0301", "🚚", "a/b?c=d&e", "row\nbreak"),
)
# Values that differ, but not to everybody.
_VALUES = (
    *(None, "", " ", "0", "7", "007", "NULL", "https://old.example/a.pdf", "https://old.example/A.pdf"),
    *("https://old.example/a.pdf ", "https://old.example/é", "https://old.example/e\u0301", "two\nlines", "🚚"),
    *('it\'s "quoted"; -- %s ? :x %(y)s', "https://old.example/a?b=c&d=%20e#f"),
)
_NEW = "https://new.example/x"
_MAX_PAGES = 100_000


class CatalogConformance(Suite[CatalogFixture]):
    """What every catalog keeps; give it a fixture ``store``, a `CatalogFixture`."""

    @cached_property
    def catalog(self) -> Catalog:
        """The one under test, as a run calls it."""
        return as_engine_sees(self.store.catalog)

    def id(self, record: str) -> ReferenceId:
        return ReferenceId(self.catalog.identity(), record, self.store.field)

    def put(self, record: str, value: str | None) -> str:
        self.store.put([ReferenceValue(self.id(record), value)])
        return record

    def read(self, record: str) -> ReferenceValue:
        (value,) = self.catalog.read([self.id(record)], self.context)
        return value

    def update(self, record: str, expected: str | None, value: str | None) -> UpdateResult:
        (result,) = self.catalog.update(
            [ReferenceUpdate(self.id(record), expected, value, self.read(record).stamp)], self.context
        )
        return result

    def test_identity_and_endpoint_are_stable(self) -> None:
        assert self.catalog.identity() == as_engine_sees(self.store.catalog).identity() != ""
        assert "\n" not in self.catalog.identity()
        assert self.catalog.endpoint() == as_engine_sees(self.store.catalog).endpoint() != ""
        assert self.catalog.capabilities().max_batch > 0

    def test_check_passes_on_a_catalog_that_is_there_and_changes_nothing(self) -> None:
        record = self.put(self.store.record(1), "old")
        self.catalog.check("read", self.context)
        self.catalog.check("update", self.context)
        assert self.store.value(record) == "old"

    def test_check_of_a_catalog_that_is_missing_names_it(self) -> None:
        missing = self.store.missing_store()
        if missing is None:
            pytest.skip("such a catalog cannot be missing")
        error = fails_with("missing", lambda: as_engine_sees(missing).check("read", self.context))
        assert error.message
        assert "\n" not in error.message
        assert not error.retryable

    def test_who_may_only_read_reads_and_is_refused_updates(self) -> None:
        reader = self.store.without_right_to_update()
        if reader is None:
            pytest.skip("the fixture has no such user")
        reader = as_engine_sees(reader)
        record = self.put(self.store.record(1), "old")
        reader.check("read", self.context)
        assert [value.value for value in _listed(reader, Since(), self.context)] == ["old"]
        id = replace(self.id(record), catalog=reader.identity())
        assert reader.read([id], self.context)[0].value == "old"
        fails_with("permission", lambda: reader.check("update", self.context))
        results: list[UpdateResult] = []
        refused = error_of(lambda: results.extend(reader.update([ReferenceUpdate(id, "old", _NEW)], self.context)))
        assert (refused.error_class if refused else results[0].error_class) == "permission"
        assert refused or results[0].status == "failed"
        assert self.store.value(record) == "old"

    def test_an_empty_catalog_lists_nothing(self) -> None:
        assert _listed(self.catalog, Since(), self.context) == []

    def test_lists_and_reads_every_record_as_it_is(self) -> None:
        put: dict[str, ReferenceValue] = {}
        for record in _RECORDS:
            if self.store.can_hold_record(record):
                put[record] = self._made(record, f"value of {record}")
            else:
                self.leave_out(f"the catalog cannot hold the record {record!r}")
        for number, value in enumerate(_VALUES):
            if self.store.can_hold_value(value):
                record = self.store.record(1000 + number)
                put[record] = self._made(record, value)
        self.store.put(list(put.values()))
        listed = _listed(self.catalog, Since(), self.context)
        for reference in listed:
            want = put.pop(reference.id.record, None)
            assert want is not None, f"never put, or listed twice: {reference.id.record!r}"
            assert replace(reference, stamp="") == want
            assert self.read(reference.id.record) == reference
        assert not put, f"not listed, or listed as another one: {list(put)}"

    def _made(self, record: str, value: str | None) -> ReferenceValue:
        made = ReferenceValue(self.id(record), value, names={name: f"{name} of {record}" for name in self.store.names})
        if self.store.keeps_partitions and len(record) % 2:
            made = replace(made, partition="account 7", partition_name="Ünal & Co")
        return made

    def test_listings_go_on_from_every_page(self) -> None:
        records = [self.store.record(number) for number in range(self.store.more_than_a_page)]
        self.store.put([ReferenceValue(self.id(record), "value") for record in records])
        pages = _pages(self.catalog, Since(), self.context)
        assert _records([value for page in pages for value in page.references]) == sorted(records)
        for position, page in enumerate(pages[:-1]):
            if not page.resume:
                self.leave_out(f"page {position} cannot be resumed from")
                continue
            rest = [value for later in pages[position + 1 :] for value in later.references]
            again = _listed(self.catalog, Since(resume=page.resume), self.context)
            assert _records(again) == _records(rest), f"resumed after page {position}"

    def test_a_listing_loses_no_record_that_is_there_all_along(self) -> None:
        records = [self.store.record(number) for number in range(self.store.more_than_a_page)]
        self.store.put([ReferenceValue(self.id(record), "value") for record in records])
        passing = records[::3]
        steady = [record for record in records if record not in frozenset(passing)]
        times = dict.fromkeys(steady, 0)
        for number, page in enumerate(self.catalog.list(Since(), self.context)):
            assert isinstance(page, ReferencePage)
            assert number < _MAX_PAGES
            for value in page.references:
                if value.id.record in times:
                    times[value.id.record] += 1
            # Others remove, change and add records, before and behind where the listing is.
            for record in [*passing[:20], *passing[20:][-20:]]:
                self.store.remove(record)
            passing = passing[20:-20]
            for record in steady[:: 1 + len(steady) // 20]:
                self.store.set(record, f"changed {number}")
            self.put(self.store.record(len(records) + number), "added")
        assert {record: count for record, count in times.items() if count != 1} == {}

    def test_reads_in_the_order_of_the_questions_and_says_what_is_gone(self) -> None:
        if self.catalog.capabilities().max_batch < 5:
            pytest.skip("fewer than five at a time")
        first = self.put(self.store.record(1), "one")
        second = self.put(self.store.record(2), None)
        third = self.put(self.store.record(3), "three")
        self.store.remove(third)
        ids = [self.id(record) for record in (second, third, first, self.store.record(99), first)]
        values = self.catalog.read(ids, self.context)
        assert [value.id for value in values] == ids
        assert [value.value for value in values] == [None, None, "one", None, "one"]
        assert [value.is_gone for value in values] == [False, True, False, True, False]
        assert list(self.catalog.read([], self.context)) == []
        assert list(self.catalog.update([], self.context)) == []

    def test_updates_where_the_value_is_as_expected_and_nowhere_else(self) -> None:
        compares = self.catalog.capabilities().conditional != "none"
        if not compares:
            self.leave_out("the catalog compares nothing")
        values = [value for value in _VALUES if self.store.can_hold_value(value)]
        for number, held in enumerate(values):
            record = self.put(self.store.record(number), held)
            for expected in (value for value in _VALUES if compares and value != held):
                result = self.update(record, expected, _NEW)
                assert (result.status, self.store.value(record)) == ("conflict", held), f"expected was {expected!r}"
            assert self.update(record, held, _NEW).status == "updated", repr(held)
            assert self.store.value(record) == _NEW
            # And back, to the character.
            assert self.update(record, _NEW, held).status == "updated", repr(held)
            assert (self.store.value(record), self.read(record).value) == (held, held)

    def test_one_result_for_each_update_in_order(self) -> None:
        batch = min(self.catalog.capabilities().max_batch, 1000)
        if batch < 4:
            pytest.skip(f"no more than {batch} at a time")
        records = [self.store.record(number) for number in range(batch)]
        self.store.put([ReferenceValue(self.id(record), f"old {record}") for record in records])
        stamps = {value.id.record: value.stamp for value in _listed(self.catalog, Since(), self.context)}
        records.reverse()
        for record in records[1::4]:
            self.store.set(record, "edited")
        for record in records[2::4]:
            self.store.remove(record)
        updates = [
            ReferenceUpdate(self.id(record), f"old {record}", f"new {record}", stamps[record]) for record in records
        ]
        results = self.catalog.update(updates, self.context)
        assert len(results) == len(updates)
        compares = self.catalog.capabilities().conditional != "none"
        for position, (record, result) in enumerate(zip(records, results, strict=True)):
            if position % 4 == 2:
                assert (result.status, result.error_class, result.retryable) == ("failed", "missing", False), position
                assert self.read(record).is_gone
            elif position % 4 == 1:
                assert not compares or (result.status, self.store.value(record)) == ("conflict", "edited"), position
            else:
                assert (result.status, self.store.value(record)) == ("updated", f"new {record}"), position

    def test_a_refused_value_fails_alone_and_says_why(self) -> None:
        refused = self.store.refused_value
        if refused is None:
            pytest.skip("the field takes every value")
        if self.catalog.capabilities().max_batch < 5:
            pytest.skip("fewer than five at a time")
        records = [self.put(self.store.record(number), "old") for number in range(5)]
        values = [_NEW, _NEW, refused, _NEW, _NEW]
        updates = [
            ReferenceUpdate(self.id(record), "old", value, self.read(record).stamp)
            for record, value in zip(records, values, strict=True)
        ]
        results = self.catalog.update(updates, self.context)
        assert [result.status for result in results] == ["updated", "updated", "failed", "updated", "updated"]
        assert [self.store.value(record) for record in records] == [_NEW, _NEW, "old", _NEW, _NEW]
        assert results[2].error_class != "none"
        assert results[2].message
        assert "\n" not in results[2].message
        assert refused[:40] not in results[2].message, "a value may be secret"
        assert not results[2].retryable

    def test_a_record_that_only_looks_like_it_is_not_touched(self) -> None:
        held = [record for record in _RECORDS if self.store.can_hold_record(record)]
        for record in held[::2]:
            self.put(record, f"of {record}")
        for like, record in zip(held[::2], held[1::2], strict=False):
            assert self.read(record).is_gone, record
            (result,) = self.catalog.update([ReferenceUpdate(self.id(record), f"of {like}", _NEW)], self.context)
            assert (result.status, result.error_class) == ("failed", "missing"), record
        assert [self.store.value(record) for record in held[::2]] == [f"of {record}" for record in held[::2]]

    def test_of_many_that_update_at_once_one_wins(self) -> None:
        if self.catalog.capabilities().conditional != "exact":
            pytest.skip("the condition is not exact")
        for number in range(5):
            record = self.put(self.store.record(number), "old")
            won = self._race(record)
            assert len(won) == 1, won
            assert self.store.value(record) == f"writer {won[0]}"

    def _race(self, record: str) -> Sequence[int]:
        won: list[int] = []

        def write(writer: int) -> None:
            update = ReferenceUpdate(self.id(record), "old", f"writer {writer}")
            is_over = False
            while not is_over:  # busy is no answer
                try:
                    (result,) = self.catalog.update([update], self.context)
                    is_over = result.status != "failed" or not result.retryable
                except Error as error:
                    if not error.retryable:
                        raise
            if result.status == "updated":
                won.append(writer)

        raised = in_threads(4, write)
        assert raised == [None] * 4
        return won

    def test_lists_what_changed_since_a_stamp(self) -> None:
        if not self.store.keeps_stamps:
            pytest.skip("the catalog keeps no stamps")
        for number in range(20):
            self.put(self.store.record(number), "old")
        assert all(value.stamp for value in _listed(self.catalog, Since(), self.context))
        self.store.set(self.store.record(3), "changed")
        since = self.read(self.store.record(3)).stamp
        self.store.set(self.store.record(7), "changed")
        self.put(self.store.record(20), "new")
        changed = _records(_listed(self.catalog, Since(since), self.context))
        assert {self.store.record(number) for number in (3, 7, 20)} <= set(changed)
        assert len(changed) < 21, "records that did not change are listed too"

    def _calls(self, record: str) -> dict[str, Callable[[Context], object]]:
        id = self.id(record)
        return {
            "check": lambda context: self.catalog.check("update", context),
            "list": lambda context: _listed(self.catalog, Since(), context),
            "read": lambda context: self.catalog.read([id], context),
            "update": lambda context: self.catalog.update([ReferenceUpdate(id, "old", _NEW)], context),
        }

    def test_a_cancelled_context_ends_every_call_and_changes_nothing(self) -> None:
        record = self.put(self.store.record(1), "old")
        for name, call in self._calls(record).items():
            cancelled = Context()
            cancelled.cancel()
            error = error_of(lambda call=call, cancelled=cancelled: call(cancelled))  # type: ignore[misc]
            if name == "check" and error is None:
                continue  # the default asks nobody
            assert error is not None, name
            assert error.error_class == "cancelled", name
        assert self.store.value(record) == "old"

    def test_every_call_that_hangs_ends_within_a_second_of_its_cancellation(self) -> None:
        record = self.put(self.store.record(1), "old")
        calls = self._calls(record)
        if not self.store.stall():
            pytest.skip("calls to this catalog cannot be made to hang")
        for name, call in calls.items():
            error = cancel_during(call, 0.2)
            if name == "check" and error is None:
                continue  # the default asks nobody
            assert error is not None, f"{name} was not hanging"
            assert (error.error_class, error.retryable) == ("cancelled", False), name
        self.store.resume()
        assert self.store.value(record) == "old", "an update that was cancelled before it began was made"
        assert self.update(record, "old", _NEW).status == "updated", "the store works again, so must the catalog"


def _pages(catalog: Catalog, since: Since, context: Context) -> list[ReferencePage]:
    pages = []
    for page in catalog.list(since, context):
        assert isinstance(page, ReferencePage)
        pages.append(page)
        assert len(pages) < _MAX_PAGES, "the listing has no last page"
    return pages


def _listed(catalog: Catalog, since: Since, context: Context) -> list[ReferenceValue]:
    return [value for page in _pages(catalog, since, context) for value in page.references]


def _records(values: Sequence[ReferenceValue]) -> list[str]:
    return sorted(value.id.record for value in values)
