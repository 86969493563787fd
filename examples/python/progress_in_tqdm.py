#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Show progress in a bar of one's own choice: here tqdm's (pip install tqdm).

progress_in_tqdm.py SOURCE DESTINATION LEDGER
"""

import sys

from tqdm import tqdm

import waybill


def main(source: str, destination: str, ledger: str) -> int:
    with tqdm(unit="B", unit_scale=True, unit_divisor=1024) as bar:

        def show(snapshot: waybill.Snapshot) -> None:
            # Totals grow while the listing goes on; None is "not known yet".
            bar.total = snapshot.bytes_total if snapshot.listing_complete else None
            bar.n = snapshot.bytes_done
            bar.set_postfix(items=snapshot.items.done, failed=snapshot.items.failed)

        report = waybill.Migration(source, destination, ledger).run(progress=show)
    print(report.message)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
