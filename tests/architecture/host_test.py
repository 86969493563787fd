# SPDX-License-Identifier: Apache-2.0
"""What the library may not do to the process that it lives in, and what it may use in one place only."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Calls that end, print from, or change the state of a whole process, and calls that start another one.
FREE = r"(?<![\w.>])(?<!\w::)"  # neither a method nor of a namespace of ours
ENDS = rf"std::(?:abort|exit|quick_exit|terminate)|{FREE}_?_?[eE]xit|{FREE}abort(?=\s*\(\s*\))"
PRINTS = rf"std::(?:printf|puts|putchar)|{FREE}(?:printf|vprintf|puts|putchar|perror)"
CHANGES = r"(?<![\w.>])(?:setlocale|umask|signal|sigaction|sigprocmask|fchdir|chdir|setenv|putenv|unsetenv)"
STARTS = r"(?<![\w.>])(?:v?fork|exec[lv]p?e?|popen|system|posix_spawnp?)"
FORBIDDEN = re.compile(rf"(?:{ENDS}|{PRINTS}|{CHANGES}|{STARTS})\s*\(|std::(?:cout|cerr|clog)\b|locale::global")
# The one program that is ever started: the `credential_process` that a profile of the user names.
STARTERS = {"src/aws/process.cpp"}


def code_of(path: Path) -> str:
    """A file without its comments and the insides of its strings."""
    token = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
    return token.sub(lambda match: '""' if '"' in match[0][:2] else " ", path.read_text(encoding="utf-8"))


def sources() -> list[Path]:
    found = [path for top in ("src", "include") for path in (ROOT / top).rglob("*") if path.suffix in (".cpp", ".hpp")]
    assert len(found) > 50
    # What a test build compiles in to kill itself.
    return [path for path in found if "fault" not in path.name]


def test_the_check_sees_what_is_forbidden() -> None:
    for text in (
        "abort();",
        "::exit(1)",
        "std::abort()",
        'printf("")',
        "std::cout << 1",
        "fork()",
        "::umask(0)",
        "system(x)",
    ):
        assert FORBIDDEN.search(text), text
    for text in ("upload->abort(context)", "pool.exit(1)", "Upload(x).abort(c)", "snprintf(a, b)", "sigaction_of(x)"):
        assert not FORBIDDEN.search(text), text


def test_the_library_ends_prints_changes_and_starts_nothing() -> None:
    for path in sources():
        # A method of that name may be declared or defined.
        code = re.sub(r"\b(?:void|virtual void)\s+(?:\w+::)?abort\(", " ", code_of(path))
        found = FORBIDDEN.findall(code)
        if path.relative_to(ROOT).as_posix() in STARTERS:
            found = [call for call in found if not re.match(STARTS, call)]
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_sqlite_is_used_for_ledgers_and_catalogs_alone() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if re.search(r"#include <sqlite3", path.read_text(encoding="utf-8"))
    }
    assert users
    assert all(user.startswith(("src/trackers/sqlite/", "src/connectors/sql_catalog/")) for user in users), users
    python = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "python").rglob("*.py")
        if re.search(r"\bimport sqlite3|from sqlite3", path.read_text(encoding="utf-8"))
    }
    # Databases of other programs, read once and never written. No ledger of ours is opened with a second library.
    assert python <= {"python/waybill/legacy/database.py"}, python
    build = "".join(
        path.read_text(encoding="utf-8")
        for path in [ROOT / "CMakeLists.txt", *(ROOT / "cmake").glob("*"), *(ROOT / "src").rglob("CMakeLists.txt")]
    )
    assert len(re.findall(r"(?m)^\s*find_package\(SQLite3\b", build)) == 1
