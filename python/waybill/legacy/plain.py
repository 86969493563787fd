# SPDX-License-Identifier: Apache-2.0
"""What is kept of another tool's rows: JSON, without secrets."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["plain", "plain_row", "plain_url", "plain_value", "text_of", "to_json"]

# Of configurations only what these names say is kept: others may hold passwords.
_HARMLESS = set(
    "overwrite preserve exclude include remove retry dryRun dry_run watch checksum md5 newerThan olderThan storageClass "
    "disableMultipart skipErrors limitUpload limitDownload max_file_size_mb allowed_extensions batch_size "
    "test_single_account max_test_files specific_account_id run_type incremental full domain region".split()
)
# What a URL in a message may be signed with.
_SIGNED = re.compile(
    r"((?:[?&]|\b)(?:X-Amz-[A-Za-z-]+|AWSAccessKeyId|Signature|Expires|sig|token|sid)=)[^&\s\"']+", re.IGNORECASE
)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


def text_of(value: object) -> str:
    """Text as JSON can hold it."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def plain(text: str) -> str:
    """A message without what a URL in it may be signed with."""
    return _USERINFO.sub("", _SIGNED.sub(r"\1…", text_of(text)))


def plain_url(url: object) -> str:
    text = _USERINFO.sub("", text_of(url))
    return text.partition("?")[0]


def plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {text_of(name): plain_value(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [plain_value(entry) for entry in value]
    return plain(value) if isinstance(value, str) else value


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_field(name, value) for name, value in row.items()}


def _plain_field(name: str, value: Any) -> Any:
    if name in ("config_snapshot", "config_options"):
        return _harmless(value)
    if name.endswith("_url") and isinstance(value, str):
        return plain_url(value)
    return f"{len(value)} bytes" if isinstance(value, bytes) else plain_value(value)


def _harmless(value: Any) -> Any:
    """A configuration, of which names that are not known to be harmless are kept without their values."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return "…"
    if isinstance(value, dict):
        return {
            text_of(name): plain_value(entry)
            if name in _HARMLESS
            else (_harmless(entry) if isinstance(entry, dict) else "…")
            for name, entry in value.items()
        }
    return "…"


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
