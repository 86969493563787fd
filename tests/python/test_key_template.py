# SPDX-License-Identifier: Apache-2.0
"""Key templates as Python and the command line have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import waybill

CommandLine = Any  # the class of conftest.py, which has no name that tests can import


def write(folder: Path, *keys: str) -> None:
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_text(f"content of {key}")


def files_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_template_is_said_once(cli: CommandLine) -> None:
    source = cli.folder / "source"
    write(source, "a/One file.TXT", "b/two")
    places = ("--from", "source", "--to", "to")
    planned = cli("plan", *places, "--key-template", "x/{stem|slug}.{ext|default:bin}", "--json")
    assert json.loads(planned.stdout)["collisions"] == 0, planned.stderr
    assert cli("run", *places, "--key-template", "x/{stem|slug}.{ext|default:bin}").returncode == 0
    wanted = {"x/One_file.txt": "content of a/One file.TXT", "x/two.bin": "content of b/two"}
    assert files_of(cli.folder / "to") == wanted
    write(source, "c/three")
    assert cli("run").returncode == 0
    assert files_of(cli.folder / "to") == wanted | {"x/three.bin": "content of c/three"}
    assert cli("verify").returncode == 0
    other = cli("run", *places, "--key-template", "{id}")
    assert other.returncode == 2
    assert "x/{stem|slug}.{ext|default:bin}" in other.stderr


def test_errors_name_the_place_and_the_nearest_word(cli: CommandLine) -> None:
    write(cli.folder / "source", "a")
    refused = cli("run", "--from", "source", "--to", "to", "--key-template", "x/{nmae}")
    assert refused.returncode == 2
    assert 'at character 4: there is no field "nmae"; did you mean "name"?' in refused.stderr
    assert not (cli.folder / "to").exists()
    with pytest.raises(waybill.InvalidArgumentError, match="did you mean"):
        waybill.Migration("source", "to", "memory:", key_template="{nam}")


def test_plan_and_run_show_items_of_one_key(cli: CommandLine, tmp_path: Path) -> None:
    source, to = tmp_path / "source", tmp_path / "to"
    write(source, "a/x.pdf", "b/x.pdf", "c/y")
    migration = waybill.Migration(source, to, tmp_path / "l.db", key_template="all/{name}")
    plan = migration.plan()
    assert (plan.collisions, plan.items_in_collisions) == (1, 2)
    assert [one.wanted for one in plan.collision_examples] == [b"all/x.pdf"] * 2
    assert plan.to_dict()["collision_examples"][0]["wanted"] == "all/x.pdf"
    assert "of one destination key" in plan._repr_html_()
    shown = cli("plan", "--from", source, "--to", to, "--key-template", "all/{name}").stdout
    assert "1 destination keys are of more than one item" in shown
    assert migration.run().exit_code == 0
    keys = {one.destination_key.decode() for one in plan.collision_examples}
    assert set(files_of(to)) == keys | {"all/y"}
    assert sorted(files_of(to).values()) == ["content of a/x.pdf", "content of b/x.pdf", "content of c/y"]


def test_specs_have_one(cli: CommandLine) -> None:
    write(cli.folder / "source", "a")
    spec = cli.folder / "job.toml"
    spec.write_text('from = "source"\nto = "to"\nkey_template = "there/{name}"\n')
    assert cli("run", spec).returncode == 0
    assert files_of(cli.folder / "to") == {"there/a": "content of a"}


def test_ledgers_that_mirror_take_templates_and_those_that_keep_rows_by_themselves_say_no(tmp_path: Path) -> None:
    class Mirror(waybill.Tracker):
        batches = 0

        def commit(self, epoch: int, batch: waybill.Batch) -> int:
            self.batches += 1
            return super().commit(epoch, batch)

    class OwnRows(waybill.Tracker):
        def scan(self, query: waybill.Query, resume: bytes, limit: int) -> waybill.ScanPage:
            return super().scan(query, resume, limit)

    write(tmp_path / "source", "a/x", "b/x")
    mirror = Mirror(tmp_path / "mirror.db", read_only=False, create=True)
    assert waybill.Migration(tmp_path / "source", tmp_path / "to", mirror, key_template="{name}").run().exit_code == 0
    assert mirror.batches > 0
    assert len(files_of(tmp_path / "to")) == 2
    own = OwnRows(tmp_path / "own.db", read_only=False, create=True)
    with pytest.raises(waybill.Error, match="keeps no destination keys"):
        waybill.Migration(tmp_path / "source", tmp_path / "other", own, key_template="{name}").run()
    assert not (tmp_path / "other").exists() or not files_of(tmp_path / "other")
