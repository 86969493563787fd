# SPDX-License-Identifier: Apache-2.0
"""Bad input, through the command line: one line on stderr that names the thing and says what to do, the exit code that
belongs to it, nothing moved, and nothing lost of what a ledger knew.

Exit codes: 2 for what is wrong with the command or the specification, 1 for what failed on the way, 4 for what is
refused for now. Missing rights are met as a user that has none, and only after an ordinary program was refused too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from process import Waybill, open_folder, run_checked, unprivileged, wait_for
from s3 import S3Server
from small_disk import SmallDisk
from stall_proxy import StallProxy

LEDGER_FILE = re.compile(r"\.db(-wal|-shm|-journal|\.lock)?$")
# What a ledger knows of its migration; the rest says who holds it, and what was tried when.
RECORDS = [
    "SELECT migration, name, fingerprint, source, destination, source_url, destination_url FROM ledger",
    "SELECT run, phase, started_at_ms, ended_at_ms, listing_complete FROM runs",
    *(
        f"SELECT * FROM {table}"
        for table in "items failures counters classes segments partitions listings uploads upload_parts".split()
    ),
]
SECRET = "Qx7-this-secret-is-in-no-message-9Lm"
MOVE = "run --from source --to to"


@dataclass
class Scene:
    """A folder with a source, what was moved from it, and ledgers that know of it; the same before every case."""

    folder: Path
    template: Path
    server: S3Server
    values: dict[str, str] = field(default_factory=dict)

    def remove_bucket(self) -> None:
        self.server.objects("target").rename(self.server.folder / "gone")

    def reset(self) -> None:
        if (self.server.folder / "gone").exists():
            (self.server.folder / "gone").rename(self.server.objects("target"))
        self.give_rights_back()
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        run_checked(["cp", "-a", f"{self.template}/.", f"{self.folder}/"])

    def give_rights_back(self) -> None:
        """So that tests without root's rights can look, too."""
        run_checked(["chmod", "-R", "u+rwX", str(self.folder)])

    def waybill(self, *, as_other: bool = False, tracker: str = "ledger.db", **environment: str) -> Waybill:
        prefix = unprivileged() if as_other else []
        return Waybill(
            self.folder,
            tracker=tracker,
            prefix=prefix,
            environment=self.server.environment | {"AWS_REGION": ""} | environment,
        )

    def moved(self) -> dict[str, Any]:
        """Everything but ledgers, in the folder and at the S3 server."""
        found: dict[str, Any] = {}
        for top, folders, names in os.walk(self.folder):
            for name in [*folders, *names]:
                path = Path(top, name)
                if LEDGER_FILE.search(name) and not path.is_dir():
                    continue
                content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                status = path.lstat()
                found[str(path)] = (stat.S_IFMT(status.st_mode), status.st_mtime_ns if content else 0, content)
        data = self.server.folder / "data"
        for path in data.rglob("*"):
            if ".sgwtmp" not in path.parts:
                found[str(path)] = path.read_bytes() if path.is_file() else b""
        return found


def recorded(ledger: Path) -> object:
    """What a ledger holds, read from a copy (reading in place writes beside it); its bytes where it is no database."""
    if not ledger.is_file():
        return sorted(entry.name for entry in ledger.iterdir()) if ledger.is_dir() else ledger.exists()
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            if (part := ledger.with_name(ledger.name + suffix)).exists():
                (Path(folder) / ("copy" + suffix)).write_bytes(part.read_bytes())
        with contextlib.closing(sqlite3.connect(Path(folder) / "copy")) as connection:
            try:
                return [connection.execute(query).fetchall() for query in RECORDS]
            except sqlite3.DatabaseError:
                return ledger.read_bytes()


def fails_too(scene: Scene, *command: str) -> None:
    """An ordinary program is refused as well: otherwise the case would show nothing."""
    done = subprocess.run([*unprivileged(), *command], cwd=scene.folder, capture_output=True, check=False)
    assert done.returncode != 0, f"{command} works: this user has the right that the case takes away"


