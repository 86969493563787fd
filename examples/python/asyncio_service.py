#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A service that has several runs at once in one event loop, and answers about them meanwhile.

asyncio_service.py FOLDER_OF_LEDGERS SOURCE=DESTINATION...
"""

import asyncio
import json
import sys
from pathlib import Path

import waybill
from waybill import aio


class Service:
    """Runs by name, and a line-based server: each line names a run, each answer is its snapshot as JSON."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshots: dict[str, waybill.Snapshot] = {}

    async def move(self, name: str, source: str, destination: str) -> waybill.Report:
        migration = waybill.Migration(source, destination, self.folder / f"{name}.db", name=name)
        async with aio.start(migration) as run:
            async for snapshot in run.progress(seconds=0.2):
                self.snapshots[name] = snapshot
        report = await run
        self.snapshots[name] = report.snapshot
        return report

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            snapshot = self.snapshots.get(line.decode().strip())
            writer.write((snapshot.to_json() if snapshot else json.dumps(None)).encode() + b"\n")
            await writer.drain()
        writer.close()


async def main(folder: str, pairs: list[str]) -> int:
    service = Service(Path(folder))
    server = await asyncio.start_server(service.answer, "127.0.0.1", 0)
    async with server:
        print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
        async with asyncio.TaskGroup() as group:
            runs = [
                group.create_task(service.move(f"run-{number}", *pair.split("=", 1)))
                for number, pair in enumerate(pairs, 1)
            ]
    for run in runs:
        print(run.result().message)
    return max(run.result().exit_code for run in runs)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
