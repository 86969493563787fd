# SPDX-License-Identifier: Apache-2.0
"""The signature test: kill -9 at drawn events, carried on by the same command, until everything arrived.

A migration of a small tree, with objects in parts, is started again and again; each time it kills itself at a drawn
event (the n-th claim, write, acknowledged write, part, completed object, page, flush or commit). After each kill,
`waybill status` of another process has to say `interrupted` within two seconds. Once a run comes to its end, what is at
the destination has to be what an unbroken run leaves, by hashes and times taken here; the accounts have to be those of
the tree and of a recount by the sqlite3 program; and nothing may have been left behind. Then the next one begins fresh.

What a kill costs is counted (I6): nothing that was committed is ever written again, and what is written again is at most
what had arrived without being committed: transfers in flight and one batch.

    python tests/faults/kills.py [--target filesystem|s3] [--kills N] [--seed N] [--sanitizers]
    python tests/faults/kills.py --target s3 --script claim:3,write:17       (repeats one migration)
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import struct
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import faults_build
from process import Waybill, check_accounts, open_folder, recount, run_checked
from s3 import S3Server

SMALL_FILES = 1_200
LARGE_FILES = 6
LARGE_BYTES = (11 << 20) + 12345
PART_BYTES = 5 << 20
LARGE_PARTS = 3
CONCURRENCY = 8
OPTIONS: dict[str, Any] = {
    "part_size_bytes": PART_BYTES,
    "part_threshold_bytes": PART_BYTES,
    "commit_interval_ms": 10,
    "concurrency": CONCURRENCY,
}
MIDDLE_SHARE = 0.8
BATCH = 1_000  # records that the engine lets wait for a commit


@dataclass
class Kill:
    """Where one kill landed."""

    event: str
    number: int
    done: int
    outstanding: int
    total: int
    uncommitted: int = 0  # objects and parts that had arrived, and were not recorded
    uncommitted_bytes: int = 0

    @property
    def is_in_the_middle(self) -> bool:
        """Between the first outcome and the last."""
        return self.done > 0 and (self.outstanding > 0 or self.total == 0)


@dataclass
class Result:
    kills: list[Kill] = field(default_factory=list)
    convergences: int = 0
    objects_again: int = 0
    parts_again: int = 0

    def summary(self) -> str:
        arrived = [kill.uncommitted for kill in self.kills]
        most_bytes = max(kill.uncommitted_bytes for kill in self.kills)
        events = Counter(kill.event for kill in self.kills)
        middle = sum(kill.is_in_the_middle for kill in self.kills)
        tenths = Counter(min(9, 10 * kill.done // max(1, kill.total)) for kill in self.kills)
        return (
            f"{len(self.kills)} kills, {middle} between the first and the last outcome, {self.convergences} convergences\n"
            f"  by event: {', '.join(f'{name} {events[name]}' for name in faults_build.EVENTS)}\n"
            f"  by share of items done: {', '.join(f'{10 * n}% {tenths[n]}' for n in range(10))}\n"
            f"  arrived but not committed at a kill: median {statistics.median(arrived):g}, most {max(arrived)} objects and "
            f"parts, most {most_bytes / (1 << 20):.1f} MiB; written again in all: {self.objects_again} objects and "
            f"{self.parts_again} parts"
        )


def make_source(root: Path, seed: int) -> None:
    """Small files in folders, an empty folder, and files that go in parts."""
    draw = random.Random(seed)
    for number in range(SMALL_FILES):
        path = root / f"folder {number % 23}" / f"sub-{number % 5}" / f"file {number:04}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw.randbytes(0 if number % 40 == 0 else draw.randrange(1, 20_000)))
    for number in range(LARGE_FILES):
        (root / f"folder {4 * number}" / f"large {number}").write_bytes(draw.randbytes(LARGE_BYTES + number))
    for path in sorted(root.rglob("*")):
        if path.is_file():
            path.chmod(draw.choice((0o644, 0o600, 0o755)))
            now = draw.randrange(10**18, 17 * 10**17)
            os.utime(path, ns=(now, now))


def describe(root: Path, *, with_attributes: bool) -> dict[str, tuple[Any, ...]]:
    """Every file below `root` with its hash, and with its mode and time where the store keeps them in the file."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if name.startswith((".sgwtmp", ".waybill-tmp")) or not path.is_file():
            continue
        status = path.stat()
        attributes = (status.st_mode & 0o7777, status.st_mtime_ns) if with_attributes else ()
        found[name] = (hashlib.sha256(path.read_bytes()).hexdigest(), status.st_size, *attributes)
    return found


