# SPDX-License-Identifier: Apache-2.0
"""Records as lazy sequences, and as tables of pandas, polars and pyarrow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest
from fault_server import FaultServer

import waybill

LISTS = ("items", "outcomes", "failures", "findings", "events", "runs", "history", "partitions", "rates")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def migration(tree: Path, tmp_path: Path) -> waybill.Migration:
    """Eleven copied items, one that failed, and one finding."""
    destination = tmp_path / "destination"
    (destination / "folder 0").mkdir(parents=True)
    (destination / "folder 0" / "file-03.txt").write_bytes(b"somebody else's")
    options = waybill.Options(digest="sha256")
    migration = waybill.Migration(tree, destination, tmp_path / "ledger.db", options=options)
    assert migration.run().exit_code == 3
    (destination / "folder 1" / "file-04.txt").unlink()
    assert migration.verify("listing").exit_code == 3
    return migration


@pytest.fixture
def tracker(migration: waybill.Migration, tmp_path: Path) -> Iterator[waybill.Tracker]:
    with waybill.Tracker(tmp_path / "ledger.db") as tracker:
        yield tracker


def test_records_are_read_anew_each_time(tracker: waybill.Tracker, tree: Path, tmp_path: Path) -> None:
    for name in LISTS:
        records = getattr(tracker, name)()
        assert isinstance(records, waybill.Records)
        assert list(records) == list(records) != []
    states = iter(["copied", "verified"])
    some = tracker.items(states)  # type: ignore[arg-type]
    assert len(list(some)) == len(list(some)) == 11
    everything = tracker.items()
    assert len(list(everything)) == 12
    (tree / "new").write_bytes(b"new")
    waybill.Migration(tree, tmp_path / "destination", tmp_path / "ledger.db").run()
    assert len(list(everything)) == 13


def test_libraries_take_records_as_they_are(tracker: waybill.Tracker) -> None:
    keys = [item.key for item in tracker.items()]
    assert list(pandas.DataFrame(tracker.items())["key"]) == keys
    assert polars.DataFrame(tracker.items())["key"].to_list() == keys
    assert pyarrow.table(tracker.items())["key"].to_pylist() == keys
    reader = pyarrow.RecordBatchReader.from_stream(tracker.items())
    assert sum(batch.num_rows for batch in reader) == 12


def test_a_table_says_what_the_records_say(tracker: waybill.Tracker) -> None:
    table = tracker.items().to_arrow()
    times = ["mtime", "stored_mtime"]
    for name in times:
        assert table[name].cast("int64").to_pylist() == [getattr(item, f"{name}_ns") for item in tracker.items()]
    for row, item in zip(table.drop_columns(times).to_pylist(), tracker.items(), strict=True):
        expected = asdict(item)
        for name in times:
            del expected[f"{name}_ns"]
        for name in ("copied_at_ms", "verified_at_ms"):
            ms = expected.pop(name)
            expected[name[:-3]] = EPOCH + timedelta(milliseconds=ms) if ms is not None else None
        if item.crc64nvme is not None:
            assert item.sha256 is not None
            expected |= {"crc64nvme": f"{item.crc64nvme:016x}", "sha256": item.sha256.hex()}
        if item.stored_crc64nvme is not None:
            expected["stored_crc64nvme"] = f"{item.stored_crc64nvme:016x}"
        assert row == expected
    assert any(item.stored_crc64nvme for item in tracker.items())
    assert any(item.sha256 is not None for item in tracker.items())
    (failure,) = tracker.failures().to_arrow().to_pylist()
    assert (failure["key"], failure["error_class"], failure["waived_at"]) == (
        b"folder 0/file-03.txt",
        "occupied",
        None,
    )
    assert abs(datetime.now(UTC) - failure["at"]) < timedelta(minutes=10)
    assert tracker.findings().to_arrow().to_pylist() == [asdict(finding) for finding in tracker.findings()]


def test_records_in_records_become_columns(tracker: waybill.Tracker) -> None:
    verify, copy = tracker.history().to_arrow().to_pylist()
    assert (verify["phase"], copy["phase"]) == ("verify", "copy")
    summary = list(tracker.history())[1]
    assert {f"items_{name}": value for name, value in asdict(summary.items).items()}.items() <= copy.items()
    assert (copy["state"], copy["bytes_done"]) == (summary.record.state, summary.bytes_done)
    assert copy["failed_by_class"] == [("occupied", 1)]
    assert tracker.history().to_pandas()["failed_by_class"][1] == {"occupied": 1}
    (partition,) = tracker.partitions().to_arrow().to_pylist()
    assert (partition["items_done"], partition["migration_items_failed"]) == (11, 1)
    frame = tracker.outcomes().to_arrow()
    failed = [row for row in frame.to_pylist() if row["failure_code"] is not None]
    assert [(row["key"], row["error_class"]) for row in failed] == [(b"folder 0/file-03.txt", "occupied")]
    assert failed[0]["failure_message"] == next(iter(tracker.failures())).message
    # Each name once, and nothing is lost but the key that both have.
    assert len(frame.column_names) == len(set(frame.column_names))
    of_failure = {field.name.removesuffix("_ms") for field in fields(waybill.Failure)}
    assert of_failure <= set(frame.column_names) | {
        name.removeprefix("failure_") for name in frame.column_names if name.startswith("failure_")
    }


def test_columns_are_typed(tracker: waybill.Tracker) -> None:
    schema = tracker.items().to_arrow().schema
    assert {
        name: str(schema.field(name).type) for name in ("key", "size", "mtime", "copied_at", "waived", "state")
    } == {
        "key": "binary",
        "size": "int64",
        "mtime": "timestamp[ns, tz=UTC]",
        "copied_at": "timestamp[ms, tz=UTC]",
        "waived": "bool",
        "state": "string",
    }
    assert not schema.field("key").nullable
    assert schema.field("sha256").nullable
    dtypes = tracker.items().to_pandas().dtypes.astype(str)
    assert (dtypes["size"], dtypes["mtime"], dtypes["copied_at"], dtypes["waived"]) == (
        "Int64",
        "datetime64[ns, UTC]",
        "datetime64[ms, UTC]",
        "boolean",
    )
    assert tracker.items().to_polars().schema["verified_at"] == polars.Datetime("ms", "UTC")
    assert tracker.rates().to_arrow().schema.field("seconds").type == pyarrow.float64()


def test_nothing_has_the_same_columns(tracker: waybill.Tracker, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    waybill.Migration(tmp_path / "empty", tmp_path / "to", tmp_path / "empty.db").run()
    with waybill.Tracker(tmp_path / "empty.db") as empty:
        for name in LISTS:
            full, none = getattr(tracker, name)(), getattr(empty, name)()
            assert none.to_arrow().schema == full.to_arrow().schema
            assert none.to_polars().schema == full.to_polars().schema
            assert dict(none.to_pandas().dtypes) == dict(full.to_pandas().dtypes)
        for name in ("items", "outcomes", "failures", "findings"):
            records = getattr(empty, name)()
            assert list(records) == []
            assert (len(records.to_pandas()), len(records.to_polars()), len(records.to_arrow())) == (0, 0, 0)


def test_text_that_is_not_utf8_is_escaped() -> None:
    row = {"run": 2, "kind": "extra", "partition": "", "key": b"\xff", "version": "", "detail": "caf\udce9 ×"}
    records = waybill.Records(waybill.Finding, lambda fields: waybill.Finding(**fields), lambda: iter([[row], [row]]))
    assert records.to_arrow().to_pylist() == [row | {"detail": "caf\\xe9 ×"}] * 2
    assert [finding.detail for finding in records] == ["caf\udce9 ×"] * 2


MEMORY = """
import re, sys, pyarrow, waybill

