# SPDX-License-Identifier: Apache-2.0
"""Templates: specs kept by name, in ``$XDG_CONFIG_HOME/waybill/templates``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from waybill.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from waybill.spec import Spec, parse_setting, to_toml

__all__ = ["apply_template", "list_templates", "read_template", "save_template"]


def save_template(name: str, spec: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Keep a spec under a name, for its owner alone.

    Raises
    ------
    InvalidArgumentError
        The name is none (letters, digits, ``-``, ``_`` and ``.``), or the spec is wrong or holds a secret in clear.
    AlreadyExistsError
        There is one of that name, and `force` is False.
    """
    path = _path_of(name)
    read = Spec.read(spec)
    if read.warnings:
        raise _wrong(f"{read.warnings[0]}; a template keeps none")
    text = Path(spec).read_text(encoding="utf-8-sig")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    try:
        if force:
            partial.replace(path)
        else:
            os.link(partial, path)
    except FileExistsError:
        raise AlreadyExistsError(
            f"there is a template {name} already; --force replaces it",
            code="already_exists",
            error_class="configuration",
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return path


def list_templates() -> list[str]:
    """Give the names, in order."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def read_template(name: str) -> str:
    """Give a template as it was saved.

    Raises
    ------
    NotFoundError
        There is none of that name.
    """
    try:
        return _path_of(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(list_templates()) or "none"
        raise NotFoundError(
            f"there is no template {name}; known are: {known}", code="not_found", error_class="missing"
        ) from None


def apply_template(name: str, settings: list[str]) -> Spec:
    """Give the spec of a template with some settings (``"key=value"``) of its own.

    Raises
    ------
    NotFoundError
        There is none of that name.
    InvalidArgumentError
        A setting is none, or its value is wrong.
    """
    label = f"the template {name}"
    values = dict(Spec.parse(read_template(name), label).values)
    values |= dict(parse_setting(setting) for setting in settings)
    return Spec.parse(to_toml(values), label)


def _folder() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".config") / "waybill" / "templates"


def _path_of(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise _wrong(f"{name!r} is no name of a template: letters, digits, '-', '_' and '.' make one")
    return _folder() / f"{name}.toml"


def _wrong(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(message, code="invalid_argument", error_class="configuration")
