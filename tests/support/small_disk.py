# SPDX-License-Identifier: Apache-2.0
"""A disk of a few MiB that a test can fill, for one process tree alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest


class SmallDisk:
    """A tmpfs in a mount namespace of its own, so that nothing is left behind; seen through /proc."""

    def __init__(self, at: Path, kib: int) -> None:
        self.at = at
        mount = f'mount -t tmpfs -o size={kib}k,mode=700 tmpfs "$0" && echo mounted && exec sleep 600'
        for way in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
            self.process = subprocess.Popen(
                [*way, "sh", "-c", mount, str(at)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            assert self.process.stdout is not None
            if self.process.stdout.readline() == "mounted\n":
                break
            self.close()
        else:
            pytest.skip(
                "NOT TESTED: a full disk. Neither root nor a user namespace may mount a tmpfs here; run the "
                "tests as root, or in a container with CAP_SYS_ADMIN"
            )
        self.inside = Path(f"/proc/{self.process.pid}/root{at}")
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        # The working directory is gone into again: the old one is of the world without the disk.
        again = ["sh", "-c", 'cd "$0" && exec "$@"', str(at.parent)]
        self.prefix = ["nsenter", f"--target={self.process.pid}", "--mount", *user, "--", *again]

    def __enter__(self) -> SmallDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def fill(self, *, but_kib: int = 0) -> None:
        with contextlib.suppress(OSError), open(self.inside / "fill", "wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        size = (self.inside / "fill").stat().st_size
        os.truncate(self.inside / "fill", size - min(size, but_kib << 10))

    def free(self) -> None:
        (self.inside / "fill").unlink()
