# SPDX-License-Identifier: Apache-2.0
"""A tree that is hard to move, through the command line, as a user without root's rights.

filesystem → filesystem and filesystem → S3 → filesystem; compared by rsync and sha256sum. Only these may differ: modes
and times of folders that are not empty, and what cannot move, which is listed with its class.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from process import PROJECT, Waybill, check_accounts, open_folder, recount, run_checked, unprivileged
from s3 import S3Server
from tree import Tree, regular_files

SEED = 20261120
SMALL = pytest.param(5_000, 200 << 20, id="5000")
LARGE = pytest.param(100_000, 3 << 30, id="100000", marks=[pytest.mark.long, pytest.mark.timeout(3000)])
BLOCK = 65_536
PREFIX = b"a/prefix/"


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder("waybill-tree-") as path:
        yield path


def as_other_user(*command: str | bytes | Path) -> list[str | bytes | Path]:
    return [*unprivileged(), *command]


def make_tree_as_other_user(root: Path, files: int, sparse_bytes: int) -> Tree:
    """Made by the user that will read it; described here by making the same one in memory of its seed."""
    words = ["--files", str(files), "--seed", str(SEED), "--sparse-mib", str(sparse_bytes >> 20)]
    run_checked(as_other_user(sys.executable, PROJECT / "tests/support/tree.py", root, *words))
    tree = describe_tree(root)
    assert tree.files == files
    return tree


def is_s3_key(key: bytes) -> bool:
    """S3 keys are UTF-8 of at most 1,024 bytes; a prefix counts."""
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(PREFIX) + len(key) <= 1024


def describe_tree(root: Path) -> Tree:
    """What is there, as lstat tells it."""
    tree = Tree(root)
    base = os.fsencode(root)
    for folder, folders, names in os.walk(base):
        key = os.path.relpath(folder, base)
        if not folders and not names:
            tree.empty_folders.append(key + b"/")
        for name in [*folders, *names]:
            path = folder + b"/" + name
            status = os.lstat(path)
            entry = os.path.relpath(path, base)
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o777:
                tree.files += 1
                tree.bytes += status.st_size
            elif stat.S_ISREG(status.st_mode):
                tree.unmovable[entry] = "permission"
            elif not stat.S_ISDIR(status.st_mode):
                tree.unmovable[entry] = "unsupported"
            if stat.S_ISREG(status.st_mode) and not is_s3_key(entry):
                tree.unmovable_to_s3[entry] = "unsupported"
    return tree


def rsync_differences(source: Path, destination: Path) -> dict[bytes, str]:
    """What rsync would do to make `destination` like `source`, by name: not our code."""
    done = subprocess.run(
        as_other_user("rsync", "-ani", "--checksum", "--delete", "-8", f"{source}/", f"{destination}/"),
        capture_output=True,
        check=False,
    )
    # 23: it could not read a file, which is expected of one.
    assert done.returncode in (0, 23), done.stderr.decode(errors="replace")
    found = {}
    for line in done.stdout.splitlines():
        code, _, name = line.partition(b" ")
        if code == b"*deleting":
            name = name.lstrip(b" ")
        elif code.startswith(b"cL"):
            name = name.partition(b" -> ")[0]
        name = re.sub(rb"\\#([0-7]{3})", lambda match: bytes([int(match[1], 8)]), name)
        found[name] = code.decode()
    return found


def hashes(root: Path) -> dict[bytes, bytes]:
    """sha256sum of every regular file that can be read: not our code."""
    done = run_checked(
        as_other_user("sh", "-c", "find . -type f -readable -print0 | sort -z | xargs -0 -r sha256sum -z --"), cwd=root
    )
    found = {}
    for line in done.stdout.split(b"\0"):
        if line:
            digest, _, name = line.partition(b"  ")
            found[name.removeprefix(b"./")] = digest
    return found


def expect_same_tree(source: Tree, destination: Path, unmoved: dict[bytes, str]) -> None:
    wanted = {name: digest for name, digest in hashes(source.root).items() if name not in unmoved}
    empty = set(source.empty_folders)
    # A folder is made for what is in it: one with nothing that could move is not there.
    needed = {name[: at + 1] for name in wanted.keys() | empty for at in range(len(name)) if name[at : at + 1] == b"/"}
    needed.add(b"./")
    for name, code in rsync_differences(source.root, destination).items():
        if name in unmoved:
            assert code.startswith((">f+", "cL+", "cS+", "cD+")), f"{name!r}: {code}"
            continue
        if name.endswith(b"/") and name not in needed:
            assert code.startswith("cd+"), f"{name!r}: {code}"
            continue
        is_full_folder = name.endswith(b"/") and name not in empty
        assert is_full_folder and re.fullmatch(r"\.d\.\.[.t][.p]\.\.\.\.*", code), f"{name!r}: {code}"
    there = hashes(destination)
    assert there.keys() == wanted.keys()
    assert there == wanted
    for name, status in regular_files(destination).items():
        original = os.lstat(os.fsencode(source.root) + b"/" + name)
        assert status.st_mtime_ns == original.st_mtime_ns, name
        assert stat.S_IMODE(status.st_mode) == stat.S_IMODE(original.st_mode), name


def expect_accounts(waybill: Waybill, tree: Tree, unmoved: dict[bytes, str]) -> None:
    status = waybill.status()
    check_accounts(status)
    items = status["items"]
    assert status["run"]["state"] == "completed_with_differences"
    n_items = tree.files + len(tree.empty_folders) + len(tree.unmovable)
    assert items["eligible"] == n_items
    assert items["failed"] == len(unmoved)
    assert items["done"] == n_items - len(unmoved)
    failed = waybill.failed()
    assert {key: row["error_class"] for key, row in failed.items()} == unmoved
    counted = recount(waybill.folder / waybill.tracker)
    assert (counted["done"], counted["failed"], counted["pending"]) == (items["done"], items["failed"], 0)


def expect_unreadable(root: Path) -> None:
    """The premise of the permission case: plain cat fails for this user."""
    done = subprocess.run(as_other_user("cat", root / "special/unreadable"), capture_output=True, check=False)
    assert done.returncode != 0, "the tests have to run so that a file of mode 000 cannot be read"


@pytest.mark.parametrize(("files", "sparse_bytes"), [SMALL, LARGE])
def test_filesystem_to_filesystem(folder: Path, files: int, sparse_bytes: int) -> None:
    tree = make_tree_as_other_user(folder / "source", files, sparse_bytes)
    expect_unreadable(tree.root)
    waybill = Waybill(folder, prefix=unprivileged())
    command = ("run", "--from", tree.root, "--to", folder / "copy", "--progress", "none")
    done = waybill.run(*command, timeout=2400)
    assert done.returncode == 3, done.stderr.decode(errors="replace")
    expect_accounts(waybill, tree, tree.unmovable)
    expect_same_tree(tree, folder / "copy", tree.unmovable)

    again = waybill.run(*command, timeout=2400)
    assert again.returncode == 3
    items = waybill.status()["items"]
    assert (items["new"], items["updated"]) == (0, 0), "a second run moved what had not changed"
    expect_same_tree(tree, folder / "copy", tree.unmovable)


@pytest.mark.parametrize(("files", "sparse_bytes"), [SMALL, LARGE])
def test_filesystem_to_s3_and_back(folder: Path, files: int, sparse_bytes: int) -> None:
    tree = make_tree_as_other_user(folder / "source", files, sparse_bytes)
    expect_unreadable(tree.root)
    with S3Server("tree") as server:
        there = Waybill(folder, prefix=unprivileged(), environment=server.environment, tracker="there.db")
        done = there.run(
            "run", "--from", tree.root, "--to", server.url("tree", PREFIX.decode()), "--progress", "none", timeout=2400
        )
        assert done.returncode == 3, done.stderr.decode(errors="replace")
        unmoved = tree.unmovable | tree.unmovable_to_s3
        expect_accounts(there, tree, unmoved)
        assert not server.open_uploads("tree")

        back = Waybill(folder, prefix=unprivileged(), environment=server.environment, tracker="back.db")
        done = back.run(
            "run",
            "--from",
            server.url("tree", PREFIX.decode()),
            "--to",
            folder / "copy",
            "--progress",
            "none",
            timeout=2400,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        items = back.status()["items"]
        assert items["done"] == items["eligible"] == tree.files + len(tree.empty_folders) - len(tree.unmovable_to_s3)
    expect_same_tree(tree, folder / "copy", unmoved)


# A writer keeps changing files in place until it is killed. A version of "rewritten" is a number of blocks that are all
# of that version's byte; "appended" grows by records of one block that are all of one byte.
WRITER = f"""
import os, sys, time
root = sys.argv[1]
with open(os.path.join(root, "appended"), "ab", buffering=0) as growing:
    version = 0
    while True:
        version += 1
        with open(os.path.join(root, "rewritten"), "r+b", buffering=0) as file:
            blocks = 40 + version % 20
            for n in range(blocks):
                file.seek(n * {BLOCK})
                file.write(bytes([version % 256]) * {BLOCK})
            file.truncate(blocks * {BLOCK})
        growing.write(bytes([version % 256]) * {BLOCK})
        if version % 10 == 0:
            time.sleep(0.3)
