# SPDX-License-Identifier: Apache-2.0
"""Specs: a migration and the options of its runs in a TOML file.

A spec is flat: ``from``, ``to``, ``tracker``, ``name``, ``catalog``, ``url_template``, and the fields of `Options` by their
names. It is read, never executed, and it holds no secret: what differs by machine is ``"env:NAME"``, looked up when the
spec is used.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from waybill import _core
from waybill.connectors import is_of_catalog, with_contents
from waybill.errors import Error, InvalidArgumentError, NotFoundError
from waybill.migration import Migration
from waybill.nearest import did_you_mean
from waybill.options import Options
from waybill.quantities import parse_duration, parse_moment, parse_size

__all__ = ["SPEC_KEYS", "Spec", "commented_spec", "parse_setting", "to_toml"]

_LARGEST_FILE = 1 << 20
_REFERENCE = re.compile("env:[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(
    r"secret|passw|token|credential|signature|private|(api|access|sse|session).*key", re.IGNORECASE
)

Value = Any  # of TOML: str, int, float, bool, date, datetime, list, dict


@dataclass(frozen=True)
class _Kind:
    """What a key takes, and how its value becomes that of an option."""

    expected: str
    convert: Callable[[Value], Value]  # ValueError: the text says why not; TypeError: of the wrong type


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not value or "\0" in value:
        raise ValueError("is empty" if not value else "holds a NUL byte")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _flag(value: Value) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _words(value: Value) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise TypeError
    return tuple(value)


def _with_unit(parse: Callable[[str], int]) -> Callable[[Value], int]:
    def convert(value: Value) -> int:
        return parse(value) if isinstance(value, str) else _number(value)

    return convert


def _moment(value: Value) -> int:
    if isinstance(value, (str, date)):
        return parse_moment(value)
    return _number(value)


def _one_of(words: tuple[str, ...]) -> Callable[[Value], str]:
    def convert(value: Value) -> str:
        if not isinstance(value, str):
            raise TypeError
        if value not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}{did_you_mean(value, words)}")
        return value

    return convert


def _kind_of(name: str, hint: Any) -> _Kind:
    if name == "concurrency":
        return _Kind('a number, or "auto"', lambda value: 0 if value == "auto" else _number(value))
    if get_origin(hint) is Literal:
        words = get_args(hint)
        return _Kind(f"one of {', '.join(words)}", _one_of(words))
    if hint is bool:
        return _Kind("true or false", _flag)
    if hint is int and name.endswith("_bytes"):
        return _Kind('a size: a number of bytes, or text such as "10MiB"', _with_unit(parse_size))
    if hint is int and name.endswith("_ms"):
        return _Kind('a duration: a number of ms, or text such as "30s"', _with_unit(parse_duration))
    if hint is int:
        return _Kind("a number", _number)
    if hint == int | None and name.endswith("_ms"):
        return _Kind('a date, a time, or an age such as "7d"', _moment)
    return _Kind('a list of text, such as ["a", "b"]', _words)


_PLACES = {
    name: _Kind("text", _text) for name in ("from", "to", "tracker", "name", "key_template", "catalog", "url_template")
} | {"contents": _Kind('a list of text, such as ["a", "b"]', _words)}
_OPTIONS = {
    field.name: _kind_of(field.name, hint)
    for field, hint in zip(fields(Options), get_type_hints(Options).values(), strict=True)
}
_KINDS = _PLACES | _OPTIONS
SPEC_KEYS = tuple(_KINDS)


@dataclass(frozen=True)
class Spec:
    """A spec that was read: its names are known and its values of the right types.

    Attributes
    ----------
    path : str
        The file, as it was named.
    values : mapping
        What the file says, references (``"env:NAME"``) as they stand there.
    warnings : tuple of str
        Secrets that stand in the file, each named by its key, never shown.

    Examples
    --------
    >>> waybill.Spec.read("photos.toml").migration().run()
    """

    path: str
    values: Mapping[str, Value]
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file.

        Raises
        ------
        NotFoundError
            The file is not there, or cannot be read.
        InvalidArgumentError
            It is no TOML, has a key that no spec has, or a value of the wrong type; the key is named.
        """
        name = os.fspath(path)
        try:
            with open(name, "rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except FileNotFoundError:
            raise NotFoundError(
                f"there is no spec at {name}; write one with: waybill init {name}",
                code="not_found",
                error_class="missing",
            ) from None
        except OSError as error:
            raise _wrong(f"{name} cannot be read: {error.strerror}") from None
        if len(content) > _LARGEST_FILE:
            raise _wrong(f"{name} is larger than 1 MiB: no spec is")
        return cls.parse(content, name)

    @classmethod
    def parse(cls, content: bytes | str, path: str) -> Self:
        """As `read`, of what `path` holds."""
        try:
            values = tomllib.loads(content.decode("utf-8-sig") if isinstance(content, bytes) else content)
        except UnicodeDecodeError:
            raise _wrong(f"{path} is not UTF-8, which TOML is") from None
        except tomllib.TOMLDecodeError as error:
            raise _wrong(f"{path} is not TOML: {error}") from None
        except RecursionError:
            raise _wrong(f"{path} is not a spec: its values are nested too deeply") from None
        for key, value in values.items():
            _check_known(key, path)
            if not (_is_reference(value) and _KINDS[key].convert is not _words):
                _convert(key, value, path)
        return cls(path, values, tuple(_secrets_in(values, path)))

    def resolved(self) -> dict[str, Any]:
        """Give the values as the command line and `Options` take them.

        References are looked up, sizes and times are numbers of the option's unit, relative paths are those beside the
        spec.

        Raises
        ------
        InvalidArgumentError
            A variable is not set, or a value is out of range; the key is named.
        """
        out = {}
        for key, value in self.values.items():
            found = _convert(key, _looked_up(key, value, self.path), self.path)
            out[key] = self._beside(found) if key in ("from", "to", "tracker") else found
        if "contents" in out:
            out["contents"] = [self._beside(place) for place in out["contents"]]
        try:
            _options_of(out)
        except InvalidArgumentError as error:
            raise _wrong(f"{self.path}: {error.message}") from None
        return out

    def options(self) -> Options:
        """Give the options of the spec; errors as `resolved`."""
        return _options_of(self.resolved())

    def migration(self) -> Migration:
        """Make the migration of the spec, which has to name ``to``, and ``from`` or ``catalog``.

        Raises
        ------
        InvalidArgumentError
            As `resolved` and `Migration`, or one of the two is missing.
        """
        values = self.resolved()
        source = source_of(values)
        if missing := [key for key, value in (("from", source), ("to", values.get("to"))) if value is None]:
            raise _wrong(f"{self.path} does not say {missing[0]!r}")
        assert source is not None
        return Migration(
            source,
            values["to"],
            values.get("tracker", "waybill.db"),
            name=values.get("name"),
            key_template=values.get("key_template"),
            catalog=values.get("catalog"),
            options=_options_of(values),
        )

    def _beside(self, place: str) -> str:
        if "://" in place or place == "memory:":
            return place
        # What comes through a pipe stands nowhere.
        folder = "" if self.path.startswith(("/dev/", "/proc/")) else os.path.dirname(self.path)
        return os.path.join(folder, os.path.expanduser(place))


def source_of(values: Mapping[str, Any]) -> str | None:
    """The source of a migration, of what a spec or the command line says: ``from``, or else what the references of ``catalog``
    point at, read from ``contents``; None where there is neither.

    Raises
    ------
    InvalidArgumentError
        ``contents`` without a catalog to list what is read from it.
    """
    contents = values.get("contents") or ()
    if values.get("from") is not None or values.get("catalog") is None:
        if contents:
            raise _wrong(
                "contents are the stores that what a catalog points at is read from: name the catalog, and no source"
            )
        source: str | None = values.get("from")
        return source
    return with_contents(values["catalog"], contents)


def parse_setting(text: str) -> tuple[str, Value]:
    """``"key=value"`` → the key and its value, as TOML where it is some, else as text.

    Raises
    ------
    InvalidArgumentError
        There is no ``=``, or no such key.
    """
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals:
        raise _wrong(f"{text!r} is not of the form key=value")
    _check_known(key, "--set")
    if key in _PLACES:
        return key, written
    try:
        return key, tomllib.loads(f"value = {written}\n")["value"]
    except tomllib.TOMLDecodeError:
        return key, written


def to_toml(values: Mapping[str, Value]) -> str:
    """Write a spec: a key a line."""
    return "".join(f"{key} = {_to_toml(value)}\n" for key, value in values.items())


def commented_spec() -> str:
    """Give a spec in which every key stands, explained, behind a ``#``."""
    return (Path(__file__).parent / "commented_spec.toml").read_text(encoding="utf-8")


def _to_toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_to_toml(one) for one in value)}]"
    if isinstance(value, str):
        return '"' + re.sub(r'[\x00-\x1f\x7f"\\]', lambda match: f"\\u{ord(match[0]):04x}", value) + '"'
    return value.isoformat() if isinstance(value, date) else str(value)


