# SPDX-License-Identifier: Apache-2.0
"""What every `Source` keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, cast

import pytest

from waybill.conformance.fixtures import SourceFixture
from waybill.conformance.keys import awkward_keys, hostile_keys
from waybill.conformance.support import (
    Suite,
    cancel_during,
    check_attributes,
    check_bounds,
    check_order,
    check_resume,
    error_of,
    fails_with,
    in_threads,
    keys_of,
    list_all,
    same,
    same_keys,
    sample_content,
)
from waybill.errors import Error
from waybill.records import printable
from waybill.stores import (
    Attributes,
    Context,
    Item,
    ItemId,
    ListRequest,
    ReadResult,
    Source,
    SourceStamp,
    StreamResult,
    as_engine_sees,
)

__all__ = ["SourceConformance"]


def _read(source: Source, item: Item, offset: int, length: int, context: Context) -> ReadResult:
    result = source.read(item, offset, length, context)
    assert isinstance(result, ReadResult)
    return result


def _content(source: Source, item: Item, context: Context, step: int = 4096) -> bytes:
    """By its stream, in steps."""
    return _drain(cast(StreamResult, source.stream(item, context)), step)


def _drain(stream: StreamResult, step: int) -> bytes:
    file = cast(BinaryIO, stream.content)
    chunks = []
    while chunk := file.read(step):
        assert len(chunk) <= step
        chunks.append(chunk)
    assert file.read(step) == b"", "the end is not the end when asked again"
    file.close()
    return b"".join(chunks)


def _same_revision(listed: SourceStamp, other: SourceStamp | None, whose: str) -> None:
    assert other == listed, f"{whose} has another stamp than the listing: {other} instead of {listed}"


class SourceConformance(Suite[SourceFixture]):
    """The cases. Give the class that inherits them a fixture ``store`` that is a `SourceFixture`."""

    @pytest.fixture(autouse=True)
    def _adapt(self, _begin: None) -> None:
        self.source = as_engine_sees(self.store.source)
        self.can = self.source.capabilities()

    def put(self, key: bytes, content: bytes, attributes: Attributes | None = None) -> None:
        self.store.put(key, content, attributes or Attributes())

    def put_keys(self, wanted: list[bytes]) -> list[bytes]:
        """Puts those of them that the store can hold, each with a content of its own."""
        kept = []
        for key in wanted:
            if self.store.can_hold(key):
                self.put(key, b"content of " + key)
                kept.append(key)
            else:
                self.leave_out(f'the store cannot hold "{printable(key)}"')
        return kept

    def only(self, key: bytes) -> Item:
        found = [item for item in list_all(self.source, self.context) if item.key == key]
        assert len(found) == 1, f"listed {len(found)} times: {printable(key)}"
        return found[0]

    def test_identity_and_endpoint_are_stable(self) -> None:
        again = as_engine_sees(self.store.source)
        assert self.source.identity() and self.source.endpoint()
        assert (again.identity(), again.endpoint()) == (self.source.identity(), self.source.endpoint())
        assert not set(self.source.identity()) & set("\n\r")

    def test_check_passes_on_a_store_that_is_there(self) -> None:
        self.source.check(self.context)

    def test_check_of_a_store_that_is_missing_names_it(self) -> None:
        missing = self.store.missing_store()
        if missing is None:
            pytest.skip("such a store cannot be missing")
        error = fails_with("missing", lambda: as_engine_sees(missing).check(self.context))
        assert error.message and "\n" not in error.message
        assert not error.retryable

    def test_an_empty_store_lists_nothing(self) -> None:
        assert list_all(self.source, self.context) == []

    def test_lists_every_key_once_in_the_promised_order(self) -> None:
        check_order(self.source, self.put_keys(awkward_keys()), self.context)

    def test_lists_between_bounds(self) -> None:
        if not self.can.start_after:
            pytest.skip("no start_after")
        check_bounds(self.source, self.put_keys(awkward_keys()), self.context)

    def test_listings_go_on_from_every_page(self) -> None:
        keys = [f"folder{i % 13}/sub{i % 7}/item{i}".encode() for i in range(self.store.more_than_a_page)]
        keys = [key for key in keys if self.store.can_hold(key)]
        if not keys:
            pytest.skip("the store holds no keys with folders")
        for key in keys:
            self.put(key, b"")
        check_order(self.source, keys, self.context)
        check_resume(self, self.source, keys, self.context)

    def test_an_empty_folder_is_an_item(self) -> None:
        if not self.store.can_hold(b"folder/"):
            pytest.skip("the store has no folders")
        self.put(b"folder/", b"")
        self.put(b"other/sub/", b"")
        self.put(b"other/file", b"x")
        check_order(self.source, [b"folder/", b"other/sub/", b"other/file"], self.context)
        folder = self.only(b"folder/")
        assert folder.refused == ""
        if self.can.positioned:
            assert same(_read(self.source, folder, 0, 10, self.context).data, b"")

    def test_two_listers_do_not_disturb_each_other_and_may_end_early(self) -> None:
        keys = self.put_keys(awkward_keys())
        first = iter(self.source.list(ListRequest(), self.context))
        got = [next(first).key]
        next(iter(self.source.list(ListRequest(), self.context)))
        check_order(self.source, keys, self.context)
        got += [item.key for item in first]
        same_keys(sorted(got), sorted(keys), "both parts of the first listing")

    def test_every_key_is_read_as_it_was_listed(self) -> None:
        self.put_keys(awkward_keys())
        for item in list_all(self.source, self.context):
            name = printable(item.key)
            assert item.refused == "", f"{name}: {item.reason}"
            if self.can.positioned:
                assert same(_read(self.source, item, 0, 70_000, self.context).data, b"content of " + item.key), name
            assert same(_content(self.source, item, self.context), b"content of " + item.key), name

    def test_reads_every_range(self) -> None:
        if not self.can.positioned:
            pytest.skip("the source cannot position")
        content = sample_content(300_001, 1)
        size = len(content)
        self.put(b"data", content)
        item = self.only(b"data")
        for offset in (0, 1, 4095, 4096, 65_536, size // 2, size - 1, size, size + 1, size + 10_000_000):
            for length in (0, 1, 4096, 65_537, 300_001, 400_000):
                where = f"offset {offset} length {length}"
                read = _read(self.source, item, offset, length, self.context)
                assert same(bytes(read.data), content[offset : offset + length]), where
                if read.total_size is not None and offset < size and length > 0:
                    assert read.total_size == size, where

    def test_an_empty_item_reads_as_nothing(self) -> None:
        self.put(b"empty", b"")
        item = self.only(b"empty")
        assert item.size in (0, None)
        assert same(_content(self.source, item, self.context), b"")
        if self.can.positioned:
            for offset, length in ((0, 0), (0, 100), (5, 100)):
                assert same(_read(self.source, item, offset, length, self.context).data, b"")

    def test_stamps_agree_between_list_read_stream_and_stat(self) -> None:
        contents = {b"data": sample_content(10_000, 2), b"empty": b""}
        for key, content in contents.items():
            self.put(key, content)
        again = {item.id: item for item in list_all(self.source, self.context)}
        for item in list_all(self.source, self.context):
            _same_revision(item.stamp, again[item.id].stamp, "a second listing")
            assert item.size in (None, len(contents[item.key])), "the listing's size is not that of the content"
            if not self.can.lists_stamps:
                continue
            assert item.stamp != SourceStamp(), "lists_stamps is promised"
            if self.can.positioned:
                for offset, length in ((0, 10), (7, 3), (0, 0)):
                    read = _read(self.source, item, offset, length, self.context)
                    _same_revision(item.stamp, read.stamp, f"a read of {length} bytes at {offset}")
            now = self.source.stat(item.id, self.context)
            assert now is not None and now.id == item.id
            _same_revision(item.stamp, now.stamp, "stat")
            stream = cast(StreamResult, self.source.stream(item, self.context))
            if stream.stamp != SourceStamp():
                _same_revision(item.stamp, stream.stamp, "the stream")
            _drain(stream, 4096)

    def test_stream_gives_what_read_gives(self) -> None:
        for size in (1, 65_536, 1_500_003):
            content = sample_content(size, size)
            key = f"data{size}".encode()
            self.put(key, content)
            item = self.only(key)
            for step in (1_000, 65_536, 2_000_000):
                stream = cast(StreamResult, self.source.stream(item, self.context))
                assert stream.size in (None, size)
                assert same(_drain(stream, step), content), f"{size} bytes in steps of {step}"
            if self.can.positioned:
                assert same(_read(self.source, item, 0, size, self.context).data, content)

    def test_many_threads_read_at_once(self) -> None:
        contents = {f"data{i}".encode(): sample_content(200_000 + 1_000 * i, i) for i in range(4)}
        for key, content in contents.items():
            self.put(key, content)
        items = list_all(self.source, self.context)
        assert len(items) == 4

        def work(thread: int) -> None:
            for i in range(12):
                item = items[(thread + i) % len(items)]
                content = contents[item.key]
                offset = (thread * 7919 + i * 104_729) % len(content)
                if self.can.positioned:
                    read = _read(self.source, item, offset, 50_000, self.context)
                    assert same(read.data, content[offset : offset + 50_000]), "other bytes than those of the item"
                else:
                    assert same(_content(self.source, item, self.context, 60_000), content)

        assert in_threads(8, work) == [None] * 8

    def test_a_missing_item_is_missing(self) -> None:
        self.put(b"there", b"x")
        for key in (b"not there", b"not/there/either", b"there/below"):
            assert self.source.stat(ItemId("", key, ""), self.context) is None
        item = Item(b"not there", *self._stamp_of(b"there"))
        if self.can.positioned:
            error = fails_with("missing", lambda: _read(self.source, item, 0, 10, self.context))
            assert error.code == "not_found" and not error.retryable
        fails_with("missing", lambda: _content(self.source, item, self.context))

    def _stamp_of(self, key: bytes) -> tuple[int | None, str, int | None, str, str]:
        stamp = self.only(key).stamp
        return (stamp.size, stamp.etag, stamp.mtime_ns, stamp.version, stamp.opaque)

    def test_an_item_removed_after_it_was_listed_is_missing(self) -> None:
        self.put(b"gone", b"x")
        self.put(b"stays", b"x")
        item = self.only(b"gone")
        self.store.remove(b"gone")
        assert self.source.stat(item.id, self.context) is None
        fails_with("missing", lambda: _content(self.source, item, self.context))
        assert keys_of(list_all(self.source, self.context)) == [b"stays"]

    # Same length, changed at once: nothing but the stamp can tell.
    @pytest.mark.parametrize("changed", [b"b" * 1000, b"b" * 1001, b""], ids=["same length", "longer", "empty"])
    def test_a_changed_item_is_not_taken_for_the_listed_one(self, changed: bytes) -> None:
        if not self.can.lists_stamps:
            pytest.skip("listings have no stamps")
        self.put(b"data", b"a" * 1000)
        listed = self.only(b"data")
        _content(self.source, listed, self.context)
        self.put(b"data", changed)
        now = self.source.stat(listed.id, self.context)
        assert now is not None and now.stamp != listed.stamp, "stat does not see the change"
        if self.can.positioned:
            try:
                read = _read(self.source, listed, 0, 2000, self.context)
            except Error as error:
                assert error.error_class == "source_changed", error.message
            else:
                assert read.stamp != listed.stamp, "bytes of another revision came with the listed stamp"
        assert same(_content(self.source, now, self.context), changed)

    def test_attributes_come_with_the_first_bytes(self) -> None:
        if not self.can.positioned:
            pytest.skip("the source cannot position")
        kept = self.store.attributes_kept
        want = Attributes(
            content_type="text/x-test; charset=utf-8" if kept.content_headers else "",
            content_language="de" if kept.content_headers else "",
            content_disposition='attachment; filename="a b.txt"' if kept.content_headers else "",
            cache_control="max-age=60" if kept.content_headers else "",
            metadata={"colour": "blue", "two-words": "with  spaces"} if kept.metadata else {},
            mode=0o640 if kept.mode else None,
            mtime_ns=1_234_567_890_123_456_789 if kept.mtime else None,
        )
        self.put(b"data", b"x", want)
        item = self.only(b"data")
        for length in (0, 1):
            got = _read(self.source, item, 0, length, self.context).attributes
            check_attributes(kept.content_headers, kept.metadata, got, want)

    def test_hostile_keys_read_nothing(self) -> None:
        self.put(b"inside", b"x")
        for key in hostile_keys():
            # A store that knows no such keys may refuse them in its own words.
            try:
                found = self.source.stat(ItemId("", key, ""), self.context)
            except Error as error:
                assert error.error_class != "internal", error.message
            else:
                assert found is None, f"an item was found at a key that was never put: {printable(key)[:100]}"

    def _calls(self, item: Item) -> dict[str, Callable[[Context], object]]:
        calls: dict[str, Callable[[Context], object]] = {
            "check": self.source.check,
            "list": lambda context: list_all(self.source, context),
            "stream": lambda context: _content(self.source, item, context),
            "stat": lambda context: self.source.stat(item.id, context),
        }
        if self.can.positioned:
            calls["read"] = lambda context: _read(self.source, item, 0, 100_000, context)
        return calls

    def test_a_cancelled_context_ends_every_call(self) -> None:
        self.put(b"data", sample_content(100_000, 3))
        for name, call in self._calls(self.only(b"data")).items():
            context = Context()
            context.cancel()
            begin = time.monotonic()
            error = error_of(partial(call, context))
            assert time.monotonic() - begin < 1, name
            assert error is None or error.error_class == "cancelled", f"{name}: {error}"

    def test_every_call_that_hangs_ends_within_a_second_of_its_cancellation(self) -> None:
        self.put(b"data", sample_content(100_000, 3))
        item = self.only(b"data")
        calls = self._calls(item)
        if not self.store.stall():
            pytest.skip("calls to this store cannot be made to hang")
        for name, call in calls.items():
            error = cancel_during(call, 0.3)
            if name == "check" and error is None:
                continue  # the default asks nobody
            assert error is not None, f"{name} was not hanging"
            assert error.error_class == "cancelled", f"{name}: {error.message}"
            assert not error.retryable, name
        self.store.resume()
        assert len(_content(self.source, item, self.context)) == 100_000, "the store works again, so must the source"

    def test_a_deadline_ends_a_call_that_hangs(self) -> None:
        self.put(b"data", b"x")
        item = self.only(b"data")
        if not self.store.stall():
            pytest.skip("calls to this store cannot be made to hang")
        begin = time.monotonic()
        error = error_of(lambda: _content(self.source, item, Context(timeout=0.3)))
        assert time.monotonic() - begin < 1.3
        assert error is not None and error.code == "deadline_exceeded", error
