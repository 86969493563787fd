# SPDX-License-Identifier: Apache-2.0
"""The guide to two phases and its demo: what they show is run, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from waybill.cli.help import COMMANDS

PROJECT = Path(__file__).parents[2]
GUIDE = PROJECT / "docs" / "guides" / "two-phase.md"
sys.path.insert(0, str(PROJECT / "tests" / "support"))

from small_crm import SmallCrm  # noqa: E402


def environment(folder: Path) -> dict[str, str]:
    """One in which `waybill` is the one under test."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    command = bin_folder / "waybill"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m waybill "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "WAYBILL_"))}
    return kept | {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(folder), "PYTHONWARNINGS": "error"}


def test_every_command_of_the_guide_is_run(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    crm = SmallCrm(tmp_path, accounts={"A-1": "Acme", "B-2": "Beta"})
    before = crm.urls()
    script = "set -eux\n" + "".join(blocks)
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "5 of 5 references switched" in done.stdout
    assert "3 of 3 references switched" in done.stdout
    assert "4 of 4 references restored" in done.stdout
    assert crm.urls() == before


def test_commands_that_the_guide_names_exist() -> None:
    known = {name for names in COMMANDS.values() for name in names}
    code = re.findall(r"^```sh\n.*?^```|`[^`\n]+`", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    named = {name for part in code for name in re.findall(r"\bwaybill ([a-z]+(?:-[a-z]+)?)", part)}
    assert named <= known, named - known
    assert set(COMMANDS["Switching"]) <= named


def test_gates_of_the_guide_are_those_of_the_engine() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    table = set(re.findall(r"^\| `([a-z]+)` \|", text, re.MULTILINE))
    planner = (PROJECT / "src" / "engine" / "cutover_plan.cpp").read_text(encoding="utf-8")
    made = set(re.findall(r'gate\("([a-z]+)"|against\(Obstacle::\w+, "([a-z]+)"|return \{"([a-z]+)", true', planner))
    assert table == {name for names in made for name in names if name}


@pytest.mark.parametrize("words", [[], ["one", "two"]])
def test_the_demo_wants_a_folder(words: list[str]) -> None:
    command = [sys.executable, PROJECT / "scripts" / "two_phase_demo.py", *words]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "FOLDER" in done.stderr


def test_the_demo_shows_what_it_promises(tmp_path: Path) -> None:
    command = [sys.executable, PROJECT / "scripts" / "two_phase_demo.py", tmp_path / "demo"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    for shown in ("not ready: ", "ready: 62 of 63", "5 of 5 references switched", "in conflict", "restored"):
        assert shown in done.stdout, shown
