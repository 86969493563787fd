# SPDX-License-Identifier: Apache-2.0
"""What every `Destination` keeps that writes objects in parts, and what both files of its suite use."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from waybill import _core
from waybill.conformance.fixtures import DestinationFixture
from waybill.conformance.support import (
    Suite,
    check_attributes,
    crc64nvme,
    error_of,
    fails_with,
    in_threads,
    keys_of,
    list_all,
    same,
    sample_content,
)
from waybill.errors import Error
from waybill.stores import (
    Attributes,
    Body,
    Condition,
    Context,
    Item,
    OpenUpload,
    PartInfo,
    PartPlan,
    PartUpload,
    ReadResult,
    Stored,
    WriteOptions,
    as_engine_sees,
)

__all__ = ["PartsCases"]

_DIGESTED = 100_000  # bytes; the digest of a longer one takes the suite too long


def _body(content: bytes) -> Body:
    if len(content) > _DIGESTED:
        return Body(content)
    return _core.body_with_crc64nvme(content, crc64nvme(content))


class _Parts:
    """An object of two whole parts and a short last one."""

    def __init__(self, least: int, seed: int = 1) -> None:
        self.part_size = max(least, 70_001)
        self.content = sample_content(2 * self.part_size + 1_234, seed)

    def plan(self, upload_id: str = "") -> PartPlan:
        return PartPlan(len(self.content), self.part_size, upload_id)

    def part(self, number: int) -> bytes:
        return self.content[(number - 1) * self.part_size :][: self.part_size]

    def write(self, upload: PartUpload, number: int, context: Context, content: bytes | None = None) -> PartInfo:
        body = _body(self.part(number) if content is None else content)
        return upload.write(number, (number - 1) * self.part_size, body, context)

    def write_all(self, upload: PartUpload, context: Context) -> list[PartInfo]:
        return [self.write(upload, number, context) for number in (1, 2, 3)]


class PartsCases(Suite[DestinationFixture]):
    """Cases of objects in parts; skipped where the capabilities have none."""

    @pytest.fixture(autouse=True)
    def _adapt(self, _begin: None) -> None:
        self.destination = as_engine_sees(self.store.destination)
        self.can = self.destination.capabilities()

    def put(self, key: bytes, content: bytes, options: WriteOptions | None = None) -> Stored:
        return self.destination.put(key, _body(content), options or WriteOptions(), self.context)

    def check_read_back(self, item: Item, content: bytes) -> None:
        """What `Destination.read` gives, in steps, is `content`; not where it reads nothing back."""
        got = b""
        step = 1_000_000
        while True:
            try:
                read = self.destination.read(item, len(got), step, self.context)
            except Error as error:
                if error.code == "unimplemented":
                    self.leave_out("reading back: the destination cannot")
                    return
                raise
            assert isinstance(read, ReadResult)
            got += read.data
            if len(read.data) < step:
                break
        assert same(got, content)

    def attributes_of(self, item: Item) -> Attributes | None:
        try:
            read = self.destination.read(item, 0, 0, self.context)
        except Error as error:
            if error.code == "unimplemented":
                pytest.skip("the destination cannot read back")
            raise
        assert isinstance(read, ReadResult)
        return read.attributes

    def expect_nothing_left(self) -> None:
        assert list(self.store.leftovers()) == [], "left behind"
        assert list(self.store.strays()) == [], "written outside"

    def parts(self) -> _Parts:
        """Skips the case where there are none."""
        if not self.can.parts:
            pytest.skip("no objects in parts")
        return _Parts(self.can.min_part_bytes)

    def begin(self, key: bytes, plan: PartPlan, options: WriteOptions | None = None) -> PartUpload:
        return self.destination.begin_parts(key, plan, options or WriteOptions(), self.context)

    def test_without_parts_beginning_them_is_unimplemented(self) -> None:
        if self.can.parts:
            pytest.skip("it has parts")
        error = error_of(lambda: self.begin(b"data", PartPlan(10, 5)))
        assert error is not None and error.code == "unimplemented", error

    def test_parts_out_of_order_and_at_once_make_the_object(self) -> None:
        data = self.parts()
        upload = self.begin(b"folder/big", data.plan())
        assert upload.id() and upload.id() == upload.id()
        written: dict[int, PartInfo] = {}

        def work(thread: int) -> None:
            number = (3, 1, 2)[thread]
            written[number] = data.write(upload, number, self.context)

        assert in_threads(3, work) == [None] * 3
        parts = [written[number] for number in (1, 2, 3)]
        assert [part.number for part in parts] == [1, 2, 3]
        assert [part.size for part in parts] == [len(data.part(number)) for number in (1, 2, 3)]
        assert self.destination.stat(b"folder/big", self.context) is None, "it shows before it is complete"
        assert b"folder/big" not in keys_of(list_all(self.destination, self.context)), (
            "it is listed before it is complete"
        )

        stored = upload.complete(parts, self.context)
        assert stored.size == len(data.content)
        item = self.destination.stat(b"folder/big", self.context)
        assert item is not None
        assert (item.size, item.etag) == (stored.size, stored.etag)
        assert same(self.store.content(b"folder/big"), data.content)
        self.check_read_back(item, data.content)
        self.expect_nothing_left()

    def test_completing_again_gives_the_same(self) -> None:
        data = self.parts()
        upload = self.begin(b"big", data.plan())
        parts = data.write_all(upload, self.context)
        first = upload.complete(parts, self.context)
        again = upload.complete(parts, self.context)  # the first answer was lost
        assert (again.size, again.etag) == (first.size, first.etag)
        assert same(self.store.content(b"big"), data.content)
        self.expect_nothing_left()

    def test_an_upload_goes_on_in_a_later_process(self) -> None:
        data = self.parts()
        earlier = self.begin(b"big", data.plan())
        upload_id = earlier.id()
        assert list(earlier.existing(self.context)) == []
        second = data.write(earlier, 2, self.context)
        del earlier  # the process died here
        upload = self.begin(b"big", data.plan(upload_id))
        assert upload.id() == upload_id
        existing = [(part.number, part.size, part.etag) for part in upload.existing(self.context)]
        if self.can.lists_parts:
            assert existing == [(2, second.size, second.etag)]
        else:
            assert existing == [], "lists_parts is not promised"
        third = data.write(upload, 3, self.context)
        first = data.write(upload, 1, self.context)
        upload.complete([first, second, third], self.context)
        assert same(self.store.content(b"big"), data.content)
        self.expect_nothing_left()

    def test_a_completed_upload_may_be_completed_by_a_later_process(self) -> None:
        data = self.parts()
        upload = self.begin(b"big", data.plan())
        parts = data.write_all(upload, self.context)
        upload.complete(parts, self.context)
        upload_id = upload.id()
        del upload  # the process died before it could write that down
        error = error_of(lambda: self.begin(b"big", data.plan(upload_id)).complete(parts, self.context))
        assert error is None or error.error_class == "missing", error
        assert same(self.store.content(b"big"), data.content)
        self.expect_nothing_left()

    def test_a_part_written_again_replaces_the_first(self) -> None:
        data = self.parts()
        upload = self.begin(b"big", data.plan())
        first = data.write(upload, 1, self.context)
        data.write(upload, 2, self.context, sample_content(data.part_size, 77))
        third = data.write(upload, 3, self.context)
        second = data.write(upload, 2, self.context)
        if self.can.lists_parts:
            assert [part.number for part in upload.existing(self.context)] == [1, 2, 3]
        upload.complete([first, second, third], self.context)
        assert same(self.store.content(b"big"), data.content)

    def test_a_part_with_other_bytes_than_announced_is_refused(self) -> None:
        data = self.parts()
        if not self.store.checks_digests or data.part_size > _DIGESTED:
            pytest.skip("the store checks no digests, or has parts that are too large for this case")
        upload = self.begin(b"big", data.plan())
        content = bytearray(data.part(1))
        digest = crc64nvme(content)
        content[100] ^= 1
        body = _core.body_with_crc64nvme(bytes(content), digest)
        fails_with("checksum", lambda: upload.write(1, 0, body, self.context))
        upload.abort(self.context)
        self.expect_nothing_left()

    def test_an_aborted_upload_is_gone_and_the_old_object_stays(self) -> None:
        data = self.parts()
        self.put(b"big", b"old")
        upload = self.begin(b"big", data.plan())
        upload_id = upload.id()
        first = data.write(upload, 1, self.context)
        assert same(self.store.content(b"big"), b"old")
        upload.abort(self.context)
        upload.abort(self.context)
        assert same(self.store.content(b"big"), b"old")
        self.expect_nothing_left()

        fails_with("missing", lambda: data.write(upload, 2, self.context))
        assert error_of(lambda: upload.complete([first], self.context)) is not None, (
            "an upload that is gone was completed"
        )
        if self.can.lists_parts:
            fails_with("missing", lambda: upload.existing(self.context))
            fails_with("missing", lambda: self.begin(b"big", data.plan(upload_id)).existing(self.context))
        assert same(self.store.content(b"big"), b"old")
        self.expect_nothing_left()

    def test_parts_keep_attributes_and_replace_the_old_object(self) -> None:
        data = self.parts()
        kept = self.store.attributes_kept
        self.put(b"big", b"old")
        want = Attributes(
            content_type="text/x-test" if kept.content_headers else "",
            metadata={"colour": "blue"} if kept.metadata else {},
            mode=0o600 if kept.mode else None,
            mtime_ns=1_234_567_890_123_456_789 if kept.mtime else None,
        )
        upload = self.begin(b"big", data.plan(), WriteOptions(want))
        upload.complete(data.write_all(upload, self.context), self.context)
        assert same(self.store.content(b"big"), data.content)
        item = self.destination.stat(b"big", self.context)
        assert item is not None
        check_attributes(kept.content_headers, kept.metadata, self.attributes_of(item), want)

    def test_parts_obey_their_condition_when_they_are_completed(self) -> None:
        data = self.parts()
        if not self.can.conditional:
            pytest.skip("not conditional")
        upload = self.begin(b"big", data.plan(), WriteOptions(condition=Condition("absent")))
        parts = data.write_all(upload, self.context)
        self.put(b"big", b"somebody else was quicker")
        fails_with("conflict", lambda: upload.complete(parts, self.context))
        assert same(self.store.content(b"big"), b"somebody else was quicker")
        upload.abort(self.context)
        self.expect_nothing_left()

    def test_parts_of_an_unknown_length_may_be_completed_at_any_part(self) -> None:
        data = self.parts()
        upload = self.begin(b"big", PartPlan(None, data.part_size))
        last = data.part(3)
        parts = [data.write(upload, 1, self.context), data.write(upload, 2, self.context, last)]
        assert upload.complete(parts, self.context).size == data.part_size + len(last)
        assert same(self.store.content(b"big"), data.part(1) + last)

    def test_sweep_removes_what_this_migration_left_and_nothing_else(self) -> None:
        data = self.parts()
        ours, other = Context(migration="0123456789abcdef"), Context(migration="00000000feedbeef")
        self.put(b"stays", b"x")

        def leave(key: bytes, context: Context) -> str:
            upload = self.destination.begin_parts(key, data.plan(), WriteOptions(), context)
            data.write(upload, 1, context)
            return upload.id()

        def existing(key: bytes, upload_id: str, context: Context) -> Sequence[PartInfo]:
            return self.destination.begin_parts(key, data.plan(upload_id), WriteOptions(), context).existing(context)

        dropped, kept, foreign = leave(b"dropped", ours), leave(b"kept", ours), leave(b"foreign", other)
        one = 1 if self.can.lists_parts else 0
        self.destination.sweep([OpenUpload(b"kept", kept), OpenUpload(b"dropped", dropped)], ours)
        assert len(existing(b"dropped", dropped, ours)) == one
        self.destination.sweep([OpenUpload(b"kept", kept), OpenUpload(b"dropped", "")], ours)
        gone = error_of(lambda: existing(b"dropped", dropped, ours))
        if gone is None:
            self.leave_out("the store cannot tell whose an unfinished upload is, and sweeps none")
        else:
            assert gone.error_class == "missing", gone.message
        assert len(existing(b"kept", kept, ours)) == one
        assert len(existing(b"foreign", foreign, other)) == one, "another migration's upload was swept away"
        assert same(self.store.content(b"stays"), b"x")