def killed_half_way(scene: Scene, proxy: StallProxy) -> None:
    """Leaves unfinished.db behind: kill -9 with transfers under way and items left."""
    for number in range(300):
        (scene.folder / "many" / f"{number:03}").write_bytes(b"%d" % number * 2000)
    url = f"s3://target/many?endpoint={proxy.endpoint}"
    waybill = scene.waybill(tracker="unfinished.db")
    proxy.freeze_at(b"PUT /target/many/", 100)
    process = waybill.start("run", "--from", "many", "--to", url, "--concurrency", "4", "--progress", "none")
    try:
        wait_for(lambda: proxy.is_frozen or process.poll() is not None, 60, "the 100th transfer")
        wait_for(lambda: waybill.status()["items"]["done"] > 0, 60, "something recorded")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        assert waybill.status()["run"]["state"] == "interrupted", "the run ended before it could be killed"
    finally:
        waybill.stop(process)
        proxy.thaw()


@pytest.fixture(scope="module")
def made() -> Iterator[Scene]:
    with S3Server("target") as server, StallProxy(server.port) as proxy, open_folder("waybill-bad-") as top:
        folder, template = top / "at", top / "template"
        scene = Scene(folder, template, server)
        for name in ("source/sub", "many", "reserve"):
            (folder / name).mkdir(parents=True)
        (folder / "source/file").write_bytes(b"content")
        (folder / "source/sub/inner").write_bytes(b"more content")
        here = scene.waybill()
        s3 = scene.waybill(tracker="s3.db")
        assert here.run(*shlex.split(MOVE)).returncode == 0
        assert s3.run("run", "--from", "source", "--to", server.url("target", "kept")).returncode == 0
        killed_half_way(scene, proxy)
        scene.values = {
            "endpoint": server.endpoint,
            "s3": server.url("target", "kept"),
            "closed": f"s3://target/kept?endpoint=http://127.0.0.1:{closed_port()}",
        }
        if os.geteuid() == 0:
            run_checked(["chown", "-R", "nobody:nogroup", str(top)])
        run_checked(["cp", "-a", str(folder), str(template)])
        yield scene


@pytest.fixture
def scene(made: Scene) -> Scene:
    made.reset()
    return made


def closed_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def check_line(done: subprocess.CompletedProcess[bytes], code: int, names: str, says: str) -> str:
    text = done.stderr.decode()
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text
    assert text.startswith("waybill: "), text
    assert done.returncode == code, f"{done.returncode}: {text}"
    assert names in text, f"does not name {names!r}: {text}"
    assert re.search(says, text), f"does not say what to do ({says}): {text}"
    assert SECRET not in text
    assert done.stdout == b"", done.stdout
    return text


@dataclass(frozen=True)
class Case:
    name: str
    command: str
    code: int
    names: str  # what the line has to name
    says: str  # what the user can do about it: a regular expression
    prepare: Callable[[Scene], object] = lambda scene: None
    take_away: Callable[[Scene], None] | None = None  # rights; the command runs as a user that has not more
    tracker: str = "ledger.db"
    environment: dict[str, str] = field(default_factory=dict)


def expect_refusal(scene: Scene, case: Case) -> None:
    case.prepare(scene)
    ledger = scene.folder / case.tracker
    before, known = scene.moved(), recorded(ledger)
    if case.take_away:
        case.take_away(scene)
    command = case.command.format(**scene.values)
    waybill = scene.waybill(as_other=case.take_away is not None, tracker=case.tracker, **case.environment)
    done = waybill.run(*shlex.split(command), timeout=60)
    if case.take_away:
        scene.give_rights_back()
    check_line(done, case.code, case.names.format(**scene.values), case.says)
    assert scene.moved() == before, "something was moved or made"
    assert recorded(ledger) == known, "the ledger has changed"


HELP = r"see waybill \w+ --help"


def remove_source(scene: Scene) -> None:
    shutil.rmtree(scene.folder / "source")


COMMANDS = [
    Case("unknown option", f"{MOVE} --fast", 2, "--fast", HELP),
    Case("unknown command", "shuffle", 2, "shuffle", "see waybill --help"),
    Case("one store only", "run --from source", 2, "--to", "go together"),
    Case("size is no size", f"{MOVE} --max-size big", 2, "--max-size", "a size such as"),
    Case("size is negative", f"{MOVE} --max-size -5", 2, "--max-size", "a size such as"),
    Case("size without end", f"{MOVE} --max-size 99999999999TiB", 2, "--max-size", "more than any store"),
    Case("no concurrency", f"{MOVE} --concurrency 0", 2, "--concurrency", "from 1 to 512"),
    Case("too much concurrency", f"{MOVE} --concurrency 513", 2, "--concurrency", "from 1 to 512"),
    Case("concurrency in words", f"{MOVE} --concurrency many", 2, "--concurrency", "from 1 to 512"),
    Case("unknown overwrite", f"{MOVE} --overwrite maybe", 2, "--overwrite", "'own', 'never', 'always'"),
    Case("unknown digest", f"{MOVE} --digest md5", 2, "--digest", "'crc64nvme', 'sha256'"),
    Case("unknown level", "verify --level all", 2, "--level", "'listing', 'checksum'"),
]

