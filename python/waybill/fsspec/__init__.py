# SPDX-License-Identifier: Apache-2.0
"""Any fsspec filesystem as a source or destination: SFTP, FTP, Google Cloud Storage, Azure, and what else there is.

>>> import waybill.fsspec
>>> source = waybill.fsspec.open_source("sftp://files.example/export", username="me", key_filename="~/.ssh/id_ed25519")
>>> waybill.Migration(source, "s3://archive/export", "export.db").run()

Needs ``pip install 'waybill[fsspec]'`` and what the filesystem itself needs (paramiko, gcsfs, adlfs, …). Where waybill has a
connector of its own (``file``, ``s3``), that one is faster and does more: parts that a later run resumes at, conditional
writes, attributes. Docs: docs/python.md.
"""

from __future__ import annotations

from typing import Any

from waybill.fsspec.destination import FsspecDestination
from waybill.fsspec.source import FsspecSource

__all__ = ["FsspecDestination", "FsspecSource", "open_destination", "open_source"]


def open_source(url: str, **storage_options: Any) -> FsspecSource:
    """Open the source at an fsspec URL. As `FsspecSource`."""
    return FsspecSource(url, **storage_options)


def open_destination(url: str, **storage_options: Any) -> FsspecDestination:
    """Open the destination at an fsspec URL. As `FsspecDestination`."""
    return FsspecDestination(url, **storage_options)
