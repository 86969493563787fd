# SPDX-License-Identifier: Apache-2.0
"""``waybill plan``: what it shows of a migration before anything moves."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

import waybill

CommandLine = Any  # the class of conftest.py, which has no name that tests can import
ACCOUNTS = 25


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """250 files of 25 accounts in a list; the first two are there."""
    rows = ["key,size,partition"]
    rows += [f"f{i:03}.{'PDF' if i % 5 else 'txt'},{1000 * (i % ACCOUNTS + 1)},A-{i % ACCOUNTS:02}" for i in range(250)]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(rows) + "\n")
    (tmp_path / "files").mkdir()
    return path


def url_of(manifest: Path) -> str:
    return f"manifest://{manifest}?base=file://{manifest.parent}/files"


def test_accounts_are_shown_with_counts_and_bytes(manifest: Path, tmp_path: Path) -> None:
    plan = waybill.Migration(url_of(manifest), str(tmp_path / "to"), str(tmp_path / "never.db")).plan()
    assert plan.items == 250
    assert [row.name for row in plan.partitions] == [f"A-{n:02}" for n in reversed(range(ACCOUNTS))]
    assert {row.items for row in plan.partitions} == {10}
    assert plan.partitions[0] == waybill.PlanRow(
        name="A-24", title="", groups=1, items=10, bytes=250_000, unknown_sizes=0
    )
    assert [(row.name, row.items) for row in plan.extensions] == [("pdf", 200), ("txt", 50)]
    assert plan.bytes == sum(row.bytes for row in plan.extensions)
    assert plan.time is None
    assert plan.unmatched_objects == 0
    assert plan.sample == waybill.PlanSample(asked=0, answered=0, failed_by_class={})
    assert json.loads(plan.to_json())["partitions"][0]["bytes"] == 250_000
    assert not (tmp_path / "never.db").exists()


def test_all_of_it_fits_a_terminal(cli: CommandLine, manifest: Path) -> None:
    manifest.write_text(manifest.read_text() + "\n".join(f"long{'x' * 90}{i},9000000,{'y' * 90}" for i in range(3)))
    shown = cli("plan", "--from", url_of(manifest), "--to", "to", "--max-size", "1MiB")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = shown.stdout
    assert "excluded                 3" in text
    assert "  too large              3  25.7 MiB, over --max-size" in text
    assert "partitions, by bytes:" in text
    assert "(16 more)" in text
    assert "time          not known before a first trial" in text
    assert re.search(r"^ +200 +\d+\.\d MiB  pdf$", text, re.MULTILINE), text


def test_a_host_where_nobody_is(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        path = tmp_path / "list.csv"
        path.write_text("url\n" + "".join(f"http://127.0.0.1:{port}/{i}.pdf\n" for i in range(7)))
        plan = waybill.Migration(f"manifest://{path}", str(tmp_path / "to"), str(tmp_path / "never.db")).plan()
    assert plan.unknown_sizes == 7
    assert [(row.name, row.items) for row in plan.hosts] == [(f"127.0.0.1:{port}", 7)]
    assert [(one.host, one.items, one.error_class) for one in plan.unreachable] == [(f"127.0.0.1:{port}", 7, "network")]
    assert plan.sample.asked == 7
    assert plan.sample.answered == 0
    assert plan.estimated_bytes is None
    assert plan.requests.reads == 7
    assert plan.requests.writes == 0, "the destination is a folder"


def test_a_trial_tells_the_time_of_everything_and_never_blocks_it(cli: CommandLine, tree: Path) -> None:
    stores = ("--from", tree, "--to", "to")
    planned = json.loads(cli("plan", *stores, "--limit", "3", "--json").stdout)
    assert planned["to_create"] == 3
    assert planned["time"] is None
    assert cli("run", *stores, "--limit", "3").returncode == 0
    planned = json.loads(cli("plan", *stores, "--json").stdout)
    assert planned["to_create"] == 9
    assert planned["unchanged"] == 3
    assert planned["time"]["run"] == 1
    assert planned["time"]["moved_items"] == 3
    assert planned["time"]["seconds"] >= 3 * planned["time"]["active_seconds"] * 0.999
    assert "time          about" in cli("plan", *stores).stdout
    assert cli("run", *stores).returncode == 0
    items = json.loads(cli("status", "--json").stdout)["items"]
    assert (items["discovered"], items["done"]) == (12, 12)
