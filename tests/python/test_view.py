# SPDX-License-Identifier: Apache-2.0
"""Progress on terminals of all kinds, and where there is none."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

import waybill
from waybill.live import _Frame, make_view
from waybill.text import progress_line

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

ESCAPE = "\x1b"


@pytest.fixture
def snapshot(tree: Path, tmp_path: Path) -> waybill.Snapshot:
    """That of a run which has ended."""
    return waybill.Migration(tree, tmp_path / "to", tmp_path / "ledger.db").run().snapshot


def flying(key: bytes, done: int = 1 << 20, total: int | None = 5 << 20, attempt: int = 1) -> waybill.InFlight:
    return waybill.InFlight(partition="", key=key, bytes_done=done, bytes_total=total, attempt=attempt, started_at_ms=0)


@pytest.fixture
def live(snapshot: waybill.Snapshot) -> Callable[..., waybill.Snapshot]:
    """Makes snapshots of a run that is at work."""

    def make(*in_flight: waybill.InFlight, reason: str = "", **fields: Any) -> waybill.Snapshot:
        state = dataclasses.replace(
            snapshot.live,
            in_progress=len(in_flight),
            in_flight=in_flight,
            concurrency=16,
            items_per_second=1234.0,
            bytes_per_second=10.5 * (1 << 20),
            eta_low_seconds=125.0,
            eta_high_seconds=180.0,
            reason=reason,
        )
        items = dataclasses.replace(snapshot.items, discovered=20_000, eligible=20_000, in_progress=len(in_flight))
        return dataclasses.replace(
            snapshot,
            state="running",
            ended_at_ms=None,
            name="photos",
            items=items,
            live=state,
            progress=0.432,
            **fields,
        )

    return make


def drawn(
    snapshot: waybill.Snapshot, width: int = 80, height: int = 24, latest: str = "", encoding: str = "utf-8"
) -> list[str]:
    """The lines of the live view, as wide and high as a terminal is."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = Console(file=file, width=width, height=height, force_terminal=True, no_color=True, color_system=None)
    console.print(_Frame(snapshot, latest))
    file.flush()
    text = file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    return re.sub(f"{ESCAPE}\\[[0-9;]*m", "", text).splitlines()


def test_the_view_shows_what_one_looks_for(live: Callable[..., waybill.Snapshot]) -> None:
    lines = drawn(
        live(
            flying(b"video.mkv", attempt=3),
            flying(b"unknown", total=None),
            failed_by_class={"occupied": 2, "permission": 10},
        ),
        latest="occupied",
    )
    assert lines[0].split() == ["copy", "running", "photos", "16", "at", "once,", *lines[0].split()[-2:]]
    assert lines[1].endswith(" 43.2 %")
    assert "of 20,000   1,234/s   ETA 2 min 5 s to 3 min" in lines[2]
    assert "10.5 MiB/s" in lines[3]
    (failed,) = (line for line in lines if line.startswith("failed"))
    assert failed.endswith("10 permission, 2 occupied; latest occupied"), "the most frequent first"
    assert re.search(r"in flight +2$", "\n".join(lines), re.MULTILINE)
    assert re.search(r"1\.0 MiB of 5\.0 MiB +attempt 3 +video\.mkv$", "\n".join(lines), re.MULTILINE)
    assert re.search(r"1\.0 MiB +unknown$", "\n".join(lines), re.MULTILINE)


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal(live: Callable[..., waybill.Snapshot], width: int, encoding: str) -> None:
    keys = [
        ("folder/" * 40 + "the end").encode(),
        ("\u65e5\u672c\u8a9e\u306e\u30d5\u30a1\u30a4\u30eb" * 20).encode(),
        b"\x1b[31mred\n\xff" * 20,
    ]
    lines = drawn(live(*map(flying, keys), failed_by_class={"permission": 10**9}), width, encoding=encoding)
    assert len(lines) == 10, "one line each"
    assert all(cell_len(line) <= width for line in lines), lines
    assert ESCAPE not in "".join(lines)
    if encoding == "ascii":
        assert "".join(lines).isascii()
    if width >= 80:
        assert re.search(r"  folder/.*\.\.\..*the end$", "\n".join(lines), re.MULTILINE), "begin and end of a long key"


@pytest.mark.parametrize("height", [5, 10, 24])
def test_the_view_leaves_lines_out_where_a_terminal_is_low(live: Callable[..., waybill.Snapshot], height: int) -> None:
    lines = drawn(live(*(flying(b"%d" % number) for number in range(40))), height=height)
    assert len(lines) <= max(height, 6)
    if height == 24:
        assert "in flight  40, 8 shown" in lines


@pytest.mark.parametrize("reason", ["endpoint", "tracker"])
def test_why_a_run_stands_still_is_said(live: Callable[..., waybill.Snapshot], reason: str) -> None:
    waiting = live(reason=reason)
    assert drawn(waiting)[0].startswith(f"copy paused ({reason})")
    assert progress_line(waiting).startswith(f"copy paused ({reason}), ")


def test_before_the_listing_is_complete_there_is_no_percentage(live: Callable[..., waybill.Snapshot]) -> None:
    lines = drawn(dataclasses.replace(live(), progress=None, listing_complete=False))
    assert lines[1].endswith(" listing")
    assert "20,000 so far" in lines[2]
    assert "%" not in "".join(lines)


