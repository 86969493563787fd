# SPDX-License-Identifier: Apache-2.0
"""Opening a ledger of an earlier tool by what it is."""

from __future__ import annotations

from pathlib import Path

from waybill.legacy.database import open_database
from waybill.legacy.ledger import LegacyLedger, sha256_of, wrong_ledger
from waybill.legacy.place import Place
from waybill.legacy.s1 import S1Ledger
from waybill.legacy.s4 import JsonLedger, S4Ledger
from waybill.options import LedgerFormat

__all__ = ["open_legacy"]


def open_legacy(path: Path, wanted: LedgerFormat, source: str, destination: str) -> LegacyLedger:
    """Open the ledger of another tool, and check that it is whole and of a known shape.

    Raises
    ------
    InvalidArgumentError
        It is none, of another shape (the table or column is named), or about other places.
    FailedPreconditionError
        It is truncated or damaged.
    LockedError
        It is being written.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except IsADirectoryError:
        raise wrong_ledger(f"{path} is a folder, not a ledger") from None
    places = (Place.of(source), Place.of(destination))
    if head.startswith(b"SQLite format 3\0"):
        if wanted == "s4-json":
            raise wrong_ledger(f"{path} is an SQLite database, not JSON; its format is s1 or s4")
        return open_database(path, head, wanted, places, (S1Ledger, S4Ledger))
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"[", b"{")) and wanted in ("auto", "s4-json"):
        return JsonLedger(path, *places, sha256_of(path))
    known = "an SQLite database nor a JSON array" if wanted == "auto" else f"what its format {wanted} says"
    raise wrong_ledger(f"{path} is not a ledger of a known tool: it is neither {known}")
