# SPDX-License-Identifier: Apache-2.0
"""Exit codes. A run's own are in `Report.exit_code`: 0, 1, 3, 130. What is raised before there is a run ends in these.

2: what is wrong with the command or the specification. 1: what failed on the way. 4: refused by a gate. 130: stopped.
"""

from __future__ import annotations

from waybill.errors import Error
from waybill.records import RunState

FAILED = 1
USAGE = 2
DIFFERENCES = 3
REFUSED = 4
INTERRUPTED = 130

# Of a run, by its state: as Report.exit_code.
BY_STATE: dict[RunState, int] = {
    "created": FAILED,
    "running": FAILED,
    "paused": INTERRUPTED,
    "cancelling": FAILED,
    "completed": 0,
    "completed_with_differences": DIFFERENCES,
    "failed": FAILED,
    "cancelled": INTERRUPTED,
    "interrupted": INTERRUPTED,
}

BY_CLASS = {
    "none": FAILED,
    "configuration": USAGE,
    "auth": FAILED,
    "permission": FAILED,
    "missing": USAGE,
    "throttled": FAILED,
    "network": FAILED,
    "timeout": FAILED,
    "server": FAILED,
    "checksum": FAILED,
    "source_changed": FAILED,
    "unsupported": USAGE,
    "occupied": FAILED,
    "collision": FAILED,
    "too_large": FAILED,
    "archived": FAILED,
    "local_io": FAILED,
    "transform": FAILED,
    "conflict": FAILED,
    "tracker": FAILED,
    "locked": REFUSED,
    "fenced": REFUSED,
    "callback": FAILED,
    "endpoint": FAILED,
    "forked": FAILED,
    "cancelled": INTERRUPTED,
    "internal": FAILED,
}

# A ledger that is none, of a newer schema, or on a network filesystem was the wrong one to name; one that is damaged,
# full or busy failed on the way.
TRACKER_USAGE_CODES = {"invalid_argument", "failed_precondition", "unimplemented", "not_found"}


def exit_code_of(error: Error) -> int:
    """The exit code for what a call of waybill raised."""
    if error.error_class == "tracker" and error.code in TRACKER_USAGE_CODES:
        return USAGE
    return BY_CLASS.get(error.error_class, FAILED)
