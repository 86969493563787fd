# SPDX-License-Identifier: Apache-2.0
"""What it costs that a store is written in Python: processor time for each item that is listed and read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

N_ITEMS = 1_000_000
MOST_MICROSECONDS = 30.0

SCRIPT = """
import bisect, resource, sys
import waybill

N = int(sys.argv[2])
CONTENT = b"hello"

def key(number):
    return b"%08d" % number

class Numbers(waybill.Source):
    def identity(self):
        return "numbers://"
    def capabilities(self):
        return waybill.SourceCapabilities(order="byte_key", start_after=True)
    def list(self, request, context):
        first = bisect.bisect_right(range(N), request.after, key=key) if request.after else 0
        end = bisect.bisect_left(range(N), request.before, key=key) if request.before else N
        for number in range(first, end):
            yield waybill.Item(key(number), size=len(CONTENT))
    def read(self, item, offset, length, context):
        return CONTENT[offset:offset + length]

source = Numbers()
if sys.argv[1] == "c++":
    source, context = "memory://from", waybill.Context()
    store = waybill.open_destination(source)
    for number in range(N):
        store.put(key(number), waybill.Body(CONTENT), waybill.WriteOptions(), context)

def seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

before = seconds()
report = waybill.Migration(source, "memory://to", sys.argv[3]).run()
assert report.snapshot.items.created == N, report.message
print((seconds() - before) / N * 1e6)
"""


def microseconds(kind: str, ledger: Path) -> float:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind, str(N_ITEMS), str(ledger)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_source_in_python_costs_little_over_one_in_cpp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_cpp = microseconds("c++", tmp_path / "1.db")
    in_python = microseconds("python", tmp_path / "2.db")
    with capsys.disabled():
        print(
            f"\n{N_ITEMS:,} items of 5 bytes to memory, processor time each: C++ {in_cpp:.1f} µs, Python {in_python:.1f} µs"
        )
    assert in_python - in_cpp < MOST_MICROSECONDS
