# SPDX-License-Identifier: Apache-2.0
"""What the exceptions of fsspec's filesystems, and of the libraries below them, are in waybill's words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from waybill.errors import (
    Error,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from waybill.records import printable

# Of these every exception that says no more is one of the connection.
_NETWORK = frozenset(
    "aiohttp aiobotocore asyncssh botocore ftplib httpx paramiko requests smbprotocol socket ssl urllib3".split()
)
_NO_SUCH_KEY = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


@contextmanager
def in_our_words(what: bytes | str) -> Iterator[None]:
    """Raises what is raised inside as what it is, naming `what`."""
    try:
        yield
    except Error:
        raise
    except Exception as error:
        known = _known(error, f"{printable(what)[:200]}: {type(error).__name__}: {error}")
        if known is None:
            raise
        raise known from error


def _known(error: Exception, message: str) -> Exception | None:
    """None where it says by itself what it is."""
    if isinstance(error, OSError) and error.errno in _NO_SUCH_KEY:
        return UnimplementedError(message, code="unimplemented", error_class="unsupported")
    if isinstance(error, UnicodeError):
        return UnimplementedError(message, code="unimplemented", error_class="unsupported")
    if isinstance(error, OSError):
        return None
    status = next((value for value in _statuses(error) if 400 <= value <= 599), 0)
    if status == 0 and _package(error) == "ftplib":
        return _of_ftp(error, message)
    if status == 0:
        if isinstance(error, EOFError) or _package(error) in _NETWORK:
            return UnavailableError(message, code="unavailable", error_class="network", retryable=True)
        return None
    return _of_http(status, message)


def _package(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


def _statuses(error: Exception) -> Iterator[int]:
    for name in ("status_code", "status", "code", "http_status"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            yield value
        elif isinstance(value, str) and value.isdigit():
            yield int(value)


def _of_http(status: int, message: str) -> Exception:
    if status == 404:
        return NotFoundError(message, code="not_found", error_class="missing", http_status=status)
    if status == 401:
        return UnauthenticatedError(message, code="unauthenticated", error_class="auth", http_status=status)
    if status == 403:
        return PermissionDeniedError(message, code="permission_denied", error_class="permission", http_status=status)
    if status == 429:
        return ResourceExhaustedError(
            message, code="resource_exhausted", error_class="throttled", retryable=True, http_status=status
        )
    if status == 408 or status >= 500:
        return UnavailableError(message, code="unavailable", error_class="server", retryable=True, http_status=status)
    return Error(message, code="unknown", error_class="server", http_status=status)


def _of_ftp(error: Exception, message: str) -> Exception:
    """By the code that its answers begin with."""
    reply = str(error)[:3]
    if reply == "530":
        return UnauthenticatedError(message, code="unauthenticated", error_class="auth")
    if reply == "550":
        is_missing = any(word in str(error).lower() for word in ("no such", "not found", "not exist", "cannot find"))
        kind = NotFoundError if is_missing else PermissionDeniedError
        return kind(
            message,
            code="not_found" if is_missing else "permission_denied",
            error_class="missing" if is_missing else "permission",
        )
    if reply == "553":
        return UnimplementedError(message, code="unimplemented", error_class="unsupported")
    return UnavailableError(message, code="unavailable", error_class="network", retryable=not reply.startswith("5"))
