# SPDX-License-Identifier: Apache-2.0
"""delete-extra and delete-source: planned first, refused without ground, and audited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import waybill

CommandLine = Any  # the class of conftest.py, which has no name that tests can import


@pytest.fixture
def copied(cli: CommandLine, tree: Path) -> CommandLine:
    """Twelve files at both sides, and one more at the destination."""
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    (cli.folder / "to" / "extra.txt").write_text("extra")
    return cli


def plan_of(cli: CommandLine, *words: str) -> dict[str, Any]:
    done = cli(*words, "--json")
    assert done.returncode == 0, done.stderr
    plan: dict[str, Any] = json.loads(done.stdout)
    return plan


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_extra_objects_are_planned_and_then_deleted(copied: CommandLine, tree: Path) -> None:
    assert copied("verify").returncode == 3
    shown = copied("delete-extra")
    assert shown.returncode == 0, shown.stderr
    assert "extra.txt" in shown.stdout
    assert "nothing was deleted" in shown.stdout
    assert "extra.txt" in files_in(copied.folder / "to")
    next_command = shown.stdout.splitlines()[-1].removeprefix("next: waybill ").split()
    done = copied(*next_command)
    assert done.returncode == 0, done.stderr
    assert files_in(copied.folder / "to") == files_in(tree)
    audit = [
        event for event in map(json.loads, copied("logs", "--json").stdout.splitlines()) if event["kind"] == "audit"
    ]
    assert audit[0]["data"]["key"] == "extra.txt"
    assert audit[0]["data"]["who"] == audit[-1]["data"]["who"]
    assert "@" in audit[0]["data"]["who"]


def test_without_ground_it_is_refused_with_4(copied: CommandLine) -> None:
    for command, remedy in (("delete-extra", "waybill verify"), ("delete-source", "waybill verify")):
        refused = copied(command)
        assert refused.returncode == 4, refused.stderr
        assert remedy in refused.stderr
    assert copied("verify").returncode == 3
    refused = copied("delete-source")
    assert refused.returncode == 4
    assert "waybill verify --level content" in refused.stderr
    assert copied("delete-extra", "--execute", "0123456789abcdef").returncode == 4
    assert "extra.txt" in files_in(copied.folder / "to")


def test_bounds_are_refused_with_4_and_named(copied: CommandLine) -> None:
    for number in range(3):
        (copied.folder / "to" / f"more {number}").write_text("x")
    copied("verify")
    plan = plan_of(copied, "delete-extra")
    assert plan["items"] == 4
    assert plan["at_destination"] == 16
    refused = copied("delete-extra", "--execute", plan["hash"])
    assert refused.returncode == 4
    assert "--max-delete-share" in refused.stderr
    assert "nothing was deleted" in refused.stderr
    few = copied("delete-extra", "--execute", plan["hash"], "--max-delete", "3", "--max-delete-share", "1")
    assert few.returncode == 4
    assert "--max-delete" in few.stderr
    assert len(files_in(copied.folder / "to")) == 16
    done = copied("delete-extra", "--execute", plan["hash"], "--max-delete-share", "0.25")
    assert done.returncode == 0, done.stderr
    assert len(files_in(copied.folder / "to")) == 12


def test_an_empty_or_missing_source_is_refused(copied: CommandLine, tree: Path) -> None:
    copied("verify")
    plan = plan_of(copied, "delete-extra")
    hidden = tree.rename(tree.parent / "unmounted")
    assert copied("delete-extra", "--execute", plan["hash"]).returncode == 2, "the source is not there"
    tree.mkdir()
    refused = copied("delete-extra", "--execute", plan["hash"])
    assert refused.returncode == 4
    assert "has nothing in it now" in refused.stderr
    assert "extra.txt" in files_in(copied.folder / "to")
    tree.rmdir()
    hidden.rename(tree)
    assert copied("delete-extra", "--execute", plan["hash"]).returncode == 0


def test_what_changed_is_kept_and_named(copied: CommandLine) -> None:
    copied("verify")
    plan = plan_of(copied, "delete-extra")
    (copied.folder / "to" / "extra.txt").write_text("other")
    done = copied("delete-extra", "--execute", plan["hash"])
    assert done.returncode == 3
    assert "1 conflict" in done.stdout
    assert (copied.folder / "to" / "extra.txt").read_text() == "other"
    assert "kept extra.txt: it has changed since the verification" in copied("logs").stdout


def test_the_source_goes_after_a_content_verification(copied: CommandLine, tree: Path) -> None:
    (copied.folder / "to" / "extra.txt").unlink()
    before = files_in(tree)
    for part in ("1/2", "2/2"):
        assert copied("verify", "--level", "content", "--sample", part).returncode == 0
    plan = plan_of(copied, "delete-source")
    assert plan["items"] == 12
    assert plan["kept"] == {}
    assert files_in(tree) == before
    done = copied("delete-source", "--execute", plan["hash"], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["removed"] == 12
    assert files_in(tree) == set()
    assert files_in(copied.folder / "to") == before
    with waybill.Tracker(copied.folder / "waybill.db") as ledger:
        assert all(item.gone_at_source and item.state == "verified" for item in ledger.items())


def test_the_api_takes_its_own_plan(copied: CommandLine, tree: Path) -> None:
    migration = waybill.Migration(tree, copied.folder / "to", copied.folder / "waybill.db")
    with pytest.raises(waybill.LockedError):
        migration.plan_removal("extra")
    migration.verify()
    plan = migration.plan_removal("extra")
    assert [example.key for example in plan.examples] == [b"extra.txt"]
    report = migration.remove("extra", plan)
    assert (report.removed, report.kept, report.is_stopped) == (1, 0, False)
    with pytest.raises(waybill.InvalidArgumentError, match="not one of extra, source"):
        migration.plan_removal("everything")  # type: ignore[arg-type]