"""


def is_whole_version(content: bytes) -> bool:
    """Whether `content` is what "rewritten" once was, as a whole."""
    if len(content) % BLOCK or not content:
        return not content
    version = content[0]
    whole = content == bytes([version]) * len(content)
    lengths = {40 + number % 20 for number in range(version, 10_000, 256)}
    return whole and len(content) // BLOCK in lengths


@pytest.mark.parametrize("target", ["filesystem", "s3"])
def test_a_file_that_changes_while_it_is_read_is_never_torn(folder: Path, target: str) -> None:
    root = folder / "source"
    root.mkdir()
    (root / "rewritten").write_bytes(bytes([1]) * BLOCK * 41)
    (root / "appended").write_bytes(b"")
    for number in range(300):
        (root / f"still {number}").write_bytes(b"x" * number)
    with S3Server("tree") as server:
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root)])
        try:
            time.sleep(0.3)
            assert writer.poll() is None
            waybill = Waybill(folder, environment=server.environment)
            url = str(folder / "copy") if target == "filesystem" else server.url("tree")
            done = waybill.run("run", "--from", root, "--to", url, "--progress", "none")
        finally:
            writer.kill()
            writer.wait()
        assert done.returncode in (0, 3), done.stderr.decode(errors="replace")
        copy = folder / "copy" if target == "filesystem" else server.objects("tree")
        failed = waybill.failed()
        assert {row["error_class"] for row in failed.values()} <= {"source_changed"}, failed
        assert failed.keys() <= {b"rewritten", b"appended"}
        assert (done.returncode == 3) == bool(failed)
        check_accounts(waybill.status())
        for name in ("rewritten", "appended"):
            if name.encode() in failed:
                continue
            content = (copy / name).read_bytes()
            if name == "rewritten":
                assert is_whole_version(content), "a mixture of two versions arrived"
            else:
                assert len(content) % BLOCK == 0
                assert (root / name).read_bytes().startswith(content)
        for number in range(300):
            assert (copy / f"still {number}").read_bytes() == b"x" * number

        # The writer is gone: the same command makes it whole.
        done = waybill.run("run", "--from", root, "--to", url, "--progress", "none")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        for name in ("rewritten", "appended"):
            assert (copy / name).read_bytes() == (root / name).read_bytes()
