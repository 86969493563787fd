# SPDX-License-Identifier: Apache-2.0
"""fsspec filesystems as both ends: in memory, local, and over SFTP."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from sftp_server import SftpServer

import waybill
from waybill import Attributes, Context, Destination, Item, ListRequest, Source
from waybill.conformance import (
    DestinationConformance,
    DestinationFixture,
    SourceConformance,
    SourceFixture,
    hostile_keys,
)
from waybill.fsspec import FsspecDestination, FsspecSource, open_destination, open_source

Contents = Callable[[Path], dict[str, bytes]]
names = itertools.count()


def fits_a_path(key: bytes) -> bool:
    parts = key.removesuffix(b"/").split(b"/")
    return b"\0" not in key and all(part not in (b"", b".", b"..") and len(part) <= 255 for part in parts)


def is_short(key: bytes) -> bool:
    return fits_a_path(key) and len(key) < 3500


def new_memory() -> tuple[MemoryFileSystem, str]:
    filesystem = MemoryFileSystem()
    root = f"/waybill-{next(names)}"
    filesystem.mkdir(root)
    return filesystem, root


class MemorySource(SourceFixture):
    more_than_a_page = 1100

    def __init__(self) -> None:
        self.filesystem, self.root = new_memory()
        self._source = FsspecSource(self.filesystem, self.root)

    @property
    def source(self) -> Source:
        return self._source

    def put(self, key: bytes, content: bytes, attributes: Attributes) -> None:
        path = f"{self.root}/{os.fsdecode(key)}"
        if key.endswith(b"/"):
            self.filesystem.makedirs(path)
        else:
            self.filesystem.pipe_file(path, content)

    def remove(self, key: bytes) -> None:
        self.filesystem.rm_file(f"{self.root}/{os.fsdecode(key)}")

    def can_hold(self, key: bytes) -> bool:
        return is_short(key)

    def missing_store(self) -> Source:
        return FsspecSource(self.filesystem, self.root + "-not-there")


class MemoryDestination(DestinationFixture):
    more_than_a_page = 1100

    def __init__(self) -> None:
        self.filesystem, self.root = new_memory()
        self._destination = FsspecDestination(self.filesystem, self.root)

    @property
    def destination(self) -> Destination:
        return self._destination

    def content(self, key: bytes) -> bytes | None:
        file = self.filesystem.store.get(f"{self.root}/{os.fsdecode(key)}")
        return None if file is None else bytes(file.getbuffer())

    def refused_keys(self) -> list[bytes]:
        return [key for key in hostile_keys() if not fits_a_path(key) and len(key) < 300]

    def strays(self) -> list[str]:
        return [path for path in self.filesystem.store if not path.startswith("/waybill-")]


class LocalSource(SourceFixture):
    def __init__(self, root: Path, filesystem: Any) -> None:
        root.mkdir()
        self.root = os.fsencode(root)
        self._source = FsspecSource(filesystem, os.fspath(root) if filesystem.protocol[0] == "file" else "/root")

    @property
    def source(self) -> Source:
        return self._source

    def put(self, key: bytes, content: bytes, attributes: Attributes) -> None:
        path = os.path.join(self.root, key)
        if key.endswith(b"/"):
            os.makedirs(path)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + b"~", "wb") as file:  # a file of its own: a change within a tick of the clock can be seen
            file.write(content)
        os.replace(path + b"~", path)

    def remove(self, key: bytes) -> None:
        os.unlink(os.path.join(self.root, key))

    def can_hold(self, key: bytes) -> bool:
        return is_short(key) and all(len(part) < 255 for part in key.split(b"/"))


class LocalDestination(DestinationFixture):
    def __init__(self, root: Path, destination: Destination) -> None:
        root.mkdir()
        self.root = root
        self._destination = destination

    @property
    def destination(self) -> Destination:
        return self._destination

    def content(self, key: bytes) -> bytes | None:
        try:
            return Path(os.path.join(self.root, os.fsdecode(key))).read_bytes()
        except (OSError, ValueError):
            return None

    def refused_keys(self) -> list[bytes]:
        return [key for key in hostile_keys() if not is_short(key)]

    def strays(self) -> list[str]:
        return [str(path) for path in self.root.parent.iterdir() if path != self.root]

    def leftovers(self) -> list[str]:
        return [str(path) for path in self.root.rglob("*") if ".waybill-tmp" in str(path) and path.is_file()]


class TestMemorySource(SourceConformance):
    @pytest.fixture
    def store(self) -> SourceFixture:
        return MemorySource()


class TestMemoryDestination(DestinationConformance):
    @pytest.fixture
    def store(self) -> DestinationFixture:
        return MemoryDestination()


class TestLocalSource(SourceConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SourceFixture:
        return LocalSource(tmp_path / "root", LocalFileSystem())


class TestLocalDestination(DestinationConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DestinationFixture:
        root = tmp_path / "root"
        return LocalDestination(root, FsspecDestination(LocalFileSystem(), os.fspath(root)))


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SftpServer]:
    (tmp_path / "server").mkdir()
    with SftpServer(tmp_path / "server") as server:
        yield server
    fsspec.get_filesystem_class("sftp").clear_instance_cache()


class TestSftpDestination(DestinationConformance):
    @pytest.fixture
    def store(self, sftp: SftpServer) -> DestinationFixture:
        fixture = LocalDestination(sftp.top / "root", open_destination("sftp://127.0.0.1/root", **sftp.options))
        fixture.more_than_a_page = 60
        # What is no UTF-8 has no name over SFTP.
        fixture.can_hold = is_text  # type: ignore[method-assign]
        return fixture


def is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def run(source: Source, destination: Destination | Path, ledger: Path) -> waybill.Report:
    return waybill.Migration(source, destination, ledger).run()


@pytest.mark.parametrize("kind", ["memory", "local", "sftp"])
def test_a_tree_goes_out_and_in_and_is_verified(
    kind: str, tree: Path, tmp_path: Path, contents: Contents, request: pytest.FixtureRequest
) -> None:
    (tree / "empty folder").mkdir()
    (tree / "large").write_bytes(os.urandom(1_500_000 if kind == "sftp" else 9_000_000))
    url, options = f"memory://out-{next(names)}", {}
    if kind == "local":
        url = f"file://{tmp_path}/out"
    elif kind == "sftp":
        server = request.getfixturevalue("sftp")
        url, options = "sftp://127.0.0.1/out", server.options
    out = waybill.Migration(tree, open_destination(url, **options), tmp_path / "out.db")
    assert out.run().state == "completed"
    assert out.verify(level="content").state == "completed"
    report = run(open_source(url, **options), tmp_path / "back", tmp_path / "in.db")
    assert report.state == "completed"
    assert contents(tmp_path / "back") == contents(tree)
    assert (tmp_path / "back/empty folder").is_dir()


@pytest.mark.parametrize("kind", ["memory", "sftp"])
def test_an_incremental_run_moves_what_changed_and_nothing_else(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url, options = f"memory://incremental-{next(names)}", {}
    if kind == "sftp":
        server = request.getfixturevalue("sftp")
        url, options = "sftp://127.0.0.1/incremental", server.options
        (server.top / "incremental").mkdir()
    filesystem, root = fsspec.core.url_to_fs(url, **options)
    for number in range(5):
        filesystem.pipe_file(f"{root}/{number}", b"first")
    assert run(open_source(url, **options), tmp_path / "to", tmp_path / "l.db").snapshot.items.created == 5
    filesystem.pipe_file(f"{root}/3", b"second, and longer")
    filesystem.pipe_file(f"{root}/5", b"new")
    items = run(open_source(url, **options), tmp_path / "to", tmp_path / "l.db").snapshot.items
    assert (items.created, items.updated, items.unchanged) == (1, 1, 4)
    assert (tmp_path / "to/3").read_bytes() == b"second, and longer"


KILLED = """
import os, sys, waybill, waybill.fsspec
source, out, ledger, limit = sys.argv[1:]
class Slow(waybill.fsspec.FsspecDestination):
    puts = 0
    def put(self, key, body, options, context):
        Slow.puts += 1
        if Slow.puts > int(limit):
            print("reached", flush=True)
            context.sleep(60)
        return super().put(key, body, options, context)
