# SPDX-License-Identifier: Apache-2.0
"""An SFTP server on loopback over a folder: paramiko's, with the answers of a POSIX system."""

from __future__ import annotations

import os
import secrets
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paramiko

USER = "tester"


class _Files(paramiko.SFTPServerInterface):
    """The folder, as the root of everything."""

    def __init__(self, server: _Account) -> None:
        self.top = server.top
        super().__init__(server)

    def _real(self, path: str) -> str:
        return self.top + self.canonicalize(path)

    def list_folder(self, path: str) -> Any:
        try:
            found = []
            for entry in os.scandir(self._real(path)):
                attributes = paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False))
                attributes.filename = entry.name
                found.append(attributes)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return found

    def stat(self, path: str) -> Any:
        return self._of(os.stat, path)

    def lstat(self, path: str) -> Any:
        return self._of(os.lstat, path)

    def _of(self, call: Any, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(call(self._real(path)))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def open(self, path: str, flags: int, attr: Any) -> Any:
        try:
            descriptor = os.open(self._real(path), flags, 0o644)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        mode = {os.O_WRONLY: "wb", os.O_RDWR: "r+b"}.get(flags & os.O_ACCMODE, "rb")
        file = os.fdopen(descriptor, mode)
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = handle.writefile = file
        return handle

    def _do(self, call: Any, *arguments: Any) -> int:
        try:
            call(*arguments)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK

    def remove(self, path: str) -> int:
        return self._do(os.remove, self._real(path))

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return self._do(os.replace, self._real(oldpath), self._real(newpath))

    def mkdir(self, path: str, attr: Any) -> int:
        return self._do(os.mkdir, self._real(path))

    def rmdir(self, path: str) -> int:
        return self._do(os.rmdir, self._real(path))


class _Account(paramiko.ServerInterface):
    def __init__(self, top: str, password: str) -> None:
        self.top = top
        self.password = password

    def check_auth_password(self, username: str, password: str) -> int:
        is_right = (username, password) == (USER, self.password)
        return paramiko.AUTH_SUCCESSFUL if is_right else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def get_allowed_auths(self, username: str) -> str:
        return "password"


class SftpServer:
    """Started when entered, stopped when left. `connections` counts those that were made."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.password = secrets.token_hex(8)
        self.connections = 0
        self._key = paramiko.ECDSAKey.generate()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def options(self) -> dict[str, Any]:
        """What fsspec takes."""
        return {"host": "127.0.0.1", "port": self.port, "username": USER, "password": self.password} | {
            "look_for_keys": False,
            "allow_agent": False,
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            transport = paramiko.Transport(connection)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files)
            self._transports.append(transport)
            try:
                transport.start_server(server=_Account(str(self.top), self.password))
            except (paramiko.SSHException, EOFError, OSError):
                continue  # it went away before it had begun
