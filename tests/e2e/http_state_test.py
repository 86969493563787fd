# SPDX-License-Identifier: Apache-2.0
"""What an HTTP server never gets back: cookies that it set, and what a netrc file knows of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from process import Waybill, open_folder

PAGE = b"<ListBucketResult><IsTruncated>%s</IsTruncated>%s</ListBucketResult>"


class Store(BaseHTTPRequestHandler):
    """Lists two empty pages, and sets a cookie with each answer."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        is_first = "continuation-token" not in self.path
        token = b"<NextContinuationToken>t</NextContinuationToken>" if is_first else b""
        body = PAGE % (b"true" if is_first else b"false", token)
        self.send_response(200)
        self.send_header("Set-Cookie", "canary=1; Path=/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_cookies_and_netrc_files_are_ignored() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server, open_folder("waybill-http-") as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (folder / ".netrc").write_text(
            "machine 127.0.0.1 login canary password canary\ndefault login canary password canary\n"
        )
        (folder / ".netrc").chmod(0o600)
        url = f"s3://bucket/p?endpoint=http://127.0.0.1:{server.server_port}&anonymous=true"
        done = Waybill(folder).run("run", "--from", url, "--to", "to")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert len(Store.seen) >= 2
    for headers in Store.seen:
        assert not {"cookie", "authorization", "proxy-authorization"} & headers.keys(), headers
