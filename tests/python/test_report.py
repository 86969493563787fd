# SPDX-License-Identifier: Apache-2.0
"""Reports: what they say, whatever items are called, however many there are, and where they are written."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.reports import FORMATS, report
from waybill.reports.page import html_page
from waybill.reports.summary import Series, SizeClass, Tally, summarize

CommandLine = Any  # the class of conftest.py, which has no name that tests can import

HOSTILE = [
    b"<script>alert(1)<",
    b'" onload="x',
    b"new\nline",
    b"not \xff utf-8",
    b"\x1b[31mred",
    "\u202egnp.exe".encode(),
    "\u2028line".encode(),
    "émoji 🎒.jpg".encode(),
    b"=1+2",
    b"+1",
    b"-1",
    b"@sum",
    b"'quoted",
    "\uff1dwide".encode(),
    b'a,"b",c',
    b"|pipe`tick`|",
    b"www.example.org",
    b"back\\slash",
]
# What a hostile name must never bring into a text: cursor movements, line breaks, turned directions.
UNSAFE = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@pytest.fixture
def moved(cli: CommandLine) -> CommandLine:
    """Eighteen files with hostile names and three pipes: one failed, one waived; and one file lost since."""
    source = cli.folder / "source"
    source.mkdir()
    for name in HOSTILE:
        (source / os.fsdecode(name)).write_bytes(name)
    for name in ("pipe", "pipe & <b>two", "pipe 3"):
        os.mkfifo(source / name)
    assert cli("run", "--from", source, "--to", "to", "--name", "<b>Job</b> & more").returncode == 3
    assert cli("waive", "--item", "pipe", "--why", "<i>no</i> data").returncode == 0
    (cli.folder / "to" / "=1+2").unlink()
    assert cli("verify").returncode == 3
    return cli


@pytest.fixture
def ledger(moved: CommandLine) -> Iterator[waybill.Tracker]:
    with waybill.Tracker(moved.folder / "waybill.db") as tracker:
        yield tracker


def made(cli: CommandLine, form: str, *words: str) -> str:
    result = cli("report", "--format", form, *words)
    assert (result.returncode, result.stderr) == (0, "")
    return str(result.stdout)


class Page(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.style = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data


def check_page(content: str) -> Page:
    """It is well-formed, asks for nothing, runs nothing, and shows nothing that hides or turns text."""
    page = Page(content)
    assert not page.open
    known = set("html head meta title style body main header footer section div p h1 h2 h3 span b i br dl dt dd ul li table "
                "thead tbody tr th td code bdi figure figcaption details summary svg rect line text".split())  # fmt: skip
    assert {tag for tag, _ in page.tags} <= known
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("src", "href", "xlink:href", "style") for name in attributes)
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert "default-src 'none'" in str([attributes.get("content") for tag, attributes in page.tags if tag == "meta"])
    assert not UNSAFE.search(content)
    return page


def test_the_page_is_one_file_that_asks_for_nothing(moved: CommandLine) -> None:
    page = check_page(made(moved, "html"))
    assert "18 of 21 items copied; 2 failed, 1 waived." in page.text
    assert "<b>Job</b> & more" in page.text
    assert "found 1 difference." in page.text
    assert "pipe & <b>two" in page.text
    assert "@media print" in page.style
    assert "prefers-color-scheme:dark" in page.style
    charts = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("class") == "chart"]
    assert len(charts) == 2, "items and bytes over time"


def test_the_page_escapes_whatever_the_ledger_says(ledger: waybill.Tracker) -> None:
    evil = '</title></style><script>alert("1")</script>\u202e\x00\x1b[2J'
    summary = summarize(ledger)
    summary.info = dataclasses.replace(summary.info, name=evil, source_url=evil)
    record = dataclasses.replace(summary.run.record, state="failed", reason=evil, host=evil)
    summary.run = dataclasses.replace(summary.run, record=record)
    summary.runs = [summary.run]
    summary.failures = [dataclasses.replace(one, key=evil.encode(), message=evil) for one in summary.failures]
    summary.findings = [dataclasses.replace(one, key=evil.encode(), detail=evil) for one in summary.findings]
    summary.partitions = [dataclasses.replace(one, name=evil) for one in summary.partitions] * 2
    summary.partitions_total = 2
    for group in summary.tally.errors:
        group.example = group.message = evil
    page = check_page("".join(html_page(summary)))
    assert page.text.count("<script>") >= 10
    assert "Run 1 (copy) failed: " in page.text
    assert "✗ run 1 failed" in page.text


def test_the_page_of_a_run_without_items(cli: CommandLine) -> None:
    (cli.folder / "empty").mkdir()
    assert cli("run", "--from", "empty", "--to", "to").returncode == 0
    for form in FORMATS:
        made(cli, form)
    page = check_page(made(cli, "html"))
    assert "No item to copy." in page.text
    assert "Nothing has been verified yet." in page.text
    assert "Nothing came to an end in this run." in page.text
    assert "progress100.0 %100.0 %" in page.text.replace("\n", "")


def test_the_page_of_many_partitions_shows_those_that_matter(ledger: waybill.Tracker) -> None:
    summary = summarize(ledger)
    one = summary.partitions[0]
    summary.partitions = [dataclasses.replace(one, name=f"space {number}") for number in range(50)]
    summary.partitions_total = 12_345
    page = check_page("".join(html_page(summary)))
    assert "space 29" in page.text
    assert "space 30" not in page.text
    assert "30 of 12,345" in page.text


def test_the_accounts_are_those_of_status(moved: CommandLine) -> None:
    said = json.loads(made(moved, "json", "--run", "2"))
    status = json.loads(moved("status", "--json").stdout)
    assert {name: said["run"]["items"][name] for name in status["items"]} == status["items"]
    assert said["run"]["bytes"] == status["bytes"]
    assert said["run"]["ratios"] == status["ratios"]
    page = check_page(made(moved, "html", "--run", "2"))
    assert "completeness85.7 %85.7 %done ÷ eligible" in page.text.replace("\n", "")
    assert said["seq"] == status["seq"]
    assert said["verify"]["findings"]["missing"] == status["findings"]["missing"] == 1
    assert sum(said["outcomes"].values()) == said["migration"]["items"]["discovered"] == 21
    assert said["outcomes"]["waived"] == 1
    assert [(group["class"], group["failed"], group["waived"]) for group in said["errors"]] == [("unsupported", 2, 1)]
    assert said["errors"][0]["advice"]
    sizes = said["sizes"]
    assert sum(group["items"] for group in sizes) == 21
    assert sum(group["bytes"] for group in sizes) == status["bytes"]["total"] == sum(map(len, HOSTILE))
    assert [run["id"] for run in said["runs"]] == [2, 1]
    assert said["partitions"][0]["items"]["eligible"] == 21
    assert sum(rate["items"] for rate in said["throughput"]) == said["run"]["items"]["settled"]
    assert {one["extension"] if "extension" in one else one["name"] for one in said["extensions"]} >= {"", "jpg"}


def test_a_report_is_about_the_last_copy_or_the_run_that_is_named(moved: CommandLine) -> None:
    assert json.loads(made(moved, "json"))["run"]["id"] == 1
    assert json.loads(made(moved, "json", "--run", "2"))["run"]["phase"] == "verify"
    assert "run 2" in made(moved, "md", "--run", "2")
    refused = moved("report", "--run", "7")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "waybill: the ledger has no run 7; the newest is run 2\n"


def test_json_lines_have_every_item_and_every_finding(moved: CommandLine) -> None:
    lines = made(moved, "jsonl").splitlines()
    assert not UNSAFE.search("".join(lines))
    rows = [json.loads(line) for line in lines]
    items = [row for row in rows if row["record"] == "item"]
    assert {row["key"] for row in items} >= {waybill.printable(name) for name in HOSTILE}
    assert len(items) == 21
    states = {row["key"]: row["outcome"] for row in items}
    assert states["=1+2"] == "copied", "not verified: it was not found"
    assert states["-1"] == "verified"
    assert (states["pipe"], states["pipe 3"]) == ("waived", "failed")
    waived = next(row for row in items if row["key"] == "pipe")
    assert waived["waived_because"] == "<i>no</i> data"
    assert waived["error_class"] == "unsupported"
    done = next(row for row in items if row["key"] == "-1")
    assert len(done["crc64nvme"]) == 16
    assert done["copied_at"].endswith("Z")
    findings = [row for row in rows if row["record"] == "finding"]
    assert [(row["outcome"], row["key"]) for row in findings] == [("missing", "=1+2")]


def test_csv_is_safe_in_a_spreadsheet(moved: CommandLine) -> None:
    content = made(moved, "csv")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert len(rows) == 22
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")), cell
            assert not UNSAFE.search(cell)
    # Without the mark, each is what it was.
    keys = {row["key"].removeprefix("'") for row in rows if row["record"] == "item"}
    assert keys == {waybill.printable(name) for name in HOSTILE} | {"pipe", "pipe & <b>two", "pipe 3"}
    assert [row["key"] for row in rows if row["outcome"] == "missing"] == ["'=1+2"]


def test_markdown_has_no_mark_of_others(moved: CommandLine) -> None:
    content = made(moved, "md")
    assert content.startswith("# Migration report: &#60;b&#62;Job&#60;/b&#62; &#38; more\n")
    assert not UNSAFE.search(content)
    outside_of_code = re.sub(r"(`+) .*? \1", "", content)
    assert "<" not in outside_of_code
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in content.splitlines() if line.startswith("| missing")}
    assert columns == {4}


def test_a_file_is_new_whole_and_for_its_owner(moved: CommandLine) -> None:
    for form in FORMATS:
        out = moved.folder / f"report.{form}"
        done = moved("report", "--format", form, "--out", out)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        if form == "csv":
            assert out.read_bytes().decode() == moved("report", "--format", form).stdout.replace("\n", "\r\n")
        before = out.read_bytes()
        again = moved("report", "--format", form, "--out", out)
        assert again.returncode == 2
        assert (
            again.stderr
            == f"waybill: cannot write {out}: something is there already; remove it or choose another name\n"
        )
        assert out.read_bytes() == before
    assert not list(moved.folder.glob("*.partial")) + list(moved.folder.glob(".*.partial"))


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("nowhere/report.html", "its folder does not exist"),
        ("waybill.db/report.html", "its folder does not exist"),
        (".", "something is there already"),
        ("x" * 300, "File name too long"),
        ("/proc/report.html", "/proc/report.html"),
    ],
)
def test_a_path_that_cannot_be_written(moved: CommandLine, out: str, said: str) -> None:
    refused = moved("report", "--format", "html", "--out", out)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.startswith("waybill: ")
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_report_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    from waybill.reports import write_new  # noqa: PLC0415 (not of the command line)

    def parts() -> Iterator[str]:
        yield "the first half"
        raise OSError(28, "No space left on device")

    with pytest.raises(waybill.ResourceExhaustedError, match="No space left"):
        write_new(tmp_path / "report", parts())
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_report(cli: CommandLine) -> None:
    missing = cli("report")
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
    for words in (("--check", "b"), ("--out", "c"), ("--run", "1"), ("--format", "csv")):
        both = cli("report", "--audit", "a", *words)
        assert both.returncode == 2
        assert "--audit and --check" in both.stderr
        assert len(both.stderr.splitlines()) == 1


def test_a_report_beside_a_live_run_says_so(live_run: Any, tmp_path: Path, eventually: Any) -> None:
    run = live_run()
    eventually(lambda: run.snapshot.items.done > 0)
    with waybill.Tracker(tmp_path / "live.db") as tracker:
        summary = summarize(tracker)
        ended = run.report
        page = check_page("".join(html_page(summary)))
    if ended is None:
        assert summary.is_live
        assert "is still at work" in page.text


@pytest.mark.long
def test_rates_lose_nothing_between_two_minutes(large_tree: Path, tmp_path: Path, eventually: Any) -> None:
    program = (
        "import sys, waybill\n"
        "options = waybill.Options(concurrency=1, lease_ms=600_000)\n"
        "sys.exit(waybill.Migration(*sys.argv[1:], options=options).run().exit_code)\n"
    )
    path = tmp_path / "t.db"
    process = subprocess.Popen([sys.executable, "-c", program, large_tree, tmp_path / "to", path])
    try:

        def is_under_way() -> bool:
            try:
                with waybill.Tracker(path) as tracker:
                    return tracker.snapshot().items.done > 1000
            except waybill.Error:
                return False

        eventually(is_under_way)
        process.send_signal(signal.SIGSTOP)
        time.sleep(61)  # a minute ends meanwhile
        process.send_signal(signal.SIGCONT)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
    with waybill.Tracker(path) as tracker:
        samples = list(tracker.rates(1))
        summary = summarize(tracker)
    assert sum(sample.seconds for sample in samples) > 60
    assert sum(sample.items for sample in samples) == 20_000
    assert sum(sample.bytes for sample in samples) == summary.run.bytes_done


class Repeating:
    """A ledger with the rows of another one, over and over."""

    def __init__(self, ledger: waybill.Tracker, times: int) -> None:
        self._ledger = ledger
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def outcomes(self) -> Iterator[waybill.Outcome]:
        for number in range(self._times):
            for outcome in self._ledger.outcomes():
                # Each with a name, a size and an extension of its own.
                item = dataclasses.replace(
                    outcome.item, key=b"%d/%s.%d" % (number, outcome.item.key, number), size=number**3
                )
                yield dataclasses.replace(outcome, item=item)

    def findings(self, run: int | None = None) -> Iterator[waybill.Finding]:
        for _ in range(self._times):
            yield from self._ledger.findings(run)


def peak_of(ledger: waybill.Tracker, form: Any, times: int) -> int:
    tracemalloc.start()
    try:
        for _ in report(Repeating(ledger, times), form):  # type: ignore[arg-type]
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_the_items(ledger: waybill.Tracker, form: str) -> None:
    peak_of(ledger, form, 10)  # imports and caches
    # 8,400 rows more, of which each held would be half a kilobyte at least.
    few, many = peak_of(ledger, form, 100), peak_of(ledger, form, 500)
    assert many < few + 500_000


def test_sizes_are_in_the_class_that_holds_them() -> None:
    tally = Tally()
    item = dataclasses.replace(waybill_item(), size=0)
    for size in (0, 1, 1024, 1025, 4096, 4097, 1 << 40, None):
        tally.add(waybill.Outcome(item=dataclasses.replace(item, size=size), failure=None, left=False))
    counted = {group.up_to: group.items for group in tally.sizes if group.items}
    assert counted == {0: 1, 1024: 2, 4096: 2, 16384: 1, 1 << 40: 1, None: 1}
    assert [group.up_to for group in tally.sizes[:3]] == [0, 1024, 4096]
    assert all(isinstance(group, SizeClass) for group in tally.sizes)


def waybill_item() -> waybill.ItemRecord:
    return waybill.ItemRecord(
        partition="", key=b"a.JPG", version="", size=1, etag="", mtime_ns=None, state="copied", basis="written",
        change="created", gone_at_source=False, waived=False, error_class="none", revision=1, run=1, crc64nvme=None,
        sha256=None, stored_size=None, stored_etag="", stored_version="", copied_at_ms=None, verified_at_ms=None,
    )  # fmt: skip


def test_a_long_run_is_drawn_in_few_stretches() -> None:
    series = Series()
    for minute in range(10_007):
        series.add(
            waybill.RateSample(
                run=1,
                at_ms=minute * 60_000,
                seconds=60.0,
                items=minute,
                bytes=2 * minute,
                attempts_failed=1,
                concurrency=4,
            )
        )
        assert len(series.stretches) == len(series.ends_ms) <= 240
    assert sum(one.items for one in series.stretches) == sum(range(10_007))
    assert sum(one.seconds for one in series.stretches) == 60 * 10_007
    assert sum(one.attempts_failed for one in series.stretches) == 10_007
    assert series.ends_ms == sorted(series.ends_ms)
    assert series.ends_ms[-1] == 10_007 * 60_000
    starts = [one.at_ms for one in series.stretches]
    assert starts == sorted(set(starts))
    assert starts[1:] == series.ends_ms[:-1], "nothing between them"
