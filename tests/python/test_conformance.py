# SPDX-License-Identifier: Apache-2.0
"""The conformance suite for stores in Python: on stores that keep to it, and on stores that do not."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from broken_stores import BROKEN
from dict_fixtures import EVERYTHING, DictDestinationFixture, DictSourceFixture
from dict_stores import MinimalDestination, MinimalSource, StreamSource
from process import PROJECT

import waybill
from waybill import Attributes, Body, Context, Destination, InputStream, Item, Source, Transform, WriteOptions
from waybill.conformance import (
    AttributesKept,
    DestinationConformance,
    DestinationFixture,
    SourceConformance,
    SourceFixture,
    TransformConformance,
    TransformFixture,
    hostile_keys,
)
from waybill.conformance.support import in_threads

# What hangs in the stores of this file hangs until it is told to go on: some seconds more on a machine under load.
pytestmark = pytest.mark.timeout(120)
names = itertools.count()


class TestDictSource(SourceConformance):
    @pytest.fixture
    def store(self) -> SourceFixture:
        return DictSourceFixture()


class TestMinimalSource(SourceConformance):
    @pytest.fixture
    def store(self) -> SourceFixture:
        return DictSourceFixture(MinimalSource)


class TestStreamSource(SourceConformance):
    @pytest.fixture
    def store(self) -> SourceFixture:
        return DictSourceFixture(StreamSource)


class TestDictDestination(DestinationConformance):
    @pytest.fixture
    def store(self) -> DestinationFixture:
        return DictDestinationFixture()


class TestMinimalDestination(DestinationConformance):
    @pytest.fixture
    def store(self) -> DestinationFixture:
        return DictDestinationFixture(MinimalDestination)


class BuiltinSourceFixture(SourceFixture):
    """A built-in store that has both ends: filled through its other end."""

    def __init__(self, url: str) -> None:
        self._source = waybill.open_source(url)
        self.filler = waybill.open_destination(url)

    @property
    def source(self) -> Source:
        return self._source

    def put(self, key: bytes, content: bytes, attributes: Attributes) -> None:
        self.filler.put(key, Body(content), WriteOptions(attributes), Context())

    def remove(self, key: bytes) -> None:
        self.filler.remove(key, Context())


class MemorySourceFixture(BuiltinSourceFixture):
    attributes_kept = EVERYTHING

    def __init__(self) -> None:
        super().__init__(f"memory://python-conformance-{next(names)}")


class MemoryDestinationFixture(DestinationFixture):
    attributes_kept = EVERYTHING
    checks_digests = True

    def __init__(self) -> None:
        url = f"memory://python-conformance-{next(names)}"
        self._destination = waybill.open_destination(url)
        self.reader = waybill.open_destination(url)

    @property
    def destination(self) -> Destination:
        return self._destination

    def content(self, key: bytes) -> bytes | None:
        item = self.reader.stat(key, Context())
        if item is None:
            return None
        read = self.reader.read(item, 0, item.size or 0, Context())
        assert isinstance(read, waybill.ReadResult)
        return bytes(read.data)

    def refused_keys(self) -> list[bytes]:
        return [b"", b"k" * 65_536]


class TestMemorySource(SourceConformance):
    @pytest.fixture
    def store(self) -> SourceFixture:
        return MemorySourceFixture()


class TestMemoryDestination(DestinationConformance):
    @pytest.fixture
    def store(self) -> DestinationFixture:
        return MemoryDestinationFixture()


FILE_ATTRIBUTES = AttributesKept(mode=True, mtime=True)


def fits_a_path(key: bytes) -> bool:
    """Whether a key is a path below a folder, in the only way to write it."""
    if not key or key.startswith(b"/") or b"\0" in key or b"//" in key or len(key) > 3500:
        return False
    return all(part not in (b".", b"..") and len(part) <= 255 for part in key.split(b"/"))


class FileSourceFixture(SourceFixture):
    attributes_kept = FILE_ATTRIBUTES
    more_than_a_page = 5000

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root = os.fsencode(root)
        self._source = waybill.open_source(root)

    @property
    def source(self) -> Source:
        return self._source

    def put(self, key: bytes, content: bytes, attributes: Attributes) -> None:
        path = os.path.join(self.root, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not key.endswith(b"/"):
            with open(path, "wb") as file:
                file.write(content)
        if attributes.mode is not None:
            os.chmod(path, attributes.mode)
        if attributes.mtime_ns is not None:
            os.utime(path, ns=(attributes.mtime_ns, attributes.mtime_ns))

    def remove(self, key: bytes) -> None:
        os.unlink(os.path.join(self.root, key))

    def can_hold(self, key: bytes) -> bool:
        return fits_a_path(key)

    def missing_store(self) -> Source:
        return waybill.open_source(self.root + b" not there")


class FileDestinationFixture(DestinationFixture):
    attributes_kept = FILE_ATTRIBUTES
    more_than_a_page = 5000
    checks_digests = True

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.root = root
        self._destination = waybill.open_destination(root)

    @property
    def destination(self) -> Destination:
        return self._destination

    def content(self, key: bytes) -> bytes | None:
        try:
            with open(os.path.join(os.fsencode(self.root), key), "rb") as file:
                return file.read()
        except OSError:
            return None

    def refused_keys(self) -> list[bytes]:
        return [key for key in hostile_keys() if not fits_a_path(key)]

    def strays(self) -> list[str]:
        return [str(path) for path in self.root.parent.iterdir() if path != self.root]

    def leftovers(self) -> list[str]:
        return [str(path) for path in self.root.rglob("*.waybill-tmp*") if path.is_file()]


class TestFileSource(SourceConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SourceFixture:
        return FileSourceFixture(tmp_path / "root")


class TestFileDestination(DestinationConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DestinationFixture:
        return FileDestinationFixture(tmp_path / "root")


class Deflate(Transform):
    """The example of a transform: its result comes as it is made."""

    def identity(self) -> str:
        return "deflate-6"

    def apply(self, item: Item, input: InputStream, context: Context) -> Iterable[bytes]:
        packer = zlib.compressobj(6)
        while chunk := input.read(65_536):
            yield packer.compress(chunk)
        yield packer.flush()


class DeflateFixture(TransformFixture):
    @property
    def transform(self) -> Transform:
        return Deflate()

    def expected(self, content: bytes) -> bytes:
        return zlib.compress(content, 6)


class TestDeflate(TransformConformance):
    @pytest.fixture
    def store(self) -> TransformFixture:
        return DeflateFixture()


def run_pytest(*words: str | Path, folder: Path, seconds: float = 100) -> subprocess.CompletedProcess[str]:
    """Runs pytest on its own. What hangs says where, on stderr: a case after 30 s, and everything when the time is over."""
    support = str(PROJECT / "tests/support")
    environment = {**os.environ, "PYTHONPATH": support, "PYTEST_ADDOPTS": "", "COLUMNS": "200"}
    environment["CI"] = "true"  # where pytest compares in full: a case that fails must not take minutes to say so
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    # With a folder of its own for temporary ones, or it might first have to remove those of earlier runs.
    command += ["--rootdir", folder, "-c", os.devnull, "--basetemp", folder / "temporary"]
    command += ["-o", "faulthandler_timeout=30", *words]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # pytest's faulthandler writes the stacks of all threads
            stdout, stderr = process.communicate()
            stderr += f"stopped after {seconds} s\n"
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@dataclass
class Judged:
    """What the suite made of the broken stores: which cases each failed, as far as it came; and what it wrote."""

    failed: dict[str, set[str]]
    output: str


# As `pytest -v` writes them; a case that is under way has no outcome.
CASE = re.compile(r"^\S*::Test(\w+)::test_(\w+)(?:.* (PASSED|SKIPPED|FAILED|ERROR) +\[)?", re.MULTILINE)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """All of them in one run, where a case that hangs fails alone."""
    file = PROJECT / "tests/support/broken_stores.py"
    words = ("-v", "--tb=line", "-rfE", "--timeout=60")
    result = run_pytest(file, *words, folder=tmp_path_factory.mktemp("broken"), seconds=200)
    failed: dict[str, set[str]] = {}
    for kind, case, outcome in CASE.findall(result.stdout):
        cases = failed.setdefault(kind, set())
        if outcome in ("FAILED", "ERROR"):
            cases.add(case)
    if result.returncode != 1 and failed:
        failed.popitem()  # it was stopped amid this one
    return Judged(failed, result.stdout + result.stderr)


@pytest.mark.timeout(300)  # the first of them runs them all
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_store_fails_the_cases_that_are_about_it(name: str, broken: Judged) -> None:
    assert name in broken.failed, broken.output[-20_000:]
    said = [line for line in broken.output.splitlines() if re.match(rf"(FAILED|ERROR) \S*::Test{name}::", line)]
    assert broken.failed[name] == set(BROKEN[name]), "\n".join(said)


def test_what_is_left_out_is_said_and_skips_have_reasons(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(
        "import pytest\n"
        "from dict_fixtures import DictSourceFixture\n"
        "from dict_stores import MinimalSource\n"
        "from waybill.conformance import SourceConformance\n"
        "class Fixture(DictSourceFixture):\n"
        "    def can_hold(self, key):\n"
        "        return b' ' not in key\n"
        "class TestIt(SourceConformance):\n"
        "    @pytest.fixture\n"
        "    def store(self):\n"
        "        return Fixture(MinimalSource)\n"
    )
    result = run_pytest(file, "-rs", "-k", "promised_order or bounds", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "left out of waybill's conformance suite" in result.stdout
    assert 'the store cannot hold "with space"' in result.stdout
    assert "no start_after" in result.stdout


def test_a_thread_that_cannot_be_started_fails_its_case_and_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(RuntimeError, match="can't start"):
        in_threads(3, print)
    for thread in started:
        thread.join(30)
        assert not thread.is_alive()


def test_pytest_without_the_suite_does_not_load_waybill(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text(
        "import sys\ndef test_it():\n    assert 'waybill_pytest' in sys.modules\n    assert 'waybill' not in sys.modules\n"
    )
    result = run_pytest(file, folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "left out" not in result.stdout


def test_the_examples_of_the_docs_move_letters_and_pass_the_suite(tmp_path: Path) -> None:
    page = (PROJECT / "docs/python.md").read_text().partition("## Stores of your own")[2]
    stores, suite = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:2]
    with sqlite3.connect(tmp_path / "letters.db") as database:
        database.execute("CREATE TABLE letters (number INTEGER PRIMARY KEY, text TEXT, revision INTEGER)")
        database.execute("INSERT INTO letters VALUES (1, 'Dear', 1), (2, 'Yours', 1)")
    check = "\n\ndef test_it():\n    assert shelf.books == {b'1.txt': b'Dear', b'2.txt': b'Yours'}\n    assert report.state == 'completed'\n"
    (tmp_path / "test_shelf.py").write_text(stores + suite + check)
    result = run_pytest("test_shelf.py", "-q", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b2\d passed", result.stdout), result.stdout
