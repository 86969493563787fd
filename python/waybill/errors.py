# SPDX-License-Identifier: Apache-2.0
"""Exceptions: one class for each kind of failure, all under `Error`, most of them also the natural builtin.

An item that fails is no exception: it is a row in the ledger (see `Tracker.failures`). What is raised is what stopped a
call: a wrong URL, a store that cannot be reached, a ledger that another process owns.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "Error",
    "FailedPreconditionError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "LockedError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
]


class Error(Exception):
    """What every call of waybill raises.

    Attributes
    ----------
    message : str
        One line that names the thing and, where one can act, what to do. Never holds a secret.
    code : str
        The kind of failure, a word of gRPC's canonical set: ``"not_found"``, ``"unavailable"``, …
    error_class : str
        What to look at: ``"configuration"``, ``"auth"``, ``"network"``, ``"tracker"``, ``"locked"``, …
    retryable : bool
        Whether trying again, unchanged, makes sense.
    retry_after : float or None
        Seconds that the store asked to wait.
    http_status : int
        0 if there was none.
    provider_code, request_id : str
        The provider's own words, for example ``"SlowDown"`` or ``"ENOSPC"``; empty if there were none.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "unknown",
        error_class: str = "internal",
        retryable: bool = False,
        retry_after: float | None = None,
        http_status: int = 0,
        provider_code: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.error_class = error_class
        self.retryable = retryable
        self.retry_after = retry_after
        self.http_status = http_status
        self.provider_code = provider_code
        self.request_id = request_id

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        names = (
            "code",
            "error_class",
            "retryable",
            "retry_after",
            "http_status",
            "provider_code",
            "request_id",
        )
        return (make_error, (self.message, {name: getattr(self, name) for name in names}))


class CancelledError(Error):
    """The run was cancelled, paused or interrupted."""


class InvalidArgumentError(Error, ValueError):
    """The command, URL, option or specification is wrong."""


class InvalidTypeError(InvalidArgumentError, TypeError):
    """An option is of the wrong type, or there is none of that name."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (_make_type_error, super().__reduce__()[1])


class DeadlineExceededError(Error, TimeoutError):
    """There was no answer in time."""


class NotFoundError(Error, FileNotFoundError):
    """The folder, bucket, item or ledger does not exist."""


class AlreadyExistsError(Error, FileExistsError):
    """Something is there that must not be."""


class PermissionDeniedError(Error, PermissionError):
    """The credentials are good, the right is missing."""


class UnauthenticatedError(Error, PermissionError):
    """Credentials are missing, wrong or expired."""


class ResourceExhaustedError(Error, OSError):
    """The disk is full, a quota is used up, or the store asks to slow down."""


class FailedPreconditionError(Error, RuntimeError):
    """The thing is not in the state that the call needs."""


class AbortedError(Error, RuntimeError):
    """Another process got in the way."""


class LockedError(AbortedError):
    """Not now: another process owns the ledger, or the migration is paused or not ready for it."""


class OutOfRangeError(Error, ValueError):
    """A position lies outside of the item."""


class UnimplementedError(Error, NotImplementedError):
    """The store or this version cannot do that."""


class InternalError(Error, RuntimeError):
    """A defect of waybill or of a connector."""


class UnavailableError(Error, ConnectionError):
    """The store cannot be reached, or cannot answer now."""


class DataLossError(Error, OSError):
    """Bytes are missing or damaged."""


_BY_CODE: dict[str, type[Error]] = {
    "cancelled": CancelledError,
    "invalid_argument": InvalidArgumentError,
    "deadline_exceeded": DeadlineExceededError,
    "not_found": NotFoundError,
    "already_exists": AlreadyExistsError,
    "permission_denied": PermissionDeniedError,
    "resource_exhausted": ResourceExhaustedError,
    "failed_precondition": FailedPreconditionError,
    "aborted": AbortedError,
    "out_of_range": OutOfRangeError,
    "unimplemented": UnimplementedError,
    "internal": InternalError,
    "unavailable": UnavailableError,
    "data_loss": DataLossError,
    "unauthenticated": UnauthenticatedError,
}


def make_error(message: str, fields: dict[str, Any]) -> Error:
    """Make the exception for a failure; called by the extension module and by pickle."""
    kind = LockedError if fields["error_class"] == "locked" else _BY_CODE.get(fields["code"], Error)
    return kind(message, **fields)


def _make_type_error(message: str, fields: dict[str, Any]) -> InvalidTypeError:
    return InvalidTypeError(message, **fields)


def missing_package(name: str, extra: str) -> ImportError:
    """Say what is not installed, and how it is."""
    return ImportError(f"{name} is not installed; it comes with: pip install 'waybill[{extra}]'", name=name)
