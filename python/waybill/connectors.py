# SPDX-License-Identifier: Apache-2.0
"""Stores and catalogs by their URLs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from urllib.parse import quote, unquote

from waybill import _core
from waybill.catalogs import BuiltinCatalog, Catalog, core_catalog
from waybill.errors import InvalidArgumentError
from waybill.stores import (
    DESTINATION_WANTED,
    SOURCE_WANTED,
    BuiltinDestination,
    BuiltinSource,
    Destination,
    PathOrUrl,
    Source,
    core_source,
    place_of,
)

__all__ = ["open_catalog", "open_catalog_source", "open_destination", "open_source"]

# Schemes that SQLAlchemy knows without a driver; with one ("postgresql+psycopg") every scheme is SQLAlchemy's.
_DATABASES = frozenset({"mariadb", "mssql", "mysql", "oracle", "postgresql"})
_CONTENTS = "contents="


def open_source(url: PathOrUrl) -> Source:
    """Open a source by its URL. Nothing is asked of the store yet.

    Its methods may be called by anybody, with a `Context` of their own (``waybill.Context()``); a call that blocks does so
    with the GIL released, and ends when another thread cancels the context. Ctrl-C is seen when it returns.

    The URL of a catalog opens what its references point at (`open_catalog_source`); the parameter ``contents`` holds the
    URLs of stores to read from, with spaces between them, percent-encoded as a whole.

    Raises
    ------
    InvalidArgumentError
        An unknown scheme, or an unknown or wrong parameter.
    """
    if isinstance(url, str) and is_of_database(url):
        return open_catalog_source(*without_contents(url))
    return BuiltinSource(_core.open_source(place_of(url, "source", SOURCE_WANTED)))


def open_destination(url: PathOrUrl) -> Destination:
    """As `open_source`, for a destination."""
    return BuiltinDestination(_core.open_destination(place_of(url, "destination", DESTINATION_WANTED)))


def open_catalog(url: str) -> Catalog:
    """Open a catalog by its URL. Nothing is asked of it yet: `Catalog.check` does that.

    ``sqlite:///path/crm.db?table=documents&id=id&url=url`` and ``salesforce://acme.my.salesforce.com/Entry__c.Url__c?…`` are built
    in. URLs of other databases
    (``postgresql+psycopg://user@host/crm?table=…``) are opened by `waybill.sql`, which needs ``pip install waybill[sql]``.

    Raises
    ------
    InvalidArgumentError
        An unknown scheme, or an unknown or wrong parameter.
    """
    if is_of_database(url):
        opened: Catalog = import_module("waybill.sql").open_catalog(url)  # SQLAlchemy is an extra
        return opened
    return BuiltinCatalog(_core.open_catalog(url))


def open_catalog_source(catalog: str | Catalog, contents: Sequence[PathOrUrl | Source] = ()) -> Source:
    """Make a source of what the references of a catalog point at.

    Its items are the distinct values of the references, each in the partition of its record, with the value itself as key.
    What a cutover has switched stands for its old item.

    Parameters
    ----------
    catalog : str or Catalog
        A URL (`open_catalog`), or one of your own.
    contents : sequence of str, path or Source
        Stores that know values, asked in this order: ``s3://old-bucket?profile=old`` is read with the credentials of that
        profile. Every other value is read by its own URL: https, http, or s3 with the default credentials.

    Raises
    ------
    InvalidArgumentError
        As `open_catalog` and `open_source`.
    """
    if isinstance(contents, str | bytes):
        raise InvalidArgumentError(
            'contents: a sequence of stores is wanted, as in ["s3://old"]',
            code="invalid_argument",
            error_class="configuration",
        )
    opened = open_catalog(catalog) if isinstance(catalog, str) else catalog
    stores = [store if isinstance(store, Source) else open_source(store) for store in contents]
    return BuiltinSource(_core.open_catalog_source(core_catalog(opened), [core_source(store) for store in stores]))


def is_of_database(url: str) -> bool:
    """Whether the URL is one of `waybill.sql`."""
    scheme = url.partition("://")[0].lower()
    return "://" in url and ("+" in scheme or scheme in _DATABASES)


def is_of_catalog(url: str) -> bool:
    """Whether the URL is that of a catalog, built in or of `waybill.sql`."""
    scheme, _, rest = url.partition("://")
    # Of Salesforce, a field is a catalog ("/Entry__c.Url__c"), an object a source of files ("/ContentVersion").
    is_field = scheme.lower() == "salesforce" and "." in rest.partition("?")[0].partition("/")[2]
    return is_of_database(url) or scheme.lower() == "sqlite" or is_field


def with_contents(catalog: str, contents: Sequence[str]) -> str:
    """The URL of the source that reads what a catalog's references point at."""
    if not contents:
        return catalog
    # A path may have spaces, which a URL has not.
    urls = [place if "://" in place else f"file://{quote(os.path.abspath(place))}" for place in contents]
    return f"{catalog}{'&' if '?' in catalog else '?'}{_CONTENTS}{quote(' '.join(urls), safe='')}"


def without_contents(url: str) -> tuple[str, list[str]]:
    """The catalog's URL of such a source, and its contents."""
    base, question, query = url.partition("?")
    parameters = query.split("&")
    contents = [unquote(one.removeprefix(_CONTENTS)) for one in parameters if one.startswith(_CONTENTS)]
    rest = "&".join(one for one in parameters if not one.startswith(_CONTENTS))
    return base + question + rest, [word for text in contents for word in text.split()]
