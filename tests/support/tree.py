# SPDX-License-Identifier: Apache-2.0
"""A tree that is hard to move, the same for the same seed.

Empty files and folders, names with everything that shells, URLs and S3 get wrong, names of 255 bytes, deep folders,
symlinks, a FIFO, an unreadable file, one large sparse file, sizes from 0 to 2 MiB, and modes and times (in nanoseconds)
of every kind. Run by the user who is to read it: the unreadable file is unreadable to everybody but root.

    python tests/support/tree.py FOLDER [--files N] [--seed N] [--sparse-mib N]
"""

from __future__ import annotations

import argparse
import math
import os
import random
import stat
from dataclasses import dataclass, field
from pathlib import Path

POOL_BYTES = 4 << 20
MAX_SMALL = 2 << 20
MODES = (0o644, 0o644, 0o644, 0o600, 0o755, 0o400, 0o440, 0o640, 0o664, 0o700, 0o500)
DIRECTORY_MODES = (0o755, 0o700, 0o750, 0o775)
YEAR_NS = 31_556_952 * 10**9

AWKWARD_NAMES = (
    b"with space",
    b" leading and trailing ",
    b"plus+plus",
    b"percent%41%2F%",
    b"100%",
    b"single'quote",
    b'double"quote',
    b"back\\slash",
    b"new\nline",
    b"two\n\nlines\n",
    b"tab\tand\rreturn",
    b"a=b&c=d?e#f",
    b"<xml>&amp;",
    b"semi;colon:comma,",
    b"[glob]*?{x}",
    b"$(dollar) `tick`",
    b"-dash",
    b"--delete",
    b".hidden",
    b"..two",
    b"three...",
    b"~tilde~",
    "é composed".encode(),
    "é decomposed".encode(),
    "emoji 🚚✓".encode(),
    "家族 👩‍👩‍👧".encode(),
    b"n" * 255,
    ("ü" * 127 + "x").encode(),
)
# S3 keys are UTF-8 of at most 1,024 bytes.
NOT_UTF8 = b"not utf8 \xff\xfe"


@dataclass
class Tree:
    """What was made. Paths are bytes, relative to the root; a folder's key ends in a slash."""

    root: Path
    files: int = 0
    bytes: int = 0
    empty_folders: list[bytes] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)
    unmovable: dict[bytes, str] = field(default_factory=dict)
    """What no destination can take, with its error class."""
    unmovable_to_s3: dict[bytes, str] = field(default_factory=dict)
    """What S3 cannot take beyond that."""

    @property
    def items(self) -> int:
        """Everything a listing gives."""
        return self.files + len(self.empty_folders) + len(self.unmovable)


