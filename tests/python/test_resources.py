# SPDX-License-Identifier: Apache-2.0
"""What a run takes from its process, it gives back: threads and descriptors."""

from __future__ import annotations

import os
from pathlib import Path

import waybill


def in_use() -> tuple[int, int]:
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def test_fifty_migrations_leave_no_thread_and_no_descriptor(tree: Path, tmp_path: Path) -> None:
    first = None
    for number in range(50):
        ledger = tmp_path / f"{number}.db"
        seen = []
        report = waybill.Migration(tree, tmp_path / f"to {number}", ledger).run(progress=seen.append)
        assert report.exit_code == 0
        assert report.snapshot.items.created == 12
        assert seen
        with waybill.Tracker(ledger) as tracker:
            assert len(list(tracker.items())) == 12
        if first is None:
            first = in_use()
    assert in_use() == first
