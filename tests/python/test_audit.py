# SPDX-License-Identifier: Apache-2.0
"""Audit exports: what they hold, and that no change to them goes unseen."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.reports import check_audit, export_audit
from waybill.reports.rows import destination_of

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

SMALL = 4000  # bytes a file: the export of twelve items has several


@pytest.fixture
def ran(cli: CommandLine, tree: Path) -> CommandLine:
    """Twelve files, a pipe that was waived, and a file that verify missed."""
    os.mkfifo(tree / "pipe")
    assert cli("run", "--from", tree, "--to", "to", "--digest", "sha256").returncode == 3
    assert cli("waive", "--all", "--why", "a pipe is no data").returncode == 0
    (cli.folder / "to" / "folder 1" / "file-01.txt").unlink()
    assert cli("verify").returncode == 3
    return cli


@pytest.fixture
def audit(ran: CommandLine) -> Path:
    """An export in several files."""
    with waybill.Tracker(ran.folder / "waybill.db") as ledger:
        export_audit(ledger, ran.folder / "audit", file_bytes=SMALL)
    return Path(ran.folder / "audit")


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return manifest


def test_every_item_has_a_line_with_what_became_of_it(ran: CommandLine, tree: Path) -> None:
    done = ran("report", "--audit", "audit")
    assert (done.returncode, done.stderr) == (0, "")
    lines = lines_of(ran.folder / "audit")
    items = {line["key"]: line for line in lines if line["record"] == "item"}
    assert len(items) == 13
    for name, item in items.items():
        if name != "pipe":
            assert item["sha256"] == hashlib.sha256((tree / name).read_bytes()).hexdigest()
            assert item["size"] == item["stored_size"] == (tree / name).stat().st_size
            assert item["destination"] == name
    assert items["folder 1/file-01.txt"]["outcome"] == "copied"
    assert items["folder 1/file-04.txt"]["outcome"] == "verified"
    assert items["pipe"]["outcome"] == "waived"
    assert items["pipe"]["waived_because"] == "a pipe is no data"
    assert "@" in items["pipe"]["waived_by"]
    assert [line["phase"] for line in lines if line["record"] == "run"] == ["verify", "copy"]
    assert all(line["host"] and line["pid"] for line in lines if line["record"] == "run")
    audited = [line["text"] for line in lines if line["record"] == "event" and line["kind"] == "audit"]
    assert len(audited) == 1
    assert "waived by" in audited[0]
    findings = [(line["outcome"], line["key"]) for line in lines if line["record"] == "finding"]
    assert findings == [("missing", "folder 1/file-01.txt")]
    assert lines[0]["record"] == "migration"
    assert lines[-1]["record"] == "end"
    status = json.loads(ran("status", "--json").stdout)
    assert {name: lines[-1]["accounts"][name] for name in status["items"]} == status["items"]


def test_what_was_left_out_names_its_rule(cli: CommandLine, tree: Path) -> None:
    assert cli("run", "--from", tree, "--to", "to", "--exclude", "folder 1/**").returncode == 0
    assert cli("report", "--audit", "audit").returncode == 0
    lines = [line for line in lines_of(cli.folder / "audit") if line.get("outcome") == "excluded"]
    assert {line["key"].split("/")[0] for line in lines} == {"folder 1"}
    assert len(lines) == manifest_of(cli.folder / "audit")["accounts"]["excluded"] == 4
    assert all("folder 1/**" in line["message"] for line in lines)
    assert all(line["stored_size"] is None and line["copied_at"] is None for line in lines)


def test_a_version_goes_to_a_key_of_its_own(ran: CommandLine) -> None:
    with waybill.Tracker(ran.folder / "waybill.db") as ledger:
        item = next(iter(ledger.items()))
    assert destination_of(item) == item.key
    assert (
        destination_of(dataclasses.replace(item, key=b"\xff a", version="a/b+c.~_-"))
        == b"\xff a?versionId=a%2Fb%2Bc.~_-"
    )


def test_the_chain_can_be_checked_without_waybill(audit: Path) -> None:
    manifest = manifest_of(audit)
    names = [file["name"] for file in manifest["files"]]
    assert len(names) > 2
    assert sorted(os.listdir(audit)) == [*names, "manifest.json"]
    previous, number = "0" * 64, 0
    for file in manifest["files"]:
        content = (audit / file["name"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])
        # A file ends with the line that reaches the bound.
        assert len(content) - len(content.splitlines()[-1]) - 1 < SMALL
        for line in content.splitlines():
            number += 1
            fields = json.loads(line)
            assert (fields["line"], fields["previous"]) == (number, previous)
            previous = hashlib.sha256(line).hexdigest()
    assert (manifest["chain"]["lines"], manifest["chain"]["sha256"]) == (number, previous)
    assert sum(manifest["outcomes"].values()) == manifest["accounts"]["discovered"] == 13


def test_the_folder_is_for_its_owner_and_checks(ran: CommandLine) -> None:
    made = ran("report", "--audit", "audit")
    assert made.returncode == 0
    folder = ran.folder / "audit"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    (ran.folder / "waybill.db").unlink()
    checked = ran("report", "--check", "audit")
    assert (checked.returncode, checked.stderr) == (0, "")
    kept = manifest_of(folder)["chain"]["sha256"]
    assert kept in made.stdout
    assert kept in checked.stdout


def rewrite(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def change_a_byte(lines: list[bytes]) -> list[bytes]:
    assert b'"outcome":"verified"' in lines[1]
    return [lines[0], lines[1].replace(b'"outcome":"verified"', b'"outcome":"verifieD"'), *lines[2:]]


def change_the_link(lines: list[bytes]) -> list[bytes]:
    at = lines[1].index(b'"previous":"') + 12
    digit = b"0" if lines[1][at : at + 1] != b"0" else b"1"
    return [lines[0], lines[1][:at] + digit + lines[1][at + 1 :], *lines[2:]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_a_byte, "line 2: was changed"),
        (change_the_link, "line 2: was changed: it does not follow"),
        (lambda lines: [lines[0], *lines[2:]], "line 2: is line"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2: is line"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2: is line"),
        (lambda lines: [lines[0], lines[1][:40]], "line 2: is cut off"),
        (lambda lines: [lines[0], b"[1,2]\n", *lines[1:]], "line 2: is no JSON object"),
        (lambda lines: [lines[0], b"\xff\xfe\n", *lines[1:]], "line 2: is no JSON object"),
        (lambda lines: [lines[0], b"[" * 100_000 + b"\n", *lines[1:]], "line 2: is no JSON object"),
    ],
)
def test_a_change_is_found_and_named(
    ran: CommandLine, audit: Path, change: Callable[[list[bytes]], list[bytes]], said: str
) -> None:
    # A file in the middle whose first lines are of items.
    path = next(
        path
        for path in sorted(audit.glob("*.jsonl"))
        if path.read_bytes().splitlines()[1].count(b'"outcome":"verified"')
    )
    rewrite(path, change)
    result = ran("report", "--check", audit)
    assert result.returncode == 3
    assert result.stdout == ""
    assert result.stderr.startswith(f"waybill: {audit}: {path.name} {said}"), result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_every_single_line_is_held(audit: Path) -> None:
    """One byte of any line, and the removal of any line, is named as that line."""
    for path in sorted(audit.glob("*.jsonl")):
        whole = path.read_bytes()
        lines = whole.splitlines(keepends=True)
        for number, line in enumerate(lines):
            middle = len(line) // 2
            changed = line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]
            path.write_bytes(b"".join([*lines[:number], changed, *lines[number + 1 :]]))
            assert check_audit(audit).problem.startswith(f"{path.name} line {number + 1}: "), changed
            path.write_bytes(b"".join([*lines[:number], *lines[number + 1 :]]))
            assert check_audit(audit).problem, "a line was removed"
        path.write_bytes(whole)
    assert check_audit(audit).problem == ""


def test_what_is_missing_at_the_end_is_found(audit: Path) -> None:
    last = max(audit.glob("*.jsonl"))
    total = manifest_of(audit)["chain"]["lines"]
    rewrite(last, lambda lines: lines[:-1])
    assert check_audit(audit).problem == f"line {total} of {total} is missing: the export was cut off"
    last.unlink()
    assert check_audit(audit).problem == f"{last.name}: is missing"


def test_a_line_behind_the_end_is_found(audit: Path) -> None:
    last = max(audit.glob("*.jsonl"))
    content = last.read_bytes()
    tail = content.splitlines()[-1]
    more = {"line": json.loads(tail)["line"] + 1, "previous": hashlib.sha256(tail).hexdigest(), "record": "item"}
    last.write_bytes(content + json.dumps(more).encode() + b"\n")
    assert "stands behind the last line" in check_audit(audit).problem


def rechain(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """What somebody does who can write everything: a new chain and a manifest that fits, but for what it counts."""
    manifest, previous, number = manifest_of(folder), "0" * 64, 0
    for file in manifest["files"]:
        rows = [json.loads(line) for line in (folder / file["name"]).read_bytes().splitlines()]
        lines = []
        for row in rows:
            number += 1
            change(row)
            row |= {"line": number, "previous": previous}
            lines.append(json.dumps(row).encode())
            previous = hashlib.sha256(lines[-1]).hexdigest()
        content = b"".join(line + b"\n" for line in lines)
        (folder / file["name"]).write_bytes(content)
        file |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["chain"]["sha256"] = previous
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_new_chain_has_another_end_and_has_to_add_up(audit: Path) -> None:
    kept = check_audit(audit).sha256

    def say_verified(row: dict[str, Any]) -> None:
        if row.get("outcome") == "waived":
            row["outcome"] = "verified"

    rechain(audit, lambda row: None)
    assert check_audit(audit).problem == ""
    assert check_audit(audit).sha256 != kept, "what was kept elsewhere is another one"
    rechain(audit, say_verified)
    assert check_audit(audit).problem == "manifest.json: outcomes are not what the lines come to"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda manifest: manifest["accounts"].update(done=99), "accounts are not those of the last line"),
        (lambda manifest: manifest["outcomes"].update(verified=99), "outcomes are not what the lines come to"),
        (lambda manifest: manifest["records"].update(item=99), "records are not what the lines come to"),
        (lambda manifest: manifest["migration"].update(name="another"), "migration is not that of the first line"),
        (lambda manifest: manifest["chain"].update(sha256="0" * 64), "is not the last line that the manifest names"),
        (lambda manifest: manifest["files"][0].update(sha256="0" * 64), "audit-000001.jsonl: its length or SHA-256"),
        (lambda manifest: manifest["files"][0].update(name="../../etc/passwd"), "is not the name of a file"),
        (lambda manifest: manifest["files"].pop(), "is missing: the export was cut off"),
    ],
)
def test_a_changed_manifest_is_found(audit: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    manifest = manifest_of(audit)
    change(manifest)
    (audit / "manifest.json").write_text(json.dumps(manifest))
    assert said in check_audit(audit).problem


def test_a_file_that_is_not_in_the_manifest_is_found(audit: Path) -> None:
    (audit / "notes.txt").write_text("more")
    assert check_audit(audit).problem == "notes.txt: is not in the manifest"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"format":"waybill-audit","format_version":9}', b"[" * 100_000,
                b'{"format":"waybill-audit","format_version":1,"chain":1,"files":[]}',
                b'{"format":"waybill-audit","format_version":1,"chain":{"lines":1,"sha256":""},"files":[3]}'],
)  # fmt: skip
def test_a_manifest_that_is_none(ran: CommandLine, audit: Path, content: bytes) -> None:
    (audit / "manifest.json").write_bytes(content)
    result = ran("report", "--check", audit)
    assert result.returncode == 2
    assert "is not the manifest of an audit export" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_folder_that_is_none(cli: CommandLine) -> None:
    for words in ("nowhere", "."):
        result = cli("report", "--check", words)
        assert result.returncode == 2
        assert result.stderr == f"waybill: {words} is no audit export: it has no manifest.json\n"


def test_an_export_never_takes_the_place_of_anything(ran: CommandLine) -> None:
    (ran.folder / "audit").mkdir()
    refused = ran("report", "--audit", "audit")
    assert refused.returncode == 2
    assert "something is there already" in refused.stderr
    assert ran("report", "--audit", "nowhere/audit").returncode == 2
    assert not [path for path in ran.folder.iterdir() if path.name.endswith(".partial")]


def test_a_ledger_that_changes_is_not_exported(live_run: Any, tmp_path: Path, eventually: Any) -> None:
    run = live_run()
    eventually(lambda: run.snapshot.items.done > 0)
    with waybill.Tracker(tmp_path / "live.db") as ledger, pytest.raises(waybill.LockedError, match="at rest"):
        # Refused at once, or when the export is at its end, if the run has ended meanwhile.
        export_audit(Changing(ledger), tmp_path / "audit")  # type: ignore[arg-type]
    assert not (tmp_path / "audit").exists()
    assert not list(tmp_path.glob(".audit*"))


class Changing:
    """A ledger that is written between two looks."""

    def __init__(self, ledger: waybill.Tracker) -> None:
        self._ledger = ledger
        self._looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def snapshot(self) -> waybill.Snapshot:
        self._looks += 1
        snapshot = self._ledger.snapshot()
        return dataclasses.replace(snapshot, seq=snapshot.seq + self._looks)


def test_a_ledger_that_changes_meanwhile_is_not_exported(ran: CommandLine) -> None:
    with waybill.Tracker(ran.folder / "waybill.db") as ledger, pytest.raises(waybill.LockedError, match="meanwhile"):
        export_audit(Changing(ledger), ran.folder / "audit")  # type: ignore[arg-type]
    assert not (ran.folder / "audit").exists()
    assert not list(ran.folder.glob(".audit*"))


class Repeating:
    """A ledger with the rows of another one, over and over."""

    def __init__(self, ledger: waybill.Tracker, times: int) -> None:
        self._ledger = ledger
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def outcomes(self) -> Iterator[waybill.Outcome]:
        for _ in range(self._times):
            yield from self._ledger.outcomes()


def peak_of(ledger: waybill.Tracker, folder: Path, times: int) -> int:
    tracemalloc.start()
    try:
        export_audit(Repeating(ledger, times), folder)  # type: ignore[arg-type]
        assert check_audit(folder).problem == ""
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        shutil.rmtree(folder)


def test_memory_does_not_grow_with_the_items(ran: CommandLine) -> None:
    with waybill.Tracker(ran.folder / "waybill.db") as ledger:
        peak_of(ledger, ran.folder / "audit", 10)
        # 5,200 rows more, of which each held would be half a kilobyte at least.
        few, many = (peak_of(ledger, ran.folder / "audit", times) for times in (50, 450))
    assert many < few + 500_000
