# SPDX-License-Identifier: Apache-2.0
"""What commands write: lines on stdout that a reader may leave early, and one clear line on stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, ClassVar, TextIO

from waybill.text import safe

__all__ = ["Output", "complain", "prepare_streams", "release_stderr"]


def prepare_streams() -> None:
    """UTF-8 whatever the locale; what cannot be encoded is escaped, not fatal.

    A stream that was closed before we began is /dev/null: the next file that is opened would take its number, and what
    is meant for a person would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def complain(message: str) -> None:
    """One line on stderr; may be called from a signal handler."""
    line = f"waybill: {safe(' '.join(message.split()))}\n"
    with contextlib.suppress(OSError):  # nobody may be there to read it
        os.write(2, line.encode("utf-8", "backslashreplace"))


def release_stderr() -> None:
    """Hand over what is buffered; what nobody reads is no complaint at exit."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)


class Output:
    """Standard output, until its reader leaves, or it cannot be written: that is complained of once."""

    # Whether something was lost that a reader still waits for.
    has_lost: ClassVar[bool] = False

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
            except OSError as error:
                self.is_open = False
                if not isinstance(error, BrokenPipeError):
                    Output.has_lost = True
                    complain(f"standard output cannot be written: {error.strerror}")
                _discard(sys.stdout)  # with what is still buffered, which would be complained of at exit
        return self.is_open
