# SPDX-License-Identifier: Apache-2.0
"""The package as others get it: source distribution, wheel, and an environment that has nothing but them.

What builds them is that of .venv, so that nothing comes from a network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

import waybill

ROOT = Path(__file__).parents[2]
VERSION = waybill.__version__
# Of libraries that are no part of glibc and GCC's runtime, these are the system's: they get its security updates.
FROM_THE_SYSTEM = {"libcurl", "libssl", "libcrypto", "libsqlite3", "libz"}
OF_THE_TOOLCHAIN = {"libstdc++", "libm", "libgcc_s", "libc", "ld-linux-x86-64", "ld-linux-aarch64", "libpthread"}


def run(*words: str | Path, folder: Path, **environment: str) -> str:
    result = subprocess.run(
        words, cwd=folder, env=os.environ | environment, capture_output=True, timeout=1800, check=False, encoding="utf-8"
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone has, and nothing that was built."""
    folder = tmp_path_factory.mktemp("checkout") / "waybill"
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    program = f"import scikit_build_core.build as build; build.build_sdist({str(folder)!r})"
    run(sys.executable, "-c", program, folder=checkout)
    (path,) = folder.iterdir()
    assert path.name == f"waybill-{VERSION}.tar.gz"
    return path


def make_environment(folder: Path) -> Path:
    """An environment that has what .venv has, and no waybill; gives its interpreter."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder.parent)
    (there,) = folder.glob("lib/python*/site-packages")
    for found in Path(waybill.__file__).parents[1].iterdir():
        if not found.name.startswith("waybill") and found.suffix != ".pth":
            (there / found.name).symlink_to(found)
    return folder / "bin" / "python"


def members_of_the_wheel(names: list[str]) -> list[str]:
    """The names beside the package's own modules, of which each has to be in the sources."""
    others = []
    for name in names:
        if name.startswith(("waybill/", "waybill_pytest/")) and (ROOT / "python" / name).is_file():
            continue
        others.append(name)
    return others


def test_the_installed_package_is_whole_and_nothing_more() -> None:
    files = metadata.files("waybill")
    assert files is not None
    names = [str(name) for name in files if name.suffix not in (".pyc", "")]
    for name in ("waybill/py.typed", "waybill/_core.pyi", "waybill/commented_spec.toml"):
        assert PurePosixPath(name) in [PurePosixPath(one) for one in map(str, files)]
    packaged = {name for name in names if name.startswith("waybill/")}
    sources = {str(path.relative_to(ROOT / "python")) for path in (ROOT / "python" / "waybill").rglob("*.py")}
    assert sources <= packaged
    (module,) = packaged - {str(path.relative_to(ROOT / "python")) for path in (ROOT / "python" / "waybill").rglob("*")}
    assert re.fullmatch(r"waybill/_core\.[\w.-]+\.so", module)
    assert metadata.version("waybill") == VERSION


def test_the_module_needs_only_what_systems_have() -> None:
    shown = run("readelf", "--dynamic", "--wide", waybill._core.__file__, folder=ROOT)
    needed = {name.partition(".so")[0] for name in re.findall(r"NEEDED.*\[(.*)\]", shown)}
    assert needed - OF_THE_TOOLCHAIN == FROM_THE_SYSTEM
    symbols = run("nm", "--dynamic", "--defined-only", "--format=posix", waybill._core.__file__, folder=ROOT)
    names = [line.split()[0] for line in symbols.splitlines()]
    assert "PyInit__core" in names
    assert not [name for name in names if "pugi" in name or "sqlite3" in name], "what is inside stays inside"


def test_the_source_distribution_has_what_builds_it(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.removeprefix(f"waybill-{VERSION}/") for name in archive.getnames()}
    assert {"CMakeLists.txt", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "python/waybill/py.typed"} <= names
    for folder in ("cmake", "include", "python", "src"):
        there = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {name for name in there if "__pycache__" not in name} <= names
    assert not [name for name in names if name.split("/")[0] in ("bench", "build", "docs", "scripts", "tests", ".ci")]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_empty_environment_gets_a_package_that_works(sdist: Path, tmp_path: Path, tree: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    offline = ("--no-build-isolation", "--no-deps", "--no-index")
    run(*pip, "wheel", *offline, "--wheel-dir", tmp_path, sdist, folder=tmp_path)
    (wheel,) = tmp_path.glob("waybill-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        others = members_of_the_wheel(archive.namelist())
    assert [name for name in others if not name.startswith(f"waybill-{VERSION}.dist-info/")] == [
        name for name in others if re.fullmatch(r"waybill/_core\.[\w.-]+\.so", name)
    ]
    python = make_environment(tmp_path / "environment")
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, folder=tmp_path)
    assert run(python, "-W", "error", "-m", "waybill", "--version", folder=tmp_path) == f"waybill {VERSION}\n"
    assert run(python.parent / "waybill", "--version", folder=tmp_path) == f"waybill {VERSION}\n"
    where = "import waybill, waybill.aio, waybill.cli; print(waybill.__file__)"
    assert Path(run(python, "-W", "error", "-c", where, folder=tmp_path).strip()).is_relative_to(python.parents[1])
    for words in (["init", "job.toml"], ["doctor"], ["plan"]):
        stores = [] if words[0] == "init" else ["--from", tree, "--to", tmp_path / "to"]
        run(python, "-W", "error", "-m", "waybill", *words, *stores, folder=tmp_path)
    follow_the_readme(python, tree, tmp_path)


def follow_the_readme(python: Path, tree: Path, folder: Path) -> None:
    """The Python of the README as it stands there, but for the two places, which nobody else has."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    program = readme.partition("```python\n")[2].partition("```")[0]
    assert '"/data"' in program
    assert '"s3://archive/2026"' in program
    program = program.replace('"/data"', repr(str(tree))).replace('"s3://archive/2026"', repr(str(folder / "to")))
    shown = run(python, "-W", "error", "-c", program, folder=folder)
    assert "12 of 12" in shown.splitlines()
    assert len([path for path in (folder / "to").rglob("*") if path.is_file()]) == 12


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_an_editable_install_follows_the_sources(checkout: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "environment")
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install", "--no-deps",
        "--no-index", "--no-build-isolation", "--editable", checkout, folder=tmp_path)  # fmt: skip
    with (checkout / "python" / "waybill" / "nearest.py").open("a", encoding="utf-8") as file:
        file.write("\nIS_EDITED = True\n")
    said = "import waybill, waybill.nearest; print(waybill.__version__, waybill.nearest.IS_EDITED)"
    assert run(python, "-c", said, folder=tmp_path) == f"{VERSION} True\n"
