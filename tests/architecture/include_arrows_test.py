# SPDX-License-Identifier: Apache-2.0
"""Holds the include arrows of the house.

Reads every #include line of include/, src/ and python/bindings and fails on one that no arrow allows:
include <- base <- {net, engine, trackers, connectors}; net <- {aws, connectors}; aws <- connectors/s3.
Runs under pytest and, for ctest, as a plain program.
"""

import re
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Unit -> the units of src/ that it may include beside itself and include/waybill.
ARROWS: dict[str, set[str]] = {
    "base": set(),
    "net": {"base"},
    "aws": {"base", "net"},
    "engine": {"base"},
    "trackers/sqlite": {"base"},
    "trackers/memory": {"base"},
    "connectors/filesystem": {"base", "net"},
    "connectors/s3": {"base", "net", "aws"},
    "connectors/http": {"base", "net"},
    "connectors/links": set(),  # what the sources that list links share
    "connectors/catalog": {"connectors/links"},
    "connectors/manifest": {"base", "connectors/links"},
    "connectors/memory": {"base", "net"},
    "connectors/salesforce": {"base", "net"},
    "connectors/sql_catalog": {"base"},
    # The one file that knows all connectors.
    "builtin.cpp": {
        "base",
        "net",
        "aws",
        "trackers/sqlite",
        "trackers/memory",
        "connectors/filesystem",
        "connectors/s3",
        "connectors/http",
        "connectors/catalog",
        "connectors/manifest",
        "connectors/memory",
        "connectors/salesforce",
        "connectors/sql_catalog",
    },
}

# Headers of other libraries -> where they may be included; everything else comes from the standard library or the system.
THIRD_PARTY = {
    "curl/": {"src/net/http_client.cpp"},
    "openssl/": {"src/base/", "src/net/", "src/aws/", "src/connectors/salesforce/jwt.cpp"},
    "sqlite3.h": {"src/trackers/sqlite/", "src/connectors/sql_catalog/"},
    "nlohmann/": {"src/"},
    "zlib.h": {"src/connectors/manifest/"},
    "pugixml.hpp": {"src/aws/", "src/connectors/s3/", "src/connectors/salesforce/"},
    "pybind11/": {"python/bindings/"},
}

# C++20 headers; C headers of the standard in their <cname> form.
STANDARD = set(
    """
    algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes climits
    clocale cmath codecvt compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint
    cstdio cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem format forward_list fstream
    functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map memory
    memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator
    semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string string_view
    strstream syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility
    valarray variant vector version
    """.split()
)

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def unit_of(path: str) -> str | None:
    """The unit of a path below src/: `connectors/s3`, `net`, `builtin.cpp`; None where the house has no such place."""
    parts = path.split("/")
    for length in (1, 2):
        unit = "/".join(parts[:length])
        if unit in ARROWS and (len(parts) > length or unit == path):
            return unit
    return None


def third_party_violation(file: str, header: str) -> str | None:
    for prefix, places in THIRD_PARTY.items():
        if header == prefix or (prefix.endswith("/") and header.startswith(prefix)):
            if not any(file == place or (place.endswith("/") and file.startswith(place)) for place in places):
                return f"{file}: <{header}> belongs into {', '.join(sorted(places))}"
    return None


def public_violation(file: str, quoted: bool, header: str) -> str | None:
    if header.startswith("waybill/") if quoted else header in STANDARD:
        return None
    return f"{file}: a public header includes {header}: only the standard library and waybill/ are allowed"


def source_violation(file: str, quoted: bool, header: str) -> str | None:
    own = unit_of(file.removeprefix("src/"))
    if own is None:
        return f"{file}: no such place in the house; if there is to be one, add its arrows to {Path(__file__).name}"
    if not quoted or header.startswith("waybill/"):
        return third_party_violation(file, header)
    target = unit_of(header)
    if target is None:
        return third_party_violation(file, header) or (
            None
            if any(header.startswith(prefix) for prefix in THIRD_PARTY)
            else f'{file}: "{header}" is not written from an include root (src/ or include/)'
        )
    if target != own and target not in ARROWS[own]:
        return f"{file}: {own} must not include {header}: no arrow from {target} to {own}"
    return None


def binding_violation(file: str, quoted: bool, header: str) -> str | None:
    if not quoted:
        return third_party_violation(file, header)
    # A binding file may include its neighbours, by name.
    if header.startswith("waybill/") or "/" not in header:
        return None
    return f"{file}: {header}: the bindings see include/waybill only"


def violations(root: Path) -> list[str]:
    found = []
    for folder, rule in (
        ("include", public_violation),
        ("src", source_violation),
        ("python/bindings", binding_violation),
    ):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in {".hpp", ".cpp", ".h"}:
                continue
            file = path.relative_to(root).as_posix()
            for bracket, header in INCLUDE.findall(path.read_text(encoding="utf-8")):
                problem = rule(file, bracket == '"', header)
                if problem:
                    found.append(problem)
    return found


class IncludeArrows(unittest.TestCase):
    def test_every_include_follows_an_arrow(self) -> None:
        self.assertEqual([], violations(ROOT))

    def test_there_is_something_to_check(self) -> None:
        self.assertGreater(len(list((ROOT / "include/waybill").glob("*.hpp"))), 10)

    def test_wrong_arrows_are_found(self) -> None:
        wrong = {
            "include/waybill/a.hpp": "#include <curl/curl.h>",
            "include/waybill/b.hpp": '#include "base/clock.hpp"',
            "src/base/a.cpp": '#include "net/url.hpp"',
            "src/engine/a.cpp": '#include "trackers/sqlite/ledger.hpp"',
            "src/engine/b.cpp": '#include "net/http_client.hpp"',
            "src/net/url.cpp": "#include <curl/curl.h>",
            "src/net/a.cpp": '  #  include "aws/sigv4.hpp"',
            "src/aws/a.cpp": '#include "connectors/s3/s3.hpp"',
            "src/connectors/filesystem/a.cpp": '#include "aws/sigv4.hpp"',
            "src/connectors/s3/a.cpp": '#include "connectors/memory/memory.hpp"',
            "src/trackers/memory/a.cpp": '#include "trackers/sqlite/ledger.hpp"',
            "src/trackers/sqlite/a.cpp": '#include "neighbour.hpp"',
            "src/elsewhere/a.cpp": "#include <vector>",
            "python/bindings/a.cpp": '#include "engine/run.hpp"',
        }
        right = {
            "include/waybill/ok.hpp": '#include <vector>\n#include "waybill/a.hpp"',
            "src/net/http_client.cpp": '#include <curl/curl.h>\n#include "base/clock.hpp"\n#include "waybill/a.hpp"',
            "src/connectors/s3/ok.cpp": '#include "aws/sigv4.hpp"\n#include "connectors/s3/s3.hpp"\n#include <pugixml.hpp>',
            "src/trackers/sqlite/ok.cpp": "#include <sqlite3.h>\n#include <sys/file.h>",
            "src/builtin.cpp": '#include "connectors/s3/s3.hpp"\n#include "trackers/sqlite/ledger.hpp"',
            "python/bindings/ok.cpp": '#include <pybind11/pybind11.h>\n#include "waybill/a.hpp"\n#include "casts.hpp"',
        }
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name, text in {**wrong, **right}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text + "\n", encoding="utf-8")
            found = {problem.split(":")[0] for problem in violations(root)}
        self.assertEqual(set(wrong), found)


if __name__ == "__main__":
    sys.exit(unittest.main())
