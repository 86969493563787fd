# SPDX-License-Identifier: Apache-2.0
"""Profile files and variables mean to waybill what they mean to botocore: the same setting gives the same key.

Whose key waybill signs with is read from the requests that it sends to a server of ours.
"""

from __future__ import annotations

import http.server
import os
import re
import shlex
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

PROBE = """
import os, sys, waybill
try:
    source = waybill.Migration(sys.argv[1], "memory://credentials-probe")
    source.plan()
except waybill.Error as error:
    print(str(error))
"""
BOTOCORE = """
import botocore.session
import sys
session = botocore.session.Session(profile=sys.argv[1] or None)
found = session.get_credentials()
frozen = found.get_frozen_credentials() if found else None
print(f"{frozen.access_key} {frozen.token or ''}" if frozen else "")
"""
EMPTY = b"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated></ListBucketResult>"
STS = """<{0}Response><{0}Result><Credentials><AccessKeyId>{1}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
<SessionToken>{2}</SessionToken><Expiration>2031-01-01T00:00:00Z</Expiration></Credentials></{0}Result></{0}Response>"""


class Handler(http.server.BaseHTTPRequestHandler):
    """S3 that is empty, and STS whose keys tell who asked and for which role."""

    seen: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def key(self) -> str:
        return (re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", "")) or ["", ""])[1]

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        type(self).seen.append(f"{self.key()} {self.headers.get('x-amz-security-token', '')}")
        self.answer(EMPTY)

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        action, role = form["Action"][0], form["RoleArn"][0].rpartition("/")[2]
        key = f"{self.key() or 'TOKEN'}x{role}"
        self.answer(STS.format(action, key, "token" + role).encode())


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Handler.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()


def files(folder: Path) -> None:
    process = folder / "a process"
    process.write_text(
        "#!/bin/sh\n"
        'echo "{\\"Version\\":1,\\"AccessKeyId\\":\\"PROC$#\\",\\"SecretAccessKey\\":\\"s\\",\\"SessionToken\\":\\"t\\",'
        '\\"Expiration\\":\\"2031-01-01T00:00:00Z\\"}"\n'
    )
    process.chmod(0o700)
    command = shlex.quote(str(process))
    (folder / "token").write_text("a.b.c")
    (folder / "credentials").write_text(
        "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = s\n"
        "[keys]\naws_access_key_id=KEYS\naws_secret_access_key=s\naws_session_token=kt\n"
        "[both]\naws_access_key_id = FIRST\naws_secret_access_key = s\n"
        "[two words]\naws_access_key_id = TWO\naws_secret_access_key = s\n"
    )
    (folder / "config").write_text(
        "[default]\nregion = us-east-1\n"
        "[profile both]\naws_access_key_id = SECOND\naws_secret_access_key = s\n"
        f'[profile process]\ncredential_process = {command} a \'b c\' "" "d\\"e" f\\ g\n'
        f"[profile processandkeys]\ncredential_process = {command}\naws_access_key_id = CONF\naws_secret_access_key = s\n"
        "[profile conf]\naws_access_key_id = CONF\naws_secret_access_key = s\n"
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/one\nsource_profile = keys\n"
        "[profile chain]\nrole_arn = arn:aws:iam::123456789012:role/two\nsource_profile = role\n"
        "[profile own]\nrole_arn = arn:aws:iam::123456789012:role/own\nsource_profile = own\n"
        "aws_access_key_id = OWN\naws_secret_access_key = s\n"
        "[profile roleofprocess]\nrole_arn = arn:aws:iam::123456789012:role/p\nsource_profile = process\n"
        f"[profile web]\nrole_arn = arn:aws:iam::123456789012:role/web\nweb_identity_token_file = {folder / 'token'}\n"
        "[profile fromenvironment]\nrole_arn = arn:aws:iam::123456789012:role/e\ncredential_source = Environment\n"
    )


def run(script: str, argument: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, argument],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("profile", "variables", "key"),
    [
        ("", {}, "DEFAULT"),
        ("", {"AWS_PROFILE": "keys"}, "KEYS"),
        ("", {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "keys"}, "ENV"),
        ("keys", {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, "KEYS"),
        ("both", {}, "FIRST"),
        ("two words", {}, "TWO"),
        ("conf", {}, "CONF"),
        ("process", {}, "PROC5"),
        ("processandkeys", {}, "PROC0"),
        ("role", {}, "KEYSxone"),
        ("chain", {}, "KEYSxonextwo"),
        ("own", {}, "OWNxown"),
        ("roleofprocess", {}, "PROC5xp"),
        ("web", {}, "TOKENxweb"),
        ("fromenvironment", {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, "ENVxe"),
    ],
)
def test_the_same_settings_give_the_same_key(
    tmp_path: Path, server: http.server.ThreadingHTTPServer, profile: str, variables: dict[str, str], key: str
) -> None:
    files(tmp_path)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = (
        kept
        | {
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL_STS": address,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }
        | variables
    )
    theirs = run(BOTOCORE, profile, environment)
    assert theirs.split(" ")[0] == key

    url = f"s3://bucket?endpoint={address}" + (f"&profile={profile.replace(' ', '%20')}" if profile else "")
    said = run(PROBE, url, environment)
    assert Handler.seen, said
    assert Handler.seen[0] == theirs
