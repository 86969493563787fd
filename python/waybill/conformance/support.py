# SPDX-License-Identifier: Apache-2.0
"""What the suites share: sample data, errors, cancelling a call that hangs, and the checks of listings."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import pytest

from waybill import _core
from waybill.errors import Error
from waybill.records import printable
from waybill.stores import Attributes, Context, Destination, Item, ListRequest, Source

_Fixture = TypeVar("_Fixture")


class Suite(Generic[_Fixture]):
    """A case's store and context, and how it says what it left out."""

    store: _Fixture
    context: Context
    _request: pytest.FixtureRequest

    @pytest.fixture(autouse=True)
    def _begin(self, request: pytest.FixtureRequest, store: _Fixture) -> Iterator[None]:
        self.store = store
        self.context = Context()
        self._request = request
        yield
        resume = getattr(store, "resume", None)
        if resume is not None:
            resume()  # also where a case failed while calls hung

    def leave_out(self, what: str) -> None:
        """Says what was left out of a case, without ending it."""
        self._request.node.user_properties.append(("left_out", what))


def sample_content(size: int, seed: int) -> bytes:
    """`size` bytes that look random and depend on `seed` only."""
    return random.Random(seed).randbytes(size)


def _crc64nvme_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x9A6C9329AC4BC9B5 if crc & 1 else crc >> 1
        table.append(crc)
    return table


_TABLE = _crc64nvme_table()


def crc64nvme(content: bytes | bytearray) -> int:
    """From the parameters of CRC-64/NVME, so that a store is judged by another implementation than the library's."""
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFFFFFFFFFF


def same(got: bytes | bytearray | memoryview | None, want: bytes | None) -> bool:
    """Whether two contents are equal. If not, fails and says where they differ, without printing all of them: on a machine
    of continuous integration pytest's own comparison of two megabytes takes minutes."""
    if got == want:
        return True
    if got is None:
        pytest.fail("there is nothing")
    if want is None:
        pytest.fail(f"there is something: {printable(bytes(got[:60]))}")
    differing = next((i for i, (a, b) in enumerate(zip(got, want, strict=False)) if a != b), min(len(got), len(want)))
    pytest.fail(
        f'{len(got)} bytes instead of {len(want)}, equal up to byte {differing}, then "{printable(bytes(got[differing:][:30]))}" '
        f'instead of "{printable(want[differing:][:30])}"'
    )


def error_of(call: Callable[[], object]) -> Error | None:
    """What a call raised; None if it returned."""
    try:
        call()
    except Error as error:
        return error
    return None


def fails_with(error_class: str | tuple[str, ...], call: Callable[[], object]) -> Error:
    """Fails unless `call` raises an error of that class."""
    error = error_of(call)
    assert error is not None, f"it did not fail, and should have with the class {error_class}"
    wanted = (error_class,) if isinstance(error_class, str) else error_class
    assert error.error_class in wanted, f"class {error.error_class} instead of {' or '.join(wanted)}: {error.message}"
    return error


def cancel_during(call: Callable[[Context], object], wait: float) -> Error | None:
    """Runs `call` on a thread of its own with a context that is cancelled after `wait` seconds; fails unless the call ends
    within one second of that. Gives what it raised."""
    context = Context()
    ended = threading.Event()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call(context)
        except BaseException as error:
            raised.append(error)
        ended.set()

    # A daemon: a call that never returns must fail the case, and not hang it.
    threading.Thread(target=run, daemon=True).start()
    ended.wait(wait)
    cancelled_at = time.monotonic()
    context.cancel()
    assert ended.wait(10), "the call had not returned 10 s after it was cancelled"
    took = time.monotonic() - cancelled_at
    assert took < 1, f"it ended {took:.2f} s after it was cancelled"
    if not raised:
        return None
    if isinstance(raised[0], Error):
        return raised[0]
    raise raised[0]


