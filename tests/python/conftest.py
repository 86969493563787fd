# SPDX-License-Identifier: Apache-2.0
"""Trees to move, and the command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import waybill

COMMAND = [sys.executable, "-m", "waybill"]
# SIGINT is ignored where the tests themselves run in the background of a shell.
INTERRUPTIBLE = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import waybill.cli; waybill.cli.main()",
]


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without what changes defaults, and without anybody's credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WAYBILL_", "NO_COLOR"))}
    return kept | {"AWS_EC2_METADATA_DISABLED": "true", "PYTHONWARNINGS": "error"} | more


class CommandLine:
    """Runs ``waybill`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self, *words: str | bytes | Path, timeout: float = 120, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        environment = clean_environment(HOME=str(self.folder), **more.pop("environment", {}))
        result = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            timeout=timeout,
            check=False,
            encoding="utf-8",
            **more,
        )
        assert "Traceback" not in result.stderr, result.stderr
        assert "internal error" not in result.stderr, result.stderr
        return result

    def start(self, *words: str | Path, **more: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*INTERRUPTIBLE, *words],
            cwd=self.folder,
            env=clean_environment(HOME=str(self.folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            **more,
        )


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Twelve small files, among them an empty one, in nested folders."""
    root = tmp_path / "source"
    for number in range(12):
        path = root / f"folder {number % 3}" / f"file-{number:02}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number * 100))
    return root


@pytest.fixture(scope="session")
def large_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough small files that a run over them, one at a time, is live for some seconds."""
    root = tmp_path_factory.mktemp("large")
    for folder in range(40):
        path = root / f"{folder:03}"
        path.mkdir()
        for number in range(500):
            (path / f"{number:03}").write_bytes(b"content")
    return root


@pytest.fixture
def live_run(large_tree: Path, tmp_path: Path) -> Iterator[Callable[..., waybill.Run]]:
    """Starts a run of `large_tree` that is slow enough to be looked at; ends it after the test."""
    runs = []

    def start(**options: Any) -> waybill.Run:
        run = waybill.Migration(
            large_tree,
            tmp_path / "destination",
            tmp_path / "live.db",
            options=waybill.Options(concurrency=1, **options),
        ).start()
        runs.append(run)
        return run

    yield start
    for run in runs:
        run.interrupt()
        assert run.wait(30) is not None


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come in time"
        time.sleep(0.02)


@pytest.fixture
def eventually() -> Callable[..., None]:
    return wait_until


def content_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    return content_of
