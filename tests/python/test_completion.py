# SPDX-License-Identifier: Apache-2.0
"""Completion, asked for as shells do; by a real bash first of all."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from waybill.cli.help import COMMANDS

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

SCRIPTS = Path(sys.executable).parent
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash")


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAYBILL_", "_WAYBILL_", "XDG_"))}
    return kept | {"HOME": str(home), "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "TERM": "dumb"} | more


def bash(home: Path, script: str) -> str:
    """What a bash prints that runs `script`."""
    result = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=home, env=environment(home), capture_output=True, timeout=120, check=True,
        encoding="utf-8",
    )  # fmt: skip
    assert result.stderr == ""
    return result.stdout


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script that completes, as bash is given it."""
    folder = tmp_path_factory.mktemp("completion")
    shown = bash(folder, "waybill --show-completion; true")
    assert "complete -o default -F" in shown
    path = folder / "waybill.bash"
    path.write_text(shown)
    return path


CASES = [
    ("", [name for names in COMMANDS.values() for name in names]),
    ("sta", ["status"]),
    ("delete-", ["delete-extra", "delete-source"]),
    ("db ", ["check", "backup", "vacuum", "prune", "recover"]),
    ("run --over", ["--overwrite"]),
    ("run --overwrite ", ["own", "never", "always"]),
    ("run --digest s", ["sha256"]),
    ("run --progress ", ["auto", "bar", "plain", "none"]),
    ("verify --level ", ["listing", "checksum", "content"]),
    ("items --state ", ["pending", "copied", "verified", "failed", "excluded", "vanished"]),
    ("items --state copied --state v", ["verified", "vanished"]),
    ("findings --kind m", ["missing", "metadata"]),
    ("failed --class per", ["permission"]),
    ("retry --class permission --class oc", ["occupied"]),
    ("logs --level w", ["warning"]),
    ("errors --group-by ", ["class", "host", "partition"]),
    ("partitions --sort b", ["bytes"]),
    ("report --format ", ["json", "jsonl", "csv", "html", "md"]),
    ("import --format s4", ["s4", "s4-json"]),
    ("status --as", ["--ascii"]),
    ("template show n", ["nightly"]),
    ("run --from ", []),  # bash goes on with names of files
]


def test_bash_completes_commands_options_and_words(script: Path, tmp_path: Path) -> None:
    templates = tmp_path / ".config" / "waybill" / "templates"
    templates.mkdir(parents=True)
    (templates / "nightly.toml").write_text('from = "/a"\n')
    lines = [f"source {shlex.quote(str(script))}"]
    for words, _ in CASES:
        lines.append(f"COMP_WORDS=(waybill {words.rstrip()}{' ' if words.endswith(' ') or not words else ''}")
        lines[-1] += "'')" if words.endswith(" ") or not words else ")"
        lines.append("COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMPREPLY=(); _waybill_completion waybill")
        lines.append('echo "${COMPREPLY[*]}"')
    answers = bash(tmp_path, "\n".join(lines)).splitlines()
    found = {words: sorted(answer.split()) for (words, _), answer in zip(CASES, answers, strict=True)}
    assert found == {words: sorted(wanted) for words, wanted in CASES}


def typed(home: Path, keys: str, wanted: str) -> str:
    """What an interactive bash shows in which `keys` are typed, until it shows `wanted`."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-i"], cwd=home, env=environment(home), stdin=follower, stdout=follower, stderr=follower,
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    has_typed = False
    end = time.monotonic() + 120
    try:
        while wanted.encode() not in shown:
            assert time.monotonic() < end, shown
            if select.select([leader], [], [], 1)[0]:
                shown += os.read(leader, 65536)
            if not has_typed and b"ready>" in shown:
                has_typed = True
                os.write(leader, keys.encode())
    finally:
        os.close(leader)
        process.kill()
        process.wait()
    return shown.decode("utf-8", "replace")


def test_what_is_installed_completes_what_is_typed(tmp_path: Path) -> None:
    bash(tmp_path, "waybill --install-completion; true")
    installed = (tmp_path / ".bashrc").read_text()
    (tmp_path / ".bashrc").write_text(f"{installed}\nPS1='ready> '\n")
    assert "waybill retry --class permission" in typed(tmp_path, "waybill ret\t--cl\tpermi\t", "permission")


def test_fish_and_zsh_are_told_the_same(cli: CommandLine) -> None:
    def asked(shell: str, line: str, **more: str) -> subprocess.CompletedProcess[str]:
        said = {"_WAYBILL_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line} | more
        result: subprocess.CompletedProcess[str] = cli(environment=said)
        assert result.stderr == ""
        return result

    fish = asked("fish", "waybill verify --level ", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert fish.stdout.split() == ["listing", "checksum", "content"]
    # Whether there are words, or names of files are wanted, fish learns from the exit code.
    for line, code in (("waybill verify --level ", 0), ("waybill run --from ", 1)):
        assert asked("fish", line, _TYPER_COMPLETE_FISH_ACTION="is-args").returncode == code
    zsh = asked("zsh", "waybill verify --level c").stdout
    assert '"checksum"' in zsh
    assert '"content"' in zsh
    assert '"listing"' not in zsh
    assert asked("zsh", "waybill run --from ").stdout.strip() == "_files"
