"""What the scripts of all peers share. Runs in the peers' environment: it imports nothing of this project.

A script is started as `script <dsn> <jobs> <batch> <at once>` and starts itself once more as its worker. The worker says
`ready` when it is connected, and works from the moment it reads a line.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


class Queue(Protocol):
    """One peer's queue, with a connection of its own."""

    version: str

    async def setup(self) -> None: ...
    async def put(self, count: int) -> None:
        """One batch."""
        ...

    async def left(self) -> int:
        """How many jobs are not done."""
        ...


@dataclass(frozen=True, slots=True)
class Race:
    dsn: str
    jobs: int
    batch: int
    at_once: int


def start_worker() -> subprocess.Popen[str]:
    worker = subprocess.Popen([sys.executable, *sys.argv, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if worker.stdout is None or worker.stdout.readline().strip() != "ready":
        raise SystemExit("the worker did not start")
    return worker


def let_go(worker: subprocess.Popen[str]) -> None:
    if worker.stdin is not None:
        worker.stdin.write("go\n")
        worker.stdin.flush()


def end(worker: subprocess.Popen[str]) -> None:
    """Nothing is left to lose: the database goes away with it."""
    worker.kill()
    worker.wait()


def wait_for_go() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


async def _put_all(queue: Queue, race: Race) -> None:
    for _ in range(race.jobs // race.batch):
        await queue.put(race.batch)


async def _until_done(queue: Queue) -> None:
    while await queue.left():  # noqa: ASYNC110 - another process does the jobs
        await asyncio.sleep(0.05)


async def end_to_end(queue: Queue, race: Race) -> float:
    """Jobs per second from the first batch to the last job done, the worker waiting from before."""
    worker = start_worker()
    try:
        let_go(worker)
        await queue.put(1)
        await _until_done(queue)
        began = time.perf_counter()
        await _put_all(queue, race)
        await _until_done(queue)
        return race.jobs / (time.perf_counter() - began)
    finally:
        end(worker)


async def drain(queue: Queue, race: Race) -> float:
    """Jobs per second from the moment the worker may take work to the last job done."""
    worker = start_worker()
    try:
        await _put_all(queue, race)
        began = time.perf_counter()
        let_go(worker)
        await _until_done(queue)
        return race.jobs / (time.perf_counter() - began)
    finally:
        end(worker)


async def run(queue: Queue, race: Race) -> None:
    await queue.setup()
    told = {"end_to_end": await end_to_end(queue, race), "drain": await drain(queue, race)}
    print(json.dumps({"version": queue.version, **told}))


def main(queue: Callable[[str], Awaitable[Queue]], work: Callable[[Race], Awaitable[None]]) -> None:
    race = Race(sys.argv[1], *(int(word) for word in sys.argv[2:5]))

    async def enter() -> None:
        if sys.argv[5:] == ["worker"]:
            await work(race)
        else:
            await run(await queue(race.dsn), race)

    asyncio.run(enter())
