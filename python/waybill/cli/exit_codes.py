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


_DONE, _ANY_FAILURE = "done", "failed on the way; the message says why"
_WRONG_COMMAND = "the command, the spec or what it names is wrong"
_STOPPED = "stopped by Ctrl-C, pause or cancel"
_LOCKED = "refused: another process owns the ledger, or the run is paused"

_RUN = {
    0: "all items are done",
    FAILED: "could not reach the end; the message says why",
    USAGE: _WRONG_COMMAND,
    DIFFERENCES: "reached the end; some items failed or vanished",
    REFUSED: _LOCKED,
    INTERRUPTED: _STOPPED,
}
_READ = {0: _DONE, FAILED: _ANY_FAILURE, USAGE: _WRONG_COMMAND, INTERRUPTED: "stopped by Ctrl-C"}
_WRITE = {0: _DONE, FAILED: _ANY_FAILURE, USAGE: _WRONG_COMMAND, REFUSED: "refused: another process owns the ledger"}
_SWITCH = _RUN | {
    DIFFERENCES: "reached the end; conflicts, or some failed: they stay as they are",
    REFUSED: "refused: a gate, an old plan, or another process owns the ledger",
}

# By command, where they are not those of reading.
_BY_COMMAND: dict[str, dict[int, str]] = {
    "": {
        0: _DONE,
        FAILED: "failed",
        USAGE: "wrong command or specification",
        DIFFERENCES: "done with differences: items failed or vanished, or something was found",
        REFUSED: "refused: another process owns the ledger, or something has to come first",
        INTERRUPTED: "stopped: interrupted, paused or cancelled",
    },
    "run": _RUN,
    "resume": _RUN,
    "retry": _RUN,
    "verify": _RUN | {0: "nothing differs", DIFFERENCES: "reached the end; something differs, or could not be read"},
    "watch": {
        0: "the run has completed",
        FAILED: "it could not reach its end",
        USAGE: _WRONG_COMMAND,
        DIFFERENCES: "it has completed with differences",
        INTERRUPTED: "it was stopped, or watching was (by Ctrl-C)",
    },
    "doctor": _READ | {0: "nothing is in the way", FAILED: "something would keep the migration from working"},
    "import": _WRITE,
    "waive": _WRITE,
    "delete-extra": _WRITE | {DIFFERENCES: "some were kept; each has its reason in the logs"},
    "delete-source": _WRITE | {DIFFERENCES: "some were kept; each has its reason in the logs"},
    "readiness": _READ | {0: "ready", REFUSED: "not ready: a gate refuses; or another process owns the ledger"},
    "cutover": _SWITCH | {0: "planned, and ready; with --execute: all are switched"},
    "rollback": _SWITCH | {0: "planned; with --execute: all are restored"},
    "report": _READ | {DIFFERENCES: "with --check: what was exported has been touched"},
    "db check": _READ | {0: "the ledger is sound", FAILED: "the ledger is damaged, or cannot be read"},
    "db vacuum": _WRITE,
    "db prune": _WRITE,
    "db recover": _WRITE,
}


def exit_codes_of(command: str) -> dict[int, str]:
    """The exit codes of a command with their meanings; of ``""``, those of all."""
    return dict(sorted(_BY_COMMAND.get(command, _READ).items()))
