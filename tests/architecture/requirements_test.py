# SPDX-License-Identifier: Apache-2.0
"""Holds tests/requirements.csv to its promise: every requirement has one line, and every test it names exists.

The third column is `not yet: <reason>` or one or more tests separated by `; `:
  relative/path.cpp::Suite.Name    a GoogleTest TEST, TEST_F or TEST_P
  relative/path.py::test_name      a Python test function or method
  scripts/..., bench/..., tests/...  an executable script
Paths are relative to the root of the project. That a named test passes is shown by running it, not here.
"""

import ast
import csv
import functools
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "tests" / "requirements.csv"
HEADER = ["id", "requirement", "test"]
NOT_YET = "not yet:"
SCRIPT_FOLDERS = ("scripts", "bench", "tests")


def expected_ids():
    def numbered(prefix, count, width=0):
        return [f"{prefix}{number:0{width}d}" for number in range(1, count + 1)]

    return [
        *numbered("", 195),
        *numbered("D", 60),
        *numbered("R", 40),
        *numbered("F", 66, width=2),
        *numbered("S", 22, width=2),
        *numbered("I", 12),
        *numbered("K", 6),
        *numbered("L", 4),
        *numbered("O", 5),
        *numbered("SI", 6),
        *numbered("H", 9),
        *numbered("U", 6),
    ]


def without_cpp_comments(text):
    # String literals are matched first so that a "//" inside one is not taken for a comment.
    token = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
    return token.sub(lambda match: match.group() if match.group().startswith('"') else " ", text)


@functools.cache  # one file is named by many requirements
def google_tests(path):
    pattern = r"^[ \t]*TEST(?:_F|_P)?\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)"
    found = re.findall(pattern, without_cpp_comments(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {f"{suite}.{test}" for suite, test in found}


@functools.cache
def python_tests(path):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = (node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, functions))
    return {name for name in names if name.startswith("test_")}


def google_test_exists(path, name):
    return name in google_tests(path)


def python_test_exists(path, name):
    return name in python_tests(path)


def reference_problem(reference, root):
    """Says what is wrong with one named test, or None."""
    relative, separator, name = reference.partition("::")
    parts = Path(relative).parts
    if not parts or Path(relative).is_absolute() or ".." in parts:
        return f"'{reference}' is not a path inside the project"
    path = root / relative
    if not path.is_file():
        return f"'{relative}' is not a file"
    if not separator:
        if parts[0] not in SCRIPT_FOLDERS:
            return f"'{relative}' is not in {', '.join(SCRIPT_FOLDERS)}"
        return None if os.access(path, os.X_OK) else f"'{relative}' is not executable"
    exists = {".cpp": google_test_exists, ".py": python_test_exists}.get(path.suffix)
    if exists is None:
        return f"'{relative}' is neither .cpp nor .py"
    return None if exists(path, name) else f"'{relative}' has no test '{name}'"


def problems(rows, root, ids):
    """Everything that is wrong with the rows (header included), one line of text each."""
    if not rows or rows[0] != HEADER:
        return [f"the header is not {','.join(HEADER)}"]
    found = []
    known = set(ids)
    seen = set()
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(HEADER):
            found.append(f"row {number}: {len(row)} columns instead of {len(HEADER)}")
            continue
        identity, requirement, test = row
        if identity not in known:
            found.append(f"row {number}: unknown id '{identity}'")
        if identity in seen:
            found.append(f"row {number}: duplicate id '{identity}'")
        seen.add(identity)
        if not requirement.strip():
            found.append(f"{identity}: empty sentence")
        if test.startswith(NOT_YET):
            if not test[len(NOT_YET) :].strip():
                found.append(f"{identity}: 'not yet' without a reason")
            continue
        for reference in test.split("; "):
            problem = reference_problem(reference, root)
            if problem:
                found.append(f"{identity}: {problem}")
    found.extend(f"missing id '{identity}'" for identity in ids if identity not in seen)
    return found


def test_every_requirement_has_one_line_and_every_named_test_exists():
    with REQUIREMENTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    found = problems(rows, ROOT, expected_ids())
    assert not found, "\n" + "\n".join(found)


# The check itself, on a small project.


@pytest.fixture
def project(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "tests" / "a_test.cpp").write_text(
        'const char* url = "http://x";\n'
        "TEST(Ledger, Keeps) {}\n"
        "TEST_F(Ledger,\n       Survives) {}\n"
        "TEST_P(Every, Store) {}\n"
        "// TEST(Ledger, InLineComment)\n"
        "/*\nTEST(Ledger, InBlockComment)\n*/\n",
        encoding="utf-8",
    )
    (tmp_path / "tests" / "b_test.py").write_text(
        "def test_top(): pass\nclass TestGroup:\n    def test_method(self): pass\ndef helper(): pass\n# def test_comment(): pass\n",
        encoding="utf-8",
    )
    for name, mode in (("tests/runs", 0o755), ("tests/plain", 0o644), ("src/runs", 0o755)):
        (tmp_path / name).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / name).chmod(mode)
    return tmp_path


