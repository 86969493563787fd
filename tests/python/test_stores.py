# SPDX-License-Identifier: Apache-2.0
"""Stores and transforms in Python: what a run does with them, what becomes of their exceptions, and of calls that hang."""

from __future__ import annotations

import ctypes
import hashlib
import io
import itertools
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

import waybill

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from dict_stores import DictDestination, DictSource, Entry, Store, item_of

ATTRIBUTES = waybill.Attributes(
    content_type="text/plain",
    content_encoding="identity",
    content_language="de",
    content_disposition="inline",
    cache_control="no-store",
    expires="Thu, 01 Dec 2050 16:00:00 GMT",
    storage_class="COLD",
    website_redirect="/there",
    metadata={"owner": "Ünal"},
    tags={"kind": "test"},
    mode=0o640,
    mtime_ns=1_700_000_000_123_456_789,
)


def entry(content: bytes, attributes: waybill.Attributes | None = None) -> Entry:
    return Entry(content, hashlib.md5(content).hexdigest(), attributes or waybill.Attributes())


def filled(entries: dict[bytes, Entry]) -> Store:
    store = Store()
    store.entries.update(entries)
    return store


def objects(count: int) -> Store:
    return filled(
        {
            f"folder {number % 7}/{number:05}".encode(): entry(b"content %d" % number * (number % 5))
            for number in range(count)
        }
    )


def contents(store: Store) -> dict[bytes, bytes]:
    return {key: found.content for key, found in store.entries.items()}


def failures(ledger: Path) -> dict[bytes, waybill.Failure]:
    return {failure.key: failure for failure in waybill.Tracker(ledger).failures()}


def test_a_source_and_a_destination_in_python(tmp_path: Path) -> None:
    source, destination = DictSource(objects(3000)), DictDestination(Store())
    source.store.entries[b"\xff\x00 is a key, too"] = entry(b"x", ATTRIBUTES)
    migration = waybill.Migration(source, destination, tmp_path / "l.db")
    report = migration.run()
    assert (report.exit_code, report.snapshot.items.created) == (0, 3001)
    assert contents(destination.store) == contents(source.store)
    assert destination.store.entries[b"\xff\x00 is a key, too"].attributes == ATTRIBUTES
    for level in ("listing", "checksum", "content"):
        assert migration.verify(level).exit_code == 0
    info = waybill.Tracker(tmp_path / "l.db").migration()
    assert info is not None
    assert (info.source, info.destination, info.source_url) == ("dict://source", "dict://destination", "")


def test_what_changed_is_copied_again_and_nothing_else(tmp_path: Path) -> None:
    source, destination = DictSource(objects(50)), DictDestination(Store())
    waybill.Migration(source, destination, tmp_path / "l.db").run()
    source.store.entries[b"folder 1/00001"] = entry(b"other")
    del source.store.entries[b"folder 2/00002"]
    items = waybill.Migration(source, destination, tmp_path / "l.db").run().snapshot.items
    assert (items.updated, items.unchanged, items.created) == (1, 48, 0)
    assert destination.store.entries[b"folder 1/00001"].content == b"other"


def test_large_objects_go_in_parts(tmp_path: Path) -> None:
    content = bytes(range(256)) * (48 << 12)  # 48 MiB
    source, destination = DictSource(filled({b"large": entry(content, ATTRIBUTES)})), DictDestination(Store())
    options = waybill.Options(part_size_bytes=5 << 20, part_threshold_bytes=6 << 20)
    migration = waybill.Migration(source, destination, tmp_path / "l.db", options=options)
    assert migration.run().exit_code == 0
    assert destination.store.entries[b"large"].content == content
    assert destination.store.entries[b"large"].attributes == ATTRIBUTES
    assert destination.store.begun == 1
    assert not destination.store.uploads
    assert migration.verify("content").exit_code == 0


