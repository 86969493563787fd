# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, interpreter exit, fork, and the GIL: what needs a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import waybill


def run_script(script: str, *arguments: object, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, timeout=timeout, check=False, encoding="utf-8")


PREAMBLE = """
import os, signal, sys, threading, time, waybill
signal.signal(signal.SIGINT, signal.default_int_handler)
source, destination, ledger = sys.argv[1:4]
migration = waybill.Migration(source, destination, ledger, options=waybill.Options(concurrency=1))
"""


def test_ctrl_c_in_wait_drains_and_is_raised_again(large_tree: Path, tmp_path: Path) -> None:
    script = (
        PREAMBLE
        + """
run = migration.start()
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
begin = time.monotonic()
try:
    run.wait()
except KeyboardInterrupt:
    print(time.monotonic() - begin, run.report.state)
"""
    )
    result = run_script(script, large_tree, tmp_path / "to", tmp_path / "l.db")
    assert result.returncode == 0, result.stderr
    seconds, state = result.stdout.split()
    assert float(seconds) < 2.5
    assert state == "interrupted"
    again = waybill.Migration(large_tree, tmp_path / "to", tmp_path / "l.db").run()
    assert again.state == "completed"
    assert again.run == 1


def test_an_uncaught_ctrl_c_ends_the_interpreter(large_tree: Path, tmp_path: Path) -> None:
    script = (
        PREAMBLE
        + """
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
migration.run()
"""
    )
    result = run_script(script, large_tree, tmp_path / "to", tmp_path / "l.db")
    assert result.returncode in (130, -signal.SIGINT)
    assert result.stderr.rstrip().endswith("KeyboardInterrupt")
    with waybill.Tracker(tmp_path / "l.db") as tracker:
        assert tracker.snapshot().state == "interrupted"


def test_the_interpreter_exits_while_a_run_is_live(large_tree: Path, tmp_path: Path) -> None:
    waiting = "while run.snapshot.items.done == 0:\n    time.sleep(0.01)\n"
    script = PREAMBLE + "run = migration.start()\n" + waiting + "print('leaving')\n"
    begin = time.monotonic()
    result = run_script(script, large_tree, tmp_path / "to", tmp_path / "l.db")
    assert (result.returncode, result.stdout, result.stderr) == (0, "leaving\n", "")
    assert time.monotonic() - begin < 10
    with waybill.Tracker(tmp_path / "l.db") as tracker:
        snapshot = tracker.snapshot()
    assert snapshot.state == "interrupted"
    assert 0 < snapshot.items.done < 20_000


def test_a_forked_child_is_refused_and_leaves_quietly(large_tree: Path, tmp_path: Path) -> None:
    script = (
        PREAMBLE
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
run = migration.start()
child = os.fork()
if child == 0:
    try:
        run.snapshot
    except waybill.Error as error:
        sys.exit(0 if error.error_class == "forked" else 3)
    sys.exit(4)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, run.snapshot.state)
run.cancel()
run.wait()
"""
    )
    result = run_script(script, large_tree, tmp_path / "to", tmp_path / "l.db")
    assert (result.returncode, result.stdout) == (0, "0 running\n"), result.stderr


def test_a_busy_thread_keeps_its_pace_while_a_run_is_waited_for(large_tree: Path, tmp_path: Path) -> None:
    """Turns of a loop per second of its own processor time, with a copy and without one, by turns: what else the machine does
    lowers some of the ratios, a GIL that is held lowers all."""

    def turns_per_cpu_second() -> float:
        turns, begin = 0, time.thread_time()
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            turns += 1
        return turns / (time.thread_time() - begin)

    ratios = []
    for number in range(5):
        options = waybill.Options(concurrency=1)
        run = waybill.Migration(
            large_tree, tmp_path / f"to {number}", tmp_path / f"{number}.db", options=options
        ).start()
        waiter = threading.Thread(target=run.wait)
        waiter.start()
        with_run = turns_per_cpu_second()
        assert run.report is None, "the run was over before it was measured"
        run.interrupt()
        waiter.join()
        ratios.append(with_run / turns_per_cpu_second())
    assert max(ratios) >= 0.9, ratios


def test_ctrl_c_while_starting_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that accepts connections and never answers."""
    (tmp_path / "source").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        script = (
            PREAMBLE
            + """
threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
begin = time.monotonic()
try:
    migration.run()
except KeyboardInterrupt:
    print(time.monotonic() - begin, flush=True)
    os._exit(0)
"""
        )
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "A" * 20)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s" * 40)
        url = f"s3://bucket/prefix?endpoint={endpoint}&region=us-east-1"
        result = run_script(script, tmp_path / "source", url, tmp_path / "l.db")
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 2


def test_ctrl_c_while_starting_leaves_no_run_behind(tmp_path: Path) -> None:
    """The run that was being started ends though the exception is kept, as notebooks do. Its store holds the listing
    until after Ctrl-C, and the object for ever."""
    script = """
import http.server, os, signal, sys, threading, time, waybill
signal.signal(signal.SIGINT, signal.default_int_handler)
asked, answer = threading.Event(), threading.Event()
ENTRY = "<Contents><Key>key</Key><Size>7</Size><LastModified>2026-11-20T12:00:00.000Z</LastModified><ETag>x</ETag></Contents>"

class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        asked.set()
        answer.wait()
        if "list-type" not in self.path:
            threading.Event().wait()
        body = f"<ListBucketResult><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>{ENTRY}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

def interrupt():
    asked.wait()
    os.kill(os.getpid(), signal.SIGINT)

def state():
    try:
        with waybill.Tracker(ledger) as tracker:
            return tracker.snapshot().state
    except waybill.NotFoundError:
        return ""

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Thread(target=interrupt).start()
destination, ledger = sys.argv[1:]
url = f"s3://bucket/?endpoint=http://127.0.0.1:{server.server_port}&region=us-east-1&anonymous=true"
try:
    waybill.Migration(url, destination, ledger, options=waybill.Options(drain_ms=0)).run()
except KeyboardInterrupt as error:
    kept = error
answer.set()
while state() != "interrupted":
    time.sleep(0.02)
print(type(kept).__name__)
"""
    result = run_script(script, tmp_path / "to", tmp_path / "l.db")
    assert (result.returncode, result.stdout) == (0, "KeyboardInterrupt\n"), result.stderr


@pytest.mark.parametrize("is_told", [False, True])
def test_ctrl_c_between_two_waits_is_not_lost(
    live_run: Callable[..., waybill.Run], monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    def interrupted(run: waybill.Run) -> waybill.Snapshot:
        raise KeyboardInterrupt

    run = live_run()
    monkeypatch.setattr(waybill.Run, "result" if not is_told else "snapshot", property(interrupted))
    with pytest.raises(KeyboardInterrupt):
        run._follow(print if is_told else None)
    assert run.report is not None
    assert run.report.state == "interrupted"
