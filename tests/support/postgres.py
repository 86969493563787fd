# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL cluster of the tests' own: in a temporary folder, on a port of its own on loopback, without disk flushes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

ADMIN = "tester"


def _programs() -> Path:
    """The folder of initdb and postgres: Debian has them outside of the PATH."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True
    )
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        folders.append(Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip()))
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise RuntimeError("PostgreSQL is not installed; scripts/setup installs it (Debian's package postgresql)")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Postgres:
    """Started when entered, stopped when left, and with the thread that entered it. Everybody logs in with a password."""

    def __init__(self) -> None:
        self.password = secrets.token_hex(12)
        self.port = 0
        self._folder = Path(tempfile.mkdtemp(prefix="waybill-postgres-", dir="/tmp"))  # a socket's path is short
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def connect(self, database: str = "postgres", user: str = ADMIN, password: str = "") -> psycopg.Connection:
        """A connection on which every statement is committed by itself."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=user,
            password=password or self.password,
            autocommit=True,
        )

    def make_database(self) -> str:
        """A new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def url(self, database: str, user: str = ADMIN) -> str:
        """For SQLAlchemy; the password is to stand in the environment as WAYBILL_TEST_PASSWORD."""
        return f"postgresql+psycopg://{user}@127.0.0.1:{self.port}/{database}?password=env:WAYBILL_TEST_PASSWORD"

    def _as_server(self, *words: str | Path) -> list[str]:
        """PostgreSQL refuses to run as root: there it is Debian's user postgres. It ends with the tests however they end."""
        user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *user, "--pdeathsig=QUIT", *(str(word) for word in words)]

    def _start(self) -> None:
        programs = _programs()
        data = self._folder / "data"
        secret = self._folder / "password"
        secret.write_text(self.password)
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
            shutil.chown(secret, "postgres")
        made = subprocess.run(
            self._as_server(
                programs / "initdb", "--pgdata", data, "--username", ADMIN, "--pwfile", secret, "--auth=scram-sha-256",
                "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
            ),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise RuntimeError(f"initdb: {made.stdout}{made.stderr}")
        for _ in range(3):  # another program may take the port that was free
            self.port = _free_port()
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": str(self.port),
                "unix_socket_directories": str(self._folder),
                "fsync": "off",
                "full_page_writes": "off",
                "autovacuum": "off",
                "max_connections": "60",
            }
            with open(self._folder / "log", "ab") as log:
                self._process = subprocess.Popen(
                    self._as_server(
                        programs / "postgres", "-D", data, *(f"--{name}={value}" for name, value in settings.items())
                    ),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # a Ctrl-C of the tests is not its
                )
            if self._is_up():
                return
        raise RuntimeError("PostgreSQL did not start: " + (self._folder / "log").read_text()[-2000:])

    def _is_up(self) -> bool:
        end = time.monotonic() + 120
        while self._process is not None and self._process.poll() is None and time.monotonic() < end:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return True
        return False

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