class Zipped(waybill.Transform):
    def identity(self) -> str:
        return "zlib-6"

    def apply(self, item: waybill.Item, input: waybill.InputStream, context: waybill.Context) -> Iterator[bytes]:
        packer = zlib.compressobj(6)
        while chunk := input.read(1 << 16):
            yield packer.compress(chunk)
        yield packer.flush()

    def attributes(self, item: waybill.Item, attributes: waybill.Attributes) -> waybill.Attributes:
        return waybill.Attributes(content_type=attributes.content_type, content_encoding="deflate")


@pytest.mark.parametrize("source_kind", ["python", "folder"])
def test_a_transform_in_python(source_kind: str, tmp_path: Path) -> None:
    plain = objects(200)
    plain.entries[b"large"] = entry(b"0123456789" * 3_000_000, ATTRIBUTES)
    source: waybill.Source | Path = DictSource(plain)
    if source_kind == "folder":
        source = tmp_path / "from"
        for key, found in plain.entries.items():
            path = source / key.decode()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found.content)
    destination = DictDestination(Store())
    migration = waybill.Migration(source, destination, tmp_path / "l.db", transform=Zipped())
    assert migration.run().exit_code == 0
    assert {key: zlib.decompress(found.content) for key, found in destination.store.entries.items()} == contents(plain)
    if source_kind == "python":
        assert destination.store.entries[b"large"].attributes == waybill.Attributes(
            content_type="text/plain", content_encoding="deflate"
        )
    assert migration.verify().exit_code == 0
    with pytest.raises(waybill.Error, match="transform"):
        waybill.Migration(source, destination, tmp_path / "l.db").run()


class Streams(waybill.Source):
    """Content in every form that stream() may give."""

    CONTENT = b"0123456789" * 1000

    def __init__(self) -> None:
        self.closed: list[bytes] = []

    def identity(self) -> str:
        return "streams://"

    def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterable[waybill.Item]:
        return [waybill.Item(key, opaque="1") for key in (b"bytes", b"chunks", b"file", b"known", b"views")]

    def stream(self, item: waybill.Item, context: waybill.Context) -> object:
        content = self.CONTENT
        if item.key == b"bytes":
            return content
        if item.key == b"file":
            return io.BytesIO(content)
        if item.key == b"known":
            return waybill.StreamResult(self._chunks(item.key), len(content), attributes=ATTRIBUTES)
        if item.key == b"views":
            return [memoryview(content)[:5000], bytearray(content[5000:]), b""]
        return self._chunks(item.key)

    def _chunks(self, key: bytes) -> Iterator[bytes]:
        try:
            for start in range(0, len(self.CONTENT), 777):
                yield self.CONTENT[start : start + 777]
        finally:
            self.closed.append(key)


def test_a_source_that_only_streams(tmp_path: Path) -> None:
    source, destination = Streams(), DictDestination(Store())
    report = waybill.Migration(source, destination, tmp_path / "l.db").run()
    assert report.exit_code == 0, failures(tmp_path / "l.db")
    assert set(contents(destination.store).values()) == {Streams.CONTENT}
    assert len(destination.store.entries) == 5
    assert destination.store.entries[b"known"].attributes == ATTRIBUTES
    assert sorted(source.closed) == [b"chunks", b"known"]


def test_a_stream_that_ends_early_is_no_success(tmp_path: Path) -> None:
    class Short(Streams):
        def stream(self, item: waybill.Item, context: waybill.Context) -> object:
            return waybill.StreamResult([b"123"], size=4)

    options = waybill.Options(max_attempts=2, retry_base_ms=1)
    destination = DictDestination(Store())
    report = waybill.Migration(Short(), destination, tmp_path / "l.db", options=options).run()
    assert report.snapshot.items.failed == 5
    assert not destination.store.entries
    assert "3 of 4 bytes" in failures(tmp_path / "l.db")[b"chunks"].message


EXCEPTIONS = [
    (ValueError("bad row 17"), "internal", 1, "ValueError: bad row 17 (test_stores.py:"),
    (KeyError("column"), "internal", 1, "KeyError: 'column'"),
    (PermissionError(13, "Permission denied"), "permission", 1, "Permission denied"),
    (NotImplementedError("no such thing"), "unsupported", 1, "no such thing"),
    (OSError(28, "No space left on device"), "local_io", 2, "No space left"),
    (
        waybill.UnavailableError("503", code="unavailable", error_class="throttled", retryable=True, http_status=503),
        "throttled",
        2,
        "503",
    ),
    (MemoryError("much"), "local_io", 2, "much"),
    (SystemExit(3), "internal", 1, "SystemExit: 3"),
]


