# SPDX-License-Identifier: Apache-2.0
"""A real S3 server on loopback (scripts/s3-server), whose objects are files that tests can look at."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from process import PROJECT


class S3Server:
    """Started when entered, stopped when left. With `versioning`, buckets can be told to keep versions."""

    def __init__(self, *buckets: str, server: str = "versitygw", versioning: bool = False) -> None:
        self.buckets = buckets
        self.versioning = versioning
        self.server = server
        self.folder = Path()
        self.environment: dict[str, str] = {}
        self.endpoint = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="waybill-s3-"))
        words = [word for bucket in self.buckets for word in ("--bucket", bucket)]
        if self.versioning:
            words.append("--versioning")
        self._process = subprocess.Popen(
            [PROJECT / "scripts/s3-server", "--server", self.server, "--dir", self.folder, *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, _, value = line.strip().partition("=")
            if name == "ready":
                break
            self.environment[name] = value
        assert "WAYBILL_S3_ENDPOINT" in self.environment, "the S3 server of the tests did not start"
        self.endpoint = self.environment.pop("WAYBILL_S3_ENDPOINT")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=20)
            if self._process.stdout is not None:
                self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def url(self, bucket: str, prefix: str = "", endpoint: str = "") -> str:
        return f"s3://{bucket}/{prefix}?endpoint={endpoint or self.endpoint}"

    def objects(self, bucket: str) -> Path:
        """The folder that holds a bucket's objects as files."""
        return self.folder / "data" / bucket

    def empty(self, bucket: str) -> None:
        """Removes everything from a bucket."""
        shutil.rmtree(self.objects(bucket), ignore_errors=True)
        self.objects(bucket).mkdir()

    def open_uploads(self, bucket: str) -> list[Path]:
        """Multipart uploads that are open: the server keeps each in a folder."""
        top = self.objects(bucket) / ".sgwtmp" / "multipart"
        if not top.is_dir():
            return []
        return [
            Path(upload.path)
            for key in os.scandir(top)
            if key.is_dir()
            for upload in os.scandir(key.path)
            if upload.is_dir()
        ]
