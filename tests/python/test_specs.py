# SPDX-License-Identifier: Apache-2.0
"""Specs: what they may hold, what is refused and how, and that nothing secret goes on from them."""

from __future__ import annotations

import json
import os
import re
import resource
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.quantities import parse_moment
from waybill.spec import SPEC_KEYS, commented_spec, to_toml

CommandLine = Any  # the class of conftest.py, which has no name that tests can import
Contents = Callable[[Path], dict[str, bytes]]

SETTING = re.compile(r"#([a-z_]+ = .*)")


def spec_of(text: str) -> waybill.Spec:
    return waybill.Spec.parse(text, "job.toml")


def refusal_of(text: str) -> str:
    """What a spec of this text is refused with, when it is read or when it is used."""
    with pytest.raises(waybill.InvalidArgumentError) as caught:
        spec_of(text).resolved()
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("job.toml")
    return caught.value.message


def test_run_and_plan_take_a_spec_and_its_paths_are_beside_it(cli: CommandLine, tree: Path, contents: Contents) -> None:
    folder = cli.folder / "jobs"
    folder.mkdir()
    (folder / "job.toml").write_text(
        'from = "../source"\nto = "to"\ntracker = "job.db"\nname = "my job"\n'
        'include = ["folder 1/**"]\nmax_size_bytes = "0.9KiB"\nconcurrency = "auto"\n'
    )
    planned = cli("plan", "jobs/job.toml", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["items"] == 12
    assert not (folder / "job.db").exists()
    ran = cli("run", "jobs/job.toml")
    assert ran.returncode == 0, ran.stderr
    assert "next: waybill verify --tracker jobs/job.db" in ran.stdout
    assert set(contents(folder / "to")) == {f"folder 1/file-{number:02}.txt" for number in (1, 4, 7)}
    status = json.loads(cli("status", "--tracker", "jobs/job.db", "--json").stdout)
    assert status["migration"]["name"] == "my job"
    assert cli("run", "jobs/job.toml").returncode == 0, "the same command carries on"


def test_flags_go_before_the_spec_and_the_spec_before_the_environment(cli: CommandLine, tree: Path) -> None:
    (cli.folder / "job.toml").write_text(
        f'from = {str(tree)!r}\nto = "to"\ntracker = "spec.db"\ninclude = ["folder 1/**"]\nlimit = 1\n'
    )
    elsewhere = {"environment": {"WAYBILL_TRACKER": "environment.db"}}
    ran = cli("run", "job.toml", "--include", "folder 2/**", "--limit", "0", "--to", "other", **elsewhere)
    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in (cli.folder / "other").iterdir()) == ["folder 2"]
    assert len(list((cli.folder / "other" / "folder 2").iterdir())) == 4
    assert (cli.folder / "spec.db").exists()
    assert not (cli.folder / "environment.db").exists()
    assert not (cli.folder / "to").exists()
    by_flag = cli("run", "job.toml", "--tracker", "flag.db", **elsewhere)
    assert by_flag.returncode == 0, by_flag.stderr
    assert (cli.folder / "flag.db").exists()
    (cli.folder / "none.toml").write_text(f'from = {str(tree)!r}\nto = "third"\n')
    assert cli("run", "none.toml", **elsewhere).returncode == 0
    assert (cli.folder / "environment.db").exists(), "where the spec names no ledger, the environment does"


def test_the_python_api_runs_a_spec(tree: Path, tmp_path: Path, contents: Contents) -> None:
    (tmp_path / "job.toml").write_text('from = "source"\nto = "to"\ntracker = "job.db"\nmax_attempts = 3\n')
    spec = waybill.Spec.read(tmp_path / "job.toml")
    assert spec.options() == waybill.Options(max_attempts=3)
    assert spec.migration().run().state == "completed"
    assert contents(tmp_path / "to") == contents(tree)
    (tmp_path / "half.toml").write_text('from = "source"\n')
    with pytest.raises(waybill.InvalidArgumentError, match="does not say 'to'"):
        waybill.Spec.read(tmp_path / "half.toml").migration()