@pytest.mark.parametrize(
    ("error", "error_class", "attempts", "message"), EXCEPTIONS, ids=lambda one: type(one).__name__
)
def test_an_exception_is_the_failure_of_its_item(
    error: BaseException, error_class: str, attempts: int, message: str, tmp_path: Path
) -> None:
    class Failing(DictSource):
        def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
            if item.key == b"folder 3/00003":
                raise error
            return super().read(item, offset, length, context)

    options = waybill.Options(max_attempts=2, retry_base_ms=1, retry_cap_ms=5)
    report = waybill.Migration(Failing(objects(30)), DictDestination(Store()), tmp_path / "l.db", options=options).run()
    assert (report.exit_code, report.snapshot.items.failed, report.snapshot.items.done) == (3, 1, 29)
    (failure,) = failures(tmp_path / "l.db").values()
    assert (failure.error_class, failure.attempts) == (error_class, attempts)
    assert message in failure.message
    assert "\n" not in failure.message


def test_a_traceback_is_in_the_ledger_in_one_line_without_secrets(tmp_path: Path) -> None:
    class Failing(DictSource):
        def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
            return self.parse()

        def parse(self) -> waybill.ReadResult:
            raise RuntimeError("GET https://me:hunter2@host/x?token=hunter2&y=1\nfailed")

    waybill.Migration(Failing(objects(2)), DictDestination(Store()), tmp_path / "l.db").run()
    message = failures(tmp_path / "l.db")[b"folder 1/00001"].message
    assert message.startswith("RuntimeError: GET https://***@host/x?*** failed (test_stores.py:")
    assert " in parse < test_stores.py:" in message
    assert message.endswith(" in read)")
    assert b"hunter2" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


