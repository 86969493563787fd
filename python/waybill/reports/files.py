# SPDX-License-Identifier: Apache-2.0
"""Files of reports: there whole or not at all, for their owner alone, and never in the place of another one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from waybill.errors import (
    AlreadyExistsError,
    Error,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)

__all__ = ["cannot", "check_is_free", "partial_name", "write_new"]

_CHUNK = 1 << 20
# What is wrong with the disk or the machine; anything else is wrong with the path.
_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def cannot(what: str, path: Path, error: OSError) -> Error:
    """Give the error to raise where `what` cannot be done to `path`."""
    message = f"cannot {what} {path}: {error.strerror or error}"
    if isinstance(error, FileExistsError):
        return AlreadyExistsError(message, code="already_exists", error_class="configuration")
    if isinstance(error, FileNotFoundError):
        return NotFoundError(message, code="not_found", error_class="configuration")
    if isinstance(error, PermissionError):
        return PermissionDeniedError(message, code="permission_denied", error_class="configuration")
    if error.errno in _FAILURES:
        return ResourceExhaustedError(message, code="resource_exhausted", error_class="local_io")
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")


def check_is_free(path: Path) -> None:
    """Raise what `write_new` would raise, before the work: something is there, or the folder is none of ours."""
    if os.path.lexists(path):
        raise AlreadyExistsError(
            f"cannot write {path}: something is there already; remove it or choose another name",
            code="already_exists",
            error_class="configuration",
        )
    folder = path.absolute().parent
    try:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "its folder does not exist")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "its folder cannot be written")
    except OSError as error:
        raise cannot("write", path, error) from None


def partial_name(path: Path) -> Path:
    """A name beside `path` that nothing has."""
    return path.absolute().parent / f".{path.name[:64]}.{secrets.token_hex(4)}.partial"


def write_new(path: Path, parts: Iterable[str]) -> None:
    """Write `parts` to a new file, mode 0600: under another name first, durable before it has its own.

    Raises
    ------
    AlreadyExistsError, NotFoundError, PermissionDeniedError, InvalidArgumentError
        The path cannot be used.
    ResourceExhaustedError
        The disk is full or fails. Nothing is left behind.
    """
    check_is_free(path)
    partial = partial_name(path)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="", buffering=_CHUNK) as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        check_is_free(path)
        partial.rename(path)
    except OSError as error:
        raise (error if isinstance(error, Error) else cannot("write", path, error)) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