def test_every_option_has_a_setting_and_init_writes_them_all(cli: CommandLine) -> None:
    assert {field.name for field in fields(waybill.Options)} | {
        "from",
        "to",
        "contents",
        "tracker",
        "name",
        "key_template",
        "catalog",
        "url_template",
    } == set(SPEC_KEYS)
    wrote = cli("init", "job.toml")
    assert wrote.returncode == 0, wrote.stderr
    text = (cli.folder / "job.toml").read_text()
    assert text == commented_spec()
    assert spec_of(text).values == {}, "as it is written, nothing is set"
    settings = [match[1] for line in text.splitlines() if (match := SETTING.fullmatch(line))]
    assert sorted(line.split(" = ")[0] for line in settings) == sorted(SPEC_KEYS), "each once"
    # Nothing else begins as a setting does, and nothing that is none stands without a "#".
    assert [line for line in text.splitlines() if line.startswith("#") and line[1:2] not in (" ", "")] == [
        f"#{line}" for line in settings
    ]
    assert all(line.startswith("#") or not line for line in text.splitlines())
    alone = {"error_classes": "failed_only = true\n", "force": "failed_only = true\n"}
    for line in settings:
        spec_of(alone.get(line.split(" = ")[0], "") + line).resolved()
    together = spec_of("\n".join(settings)).resolved()
    examples = {"include", "exclude", "extensions", "max_size_bytes", "modified_since_ms", "modified_before_ms"}
    assert waybill.Options(**{name: together[name] for name in together if name in waybill.Options.__slots__}) == (
        waybill.Options(**{name: together[name] for name in examples})
    ), "what is no example is the default"


def test_init_replaces_nothing_unasked(cli: CommandLine) -> None:
    (cli.folder / "waybill.toml").write_text("mine")
    refused = cli("init")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (cli.folder / "waybill.toml").read_text() == "mine"
    assert cli("init", "--force").returncode == 0
    assert (cli.folder / "waybill.toml").read_text() == commented_spec()
    assert [path.name for path in cli.folder.iterdir()] == ["waybill.toml"]


def test_init_where_nothing_can_be_written_says_so_and_loses_nothing(cli: CommandLine) -> None:
    (cli.folder / "folder").mkdir()
    os.mkfifo(cli.folder / "pipe")
    for words, named in (
        (["no/such/folder.toml"], "no/such/folder.toml"),
        (["--force", "folder"], "folder"),
        (["--force", "pipe"], "pipe"),
        (["--force", "/dev/null"], "/dev/null"),
    ):
        refused = cli("init", *words)
        assert refused.returncode == 2
        assert named in refused.stderr
        assert "Errno" not in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    (cli.folder / "spec.toml").write_text("mine")
    full = cli("init", "--force", "spec.toml", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)))
    assert full.returncode == 1
    assert "spec.toml" in full.stderr
    assert (cli.folder / "spec.toml").read_text() == "mine"
    assert sorted(path.name for path in cli.folder.iterdir()) == ["folder", "pipe", "spec.toml"]


