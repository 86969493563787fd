# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that can freeze: connections stay open, and no byte moves."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class StallProxy:
    """Forwards to a port of 127.0.0.1 while it is entered."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.moving = threading.Event()
        self.moving.set()
        self.bytes_moved = 0
        self._trigger = b""
        self._calls_left = 0
        self._passes = False
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._is_closed = False

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def freeze(self) -> None:
        self.moving.clear()

    def freeze_at(self, request: bytes, calls: int, passes: bool = False) -> None:
        """Freezes by itself at the `calls`-th request that begins with `request`, which does not pass; or which `passes`,
        where it is sent in one piece, and whose answer does not.

        A caller that polls and then freezes may be late: the run may be over, or not have begun.
        """
        self._trigger, self._calls_left, self._passes = request, calls, passes

    @property
    def is_frozen(self) -> bool:
        return not self.moving.is_set()

    def thaw(self) -> None:
        self._trigger = b""
        self.moving.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self.moving.set()
        for one in [self._listener, *self._sockets]:
            # A shutdown wakes the thread that waits in a call on it; a close does not.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                return
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._is_let_through(data):
                    self.moving.wait()
                sink.sendall(data)
                self.bytes_moved += len(data)
            sink.shutdown(socket.SHUT_WR)

    def _is_let_through(self, data: bytes) -> bool:
        with self._counting:
            if not self._trigger or not data.startswith(self._trigger):
                return False
            self._calls_left -= 1
            if self._calls_left > 0:
                return False
            self.moving.clear()
            return self._passes and self._calls_left == 0
