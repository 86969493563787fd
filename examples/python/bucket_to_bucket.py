#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Move one bucket into another, and prove it.

    bucket_to_bucket.py 's3://old/?profile=old' 's3://new/archive/?profile=new' old-to-new.db

Where both are one endpoint, the store itself copies. Run it again after whatever stopped it: it carries on.
"""

import sys

import waybill


def main(source: str, destination: str, ledger: str) -> int:
    migration = waybill.Migration(source, destination, ledger, name="old to new")

    plan = migration.plan()  # lists both sides; moves and records nothing
    print(f"{plan.items:,} objects, {plan.bytes:,} bytes; {plan.to_create:,} to copy, {plan.occupied:,} in the way")

    report = migration.run(progress=True)
    print(report.message)
    for failure in migration.failures():
        print(f"  {failure.error_class:12} {waybill.printable(failure.key)}: {failure.message}")
    if report.exit_code not in (0, 3):
        return report.exit_code

    verified = migration.verify(progress=True)  # source ⋈ ledger ⋈ destination, with checksums
    print(verified.message)
    return verified.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