STORES = [
    Case("unknown scheme", "run --from gopher://x/y --to to", 2, "gopher://", "known are file, http, https, manifest, memory, s3"),
    Case("unknown scheme to", "run --from source --to ftp://x/y", 2, "ftp://", "known are file, http, https, manifest, memory, s3"),
    Case("unknown S3 parameter", "run --from source --to {s3}&colour=red", 2, "colour", "known are endpoint, region"),
    Case("unknown folder parameter", "run --from file:///srv?colour=red --to to", 2, "colour", "remove it"),
    Case("secret in the URL", f"run --from source --to s3://me:{SECRET}@target/x", 2, "s3://", "environment|profile"),
    Case("source missing", "run --from nowhere --to to", 2, "/nowhere", "create it, or correct the path",
         tracker="new.db"),
    Case("source gone", "run", 2, '/source"', "create it, or correct the path", prepare=remove_source),
    Case("source is a file", "run --from source/file --to to", 2, "source/file", "give a folder", tracker="new.db"),
    Case("destination is a file", "run --from many --to source/file", 2, "source/file", "give a folder",
         tracker="new.db"),
    Case("destination in the source", "run --from source --to source/sub/to", 2, "source/sub/to", "one outside of it"),
    Case("in the source by ..", "run --from source --to to/../source/sub", 2, "source/sub", "one outside of it"),
    Case("destination is the source", "run --from source --to ./source/", 2, "/source/", "one outside of it"),
    Case("prefix in the source", "run --from {s3} --to s3://target/kept/x?endpoint={endpoint}", 2,
         "s3://target/kept/x/", "one outside of it"),
    Case("prefix is the source", "run --from {s3} --to {s3}", 2, "s3://target/kept/", "one outside of it"),
    Case("no bucket in the URL", "run --from source --to s3:///x?endpoint={endpoint}", 2, "s3://", "names a bucket"),
    Case("no bucket name", "run --from source --to s3://a!b/x?endpoint={endpoint}", 2, "a!b", "letters, digits"),
    Case("bucket name that S3 refuses", "run --from source --to s3://Not_A_Bucket/x?endpoint={endpoint}", 2,
         "s3://Not_A_Bucket", "correct its name", tracker="new.db"),
    Case("bucket missing", "run --from source --to s3://nosuch/x?endpoint={endpoint}", 2, "s3://nosuch",
         "create the bucket or correct its name", tracker="new.db"),
    Case("bucket of the source missing", "run --from s3://nosuch/x?endpoint={endpoint} --to to", 2, "s3://nosuch",
         "create the bucket or correct its name", tracker="new.db"),
    Case("bucket gone", "run", 2, "s3://target", "create the bucket or correct its name", tracker="s3.db",
         prepare=lambda scene: scene.remove_bucket()),
    Case("endpoint is no URL", "run --from source --to s3://target/x?endpoint=127.0.0.1:9000", 2, "127.0.0.1:9000",
         r"http\(s\)://host"),
    Case("http to another machine", "run --from source --to s3://target/x?endpoint=http://store.example:9000", 2,
         "http://store.example:9000", "use https, or add allow_http=true"),
    # what failed on the way
    Case("wrong secret", "run --from source --to {s3}", 1, "s3://target", "check the access key and its secret",
         environment={"AWS_SECRET_ACCESS_KEY": SECRET}, tracker="s3.db"),
    Case("wrong secret, by the ledger", "run", 1, "s3://target", "check the access key and its secret",
         environment={"AWS_SECRET_ACCESS_KEY": SECRET}, tracker="s3.db"),
    Case("wrong secret, verify", "verify", 1, "s3://target", "check the access key and its secret",
         environment={"AWS_SECRET_ACCESS_KEY": SECRET}, tracker="s3.db"),
    Case("unknown access key", "run --from source --to {s3}", 1, "s3://target", "check the access key and its secret",
         environment={"AWS_ACCESS_KEY_ID": "NOBODYHASTHISKEY"}, tracker="s3.db"),
    Case("no credentials", "run --from source --to {s3}", 1, "AWS_ACCESS_KEY_ID", "set the keys|name a profile",
         environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, tracker="s3.db"),
    Case("half of the credentials", "run --from source --to {s3}", 1, "AWS_ACCESS_KEY_ID", "set both",
         environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": SECRET}, tracker="s3.db"),
    Case("unknown profile", "run --from source --to {s3}&profile=ghost", 1, "'ghost'", "name a profile",
         tracker="s3.db"),
    Case("nobody listens", "run --from source --to {closed}", 1, "http://127.0.0.1:",
         "check the endpoint", tracker="s3.db"),
]  # fmt: skip


def take_away(*paths: str, mode: int = 0, refused: str) -> Callable[[Scene], None]:
    """Takes rights away, and sees that `refused`, an ordinary command, fails for it."""

    def prepare(scene: Scene) -> None:
        for path in paths:
            (scene.folder / path).chmod(mode)
        fails_too(scene, *shlex.split(refused))

    return prepare


LOOK = "check the permissions"
READ_ONLY_LEDGER = take_away("ledger.db", mode=0o400, refused="dd of=ledger.db count=0 conv=notrunc")
CLOSED_LEDGER = take_away("ledger.db", refused="cat ledger.db")
CLOSED_FOLDER = take_away("reserve", refused="ls reserve/deep")
READ_ONLY_FOLDER = take_away("reserve", mode=0o555, refused="touch reserve/x")
ELSEWHERE = "reserve/ledger.db"


def put_ledger_elsewhere(scene: Scene) -> None:
    run_checked(["cp", "-a", "ledger.db", ELSEWHERE], cwd=scene.folder)


RIGHTS = [
    Case("source unreadable", MOVE, 1, '/source"', LOOK, take_away=take_away("source", refused="ls source")),
    Case("source without entry", MOVE, 1, '/source"', LOOK,
         take_away=take_away("source", mode=0o644, refused="cat source/file")),
    Case("source in a closed folder", "run --from reserve/deep --to to", 1, "/reserve/deep", LOOK,
         take_away=CLOSED_FOLDER, tracker="new.db"),
    Case("destination not writable", MOVE, 1, '/to"', LOOK,
         take_away=take_away("to", mode=0o555, refused="touch to/x")),
    Case("destination not to be made", "run --from source --to reserve/a/b", 1, '/reserve"', LOOK,
         take_away=READ_ONLY_FOLDER, tracker="new.db"),
    Case("ledger read-only", MOVE, 1, "ledger.db", LOOK, take_away=READ_ONLY_LEDGER),
    Case("ledger read-only, verify", "verify", 1, "ledger.db", LOOK, take_away=READ_ONLY_LEDGER),
    Case("ledger unreadable", MOVE, 1, "ledger.db", LOOK, take_away=CLOSED_LEDGER),
    Case("ledger unreadable, status", "status", 1, "ledger.db", LOOK, take_away=CLOSED_LEDGER),
    Case("ledger's folder read-only", MOVE, 1, ELSEWHERE, LOOK, put_ledger_elsewhere, READ_ONLY_FOLDER, ELSEWHERE),
    Case("ledger's folder read-only, run alone", "run", 1, ELSEWHERE, LOOK, put_ledger_elsewhere, READ_ONLY_FOLDER,
         ELSEWHERE),
    Case("ledger not to be made", MOVE, 1, ELSEWHERE, "permissions, or name another place",
         take_away=READ_ONLY_FOLDER, tracker=ELSEWHERE),
    Case("ledger in a closed folder", MOVE, 1, ELSEWHERE, "permissions, or name another place", put_ledger_elsewhere,
         CLOSED_FOLDER, ELSEWHERE),
]  # fmt: skip


def corrupt_header(ledger: Path) -> None:
    with open(ledger, "r+b") as file:
        file.write(b"\xa5" * 16)


def corrupt_pages(ledger: Path) -> None:
    with open(ledger, "r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * 65536)


def cut_to(size: int) -> Callable[[Path], None]:
    return lambda ledger: os.truncate(ledger, size)


def into_text(ledger: Path) -> None:
    ledger.write_text("a letter, not a ledger\n" * 1000)


def into_database_of_another(ledger: Path) -> None:
    ledger.unlink()
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.executescript("CREATE TABLE cakes (name TEXT); INSERT INTO cakes VALUES ('plum')")
    ledger.chmod(0o600)


def into_newer_schema(ledger: Path) -> None:
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA user_version = 9999")


def into_link(ledger: Path) -> None:
    ledger.rename(ledger.with_name("real.db"))
    ledger.symlink_to("real.db")


def into_folder(ledger: Path) -> None:
    ledger.unlink()
    ledger.mkdir()


def into_fifo(ledger: Path) -> None:
    ledger.unlink()
    os.mkfifo(ledger)


DAMAGED = "restore it from a copy"
TRACKERS: list[tuple[str, Callable[[Path], object], int, str]] = [
    ("corrupt header", corrupt_header, 2, f"name another path|{DAMAGED}"),
    ("corrupt pages", corrupt_pages, 1, DAMAGED),
    ("cut to 50 bytes", cut_to(50), 1, DAMAGED),
    ("cut to half a page", cut_to(4096), 1, DAMAGED),
    ("cut to one page", cut_to(8192), 1, DAMAGED),
    ("cut within a page", cut_to(50_000), 1, DAMAGED),
    ("not a database", into_text, 2, "name another path"),
    ("another program's", into_database_of_another, 2, "another program.*name another path"),
    ("newer schema", into_newer_schema, 2, "9999.*upgrade waybill"),
    ("symbolic link", into_link, 2, "name the file itself"),
    ("writable by others", lambda ledger: ledger.chmod(0o660), 2, "chmod 600"),
    ("a folder", into_folder, 2, "name a file"),
    ("a FIFO", into_fifo, 2, "name one"),
]

STATES = [
    Case("another migration", "run --from source --to elsewhere", 2, "ledger.db", "use another ledger"),
    Case("another migration, plan", "plan --from source --to elsewhere", 2, "another migration", "name another one"),
    Case("unknown kind of ledger", MOVE, 2, "mysql", "sqlite:///path", tracker="mysql://x/y"),
    Case("ledger in no folder", MOVE, 2, "no/such/new.db", "create it, or name another", tracker="no/such/new.db"),
    Case("run of no ledger", "run", 2, "none.db", "--from URL --to URL", tracker="none.db"),
    Case("verify of no ledger", "verify", 2, "none.db", "waybill run", tracker="none.db"),
    Case("resume of no ledger", "resume", 2, "none.db", "waybill run", tracker="none.db"),
    Case("run of an empty file", "run", 2, "new.db", "--from URL --to URL", tracker="new.db",
         prepare=lambda scene: (scene.folder / "new.db").touch(0o600)),
    Case("resume after the end", "resume", 2, "ledger.db", "nothing to resume.*waybill run"),
    Case("pause after the end", "pause", 2, "ledger.db", "nothing to pause.*ended"),
    Case("cancel after the end", "cancel", 2, "ledger.db", "nothing to cancel.*ended"),
    # refused for now
    Case("run of what is paused", "run", 4, "paused", "waybill resume", tracker="unfinished.db",
         prepare=lambda scene: scene.waybill(tracker="unfinished.db").run("pause")),
    Case("verify before the copy ended", "verify", 4, "unfinished.db", "carry on with: waybill run",
         tracker="unfinished.db"),
    Case("verify of what is paused", "verify", 4, "paused", "waybill resume", tracker="unfinished.db",
         prepare=lambda scene: scene.waybill(tracker="unfinished.db").run("pause")),
]  # fmt: skip


def ids(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("case", COMMANDS, ids=ids(COMMANDS))
def test_a_wrong_command(scene: Scene, case: Case) -> None:
    expect_refusal(scene, case)


@pytest.mark.parametrize("case", STORES, ids=ids(STORES))
def test_a_store_that_cannot_be_used(scene: Scene, case: Case) -> None:
    expect_refusal(scene, case)


@pytest.mark.parametrize("case", RIGHTS, ids=ids(RIGHTS))
def test_a_right_that_is_missing(scene: Scene, case: Case) -> None:
    expect_refusal(scene, case)


@pytest.mark.parametrize("case", STATES, ids=ids(STATES))
def test_a_ledger_of_another_state(scene: Scene, case: Case) -> None:
    expect_refusal(scene, case)


@pytest.mark.parametrize(("spoil", "code", "says"), [row[1:] for row in TRACKERS], ids=[row[0] for row in TRACKERS])
def test_a_ledger_that_is_none(scene: Scene, spoil: Callable[[Path], object], code: int, says: str) -> None:
    """Whatever the command: the file is left as it is."""
    spoil(scene.folder / "ledger.db")
    for command in (MOVE, "run"):  # the first opens it for writing, the second for reading
        expect_refusal(scene, Case("", command, code, "ledger.db", says))


def test_http_to_another_machine_is_not_even_tried(scene: Scene) -> None:
    """0.0.0.0 is not loopback by its name, yet leads here: whoever connected would be seen."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        with socket.create_connection(("0.0.0.0", port), timeout=5):
            listener.accept()[0].close()
        command = f"run --from source --to s3://target/x?endpoint=http://0.0.0.0:{port}"
        expect_refusal(scene, Case("", command, 2, f"http://0.0.0.0:{port}", "use https, or add allow_http=true"))
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_ledger_that_may_only_be_read_can_be_read(scene: Scene) -> None:
    READ_ONLY_LEDGER(scene)
    done = scene.waybill(as_other=True).run("status")
    assert done.returncode == 0, done.stderr
    assert b"2 of 2 settled" in done.stdout


def test_what_was_refused_goes_on_once_it_is_put_right(scene: Scene) -> None:
    """After a wrong secret the same command carries on, and copies nothing twice."""
    waybill = scene.waybill(tracker="s3.db")
    assert waybill.run("run").returncode == 0
    expect_refusal(scene, next(case for case in STORES if case.name == "wrong secret"))
    assert waybill.run("run").returncode == 0
    status = waybill.status()
    assert (status["items"]["unchanged"], status["attempts"]["total"]) == (2, 0)


def test_a_ledger_on_a_full_disk(scene: Scene) -> None:
    """A new one is not made, a known one is kept as it is; with space back the same commands go on."""
    (scene.folder / "small").mkdir()
    ledger = scene.folder / "ledger.db"
    with SmallDisk(scene.folder / "small", 2048) as disk:
        shutil.copy2(ledger, disk.inside / "ledger.db")
        known = recorded(ledger)
        waybills = {
            name: Waybill(scene.folder, tracker=f"small/{name}", prefix=disk.prefix) for name in ("ledger.db", "new.db")
        }
        for but_kib in (0, 64):
            disk.fill(but_kib=but_kib)
            assert subprocess.run(["cp", ledger, disk.inside / "x"], capture_output=True, check=False).returncode != 0
            (disk.inside / "x").unlink()
            before = scene.moved()
            commands = [("new.db", MOVE)]
            if but_kib == 0:
                commands += [("ledger.db", MOVE), ("ledger.db", "run"), ("ledger.db", "verify")]
            for name, command in commands:
                disk.fill(but_kib=but_kib)
                done = waybills[name].run(*shlex.split(command), timeout=60)
                check_line(done, 1, f"small/{name}", "is full; free some space")
            assert scene.moved() == before
            assert recorded(disk.inside / "ledger.db") == known
        disk.free()
        for name, waybill in waybills.items():
            done = waybill.run(*shlex.split(MOVE), timeout=60)
            assert done.returncode == 0, f"{name}: {done.stderr.decode()}"
            items = waybill.status()["items"]
            assert (items["done"], items["outstanding"]) == (2, 0)