@dataclass
class Standing:
    """What a ledger and a destination hold between two processes."""

    done: set[str] = field(default_factory=set)
    recorded_parts: int = 0
    there: dict[str, tuple[int, ...]] = field(default_factory=dict)  # a stamp that every write changes, and the size

    def unrecorded(self, before: Standing) -> list[str]:
        """What was written since `before`, and is not recorded."""
        return [name for name in self.there.keys() - self.done if before.there.get(name) != self.there[name]]


class Target:
    """Where the tree goes."""

    def __init__(self, folder: Path, server: S3Server | None) -> None:
        self.server = server
        self.root = server.objects("target") if server else folder / "target"
        self.url = server.url("target") if server else str(self.root)

    def empty(self) -> None:
        if self.server:
            self.server.empty("target")
        else:
            shutil.rmtree(self.root, ignore_errors=True)

    def contents(self) -> dict[str, tuple[Any, ...]]:
        return describe(self.root, with_attributes=self.server is None)

    def stamps(self) -> dict[str, tuple[int, ...]]:
        """By name what tells one write of a file from the next: both stores make a new file and rename it."""
        found = {}
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if not name.startswith((".sgwtmp", ".waybill-tmp")) and path.is_file():
                status = path.stat()
                found[name] = (status.st_ino, status.st_ctime_ns, status.st_size)
        return found

    def leftovers(self) -> list[str]:
        """Temporary files and unfinished uploads."""
        if self.server:
            return [str(path) for path in self.server.open_uploads("target")]
        return [str(path) for path in self.root.rglob("*") if ".waybill-tmp" in str(path) and path.is_file()]


