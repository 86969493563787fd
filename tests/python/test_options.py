# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill import _core

PROJECT = Path(__file__).parents[2]


def test_names_order_and_defaults_are_those_of_cpp() -> None:
    ours = {field.name: field.default for field in dataclasses.fields(waybill.Options)}
    assert list(ours) == list(_core.default_options())
    assert ours == _core.default_options()


_REFERENCE = ("catalog", "record", "field")
_ITEM = ("item_partition", "item_key", "item_version")


def header_fields(header: str, struct: str) -> list[str]:
    """The members of a struct as its header declares them."""
    text = (PROJECT / "include" / "waybill" / header).read_text(encoding="utf-8")
    found = re.search(rf"^ *struct {struct} {{\n(.*?)^ *}};", text, re.MULTILINE | re.DOTALL)
    assert found, struct
    declarations = re.sub(r"^ *(//.*|enum .*?};|bool operator.*)$", "", found[1], flags=re.MULTILINE)
    names = re.findall(r"^ *[\w:<>, ]+?[>\w] (\w+)(?: = [^;]+| = \{\}|\{[^;]*\})?;", declarations, re.MULTILINE)
    return list(names)


def test_the_header_declares_the_same_fields() -> None:
    """A field that is new in C++ is found here even where the bindings do not know it."""
    assert header_fields("options.hpp", "Options") == list(_core.default_options())


@pytest.mark.parametrize(
    ("header", "struct", "kind", "otherwise"),
    [
        ("item.hpp", "Attributes", waybill.Attributes, {}),
        ("item.hpp", "SourceStamp", waybill.SourceStamp, {}),
        ("item.hpp", "ItemId", waybill.ItemId, {}),
        ("destination.hpp", "PartPlan", waybill.PartPlan, {}),
        ("destination.hpp", "OpenUpload", waybill.OpenUpload, {}),
        ("destination.hpp", "Stored", waybill.Stored, {"digest": ("crc64nvme", "sha256")}),
        ("destination.hpp", "PartInfo", waybill.PartInfo, {"digest": ("crc64nvme", "sha256")}),
        ("destination.hpp", "WriteOptions", waybill.WriteOptions, {}),
        # Where both sides are one store in C++ it can copy by itself; one in Python cannot.
        (
            "destination.hpp",
            "Capabilities",
            waybill.DestinationCapabilities,
            {"copies": (), "copies_need_attributes": (), "max_copy_bytes": (), "copy_part_bytes": ()},
        ),
        ("source.hpp", "Capabilities", waybill.SourceCapabilities, {}),
        ("catalog.hpp", "ReferenceId", waybill.ReferenceId, {}),
        ("catalog.hpp", "ReferenceValue", waybill.ReferenceValue, {}),
        ("catalog.hpp", "ReferenceUpdate", waybill.ReferenceUpdate, {}),
        ("catalog.hpp", "UpdateResult", waybill.UpdateResult, {}),
        ("catalog.hpp", "Since", waybill.Since, {}),
        ("catalog.hpp", "ReferencePage", waybill.ReferencePage, {}),
        ("catalog.hpp", "Capabilities", waybill.CatalogCapabilities, {}),
        ("tracker.hpp", "Failure", waybill.FailureRecord, {}),
        ("tracker.hpp", "Waiver", waybill.Waiver, {}),
        ("tracker.hpp", "ItemChange", waybill.ItemChange, {}),
        ("tracker.hpp", "ListingRecord", waybill.ListingRecord, {}),
        ("tracker.hpp", "UploadRecord", waybill.UploadRecord, {}),
        ("tracker.hpp", "UploadChange", waybill.UploadChange, {}),
        ("tracker.hpp", "Finding", waybill.Finding, {"id": ("partition", "key", "version")}),
        ("tracker.hpp", "ReferenceRecord", waybill.ReferenceRecord, {"id": _REFERENCE, "item": _ITEM}),
        ("tracker.hpp", "ReferenceChange", waybill.ReferenceChange, {}),
        ("tracker.hpp", "JournalRecord", waybill.JournalRecord, {"id": _REFERENCE}),
        ("tracker.hpp", "CutoverPlanRecord", waybill.CutoverPlanRecord, {"pass": ("pass_",)}),
        ("tracker.hpp", "ReferenceQuery", waybill.ReferenceQuery, {}),
        ("tracker.hpp", "ReferenceRecordPage", waybill.ReferenceRecordPage, {}),
        ("progress.hpp", "ReferenceAccounts", waybill.ReferenceAccounts, {}),
        ("tracker.hpp", "RunSummary", waybill.RunSummary, {}),
        ("tracker.hpp", "PartitionSummary", waybill.PartitionSummary, {}),
        ("tracker.hpp", "RunRecord", waybill.RunRecord, {}),
        ("tracker.hpp", "RateSample", waybill.RateSample, {}),
        ("tracker.hpp", "Claimed", waybill.Claimed, {}),
        ("tracker.hpp", "Query", waybill.Query, {}),
        ("tracker.hpp", "ScanRow", waybill.ScanRow, {}),
        ("tracker.hpp", "ScanPage", waybill.ScanPage, {}),
        ("tracker.hpp", "Request", waybill.Request, {}),
        ("tracker.hpp", "LeaseOptions", waybill.LeaseOptions, {"lease": ("lease_ms",)}),
    ],
)
def test_what_stores_and_ledgers_exchange_has_the_fields_of_cpp(
    header: str, struct: str, kind: Any, otherwise: dict[str, tuple[str, ...]]
) -> None:
    wanted = [name for field in header_fields(header, struct) for name in otherwise.get(field, (field,))]
    assert sorted(field.name for field in dataclasses.fields(kind)) == sorted(wanted)


