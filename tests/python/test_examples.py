# SPDX-License-Identifier: Apache-2.0
"""The scripts in examples/python do what they say."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import waybill

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples" / "python"
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from s3 import S3Server  # noqa: E402


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {"PYTHONWARNINGS": "error"} | more


def run_example(name: str, *words: object, code: int = 0, **more: str) -> str:
    result = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, words)],
        env=environment(**more),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server("old", "new") as started:
        yield started


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    scripts = sorted(path.stem for path in EXAMPLES.glob("*.py"))
    assert len(scripts) >= 9
    assert [name for name in scripts if f'"{name}"' not in text and f'"{name}.py"' not in text] == []


def test_bucket_to_bucket(server: S3Server, tree: Path, tmp_path: Path) -> None:
    server.empty("old")
    server.empty("new")
    run_example("folder_to_bucket", tree, server.url("old"), tmp_path / "in.db", **server.environment)
    shown = run_example(
        "bucket_to_bucket", server.url("old"), server.url("new", "archive/"), tmp_path / "l.db", **server.environment
    )
    assert "12 objects, 6,600 bytes; 12 to copy, 0 in the way" in shown
    assert shown.count("completed (12 of 12 items done, 0 failed)") == 2
    copied = {path.relative_to(server.objects("new") / "archive") for path in server.objects("new").rglob("*.txt")}
    assert copied == {path.relative_to(tree) for path in tree.rglob("*.txt")}


def test_folder_to_bucket(server: S3Server, tree: Path, tmp_path: Path) -> None:
    server.empty("new")
    (tree / "folder 0" / "note.tmp").write_bytes(b"x")
    words = ("folder_to_bucket", tree, server.url("new"), tmp_path / "l.db")
    shown = run_example(*words, **server.environment)
    assert "12 new, 0 changed, 0 as they were, 1 left out" in shown
    assert "left out: folder 0/note.tmp" in shown
    (tree / "folder 1" / "file-01.txt").write_bytes(b"changed")
    (tree / "folder 1" / "another.txt").write_bytes(b"new")
    shown = run_example(*words, **server.environment)
    assert "1 new, 1 changed, 11 as they were, 1 left out" in shown
    assert (server.objects("new") / "folder 1" / "file-01.txt").read_bytes() == b"changed"


def test_own_source(tmp_path: Path) -> None:
    table = tmp_path / "articles.sqlite"
    with sqlite3.connect(table) as database:
        database.execute("CREATE TABLE articles (id INTEGER PRIMARY KEY, title, body, changed_at)")
        rows = [(number, f"Title {number}", "ü" * number, 1) for number in range(1, 3001)]
        database.executemany("INSERT INTO articles VALUES (?, ?, ?, ?)", rows)
    (tmp_path / "to").mkdir()
    words = ("own_source", table, tmp_path / "to", tmp_path / "l.db")
    assert "3000 of 3000 items done" in run_example(*words)
    assert json.loads((tmp_path / "to" / "00000017.json").read_bytes()) == {
        "id": 17,
        "title": "Title 17",
        "body": "ü" * 17,
    }
    with sqlite3.connect(table) as database:
        database.execute("UPDATE articles SET body = 'new', changed_at = 2 WHERE id = 17")
    run_example(*words)
    assert json.loads((tmp_path / "to" / "00000017.json").read_bytes())["body"] == "new"
    with waybill.Tracker(tmp_path / "l.db") as tracker:
        items = tracker.snapshot().items
    assert (items.updated, items.unchanged) == (1, 2999)


def test_progress_in_tqdm(tree: Path, tmp_path: Path) -> None:
    assert "12 of 12 items done" in run_example("progress_in_tqdm", tree, tmp_path / "to", tmp_path / "l.db")


def test_asyncio_service(large_tree: Path, tree: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            EXAMPLES / "asyncio_service.py",
            tmp_path,
            f"{large_tree}={tmp_path / 'a'}",
            f"{tree}={tmp_path / 'b'}",
        ],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    )
    assert process.stdout is not None
    found = re.fullmatch(r"listening on port (\d+)\n", process.stdout.readline())
    assert found
    seen = []
    with (
        socket.create_connection(("127.0.0.1", int(found[1])), timeout=30) as connection,
        connection.makefile("rw") as lines,
    ):
        end = time.monotonic() + 60
        while time.monotonic() < end and not (seen and seen[-1] and seen[-1]["items"]["done"] > 0):
            lines.write("run-1\n")
            lines.flush()
            seen.append(json.loads(lines.readline()))
            time.sleep(0.05)
        lines.write("nonsense\n")
        lines.flush()
        assert json.loads(lines.readline()) is None
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert seen[-1]["migration"]["name"] == "run-1"
    assert shown == "completed (20000 of 20000 items done, 0 failed)\ncompleted (12 of 12 items done, 0 failed)\n"


def test_failures_in_pandas(tree: Path, tmp_path: Path) -> None:
    (tree / "folder 1" / "link").symlink_to("nowhere")
    waybill.Migration(tree, tmp_path / "to", tmp_path / "l.db").run()
    shown = run_example("failures_in_pandas", tmp_path / "l.db", code=3)
    assert "12 items are there, 6600 bytes" in shown
    assert re.search(r"unsupported +folder 1 +1\n", shown)
    assert "unsupported: for example folder 1/link: " in shown


def test_verify_and_repair(tree: Path, tmp_path: Path) -> None:
    to, ledger = tmp_path / "to", tmp_path / "l.db"
    waybill.Migration(tree, to, ledger).run()
    assert "everything is as it was copied" in run_example("verify_and_repair", tree, to, ledger)
    (to / "folder 1" / "file-01.txt").write_bytes(b"damaged")
    (to / "folder 2" / "file-02.txt").unlink()
    shown = run_example("verify_and_repair", tree, to, ledger)
    assert re.search(r"missing +folder 2/file-02.txt", shown)
    assert "verified again: completed (" in shown
    assert (to / "folder 1" / "file-01.txt").read_bytes() == (tree / "folder 1" / "file-01.txt").read_bytes()


def test_resume_after_exception(large_tree: Path, tmp_path: Path) -> None:
    shown = run_example("resume_after_exception", large_tree, tmp_path / "to", tmp_path / "l.db", 0)
    assert "stopped: not done after 0 s\ncarried on: completed (20000 of 20000 items done, 0 failed)\n" in shown
    with waybill.Tracker(tmp_path / "l.db") as tracker:
        runs = list(tracker.runs())
    assert [run.state for run in runs] == ["completed", "failed"]
    assert "TooLong: not done after 0 s" in runs[1].reason


def test_own_loop(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.txt").write_text("line\n" * number)
    (folder / "binary").write_bytes(b"\xff")
    shown = run_example("own_loop", folder, tmp_path / "l.db", code=3)
    assert shown.splitlines()[0].startswith("counted 5: completed_with_differences (5 of 6 items done, 1 failed)")
    assert shown.splitlines()[1] == "10 lines in all"
    (folder / "4.txt").write_text("one\n")
    (folder / "binary").unlink()
    os.utime(folder / "4.txt", ns=(1, 1))
    shown = run_example("own_loop", folder, tmp_path / "l.db", code=3)
    assert shown.splitlines()[0].startswith("counted 1: completed_with_differences (5 of 6 items done, 0 failed)")
    assert shown.splitlines()[1] == "7 lines in all"
    assert run_example("own_loop", folder, tmp_path / "l.db").startswith("counted 0: completed (5 of 5 items done")
