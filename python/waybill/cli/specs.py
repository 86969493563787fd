# SPDX-License-Identifier: Apache-2.0
"""Commands that write specs: init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waybill.cli.output import Output
from waybill.spec import commented_spec
from waybill.text import safe

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("init")(_init)


def _init(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write.")] = Path("waybill.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a spec in which every setting stands, explained, at its default.

    waybill init photos.toml
    """
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(commented_spec())
    except FileExistsError:
        raise typer.BadParameter(f"{str(path)!r} is there already; --force replaces it", param_hint="FILE") from None
    Output().line(f"wrote {safe(str(path))}; set from and to in it, then: waybill plan {safe(str(path))}")