def test_findings_of_a_verify_run_are_shown(live: Callable[..., waybill.Snapshot]) -> None:
    lines = drawn(live(phase="verify", findings={"missing": 2, "size": 7, "extra": 0}))
    assert lines[0].startswith("verify running")
    assert "findings   7 size, 2 missing" in lines


def test_plain_progress_where_there_is_no_terminal(cli: CommandLine, tree: Path) -> None:
    for mode in ("auto", "bar", "plain"):
        result = cli("run", "--from", tree, "--to", "to", "--progress", mode)
        assert "items" in result.stderr
        assert ESCAPE not in result.stderr + result.stdout
    assert cli("run", "--progress", "none").stderr == ""
    assert cli("run", "--progress", "plain", "--json").stderr != ""


class Terminal:
    """A terminal in which a command has its stderr, and its stdin; all that it shows."""

    def __init__(self, folder: Path, *words: str | Path, stdout: Any = subprocess.DEVNULL, **environment: str) -> None:
        leader, follower = pty.openpty()
        termios.tcsetwinsize(follower, (24, 100))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAYBILL_", "NO_COLOR"))}
        program = "import signal, waybill.cli; signal.signal(2, signal.default_int_handler); waybill.cli.main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            cwd=folder,
            env=kept | {"TERM": "xterm-256color"} | environment,
            stdin=follower,
            stdout=stdout,
            stderr=follower,
        )
        os.close(follower)
        self.shown = b""
        self._leader = leader
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while select.select([self._leader], [], [], 120)[0]:
            try:
                data = os.read(self._leader, 65536)
            except OSError:  # nobody holds the other end any more
                return
            self.shown += data

    def wait(self) -> int:
        code = self.process.wait(120)
        self._reader.join(120)
        os.close(self._leader)
        return code


@pytest.fixture
def terminal(cli: CommandLine) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*words: str | Path, **more: Any) -> Terminal:
        started.append(Terminal(cli.folder, *words, **more))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.wait()


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_live_view(terminal: Callable[..., Terminal], tree: Path, no_color: bool) -> None:
    one = terminal("run", "--from", tree, "--to", "to", **({"NO_COLOR": "1"} if no_color else {}))
    assert one.wait() == 0
    assert b"copy running" in one.shown or b"copy completed" in one.shown
    assert one.shown.rindex(b"\x1b[?25h") > one.shown.rindex(b"\x1b[?25l")  # the cursor is back
    colours = re.findall(rb"\x1b\[(?:[0-9]+;)*3[0-7]m", one.shown)
    assert bool(colours) != no_color


@pytest.mark.parametrize("kind", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    terminal: Callable[..., Terminal], tree: Path, kind: str
) -> None:
    one = terminal("run", "--from", tree, "--to", "to", TERM=kind)
    assert one.wait() == 0
    assert b"copy completed, 12 of 12 items" in one.shown
    assert ESCAPE.encode() not in one.shown


def test_ascii_alone(terminal: Callable[..., Terminal], cli: CommandLine) -> None:
    (cli.folder / "from").mkdir()
    for name in ("\u65e5\u672c", "caf\u00e9 \U0001f392", "plain"):
        (cli.folder / "from" / name).write_text(name)
    one = terminal("run", "--ascii", "--from", "from", "--to", "to", "--name", "\u65e5\u672c")
    assert one.wait() == 0
    assert one.shown.isascii()
    said = {"environment": {"PYTHONIOENCODING": "latin-1"}}
    for words in (["items"], ["items", "--json"], ["status"], ["logs"], ["doctor"], ["history", "--json"]):
        shown = cli(*words, "--ascii").stdout
        assert shown.isascii()
        assert cli(*words, **said).stdout.isascii(), "chosen where the stream cannot hold more"
        if "--json" in words:
            assert json_lines(shown) == json_lines(cli(*words).stdout)
    assert "caf\\xc3\\xa9" in cli("items", "--ascii").stdout
    assert "caf\u00e9" in cli("items").stdout
    refused = cli("run", "--ascii", "--from", "\u65e5\u672c", "--to", "to")
    assert refused.stderr.isascii()
    # A document is UTF-8, whatever the terminal.
    assert cli("report", "--format", "jsonl", **said).stdout == cli("report", "--format", "jsonl").stdout


def json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_live_view_leaves_stdout_alone(terminal: Callable[..., Terminal], tree: Path) -> None:
    one = terminal("run", "--from", tree, "--to", "to", "--json", "--progress", "bar", stdout=subprocess.PIPE)
    assert one.process.stdout is not None
    lines = json_lines(one.process.stdout.read().decode())
    one.process.stdout.close()
    assert one.wait() == 0
    assert lines[-1]["type"] == "report"
    assert b"copy" in one.shown
    assert b'"type"' not in one.shown


def test_ctrl_c_is_told_beside_a_live_view(
    terminal: Callable[..., Terminal], large_tree: Path, eventually: Callable[..., None]
) -> None:
    one = terminal("run", "--from", large_tree, "--to", "to", "--concurrency", "1")
    eventually(lambda: b"copy running" in one.shown)
    one.process.send_signal(signal.SIGINT)
    assert one.wait() == 130
    assert b"waybill: stopping; transfers in flight may end" in one.shown
    assert one.shown.rindex(b"\x1b[?25h") > one.shown.rindex(b"\x1b[?25l")


def test_a_view_whose_stream_is_gone_ends_nothing(snapshot: waybill.Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    with make_view("plain") as view:
        view.update(snapshot)
        view.say("a line")
