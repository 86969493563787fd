# SPDX-License-Identifier: Apache-2.0
"""CPU of an item of tracked work (waybill.track): a loop of many items that do nothing.

    python bench/track_items.py [ITEMS]

Prints the processor time of an item, user and system, of all threads, and how resident memory grew from the first tenth
of the items to the last. Exits 1 where an item takes more than 30 µs, or memory grows by more than 16 MiB.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import waybill

MOST_US = 30.0
MOST_GROWTH_MIB = 16.0


def resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


class Names:
    """A collection of `count` names that holds none of them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        return (f"folder/{number:08}" for number in range(self.count))


def measure(what: str, ledger: Path, count: int, is_sized: bool) -> bool:
    names = Names(count)
    early = 0.0
    cpu, wall = time.process_time(), time.monotonic()
    with waybill.track("bench", tracker=ledger) as run:
        for done, _ in enumerate(run.items(names if is_sized else iter(names))):
            if done == count // 10:
                early = resident_mib()
    growth = resident_mib() - (early or resident_mib())
    cost = (time.process_time() - cpu) / count * 1e6
    rate = count / (time.monotonic() - wall)
    assert run.report is not None
    assert run.report.state == "completed"
    assert run.report.snapshot.items.done == count
    print(f"{what:<34} {cost:6.1f} µs of CPU an item, {rate:9,.0f} items/s, memory {growth:+.1f} MiB", flush=True)
    return cost <= MOST_US and growth <= MOST_GROWTH_MIB


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        sized, streamed = Path(folder) / "sized.db", Path(folder) / "streamed.db"
        is_good = measure("a collection, declared first", sized, count, is_sized=True)
        is_good &= measure("the same again, all done", sized, count, is_sized=True)
        is_good &= measure("an iterator", streamed, count, is_sized=False)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
