# SPDX-License-Identifier: Apache-2.0
"""The Python package with WAYBILL_FAULTS: its module can kill itself at named events (src/base/fault_point.hpp).

Built once into build/faults (build/faults-asan with sanitizers) and again when the sources change.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from process import PROJECT, PYTHON

EVENTS = ("claim", "write", "commit", "part", "listing_page", "flush", "put_done", "complete")


def build(*, sanitizers: bool = False) -> Path:
    """The folder to put on PYTHONPATH."""
    top = PROJECT / "build" / ("faults-asan" if sanitizers else "faults")
    package = top / "package" / "waybill"
    pybind11 = subprocess.run(
        [PYTHON, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    configure = [
        "cmake", "-S", str(PROJECT), "-B", str(top / "cmake"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1 -DWAYBILL_FAULTS", "-DWAYBILL_BUILD_PYTHON=ON", "-DWAYBILL_BUILD_TESTS=OFF",
        "-DWAYBILL_BUILD_BENCH=OFF", "-DWAYBILL_INSTALL=OFF", f"-DWAYBILL_ASAN={'ON' if sanitizers else 'OFF'}",
        f"-Dpybind11_DIR={pybind11}", f"-DPython_EXECUTABLE={PYTHON}",
    ]  # fmt: skip
    top.mkdir(parents=True, exist_ok=True)
    for command in (configure, ["cmake", "--build", str(top / "cmake"), "--target", "_core"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    shutil.copytree(
        PROJECT / "python" / "waybill",
        package,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__", "*.so"),
    )
    for module in (top / "cmake" / "python").glob("_core*.so"):
        # Replaced, not overwritten: a process that has it mapped keeps the old one.
        shutil.copy2(module, package / (module.name + ".new"))
        os.replace(package / (module.name + ".new"), package / module.name)
    return package.parent


def sanitizer_environment() -> dict[str, str]:
    """What a Python without sanitizers needs to load a module with them."""
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    standard = subprocess.run(["gcc", "-print-file-name=libstdc++.so"], capture_output=True, text=True, check=True)
    return {
        "LD_PRELOAD": f"{library.stdout.strip()} {standard.stdout.strip()}",
        # Python itself does not free everything at its end.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }
