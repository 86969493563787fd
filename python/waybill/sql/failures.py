# SPDX-License-Identifier: Apache-2.0
"""What SQLAlchemy and the drivers below it raise, in waybill's words: one line, and never a parameter of a statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from waybill.errors import Error, make_error
from waybill.records import printable
from waybill.stores import Context

# By SQLSTATE, whole or by its class: code, error class, whether trying again makes sense.
_STATES: dict[str, tuple[str, str, bool]] = {
    "08": ("unavailable", "network", True),
    "0A": ("failed_precondition", "configuration", False),
    "22": ("out_of_range", "unsupported", False),
    "22001": ("out_of_range", "too_large", False),
    "23": ("failed_precondition", "unsupported", False),
    "25006": ("permission_denied", "permission", False),  # the transaction or the server is read-only
    "28": ("unauthenticated", "auth", False),
    "3D": ("not_found", "missing", False),
    "3F": ("not_found", "configuration", False),
    "40": ("aborted", "timeout", True),  # serialization, deadlock
    "42": ("invalid_argument", "configuration", False),
    "42501": ("permission_denied", "permission", False),
    "44": ("failed_precondition", "unsupported", False),
    "53": ("resource_exhausted", "throttled", True),
    "53100": ("resource_exhausted", "local_io", True),
    "55P03": ("unavailable", "timeout", True),  # somebody else holds the lock
    "57": ("unavailable", "server", True),
    "57014": ("deadline_exceeded", "timeout", True),
    "58": ("unavailable", "server", True),
    "P0": ("failed_precondition", "unsupported", False),  # raised by a trigger
}
_REFUSED = ("22", "23", "44", "P0")
# Of a connection that did not come about: drivers give no SQLSTATE for it.
_AUTH = ("authentication failed", "no password supplied", "access denied", "pg_hba.conf", "role ")
_MISSING = ("database ", "unknown database", "unable to open database file")


@contextmanager
def in_our_words(what: str, context: Context) -> Iterator[None]:
    """Raises what is raised inside as a waybill.Error that names `what`."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        context.check()  # what was cancelled fails in many words
        raise known(error, what) from None


def known(error: sa.exc.SQLAlchemyError, what: str) -> Error:
    """As an error of waybill."""
    code, error_class, retryable = _classified(error)
    state = _state(error)
    return make_error(
        f"{what}: {words(error)}",
        {"code": code, "error_class": error_class, "retryable": retryable, "provider_code": state},
    )


def is_refusal(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether the database refuses a value: for its length, a constraint, or by a trigger."""
    state = _state(error)
    if state:
        return state.startswith(_REFUSED)
    return isinstance(error, sa.exc.IntegrityError | sa.exc.DataError)


def refusal_class(error: sa.exc.SQLAlchemyError) -> str:
    """The error class of a refused value."""
    return _classified(error)[1]


def words(error: sa.exc.SQLAlchemyError) -> str:
    """What the database says, in one line. Not its details, which quote the row."""
    orig: Any = getattr(error, "orig", None)
    if orig is None:
        # SQLAlchemy's own, about a statement of ours.
        return type(error).__name__
    primary = getattr(getattr(orig, "diag", None), "message_primary", None)
    module = type(orig).__module__.partition(".")[0]
    if primary is None and module in ("psycopg", "psycopg2", "sqlite3"):
        primary = " ".join(str(orig).split("\n", 2)[0].split())
    if primary:
        return printable(primary)[:300]
    number = next((argument for argument in orig.args if isinstance(argument, int)), None)
    return type(orig).__name__ + (f" {number}" if number is not None else "")


def _state(error: sa.exc.SQLAlchemyError) -> str:
    orig = getattr(error, "orig", None)
    return getattr(orig, "sqlstate", None) or getattr(orig, "pgcode", None) or ""


def _classified(error: sa.exc.SQLAlchemyError) -> tuple[str, str, bool]:
    state = _state(error)
    found = _STATES.get(state) or _STATES.get(state[:2])
    if found:
        return found
    said = str(getattr(error, "orig", "")).lower()
    if "locked" in said:
        return ("unavailable", "timeout", True)
    if "readonly database" in said:
        return ("permission_denied", "permission", False)
    if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError):
        return ("failed_precondition", "unsupported", False)
    if isinstance(error, sa.exc.ProgrammingError | sa.exc.NotSupportedError):
        return ("invalid_argument", "configuration", False)
    if not isinstance(error, sa.exc.DBAPIError | sa.exc.TimeoutError):
        return ("internal", "internal", False)
    if any(word in said for word in _AUTH):
        return ("unauthenticated", "auth", False)
    if any(word in said for word in _MISSING):
        return ("not_found", "missing", False)
    return ("unavailable", "network", True)