def _wrong(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")


def _check_known(key: str, where: str) -> None:
    if key in _KINDS:
        return
    if _SECRET_NAME.search(key):
        raise _wrong(
            f"{where}: {key!r} is no key of a spec, which holds no secrets: take it out; credentials come from the "
            "environment or, with profile=NAME in the URL, from a profile"
        )
    raise _wrong(f"{where}: unknown key {key!r}" + (did_you_mean(key, _KINDS) or "; see waybill init"))


def _convert(key: str, value: Value, path: str) -> Value:
    kind = _KINDS[key]
    try:
        return kind.convert(value)
    except TypeError:
        raise _wrong(f"{path}: {key} takes {kind.expected}, not {_name_of_type(value)}") from None
    except (ValueError, OverflowError) as error:
        raise _wrong(f"{path}: {key}: {error}") from None


def _name_of_type(value: Value) -> str:
    names = {bool: "true or false", int: "a number", float: "a fraction", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a time")


def _options_of(values: Mapping[str, Any]) -> Options:
    return Options(**{key: value for key, value in values.items() if key in _OPTIONS})


def _is_reference(value: Value) -> bool:
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _looked_up(key: str, value: Value, path: str) -> Value:
    if not _is_reference(value):
        return value
    variable = value.removeprefix("env:")
    if not (found := os.environ.get(variable)):
        raise _wrong(f"{path}: {key} is {value}, but the environment has no {variable}")
    if _KINDS[key].convert is _flag and found in ("true", "false"):
        return found == "true"
    return int(found) if key not in _PLACES and re.fullmatch("[0-9]{1,18}", found) else found


def _secrets_in(values: Mapping[str, Value], path: str) -> list[str]:
    found = []
    texts = [(key, text) for key, value in values.items() for text in (value if isinstance(value, list) else [value])]
    for key, value in texts:
        if not isinstance(value, str) or "://" not in value:
            continue
        advice = "it belongs into the environment or a profile, and is never stored"
        user, at, _ = value.partition("://")[2].partition("/")[0].rpartition("@")
        is_database = key == "catalog" or (key == "from" and is_of_catalog(value))
        if at and (not is_database or ":" in user):  # a database's user alone is no secret
            found.append(f"{path}: the URL of {key!r} holds credentials in clear; {advice}")
            continue
        if is_database or key == "url_template":
            continue  # names of columns, and what is written into records
        try:
            is_hidden = "***" in _core.redacted_url(value)
        except Error:
            continue  # the opening says what is wrong with it
        if is_hidden:
            found.append(f"{path}: the URL of {key!r} holds what may be a secret in clear; {advice}")
    return found
