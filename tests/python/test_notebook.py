# SPDX-License-Identifier: Apache-2.0
"""What notebooks show, and real kernels that are interrupted."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

import waybill
from waybill import charts

EXAMPLE = Path(__file__).parents[2] / "examples/python/migration.ipynb"
HOSTILE = "<script>alert(1)</script>&\"'"
KERNEL_SECONDS = 120


class Page(HTMLParser):
    """The elements and attributes of a piece of HTML, all of which are closed, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.styles: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value for name, value in attrs if name == "style" and value]
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def shown(thing: Any) -> Page:
    page = Page(thing._repr_html_())
    # Nothing that runs or that is fetched, and no colour of text or paper: those are the theme's.
    assert page.elements <= {"div", "span", "b", "bdi", "br"}
    assert page.attributes <= {"style", "aria-hidden"}
    for style in page.styles:
        assert "url(" not in style
        declared = {name.strip(): value for name, _, value in (part.partition(":") for part in style.split(";"))}
        assert "color" not in declared
        assert declared.get("background", "#").startswith(("#", "rgba("))
    return page


def test_runs_reports_snapshots_and_plans_are_html(tree: Path, tmp_path: Path) -> None:
    (tree / f"{HOSTILE.replace('/', '|')}.txt").write_bytes(b"")
    os.mkfifo(tree / "<i>pipe")
    (tmp_path / "to" / "folder 0").mkdir(parents=True)
    (tmp_path / "to" / "folder 0" / "file-03.txt").write_bytes(b"somebody else's")
    migration = waybill.Migration(tree, tmp_path / "to", tmp_path / "ledger.db", name=HOSTILE)
    plan = shown(migration.plan())
    assert "14 items" in plan.text
    assert "<i>pipe" in plan.text and "up to 1.0 KiB" in plan.text and "folder 0/file-03.txt" in plan.text
    with migration.start() as run:
        pass
    assert run.report is not None
    for thing in (run, run.report, run.report.snapshot):
        page = shown(thing)
        assert HOSTILE in page.text
        assert "completed with differences" in page.text
        assert "done 12" in page.text and "failed 2" in page.text and "14 of 14" in page.text
        assert "1 occupied" in page.text and "waybill retry --class occupied" in page.text
    (tmp_path / "to" / "folder 1" / "file-04.txt").unlink()
    assert "1 missing" in shown(migration.verify("listing")).text


def test_a_live_run_shows_what_is_in_flight(live_run: Callable[..., waybill.Run]) -> None:
    run = live_run()
    page = shown(run)
    assert "running" in page.text and "not changing by itself" in page.text
    live = dataclasses.replace(
        run.snapshot.live,
        in_flight=tuple(
            waybill.InFlight(
                partition="", key=b"<b>\n\xff", bytes_done=1024, bytes_total=None, attempt=2, started_at_ms=0
            )
            for _ in range(1000)
        ),
        reason="ledger <i>",
    )
    page = shown(dataclasses.replace(run.snapshot, live=live, state="running", source="s" * 100_000))
    assert "<b>\\x0a\\xff" in page.text
    assert "1.0 KiB, attempt 2" in page.text
    assert "paused (ledger <i>)" in page.text
    assert len(page.text) < 10_000


def test_charts_are_figures(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "to" / "folder 0").mkdir(parents=True)
    (tmp_path / "to" / "folder 0" / "file-03.txt").write_bytes(b"somebody else's")
    for path in tree.rglob("*.txt"):
        os.utime(path, (1e9, 1e9))  # no file is so young that it is looked at again, which is an attempt more
    migration = waybill.Migration(tree, tmp_path / "to", tmp_path / "ledger.db")
    report = migration.run()
    with waybill.Tracker(tmp_path / "ledger.db") as tracker:
        throughput, sizes, errors = charts.throughput(tracker), charts.sizes(tracker), charts.errors(tracker)
        for figure in (throughput, sizes, errors):
            assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
        # What is drawn is what the ledger says.
        items, moved = throughput.axes
        rates = list(tracker.rates())
        assert sum(rate.bytes for rate in rates) == report.snapshot.bytes_done > 0
        assert [bar.get_height() for bar in items.patches] == [rate.items / rate.seconds for rate in rates]
        assert [bar.get_height() for bar in moved.patches] == [rate.bytes / rate.seconds for rate in rates]
        assert sum(bar.get_width() for bar in sizes.axes[0].patches) == 12
        assert sum(bar.get_width() for bar in sizes.axes[1].patches) == report.snapshot.bytes_total
        assert [label.get_text() for label in errors.axes[0].get_yticklabels()] == ["occupied"]
        assert [bar.get_width() for bar in errors.axes[0].patches] == [1]
        with pytest.raises(waybill.NotFoundError, match="no run 7"):
            charts.throughput(tracker, 7)
    assert "matplotlib.pyplot" not in sys.modules


