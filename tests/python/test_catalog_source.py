# SPDX-License-Identifier: Apache-2.0
"""What the references of a catalog point at as a source: from Python, the command line and a spec."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.connectors import with_contents, without_contents

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from process import Waybill
from small_crm import SmallCrm

TEMPLATE = "{partition}/{name}"


@pytest.fixture
def crm(tmp_path: Path) -> SmallCrm:
    folder = tmp_path / "with space"
    folder.mkdir()
    return SmallCrm(folder)


def files(folder: Path) -> list[str]:
    return sorted(os.path.relpath(path, folder) for path in folder.rglob("*") if path.is_file())


def test_items_are_what_the_references_point_at(crm: SmallCrm) -> None:
    source = waybill.open_catalog_source(crm.catalog, [crm.old])
    items = list(source.list(waybill.ListRequest(), waybill.Context()))
    assert sorted(item.key.decode() for item in items) == sorted(url for url in crm.urls().values() if url)
    assert {item.partition for item in items} == set(crm.accounts)
    assert {item.partition_name for item in items} == set(crm.accounts.values())
    assert source.item_at(items[0].key.decode()) is not None


def test_a_catalog_of_ones_own_and_a_url_are_the_same_source(crm: SmallCrm) -> None:
    own = waybill.open_catalog_source(waybill.open_catalog(crm.catalog), [waybill.open_source(crm.old)])
    by_url = waybill.open_source(with_contents(crm.catalog, [str(crm.old)]))
    assert own.identity() == by_url.identity()
    assert own.capabilities() == by_url.capabilities()
    report = waybill.Migration(own, crm.new, crm.folder / "ledger.db", key_template=TEMPLATE).run()
    assert (report.exit_code, report.snapshot.items.done) == (0, 12)
    again = waybill.Migration(by_url, crm.new, crm.folder / "ledger.db").run()
    assert (again.exit_code, again.snapshot.items.created) == (0, 0)


def test_contents_are_put_into_a_url_and_taken_out_of_it() -> None:
    url = "postgresql+psycopg://clerk@db/crm?table=t&id=id&url=url"
    contents = ["s3://old?profile=crm&region=eu-west-1", "/data/old files", "https://h/a"]
    made = with_contents(url, contents)
    assert without_contents(made) == (url, [contents[0], "file:///data/old%20files", contents[2]])
    assert without_contents(url) == (url, [])
    assert with_contents(url, []) == url


@pytest.mark.parametrize(
    ("contents", "names"),
    [
        ("s3://old", "a sequence"),
        (["gopher://x"], "gopher"),
        (["s3://old?colour=red"], "colour"),
        ([7], "contents|source"),
    ],
)
def test_contents_that_are_none_are_named(crm: SmallCrm, contents: Any, names: str) -> None:
    with pytest.raises(waybill.InvalidArgumentError, match=names):
        waybill.open_catalog_source(crm.catalog, contents)


def run(crm: SmallCrm, *words: str | Path, code: int = 0) -> str:
    done = Waybill(crm.folder, tracker="waybill.db").run(*words)
    assert done.returncode == code, (done.stdout + done.stderr).decode()
    return (done.stdout or done.stderr).decode()


def test_the_command_line_goes_through_both_phases(crm: SmallCrm) -> None:
    begin = ["--catalog", crm.catalog, "--contents", crm.old, "--to", crm.new, "--key-template", TEMPLATE]
    assert "to move" in run(crm, "plan", *begin)
    run(crm, "run", *begin)
    assert files(crm.new) == files(crm.old)
    run(crm, "verify")
    # From here on the ledger knows everything but the new URLs.
    run(crm, "readiness", "--url-template", crm.template)
    plan = json.loads(run(crm, "cutover", "--json"))
    run(crm, "cutover", "--execute", "--plan", plan["hash"], "--canary", "5")
    crm.add("001", 99)
    assert "1 created" in run(crm, "run")
    assert files(crm.new) == files(crm.old)
    run(crm, "verify")
    plan = json.loads(run(crm, "cutover", "--json"))
    run(crm, "cutover", "--execute", "--plan", plan["hash"])
    assert crm.switched() == set(crm.urls())
    assert "0 created, 0 updated" in run(crm, "run")
    with waybill.Tracker(crm.folder / "waybill.db") as ledger:
        assert ledger.snapshot().migration_items.discovered == 13
    run(crm, "rollback", "--execute")
    assert crm.switched() == set()


def test_partitions_are_listed_in_the_order_asked_for(crm: SmallCrm) -> None:
    (crm.old / "002/document 1.txt").write_text("a long text that makes this account the largest")
    crm.edit("003-0", "ftp://h/x")
    crm.edit("003-1", "ftp://h/y")
    crm.edit("002-3", None)
    crm.add("001", 7)
    begin = ["--catalog", crm.catalog, "--contents", crm.old, "--to", crm.new, "--key-template", TEMPLATE]
    run(crm, "run", *begin, code=3)

    def names(*words: str) -> list[str]:
        return [json.loads(line)["name"] for line in run(crm, "partitions", "--json", *words).splitlines()]

    assert names() == ["001", "002", "003"]
    assert names("--sort", "items") == ["001", "003", "002"]
    assert names("--sort", "bytes")[0] == "002"
    assert names("--sort", "failed", "--top", "1") == ["003"]


def test_retry_and_doctor_open_what_the_ledger_keeps(crm: SmallCrm) -> None:
    missing = crm.old / "001/document 1.txt"
    missing.rename(missing.with_suffix(".away"))
    begin = ["--catalog", crm.catalog, "--contents", crm.old, "--to", crm.new, "--key-template", TEMPLATE]
    run(crm, "run", *begin, code=3)
    missing.with_suffix(".away").rename(missing)
    run(crm, "run")
    run(crm, "retry", "--force", "--partition", "002")
    assert "source" in run(crm, "doctor")


def test_a_spec_says_it_too(crm: SmallCrm) -> None:
    spec = crm.folder / "crm.toml"
    spec.write_text(
        f'catalog = "{crm.catalog}"\ncontents = ["old"]\nto = "new"\nkey_template = "{TEMPLATE}"\n'
        f'url_template = "{crm.template}"\n'
    )
    assert waybill.Spec.read(spec).warnings == ()
    assert waybill.Spec.parse(spec.read_text() + 'tracker = "waybill.db"\n', str(spec)).migration().run().exit_code == 0
    assert "0 created" in run(crm, "run", spec)
    run(crm, "verify")
    assert "ready" in run(crm, "readiness", spec)


def test_a_retry_goes_past_what_no_store_can_read(crm: SmallCrm) -> None:
    crm.edit("001-0", "not a url")
    crm.edit("002-0", "ftp://h/x")
    begin = ["--catalog", crm.catalog, "--contents", crm.old, "--to", crm.new, "--key-template", TEMPLATE]
    run(crm, "run", *begin, code=3)
    said = run(crm, "retry", code=3)
    assert "unsupported" in said
    with waybill.Tracker(crm.folder / "waybill.db") as ledger:
        assert {failure.error_class for failure in ledger.failures()} >= {"unsupported"}
        assert ledger.snapshot().state == "completed_with_differences"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--contents", "old", "--to", "new"], "name the catalog"),
        (["--from", "old", "--contents", "old", "--to", "new"], "name the catalog"),
        (["--catalog", "sqlite:///no.db?table=t&id=id&url=url", "--to", "new"], "no.db"),
        (["--catalog", "gopher://x", "--to", "new"], "gopher"),
        (["--catalog", "sqlite:///crm.db?table=t", "--to", "new"], "id"),
    ],
)
def test_wrong_words_get_one_line(crm: SmallCrm, words: list[str], said: str) -> None:
    done = Waybill(crm.folder, tracker="waybill.db").run("run", *words)
    assert done.returncode == 2, done
    assert said in done.stderr.decode()
    assert len(done.stderr.decode().strip().splitlines()) == 1, done.stderr.decode()
    assert not (crm.folder / "waybill.db").exists()
