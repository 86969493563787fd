# SPDX-License-Identifier: Apache-2.0
"""The package, its stub and a user's program under mypy --strict; the stub against the module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import waybill
import waybill.aio
import waybill.charts
from waybill import _core

pytest.importorskip("mypy")

PROGRAM = """
import asyncio

import waybill
from waybill import aio, charts

def on_progress(snapshot: waybill.Snapshot) -> None:
    print(snapshot.items.done, snapshot.progress)

options = waybill.Options(concurrency=4, overwrite="never", include=["*.jpg"])
migration = waybill.Migration("/a", "/b", "t.db", name="x", options=options)
report: waybill.Report = migration.run(progress=on_progress)
with migration.start() as run:
    for event in run.events():
        reveal_type(event.text)
with waybill.Tracker("t.db") as tracker:
    keys: list[bytes] = [item.key for item in tracker.items(state="failed")]
    reveal_type(tracker.snapshot().state)
failures: waybill.Records[waybill.Failure] = migration.failures("permission")
columns: list[str] = failures.to_polars().columns
rows: int = failures.to_arrow().num_rows
with waybill.Tracker("t.db") as drawn:
    charts.throughput(drawn, run=2).savefig("throughput.png")

async def look(snapshot: waybill.Snapshot) -> None:
    await asyncio.sleep(0)

async def main() -> None:
    async with aio.start(migration) as run:
        async for snapshot in run.progress(seconds=1):
            done: int = snapshot.items.done
    ended: waybill.Report = await run
    ended = await aio.run(migration, progress=look)
    started: aio.Run = await aio.start_verify(migration, level="listing")

    plan: waybill.Plan = await waybill.aio.plan(migration)

waybill.nothing()
waybill.Options(overwrite="sometimes")
migration.verify(level="everything")
"""


def run_mypy(*words: str, folder: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, encoding="utf-8", check=False, timeout=240
    )
    return result.stdout + result.stderr


def test_the_package_is_typed(tmp_path: Path) -> None:
    assert (Path(waybill.__file__).parent / "py.typed").exists()
    shown = run_mypy("mypy", "--strict", "--config-file=", "-p", "waybill", folder=tmp_path)
    assert shown.startswith("Success"), shown


def test_a_program_is_checked(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    shown = run_mypy("mypy", "--strict", "--config-file=", "program.py", folder=tmp_path)
    assert 'Revealed type is "str"' in shown or 'Revealed type is "builtins.str"' in shown
    assert "completed_with_differences" in shown
    errors = [line for line in shown.splitlines() if ": error:" in line]
    assert len(errors) == 3, shown
    assert '"nothing"' in errors[0]
    assert '"overwrite"' in errors[1]
    assert '"level"' in errors[2]


def test_the_stub_is_that_of_the_module(tmp_path: Path) -> None:
    # pybind11 gives its classes a metaclass, and those without a constructor an __init__ that refuses.
    (tmp_path / "allowed").write_text(
        "waybill._core.[A-Za-z]+\nwaybill._core.([A-Za-z]*Job|[A-Za-z]*Run|Import|Source|Destination|Transform|Catalog|Batch|Lister|ReferenceLister|PartUpload|Stream|InputStream).__init__\n"
    )
    words = ["mypy.stubtest", "waybill._core", "--ignore-disjoint-bases", "--ignore-unused-allowlist"]
    shown = run_mypy(*words, "--allowlist", "allowed", folder=tmp_path)
    assert shown.startswith("Success"), shown


@pytest.mark.parametrize("module", [waybill, waybill.aio, waybill.charts])
def test_everything_public_has_a_docstring(module: ModuleType) -> None:
    for name in module.__all__:
        thing = getattr(module, name)
        if isinstance(thing, type):
            assert thing.__doc__, name
            for member, value in vars(thing).items():
                if callable(value) and not member.startswith("_"):
                    assert value.__doc__, f"{name}.{member}"
    assert _core.printable.__doc__
