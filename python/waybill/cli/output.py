# SPDX-License-Identifier: Apache-2.0
"""What commands write: lines on stdout that a reader may leave early, and one clear line on stderr."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, ClassVar, TextIO

from waybill.text import ascii_json, ascii_only, is_utf8, safe

__all__ = ["Output", "complain", "draw_in_ascii", "prepare_streams", "release_stderr"]


def prepare_streams() -> None:
    """UTF-8, or ASCII where the streams are of another encoding; what cannot be encoded is escaped, not fatal.

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
    if all(is_utf8(stream) for stream in (sys.stdout, sys.stderr)):
        _encode("utf-8")
    else:
        draw_in_ascii()


def draw_in_ascii() -> None:
    """From here on nothing but ASCII goes to stdout and stderr; names are escaped as they are accepted back."""
    Output.is_ascii = True
    _encode("ascii")


def _encode(encoding: str) -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def complain(message: str) -> None:
    """One line on stderr; may be called from a signal handler."""
    line = f"waybill: {safe(' '.join(message.split()))}\n"
    if Output.is_ascii:
        line = ascii_only(line)
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
    # Whether nothing but ASCII is written, and whether lines are JSON, which has its own escapes.
    is_ascii: ClassVar[bool] = False
    is_json: ClassVar[bool] = False

    def __init__(self, *, is_document: bool = False) -> None:
        """A document is UTF-8 whatever the terminal."""
        self.is_open = True
        self._is_document = is_document
        if is_document and Output.is_ascii and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")

    @staticmethod
    def drawn(text: str, in_ascii: str) -> str:
        """Something of ours that is not ASCII, or what stands for it."""
        return in_ascii if Output.is_ascii else text

    def line(self, text: str) -> bool:
        """Write a line. False if nobody reads any more."""
        return self.write(text + "\n")

    def write(self, text: str) -> bool:
        """Write `text` as it is. False if nobody reads any more."""
        if Output.is_ascii and not self._is_document:
            text = ascii_json(text) if Output.is_json else ascii_only(text)
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