def test_unknown_keys_are_refused_by_name_with_the_nearest(cli: CommandLine, tree: Path) -> None:
    (cli.folder / "job.toml").write_text(f'from = {str(tree)!r}\nto = "to"\nexlude = ["x"]\n')
    for command in ("run", "plan"):
        refused = cli(command, "job.toml")
        assert refused.returncode == 2
        assert refused.stderr == "waybill: job.toml: unknown key 'exlude'; did you mean 'exclude'?\n"
    assert not (cli.folder / "to").exists()
    assert "'max_attempts'" in refusal_of("max-attempts = 3\n")
    assert "'concurrency'" in refusal_of("Concurrency = 3\n")
    assert "see waybill init" in refusal_of("[zzzzzzzz]\nx = 1\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from = 3", "from takes text, not a number"),
        ('from = ""', "from: is empty"),
        ('concurrency = "many"', 'concurrency takes a number, or "auto", not text'),
        ("concurrency = true", 'concurrency takes a number, or "auto", not true or false'),
        ("limit = 1.5", "limit takes a number, not a fraction"),
        ('limit = "5"', "limit takes a number, not text"),
        ("limit = [5]", "limit takes a number, not a list"),
        ("limit = -1", "limit"),
        ("limit = 99999999999999999999999", "limit"),
        ("force = 1", "force takes true or false, not a number"),
        ('overwrite = "sometimes"', "overwrite: 'sometimes' is not one of own, never, always"),
        ("overwrite = true", "overwrite takes one of own, never, always, not true or false"),
        ('include = "*.jpg"', 'include takes a list of text, such as ["a", "b"], not text'),
        ("include = [1]", "include takes a list of text"),
        ('include = "env:GLOB"', "include takes a list of text"),
        ('max_size_bytes = "10 apples"', "max_size_bytes: '10 apples' is not a size"),
        ('max_size_bytes = "-1"', "max_size_bytes: '-1' is not a size"),
        ('max_size_bytes = "99999999999 TiB"', "max_size_bytes: '99999999999 TiB' is more than any store can hold"),
        ('min_size_bytes = "2MiB"\nmax_size_bytes = "1MiB"', "min_size_bytes is above max_size_bytes"),
        ('lease_ms = "soon"', "lease_ms: 'soon' is not a duration"),
        ('modified_since_ms = "2026-02-30"', "modified_since_ms: '2026-02-30' is neither a date"),
        ("modified_since_ms = 07:32:00", "modified_since_ms takes a date, a time, or an age"),
        ("modified_since_ms = 2026-02-02\nmodified_before_ms = 2026-02-01", "every item would be excluded"),
        ("max_attempts = 0", "max_attempts"),
        ("limit = 1\nlimit = 2", "is not TOML"),
        ("limit: 1", "is not TOML"),
    ],
)
def test_wrong_values_are_refused_by_name(line: str, expected: str) -> None:
    assert expected in refusal_of(line + "\n")


