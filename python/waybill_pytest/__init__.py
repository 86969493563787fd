# SPDX-License-Identifier: Apache-2.0
"""The pytest plug-in of waybill: says at the end of a run what the conformance suite left out, and why.

It is outside of the package ``waybill``, so that a run of pytest that has nothing to do with waybill does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Called by pytest."""
    lines = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") != "call":
                continue
            texts = [str(value) for name, value in getattr(report, "user_properties", ()) if name == "left_out"]
            lines += [f"{report.nodeid}: {text}" for text in dict.fromkeys(texts)]
    if lines:
        terminalreporter.section("left out of waybill's conformance suite")
        for line in lines:
            terminalreporter.line(line)