destination = Slow("file://" + out)
print(waybill.Migration(source, destination, ledger, options=waybill.Options(concurrency=2)).run().state)
"""


def test_a_killed_run_is_carried_on(tree: Path, tmp_path: Path, contents: Contents) -> None:
    script = [sys.executable, "-c", textwrap.dedent(KILLED), tree, tmp_path / "out", tmp_path / "l.db"]
    with subprocess.Popen([*map(str, script), "5"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "reached\n"
        process.send_signal(signal.SIGKILL)
    again = subprocess.run([*map(str, script), "1000"], capture_output=True, text=True, check=True, timeout=100)
    assert again.stdout == "completed\n"
    assert contents(tmp_path / "out") == contents(tree)
    assert not list((tmp_path / "out").rglob(".waybill-tmp*/*"))


def test_connections_are_used_by_one_thread_each_and_are_few(sftp: SftpServer, tmp_path: Path) -> None:
    (sftp.top / "many").mkdir()
    for number in range(60):
        (sftp.top / "many" / f"{number:02}").write_bytes(os.urandom(20_000))
    source = open_source("sftp://127.0.0.1/many", connections=3, **sftp.options)
    report = waybill.Migration(
        source, tmp_path / "to", tmp_path / "l.db", options=waybill.Options(concurrency=16)
    ).run()
    assert report.state == "completed"
    assert 1 <= sftp.connections <= 4  # one more for the instance that fsspec itself caches


def test_no_credential_is_in_what_a_ledger_keeps(sftp: SftpServer, tmp_path: Path) -> None:
    (sftp.top / "one").mkdir()
    (sftp.top / "one/file").write_bytes(b"x")
    source = open_source("sftp://127.0.0.1/one", **sftp.options)
    assert source.identity() == f"fsspec+sftp://127.0.0.1:{sftp.port}/one"
    run(source, tmp_path / "to", tmp_path / "l.db")
    held = b"".join(path.read_bytes() for path in tmp_path.glob("l.db*"))
    assert b"fsspec+sftp" in held
    assert sftp.password.encode() not in held


def test_symbolic_links_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/link").symlink_to("/etc/hostname")
    (tmp_path / "from/file").write_bytes(b"x")
    report = run(FsspecSource(LocalFileSystem(), str(tmp_path / "from")), tmp_path / "to", tmp_path / "l.db")
    assert report.state == "completed_with_differences"
    with waybill.Tracker(tmp_path / "l.db") as tracker:
        (failure,) = tracker.failures()
    assert (failure.key, failure.error_class) == (b"link", "unsupported")
    assert "symbolic link" in failure.message


class Torn(LocalFileSystem):
    """Breaks off in the middle of writing, or of moving."""

    protocol = "torn"
    breaks = "open"

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super()._open(path, mode, **options)
        if self.breaks == "open" and "w" in mode:
            file.write(b"half")
            file.close()
            raise ConnectionResetError("gone")
        return file

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        raise ConnectionResetError("gone")


@pytest.mark.parametrize("breaks", ["open", "mv"])
def test_a_write_that_breaks_off_leaves_what_was_there(breaks: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"old")
    filesystem = Torn(skip_instance_cache=True)
    filesystem.breaks = breaks
    filesystem.local_file = False
    destination = FsspecDestination(filesystem, str(tmp_path), writes="rename")
    for key in (b"data", b"new"):
        with pytest.raises(ConnectionError):
            destination.put(key, waybill.Body(b"new content"), waybill.WriteOptions(), Context())
    assert (tmp_path / "data").read_bytes() == b"old"
    assert not (tmp_path / "new").exists()


class Truncating(MemoryFileSystem):
    """Keeps less than it was given."""

    protocol = "truncating"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        super().pipe_file(path, value[:-1], mode, **options)


def test_a_store_that_keeps_less_is_found_out() -> None:
    destination = FsspecDestination(Truncating(), f"/truncating-{next(names)}", writes="whole")
    with pytest.raises(waybill.DataLossError, match="10 bytes are there instead of 11") as caught:
        destination.put(b"data", waybill.Body(b"new content"), waybill.WriteOptions(), Context())
    assert caught.value.retryable


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(waybill.InvalidArgumentError, match="neither a URL nor an fsspec filesystem"):
        FsspecSource(42)
    with pytest.raises(waybill.InvalidArgumentError, match=r"storage options \(key\) go with a URL"):
        FsspecSource(MemoryFileSystem(), "/", key="x")
    with pytest.raises(waybill.InvalidArgumentError, match="how torn shows new files is not known"):
        FsspecDestination(Torn(), "/")
    with pytest.raises(waybill.InvalidArgumentError, match="connections: -1"):
        FsspecSource(MemoryFileSystem(), "/", connections=-1)


class Answers(Exception):
    """As HTTP libraries have it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}")
        self.status = status


