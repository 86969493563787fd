#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verify what was moved, copy again what is not right, and verify once more.

verify_and_repair.py SOURCE DESTINATION LEDGER
"""

import sys

import waybill


def main(source: str, destination: str, ledger: str) -> int:
    migration = waybill.Migration(source, destination, ledger)
    verified = migration.verify("checksum", progress=True)
    findings = list(migration.findings())
    for finding in findings:
        print(f"{finding.kind:10} {waybill.printable(finding.key)}: {finding.detail}")
    if verified.exit_code == 0:
        print("everything is as it was copied")
        return 0

    # Items with a finding are copied again over whatever is there; extra objects are only reported.
    repair = waybill.Options(findings_of=verified.snapshot.run)
    repaired = waybill.Migration(source, destination, ledger, options=repair).run()
    print(f"repaired: {repaired.message}")
    again = migration.verify("checksum")
    print(f"verified again: {again.message}")
    return again.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