@pytest.mark.parametrize(
    "test",
    [
        "not yet: cutover",
        "tests/a_test.cpp::Ledger.Keeps",
        "tests/a_test.cpp::Ledger.Survives",
        "tests/a_test.cpp::Every.Store",
        "tests/b_test.py::test_top",
        "tests/b_test.py::test_method",
        "tests/runs",
        "tests/runs; tests/a_test.cpp::Ledger.Keeps; tests/b_test.py::test_top",
    ],
)
def test_accepts(project, test):
    assert problems([HEADER, ["1", "A sentence.", test]], project, ["1"]) == []


@pytest.mark.parametrize(
    ("test", "complaint"),
    [
        ("", "not a path inside the project"),
        ("not yet: ", "without a reason"),
        ("not yet", "is not a file"),
        ("tests/none_test.cpp::Ledger.Keeps", "is not a file"),
        ("tests/a_test.cpp::Ledger.Other", "has no test"),
        ("tests/a_test.cpp::Other.Keeps", "has no test"),
        ("tests/a_test.cpp::Ledger", "has no test"),
        ("tests/a_test.cpp::", "has no test"),
        ("tests/a_test.cpp::Ledger.InLineComment", "has no test"),
        ("tests/a_test.cpp::Ledger.InBlockComment", "has no test"),
        ("tests/a_test.cpp", "is not executable"),
        ("tests/b_test.py::test_comment", "has no test"),
        ("tests/b_test.py::helper", "has no test"),
        ("tests/plain", "is not executable"),
        ("tests/plain::Ledger.Keeps", "neither .cpp nor .py"),
        ("tests", "is not a file"),
        ("src/runs", "is not in scripts"),
        ("/bin/sh", "not a path inside the project"),
        ("tests/../src/runs", "not a path inside the project"),
        ("tests/runs; tests/none", "is not a file"),
    ],
)
def test_refuses_a_named_test_that_does_not_exist(project, test, complaint):
    found = problems([HEADER, ["1", "A sentence.", test]], project, ["1"])
    assert len(found) == 1 and complaint in found[0], found


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "the header"),
        ([["id", "sentence", "test"]], "the header"),
        ([HEADER, ["1", "A.", "not yet: x"]], "missing id '2'"),
        ([HEADER, *[[i, "A.", "not yet: x"] for i in "122"]], "duplicate id '2'"),
        ([HEADER, *[[i, "A.", "not yet: x"] for i in "123"]], "unknown id '3'"),
        ([HEADER, ["1", "A.", "not yet: x"], ["2", " ", "not yet: x"]], "2: empty sentence"),
        ([HEADER, *[[i, "A.", "not yet: x"] for i in "12"], ["3", "A."]], "2 columns"),
    ],
)
def test_refuses_a_bad_table(project, rows, complaint):
    found = problems(rows, project, ["1", "2"])
    assert len(found) == 1 and complaint in found[0], found


def test_ids_are_counted_as_in_the_table_of_contents():
    ids = expected_ids()
    assert len(ids) == len(set(ids)) == 195 + 60 + 40 + 66 + 22 + 12 + 6 + 4 + 5 + 6 + 9 + 6
    assert {"1", "195", "D60", "R40", "F01", "F66", "S01", "S22", "I12", "SI6", "U6"} <= set(ids)
