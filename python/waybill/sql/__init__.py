# SPDX-License-Identifier: Apache-2.0
"""A table of any database with a column of URLs as a catalog, through SQLAlchemy.

>>> from waybill.sql import SqlCatalog
>>> catalog = SqlCatalog("postgresql+psycopg://mover@db.example/crm?password=env:CRM_PASSWORD",
...                      table="documents", id="id", url="url", partition="account_id")

Needs ``pip install 'waybill[sql]'`` and the driver of the database (psycopg, PyMySQL, …). `waybill.open_catalog` opens the same
by a URL that names the table, too: ``postgresql+psycopg://mover@db.example/crm?table=documents&id=id&url=url``. For SQLite
waybill has a catalog of its own, ``sqlite:///path/crm.db?table=…``. Docs: docs/catalogs.md.
"""

from __future__ import annotations

from waybill.errors import missing_package

try:
    from waybill.sql.catalog import SqlCatalog
    from waybill.sql.place import taken_apart
except ImportError as error:
    raise missing_package("SQLAlchemy", "sql") from error

__all__ = ["SqlCatalog", "open_catalog"]


def open_catalog(url: str) -> SqlCatalog:
    """Open the catalog at ``dialect+driver://user@host/database?table=…&id=…&url=…``.

    It may also have ``partition``, ``partition_name``, ``stamp``, ``names`` (columns with commas), ``schema``, as the parameters
    of `SqlCatalog`, and ``password=env:NAME``. What else stands there is the driver's.
    """
    place, columns = taken_apart(url)
    return SqlCatalog(place, **columns)
