#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A loop of one's own as a run: lines of text files are counted once, and again only where a file has changed.

own_loop.py FOLDER LEDGER

Stop it, kill it, start it again: it goes on with the files that are not counted. From another terminal:
waybill watch --tracker LEDGER, waybill cancel --tracker LEDGER.
"""

import sys
from pathlib import Path

import waybill


def main(folder: str, ledger: str) -> int:
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    counted = 0
    with waybill.track("count lines", tracker=ledger) as run:
        for path in run.items(
            files, revision=lambda path: path.stat().st_mtime_ns, size=lambda path: path.stat().st_size
        ):
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                run.fail(error)  # the next start tries it again
                continue
            run.result(lines=len(text.splitlines()))
            counted += 1
    assert run.report is not None
    print(f"counted {counted}: {run.report.message}")

    with waybill.Tracker(ledger) as tracker:
        total = sum(one.to_dict()["lines"] for one in tracker.results())
        print(f"{total} lines in all")
        for failure in tracker.failures():
            print(f"not counted: {waybill.printable(failure.key)}: {failure.message}", file=sys.stderr)
    return run.report.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
