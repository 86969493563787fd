# SPDX-License-Identifier: Apache-2.0
"""What to do about each class of errors, in one sentence."""

from __future__ import annotations

__all__ = ["what_to_do"]

_ADVICE = {
    "configuration": "Correct the command or the specification; nothing was moved.",
    "auth": "Renew the credentials, then run the same command again.",
    "permission": "Grant the right that the message names, then: waybill retry --class permission",
    "missing": "It is gone from the source; if that is right: waybill waive --class missing --why ...",
    "occupied": "Something else is at its key; look at it, then move it away, or: "
    "waybill retry --class occupied --overwrite always",
    "unsupported": "One of the stores cannot hold or read it; move it by other means, or: waybill waive --class unsupported --why ...",
    "archived": "Restore it from the archive first, then: waybill retry --class archived",
    "throttled": "The store asked for fewer requests; later, or with a lower --concurrency: waybill retry --class throttled",
    "network": "Check the connection to the store, then: waybill retry --class network",
    "timeout": "Check the connection to the store, then: waybill retry --class timeout",
    "server": "The store failed; later: waybill retry --class server",
    "checksum": "The bytes that arrived were not those that were sent: waybill retry --class checksum",
    "source_changed": "It kept changing while it was read; when it rests: waybill retry --class source_changed",
    "conflict": "Another writer is at the destination; stop it, then: waybill retry --class conflict",
    "too_large": "It is larger than the destination takes.",
    "collision": "Two items have one key at the destination; move one of them elsewhere.",
    "callback": "Your own code raised; mend it, then run it again.",
    "transform": "The transform failed on it; mend it, then: waybill retry --class transform",
    "endpoint": "A whole store failed; when it answers: waybill retry --class endpoint",
    "internal": "A defect of waybill or of a connector; report it with: waybill logs",
    "local_io": "Check the local disk, then: waybill retry --class local_io",
}


def what_to_do(error_class: str) -> str:
    """Give the sentence for a class of errors; empty where there is none."""
    return _ADVICE.get(error_class, "")