def test_a_row_of_the_ledger_and_a_batch_have_the_fields_of_cpp() -> None:
    row = {
        "id": ("partition", "key", "version"),
        "stamp": ("size", "etag", "mtime_ns", "stamp_version", "opaque"),
        "digest": ("crc64nvme", "sha256"),
        "stored": tuple(f"stored_{field.name}" for field in dataclasses.fields(waybill.Stored)),
    }
    wanted = [name for field in header_fields("tracker.hpp", "ItemRecord") for name in row.get(field, (field,))]
    assert sorted(field.name for field in dataclasses.fields(waybill.ItemRecord)) == sorted(wanted)
    assert header_fields("tracker.hpp", "Batch") == list(inspect.signature(waybill.Batch).parameters)


def test_options_are_frozen_and_keyword_only() -> None:
    options = waybill.Options(concurrency=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.concurrency = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        waybill.Options(4)  # type: ignore[misc]
    assert dataclasses.replace(options, concurrency=7).concurrency == 7


def test_globs_become_a_tuple() -> None:
    assert waybill.Options(include=["a", "b"]) == waybill.Options(include=("a", "b"))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("concurrency", 513, "0 to 512"),
        ("concurrency", -1, "0 to 512"),
        ("body_budget_bytes", 1, "must be"),
        ("body_budget_bytes", -1, "negative"),
        ("part_size_bytes", 1 << 80, "too large"),
        ("modified_since_ms", 1 << 80, "too large"),
        ("max_attempts", 0, "1 to 100"),
        ("overwrite", "sometimes", "own, never, always"),
        ("digest", "md5", "crc64nvme, sha256"),
        ("include", ["\udcff"], "UTF-8"),
        ("drain_ms", 60_001, "60000"),
        ("heartbeat_ms", 20_000, "must be"),
    ],
)
def test_a_wrong_value_names_its_option_and_what_is_wanted(name: str, value: Any, wanted: str) -> None:
    with pytest.raises(waybill.InvalidArgumentError, match=name) as caught:
        waybill.Options(**{name: value})
    assert type(caught.value) is waybill.InvalidArgumentError
    assert caught.value.error_class == "configuration"
    assert wanted in str(caught.value)
    assert "type" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("concurrency", "many", "a whole number, not 'many'"),
        ("concurrency", 4.0, "a whole number, not 4.0"),
        ("concurrency", True, "a whole number, not True"),
        ("modified_since_ms", "yesterday", "a whole number, or None, not 'yesterday'"),
        ("overwrite", 3, "one of own, never, always, not 3"),
        ("failed_only", 1, "True or False, not 1"),
        ("server_side_copy", None, "True or False, not None"),
        ("include", "*.jpg", "a sequence of str, not '*.jpg'"),
        ("exclude", 5, "a sequence of str, not 5"),
        ("include", [5], "a sequence of str, not (5,)"),
        ("partitions", [b"a"], "a sequence of str, not (b'a',)"),
        ("keys", "a", "a sequence of str or bytes, not 'a'"),
    ],
)
def test_a_wrong_type_is_a_type_error_too(name: str, value: Any, wanted: str) -> None:
    for kind in (TypeError, waybill.InvalidArgumentError):
        with pytest.raises(kind) as caught:
            waybill.Options(**{name: value})
        assert str(caught.value) == f"{name} takes {wanted}"


def test_whatever_is_a_whole_number_is_one() -> None:
    class Whole:
        def __index__(self) -> int:
            return 4

    assert waybill.Options(concurrency=Whole())  # type: ignore[arg-type]


def test_words_may_come_one_by_one() -> None:
    assert waybill.Options(include=(word for word in "ab"), keys=iter(["k", b"\xff"])).keys == ("k", b"\xff")


@pytest.mark.parametrize(
    ("name", "near"),
    [("concurency", "concurrency"), ("maxAttempts", "max_attempts"), ("Overwrite", "overwrite"), ("zzz", "help(")],
)
def test_an_unknown_option_is_named_with_the_closest_one(name: str, near: str) -> None:
    for kind in (TypeError, waybill.InvalidArgumentError):
        with pytest.raises(kind) as caught:
            waybill.Options(**{name: 3})
        assert repr(name) in str(caught.value)
        assert near in str(caught.value)
    with pytest.raises(waybill.InvalidArgumentError, match=near.replace("(", "")):
        dataclasses.replace(waybill.Options(), **{name: 3})


def test_the_closest_word_is_named() -> None:
    with pytest.raises(waybill.InvalidArgumentError, match=r"'alwyas'.* did you mean 'always'"):
        waybill.Options(overwrite="alwyas")  # type: ignore[arg-type]
    with pytest.raises(waybill.InvalidArgumentError, match=r"'permision'.* did you mean 'permission'"):
        waybill.Options(failed_only=True, error_classes=["permision"])


def test_an_error_of_a_wrong_option_survives_another_process() -> None:
    with pytest.raises(waybill.InvalidTypeError) as caught:
        waybill.Options(concurency=3)  # type: ignore[call-arg]
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.code) == (waybill.InvalidTypeError, str(caught.value), "invalid_argument")


def test_the_signature_lists_all_options() -> None:
    assert list(inspect.signature(waybill.Options).parameters) == [f.name for f in dataclasses.fields(waybill.Options)]
