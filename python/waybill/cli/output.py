# SPDX-License-Identifier: Apache-2.0
"""What commands write: lines on stdout that a reader may leave early, and one clear line on stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from waybill.text import safe

__all__ = ["Output", "complain", "prepare_streams"]


def prepare_streams() -> None:
    """UTF-8 whatever the locale; what cannot be encoded is escaped, not fatal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def complain(message: str) -> None:
    """One line on stderr; may be called from a signal handler."""
    line = f"waybill: {safe(' '.join(message.split()))}\n"
    with contextlib.suppress(OSError):  # nobody may be there to read it
        os.write(2, line.encode("utf-8", "backslashreplace"))


class Output:
    """Standard output, until its reader leaves."""

    def __init__(self) -> None:
        self.is_open = True

    def line(self, text: str) -> bool:
        """Write a line. False if nobody reads any more."""
        return self.write(text + "\n")

    def write(self, text: str) -> bool:
        """Write `text` as it is. False if nobody reads any more."""
        return self._guarded(lambda: sys.stdout.write(text))

    def flush(self) -> bool:
        """Hand over what is buffered. False if nobody reads any more."""
        return self._guarded(sys.stdout.flush)

    def _guarded(self, action: Any) -> bool:
        if self.is_open:
            try:
                action()
            except BrokenPipeError:
                self.is_open = False
                # What is still buffered goes nowhere, without a complaint at exit.
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, sys.stdout.fileno())
                os.close(sink)
        return self.is_open
