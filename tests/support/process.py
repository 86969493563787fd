# SPDX-License-Identifier: Apache-2.0
"""The command line ``waybill`` as a process of its own, also as an unprivileged user and with options of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("WAYBILL_TEST_PYTHON", sys.executable)

# Runs the command line with defaults of Options from the environment (part sizes, leases), which have no options there,
# and with a SIGINT that is not ignored, as it is in background jobs.
LAUNCHER = """
import functools, json, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import waybill, waybill.cli.moving as moving
if text := os.environ.get("WAYBILL_TEST_OPTIONS"):
    moving.Options = functools.partial(waybill.Options, **json.loads(text))
from waybill.cli import main
main()
"""


def unprivileged() -> list[str]:
    """What goes before a command so that it runs without root's rights; nothing where the tests have none."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]


@contextlib.contextmanager
def open_folder(prefix: str = "waybill-") -> Iterator[Path]:
    """A temporary folder that the unprivileged user owns."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody", "nogroup")
        yield folder
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def run_checked(command: Sequence[str | bytes | Path], **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs another program, and says what it said if it fails."""
    done = subprocess.run(command, capture_output=True, check=False, **more)
    assert done.returncode == 0, f"{command!r} gave {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}"
    return done


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Waits until `condition` gives something true, and gives it."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def unescape(printed: str) -> bytes:
    r"""The bytes of a key as waybill prints it (``\xNN`` and ``\\``)."""
    parts = re.split(r"\\(\\|x[0-9a-f]{2})", printed)
    out = bytearray()
    for at, part in enumerate(parts):
        if at % 2 == 0:
            out += part.encode()
        else:
            out += b"\\" if part == "\\" else bytes([int(part[1:], 16)])
    return bytes(out)


class Waybill:
    """Runs ``waybill`` in a folder, with one ledger.

    `package` is a folder with another build of the package; `options` are defaults of waybill.Options.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tracker: str = "ledger.db",
        prefix: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        package: Path | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.tracker = tracker
        self.prefix = list(prefix)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WAYBILL_"))}
        self.environment = kept | {
            "HOME": str(folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.environment |= environment or {}
        if package is not None:
            self.environment["PYTHONPATH"] = str(package)
        if options:
            self.environment["WAYBILL_TEST_OPTIONS"] = json.dumps(options)

    def start(self, *words: str | bytes | Path, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a command; its output goes into the pipes."""
        return subprocess.Popen(
            [*self.prefix, PYTHON, "-c", LAUNCHER, *words, "--tracker", self.tracker],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(
        self, *words: str | bytes | Path, timeout: float = 600, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a command to its end; a traceback or a defect of waybill fails the test."""
        process = self.start(*words, **environment)
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
            raise AssertionError(f"waybill {words} did not end within {timeout} s: {errors[-2000:]!r}") from None
        for bad in (b"Traceback", b"internal error", b"Sanitizer", b"runtime error:"):
            assert bad not in errors, errors.decode(errors="replace")
        return subprocess.CompletedProcess(words, process.returncode, out, errors)

    def status(self) -> dict[str, Any]:
        """``waybill status --json`` from another process."""
        done = self.run("status", "--json")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        parsed: dict[str, Any] = json.loads(done.stdout)
        return parsed

    def failed(self) -> dict[bytes, dict[str, Any]]:
        """``waybill failed --json``, by key."""
        done = self.run("failed", "--json")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {unescape(row["key"]): row for row in rows}

    def halt_between_writes(self, process: subprocess.Popen[bytes]) -> None:
        """SIGSTOP outside of a transaction: inside of one it holds SQLite's lock until it goes on or dies."""
        for _ in range(200):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            path = self.folder / self.tracker
            with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as ledger:
                try:
                    ledger.execute("BEGIN IMMEDIATE")
                    ledger.execute("ROLLBACK")
                    return
                except sqlite3.OperationalError:
                    pass
            process.send_signal(signal.SIGCONT)
            time.sleep(0.005)
        raise AssertionError("the owner writes all the time")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ends a process that a test has left behind."""
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


def check_accounts(status: dict[str, Any]) -> None:
    """The equations of the accounts."""
    items = status["items"]
    assert items["discovered"] == items["excluded"] + items["eligible"], items
    parts = ("pending", "in_progress", "done", "failed", "waived", "vanished")
    assert items["eligible"] == sum(items[name] for name in parts), items
    assert items["done"] == items["new"] + items["updated"] + items["unchanged"], items
    assert items["outstanding"] == items["eligible"] - items["done"], items


def recount(ledger: Path) -> dict[str, int]:
    """The rows of the present run by state, counted by the sqlite3 program: not our code."""
    query = (
        "SELECT state, change, count(*), coalesce(sum(size), 0) FROM item_view "
        "WHERE NOT left AND run = (SELECT max(run) FROM runs) GROUP BY state, change"
    )
    done = run_checked(["sqlite3", "-readonly", "-separator", "|", str(ledger), query])
    counts = {"done": 0, "new": 0, "updated": 0, "unchanged": 0, "failed": 0, "pending": 0, "vanished": 0, "bytes": 0}
    for line in done.stdout.decode().splitlines():
        state, change, count, size = line.split("|")
        if state in ("copied", "verified"):
            counts["done"] += int(count)
            counts["bytes"] += int(size)
            counts["new" if change in ("new", "created") else change] += int(count)
        elif state in counts:
            counts[state] += int(count)
    return counts