def in_threads(count: int, work: Callable[[int], object]) -> list[BaseException | None]:
    """Runs ``work(0)``, ``work(1)``, … at once, each on a thread; gives what each raised."""
    raised: list[BaseException | None] = [None] * count
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            ready.wait()
            work(number)
        except BaseException as error:
            raised[number] = error

    # Daemons: where a call never returns, the process of a case that was stopped must still be able to exit.
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    try:
        for thread in threads:
            thread.start()
    except BaseException:
        ready.abort()  # those that began wait for one that never comes
        raise
    for thread in threads:
        thread.join()
    return raised


Store = Source | Destination


def list_all(store: Store, context: Context, after: bytes = b"", before: bytes = b"") -> list[Item]:
    """All items of a listing."""
    return list(store.list(ListRequest(after, before), context))


def keys_of(items: list[Item]) -> list[bytes]:
    return [item.key for item in items]


def same_keys(got: list[bytes], want: list[bytes], where: str) -> None:
    """Fails unless two listings are equal, and says where they part, without printing all of them."""
    for position, (a, b) in enumerate(itertools.zip_longest(got, want)):
        if a != b:
            listed, wanted = ("the end" if key is None else f'"{printable(key[:60])}"' for key in (a, b))
            pytest.fail(f"{where}: at key {position} of {len(want)}, {listed} instead of {wanted}")


def _expect_keys(got: list[bytes], want: list[bytes], where: str) -> None:
    wrong = [f"not listed: {printable(key)}" for key in sorted(set(want) - set(got))]
    wrong += [f"listed: {printable(key)}" for key in sorted(set(got) - set(want))]
    wrong += [f"listed twice: {printable(key)}" for key in sorted({key for key in got if got.count(key) > 1})]
    assert not wrong, f"{where}: {'; '.join(wrong[:10])}"


def check_order(store: Store, keys: list[bytes], context: Context) -> None:
    """The listing has each of `keys` once, in the order that the capabilities promise."""
    got = keys_of(list_all(store, context))
    _expect_keys(got, keys, "the whole listing")
    if store.capabilities().order != "byte_key":
        return
    for earlier, later in itertools.pairwise(got):
        assert earlier < later, f"{printable(later)} was listed after {printable(earlier)}"


def check_bounds(store: Store, keys: list[bytes], context: Context) -> None:
    """Listings keep to their bounds."""
    bounds = [b"", b"a", b"a/", b"a/b", b"a/b-c", b"a0", b"m", b"\xff", b"a\xff", b"\x01", *keys[::7]]
    for bound in bounds:
        for after, before in ((bound, b""), (b"", bound), (bound, bound + b"z")):
            want = [key for key in keys if key > after and (not before or key < before)]
            got = keys_of(list_all(store, context, after, before))
            _expect_keys(got, want, f"after {printable(after)!r} and before {printable(before)!r}")


def check_resume(suite: Suite[_Fixture], store: Store, keys: list[bytes], context: Context) -> None:
    """A listing that goes on behind a key of an earlier one gives exactly what came after it."""
    can = store.capabilities()
    if not can.start_after or can.order != "byte_key":
        suite.leave_out("listings that are carried on: no start_after, or no order")
        return
    got = keys_of(list_all(store, context))
    for position in range(0, len(got), max(1, len(got) // 5)):
        rest = keys_of(list_all(store, context, after=got[position]))
        same_keys(rest, got[position + 1 :], f"carried on after {printable(got[position])}")
    del keys


def check_attributes(kept_headers: bool, kept_metadata: bool, got: Attributes | None, want: Attributes) -> None:
    """Those that the store keeps are the same."""
    names = ["content_type", "content_encoding", "content_language", "content_disposition", "cache_control"]
    wanted = [name for name in names if kept_headers] + ["metadata"] * kept_metadata
    wanted += [name for name in ("mode", "mtime_ns") if getattr(want, name) is not None]
    assert got is not None or not wanted, "it gave no attributes"
    for name in wanted:
        assert getattr(got, name) == getattr(want, name), name


def body_with_digest(content: bytes, digest: int) -> _core.Body:
    return _core.body_with_crc64nvme(content, digest)
