#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An exception in one's own code stops a run; starting it again carries on where it was.

resume_after_exception.py SOURCE DESTINATION LEDGER MOST_SECONDS
"""

import sys
import time

import waybill


class TooLong(Exception):
    pass


def main(source: str, destination: str, ledger: str, most_seconds: str) -> int:
    end = time.monotonic() + float(most_seconds)

    def watch(snapshot: waybill.Snapshot) -> None:
        print(f"{snapshot.items.done} of {snapshot.items.eligible} items", file=sys.stderr)
        if time.monotonic() > end and snapshot.items.outstanding:
            raise TooLong(f"not done after {most_seconds} s")

    migration = waybill.Migration(source, destination, ledger)
    try:
        report = migration.run(progress=watch)
    except TooLong as error:
        # The run has ended as "failed", with the reason in the ledger; nothing that was copied is lost.
        print(f"stopped: {error}")
    except waybill.LockedError as error:
        print(f"somebody else is at it: {error}")
        return 4
    else:
        print(report.message)
        return report.exit_code

    report = migration.run()
    print(f"carried on: {report.message}")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
