# SPDX-License-Identifier: Apache-2.0
"""Cutover and rollback from Python: plans, gates, runs, conflicts, and what the options are called."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill import _core
from waybill.reports import Format
from waybill.reports import report as report_of

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from small_crm import SmallCrm


@pytest.fixture
def crm(tmp_path: Path) -> SmallCrm:
    return SmallCrm(tmp_path)


def migration_of(crm: SmallCrm, **more: Any) -> waybill.Migration:
    return waybill.Migration(crm.old, crm.new, crm.folder / "ledger.db", **({"catalog": crm.catalog} | more))


@pytest.fixture
def copied(crm: SmallCrm) -> waybill.Migration:
    """The migration of `crm`, copied and verified."""
    migration = migration_of(crm)
    assert migration.run().exit_code == 0
    assert migration.verify().exit_code == 0
    return migration


def gate(plan: waybill.CutoverPlan, name: str) -> waybill.Gate:
    return next(one for one in plan.gates if one.name == name)


def test_options_are_those_of_cpp() -> None:
    calls = waybill.Migration.plan_cutover, waybill.Migration.start_cutover
    ours = {name: one.default for call in calls for name, one in inspect.signature(call).parameters.items()}
    ours |= {"url_template": ""}
    for name in ("self", "plan"):
        del ours[name]
    theirs = _core.default_cutover_options()
    assert ours == theirs
    ours = {name: one.default for name, one in inspect.signature(waybill.Migration.start_rollback).parameters.items()}
    del ours["self"]
    assert ours == _core.default_rollback_options()


@pytest.mark.parametrize("name", ["cutover", "rollback"])
def test_the_waiting_calls_take_what_the_others_do(name: str) -> None:
    start, wait = getattr(waybill.Migration, f"start_{name}"), getattr(waybill.Migration, name)
    theirs = inspect.signature(start).parameters
    assert set(inspect.signature(wait).parameters) == {*theirs, "progress"}
    for other in (getattr(waybill.aio, f"start_{name}"), getattr(waybill.aio, name)):
        found = inspect.signature(other).parameters
        assert {one: found[one].default for one in theirs if one != "self"} == {
            one: theirs[one].default for one in theirs if one != "self"
        }


def test_all_is_switched_and_taken_back(crm: SmallCrm, copied: waybill.Migration) -> None:
    before = crm.urls()
    plan = copied.plan_cutover(crm.template)
    assert plan.is_ready, [one for one in plan.gates if not one.is_passed]
    assert (plan.references.pending, plan.references.total, plan.items) == (12, 12, 12)
    assert plan.conditional == "exact"
    assert len(plan.examples) == 12
    assert plan.examples[0].value == before[plan.examples[0].record]
    assert crm.urls() == before, "a plan changes nothing"
    seen: list[int] = []
    report = copied.cutover(plan, lambda snapshot: seen.append(snapshot.run_references.updated))
    assert (report.exit_code, report.snapshot.phase, seen[-1]) == (0, "cutover", 12)
    after = crm.urls()
    assert crm.switched() == set(after)
    assert {one.record: one.intended for one in plan.examples} == after
    back = copied.plan_rollback()
    assert back.references == 12
    assert {one.record: one.intended for one in back.examples} == before
    assert copied.rollback().exit_code == 0
    assert crm.urls() == before
    assert [row.state for row in copied.references()] == ["restored"] * 12


def test_a_plan_is_as_its_json(crm: SmallCrm, copied: waybill.Migration) -> None:
    plan = copied.plan_cutover(crm.template)
    told = plan.to_dict()
    assert (told["hash"], told["ready"], told["pass"]) == (plan.hash, plan.is_ready, plan.pass_)
    assert told["references"] == dataclasses.asdict(plan.references)
    assert [one["name"] for one in told["gates"]] == [one.name for one in plan.gates]
    copied.cutover(plan)
    back = copied.plan_rollback(partitions=["001"])
    assert back.to_dict()["references"] == back.references == 4


def test_gates_refuse_and_say_what_to_do(crm: SmallCrm) -> None:
    migration = migration_of(crm)
    assert migration.run().exit_code == 0
    plan = migration.plan_cutover(crm.template)
    assert not plan.is_ready
    assert not gate(plan, "verified").is_passed
    assert "waybill verify" in gate(plan, "verified").evidence
    with pytest.raises(waybill.LockedError, match=r"not ready.*verified"):
        migration.start_cutover(plan)
    assert crm.switched() == set()
    migration.verify()
    crm.add("001", 99)
    plan = migration.plan_cutover(crm.template)
    assert not gate(plan, "delta").is_passed
    assert any(one.record == "001-99" and "run the copy again" in one.reason for one in plan.unswitched)
    migration.run()
    migration.verify()
    (crm.new / "001" / "document 99.txt").unlink()
    plan = migration.plan_cutover(crm.template)
    assert not gate(plan, "urls").is_passed, "all of them are asked for"
    assert gate(migration.plan_cutover(crm.template, probes=0), "urls").is_passed


def test_a_canary_then_the_rest(crm: SmallCrm, copied: waybill.Migration) -> None:
    plan = copied.plan_cutover(crm.template)
    first = copied.cutover(plan, canary=5)
    assert (first.exit_code, len(crm.switched())) == (0, 5)
    assert copied.cutover(plan).exit_code == 0
    assert len(crm.switched()) == 12
    assert copied.rollback(run=first.run).exit_code == 0
    assert len(crm.switched()) == 7


def test_edits_in_between_stay(crm: SmallCrm, copied: waybill.Migration) -> None:
    before = crm.urls()
    plan = copied.plan_cutover(crm.template)
    crm.edit("001-2", "https://elsewhere.example.com/edited")
    report = copied.cutover(plan)
    assert (report.state, report.exit_code) == ("completed_with_differences", 3)
    assert crm.urls()["001-2"] == "https://elsewhere.example.com/edited"
    assert [row.record for row in copied.references("conflict")] == ["001-2"]
    crm.edit("002-1", None)
    report = copied.rollback(records=["002-0", "002-1"])
    assert report.exit_code == 3
    assert crm.urls() == before | {one: url for one, url in crm.urls().items() if one != "002-0"}
    assert crm.urls()["002-1"] is None
    assert copied.rollback(partitions=["001", "003"]).exit_code == 0
    assert [row.record for row in copied.references("updated")] == ["002-2", "002-3"]
    kept = next(row for row in copied.references() if row.record == "002-0")
    assert [switch.state for switch in copied.journal(kept.id)] == ["restored"]


def test_what_is_wrong_is_said(crm: SmallCrm, copied: waybill.Migration, tmp_path: Path) -> None:
    with pytest.raises(waybill.FailedPreconditionError, match="no catalog"):
        migration_of(crm, catalog=None).plan_cutover(crm.template)
    with pytest.raises(waybill.InvalidArgumentError, match="destination_key"):
        copied.plan_cutover("https://files.example.com/")
    with pytest.raises(waybill.LockedError, match="no cutover was planned"):
        copied.start_cutover("0123456789abcdef")
    plan = copied.plan_cutover(crm.template)
    crm.edit("001-1", None)
    newer = copied.plan_cutover(crm.template)
    with pytest.raises(waybill.LockedError, match=f"not the newest.*{newer.hash}"):
        copied.start_cutover(plan)
    with pytest.raises(waybill.LockedError, match="too old"):
        copied.start_cutover(newer, max_plan_age_ms=1)
    with pytest.raises(waybill.LockedError, match="nothing to take back"):
        copied.start_rollback()
    gone = crm.catalog.replace("crm.db", "nowhere.db")
    with pytest.raises(waybill.NotFoundError):
        migration_of(crm, catalog=gone).plan_cutover(crm.template)
    with pytest.raises(waybill.InvalidArgumentError, match="canary"):
        copied.start_cutover(newer, canary=-1)


class _Careless(waybill.Catalog):
    """A system that knows no conditions."""

    def __init__(self, inner: waybill.Catalog) -> None:
        self._inner = inner

    def capabilities(self) -> waybill.CatalogCapabilities:
        return waybill.CatalogCapabilities(conditional="none", max_batch=3)

    def identity(self) -> str:
        return self._inner.identity()

    def list(self, since: waybill.Since, context: waybill.Context) -> Iterable[Any]:
        return self._inner.list(since, context)

    def update(
        self, updates: Sequence[waybill.ReferenceUpdate], context: waybill.Context
    ) -> Sequence[waybill.UpdateResult]:
        return self._inner.update(updates, context)

    def read(self, ids: Sequence[waybill.ReferenceId], context: waybill.Context) -> Sequence[waybill.ReferenceValue]:
        return self._inner.read(ids, context)


def test_a_catalog_of_ones_own_without_conditions(crm: SmallCrm, copied: waybill.Migration) -> None:
    migration = migration_of(crm, catalog=_Careless(waybill.open_catalog(crm.catalog)))
    plan = migration.plan_cutover(crm.template)
    assert plan.conditional == "none"
    assert not gate(plan, "window").is_passed
    plan = migration.plan_cutover(crm.template, accept_window=True)
    with pytest.raises(waybill.LockedError, match="accept"):
        migration.start_cutover(plan)
    assert migration.cutover(plan, accept_window=True).exit_code == 0
    assert len(crm.switched()) == 12
    with pytest.raises(waybill.LockedError, match="accept"):
        migration.start_rollback()
    assert migration.rollback(accept_window=True).exit_code == 0


class _Unguarded(_Careless):
    """Writes without a look, as a system does that has only an update by id; users edit before, in and after the window."""

    def __init__(self, crm: SmallCrm) -> None:
        super().__init__(waybill.open_catalog(crm.catalog))
        self._crm = crm
        self._lock = threading.Lock()
        self.looked_at: dict[str, float] = {}
        self.lost_after_s = 0.0

    def read(self, ids: Sequence[waybill.ReferenceId], context: waybill.Context) -> Sequence[waybill.ReferenceValue]:
        with self._lock:
            for one in ids:
                if one.record == "001-1" and one.record not in self.looked_at:
                    self._crm.edit(one.record, "edited before the look")
                self.looked_at.setdefault(one.record, time.monotonic())
        return super().read(ids, context)

    def update(
        self, updates: Sequence[waybill.ReferenceUpdate], context: waybill.Context
    ) -> Sequence[waybill.UpdateResult]:
        with self._lock:
            for one in updates:
                if one.id.record == "002-1":
                    self._crm.edit(one.id.record, "edited between look and write")
                    self.lost_after_s = time.monotonic() - self.looked_at[one.id.record]
                self._crm.edit(one.id.record, one.value)
                if one.id.record == "003-1":
                    self._crm.edit(one.id.record, "edited after the write")
        return [waybill.UpdateResult("updated") for _ in updates]


def test_what_is_lost_without_conditions_is_lost_in_the_window_that_is_measured(
    crm: SmallCrm, copied: waybill.Migration
) -> None:
    catalog = _Unguarded(crm)
    migration = migration_of(crm, catalog=catalog)
    plan = migration.plan_cutover(crm.template, accept_window=True)
    report = migration.cutover(plan, accept_window=True)
    assert report.exit_code == 3
    assert "unguarded window: 11 updates, " in report.message
    held = crm.urls()
    assert (held["001-1"], held["003-1"]) == ("edited before the look", "edited after the write"), "kept"
    assert len(crm.switched()) == 10
    assert "002-1" in crm.switched(), "lost, as was accepted"
    with waybill.Tracker(crm.folder / "ledger.db") as ledger:
        told = [event for event in ledger.events() if event.kind == "audit" and event.run == report.run]
        window = json.loads(told[0].data)["unguarded_window"]
        assert len(told) == 1
        assert window["updates"] == 11
        assert window["longest_us"] >= catalog.lost_after_s * 1e6 > 0, "the edit that was lost is inside"
        assert window["shortest_us"] * 11 <= window["total_us"] <= window["longest_us"] * 11
        forms: tuple[Format, ...] = ("md", "html", "json")
        for form in forms:
            assert "unguarded window: 11 updates" in "".join(report_of(ledger, form, report.run)), form


def test_the_ledger_remembers_catalog_and_template_without_secrets(crm: SmallCrm, copied: waybill.Migration) -> None:
    copied.plan_cutover(crm.template)
    with waybill.Tracker(crm.folder / "ledger.db") as ledger:
        kept = ledger.cutover_plan()
    assert kept is not None
    options = json.loads(kept.options)
    assert (options["catalog"], options["url_template"]) == (crm.catalog, crm.template)


def test_under_asyncio(crm: SmallCrm, copied: waybill.Migration) -> None:
    plan = copied.plan_cutover(crm.template)

    async def both() -> None:
        report = await waybill.aio.cutover(copied, plan)
        assert report.exit_code == 0
        assert len(crm.switched()) == 12
        async with waybill.aio.start_rollback(copied) as run:
            assert (await run).snapshot.run_references.restored == 12

    asyncio.run(both())
    assert crm.switched() == set()


def test_a_run_of_references_is_shown_in_notebooks(crm: SmallCrm, copied: waybill.Migration) -> None:
    report = copied.cutover(copied.plan_cutover(crm.template))
    assert "12 of 12 references switched" in report._repr_html_()
