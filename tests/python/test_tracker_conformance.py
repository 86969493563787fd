# SPDX-License-Identifier: Apache-2.0
"""Ledgers under the conformance suite: the built-in ones as Python has them, and one whose every record goes through Python."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import waybill
from waybill.conformance import TrackerConformance, TrackerFixture

_spec = importlib.util.spec_from_file_location("delegating_tracker", Path(__file__).with_name("delegating_tracker.py"))
assert _spec is not None
assert _spec.loader is not None
delegating_tracker = importlib.util.module_from_spec(_spec)
sys.modules["delegating_tracker"] = delegating_tracker
_spec.loader.exec_module(delegating_tracker)


class File(TrackerFixture):
    def __init__(self, folder: Path, kind: type[waybill.Tracker]) -> None:
        self._path = folder / "a ledger.db"
        self._kind = kind

    def open(self) -> waybill.Tracker:
        return self._kind(self._path, read_only=False, create=True)

    def open_read_only(self) -> waybill.Tracker:
        return self._kind(self._path)


class Memory(TrackerFixture):
    is_durable = False

    def __init__(self) -> None:
        self._is_open = False

    def open(self) -> waybill.Tracker | None:
        if self._is_open:
            return None
        self._is_open = True
        return waybill.Tracker("memory:", read_only=False, create=True)


class TestSqlite(TrackerConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> TrackerFixture:
        return File(tmp_path, waybill.Tracker)


class TestMemory(TrackerConformance):
    @pytest.fixture
    def store(self) -> TrackerFixture:
        return Memory()


class TestInPython(TrackerConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> TrackerFixture:
        return File(tmp_path, delegating_tracker.DelegatingTracker)
