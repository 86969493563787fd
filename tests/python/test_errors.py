# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import waybill
from waybill import _core, errors
from waybill.advice import what_to_do
from waybill.cli import exit_codes


@pytest.mark.parametrize(
    ("code", "kind", "builtin"),
    [
        ("cancelled", waybill.CancelledError, Exception),
        ("invalid_argument", waybill.InvalidArgumentError, ValueError),
        ("deadline_exceeded", waybill.DeadlineExceededError, TimeoutError),
        ("not_found", waybill.NotFoundError, FileNotFoundError),
        ("already_exists", waybill.AlreadyExistsError, FileExistsError),
        ("permission_denied", waybill.PermissionDeniedError, PermissionError),
        ("resource_exhausted", waybill.ResourceExhaustedError, OSError),
        ("failed_precondition", waybill.FailedPreconditionError, RuntimeError),
        ("aborted", waybill.AbortedError, RuntimeError),
        ("out_of_range", waybill.OutOfRangeError, ValueError),
        ("unimplemented", waybill.UnimplementedError, NotImplementedError),
        ("internal", waybill.InternalError, RuntimeError),
        ("unavailable", waybill.UnavailableError, ConnectionError),
        ("data_loss", waybill.DataLossError, OSError),
        ("unauthenticated", waybill.UnauthenticatedError, PermissionError),
    ],
)
def test_each_code_has_its_class_and_builtin(code: str, kind: type[waybill.Error], builtin: type[Exception]) -> None:
    error = kind("thing: was wrong", code=code, error_class="server", retryable=True, retry_after=1.5, http_status=503)
    assert isinstance(error, builtin)
    assert isinstance(error, waybill.Error)
    assert str(error) == "thing: was wrong"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert vars(again) == vars(error)


def test_every_code_of_cpp_is_known() -> None:
    assert set(_core.error_codes()) == set(errors._BY_CODE) | {"ok", "unknown"}


def test_every_class_of_cpp_has_an_exit_code() -> None:
    assert set(exit_codes.BY_CLASS) == set(_core.error_classes())
    assert set(exit_codes.BY_CLASS.values()) <= {1, 2, 4, 130}


def test_an_error_of_cpp_arrives_whole(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        waybill.Tracker(tmp_path / "nothing.db")
    error = caught.value
    assert isinstance(error, waybill.NotFoundError)
    assert (error.code, error.error_class, error.retryable, error.http_status) == ("not_found", "missing", False, 0)
    assert "nothing.db" in error.message
    assert error.retry_after is None


def test_an_unknown_scheme_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gopher"):
        waybill.Migration("gopher://x", tmp_path / "to", tmp_path / "t.db").start()


def test_every_class_is_in_the_docs_with_what_to_do() -> None:
    text = (Path(__file__).parents[2] / "docs/errors.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    documented = {name.strip("`"): advice for name, _, _, advice in rows}
    assert documented.keys() == set(_core.error_classes()) - {"none"}
    for name, advice in documented.items():
        assert advice == (what_to_do(name) or "–"), name
