# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import waybill
from waybill import _core


def test_names_order_and_defaults_are_those_of_cpp() -> None:
    ours = {field.name: field.default for field in dataclasses.fields(waybill.Options)}
    assert list(ours) == list(_core.default_options())
    assert ours == _core.default_options()


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
    ("name", "value"),
    [
        ("concurrency", 513),
        ("concurrency", -1),
        ("concurrency", "many"),
        ("body_budget_bytes", 1),
        ("body_budget_bytes", -1),
        ("part_size_bytes", 1 << 80),
        ("max_attempts", 0),
        ("overwrite", "sometimes"),
        ("digest", "md5"),
        ("include", "*.jpg"),
        ("exclude", 5),
        ("include", [5]),
        ("drain_ms", 60_001),
        ("heartbeat_ms", 20_000),
    ],
)
def test_a_wrong_value_names_its_option(name: str, value: Any) -> None:
    with pytest.raises(waybill.InvalidArgumentError, match=name) as caught:
        waybill.Options(**{name: value})
    assert caught.value.error_class == "configuration"
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="concurency"):
        waybill.Options(concurency=3)  # type: ignore[call-arg]
