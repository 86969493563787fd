# SPDX-License-Identifier: Apache-2.0
"""Stores with one defect each, and the cases of the conformance suite that have to fail on them.

tests/python/test_conformance.py runs pytest on this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from dict_fixtures import DictDestinationFixture, DictSourceFixture
from dict_stores import ALWAYS, DictDestination, DictSource, DictUpload, Entry, StreamSource, stored_of

from waybill import (
    Attributes,
    Body,
    Context,
    DestinationCapabilities,
    Item,
    ItemId,
    ListRequest,
    OpenUpload,
    PartInfo,
    PartPlan,
    PartUpload,
    ReadResult,
    SourceCapabilities,
    Stored,
    WriteOptions,
)
from waybill.conformance import DestinationConformance, DestinationFixture, SourceConformance, SourceFixture

BROKEN: dict[str, list[str]] = {}


# Nothing here is about calls that hang, nor about long listings: without them this takes seconds.
class _Source(DictSourceFixture):
    more_than_a_page = 50

    def stall(self) -> bool:
        return False


class _Destination(DictDestinationFixture):
    more_than_a_page = 50

    def stall(self) -> bool:
        return False


def broken_source(*cases: str) -> Any:
    """Makes the suite of a source that has to fail `cases`."""

    def make(kind: type) -> type:
        class Broken(SourceConformance):
            @pytest.fixture
            def store(self) -> SourceFixture:
                return _Source(kind)

        return _add(kind, Broken, cases)

    return make


def broken_destination(*cases: str) -> Any:
    """Makes the suite of a destination that has to fail `cases`."""

    def make(kind: type) -> type:
        class Broken(DestinationConformance):
            @pytest.fixture
            def store(self) -> DestinationFixture:
                return _Destination(kind)

        return _add(kind, Broken, cases)

    return make


def _add(kind: type, suite: type, cases: tuple[str, ...]) -> type:
    suite.__name__ = suite.__qualname__ = f"Test{kind.__name__}"
    globals()[suite.__name__] = suite
    BROKEN[kind.__name__] = list(cases)
    return kind


@broken_source(
    "lists_every_key_once_in_the_promised_order",
    "two_listers_do_not_disturb_each_other_and_may_end_early",
)
class WrongOrder(DictSource):
    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        yield from sorted(super().list(request, context), key=lambda item: item.key.lower())


@broken_source(
    "lists_every_key_once_in_the_promised_order",
    "two_listers_do_not_disturb_each_other_and_may_end_early",
)
class ListsTwice(DictSource):
    def capabilities(self) -> SourceCapabilities:
        return SourceCapabilities()

    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        for item in super().list(ListRequest(), context):
            yield item
            if item.key.endswith(b"x"):
                yield item


@broken_source(
    "lists_between_bounds",
    "listings_go_on_from_every_page",
)
class IgnoresBounds(DictSource):
    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        return super().list(ListRequest(), context)


@broken_source(
    "reads_every_range",
    "stream_gives_what_read_gives",
    "many_threads_read_at_once",
)
class IgnoresTheOffset(DictSource):
    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return super().read(item, 0, length, context)


@broken_source(
    "reads_every_range",
    "stream_gives_what_read_gives",
    "many_threads_read_at_once",
    "a_cancelled_context_ends_every_call",
)
class ReadsShort(DictSource):
    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return super().read(item, offset, min(length, 10_000), context)


@broken_source(
    "reads_every_range",
    "stamps_agree_between_list_read_stream_and_stat",
    "stream_gives_what_read_gives",
    "many_threads_read_at_once",
    "attributes_come_with_the_first_bytes",
)
class ReadsTooMuch(DictSource):
    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return super().read(item, offset, length + 1, context)


@broken_source(
    "an_empty_item_reads_as_nothing",
    "stamps_agree_between_list_read_stream_and_stat",
)
class LiesAboutTheSize(DictSource):
    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        for item in super().list(request, context):
            yield replace(item, size=(item.size or 0) + 1)


@broken_source(
    "a_changed_item_is_not_taken_for_the_listed_one",
)
class SeesNoChange(DictSource):
    def list(self, request: ListRequest, context: Context) -> Iterator[Item]:
        for item in super().list(request, context):
            yield Item(item.key, item.size)

    def stat(self, id: ItemId, context: Context) -> Item | None:
        item = super().stat(id, context)
        return None if item is None else Item(item.key, item.size)

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return replace(super().read(item, offset, length, context), stamp=item.stamp)


@broken_source(
    "a_missing_item_is_missing",
    "an_item_removed_after_it_was_listed_is_missing",
)
class WrongErrors(DictSource):
    def entry(self, key: bytes) -> Entry:
        return self.store.entries[key]


@broken_source(
    "attributes_come_with_the_first_bytes",
)
class ForgetsAttributes(DictSource):
    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        return replace(super().read(item, offset, length, context), attributes=None)


@broken_source(
    "many_threads_read_at_once",
)
class SharesItsPosition(DictSource):
    position = 0

    def read(self, item: Item, offset: int, length: int, context: Context) -> ReadResult:
        self.position = offset
        context.sleep(0.001)
        return super().read(item, self.position, length, context)


@broken_source(
    "every_key_is_read_as_it_was_listed",
    "stamps_agree_between_list_read_stream_and_stat",
    "stream_gives_what_read_gives",
    "many_threads_read_at_once",
    "a_changed_item_is_not_taken_for_the_listed_one",
)
class StreamEndsEarly(StreamSource):
    def _chunks(self, entry: Entry) -> Iterator[bytes]:
        yield entry.content[: len(entry.content) // 2]


@broken_destination(
    "a_failed_put_leaves_the_old_object",
    "an_object_above_the_limit_is_too_large",
)
class KeepsHalf(DictDestination):
    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        self.require_key(key)
        content = body.read(1_000_000)
        entry = self.store.write(key, content, options.attributes, options.condition)
        while chunk := body.read(1_000_000):
            content += chunk
            entry = self.store.write(key, content, options.attributes)
        return stored_of(entry)


@broken_destination(
    "parts_obey_their_condition_when_they_are_completed",
    "condition_absent",
    "condition_unchanged",
    "exactly_one_of_eight_racing_writers_wins",
)
class IgnoresTheCondition(DictDestination):
    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        return super().put(key, body, WriteOptions(options.attributes), context)

    def begin_parts(self, key: bytes, plan: PartPlan, options: WriteOptions, context: Context) -> PartUpload:
        return super().begin_parts(key, plan, WriteOptions(options.attributes), context)


@broken_destination(
    "without_parts_beginning_them_is_unimplemented",
    "exactly_one_of_eight_racing_writers_wins",
)
class LooksThenWrites(DictDestination):
    def capabilities(self) -> DestinationCapabilities:
        return replace(super().capabilities(), parts=False)

    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        self.store.require(key, options.condition)
        if options.condition != ALWAYS:
            context.sleep(0.05)  # until the others have looked, too
        return super().put(key, body, WriteOptions(options.attributes), context)


@broken_destination(
    "what_is_put_is_found_by_stat_and_listing_and_read_back",
    "a_windowed_body_is_written_whole",
    "a_failed_put_leaves_the_old_object",
    "an_object_above_the_limit_is_too_large",
)
class TellsTheSizeItWasGiven(DictDestination):
    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        size = body.size
        self.require_key(key)
        stored = self.store.write(key, body.read(1_000_000), options.attributes, options.condition)
        return replace(stored_of(stored), size=size)


@broken_destination(
    "put_replaces",
    "the_etag_changes_with_the_content_not_with_the_call",
    "condition_unchanged",
    "exactly_one_of_eight_racing_writers_wins",
)
class SameEtag(DictDestination):
    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        stored = super().put(key, body, options, context)
        entry = self.store.entries[key]
        self.store.entries[key] = replace(entry, etag="one")
        return replace(stored, etag="one")


@broken_destination(
    "attributes_are_kept_as_promised",
)
class ForgetsHeaders(DictDestination):
    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        kept = Attributes(mode=options.attributes.mode, mtime_ns=options.attributes.mtime_ns)
        return super().put(key, body, replace(options, attributes=kept), context)


@broken_destination(
    "keys_are_bytes",
    "lists_between_bounds",
)
class FoldsCase(DictDestination):
    def put(self, key: bytes, body: Body, options: WriteOptions, context: Context) -> Stored:
        return super().put(key.lower(), body, options, context)


@broken_destination(
    "remove_removes_and_may_be_repeated",
)
class RemovesOnce(DictDestination):
    def remove(self, key: bytes, context: Context) -> None:
        if key == b"never there":
            return
        del self.store.entries[key]


@broken_destination(
    "parts_out_of_order_and_at_once_make_the_object",
)
class ShowsPartsEarly(DictDestination):
    def begin_parts(self, key: bytes, plan: PartPlan, options: WriteOptions, context: Context) -> PartUpload:
        upload = super().begin_parts(key, plan, options, context)
        self.store.entries.setdefault(key, Entry(b"", "early"))
        return upload


class _LastPartOnly(DictUpload):
    def complete(self, parts: Sequence[PartInfo], context: Context) -> Stored:
        if self.done is None:
            held = self.store.upload(self.upload_id).parts
            for part in parts[:-1]:
                held[part.number] = b""
        return super().complete(parts, context)


@broken_destination(
    "parts_out_of_order_and_at_once_make_the_object",
    "completing_again_gives_the_same",
    "an_upload_goes_on_in_a_later_process",
    "a_completed_upload_may_be_completed_by_a_later_process",
    "a_part_written_again_replaces_the_first",
    "parts_keep_attributes_and_replace_the_old_object",
    "parts_of_an_unknown_length_may_be_completed_at_any_part",
)
class LosesParts(DictDestination):
    def begin_parts(self, key: bytes, plan: PartPlan, options: WriteOptions, context: Context) -> PartUpload:
        upload = super().begin_parts(key, plan, options, context)
        return _LastPartOnly(self.store, upload.id(), key, options)


@broken_destination(
    "sweep_removes_what_this_migration_left_and_nothing_else",
)
class SweepsEverything(DictDestination):
    def sweep(self, known: list[OpenUpload], context: Context) -> None:  # type: ignore[override]
        self.store.uploads.clear()


@broken_destination(
    "check_passes_and_leaves_nothing",
)
class LeavesThings(DictDestination):
    def check(self, context: Context) -> None:
        self.store.write(b".probe", b"", Attributes())