class _Maker:
    def __init__(self, root: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.pool = self.random.randbytes(POOL_BYTES)
        self.tree = Tree(root)
        self.base = os.fsencode(root)
        root.mkdir(parents=True, exist_ok=True)

    def path(self, key: bytes) -> bytes:
        return self.base + b"/" + key

    def folder(self, key: bytes) -> None:
        """Makes a folder and those above it."""
        built = b""
        for part in key.split(b"/"):
            built = built + b"/" + part if built else part
            try:
                os.mkdir(self.path(built))
            except FileExistsError:
                continue
            self.tree.folders.append(built)

    def empty_folder(self, key: bytes) -> None:
        self.folder(key)
        self.tree.empty_folders.append(key + b"/")

    def size(self) -> int:
        """Mostly small: a median of 1 KiB, now and then empty, at most 2 MiB."""
        if self.random.random() < 0.04:
            return 0
        return min(MAX_SMALL, int(self.random.lognormvariate(math.log(1024), 1.8)))

    def content(self, size: int) -> bytes:
        at = self.random.randrange(POOL_BYTES)
        mark = b"%016x" % self.random.getrandbits(64)
        whole, rest = divmod(max(0, size - len(mark)), POOL_BYTES)
        filled = self.pool * whole + (self.pool + self.pool)[at : at + rest]
        return (mark + filled)[:size]

    def time_ns(self) -> int:
        chance = self.random.random()
        if chance < 0.01:
            return -self.random.randrange(1, 30 * YEAR_NS)  # before 1970
        if chance < 0.02:
            return self.random.randrange(80 * YEAR_NS, 200 * YEAR_NS)  # far in the future
        if chance < 0.1:
            return self.random.randrange(10, 55) * YEAR_NS // 10**9 * 10**9  # whole seconds
        return self.random.randrange(20 * YEAR_NS, 55 * YEAR_NS)

    def file(self, key: bytes, size: int | None = None) -> None:
        size = self.size() if size is None else size
        with open(self.path(key), "xb") as file:
            file.write(self.content(size))
        os.chmod(self.path(key), self.random.choice(MODES))
        self.tree.files += 1
        self.tree.bytes += size

    def sparse(self, key: bytes, size: int) -> None:
        with open(self.path(key), "xb") as file:
            file.truncate(size)
            for at in (0, size // 3, size - 5000):
                file.seek(at)
                file.write(self.content(4096))
        self.tree.files += 1
        self.tree.bytes += size

    def stamp_times(self) -> None:
        """Times last, bottom up: making an entry changes its folder's."""
        for folder, folders, names in os.walk(self.base, topdown=False):
            links = [name for name in folders if os.path.islink(folder + b"/" + name)]
            for name in names + links:
                path = folder + b"/" + name
                now = self.time_ns()
                os.utime(path, ns=(now, now), follow_symlinks=False)
            now = self.time_ns()
            os.utime(folder, ns=(now, now))


def _make_awkward(maker: _Maker) -> None:
    maker.folder(b"awkward")
    for name in AWKWARD_NAMES:
        maker.file(b"awkward/" + name)
    for name in AWKWARD_NAMES[:12]:
        maker.folder(b"awkward folders/" + name)
        maker.file(b"awkward folders/" + name + b"/file")
        maker.empty_folder(b"awkward folders/" + name + b"/empty")
    # The order of keys and the order of folders differ here: '-' and '.' sort before '/', '0' behind it.
    for name in (b"a-b", b"a.b", b"a0", b"a!"):
        maker.file(b"awkward/order " + name)
    maker.folder(b"awkward/order a")
    maker.file(b"awkward/order a/inside")
    deep = b"/".join(b"d%02d" % n for n in range(60))
    maker.folder(b"deep/" + deep)
    maker.file(b"deep/" + deep + b"/bottom")
    for size in (0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20, MAX_SMALL):
        maker.file(b"awkward/size %d" % size, size)
    maker.folder(b"nobody's utf8")
    maker.file(b"nobody's utf8/" + NOT_UTF8)
    maker.tree.unmovable_to_s3[b"nobody's utf8/" + NOT_UTF8] = "unsupported"
    long = b"long/" + b"/".join(b"%d-" % n + b"l" * 150 for n in range(7))
    maker.folder(long)
    maker.file(long + b"/file")
    maker.tree.unmovable_to_s3[long + b"/file"] = "unsupported"


def _make_unmovable(maker: _Maker) -> None:
    maker.folder(b"special")
    maker.file(b"special/plain")
    os.symlink(b"plain", maker.path(b"special/link to a file"))
    os.symlink(b"../awkward", maker.path(b"special/link to a folder"))
    os.symlink(b"nowhere", maker.path(b"special/broken link"))
    os.symlink(b"/etc/passwd", maker.path(b"special/link out of the tree"))
    os.mkfifo(maker.path(b"special/fifo"))
    for name in (b"link to a file", b"link to a folder", b"broken link", b"link out of the tree", b"fifo"):
        maker.tree.unmovable[b"special/" + name] = "unsupported"
    with open(maker.path(b"special/unreadable"), "xb") as file:
        file.write(b"nobody reads this")
    os.chmod(maker.path(b"special/unreadable"), 0)
    maker.tree.unmovable[b"special/unreadable"] = "permission"


def make_tree(root: Path, *, files: int = 5000, seed: int = 1, sparse_bytes: int = 200 << 20) -> Tree:
    """Makes the tree below `root`, which is made if it is not there. `files` counts regular files that can be read."""
    maker = _Maker(root, seed)
    _make_awkward(maker)
    _make_unmovable(maker)
    if sparse_bytes:
        maker.sparse(b"sparse", sparse_bytes)
    folders = [b""]
    while maker.tree.files < files:
        if maker.random.random() < 0.03:
            above = maker.random.choice(folders[-50:])
            name = b"folder %d" % len(folders)
            key = above + b"/" + name if above else name
            if len(key) < 200:
                maker.folder(key)
                folders.append(key)
                # A folder with nothing in it would be an item.
                maker.file(key + b"/first")
                if maker.random.random() < 0.1:
                    maker.empty_folder(key + b"/empty")
                continue
        above = maker.random.choice(folders)
        name = b"file-%06d" % maker.tree.files
        if maker.random.random() < 0.02:
            name += maker.random.choice(AWKWARD_NAMES[:24])
        maker.file(above + b"/" + name if above else name)
    for key in maker.tree.folders:
        os.chmod(maker.path(key), maker.random.choice(DIRECTORY_MODES))
    maker.stamp_times()
    return maker.tree


def regular_files(root: Path) -> dict[bytes, os.stat_result]:
    """Every regular file below `root`, by its path."""
    base = os.fsencode(root)
    found = {}
    for folder, _, names in os.walk(base):
        for name in names:
            path = folder + b"/" + name
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                found[os.path.relpath(path, base)] = status
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sparse-mib", type=int, default=200)
    words = parser.parse_args()
    tree = make_tree(words.folder, files=words.files, seed=words.seed, sparse_bytes=words.sparse_mib << 20)
    print(
        f"{tree.files} files, {tree.bytes} bytes, {len(tree.folders)} folders, {len(tree.unmovable)} that cannot move"
    )


if __name__ == "__main__":
    main()
