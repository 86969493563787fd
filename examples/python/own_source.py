#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Move the rows of a table, each as a JSON document: a Source of one's own in thirty lines.

own_source.py articles.sqlite s3://archive/articles articles.db
"""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import waybill


class Articles(waybill.Source):
    """The table articles(id INTEGER PRIMARY KEY, title, body, changed_at), as ``00000017.json``."""

    def __init__(self, path: str) -> None:
        self.path = path

    def identity(self) -> str:
        return f"articles://{quote(self.path)}"

    def capabilities(self) -> waybill.SourceCapabilities:
        return waybill.SourceCapabilities(order="byte_key", start_after=True)

    def list(self, request: waybill.ListRequest, context: waybill.Context) -> Iterator[waybill.Item]:
        # A connection for each listing: it is drawn from by other threads than this one, one at a time.
        with closing(sqlite3.connect(self.path, check_same_thread=False)) as database:
            rows = database.execute(
                "SELECT printf('%08d.json', id), changed_at FROM articles"
                " WHERE CAST(printf('%08d.json', id) AS BLOB) > ?1"
                " AND (?2 = x'' OR CAST(printf('%08d.json', id) AS BLOB) < ?2) ORDER BY id",
                (request.after, request.before),
            )
            for key, changed_at in rows:
                yield waybill.Item(key, opaque=str(changed_at))  # what tells one revision from the next

    def read(self, item: waybill.Item, offset: int, length: int, context: waybill.Context) -> waybill.ReadResult:
        number = int(item.key.removesuffix(b".json"))
        with closing(sqlite3.connect(self.path)) as database:
            row = database.execute("SELECT title, body, changed_at FROM articles WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise FileNotFoundError(f"article {number}")
        title, body, changed_at = row
        document = json.dumps({"id": number, "title": title, "body": body}, ensure_ascii=False).encode()
        return waybill.ReadResult(
            document[offset : offset + length],
            total_size=len(document),
            stamp=waybill.SourceStamp(opaque=str(changed_at)),
            attributes=waybill.Attributes(content_type="application/json"),
        )


def main(table: str, destination: str, ledger: str) -> int:
    report = waybill.Migration(Articles(table), destination, ledger).run(progress=True)
    print(report.message)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