class Harness:
    def __init__(self, folder: Path, target: Target, waybill: Waybill, seed: int, say: Any) -> None:
        self.folder = folder
        self.target = target
        self.waybill = waybill
        self.seed = seed
        self.say = say
        self.draw = random.Random(seed)
        self.source = folder / "source"
        make_source(self.source, seed)
        self.expected_source = describe(self.source, with_attributes=True)
        self.n_files = len(self.expected_source)
        self.n_bytes = sum(entry[1] for entry in self.expected_source.values())
        self.counts_file = folder / "counts"
        self.totals: dict[str, int] = {}
        self.n_outstanding = self.n_files
        self.result = Result()
        self.script: list[str] = []
        self.standing = Standing()
        self.acknowledged: Counter[str] = Counter()
        self.may_come_again: Counter[str] = Counter()

    def command(self) -> tuple[str, ...]:
        return ("run", "--from", str(self.source), "--to", self.target.url, "--progress", "none")

    def begin_afresh(self) -> None:
        for path in self.folder.glob("ledger.db*"):
            path.unlink()
        self.target.empty()
        self.script = []
        self.standing = Standing()
        self.acknowledged.clear()
        self.may_come_again.clear()

    def counts(self) -> dict[str, int]:
        numbers = struct.unpack("<12Q", self.counts_file.read_bytes())[: len(faults_build.EVENTS)]
        self.counts_file.unlink()  # the next process would go on counting in it
        return dict(zip(faults_build.EVENTS, numbers, strict=True))

    def run_unbroken(self) -> None:
        """Learns how often each event happens, and what an unbroken run leaves."""
        self.begin_afresh()
        done = self.waybill.run(*self.command(), WAYBILL_FAULT_COUNTS=str(self.counts_file))
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        self.totals = self.counts()
        self.unbroken = self.target.contents()
        self.check_end("the unbroken run")
        # A store that acknowledges only what is durable needs no flush.
        missing = [
            name for name, total in self.totals.items() if total == 0 and (name != "flush" or not self.target.server)
        ]
        assert not missing, f"events that never happen in this build: {', '.join(missing)} (is it built with faults?)"
        self.say(f"events of an unbroken run: {self.totals}")

    def draw_event(self) -> str:
        """The first kill of a migration mostly lands behind the first outcome; those after it are near, so that several
        fit into what is left."""
        event = self.draw.choice([name for name, total in self.totals.items() if total])
        total = self.totals[event]
        if self.n_outstanding == self.n_files:
            # Rare events (claims, commits, flushes) come in numbers before the first outcome is committed.
            earliest = 0.4 if total < 60 else 0.1
            number = total * self.draw.uniform(earliest, 0.7)
        else:
            number = total * self.n_outstanding / self.n_files * self.draw.uniform(0, 0.4)
        return f"{event}:{max(1, round(number))}"

    def check_interrupted(self, killed_at: float) -> dict[str, Any]:
        while True:
            status = self.waybill.status()
            if status["run"]["state"] == "interrupted":
                return status
            waited = time.monotonic() - killed_at
            assert waited < 2 + 1, f"2 s after the kill the run is still {status['run']['state']}"

    def check_end(self, what: str) -> None:
        """Everything that has to hold once a run came to its end."""
        contents = self.target.contents()
        for name in self.expected_source.keys() | contents.keys():
            source, there = self.expected_source.get(name), contents.get(name)
            assert source is not None, f"{what}: {name} is at the destination only"
            assert there is not None, f"{what}: {name} is not at the destination"
            assert there == source[: len(there)], f"{what}: {name} differs: {source} became {there}"
        assert contents == self.unbroken, f"{what}: the destination is not what an unbroken run leaves"
        assert not self.target.leftovers(), f"{what}: left behind {self.target.leftovers()}"
        status = self.waybill.status()
        check_accounts(status)
        items = status["items"]
        assert status["run"]["state"] == "completed", status["run"]
        assert items["discovered"] == items["eligible"] == items["done"] == self.n_files, items
        assert status["bytes"] == {"total": self.n_bytes, "done": self.n_bytes}, status["bytes"]
        assert items["outstanding"] == items["failed"] == items["vanished"] == 0, items
        counted = recount(self.folder / self.waybill.tracker)
        for name in ("done", "new", "updated", "unchanged", "failed", "vanished", "pending"):
            assert counted[name] == items[name], f"{what}: sqlite3 counts {counted}, status says {items}"
        assert counted["bytes"] == self.n_bytes, counted
        assert describe(self.source, with_attributes=True) == self.expected_source, f"{what}: the source was changed"

    def stand(self) -> Standing:
        """Looks at the ledger, through the sqlite3 program, and at the destination."""
        ledger = str(self.folder / self.waybill.tracker)

        def ask(query: str) -> list[str]:
            return run_checked(["sqlite3", "-readonly", ledger, query]).stdout.decode().splitlines()

        done = set(ask("SELECT key FROM item_view WHERE state = 'copied'"))
        large = sum("/large " in name for name in done)
        open_parts = int(ask("SELECT count(*) FROM upload_parts")[0])
        return Standing(done, LARGE_PARTS * large + open_parts, self.target.stamps())

    def look(self, event: str) -> tuple[int, int]:
        """Counts what one process left that is not recorded, as (objects and parts, bytes), and that it wrote nothing
        again that had been."""
        before, now = self.standing, self.stand()
        counts = Counter(self.counts())
        self.acknowledged += counts
        self.standing = now
        lost = before.done - now.done
        assert not lost, f"{event}: recorded as done, and then not any more: {sorted(lost)[:5]}"
        again = [name for name in before.done if now.there.get(name) != before.there[name]]
        assert not again, f"{event}: committed, and yet written again: {sorted(again)[:5]}"
        objects = [name for name in now.unrecorded(before) if "/large " not in name]
        parts = max(0, counts["part"] - (now.recorded_parts - before.recorded_parts))
        self.may_come_again += Counter(put_done=len(objects), part=parts)
        n_bytes = sum(now.there[name][2] for name in objects) + parts * PART_BYTES
        return len(objects) + parts, n_bytes

    def check_copied_again(self, what: str) -> None:
        again = {name: self.acknowledged[name] - self.totals[name] for name in ("put_done", "part")}
        for name, number in again.items():
            most = self.may_come_again[name]
            assert number <= most, (
                f"{what}: {name} {number} more than in an unbroken run, where {most} were not recorded"
            )
        self.result.objects_again += max(0, again["put_done"])
        self.result.parts_again += max(0, again["part"])

    def one_run(self, event: str) -> bool:
        """Starts the command with a kill at `event`; True if it was killed, False if it came to its end."""
        self.script.append(event)
        done = self.waybill.run(
            *self.command(), WAYBILL_FAULT_KILL=event, WAYBILL_FAULT_COUNTS=str(self.counts_file), timeout=300
        )
        killed_at = time.monotonic()
        if done.returncode == 0:
            what = "after " + ",".join(self.script)
            self.check_end(what)
            self.look(what)
            self.check_copied_again(what)
            self.result.convergences += 1
            return False
        assert done.returncode == -9, f"exit code {done.returncode}: {done.stderr.decode(errors='replace')}"
        status = self.check_interrupted(killed_at)
        check_accounts(status)
        items = status["items"]
        name, _, number = event.partition(":")
        uncommitted, n_bytes = self.look(event)
        assert uncommitted <= CONCURRENCY + BATCH, (
            f"{event}: {uncommitted} objects and parts came, and are not recorded"
        )
        kill = Kill(name, int(number), items["done"], items["outstanding"], self.n_files, uncommitted, n_bytes)
        self.result.kills.append(kill)
        self.n_outstanding = self.n_files - items["done"]
        return True

    def run_drawn(self, kills: int) -> None:
        while len(self.result.kills) < kills:
            self.begin_afresh()
            self.n_outstanding = self.n_files
            while len(self.result.kills) < kills and self.one_run(self.draw_event()):
                pass
        self.finish_last()

    def run_script(self, events: list[str]) -> None:
        self.begin_afresh()
        for event in events:
            if not self.one_run(event):
                return
        self.finish_last()

    def finish_last(self) -> None:
        if (
            (self.folder / self.waybill.tracker).exists()
            and self.script
            and self.waybill.status()["run"]["state"] != "completed"
        ):
            assert not self.one_run("none:0")