def test_charts_of_nothing_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    waybill.Migration(tmp_path / "empty", tmp_path / "to", tmp_path / "ledger.db").run()
    with waybill.Tracker(tmp_path / "ledger.db") as tracker:
        for figure in (charts.throughput(tracker), charts.sizes(tracker), charts.errors(tracker)):
            assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
        assert [text.get_text() for text in charts.errors(tracker).axes[0].texts] == ["none"]


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's settings, and no files outside of the test's folder."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)


class Kernel:
    """A kernel of its own process, as a notebook has it."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=KERNEL_SECONDS)
        self._seen: list[dict[str, Any]] = []

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def begin(self, code: str) -> str:
        message: str = self.client.execute(code)
        return message

    def end(self, message: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The reply to a cell, and what it has shown."""
        reply = self.client.get_shell_msg(timeout=KERNEL_SECONDS)
        # A slow kernel was asked more than once whether it is ready, and answers each time.
        while reply["parent_header"]["msg_id"] != message:
            reply = self.client.get_shell_msg(timeout=KERNEL_SECONDS)
        while True:
            output = self._next(message)
            if output["msg_type"] == "status" and output["content"]["execution_state"] == "idle":
                outputs, self._seen = self._seen, []
                return reply["content"], outputs

    def until(self, message: str, kind: str) -> None:
        """Wait until a cell has shown something of a kind."""
        while self._next(message)["msg_type"] != kind:
            pass

    def _next(self, message: str) -> dict[str, Any]:
        while True:
            output: dict[str, Any] = self.client.get_iopub_msg(timeout=KERNEL_SECONDS)
            if output["parent_header"].get("msg_id") == message:
                self._seen.append(output)
                return output

    def run(self, code: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return self.end(self.begin(code))


@pytest.fixture
def kernel(jupyter: None, tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.close()


@pytest.mark.parametrize("call", ["migration.run(progress=True)", "await aio.run(migration, progress=True)"])
def test_an_interrupted_cell_stops_and_carries_on(
    kernel: Kernel, large_tree: Path, tmp_path: Path, eventually: Callable[..., None], call: str
) -> None:
    cell = f"""
import waybill
from waybill import aio
migration = waybill.Migration({str(large_tree)!r}, "to", "ledger.db", options=waybill.Options(concurrency=1))
report = {call}
(report.run, report.state)
"""
    ledger = tmp_path / "ledger.db"

    def is_moving() -> bool:
        try:
            with waybill.Tracker(ledger) as tracker:
                return tracker.migration() is not None and tracker.snapshot().items.done > 0
        except waybill.NotFoundError:
            return False

    message = kernel.begin(cell)
    kernel.until(message, "display_data")
    eventually(is_moving, KERNEL_SECONDS)
    begin = time.time()
    kernel.manager.interrupt_kernel()
    reply, outputs = kernel.end(message)
    assert (reply["status"], reply["ename"]) == ("error", "CancelledError" if "await" in call else "KeyboardInterrupt")
    # The last that is shown is how it ended, not how it was before.
    assert final_line(outputs).startswith("copy interrupted")
    with waybill.Tracker(ledger) as tracker:
        assert tracker.snapshot().state == "interrupted"
        (ended,) = [event for event in tracker.events() if "ended: interrupted" in event.text]
    assert ended.at_ms / 1000 - begin < 2.5
    reply, outputs = kernel.run(cell)
    assert reply["status"] == "ok", reply
    (result,) = [output for output in outputs if output["msg_type"] == "execute_result"]
    assert result["content"]["data"]["text/plain"] == "(1, 'completed')"
    assert final_line(outputs).startswith("copy completed, 20,000 of 20,000 items (100.0 %)")


def final_line(outputs: list[dict[str, Any]]) -> str:
    """What has taken the place of the widget."""
    (displayed,) = [output for output in outputs if output["msg_type"] == "display_data"]
    (update,) = [output for output in outputs if output["msg_type"] == "update_display_data"]
    place = displayed["content"]["transient"]["display_id"]
    assert "application/vnd.jupyter.widget-view+json" in displayed["content"]["data"]
    assert update["content"]["transient"]["display_id"] == place
    data = update["content"]["data"]
    assert Page(data["text/html"]).text.strip() == data["text/plain"]
    line: str = data["text/plain"]
    return line


def test_a_cell_shows_a_live_widget(kernel: Kernel, large_tree: Path) -> None:
    """Opened once, changed as the run goes on, a few times a second and not at each step, and closed."""
    cell = f"""
import waybill
from waybill.live import make_view
migration = waybill.Migration({str(large_tree)!r}, "to", "ledger.db", options=waybill.Options(concurrency=1))
with migration.start() as run, make_view("auto") as view:
    while run.wait(0.01) is None:
        view.update(run.snapshot)
    view.update(run.report.snapshot)
"""
    begin = time.monotonic()
    reply, outputs = kernel.run(cell)
    seconds = time.monotonic() - begin
    assert reply["status"] == "ok", reply
    values = [
        output["content"]["data"]["state"]["value"]
        for output in outputs
        if output["msg_type"] == "comm_msg" and "value" in output["content"]["data"].get("state", {})
    ]
    assert "running" in Page(values[0]).text or "running" in Page(values[1]).text
    assert "completed" in Page(values[-1]).text
    assert 2 <= len(values) <= seconds / 0.2 + 3
    assert len([output for output in outputs if output["msg_type"] == "comm_close"]) >= 1
    assert final_line(outputs).startswith("copy completed")


def test_without_ipywidgets_there_are_lines(kernel: Kernel, tree: Path) -> None:
    cell = f"""
import sys, threading
sys.modules["ipywidgets"] = None
import waybill
waybill.Migration({str(tree)!r}, "to", "ledger.db").run(progress=True).state
"""
    reply, outputs = kernel.run(cell)
    assert reply["status"] == "ok", reply
    text = "".join(output["content"]["text"] for output in outputs if output["msg_type"] == "stream")
    assert text.splitlines()[-1].startswith("copy completed, 12 of 12 items")
    assert not [output for output in outputs if output["msg_type"] == "display_data"]


def test_another_thread_makes_no_widget(kernel: Kernel, tree: Path) -> None:
    cell = f"""
import threading, waybill
migration = waybill.Migration({str(tree)!r}, "to", "ledger.db")
thread = threading.Thread(target=lambda: migration.run(progress=True))
thread.start()
thread.join()
"""
    reply, outputs = kernel.run(cell)
    assert reply["status"] == "ok", reply
    assert not [output for output in outputs if output["msg_type"] in ("comm_open", "display_data")]


def test_runs_are_awaited_in_cells(kernel: Kernel, tree: Path) -> None:
    cell = f"""
import waybill
from waybill import aio
report = await aio.run(waybill.Migration({str(tree)!r}, "to", "ledger.db"), progress=True)
report
"""
    reply, outputs = kernel.run(cell)
    assert reply["status"] == "ok", reply
    (result,) = [output for output in outputs if output["msg_type"] == "execute_result"]
    assert "completed" in Page(result["content"]["data"]["text/html"]).text
    assert final_line(outputs).startswith("copy completed, 12 of 12 items")


def test_the_example_notebook(jupyter: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook: Any = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    cells = {cell["id"]: cell for cell in notebook.cells if cell.cell_type == "code"}
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells.values()), "clear its outputs"
    NotebookClient(notebook, timeout=KERNEL_SECONDS, resources={"metadata": {"path": str(tmp_path)}}).execute()

    def text(name: str, kind: str = "text/html") -> str:
        return "\n".join(output["data"].get(kind, "") for output in cells[name].outputs if "data" in output)

    assert cells["setting"].outputs == []
    assert "300 items" in Page(text("plan")).text
    assert "done 299" in Page(text("run")).text
    assert "copy completed_with_differences, 300 of 300 items" in text("run")
    assert "occupied" in text("failures") and "album 3/photo-007.jpg" in text("failures")
    assert "album 0" in text("items")
    assert "1 missing" in Page(text("verify")).text
    assert "missing" in text("findings")
    assert text("charts", "image/png").count("\n") >= 2
