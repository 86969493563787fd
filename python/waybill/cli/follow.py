# SPDX-License-Identifier: Apache-2.0
"""Following a run to its end: progress, events, and Ctrl-C.

The first SIGINT or SIGTERM lets the run drain (it is carried on with by the same command), the second ends the process
at once; before there is a run, the first one does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from waybill.cli.exit_codes import FAILED, INTERRUPTED, USAGE
from waybill.cli.output import Output, complain
from waybill.cli.values import wrong
from waybill.errors import Error
from waybill.live import Mode, View, make_view
from waybill.records import Report
from waybill.run import Run
from waybill.text import safe_json
from waybill.tracker import Tracker

__all__ = ["Interrupts", "LogFile", "follow"]

_POLL_SECONDS = 0.2
_JSON_PROGRESS_SECONDS = 0.5
_UNKNOWN_ITEM = "neither the source nor the ledger has an item"


class Interrupts:
    """Turns SIGINT and SIGTERM into requests to the run, while it lasts."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.view = View()
        self._previous: dict[int, Any] = {}
        self._is_stopping = False
        self._notice = ""

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            # A shell that starts us in the background has SIGINT ignored; it stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.run is not None and not self._is_stopping:
            self._is_stopping = True
            self.run.interrupt()
            self._notice = (
                "waybill: stopping; transfers in flight may end, the same command carries on (again to end at once)"
            )
            return
        self.view.close()
        complain("interrupted")
        os._exit(INTERRUPTED)

    def tell(self) -> None:
        """Say what the handler, which may have come in the midst of drawing, has left to be said."""
        if self._notice:
            self.view.say(self._notice)
            self._notice = ""


def follow(start: Callable[[], Run], mode: Mode, output: Output | None, log: LogFile | None = None) -> Report:
    """Start a run and wait for its end; with `output`, events and progress go there as JSON lines."""
    with Interrupts() as interrupts, log if log is not None else contextlib.nullcontext():
        run = start()
        interrupts.run = run
        with run, make_view(mode) as view:
            interrupts.view = view
            stream = _JsonStream(run, output) if output is not None else None
            while (report := run.wait(_POLL_SECONDS)) is None:
                interrupts.tell()
                view.update(run.snapshot)
                if stream is not None:
                    stream.advance()
                if log is not None:
                    log.advance(run)
            report = _judged(report)
            interrupts.tell()
            view.update(report.snapshot)
            if stream is not None:
                stream.finish(report)
            if log is not None:
                log.advance(run)
        return report


def _judged(report: Report) -> Report:
    """The report; a key that nobody knows was the wrong one to name, which is another exit code than a run that fails."""
    is_usage = report.exit_code == FAILED and report.snapshot.reason.startswith(_UNKNOWN_ITEM)
    return replace(report, exit_code=USAGE) if is_usage else report


class LogFile:
    """Appends the durable events of a run to a file, as ``waybill logs --json`` prints them.

    The ledger is the source and this a copy: a file that cannot be written any more is complained of once, and the run
    goes on. Made before the run, so that what it is carried on from is not written again, and a path that cannot be
    used is refused before anything moves.
    """

    def __init__(self, path: Path, tracker: str) -> None:
        try:
            # A file of its owner alone: names of items and hosts are in it. A pipe that nobody reads is not waited for.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
            self._descriptor = os.open(path, flags, 0o600)
            os.set_blocking(self._descriptor, True)
        except OSError as error:
            raise wrong(f"the log file {path} cannot be written: {error.strerror}") from None
        self._path = path
        self._after = 0
        with contextlib.suppress(Error), Tracker(tracker) as ledger:
            self._after = ledger.snapshot().seq

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def advance(self, run: Run) -> None:
        """Write the events that have come since."""
        for event in run.events(self._after, follow=False):
            self._after = event.seq
            if event.kind != "progress":
                self._write(f"{event.to_json()}\n".encode("utf-8", "backslashreplace"))

    def _write(self, line: bytes) -> None:
        try:
            while self._descriptor >= 0 and line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            complain(f"the log file {self._path} is not written any more: {error.strerror} (the ledger has all events)")
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _JsonStream:
    """Lines ``{"type":"event","event":{…}}``, ``{"type":"progress","snapshot":{…}}``, and a last one of type
    ``report``."""

    def __init__(self, run: Run, output: Output) -> None:
        self._run = run
        self._output = output
        self._after = 0
        self._shown: tuple[int, str, str] | None = None
        self._next = 0.0

    def advance(self) -> None:
        self._write_events()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _JSON_PROGRESS_SECONDS
            snapshot = self._run.snapshot
            # A ledger that cannot be written pauses the run and leaves the seq as it is.
            now = (snapshot.seq, snapshot.state, snapshot.reason)
            if now != self._shown:
                self._shown = now
                self._output.line(f'{{"type":"progress","snapshot":{snapshot.to_json()}}}')
        self._output.flush()

    def finish(self, report: Report) -> None:
        self._write_events()
        self._output.line(report_line(report))
        self._output.flush()

    def _write_events(self) -> None:
        for event in self._run.events(self._after, follow=False):
            self._after = event.seq
            self._output.line(f'{{"type":"event","event":{event.to_json()}}}')


def report_line(report: Report, kind: str = "report") -> str:
    """A report as a line of JSON."""
    message = safe_json(json.dumps(report.message, ensure_ascii=False))
    head = f'"type":"{kind}","exit_code":{report.exit_code},"message":{message}'
    return f'{{{head},"snapshot":{report.snapshot.to_json()}}}'