def run(*, target: str, kills: int, seed: int, sanitizers: bool = False, script: str = "", say: Any = print) -> Result:
    """Runs the harness; an AssertionError names the command that repeats the migration that went wrong."""
    package = faults_build.build(sanitizers=sanitizers)
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder("waybill-kills-"))
        server = stack.enter_context(S3Server("target")) if target == "s3" else None
        environment = dict(server.environment) if server else {}
        if sanitizers:
            environment |= faults_build.sanitizer_environment()
        waybill = Waybill(folder, package=package, environment=environment, options=OPTIONS)
        harness = Harness(folder, Target(folder, server), waybill, seed, say)
        say(f"target {target}, seed {seed}, {kills} kills")
        try:
            harness.run_unbroken()
            if script:
                harness.run_script(script.split(","))
            else:
                harness.run_drawn(kills)
        except AssertionError as error:
            words = " --sanitizers" if sanitizers else ""
            repeat = f"python tests/faults/kills.py --target {target} --seed {seed}{words} --script {','.join(harness.script)}"
            raise AssertionError(f"{error}\nto repeat: {repeat}") from error
        say(harness.result.summary())
        return harness.result


def check_spread(result: Result) -> None:
    middle = sum(kill.is_in_the_middle for kill in result.kills)
    assert middle >= MIDDLE_SHARE * len(result.kills), f"too few kills in the middle: {result.summary()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=("filesystem", "s3"), default="filesystem")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--sanitizers", action="store_true")
    parser.add_argument("--script", default="", help="events to kill at, one run each: claim:3,write:17")
    words = parser.parse_args()
    result = run(
        target=words.target, kills=words.kills, seed=words.seed, sanitizers=words.sanitizers, script=words.script
    )
    if not words.script:
        check_spread(result)


if __name__ == "__main__":
    main()
