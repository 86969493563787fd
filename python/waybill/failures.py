# SPDX-License-Identifier: Apache-2.0
"""What an exception in a store, or another part written in Python, is as a failure of waybill's."""

from __future__ import annotations

import errno
import os
import re
import traceback
from typing import Any

from waybill._core import printable
from waybill.errors import Error

__all__ = ["failure_fields", "origin"]

_FRAMES = 8
_MOST_CHARACTERS = 2000
_HERE = os.path.dirname(__file__)
# Of URLs in messages of other libraries: what is after the question mark, and who is before the at sign.
_QUERY = re.compile(r"(?<=[/\w])\?[^\s'\"<>()]*=[^\s'\"<>()]*")
_USER = re.compile(r"(?<=://)[^\s/@]+@")


def failure_fields(error: BaseException) -> dict[str, Any]:
    """What `error`, raised in a store or another part written in Python, is as a failure; called by the extension module."""
    if isinstance(error, Error):
        names = ("code", "error_class", "retryable", "retry_after", "http_status", "provider_code", "request_id")
        return {name: getattr(error, name) for name in names} | {"message": _one_line(error.message)}
    code, error_class, retryable = _kind(error)
    provider_code = ""
    if isinstance(error, OSError) and error.errno is not None:
        provider_code = _errno_name(error.errno)
    return {
        "message": f"{_one_line(f'{type(error).__name__}: {error}')} ({origin(error)})",
        "code": code,
        "error_class": error_class,
        "retryable": retryable,
        "retry_after": None,
        "http_status": 0,
        "provider_code": provider_code,
        "request_id": "",
    }


def origin(error: BaseException) -> str:
    """The traceback of `error` in one line, the innermost frame first: ``my.py:12 in read < my.py:30 in parse``."""
    frames = [
        f"{os.path.basename(frame.filename)}:{frame.lineno} in {frame.name}"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if os.path.dirname(frame.filename) != _HERE
    ]
    return " < ".join(frames[:_FRAMES]) or "no traceback"


def _one_line(text: str) -> str:
    without_secrets = _USER.sub("***@", _QUERY.sub("?***", text))
    return printable(" ".join(without_secrets.split()))[:_MOST_CHARACTERS]


def _kind(error: BaseException) -> tuple[str, str, bool]:
    match error:
        case FileNotFoundError():
            return "not_found", "missing", False
        case PermissionError():
            return "permission_denied", "permission", False
        case FileExistsError():
            return "aborted", "conflict", False
        case TimeoutError():
            return "deadline_exceeded", "timeout", True
        case ConnectionError():
            return "unavailable", "network", True
        case NotImplementedError():
            return "unimplemented", "unsupported", False
        case MemoryError():
            return "resource_exhausted", "local_io", True
        case OSError(errno=None):
            return "unavailable", "network", True
        case OSError():
            is_passing = _errno_name(error.errno or 0) in _PASSING
            return ("resource_exhausted" if is_passing else "unknown"), "local_io", is_passing
    return "internal", "internal", False


_PASSING = frozenset("ENOSPC EDQUOT EMFILE ENFILE ENOMEM EINTR EAGAIN EIO ESTALE".split())


def _errno_name(number: int) -> str:
    return errno.errorcode.get(number, f"errno {number}")
