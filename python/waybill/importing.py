# SPDX-License-Identifier: Apache-2.0
"""Handing the ledger of an earlier tool to the engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any

from waybill import _core, open_source
from waybill.catalogs import Catalog, ReferenceId, ReferencePage, Since
from waybill.errors import FailedPreconditionError
from waybill.legacy import LegacyLedger, LegacyReference, open_legacy
from waybill.options import LedgerFormat
from waybill.plans import ImportReport
from waybill.stores import Context, ListRequest, Source

__all__ = ["import_ledger"]

_SLICE_MS = 100
_AT_ONCE = 1000


def import_ledger(
    core: _core.Migration,
    path: Path,
    format: LedgerFormat,
    *,
    who: str,
    source: str | os.PathLike[str] | Source,
    places: tuple[str, str],
    has_key_template: bool,
    catalog: Catalog | None,
) -> ImportReport:
    """As `Migration.import_ledger`; `places` are its source and destination as far as keys are concerned."""
    found = 0
    with open_legacy(path, format, *places) as legacy:
        legacy.keeps_keys = has_key_template
        legacy.has_accounts = legacy.source.is_of_catalog and _has_accounts(source, legacy)
        items = legacy.items()
        first = list(islice(items, 1))  # before anything is made: it may be refused
        job = core.begin_import(str(path), legacy.sha256, legacy.format, who)
        while not job.wait(_SLICE_MS):
            pass
        handle = job.take()
        try:
            if not handle.is_repeated:
                for rows in _batches(chain(first, items)):
                    handle.add(rows)
                legacy.count_references()
                if catalog is not None:
                    for rows in _batches(legacy.references()):
                        handle.add_references(rows)
                    for switched in _found(catalog, legacy):
                        found += len(switched)
                        handle.add_references([asdict(reference) for reference in switched])
                for rows in _batches(legacy.notes()):
                    handle.note(rows)
                legacy.check_unchanged()
            fields = handle.finish()
        finally:
            handle.close()
        return ImportReport(
            **fields | {"references": legacy.switched + found},
            references_found=found,
            references_incomplete=legacy.incomplete,
            references_left=legacy.switched - legacy.incomplete if catalog is None else 0,
            outside=legacy.outside,
            elsewhere=legacy.elsewhere,
            format=legacy.format,
            sha256=legacy.sha256,
        )


def _has_accounts(source: str | os.PathLike[str] | Source, legacy: LegacyLedger) -> bool:
    """Whether the items of a catalog are those of the other ledger's accounts, or of no partition. What it lists first tells.

    Raises
    ------
    FailedPreconditionError
        They are of something else: no item of the other ledger would be met by a run.
    """
    store = source if isinstance(source, Source) else open_source(source)
    listed = {item.partition for item in islice(store.list(ListRequest(), Context()), _AT_ONCE)} - {""}
    if listed and not any(account in listed for account in legacy.accounts()):
        raise FailedPreconditionError(
            f"the catalog has its records in other partitions than the accounts of {legacy.path} (one is "
            f"{min(listed)!r}); name its column of accounts as partition",
            code="failed_precondition",
            error_class="configuration",
        )
    return bool(listed)


def _found(catalog: Catalog, legacy: LegacyLedger) -> Iterator[list[LegacyReference]]:
    """What was switched though the other ledger does not say so: it was told of the switches of a run at its end alone."""
    pages = catalog.list(Since(), Context())
    listed = (one for page in pages for one in (page.references if isinstance(page, ReferencePage) else (page,)))
    first = next(listed, None)
    if first is None:
        return
    most = min(_AT_ONCE, max(1, catalog.capabilities().max_batch))
    unsaid = legacy.unsaid_references()
    while batch := list(islice(unsaid, most)):
        ids = [ReferenceId(first.id.catalog, one.record.decode("utf-8", "replace"), first.id.field) for one in batch]
        now = catalog.read(ids, Context())
        switched = [one for one, value in zip(batch, now, strict=True) if _holds(value.value, one.new_value)]
        if switched:
            yield switched


def _holds(value: str | None, wanted: bytes) -> bool:
    return value is not None and value.encode("utf-8", "surrogateescape") == wanted


def _batches(rows: Iterator[Any]) -> Iterator[list[dict[str, Any]]]:
    while batch := [asdict(row) for row in islice(rows, _AT_ONCE)]:
        yield batch
