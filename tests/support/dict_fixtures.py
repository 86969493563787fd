# SPDX-License-Identifier: Apache-2.0
"""The stores of dict_stores under the conformance suite."""

from __future__ import annotations

from collections.abc import Sequence

from dict_stores import (
    MOST_BYTES_OF_A_KEY,
    DictDestination,
    DictSource,
    Store,
)

from waybill import Attributes, Destination, Source
from waybill.conformance import AttributesKept, DestinationFixture, SourceFixture, hostile_keys

EVERYTHING = AttributesKept(content_headers=True, metadata=True, mode=True, mtime=True)


class DictSourceFixture(SourceFixture):
    """Any of the sources, over a dict that the suite fills."""

    def __init__(self, kind: type[Source] = DictSource) -> None:
        self.behind = Store()
        self._source = kind(self.behind)  # type: ignore[call-arg]
        self.attributes_kept = EVERYTHING if isinstance(self._source, DictSource) else AttributesKept()

    @property
    def source(self) -> Source:
        return self._source

    def put(self, key: bytes, content: bytes, attributes: Attributes) -> None:
        self.behind.write(key, content, attributes)

    def remove(self, key: bytes) -> None:
        del self.behind.entries[key]

    def stall(self) -> bool:
        self.behind.gate.clear()
        return True

    def resume(self) -> None:
        self.behind.gate.set()


class DictDestinationFixture(DestinationFixture):
    """Any of the destinations, over a dict that the suite looks at."""

    def __init__(self, kind: type[Destination] = DictDestination) -> None:
        self.behind = Store()
        self._destination = kind(self.behind)  # type: ignore[call-arg]
        self.has_everything = isinstance(self._destination, DictDestination)
        self.attributes_kept = EVERYTHING if self.has_everything else AttributesKept()

    @property
    def destination(self) -> Destination:
        return self._destination

    def content(self, key: bytes) -> bytes | None:
        entry = self.behind.entries.get(key)
        return None if entry is None else entry.content

    def refused_keys(self) -> Sequence[bytes]:
        if self.has_everything:
            return [key for key in hostile_keys() if not 0 < len(key) <= MOST_BYTES_OF_A_KEY]
        return [b""]

    def leftovers(self) -> Sequence[str]:
        return list(self.behind.uploads)

    def stall(self) -> bool:
        self.behind.gate.clear()
        return True

    def resume(self) -> None:
        self.behind.gate.set()
