# SPDX-License-Identifier: Apache-2.0
"""Ledgers of earlier tools, read: what they are, whether they can be believed, and what is in them.

Two are known: ``s1``, the SQLite database of the two-phase Salesforce file migration, and ``s4``, that of the S3 migration
tool, with the JSON file of the same fields as ``s4-json``. Rows are read in the order of keys, one at a time. The whole
table of columns is in docs/import.md.
"""

from waybill.legacy.ledger import LegacyItem, LegacyLedger, LegacyNote, LegacyReference
from waybill.legacy.opening import open_legacy
from waybill.legacy.place import Place

__all__ = ["LegacyItem", "LegacyLedger", "LegacyNote", "LegacyReference", "Place", "open_legacy"]