@pytest.mark.parametrize(
    ("error", "error_class", "retryable"),
    [
        (Answers(401), "auth", False),
        (Answers(403), "permission", False),
        (Answers(404), "missing", False),
        (Answers(429), "throttled", True),
        (Answers(503), "server", True),
        (FileNotFoundError("x"), "missing", False),
        (EOFError(), "network", True),
        (OSError(36, "File name too long"), "unsupported", False),
        (RuntimeError("bad"), "internal", False),
    ],
)
def test_exceptions_of_filesystems_have_a_class(
    error: Exception, error_class: str, retryable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    filesystem, root = new_memory()
    filesystem.pipe_file(f"{root}/file", b"x")
    monkeypatch.setattr(filesystem, "cat_file", fail)
    source = waybill.stores.as_engine_sees(FsspecSource(filesystem, root))
    with pytest.raises(waybill.Error) as caught:
        source.read(Item(b"file", 1), 0, 1, Context())
    assert (caught.value.error_class, caught.value.retryable) == (error_class, retryable)


def test_one_folder_is_asked_for_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem, root = new_memory()
    for folder in range(20):
        filesystem.pipe_file(f"{root}/{folder:02}/file", b"x")
    asked: list[str] = []
    ls = filesystem.ls
    monkeypatch.setattr(filesystem, "ls", lambda path, **options: asked.append(path) or ls(path, **options))
    listing = iter(FsspecSource(filesystem, root).list(ListRequest(), Context()))
    assert next(listing).key == b"00/file"
    assert asked == [root, f"{root}/00"]
    asked.clear()
    later = FsspecSource(filesystem, root).list(ListRequest(after=b"17/file"), Context())
    assert [item.key for item in later] == [b"18/file", b"19/file"]
    assert asked == [root, f"{root}/17", f"{root}/18", f"{root}/19"]
