# SPDX-License-Identifier: Apache-2.0
"""What every `Transform` keeps: tried in runs of its own, from one folder in memory to another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from waybill.conformance.fixtures import TransformFixture
from waybill.conformance.support import Suite, list_all, same, same_keys, sample_content
from waybill.connectors import open_destination
from waybill.migration import Migration
from waybill.records import Report
from waybill.stores import Body, ReadResult, WriteOptions

__all__ = ["TransformConformance"]

_numbers = itertools.count()


class TransformConformance(Suite[TransformFixture]):
    """The cases. Give the class that inherits them a fixture ``store`` that is a `TransformFixture`."""

    def moved(self, contents: dict[bytes, bytes], folder: Path) -> tuple[Report, dict[bytes, bytes]]:
        """What a run through the transform makes of `contents`."""
        number = next(_numbers)
        source, destination = f"memory://conformance-from-{number}", f"memory://conformance-to-{number}"
        put_in = open_destination(source)
        for key, content in contents.items():
            put_in.put(key, Body(content), WriteOptions(), self.context)
        tracker = folder / f"transform-{number}.db"
        report = Migration(source, destination, tracker, transform=self.store.transform).run()
        out = open_destination(destination)
        found = {}
        for item in list_all(out, self.context):
            read = out.read(item, 0, item.size or 0, self.context)
            assert isinstance(read, ReadResult)
            found[item.key] = bytes(read.data)
            out.remove(item.key, self.context)
        for key in contents:
            put_in.remove(key, self.context)
        return report, found

    @pytest.fixture
    def contents(self) -> Iterator[dict[bytes, bytes]]:
        sizes = (0, 1, 2, 255, 4_096, 65_537, 1_000_003)
        yield {f"data{size}".encode(): sample_content(size, size) for size in sizes}

    def test_identity_is_stable(self) -> None:
        identity = self.store.transform.identity()
        assert identity and identity == self.store.transform.identity()
        assert not set(identity) & set("\n\r")

    def test_makes_what_is_expected_of_every_length(self, contents: dict[bytes, bytes], tmp_path: Path) -> None:
        report, found = self.moved(contents, tmp_path)
        assert report.state == "completed"
        same_keys(sorted(found), sorted(contents), "what the run made")
        for key, content in contents.items():
            assert same(found[key], self.store.expected(content))

    def test_many_items_at_once_do_not_mix(self, tmp_path: Path) -> None:
        contents = {f"{number:03}".encode(): sample_content(3_000 + number, number) for number in range(200)}
        report, found = self.moved(contents, tmp_path)
        assert report.state == "completed"
        same_keys(sorted(found), sorted(contents), "what the run made")
        for key, content in contents.items():
            assert same(found[key], self.store.expected(content))

    def test_the_same_content_gives_the_same_bytes(self, contents: dict[bytes, bytes], tmp_path: Path) -> None:
        first, second = (self.moved(contents, tmp_path)[1] for _ in range(2))
        for key in contents:
            assert same(second[key], first[key])
