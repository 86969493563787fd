# SPDX-License-Identifier: Apache-2.0
"""Google Cloud Storage and Azure through fsspec, on their emulators: where gcsfs with gcp-storage-emulator, and adlfs with
azurite, are installed. They bring more packages than the rest of the tests together, and are not among what is pinned."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import waybill
from waybill.fsspec import FsspecDestination, FsspecSource

# Of azurite's documentation, and the same in each: no secret.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def emulator(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the emulator did not start")


@pytest.fixture(params=["gcs", "azure"])
def filesystem(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    port = free_port()
    if request.param == "gcs":
        # It is read at the import: no question by gRPC, which emulators do not answer.
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        gcsfs = pytest.importorskip("gcsfs")
        words = [emulator("gcp-storage-emulator"), "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    else:
        adlfs = pytest.importorskip("adlfs")
        words = [emulator("azurite-blob"), "--silent", "--skipApiVersionCheck", f"--location={tmp_path}/azurite"]
        words.append(f"--blobPort={port}")
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            if request.param == "gcs":
                monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
                one = gcsfs.GCSFileSystem(token="anon", project="test", endpoint_url=f"http://127.0.0.1:{port}")
            else:
                account = "devstoreaccount1"
                one = adlfs.AzureBlobFileSystem(
                    account_name=account,
                    connection_string=f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={AZURE_KEY};"
                    f"BlobEndpoint=http://127.0.0.1:{port}/{account};",
                )
            one.mkdir("bucket")
            yield one
        finally:
            process.terminate()


@pytest.mark.filterwarnings("default")  # of libraries that are not waybill's
def test_a_tree_goes_out_and_in_and_what_changed_follows(
    filesystem: Any, tree: Path, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    (tree / "large").write_bytes(os.urandom(20_000_000))  # streamed
    out = waybill.Migration(tree, FsspecDestination(filesystem, "bucket/prefix"), tmp_path / "out.db")
    assert out.run().state == "completed"
    assert out.verify(level="content").state == "completed"
    source = FsspecSource(filesystem, "bucket/prefix")
    back = waybill.Migration(source, tmp_path / "back", tmp_path / "in.db")
    assert back.run().state == "completed"
    assert contents(tmp_path / "back") == contents(tree)
    filesystem.pipe_file("bucket/prefix/large", b"changed")
    filesystem.pipe_file("bucket/prefix/new", b"new")
    items = back.run().snapshot.items
    assert (items.created, items.updated, items.unchanged) == (1, 1, 12)
