# SPDX-License-Identifier: Apache-2.0
"""What every `Destination` keeps: whole objects, conditions, keys, listings, blocking. Objects in parts are in parts.py."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from waybill import _core
from waybill.conformance.keys import awkward_keys, hostile_keys
from waybill.conformance.parts import PartsCases
from waybill.conformance.support import (
    cancel_during,
    check_attributes,
    check_bounds,
    check_order,
    check_resume,
    crc64nvme,
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
    Condition,
    Context,
    Item,
    PartPlan,
    PartUpload,
    WriteOptions,
    as_engine_sees,
)

__all__ = ["DestinationConformance"]

_ABSENT = WriteOptions(condition=Condition("absent"))


def _unchanged(item: Item) -> WriteOptions:
    return WriteOptions(condition=Condition("unchanged", item.etag, item.size, item.mtime_ns))


class DestinationConformance(PartsCases):
    """The cases. Give the class that inherits them a fixture ``store`` that is a `DestinationFixture`."""

    def stat(self, key: bytes) -> Item:
        item = self.destination.stat(key, self.context)
        assert item is not None, f"nothing at {printable(key)}"
        return item

    def put_keys(self, wanted: Sequence[bytes]) -> list[bytes]:
        """Puts those of them that the store can hold, each with a content of its own."""
        refused = set(self.store.refused_keys())
        kept = []
        for key in wanted:
            if key not in refused and self.store.can_hold(key):
                self.put(key, b"content of " + key)
                kept.append(key)
            else:
                self.leave_out(f'the store cannot hold "{printable(key)}"')
        return kept

    def removes(self) -> bool:
        """Whether it can; by asking for what is not there."""
        error = error_of(lambda: self.destination.remove(b"never there", self.context))
        return error is None or error.code != "unimplemented"

    def test_identity_and_endpoint_are_stable(self) -> None:
        again = as_engine_sees(self.store.destination)
        assert self.destination.identity() and self.destination.endpoint()
        assert (again.identity(), again.endpoint()) == (self.destination.identity(), self.destination.endpoint())
        assert not set(self.destination.identity()) & set("\n\r")

    def test_check_passes_and_leaves_nothing(self) -> None:
        self.destination.check(self.context)
        assert list_all(self.destination, self.context) == []
        self.expect_nothing_left()

    def test_check_of_a_store_that_is_missing_names_it(self) -> None:
        missing = self.store.missing_store()
        if missing is None:
            pytest.skip("such a store cannot be missing")
        error = fails_with("missing", lambda: as_engine_sees(missing).check(self.context))
        assert "\n" not in error.message

    @pytest.mark.parametrize("size", [0, 1, 4_096, 70_000, 3_000_001])
    def test_what_is_put_is_found_by_stat_and_listing_and_read_back(self, size: int) -> None:
        key = f"folder/data{size}".encode()
        content = sample_content(size, size + 1)
        mtime_ns = 1_600_000_000_123_456_789 + size if self.can.listing_has_mtime else None
        stored = self.put(key, content, WriteOptions(Attributes(mtime_ns=mtime_ns)))
        listed = next((item for item in list_all(self.destination, self.context) if item.key == key), None)
        assert listed is not None, "it is not listed"
        item = self.stat(key)
        assert item.key == key
        assert item.etag == stored.etag
        assert (stored.size, item.size, listed.size) == (size, size, size), "of Stored, stat and listing"
        if self.can.listing_has_etag:
            assert stored.etag and listed.etag == stored.etag
        if self.can.listing_has_mtime:
            assert (stored.mtime_ns, item.mtime_ns, listed.mtime_ns) == (mtime_ns, mtime_ns, mtime_ns)
        for digest in (stored.crc64nvme, item.crc64nvme):
            assert digest is None or size > 100_000 or digest == crc64nvme(content)
        assert same(self.store.content(key), content)
        self.check_read_back(item, content)
        self.expect_nothing_left()

    def test_a_windowed_body_is_written_whole(self) -> None:
        content = sample_content(5_000_003, 9)
        body = _core.body_that_breaks(content, sys.maxsize)
        stored = self.destination.put(b"windowed", body, WriteOptions(), self.context)
        assert stored.size == len(content)
        assert same(self.store.content(b"windowed"), content)

    def test_put_replaces(self) -> None:
        first = self.put(b"data", b"a" * 5000)
        second = self.put(b"data", b"short")
        if self.can.listing_has_etag:
            assert first.etag != second.etag
        assert same(self.store.content(b"data"), b"short")
        assert self.stat(b"data").size == 5
        self.put(b"data", b"")
        assert same(self.store.content(b"data"), b"")
        assert keys_of(list_all(self.destination, self.context)) == [b"data"]
        self.expect_nothing_left()

    def test_the_etag_changes_with_the_content_not_with_the_call(self) -> None:
        if not self.can.listing_has_etag:
            pytest.skip("no etags")
        assert self.put(b"data", b"aaaa").etag != self.put(b"data", b"bbbb").etag
        assert self.stat(b"data").etag == self.stat(b"data").etag
        assert '"' not in self.stat(b"data").etag, "etags come without quotes"

    @pytest.mark.parametrize("content", [b"x", b""])
    def test_attributes_are_kept_as_promised(self, content: bytes) -> None:
        kept = self.store.attributes_kept
        want = Attributes(
            content_type="text/x-test; charset=utf-8" if kept.content_headers else "",
            content_encoding="identity-x" if kept.content_headers else "",
            content_language="de" if kept.content_headers else "",
            content_disposition='attachment; filename="a b.txt"' if kept.content_headers else "",
            cache_control="max-age=60" if kept.content_headers else "",
            metadata={"colour": "blue", "two-words": "with  spaces"} if kept.metadata else {},
            mode=0o640 if kept.mode else None,
            mtime_ns=1_234_567_890_123_456_789 if kept.mtime else None,
        )
        self.put(b"data", content, WriteOptions(want))
        got = self.attributes_of(self.stat(b"data"))
        check_attributes(kept.content_headers, kept.metadata, got, want)

    def test_stat_finds_nothing_where_nothing_is(self) -> None:
        self.put(b"a/file", b"x")
        for key in (b"not there", b"not/there/either", b"a/file/below"):
            assert self.destination.stat(key, self.context) is None, printable(key)
        assert self.destination.stat(b"a", self.context) is None, "a folder is no object"

    def test_condition_absent(self) -> None:
        if not self.can.conditional:
            pytest.skip("not conditional")
        self.put(b"data", b"first", _ABSENT)
        for content in (b"second", b"", b"first"):
            error = fails_with("conflict", partial(self.put, b"data", content, _ABSENT))
            assert not error.retryable
        assert same(self.store.content(b"data"), b"first")
        self.expect_nothing_left()

    def test_condition_unchanged(self) -> None:
        if not self.can.conditional:
            pytest.skip("not conditional")
        self.put(b"data", b"first")
        options = _unchanged(self.stat(b"data"))
        self.put(b"data", b"second!", options)
        assert same(self.store.content(b"data"), b"second!")
        fails_with("conflict", lambda: self.put(b"data", b"third", options))
        if self.removes():
            self.destination.remove(b"data", self.context)
            fails_with("conflict", lambda: self.put(b"data", b"fourth", options))
            assert self.store.content(b"data") is None, "there is nothing that could be unchanged"
        self.expect_nothing_left()

    @pytest.mark.parametrize("kind", ["absent", "unchanged"])
    def test_exactly_one_of_eight_racing_writers_wins(self, kind: str) -> None:
        if not self.can.conditional:
            pytest.skip("not conditional")
        for number in range(6):
            key = f"race/{number}".encode()
            options = _ABSENT
            if kind == "unchanged":
                self.put(key, b"what was there")
                options = _unchanged(self.stat(key))
            contents = [bytes([ord("a") + thread]) * (1000 + thread) for thread in range(8)]
            raised = in_threads(8, lambda thread: self.put(key, contents[thread], options))  # noqa: B023 (called at once)
            winners = [thread for thread, error in enumerate(raised) if error is None]
            for error in raised:
                assert error is None or (isinstance(error, Error) and error.error_class == "conflict"), error
            assert len(winners) == 1, f"{len(winners)} of 8 writers won"
            assert same(self.store.content(key), contents[winners[0]])
        self.expect_nothing_left()

    def test_many_threads_write_into_new_folders(self) -> None:
        def work(thread: int) -> None:
            for i in range(20):
                key = f"n{i}/deep/er/{thread}".encode()
                self.put(key, key)

        assert in_threads(8, work) == [None] * 8
        assert len(list_all(self.destination, self.context)) == 160
        assert same(self.store.content(b"n19/deep/er/7"), b"n19/deep/er/7")

    def test_writers_of_one_key_leave_one_whole_object(self) -> None:
        for _ in range(5):
            contents = [bytes([ord("a") + thread]) * (200_000 + thread) for thread in range(6)]
            in_threads(6, lambda thread: self.put(b"one", contents[thread]))  # noqa: B023 (called at once)
            assert self.store.content(b"one") in contents, "a mixture of two writes, or a part of one"
        self.expect_nothing_left()

    def test_bytes_that_are_not_the_announced_ones_are_refused(self) -> None:
        if not self.store.checks_digests:
            pytest.skip("the store checks no digests")
        self.put(b"data", b"old")
        content = bytearray(sample_content(50_000, 4))
        digest = crc64nvme(content)
        content[25_000] ^= 1  # as if memory had failed after the digest was taken
        for key in (b"data", b"new"):
            body = _core.body_with_crc64nvme(bytes(content), digest)
            fails_with("checksum", partial(self.destination.put, key, body, WriteOptions(), self.context))
        assert same(self.store.content(b"data"), b"old")
        assert same(self.store.content(b"new"), None)
        self.expect_nothing_left()

    @pytest.mark.parametrize("how", ["the source fails", "cancelled"])
    def test_a_failed_put_leaves_the_old_object(self, how: str) -> None:
        self.put(b"data", b"old")
        content = sample_content(6_000_000, 5)
        for key, before in ((b"data", b"old"), (b"new", None)):
            own = Context()
            body = _core.body_that_breaks(content, 3_000_000, own if how == "cancelled" else None)
            error = error_of(partial(self.destination.put, key, body, WriteOptions(), own))
            if how == "cancelled":
                if error is None:  # it was past the point of no return
                    assert same(self.store.content(key), content)
                    continue
                assert self._settled(key, (before, content)), "a part of the object is at its key"
                assert error.error_class == "cancelled", error.message
                continue
            assert error is not None, "the put of a body that broke off succeeded"
            assert error.error_class == "network", error.message
            assert same(self.store.content(key), before)
        self.expect_nothing_left()

    def _settled(self, key: bytes, contents: tuple[bytes | None, ...]) -> bool:
        """Whether one of these is there, and nothing temporary: at once, or when a call that was given up has ended."""
        end = time.monotonic() + 10
        while self.store.leftovers() or self.store.content(key) not in contents:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def test_an_object_above_the_limit_is_too_large(self) -> None:
        limit = self.can.max_put_bytes
        if limit is None or limit > 100_000_000:
            pytest.skip("no limit that a test could reach")
        # It has to be refused by its length: nothing is read.
        body = _core.body_that_breaks(bytes(limit + 1), 0)
        fails_with("too_large", lambda: self.destination.put(b"data", body, WriteOptions(), self.context))

    def test_keys_are_bytes(self) -> None:
        keys = self.put_keys(awkward_keys())
        check_order(self.destination, keys, self.context)
        for key in keys:
            assert same(self.store.content(key), b"content of " + key), printable(key)
            assert self.stat(key).key == key
        self.expect_nothing_left()

    def test_lists_between_bounds(self) -> None:
        if not self.can.start_after:
            pytest.skip("no start_after")
        check_bounds(self.destination, self.put_keys(awkward_keys()), self.context)

    def test_listings_go_on_from_every_page(self) -> None:
        keys = [f"f{i % 13}/i{i}".encode() for i in range(self.store.more_than_a_page)]

        def work(thread: int) -> None:
            for key in keys[thread::4]:
                self.put(key, b"")

        assert in_threads(4, work) == [None] * 4
        check_order(self.destination, keys, self.context)
        check_resume(self, self.destination, keys, self.context)

    def test_hostile_keys_are_refused_or_held_verbatim_and_nothing_is_written_outside(self) -> None:
        refused = set(self.store.refused_keys())
        removes = self.removes()
        held: list[bytes] = []
        for key in [*hostile_keys(), *refused]:
            if key not in refused and not self.store.can_hold(key):
                continue
            name = printable(key)[:100]
            error = error_of(partial(self.put, key, b"hostile"))
            if error is not None:
                assert error.error_class == "unsupported" and not error.retryable, f"{name}: {error.message}"
                if self.can.parts:
                    plan = PartPlan(None, self.can.min_part_bytes)
                    begin = partial(self.destination.begin_parts, key, plan, WriteOptions(), self.context)
                    fails_with("unsupported", begin)
                assert key in held or self._found(key) is None, name
            else:
                assert key not in refused, f"{name} was accepted"
                assert same(self.store.content(key), b"hostile"), name
                held = held if key in held else [*held, key]
                same_keys(sorted(keys_of(list_all(self.destination, self.context))), sorted(held), name)
                if removes:
                    self.destination.remove(key, self.context)
                    held = []
            same_keys(sorted(keys_of(list_all(self.destination, self.context))), sorted(held), name)
            self.expect_nothing_left()

    def _found(self, key: bytes) -> Item | None:
        try:
            return self.destination.stat(key, self.context)
        except Error:
            return None

    def test_an_empty_folder_is_an_object(self) -> None:
        if not self.store.can_hold(b"folder/") or b"folder/" in self.store.refused_keys():
            pytest.skip("the store has no folders")
        options = WriteOptions(Attributes(mode=0o750 if self.store.attributes_kept.mode else None))
        self.put(b"folder/", b"", options)
        self.put(b"folder/", b"", options)  # again, as after a crash
        assert keys_of(list_all(self.destination, self.context)) == [b"folder/"]
        assert self.stat(b"folder/").size in (0, None)
        if self.removes():
            self.destination.remove(b"folder/", self.context)
            assert list_all(self.destination, self.context) == []

    def test_a_file_in_place_of_a_folder_stays(self) -> None:
        self.put(b"a", b"a file")
        below = error_of(lambda: self.put(b"a/b", b"below a file"))
        if below is None:
            assert same(self.store.content(b"a/b"), b"below a file")
        else:
            assert below.error_class in ("collision", "unsupported", "conflict", "occupied"), below.message
            assert not below.retryable
        assert same(self.store.content(b"a"), b"a file")
        self.put(b"c/d", b"below")
        above = error_of(lambda: self.put(b"c", b"a file"))
        assert above is None or not above.retryable, above
        assert same(self.store.content(b"c/d"), b"below")
        self.expect_nothing_left()

    def test_remove_removes_and_may_be_repeated(self) -> None:
        if not self.removes():
            pytest.skip("nothing can be removed")
        self.put(b"a/b/c", b"x")
        self.put(b"a/d", b"y")
        self.destination.remove(b"a/b/c", self.context)
        assert self.destination.stat(b"a/b/c", self.context) is None
        self.destination.remove(b"a/b/c", self.context)
        self.destination.remove(b"never/there", self.context)
        assert same(self.store.content(b"a/d"), b"y")
        assert same(self.store.content(b"a/b/c"), None)

    def test_flush_may_be_called_at_any_time(self) -> None:
        self.destination.flush(self.context)
        for i in range(20):
            self.put(f"d{i}/f".encode(), b"x")

        def work(thread: int) -> None:
            self.put(f"t{thread}".encode(), b"x")
            self.destination.flush(self.context)

        assert in_threads(4, work) == [None] * 4
        count = 24
        if self.removes():
            self.destination.remove(b"d3/f", self.context)
            self.put(b"gone", b"x")
            self.destination.remove(b"gone", self.context)
            count = 23
        self.destination.flush(self.context)  # what it would have flushed is no longer there
        assert len(list_all(self.destination, self.context)) == count

    def _calls(self, item: Item) -> dict[str, Callable[[Context], object]]:
        """Every method that may block, by name. Uploads are begun while nothing hangs; each stays open as after a crash."""
        to, data = self.destination, sample_content(2_000_000, 1)
        calls: dict[str, Callable[[Context], object]] = {
            "check": to.check,
            "list": lambda context: list_all(to, context),
            "stat": lambda context: to.stat(item.key, context),
            "put": lambda context: to.put(b"another", _core.Body(data), WriteOptions(), context),
            "read": lambda context: to.read(item, 0, 100_000, context),
            "flush": to.flush,
            "remove": lambda context: to.remove(b"another", context),
            "sweep": lambda context: to.sweep([], context),
        }
        if not self.can.parts:
            return calls
        size = max(self.can.min_part_bytes, 1000)
        plan, part = PartPlan(2 * size, size), sample_content(size, 2)

        def upload(name: str) -> PartUpload:
            return to.begin_parts(f"parts/{name}".encode(), plan, WriteOptions(), self.context)

        writing, whole = upload("write"), upload("complete")
        parts = [whole.write(n + 1, n * size, _core.Body(part), self.context) for n in range(2)]
        return calls | {
            "begin_parts": lambda context: to.begin_parts(b"parts/begin", plan, WriteOptions(), context),
            "part write": lambda context: writing.write(1, 0, _core.Body(part), context),
            "part existing": upload("existing").existing,
            "part abort": upload("abort").abort,
            "part complete": lambda context: whole.complete(parts, context),
        }

    def test_a_cancelled_context_ends_every_call(self) -> None:
        self.put(b"data", sample_content(100_000, 3))
        for name, call in self._calls(self.stat(b"data")).items():
            context = Context()
            context.cancel()
            begin = time.monotonic()
            error = error_of(partial(call, context))
            assert time.monotonic() - begin < 1, name
            if error is not None and error.code != "unimplemented":
                assert error.error_class == "cancelled", f"{name}: {error.message}"

    def test_every_call_that_hangs_ends_within_a_second_of_its_cancellation(self) -> None:
        self.put(b"data", sample_content(100_000, 3))
        calls = self._calls(self.stat(b"data"))
        if not self.store.stall():
            pytest.skip("calls to this store cannot be made to hang")
        # Defaults, and calls that ask the store nothing, return at once.
        may_return = ("check", "flush", "sweep", "part existing")
        for name, call in calls.items():
            error = cancel_during(call, 0.3)
            if name in may_return and error is None:
                continue
            assert error is not None, f"{name} was not hanging"
            assert error.code == "unimplemented" or error.error_class == "cancelled", f"{name}: {error.message}"
        self.store.resume()
        content = b"the store works again, so must the destination"
        self.put(b"after", content)
        assert same(self.store.content(b"after"), content)
