# SPDX-License-Identifier: Apache-2.0
"""Ids of records as people copy them."""

from __future__ import annotations

import re

__all__ = ["whole_id"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def whole_id(record: str, catalog: str) -> str:
    """The id as the ledger knows it: one of Salesforce that has 15 characters gets the other three, which tell again which of
    its letters are capitals. `catalog` is a URL or an identity.
    """
    if not catalog.startswith("salesforce:") or not re.fullmatch("[0-9A-Za-z]{15}", record):
        return record
    fives = (record[at : at + 5] for at in (0, 5, 10))
    return record + "".join(
        _LETTERS[sum(1 << n for n, letter in enumerate(five) if letter.isupper())] for five in fives
    )
