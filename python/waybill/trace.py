# SPDX-License-Identifier: Apache-2.0
"""A line for every HTTP request, without what is secret in it."""

from __future__ import annotations

import os

from waybill import _core
from waybill.errors import InvalidArgumentError

__all__ = ["trace_http"]


def trace_http(path: str | os.PathLike[str] | None) -> None:
    """Write a line for every HTTP request of this process from now on, also those for credentials.

    Time, method, status, duration, size of the answer, URL and the store's request id. Headers and bodies are not shown;
    values of query parameters only where they are known to be harmless. Names of items are part of URLs.

    Parameters
    ----------
    path : path, optional
        A file to append to, made for its owner alone; ``"-"`` is stderr. None ends the trace.

    Raises
    ------
    InvalidArgumentError
        The file cannot be written.
    """
    if path is None:
        _core.trace_http(None)
        return
    try:
        if os.fspath(path) == "-":
            descriptor = os.dup(2)
        else:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidArgumentError(
            f"the trace {os.fspath(path)} cannot be written: {error.strerror}",
            code="invalid_argument",
            error_class="configuration",
        ) from None
    _core.trace_http(descriptor)