def test_files_that_are_no_specs(cli: CommandLine) -> None:
    (cli.folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (cli.folder / "deep.toml").write_text("include = " + "[" * 100_000)
    (cli.folder / "large.toml").write_text("#" * (1 << 20) + "\n")
    (cli.folder / "folder.toml").mkdir()
    for name, expected in (
        ("binary.toml", "not UTF-8"),
        ("deep.toml", "nested too deeply"),
        ("large.toml", "larger than 1 MiB"),
        ("folder.toml", "Is a directory"),
        ("none.toml", "waybill init none.toml"),
    ):
        refused = cli("run", name)
        assert refused.returncode == 2, (name, refused.stderr)
        assert len(refused.stderr.splitlines()) == 1
        assert expected in refused.stderr


def test_human_forms_become_the_units_of_the_options() -> None:
    options = spec_of(
        'max_size_bytes = "1.5GB"\nmin_size_bytes = 7\nretry_cap_ms = "30s"\nlease_ms = "1m"\ndrain_ms = 500\n'
        'concurrency = "auto"\nmodified_since_ms = 2026-11-20\nmodified_before_ms = "2026-11-20T01:00:00+01:00"\n'
    )
    with pytest.raises(waybill.InvalidArgumentError, match="every item would be excluded"):
        options.options()  # the two times are the same instant
    values = spec_of(
        'max_size_bytes = "1.5GB"\nretry_cap_ms = "30s"\nlease_ms = "1m"\nmodified_since_ms = 1970-01-02T00:00:00Z\n'
    ).options()
    assert values.max_size_bytes == 1_500_000_000
    assert values.retry_cap_ms == 30_000
    assert values.lease_ms == 60_000
    assert values.modified_since_ms == 86_400_000


def test_ages_are_real_durations_on_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(366 * 4):
        now = 1_700_000_000 + day * 86_400
        monkeypatch.setattr("waybill.quantities.time.time", lambda now=now: float(now))
        assert parse_moment("31d") == (now - 31 * 86_400) * 1000
        assert parse_moment("5w") == (now - 35 * 86_400) * 1000
        assert parse_moment("36h") == (now - 36 * 3600) * 1000


def test_references_are_looked_up_late_and_named_when_they_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of('from = "env:JOB_FROM"\nlimit = "env:JOB_LIMIT"\nforce = "env:JOB_FORCE"\nfailed_only = true\n')
    assert spec.values["from"] == "env:JOB_FROM", "the spec keeps the reference"
    monkeypatch.setenv("JOB_FROM", "/somewhere")
    monkeypatch.setenv("JOB_FORCE", "true")
    with pytest.raises(waybill.InvalidArgumentError, match="limit is env:JOB_LIMIT, but the environment has no JOB_L"):
        spec.resolved()
    monkeypatch.setenv("JOB_LIMIT", "12")
    assert spec.resolved() == {"from": "/somewhere", "limit": 12, "force": True, "failed_only": True}
    monkeypatch.setenv("JOB_LIMIT", "twelve")
    with pytest.raises(waybill.InvalidArgumentError, match="limit takes a number, not text"):
        spec.resolved()


def test_paths_are_beside_the_spec_and_urls_are_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = 'from = "~/data"\nto = "s3://b/p"\ntracker = "memory:"\n'
    assert waybill.Spec.parse(text, "/jobs/a.toml").resolved() == {
        "from": "/home/me/data",
        "to": "s3://b/p",
        "tracker": "memory:",
    }
    relative = waybill.Spec.parse('from = "data"\nto = "/to"\n', "jobs/a.toml").resolved()
    assert relative == {"from": "jobs/data", "to": "/to"}
    assert waybill.Spec.parse('from = "data"\n', "/dev/fd/63").resolved() == {"from": "data"}


SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"


def everything_written_in(folder: Path, apart: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path != apart)


@pytest.mark.parametrize(
    "line",
    [
        f'from = "s3://AKIAEXAMPLE:{SECRET}@bucket/x?endpoint=http://127.0.0.1:9"',
        f'from = "s3://bucket/x?sse_c_key={SECRET}&endpoint=http://127.0.0.1:9"',
        f'from = "s3://bucket/x?secret_access_key={SECRET}&endpoint=http://127.0.0.1:9"',
    ],
)
def test_a_secret_in_clear_is_warned_about_and_goes_no_further(cli: CommandLine, line: str) -> None:
    spec = cli.folder / "job.toml"
    spec.write_text(f'{line}\nto = "to"\n')
    refused = cli("run", "job.toml")
    assert refused.returncode == 2
    warning = refused.stderr.splitlines()[0]
    assert warning.startswith("waybill: warning: job.toml: the URL of 'from' holds ")
    assert "in clear" in warning
    assert SECRET not in refused.stderr + refused.stdout
    assert SECRET.encode() not in everything_written_in(cli.folder, spec)


def test_a_key_that_looks_like_a_secret_is_told_apart_from_a_typing_error(cli: CommandLine) -> None:
    (cli.folder / "job.toml").write_text(f'aws_secret_access_key = "{SECRET}"\n')
    refused = cli("run", "job.toml")
    assert refused.returncode == 2
    assert "'aws_secret_access_key' is no key of a spec, which holds no secrets: take it out" in refused.stderr
    assert SECRET not in refused.stderr


def test_a_secret_by_reference_is_neither_warned_about_nor_stored(cli: CommandLine, tree: Path) -> None:
    spec = cli.folder / "job.toml"
    spec.write_text('from = "source"\nto = "env:JOB_TO"\nname = "env:JOB_NAME"\nlimit = "env:JOB_LIMIT"\n')
    place = cli.folder / "to"
    variables = {"JOB_TO": str(place), "JOB_NAME": "by reference", "JOB_LIMIT": "3", "JOB_SECRET": SECRET}
    ran = cli("run", "job.toml", environment=variables)
    assert ran.returncode == 0, ran.stderr
    assert "warning" not in ran.stderr
    assert len([path for path in place.rglob("*") if path.is_file()]) == 3
    assert SECRET.encode() not in everything_written_in(cli.folder, spec)
    assert waybill.Spec.parse('from = "s3://b/x?sse_c_key=env:KEY"\n', "a.toml").warnings == ()


def test_what_is_written_reads_the_same() -> None:
    values = spec_of(
        'from = "a\\u0007\\"\\\\é"\nlimit = 3\nforce = true\nfailed_only = true\ninclude = ["a", "b\\n"]\n'
        "modified_since_ms = 2026-11-20T10:00:00Z\nmodified_before_ms = 2026-11-21\n"
    ).values
    assert spec_of(to_toml(values)).values == values


def test_the_environment_names_the_ledger_of_every_command(cli: CommandLine, tree: Path) -> None:
    environment = {"environment": {"WAYBILL_TRACKER": str(cli.folder / "elsewhere.db")}}
    assert cli("run", "--from", tree, "--to", "to", **environment).returncode == 0
    assert (cli.folder / "elsewhere.db").exists()
    for words in (
        ["status"], ["items"], ["failed"], ["history"], ["logs"], ["errors"], ["partitions"], ["verify"], ["run"],
        ["plan"], ["retry"], ["retry", "--findings"], ["waive", "--all", "--why", "x"],
    ):  # fmt: skip
        done = cli(*words, **environment)
        assert done.returncode == 0, (words, done.stderr)
    for words in (["pause"], ["cancel"], ["resume"]):  # refused, but about this ledger
        refused = cli(*words, **environment)
        assert refused.returncode == 2
        assert "elsewhere.db" in refused.stderr, words
    assert os.listdir(cli.folder / "to")
    assert not (cli.folder / "waybill.db").exists()


@pytest.fixture
def kept(cli: CommandLine) -> CommandLine:
    """With a template of the name nightly."""
    (cli.folder / "job.toml").write_text(
        '# of every night\nfrom = "source"\nto = "to"\nexclude = ["**/*.tmp"]\nmax_size_bytes = "1GiB"\n'
    )
    saved = cli("template", "save", "nightly", "job.toml")
    assert saved.returncode == 0, saved.stderr
    return cli


def test_templates_are_saved_listed_and_shown_for_their_owner_alone(kept: CommandLine) -> None:
    path = kept.folder / ".config" / "waybill" / "templates" / "nightly.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert kept("template", "list").stdout == "nightly\n"
    assert kept("template", "show", "nightly").stdout == (kept.folder / "job.toml").read_text()
    again = kept("template", "save", "nightly", "job.toml")
    assert again.returncode != 0
    assert "--force" in again.stderr
    assert kept("template", "save", "nightly", "job.toml", "--force").returncode == 0
    elsewhere = kept("template", "list", environment={"XDG_CONFIG_HOME": str(kept.folder / "other")})
    assert (elsewhere.returncode, elsewhere.stdout) == (0, "")


def test_templates_become_specs_with_settings_of_their_own(kept: CommandLine, tree: Path, contents: Contents) -> None:
    made = kept("template", "apply", "nightly", "--set", "to=other place", "--set", "limit=2", "--set",
                "include=['folder 1/**']", "--set", 'max_size_bytes="10KiB"', "--set", "retry_cap_ms=5s")  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert spec_of(made.stdout).resolved() == {
        "from": "source", "to": "other place", "exclude": ("**/*.tmp",), "max_size_bytes": 10240, "limit": 2,
        "include": ("folder 1/**",), "retry_cap_ms": 5000,
    }  # fmt: skip
    (kept.folder / "made.toml").write_text(made.stdout)
    ran = kept("run", "made.toml")
    assert ran.returncode == 0, ran.stderr
    assert len(contents(kept.folder / "other place")) == 2
    for setting, expected in (
        ("exlude=[]", "did you mean 'exclude'?"),
        ("limit", "not of the form key=value"),
        ("limit=many", "limit takes a number, not text"),
        ("max_size_bytes=10 apples", "is not a size"),
    ):
        refused = kept("template", "apply", "nightly", "--set", setting)
        assert refused.returncode == 2, setting
        assert expected in refused.stderr
        assert refused.stdout == ""
    missing = kept("template", "apply", "daily")
    assert missing.returncode == 2
    assert "known are: nightly" in missing.stderr
    assert kept("template", "show", "../../x").returncode == 2


def test_templates_keep_no_secrets(cli: CommandLine) -> None:
    (cli.folder / "job.toml").write_text(f'from = "s3://b/x?sse_c_key={SECRET}"\nto = "to"\n')
    refused = cli("template", "save", "nightly", "job.toml")
    assert refused.returncode == 2
    assert "in clear" in refused.stderr
    assert SECRET not in refused.stderr
    assert SECRET.encode() not in everything_written_in(cli.folder, cli.folder / "job.toml")
    (cli.folder / "typo.toml").write_text("exlude = []\n")
    assert cli("template", "save", "nightly", "typo.toml").returncode == 2
