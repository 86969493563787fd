# SPDX-License-Identifier: Apache-2.0
"""The scripts explain themselves, and refuse what they do not know before they do anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def called(name: str, word: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / name, word], cwd="/", capture_output=True, timeout=60, check=False, encoding="utf-8"
    )


@pytest.mark.parametrize("name", ["demo", "s3-server", "test"])
def test_a_script_explains_itself(name: str) -> None:
    for word in ("-h", "--help"):
        shown = called(name, word)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert f"Usage: scripts/{name}" in shown.stdout
        assert "SPDX" not in shown.stdout
    refused = called(name, "--frobnicate")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--frobnicate" in refused.stderr
