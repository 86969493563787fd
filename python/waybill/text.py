# SPDX-License-Identifier: Apache-2.0
"""Numbers, sizes, times and foreign text for people."""

from __future__ import annotations

import base64
import codecs
import dataclasses
import json
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from waybill._core import shown_key
from waybill.records import (
    Failure,
    Finding,
    InFlight,
    ItemRecord,
    JournalRecord,
    Phase,
    ReferenceAccounts,
    ReferenceRecord,
    Snapshot,
    printable,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
# What could move a terminal's cursor, break a line or turn the reading direction.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def safe(text: str) -> str:
    """One line without control characters, of a text that is not ours."""
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    # A byte of a path or an argument that is not UTF-8 stands as it does in keys.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def safe_json(text: str) -> str:
    """JSON that shows none of these characters either: they stand inside of strings, where they have escapes."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def ascii_only(text: str) -> str:
    """A text in ASCII: what is none stands as its bytes do in keys, ``\\xc3\\xa9``."""
    return _NOT_ASCII.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "replace")), text)


def ascii_json(text: str) -> str:
    """JSON in ASCII: what is none stands inside of strings, where it has escapes."""
    return _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text)


def is_utf8(stream: TextIO) -> bool:
    """Whether a stream takes any text."""
    try:
        return codecs.lookup(stream.encoding or "utf-8").name == "utf-8"
    except LookupError:
        return False


def json_line(value: Any) -> str:
    """A value as JSON on one line."""
    return safe_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def key_fields(key: bytes) -> dict[str, str]:
    """A key in JSON: as it is shown, and its bytes where they are not UTF-8 and it is no URL that may hold a secret."""
    fields = {"key": shown_key(key)}
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        if fields["key"] == printable(key):
            fields["key_base64"] = base64.b64encode(key).decode("ascii")
    return fields


def shown_value(value: str | None) -> str | None:
    """What a reference holds, as it is shown: without what may be a secret in a URL."""
    if value is None:
        return None
    if "://" in value:
        return shown_key(value) if re.search("[?#@]", value) else value
    plain, mark, _ = value.partition("?")  # it may still be a part of a URL
    return f"{plain}?***" if mark else value


# Of a row of the ledger, what only a ledger needs: no report and no command shows it.
_KEPT_BACK = frozenset("stamp_version opaque seen left stored_mtime_ns stored_crc64nvme stored_sha256".split())


def row_fields(row: ItemRecord | Failure | Finding) -> dict[str, Any]:
    """A row of the ledger as fields of JSON, under the names of its class: keys as `key_fields`, digests in hexadecimal."""
    names = [field.name for field in dataclasses.fields(row) if field.name not in _KEPT_BACK]
    fields = {name: getattr(row, name) for name in names} | key_fields(row.key)
    if isinstance(row, ItemRecord):
        fields["crc64nvme"] = f"{row.crc64nvme:016x}" if row.crc64nvme is not None else None
        fields["sha256"] = row.sha256.hex() if row.sha256 is not None else None
        fields["destination_key"] = shown_key(row.destination_key) or None
    return fields


def item_name(item: ItemRecord | Failure | Finding | InFlight) -> str:
    """Partition, if there is one, and key."""
    name = safe(shown_key(item.key))
    return f"{safe(item.partition)}: {name}" if item.partition else name


def count(number: int) -> str:
    return f"{number:,}"


def size(number: float) -> str:
    """Bytes with a binary unit: ``"1.5 GiB"``."""
    if number < 1024:
        return f"{number:.0f} B"
    unit = ""
    for unit in _UNITS:  # noqa: B007 (the last one is kept)
        number /= 1024
        if number < 1023.95:
            break
    return f"{number:.1f} {unit}"


def duration(seconds: float) -> str:
    """``"3.2 s"``, ``"4 min 10 s"``, ``"2 h 5 min"``, ``"3 d 4 h"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def moment(ms: int) -> str:
    """RFC 3339 in UTC, to the second; the number itself where no calendar reaches."""
    try:
        return (_EPOCH + timedelta(seconds=ms // 1000)).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError:
        return f"{ms} ms"


def moment_ms(ms: int) -> str:
    """As `moment`, to the millisecond."""
    text = moment(ms)
    return f"{text[:-1]}.{ms % 1000:03}Z" if text.endswith("Z") else text


def percent(ratio: float) -> str:
    """Never 100 before it is: rounded down."""
    return f"{int(ratio * 1000) / 10:.1f} %"


def eta(snapshot: Snapshot) -> str:
    """``"ETA 2 min 5 s to 3 min"``, or nothing where it cannot be told."""
    low, high = snapshot.live.eta_low_seconds, snapshot.live.eta_high_seconds
    if low is None or high is None:
        return ""
    shortest, longest = duration(low), duration(high)
    return f"ETA {shortest}" if shortest == longest else f"ETA {shortest} to {longest}"


def shown_state(snapshot: Snapshot) -> str:
    """``"copy running"``, and why it stands still if it does: ``"copy paused (endpoint)"``."""
    if snapshot.reason:
        return f"{snapshot.phase} {snapshot.state} ({safe(snapshot.reason)})"
    if snapshot.live.reason and snapshot.state == "running":
        return f"{snapshot.phase} paused ({safe(snapshot.live.reason)})"
    return f"{snapshot.phase} {snapshot.state}"


def items_due(snapshot: Snapshot) -> tuple[str, str]:
    """How many items there are, and how that is meant: ``""``, ``" so far"``, or of tracked work ``" expected"``."""
    if snapshot.listing_complete:
        return count(snapshot.items.eligible), ""
    if snapshot.expected_items is None:
        return count(snapshot.items.eligible), " so far"
    return count(snapshot.expected_items), " expected"


def switches_references(phase: Phase) -> bool:
    """Whether runs of this phase move references, not items."""
    return phase in ("cutover", "rollback")


def switched(phase: Phase, accounts: ReferenceAccounts) -> str:
    """What a run of references has come to: ``"1,200 of 1,344 references switched"``."""
    done, word = (accounts.restored, "restored") if phase == "rollback" else (accounts.updated, "switched")
    return f"{count(done)} of {count(accounts.total)} references {word}"


def other_references(accounts: ReferenceAccounts, *names: str) -> str:
    """The references in these states, those of which there are some: ``"3 conflict, 1 failed"``."""
    numbers = [(getattr(accounts, name), _REFERENCE_WORDS.get(name, name)) for name in names]
    return ", ".join(f"{count(number)} {word}" for number, word in numbers if number)


_REFERENCE_WORDS = {
    "original": "not switched",
    "intended": "open",
    "updated": "switched",
    "conflict": "in conflict",
}
# That a run has left as they are, and why somebody has to look.
LEFT = ("conflict", "failed", "vanished")


# So long without an event is worth telling.
_QUIET_SECONDS = 2.0


def _event_age(snapshot: Snapshot) -> float:
    if snapshot.last_event_at_ms is None:
        return 0.0
    return time.time() - snapshot.last_event_at_ms / 1000


def progress_line(snapshot: Snapshot) -> str:
    """A run in one line."""
    if switches_references(snapshot.phase):
        return _reference_line(snapshot)
    items = snapshot.items
    parts = [shown_state(snapshot)]
    due, meant = items_due(snapshot)
    parts.append(f"{count(items.settled)} of {due} items{meant}")
    if snapshot.progress is not None:
        parts[-1] += f" ({percent(snapshot.progress)})"
    if items.done != items.settled:
        parts.append(f"{count(items.done)} done")
    parts.append(f"{size(snapshot.bytes_done)} of {size(snapshot.bytes_total)}")
    if snapshot.state == "running":
        parts.append(f"{snapshot.live.items_per_second:,.0f} items/s, {size(snapshot.live.bytes_per_second)}/s")
        parts.append(f"{count(items.in_progress)} in progress")
        if snapshot.live.stalled_since_ms is not None:
            parts.append(f"nothing has moved since {moment(snapshot.live.stalled_since_ms)}")
        elif (age := _event_age(snapshot)) >= _QUIET_SECONDS:
            parts.append(f"last event {duration(age)} ago")
        if estimate := eta(snapshot):
            parts.append(estimate)
    if items.failed:
        parts.append(f"{count(items.failed)} failed")
    if items.excluded:
        parts.append(f"{count(items.excluded)} excluded")
    return ", ".join(parts)


def _reference_line(snapshot: Snapshot) -> str:
    accounts = snapshot.run_references
    parts = [shown_state(snapshot), switched(snapshot.phase, accounts)]
    if snapshot.progress is not None:
        parts[-1] += f" ({percent(snapshot.progress)})"
    if left := other_references(accounts, *LEFT):
        parts.append(left)
    if snapshot.state == "running":
        parts.append(f"{snapshot.live.items_per_second:,.0f}/s")
        if snapshot.live.stalled_since_ms is not None:
            parts.append(f"nothing has moved since {moment(snapshot.live.stalled_since_ms)}")
        elif (age := _event_age(snapshot)) >= _QUIET_SECONDS:
            parts.append(f"last event {duration(age)} ago")
        if estimate := eta(snapshot):
            parts.append(estimate)
    return ", ".join(parts)


def reference_name(reference: ReferenceRecord | JournalRecord) -> str:
    """Partition, if there is one, and record."""
    name = safe(reference.record)
    return f"{safe(reference.partition)}: {name}" if reference.partition else name
