# SPDX-License-Identifier: Apache-2.0
"""The fault server (tests/support/fault_server) as a program of its own, and its control endpoints."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote_to_bytes

from process import PROJECT

PROGRAM = Path(os.environ.get("WAYBILL_TEST_FAULT_SERVER", PROJECT / "build/dev/tests/fault_server"))


def quoted(text: str | bytes) -> str:
    """Bytes as the control endpoints take them."""
    return quote(text, safe="/")


class FaultServer:
    """Started when entered, stopped when left; `buckets` are there from the beginning.

    Keys and contents are ``str`` (UTF-8) or ``bytes`` here; patterns of rules stay percent-encoded: ``quoted(key)``,
    with ``*`` and ``?`` as wildcards.
    """

    def __init__(self, *buckets: str, program: Path = PROGRAM, port: int = 0) -> None:
        self.buckets = buckets
        self.program = program
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._control: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        assert self.program.exists(), f"{self.program} is not built: cmake --build --preset dev --target fault_server"
        self._process = subprocess.Popen(
            [self.program, str(self.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout is not None
        self.port = json.loads(self._process.stdout.readline())["port"]
        for bucket in self.buckets:
            self.bucket(bucket)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is None:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._process.stdout.close()
        if kind is None:
            assert code == 0, f"the fault server ended with {code}"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, bucket: str, prefix: str = "") -> str:
        return f"s3://{bucket}/{prefix}?endpoint={self.endpoint}"

    def control(self, name: str, argument: Any = None) -> Any:
        """Calls a control endpoint; what is wrong with the argument fails the test."""
        if self._control is None:
            self._control = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            self._control.request("POST", f"/_control/{name}", json.dumps({} if argument is None else argument))
            answer = self._control.getresponse()
            parsed = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            # The server may have been down meanwhile.
            self._control.close()
            self._control = None
            raise
        assert answer.status == 200, parsed
        return parsed

    # Rules.
    def rule(self, **fields: Any) -> int:
        """Adds a rule (README.md) and gives its number."""
        ids: list[int] = self.control("rules", fields)
        return ids[0]

    def remove_rule(self, rule: int) -> None:
        self.control("remove_rule", {"id": rule})

    def clear_rules(self) -> None:
        self.control("clear_rules")

    def fired(self, rule: int) -> int:
        count: int = self.control("fired", {"id": rule})
        return count

    def latency(self, ms: float) -> None:
        self.control("latency", {"ms": ms})

    def down(self, ms: int) -> None:
        """Resets every connection and refuses new ones for as long."""
        self.control("down", {"ms": ms})
        if self._control is not None:
            self._control.close()
            self._control = None

    def reset(self) -> None:
        """Forgets rules, log, buckets, settings and latency; then makes the buckets again."""
        self.control("reset")
        for bucket in self.buckets:
            self.bucket(bucket)

    # The log.
    def log(self, op: str = "*", key: str = "*") -> list[dict[str, Any]]:
        """The requests so far; ``key`` and ``head`` as bytes."""
        rows: list[dict[str, Any]] = self.control("log", {"op": op, "key": key})
        for row in rows:
            row["key"] = unquote_to_bytes(row["key"])
            if "head" in row:
                row["head"] = unquote_to_bytes(row["head"])
        return rows

    def counts(self) -> dict[str, dict[str, Any]]:
        """By operation: requests, bytes_in, bytes_out, statuses."""
        found: dict[str, dict[str, Any]] = self.control("counts")
        return found

    def clear_log(self) -> None:
        self.control("clear_log")

    # Content.
    def bucket(self, name: str, **settings: Any) -> None:
        """Makes a bucket, or changes its settings."""
        self.control("bucket", {"name": name, "settings": settings})

    def server(self, **settings: Any) -> None:
        self.control("server", settings)

    def put(self, bucket: str, key: str | bytes, content: str | bytes = b"", **more: Any) -> None:
        self.control("put", {"bucket": bucket, "key": quoted(key), "content": quoted(content), **more})

    def get(self, bucket: str, key: str | bytes) -> bytes | None:
        """The bytes of an object; None where there is none."""
        found = self.control("object", {"bucket": bucket, "key": quoted(key), "content": True})
        return None if found is None else unquote_to_bytes(found["content"])

    def describe(self, bucket: str, key: str | bytes) -> dict[str, Any] | None:
        """Size, etag, headers, tags and so on of an object; None where there is none."""
        found: dict[str, Any] | None = self.control("object", {"bucket": bucket, "key": quoted(key)})
        return found

    def keys(self, bucket: str) -> list[bytes]:
        return [unquote_to_bytes(key) for key in self.control("objects", {"bucket": bucket})]

    def generate(self, bucket: str, **keys: Any) -> None:
        """Adds made-up objects: shape, prefix, count, size, size_most, seed, md5_etags."""
        if "prefix" in keys:
            keys["prefix"] = quoted(keys["prefix"])
        self.control("generate", {"bucket": bucket, "keys": keys})

    def uploads(self, bucket: str) -> dict[str, bytes]:
        """Open uploads: the key of each id."""
        return {name: unquote_to_bytes(key) for name, key in self.control("uploads", {"bucket": bucket}).items()}
