#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What failed, and how the time was spent, in pandas (pip install 'waybill[pandas]').

failures_in_pandas.py photos.db
"""

import sys

import waybill


def main(ledger: str) -> int:
    with waybill.Tracker(ledger) as tracker:
        failures = tracker.failures().to_pandas()
        items = tracker.items(state=["copied", "verified"]).to_pandas()

        print(f"{len(items)} items are there, {int(items['size'].sum())} bytes")
        if failures.empty:
            print("nothing failed")
            return 0
        failures["folder"] = failures["key"].map(lambda key: waybill.printable(key).partition("/")[0])
        print(failures.groupby(["error_class", "folder"]).size().sort_values(ascending=False).to_string())
        print()
        for error_class, group in failures.groupby("error_class"):
            print(f"{error_class}: for example {waybill.printable(group.iloc[0]['key'])}: {group.iloc[0]['message']}")
    return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
