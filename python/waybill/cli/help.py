# SPDX-License-Identifier: Apache-2.0
"""Help that fits into 80 columns and any encoding: what a command does, examples, options by purpose, exit codes.

The text is that of the command's docstring. Paragraphs of it that begin with ``waybill`` are examples.
"""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from waybill.cli.exit_codes import exit_codes_of
from waybill.cli.output import Output, draw_in_ascii
from waybill.cli.values import HOW, ITEMS, SHOWN, STORES

__all__ = ["COMMANDS", "App", "help_text"]

# The commands as `waybill --help` groups them, in this order.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "Moving": ("init", "doctor", "plan", "run", "pause", "resume", "cancel", "import"),
    "Looking": ("status", "watch", "partitions", "items", "failed", "errors", "logs", "history"),
    "Deciding": ("retry", "waive", "verify", "findings", "delete-extra", "delete-source"),
    "Switching": ("readiness", "cutover", "rollback", "references"),
    "Keeping": ("report", "db", "template"),
}

_NARROWEST, _WIDEST = 40, 100
_INDENT = 2
_GAP = 2
_WIDEST_NAME = 24

# Fewer stand under one heading.
_MANY_OPTIONS = 12

_Section = tuple[str, list[tuple[str, str]]]  # title, names and texts


class App(typer.Typer):
    """A group of commands, each of which has our help and the option ``--ascii``."""

    def __init__(self, **more: Any) -> None:
        super().__init__(cls=_Group, pretty_exceptions_enable=False, **more)

    def command(  # type: ignore[override]
        self, name: str
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """As that of typer, which is told nothing but the name."""
        add = super().command(name, cls=_Command)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            add(_with_ascii(function))
            return function

        return decorate


def _draw_in_ascii(is_wanted: bool) -> None:
    if is_wanted:
        draw_in_ascii()


AsciiFlag = Annotated[
    bool,
    typer.Option(
        "--ascii", callback=_draw_in_ascii, is_eager=True, help="Write nothing but ASCII.", rich_help_panel=SHOWN
    ),
]


def _with_ascii(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with one parameter more, which has done its work when the function is called."""

    @wraps(function)
    def call(*args: Any, **values: Any) -> Any:
        values.pop("ascii", None)
        return function(*args, **values)

    hints = get_type_hints(function, include_extras=True) | {"ascii": AsciiFlag}
    parameters = [one.replace(annotation=hints[one.name]) for one in inspect.signature(function).parameters.values()]
    parameters.append(inspect.Parameter("ascii", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsciiFlag))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = hints
    return call


class _Command(TyperCommand):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        _print_help(ctx)


class _Group(TyperGroup):
    def format_help(self, ctx: Any, formatter: Any) -> None:
        _print_help(ctx)


def _print_help(context: Any) -> None:
    console = Console(file=sys.stdout, highlight=False, width=10_000)
    with console.capture() as capture:
        for line in _lines(context, _width()):
            console.print(line)
    Output().write(capture.get())


def help_text(context: Any, width: int) -> str:
    """The help of a context's command, without colours."""
    return "".join(f"{line.plain}\n" for line in _lines(context, width))


def _width() -> int:
    return max(_NARROWEST, min(shutil.get_terminal_size().columns, _WIDEST))


def _lines(context: Any, width: int) -> Iterator[Text]:
    command = context.command
    summary, examples, more = _parts(command.help or "")
    yield Text.assemble(("Usage:", "bold"), " ", _usage(context))
    for paragraph in (summary, *more):
        yield Text()
        for line in textwrap.wrap(paragraph, width - _INDENT, break_on_hyphens=False):
            yield Text(" " * _INDENT + line)
    if examples:
        yield from _heading("Examples")
        for example in examples:
            yield Text(" " * _INDENT + example, style="cyan")
    if hasattr(command, "commands"):
        yield from _tables(_command_sections(context, command), width)
    yield from _tables(_option_sections(context), width)
    codes = exit_codes_of(_name_of(context)).items()
    yield from _tables([("Exit codes", [(str(code), text) for code, text in codes])], width)


def _parts(text: str) -> tuple[str, list[str], list[str]]:
    """Summary, examples, and other paragraphs of a docstring."""
    paragraphs = [" ".join(one.split()) for one in inspect.cleandoc(text).split("\n\n")]
    examples = [one for one in paragraphs if one.startswith("waybill ")]
    others = [one for one in paragraphs if one and not one.startswith("waybill ")]
    return others[0] if others else "", examples, others[1:]


def _first_sentence(text: str) -> str:
    return text.split(". ", maxsplit=1)[0].rstrip(".") + "."


def _usage(context: Any) -> str:
    command = context.command
    arguments = [
        f"{one.metavar}" if one.required else f"[{one.metavar}]"
        for one in command.params
        if one.param_type_name == "argument"
    ]
    rest = ["COMMAND", "..."] if hasattr(command, "commands") else arguments
    return " ".join([context.command_path, *rest, "[OPTIONS]"])


def _option_sections(context: Any) -> list[_Section]:
    options = [one for one in context.command.get_params(context) if not getattr(one, "hidden", False)]
    is_divided = len(options) > _MANY_OPTIONS
    sections: dict[str, list[tuple[str, str]]] = {title: [] for title in (STORES, ITEMS, HOW, SHOWN)}
    for one in options:
        title = (getattr(one, "rich_help_panel", None) or SHOWN) if is_divided else "Options"
        sections.setdefault(title, []).append((_option_name(one), _option_text(one)))
    return [(title, rows) for title, rows in sections.items() if rows]


def _command_sections(context: Any, group: Any) -> Iterator[_Section]:
    panels = COMMANDS if context.parent is None else {"Commands": tuple(group.commands)}
    for title, names in panels.items():
        known = [(name, group.commands[name].help or "") for name in names if name in group.commands]
        yield title, [(name, _first_sentence(_parts(text)[0])) for name, text in known]


def _option_name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        return f"{names}, {', '.join(parameter.secondary_opts)}"
    if parameter.is_flag:
        return names
    return f"{names} {parameter.metavar}"


def _option_text(parameter: Any) -> str:
    text = getattr(parameter, "help", None) or ""
    notes = []
    if variable := getattr(parameter, "envvar", None):
        notes.append(f"or in the environment: {variable}")
    shown = getattr(parameter, "show_default", None)
    default = parameter.default
    if isinstance(shown, str):
        notes.append(f"default: {shown}")
    elif isinstance(default, int | float | str) and not isinstance(default, bool):
        notes.append(f"default: {default}")
    return f"{text} [{'; '.join(notes)}]" if notes else text


def _heading(title: str) -> Iterator[Text]:
    yield Text()
    yield Text(f"{title}:", style="bold")


def _tables(sections: Iterable[_Section], width: int) -> Iterator[Text]:
    """Names and texts beside each other, all in two columns; the text below its name where that is long."""
    sections = list(sections)
    lengths = [len(name) for _, rows in sections for name, _ in rows]
    column = max(length for length in lengths if length <= _WIDEST_NAME)
    left = _INDENT + column + _GAP
    for title, rows in sections:
        yield from _heading(title)
        for name, text in rows:
            lines = textwrap.wrap(text, max(width - left, 20), break_on_hyphens=False) or [""]
            start = Text(" " * _INDENT)
            start.append(name, style="cyan")
            if len(name) <= column:
                start.append(" " * (left - start.cell_len) + lines.pop(0))
            yield start
            for line in lines:
                yield Text(" " * left + line)


def _name_of(context: Any) -> str:
    """``"db check"`` of ``waybill db check``; empty of ``waybill``."""
    return str(context.command_path).partition(" ")[2]
