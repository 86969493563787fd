# SPDX-License-Identifier: Apache-2.0
"""Where a catalog's database is: URLs with our own parameters in them, and passwords that stand elsewhere."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from waybill.errors import InvalidArgumentError
from waybill.nearest import did_you_mean

_REFERENCE = re.compile("env:([A-Za-z_][A-Za-z0-9_]*)")
_NEEDED = ("table", "id", "url")
_PARAMETERS = (*_NEEDED, "partition", "partition_name", "stamp", "names", "schema")
_PORTS = {"mariadb": 3306, "mssql": 1433, "mysql": 3306, "oracle": 1521, "postgresql": 5432}
_CONNECT_SECONDS = 10
_SQLITE_BUSY_SECONDS = 0.5


def taken_apart(url: str) -> tuple[sa.URL, dict[str, Any]]:
    """The database of a catalog's URL, and what of it `SqlCatalog` takes by name."""
    place = _parsed(url)
    ours: dict[str, Any] = {}
    for name in _PARAMETERS:
        if name in place.query:
            value = place.query[name]
            if not isinstance(value, str) or not value:
                raise _bad(f"the parameter {name} of a catalog is empty or stands there twice")
            ours[name] = value
    for name in _NEEDED:
        if name not in ours:
            near = next((word for word in place.query if did_you_mean(word, [name])), "")
            raise _bad(
                f"the parameter {name} of a catalog is missing: {place.drivername}://…?table=…&id=…&url=…"
                + (f" (there is {near!r})" if near else "")
            )
    if "names" in ours:
        ours["names"] = [name.strip() for name in ours["names"].split(",")]
    return place.difference_update_query(_PARAMETERS), ours


def make_engine(database: str | sa.URL) -> sa.Engine:
    """An engine for a database whose password, if it has one, is `password=env:NAME` in its URL."""
    place = _parsed(database) if isinstance(database, str) else database
    if "password" in place.query:
        reference = place.query["password"]
        found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
        if found is None:
            raise _bad(
                "a password never stands in a URL; write password=env:NAME, and put it into the environment as NAME"
            )
        if found[1] not in os.environ:
            raise _bad(f"password=env:{found[1]}: there is no {found[1]} in the environment")
        place = place.difference_update_query(["password"]).set(password=os.environ[found[1]])
    dialect = place.get_backend_name()
    options: dict[str, Any] = {}
    if dialect == "postgresql" and "connect_timeout" not in place.query:
        options["connect_timeout"] = _CONNECT_SECONDS
    if dialect == "sqlite":
        options["timeout"] = _SQLITE_BUSY_SECONDS
    try:
        return sa.create_engine(place, hide_parameters=True, pool_pre_ping=True, connect_args=options)
    except ModuleNotFoundError as error:
        raise _bad(
            f"{place.drivername}://: the driver {error.name} is not installed: pip install {error.name}"
        ) from None
    except sa.exc.SQLAlchemyError:
        raise _bad(f"{place.drivername}:// is no database that SQLAlchemy knows; is its dialect installed?") from None


def _parsed(url: str) -> sa.URL:
    try:
        place = sa.make_url(url)
    except (sa.exc.SQLAlchemyError, ValueError):
        # What it says repeats the URL, and whatever secret stands in it.
        raise _bad("not a database's URL: dialect+driver://user@host/database?table=…&id=…&url=…") from None
    if place.password is not None:
        raise _bad("a password never stands in a URL; write password=env:NAME, and put it into the environment as NAME")
    return place


def endpoint_of(place: sa.URL) -> str:
    """``postgresql://host:port``, or ``sqlite:/path``; without what is secret."""
    dialect = place.get_backend_name()
    if dialect == "sqlite":
        return "sqlite:" + quote(os.path.realpath(place.database or ""), safe="/-._~")
    host = place.host or place.query.get("host") or "localhost"
    port = place.port or _PORTS.get(dialect)
    return f"{dialect}://{host}" + (f":{port}" if port else "")


def identity_of(place: sa.URL, table: str, id: str, url: str) -> str:
    """The same for every user, driver and password."""
    endpoint = endpoint_of(place)
    if place.get_backend_name() == "sqlite":
        table, id, url = table.lower(), id.lower(), url.lower()  # as the catalog of SQLite that is built in says it
    else:
        endpoint += "/" + quote(place.database or "", safe="")
    words = {"table": table, "id": id, "url": url}
    return endpoint + "?" + "&".join(f"{name}={quote(word, safe='-._~')}" for name, word in words.items())


def _bad(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")
