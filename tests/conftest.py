# SPDX-License-Identifier: Apache-2.0
"""Makes the helpers of tests/support importable by the tests in Python, and starts what many of them share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

if TYPE_CHECKING:
    from postgres import Postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A cluster for all tests of a session."""
    from postgres import Postgres  # noqa: PLC0415  found by the line above

    with Postgres() as server:
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Postgres:
    """PostgreSQL, with its password where `Postgres.url` says that it is."""
    monkeypatch.setenv("WAYBILL_TEST_PASSWORD", postgres_server.password)
    return postgres_server
