# SPDX-License-Identifier: Apache-2.0
"""Tracker: the ledger of a migration, read beside a live run or after it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from waybill import _core
from waybill.migration import PathOrUrl, this_user
from waybill.reader import LedgerReader
from waybill.records import MigrationInfo, Snapshot, make_snapshot

__all__ = ["Tracker"]


class Tracker(LedgerReader):
    """A ledger that is there. Any number may be open beside the process that owns it.

    Lists are lazy (`Records`): they hold one page of a thousand records in memory, whatever the size of the ledger, and
    pandas, polars and others take them as they are.

    Parameters
    ----------
    path : str or path
        The ledger's path, or ``sqlite:///path``.
    read_only : bool
        Nothing is ever written. `request_pause` and `request_cancel` need False.

    Raises
    ------
    NotFoundError, PermissionDeniedError
        The ledger is not there, or may not be read.
    Error
        With ``error_class`` ``"tracker"``: corrupt, of a newer schema, no ledger. Also from every method.
    """

    def __init__(self, path: PathOrUrl, read_only: bool = True) -> None:
        self._core = _core.Tracker(os.fsencode(path), read_only)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger; every later call raises."""
        self._core.close()

    def migration(self) -> MigrationInfo | None:
        """What the ledger is about; None before its first run."""
        fields = self._core.migration()
        return MigrationInfo(**fields) if fields is not None else None

    def snapshot(self) -> Snapshot:
        """The accounts at one instant. Costs the same at ten items and ten million."""
        return make_snapshot(self._core.snapshot())

    def request_pause(self) -> None:
        """Ask the owner to pause its run; obeyed within one heartbeat, or at once where no owner is alive.

        Raises
        ------
        FailedPreconditionError
            There is nothing to pause, or the tracker was opened read-only.
        """
        self._core.request("pause", this_user())

    def request_cancel(self) -> None:
        """As `request_pause`, to cancel."""
        self._core.request("cancel", this_user())

    def _reading(self) -> AbstractContextManager[_core.Tracker]:
        return nullcontext(self._core)
