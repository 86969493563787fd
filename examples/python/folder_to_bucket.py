#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keep a folder in a bucket: only what is new or changed is sent, what is left out is named.

folder_to_bucket.py /data/photos s3://photos/2026 photos.db
"""

import sys

import waybill


def main(folder: str, bucket: str, ledger: str) -> int:
    options = waybill.Options(exclude=["**/*.tmp", ".cache/**"], max_size_bytes=5 << 30, digest="sha256")
    migration = waybill.Migration(folder, bucket, ledger, options=options)
    report = migration.run(progress=True)
    items = report.snapshot.items
    print(f"{items.created} new, {items.updated} changed, {items.unchanged} as they were, {items.excluded} left out")
    for item in migration.items(state="excluded"):
        print("  left out:", waybill.printable(item.key))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
