# SPDX-License-Identifier: Apache-2.0
"""Options of a run: the same names, units and defaults as `waybill::Options` in C++."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import wraps
from json import loads
from operator import index
from typing import Any, Literal, get_args, get_origin, get_type_hints

from waybill import _core
from waybill.errors import InvalidArgumentError, InvalidTypeError
from waybill.nearest import did_you_mean

__all__ = ["DigestChoice", "LedgerFormat", "Options", "Overwrite", "VerifyLevel", "recorded_options"]

Overwrite = Literal["own", "never", "always"]
DigestChoice = Literal["crc64nvme", "sha256"]
LedgerFormat = Literal["auto", "s1", "s4", "s4-json"]
VerifyLevel = Literal["listing", "checksum", "content"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a run goes about its work. None of it is part of a migration's identity: it may change from run to run.

    Parameters
    ----------
    concurrency : int
        Transfers at once; 0 adapts to what the endpoints bear. 0 to 512.
    max_concurrency : int
        Upper bound of adaptive concurrency. 1 to 512.
    body_budget_bytes : int
        Memory for bodies in flight, at least 8 MiB.
    part_size_bytes : int
        Size of a part of a large object, 5 MiB to 5 GiB; grown so that an object fits the destination's part count.
    part_threshold_bytes : int
        Objects above this many bytes go in parts, where the destination can. At most 64 MiB.
    max_attempts : int
        Tries of one item in one run, the first included. 1 to 100.
    retry_base_ms, retry_cap_ms : int
        Wait between tries: random in [0, min(cap, base · 2ⁿ)].
    overwrite : {"own", "never", "always"}
        What may be replaced at the destination: what this ledger wrote, nothing, everything. What differs and may not
        be replaced fails as ``occupied``.
    digest : {"crc64nvme", "sha256"}
        Digest kept of each item's content; SHA-256 is kept beside CRC-64/NVME.
    server_side_copy : bool
        Where both sides are one endpoint, let the store itself copy untransformed items, unless a SHA-256 is wanted.
        They have no digest of ours then; checks rest on the store's.
    include, exclude : sequence of str
        Globs (``*`` within a component, ``**`` across, ``?``, ``[…]``) of keys; exclude goes first. Nothing to include
        means all.
    max_size_bytes, min_size_bytes : int
        Larger, smaller items are excluded; 0 is no bound.
    modified_since_ms, modified_before_ms : int, optional
        Only items last changed at the source at or after, and before, these times, in ms since 1970 UTC. An item of
        which the source tells no time is excluded by either.
    extensions : sequence of str
        Only keys whose last component ends in one of these, without the dot, letters of any case. Empty: all.
    partitions : sequence of str
        Only items of these partitions; others are in no account of the run. Empty: all.
    limit : int
        At most this many items are moved, the first of the listing, which then is not complete; 0 is no bound.
    keys : sequence of str or bytes
        Only these items, asked for one by one: nothing is listed. Empty: all.
    failed_only : bool
        Only items that failed and are not waived, as the ledger has them: nothing is listed.
    error_classes : sequence of str
        With `failed_only`, only these classes. Empty: all.
    findings_of : int
        Only items with a finding of this verify run, ``extra`` apart; copied again over whatever is there, unless
        `overwrite` is ``"never"``. 0: no matter.
    force : bool
        With `keys` or `failed_only`, items that are done are copied again as well, over whatever is there unless
        `overwrite` is ``"never"``.
    sample_part, sample_of : int
        Of a verify run at level ``"content"``, which part of how many is read: items fall into parts by their keys, so
        that `sample_of` runs read everything once; of the others nothing is read. 1 of 1 is all.
    commit_interval_ms : int
        How often what happened is committed, 10 to 10,000; also the least age of a snapshot.
    lease_ms, heartbeat_ms : int
        Life of the lease and pace of the heartbeat, at most a third of it.
    take_over : bool
        Take the ledger over from a stopped process, after watching it for a whole lease.
    resume_paused : bool
        Carry on with a run that was paused.
    tracker_patience_ms : int
        How long a ledger that cannot be written is tried again before the run fails.
    drain_ms : int
        How long a run that is stopped lets transfers finish before they are aborted, 0 to 60,000.

    Raises
    ------
    InvalidTypeError
        There is no option of that name, or a value is of the wrong type; the message names the option, and the closest
        valid one, or what is wanted. It is also a TypeError.
    InvalidArgumentError
        A value is out of range, or options contradict each other; the message names them.
    """

    concurrency: int = 0
    max_concurrency: int = 512
    body_budget_bytes: int = 96 << 20
    part_size_bytes: int = 16 << 20
    part_threshold_bytes: int = 16 << 20
    max_attempts: int = 8
    retry_base_ms: int = 100
    retry_cap_ms: int = 20_000
    overwrite: Overwrite = "own"
    digest: DigestChoice = "crc64nvme"
    server_side_copy: bool = True
    include: Iterable[str] = ()
    exclude: Iterable[str] = ()
    max_size_bytes: int = 0
    min_size_bytes: int = 0
    modified_since_ms: int | None = None
    modified_before_ms: int | None = None
    extensions: Iterable[str] = ()
    partitions: Iterable[str] = ()
    limit: int = 0
    keys: Iterable[str | bytes] = ()
    failed_only: bool = False
    error_classes: Iterable[str] = ()
    findings_of: int = 0
    force: bool = False
    sample_part: int = 1
    sample_of: int = 1
    commit_interval_ms: int = 100
    lease_ms: int = 30_000
    heartbeat_ms: int = 10_000
    take_over: bool = False
    resume_paused: bool = False
    tracker_patience_ms: int = 300_000
    drain_ms: int = 1_000

    def __post_init__(self) -> None:
        for name, expected in _EXPECTED.items():
            value = getattr(self, name)
            if expected.is_sequence and isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
                value = tuple(value)
                object.__setattr__(self, name, value)
            if not expected.holds(value):
                raise _wrong_type(f"{name} takes {expected.text}, not {value!r}")
            if expected.kinds == (str,) and (bad := next((word for word in _texts(value) if not _is_utf8(word)), None)):
                raise _wrong(f"{name}: {bad!r} is not UTF-8")
            if expected.words and value not in expected.words:
                near = did_you_mean(value, expected.words)
                raise _wrong(f"{name}: {value!r} is not one of {', '.join(expected.words)}{near}")
        known = _core.error_classes()
        for word in self.error_classes:
            if word not in known:
                raise _wrong(f"error_classes: {word!r} is no error class{did_you_mean(word, known)}")
        _core.validate_options(self._to_core())

    def _to_core(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        # A key is bytes; as text from a command line it may hold some that are not UTF-8.
        return values | {"keys": [os.fsencode(key) for key in self.keys]}


@dataclass(frozen=True)
class _Expected:
    """What an option takes."""

    text: str
    kinds: tuple[type, ...] = ()  # of its words, if it takes many
    words: tuple[str, ...] = ()
    is_sequence: bool = False
    is_optional: bool = False

    def holds(self, value: object) -> bool:
        """Whether the value is of the right type; a number is whatever says that it is a whole one."""
        if value is None:
            return self.is_optional
        if self.is_sequence:
            return isinstance(value, tuple) and all(isinstance(word, self.kinds) for word in value)
        if self.kinds == (int,):
            return _is_whole(value)
        return isinstance(value, self.kinds)


def _is_whole(value: object) -> bool:
    if isinstance(value, bool):
        return False
    try:
        index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _is_utf8(word: str) -> bool:
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _expected(hint: Any) -> _Expected:
    if get_origin(hint) is Literal:
        words = get_args(hint)
        return _Expected(f"one of {', '.join(words)}", (str,), words)
    if hint is bool:
        return _Expected("True or False", (bool,))
    if hint is int:
        return _Expected("a whole number", (int,))
    if hint == int | None:
        return _Expected("a whole number, or None", (int,), is_optional=True)
    if hint == Iterable[str | bytes]:
        return _Expected("a sequence of str or bytes", (str, bytes), is_sequence=True)
    return _Expected("a sequence of str", (str,), is_sequence=True)


_EXPECTED = {name: _expected(hint) for name, hint in get_type_hints(Options).items()}


def _refuse_unknown_names() -> None:
    """Have `Options` name the closest valid option: what a dataclass says of a wrong name is not much."""
    init = Options.__init__

    @wraps(init)
    def checked(self: Options, *args: Any, **values: Any) -> None:
        for name in values:
            if name not in _EXPECTED:
                near = did_you_mean(name, _EXPECTED) or "; help(waybill.Options) lists them"
                raise _wrong_type(f"there is no option {name!r}{near}")
        init(self, *args, **values)

    Options.__init__ = checked  # type: ignore[method-assign]


_refuse_unknown_names()


def _wrong(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")


def _wrong_type(message: str) -> InvalidTypeError:
    return InvalidTypeError(message, code="invalid_argument", error_class="configuration")


def recorded_options(recorded: str) -> Options:
    """Give the options that a run was recorded with (``RunRecord.options``); names that are not known are left out."""
    values = loads(recorded)
    return Options(**{field.name: values[field.name] for field in fields(Options) if field.name in values})
