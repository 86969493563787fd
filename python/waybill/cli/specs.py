# SPDX-License-Identifier: Apache-2.0
"""Commands that write specs: init, template save, list, show, apply."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.help import App
from waybill.cli.output import Output, complain
from waybill.reports.files import cannot, partial_name
from waybill.spec import commented_spec, to_toml
from waybill.templates import apply_template, list_templates, read_template, save_template
from waybill.text import safe

__all__ = ["add_commands"]


def _names(incomplete: str) -> list[str]:
    return [name for name in list_templates() if name.startswith(incomplete)]


TemplateName = Annotated[str, typer.Argument(metavar="NAME", autocompletion=_names, help="The name of the template.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("init")(_init)
    group = App(
        help="Keep specs by name, and make new ones of them.\n\nwaybill template save nightly photos.toml\n\nwaybill template list",
        no_args_is_help=True,
    )
    group.command("save")(_save)
    group.command("list")(_list)
    group.command("show")(_show)
    group.command("apply")(_apply)
    app.add_typer(group, name="template")


def _init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = Path("waybill.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a spec in which every setting stands, explained.

    Each stands at its default, behind a #; what is set goes before the default.

    waybill init photos.toml
    """
    _write(path, force)
    Output().line(f"wrote {safe(str(path))}; set from and to in it, then: waybill plan {safe(str(path))}")


def _save(
    name: TemplateName,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="The spec to keep.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a template that is there.")] = False,
) -> None:
    """Keep a spec by name. One with a secret in clear is refused.

    waybill template save nightly photos.toml
    """
    Output().line(f"saved as {safe(str(save_template(name, spec, force=force)))}")


def _list() -> None:
    """List the templates.

    waybill template list
    """
    output = Output()
    for name in list_templates():
        output.line(name)


def _show(name: TemplateName) -> None:
    """Print a template as it was saved.

    waybill template show nightly
    """
    for line in read_template(name).splitlines():
        Output().line(safe(line))


def _apply(
    name: TemplateName,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of its own (may be repeated).")
    ] = None,
) -> None:
    """Print a spec made of a template. Comments stay behind.

    waybill template apply nightly --set from=/data/2027 > 2027.toml
    """
    spec = apply_template(name, settings or [])
    for warning in spec.warnings:
        complain(f"warning: {warning}")
    for line in to_toml(spec.values).splitlines():
        Output().line(line)


def _write(path: Path, force: bool) -> None:
    """Write the spec whole or not at all: one that is replaced stays until the new one is on disk."""
    if os.path.lexists(path):
        if not force:
            raise typer.BadParameter(f"{str(path)!r} is there already; --force replaces it", param_hint="FILE")
        if not path.is_file():
            raise typer.BadParameter(f"{str(path)!r} is not a regular file; name another one", param_hint="FILE")
        path = path.resolve()
    partial = partial_name(path)
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(commented_spec())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise cannot("write", path, error) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
