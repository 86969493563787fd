# SPDX-License-Identifier: Apache-2.0
"""What the command line says about itself, and to whom mistypes."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import waybill
from waybill.cli.app import app
from waybill.cli.exit_codes import exit_codes_of
from waybill.cli.help import COMMANDS, help_text

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

ROOT = Path(__file__).parents[2]
GROUPS = ("db", "template")


def all_contexts() -> Iterator[Any]:
    """The context of every command, by which it is invoked."""
    top = typer.main.get_command(app)
    context = top.make_context("waybill", [], resilient_parsing=True)
    yield context
    for name, command in sorted(top.commands.items()):  # type: ignore[attr-defined]
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        yield inner
        for leaf, one in getattr(command, "commands", {}).items():
            yield one.make_context(leaf, [], parent=inner, resilient_parsing=True)


CONTEXTS = list(all_contexts())


def test_every_command_stands_in_one_group() -> None:
    grouped = [name for names in COMMANDS.values() for name in names]
    assert sorted(grouped) == sorted(CONTEXTS[0].command.commands)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda one: one.command_path)
def test_help_fits_and_says_what_it_has_to(context: Any) -> None:
    text = help_text(context, 80)
    assert text.isascii()
    assert all(len(line) <= 80 for line in text.splitlines()), text
    assert text.startswith(f"Usage: {context.command_path} ")
    for heading in ("Examples:", "Exit codes:"):
        assert heading in text.splitlines()
    codes = re.findall("^  ([0-9]+) ", text.partition("Exit codes:")[2], re.MULTILINE)
    assert codes == [str(code) for code in exit_codes_of(context.command_path.partition(" ")[2])]
    assert {"0", "2"} <= set(codes)
    for one in context.command.get_params(context):
        assert one.opts[-1] in text or one.metavar in text
        assert one.help
    narrow = help_text(context, 40)
    assert " ".join(narrow.split()) == " ".join(text.split())


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda one: one.command_path)
def test_examples_are_commands_that_there_are(context: Any) -> None:
    examples = help_text(context, 80).partition("Examples:")[2].split("\n\n")[0].strip().splitlines()
    assert examples
    for example in examples:
        command, *words = shlex.split(example.partition(" > ")[0])
        assert command == "waybill"
        where = CONTEXTS[0]
        while hasattr(where.command, "commands"):
            name, *words = words
            where = where.command.commands[name].make_context(name, [], parent=where, resilient_parsing=True)
        where.command.make_context(where.info_name, words, parent=where.parent)  # refuses what it does not know


def test_the_page_of_the_command_line_names_everything() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for context in CONTEXTS[1:]:
        assert f"`{context.command_path}`" in page or context.info_name in GROUPS
    for code, meaning in exit_codes_of("").items():
        assert f"| {code} | {meaning} |" in page
    for name in ("WAYBILL_TRACKER", "NO_COLOR", "COLUMNS", "--ascii", "--install-completion", "--progress"):
        assert name in page
    assert "docs/cli.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_help_and_version(cli: CommandLine) -> None:
    assert cli("--version").stdout == f"waybill {waybill.__version__}\n"
    for words in (["--help"], ["-h"], ["run", "--help"], ["db", "check", "-h"]):
        result = cli(*words)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(" ".join(["Usage: waybill", *words[:-1]]))


@pytest.mark.parametrize("words", [[], ["db"], ["template"]], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(cli: CommandLine, words: list[str]) -> None:
    result = cli(*words)
    assert (result.returncode, result.stderr) == (2, "")
    assert result.stdout.startswith("Usage: waybill ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'?"),
        (["db", "chek"], "unknown command 'chek'; did you mean 'check'?"),
        (["vacuum"], "unknown command 'vacuum'; did you mean 'db vacuum'?"),
        (["frobnicate"], "unknown command 'frobnicate' (see waybill --help)"),
        (["run", "--concurency", "4"], "unknown option '--concurency'; did you mean '--concurrency'?"),
        (["run", "--no-server-side-copi"], "did you mean '--no-server-side-copy'?"),
        (["run", "--overwrite", "alwys"], "--overwrite': 'alwys' is not one of 'own', 'never', 'always'; did you mean 'always'?"),
        (["run", "--progress", "bra"], "did you mean 'bar'?"),
        (["verify", "--level", "contnet"], "did you mean 'content'?"),
        (["items", "--state", "copid"], "'copid' is not one of pending, copied, "),
        (["items", "--state", "copid"], "did you mean 'copied'?"),
        (["findings", "--kind", "Missing"], "did you mean 'missing'?"),
        (["failed", "--class", "permision"], "--class': 'permision' is no class; did you mean 'permission'?"),
        (["retry", "--class", "trottled"], "did you mean 'throttled'?"),
        (["logs", "--level", "warn"], "did you mean 'warning'?"),
        (["report", "--format", "htm"], "did you mean 'html'?"),
        (["run", "--limit", "many"], "--limit': 'many' is not a valid integer"),
        (["items", "--limit=0"], "--limit': '0' is not greater than or equal to 1"),
        (["run", "--name"], "Option '--name' requires an argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_the_closest_valid_word_is_named(cli: CommandLine, words: list[str], said: str) -> None:
    result = cli(*words)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_in_colours_is_the_same_text(cli: CommandLine) -> None:
    plain = cli("run", "--help").stdout
    coloured = cli("run", "--help", environment={"FORCE_COLOR": "1", "TERM": "xterm-256color"}).stdout
    assert "\x1b[" in coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == plain


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize("word", ["retry", "run", "waive"])
def test_a_key_that_nobody_knows_was_the_wrong_one_to_name(cli: CommandLine, tree: Path, word: str) -> None:
    assert cli("run", "--from", tree, "--to", "to").returncode == 0
    more = ["--why", "x"] if word == "waive" else []
    named = cli(word, "--item", "nowhere", *more)
    assert named.returncode == 2
    assert '"nowhere"' in named.stdout + named.stderr
    if word != "waive":
        report = cli(word, "--item", "nowhere", "--json")
        assert report.returncode == 2
        assert '"exit_code":2' in report.stdout.splitlines()[-1]


def test_keys_are_taken_as_they_are_printed(cli: CommandLine) -> None:
    (cli.folder / "from").mkdir()
    names = [b"not \xff utf-8", b"back\\slash", b"new\nline", b"two\\\\", "\u00e9".encode(), b"half\\x4"]
    for name in names:
        (cli.folder / "from").joinpath(name.decode("utf-8", "surrogateescape")).write_bytes(name)
    assert cli("run", "--from", "from", "--to", "to").returncode == 0
    printed = [line.split(maxsplit=3)[3] for line in cli("items", "--ascii").stdout.splitlines()]
    assert len(printed) == len(names)
    assert all(name.isascii() for name in printed)
    for name in printed:
        again = cli("retry", "--item", name, "--force")
        assert (again.returncode, "1 updated" in again.stdout) == (0, True), (name, again.stdout)
    (cli.folder / "keys").write_text("".join(f"{name}\n" for name in printed))
    assert f"{len(names)} updated" in cli("retry", "--items-from", "keys", "--force").stdout
    # What is not a printed form is the key itself.
    for name in (b"back\\slash", b"half\\x4", b"not \xff utf-8"):
        assert cli("retry", "--item", name, "--force").returncode == 0