def peak():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) << 10

with waybill.Tracker(sys.argv[1]) as tracker:
    list(tracker.items(prefix="0000000000"))
    next(iter(tracker.items().to_batches()))
    begin = peak()
    assert sum(1 for _ in tracker.items()) == 200_000
    assert sum(batch.num_rows for batch in tracker.items().to_batches()) == 200_000
    streamed = peak()
    table = tracker.items().to_arrow()
    assert table.num_rows == 200_000
    print(streamed - begin, peak() - streamed - table.nbytes)
"""


def test_memory_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred thousand items: neither iterating nor batches hold more than a few pages of them, and a table holds
    columns alone."""
    for name, value in {"ACCESS_KEY_ID": "keys", "SECRET_ACCESS_KEY": "keys-secret", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with FaultServer("from") as store:
        store.generate("from", shape="padded", count=200_000, size=100)
        options = waybill.Options(exclude=["**"])
        waybill.Migration(store.url("from"), tmp_path / "to", tmp_path / "ledger.db", options=options).run()
    words = [sys.executable, "-c", MEMORY, str(tmp_path / "ledger.db")]
    streamed, beside_columns = map(int, subprocess.run(words, capture_output=True, check=True).stdout.split())
    assert streamed < 8 << 20
    assert beside_columns < 32 << 20


def test_a_migration_lists_its_ledger(migration: waybill.Migration, tracker: waybill.Tracker) -> None:
    for name in LISTS:
        assert list(getattr(migration, name)()) == list(getattr(tracker, name)())
    assert [item.state for item in migration.items(state="failed")] == ["failed"]
    assert [finding.kind for finding in migration.findings()] == ["missing"]
    assert migration.failures("occupied").to_pandas()["key"][0] == b"folder 0/file-03.txt"
    assert len(list(migration.items(prefix="folder 1/"))) == 4
    # What is not read to its end does not stay open.
    descriptors = len(os.listdir("/proc/self/fd"))
    first = iter(migration.items())
    assert next(first)
    assert len(os.listdir("/proc/self/fd")) > descriptors
    del first
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_migration_without_a_ledger_says_so(tree: Path, tmp_path: Path) -> None:
    new = waybill.Migration(tree, tmp_path / "to", tmp_path / "new.db").items()
    with pytest.raises(waybill.NotFoundError, match=r"new\.db"):
        list(new)
    assert not (tmp_path / "new.db").exists()


def test_a_ledger_in_memory_has_lists(tree: Path, tmp_path: Path, tracker: waybill.Tracker) -> None:
    migration = waybill.Migration(tree, tmp_path / "to", "memory:")
    assert list(migration.items()) == list(migration.runs()) == []
    migration.run()
    items = list(migration.items())
    assert [item.key for item in items] == [item.key for item in tracker.items()]
    for name in LISTS:
        records = getattr(migration, name)()
        assert records.to_arrow().schema == getattr(tracker, name)().to_arrow().schema
    assert len(migration.items("copied").to_pandas()) == 12
    # A list that outlives its migration keeps what it reads.
    records = migration.items()
    del migration
    assert len(list(records)) == 12


def test_what_is_not_installed_is_named(tracker: waybill.Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(call: Callable[[], Any]) -> str:
        with pytest.raises(ImportError) as raised:
            call()
        return str(raised.value)

    records = tracker.items()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pandas", None)
        without.setitem(sys.modules, "polars", None)
        wanted = "{0} is not installed; it comes with: pip install 'waybill[{0}]'"
        assert message(records.to_pandas) == wanted.format("pandas")
        assert message(records.to_polars) == wanted.format("polars")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        assert message(records.to_arrow) == "pyarrow is not installed; it comes with: pip install 'waybill[arrow]'"
        assert message(records.to_pandas).endswith("'waybill[pandas]'")
        assert message(records.to_polars).endswith("'waybill[polars]'")
        # They take records all the same.
        assert not hasattr(records, "__arrow_c_stream__")
        assert len(pandas.DataFrame(records)) == 12
        assert len(polars.DataFrame(tracker.failures())) == 1


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    script = (
        "import sys, waybill, waybill.cli; print(*sorted({'asyncio', 'pandas', 'polars', 'pyarrow', 'numpy', "
        "'matplotlib', 'IPython', 'ipywidgets'} & set(sys.modules))); waybill.aio.run; waybill.charts.sizes"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, encoding="utf-8").stdout
    assert shown.split() == []