WRONG = [
    ("read() gave str, and not bytes", "text"),
    ("read() gave 5000 bytes, and was asked for", b"x" * 5000),
    ("read() gave NoneType", None),
    ("total_size", waybill.ReadResult(b"", total_size=-1)),
    ("stamp: 'x' is not a waybill.SourceStamp", waybill.ReadResult(b"", stamp="x")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("message", "given"), WRONG)
def test_a_wrong_answer_names_what_is_wrong(message: str, given: object, tmp_path: Path) -> None:
    class Wrong(DictSource):
        def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> object:
            return given

    options = waybill.Options(max_attempts=1)
    waybill.Migration(
        Wrong(filled({b"a": entry(b"abc")})), DictDestination(Store()), tmp_path / "l.db", options=options
    ).run()
    assert message in failures(tmp_path / "l.db")[b"a"].message


@pytest.mark.parametrize("wrong", [17, "key", waybill.Item("a", size="3"), waybill.Item("a", refused="odd")])  # type: ignore[arg-type]
def test_a_listing_of_wrong_things_fails_the_run(wrong: object, tmp_path: Path) -> None:
    class Wrong(DictSource):
        def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[object]:
            yield wrong

    report = waybill.Migration(Wrong(Store()), DictDestination(Store()), tmp_path / "l.db").run()
    assert report.state == "failed"
    assert "is not" in report.message


def test_a_listing_that_ignores_where_to_start_is_found_out(tmp_path: Path) -> None:
    class Ignoring(DictSource):
        def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[waybill.Item]:
            return super().list(waybill.ListRequest(), context)

    source = waybill.stores.as_engine_sees(Ignoring(objects(10)))
    with pytest.raises(waybill.InternalError, match="its capabilities say start_after"):
        list(source.list(waybill.ListRequest(after=b"folder 5"), waybill.Context()))


def test_a_listing_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    class Breaking(DictSource):
        begun: ClassVar[list[bytes]] = []

        def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[waybill.Item]:
            self.begun.append(request.after)
            for number, item in enumerate(super().list(request, context)):
                if number == 1500 and len(self.begun) < 3:
                    raise ConnectionResetError("reset")
                yield item

    source, destination = Breaking(objects(5000)), DictDestination(Store())
    report = waybill.Migration(source, destination, tmp_path / "l.db", options=waybill.Options(retry_base_ms=1)).run()
    assert (report.exit_code, report.snapshot.items.discovered) == (0, 5000)
    assert contents(destination.store) == contents(source.store)
    keys = sorted(source.store.entries)
    assert keys[1499] in source.begun


def test_a_listing_without_an_order_that_breaks_off_is_made_anew(tmp_path: Path) -> None:
    class Breaking(DictSource):
        begun = 0

        def capabilities(self) -> waybill.SourceCapabilities:
            return waybill.SourceCapabilities()

        def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[waybill.Item]:
            self.begun += 1
            for number, key in enumerate(reversed(sorted(self.store.entries))):
                if number == 1500 and self.begun < 3:
                    raise TimeoutError("slow")
                yield item_of(key, self.store.entries[key])

    source, destination = Breaking(objects(3000)), DictDestination(Store())
    report = waybill.Migration(source, destination, tmp_path / "l.db", options=waybill.Options(retry_base_ms=1)).run()
    assert (report.exit_code, report.snapshot.items.discovered, source.begun) == (0, 3000, 3)
    assert contents(destination.store) == contents(source.store)


class Hanging(DictSource):
    """One item's read hangs, and looks at nothing, until it is let go."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.entered, self.let_go, self.returned = threading.Event(), threading.Event(), threading.Event()

    def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
        if item.key == b"folder 3/00003":
            self.entered.set()
            self.let_go.wait()
            self.returned.set()
        return super().read(item, offset, length, context)


def test_a_call_that_hangs_is_given_up_when_its_run_is_stopped(tmp_path: Path, eventually: Callable[..., None]) -> None:
    source, destination = Hanging(objects(30)), DictDestination(Store())
    run = waybill.Migration(source, destination, tmp_path / "l.db").start()
    assert source.entered.wait(30)
    eventually(lambda: run.snapshot.items.done == 29)  # it holds up nobody else
    begin = time.monotonic()
    run.interrupt()
    report = run.wait()
    assert time.monotonic() - begin < 2.5
    assert report is not None
    assert (report.state, report.snapshot.items.failed, report.snapshot.items.pending) == ("interrupted", 0, 1)
    source.let_go.set()
    assert source.returned.wait(30)
    again = waybill.Migration(source, destination, tmp_path / "l.db").run()
    assert (again.exit_code, again.run) == (0, 1)
    assert contents(destination.store) == contents(source.store)


def test_calls_that_block_at_once_hold_up_nobody_else(tmp_path: Path) -> None:
    class Meeting(DictSource):
        """Three reads, among many short ones, come back when all three are there."""

        numbers, meeting = itertools.count(), threading.Barrier(3)

        def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
            number = next(self.numbers)
            if number == 30:
                ctypes.PyDLL(None).usleep(100_000)  # with the GIL, so that the other two wait for a thread meanwhile
            if 30 <= number < 33:
                self.meeting.wait(30)
            return super().read(item, offset, length, context)

    store = filled({f"{number:03}".encode(): entry(b"x") for number in range(60)})
    options = waybill.Options(concurrency=3)
    report = waybill.Migration(Meeting(store), "memory://meeting", tmp_path / "l.db", options=options).run()
    assert (report.exit_code, report.snapshot.items.done, report.snapshot.attempts_failed) == (0, 60, 0)


def test_a_body_is_empty_handed_once_its_call_was_given_up(tmp_path: Path) -> None:
    class Slow(DictDestination):
        entered, let_go, raised = threading.Event(), threading.Event(), threading.Event()

        def put(
            self, key: bytes, body: waybill.Body, options: waybill.WriteOptions, context: waybill.Context
        ) -> waybill.Stored:
            self.entered.set()
            self.let_go.wait()
            assert context.cancelled
            try:
                return super().put(key, body, options, context)
            except waybill.Error:
                self.raised.set()
                raise

    destination = Slow(Store())
    run = waybill.Migration(DictSource(objects(1)), destination, tmp_path / "l.db").start()
    assert destination.entered.wait(30)
    run.cancel()
    report = run.wait()
    assert report is not None
    assert report.state == "cancelled"
    destination.let_go.set()
    assert destination.raised.wait(30)
    assert not destination.store.entries


def test_a_context_tells_and_is_told(tmp_path: Path) -> None:
    class Talking(DictSource):
        seen: ClassVar[list[tuple[int, bool, str, float | None]]] = []

        def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
            context.log("reading " + waybill.printable(item.key), "warning")
            context.count("my_reads")
            assert context.sleep(0.001)
            self.seen.append((context.attempt, context.cancelled, context.migration, context.seconds_left))
            return super().read(item, offset, length, context)

    source = Talking(objects(3))
    migration = waybill.Migration(source, DictDestination(Store()), tmp_path / "l.db")
    migration.run()
    info = waybill.Tracker(tmp_path / "l.db").migration()
    assert info is not None
    assert [(attempt, is_over, id) for attempt, is_over, id, _ in source.seen] == [(1, False, info.id)] * 3
    events = list(waybill.Tracker(tmp_path / "l.db").events())
    assert {event.text for event in events if event.level == "warning"} >= {"reading folder 0/00000"}
    assert '"my_reads":3' in events[-1].to_json()
    own = waybill.Context(timeout=0.05)
    assert not own.sleep(10)
    with pytest.raises(waybill.DeadlineExceededError):
        own.check()
    own = waybill.Context()
    own.cancel()
    with pytest.raises(waybill.CancelledError):
        own.check()


def test_built_in_stores_can_be_wrapped(tree: Path, tmp_path: Path) -> None:
    class Renamed(waybill.Source):
        """Another store, with the keys in capitals."""

        def __init__(self, inner: waybill.Source) -> None:
            self.inner = inner

        def identity(self) -> str:
            return "capitals:" + self.inner.identity()

        def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[waybill.Item]:
            for item in self.inner.list(waybill.ListRequest(), context):
                yield waybill.Item(item.key.upper(), item.size, mtime_ns=item.mtime_ns, opaque=item.key.hex())

        def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
            inner = waybill.Item(bytes.fromhex(item.opaque), item.size, mtime_ns=item.mtime_ns)
            found = self.inner.read(inner, offset, length, context)
            assert isinstance(found, waybill.ReadResult)
            return waybill.ReadResult(found.data, found.total_size, item.stamp, found.attributes)

    destination = DictDestination(Store())
    source = Renamed(waybill.open_source(tree))
    assert waybill.Migration(source, destination, tmp_path / "l.db").run().exit_code == 0
    wanted = {str(path.relative_to(tree)).upper().encode(): path.read_bytes() for path in tree.rglob("*.txt")}
    assert contents(destination.store) == wanted


def test_built_in_stores_can_be_used_by_hand(tmp_path: Path) -> None:
    context = waybill.Context()
    destination = waybill.open_destination(tmp_path / "there")
    (tmp_path / "there").mkdir()
    stored = destination.put(b"a/b", waybill.Body(b"content"), waybill.WriteOptions(), context)
    assert stored.size == 7
    destination.flush(context)
    source = waybill.open_source(tmp_path / "there")
    (item,) = source.list(waybill.ListRequest(), context)
    assert (item.key, item.size) == (b"a/b", 7)
    result = source.read(item, 3, 100, context)
    assert isinstance(result, waybill.ReadResult)
    assert (bytes(result.data), result.total_size, result.stamp) == (b"tent", 7, item.stamp)
    assert source.stat(item.id, context) == item
    context.cancel()
    with pytest.raises(waybill.CancelledError):
        list(source.list(waybill.ListRequest(), context))


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        (3, "/tmp", "source: 3 is not a path, a URL, or an object of a subclass of waybill.Source"),
        ("/tmp", None, "destination: None is not"),
        (DictDestination(Store()), "/tmp", "source: <"),
        (DictSource(Store()), DictSource(Store()), "destination: <"),
    ],
)
def test_wrong_stores_are_named(source: object, destination: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(waybill.InvalidArgumentError) as raised:
        waybill.Migration(source, destination, tmp_path / "l.db")  # type: ignore[arg-type]
    assert str(raised.value).startswith(message)


SCRIPT = """
import os, sys, time, threading, waybill

class Hanging(waybill.Source):
    def identity(self): return "hanging://"
    def list(self, request, context): return [waybill.Item(f"{n:04}", size=1) for n in range(100)]
    def read(self, item, offset, length, context):
        if item.key == b"0050" and os.path.exists(sys.argv[3]):
            open(sys.argv[2] + ".entered", "w").close()
            while True: time.sleep(0.01)
        return b"x"[offset:offset + length]

os.makedirs(sys.argv[1], exist_ok=True)
migration = waybill.Migration(Hanging(), sys.argv[1], sys.argv[2])
"""


def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-W", "error", "-c", SCRIPT + textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, timeout=60, check=False, encoding="utf-8")


@pytest.mark.parametrize("ending", ["", "sys.exit(7)", "raise ValueError('over')"])
def test_the_interpreter_exits_while_user_code_hangs(ending: str, tmp_path: Path) -> None:
    places = (tmp_path / "to", tmp_path / "l.db", tmp_path / "hang")
    (tmp_path / "hang").touch()
    waiting = (
        f"run = migration.start()\nwhile not os.path.exists(sys.argv[2] + '.entered'): time.sleep(0.01)\n{ending}\n"
    )
    begin = time.monotonic()
    result = run_script(waiting, *places)
    assert time.monotonic() - begin < 15
    assert result.returncode == {"": 0, "sys.exit(7)": 7}.get(ending, 1), result.stderr
    assert "Fatal" not in result.stderr
    with waybill.Tracker(tmp_path / "l.db") as tracker:
        snapshot = tracker.snapshot()
    assert (snapshot.state, snapshot.items.failed) == ("interrupted", 0)
    (tmp_path / "hang").unlink()
    result = run_script("print(migration.run().state)", *places)
    assert result.stdout == "completed\n", result.stderr
    assert len(list((tmp_path / "to").iterdir())) == 100


def test_a_forked_child_has_stores_of_its_own(tmp_path: Path) -> None:
    result = run_script(
        """
        migration.run()
        if os.fork() == 0:
            report = waybill.Migration(Hanging(), sys.argv[1] + "2", sys.argv[2] + "2").run()
            os._exit(0 if report.state == "completed" else 1)
        print(os.wait()[1])
        """,
        tmp_path / "to",
        tmp_path / "l.db",
        tmp_path / "none",
    )
    assert (result.returncode, result.stdout) == (0, "0\n"), result.stderr


def test_the_command_line_reads_such_a_ledger_and_says_who_carries_on_with_it(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    waybill.Migration(DictSource(objects(5)), DictDestination(Store()), tmp_path / "l.db").run()
    shown = cli("status", "--tracker", "l.db")
    assert (shown.returncode, "dict://source" in shown.stdout) == (0, True)
    for command in ("run", "verify", "retry"):
        shown = cli(command, "--tracker", "l.db")
        assert shown.returncode == 2
        assert shown.stderr.strip() == (
            "waybill: the ledger l.db is of a program that opened its stores itself (dict://source to dict://destination): "
            "that program carries on with it"
        )


def test_a_source_tells_which_item_a_url_points_at() -> None:
    class Linked(DictSource):
        def item_at(self, url: str) -> waybill.ItemId | None:
            return waybill.ItemId("", url[6:].encode(), "") if url.startswith("old://") else None

    linked = waybill.stores.as_engine_sees(Linked(objects(1)))
    assert linked.item_at("old://größe") == waybill.ItemId("", "größe".encode(), "")
    assert linked.item_at("https://elsewhere.example.com/") is None
    assert waybill.stores.as_engine_sees(DictSource(objects(1))).item_at("old://a") is None
