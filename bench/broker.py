"""How soon an engine has the work that comes: over HTTP, and over NATS, by turns against the same dispatch. Run: -m bench.broker

This process is client and engine at once, so one clock measures: from the submission's start until the engine's open ask
brings the grant, and how long a result takes until it is settled. JetStream keeps its files on the same disk as SQLite.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp

from bench.processes import Farm, farm
from bench.rows import Row, percentile
from engine.clock import SystemClock
from engine.core.messages import Changes, Identity, Saved, SavedAttempt
from engine.core.servers import Servers
from engine.shell.broker import BrokerPlace, Line, line_of
from engine.shell.client import HttpDispatch
from protocol.capabilities import Capabilities, RegisterRequest, Slots
from protocol.leases import Complete, LeaseRequest, Report
from protocol.results import AttemptResult

JOBS, WARM = 400, 20
BOOT = "bench-0001"
READY_S = 20.0


class NoDisk:
    """The LocalQueue port: what is measured is the way there, not the engine's disk."""

    async def load(self) -> Saved:
        raise NotImplementedError

    async def save(self, changes: Changes) -> None:
        return


@dataclass(slots=True)
class Times:
    """Seconds."""

    assigned: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Box:
    """An engine of the bench; only jobs with its tag come to it."""

    way: str
    line: Line
    who: Identity
    http: aiohttp.ClientSession
    asks: int = 0

    async def lease(self, *reports: Report) -> tuple[Complete, ...]:
        self.asks += 1
        request = LeaseRequest(
            boot_id=BOOT,
            slots=0 if reports else 1,
            light_slots=0,
            wait_s=8.0,
            request_id=f"{self.way}-{self.asks}",
            reports=reports,
        )
        reply = await self.line.client.lease(self.who, request)
        for grant in reply.tasks:
            await self.line.queue.save(Changes(granted=(SavedAttempt(grant, 0),)))
        return tuple(Complete(task_id=g.task_id, token=g.token, result=AttemptResult()) for g in reply.tasks)

    async def one(self, times: Times) -> None:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self.lease())
            await asyncio.sleep(0.005)  # the ask is open when the job comes
            began = time.perf_counter()
            sent = tasks.create_task(self._submit())
            finals = await asking
            times.assigned.append(time.perf_counter() - began)
            await sent
        began = time.perf_counter()
        await self.lease(*finals)
        times.settled.append(time.perf_counter() - began)

    async def _submit(self) -> None:
        body = json.dumps({"profile": "noop", "tags": [f"way:{self.way}"]})
        async with self.http.post("/api/v1/jobs", data=body) as reply:
            await reply.read()
            if reply.status != 202:
                raise SystemExit(f"the job was refused: {await reply.text()}")


@contextmanager
def broker(place: Path) -> Iterator[str]:
    """The URL of a nats-server with JetStream that runs for the block."""
    beside = Path(sys.executable).with_name("nats-server")
    program = str(beside) if beside.is_file() else shutil.which("nats-server") or "nats-server"
    words = ["-js", "-sd", str(place), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(place)]
    process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield _url(place / f"nats-server_{process.pid}.ports")
    finally:
        process.kill()
        process.wait()


def _url(ports: Path) -> str:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if ports.is_file() and (text := ports.read_text("utf-8")).strip().endswith("}"):
            return str(json.loads(text)["nats"][0])
        time.sleep(0.02)
    raise SystemExit("nats-server did not start in time")


async def _boxed(way: str, running: Farm, url: str, http: aiohttp.ClientSession, session: aiohttp.ClientSession) -> Box:
    client = HttpDispatch(session, Servers([running.url]))
    token = (running.data / "secrets/registration.token").read_text().strip()
    slots = Slots(encoding=1, light=1, free_encoding=1, free_light=1)
    request = RegisterRequest(
        name=f"bench-{way}",
        hostname="bench",
        boot_id=BOOT,
        version="0.1.0",
        capabilities=Capabilities(provided=frozenset({"operation:noop"})),
        tags=frozenset({f"way:{way}"}),
        slots=slots,
    )
    reply = await client.register(request, token)
    place = BrokerPlace((url,) if way == "nats" else ())
    return Box(way, line_of(place, client, NoDisk(), SystemClock()), Identity(reply.engine_id, reply.credential or ""), http)


async def measure() -> dict[str, Times]:
    """By turns, ten jobs each: what else the machine does meanwhile falls on both."""
    found = {"http": Times(), "nats": Times()}
    with tempfile.TemporaryDirectory(prefix="reelyard-bench-nats-") as place, broker(Path(place)) as url:
        settings = {"REELYARD_DISPATCH_NATS__SERVERS": json.dumps([url])}
        async with farm(slots=1, settings=settings) as running, running.session() as http, aiohttp.ClientSession() as session:
            boxes = [await _boxed(way, running, url, http, session) for way in found]
            async with asyncio.TaskGroup() as tasks:
                carried = [tasks.create_task(box.line.run()) for box in boxes]
                for _ in range(WARM):
                    for box in boxes:
                        await box.one(Times())
                for _ in range(JOBS // 10):
                    for box in boxes:
                        for _ in range(10):
                            await box.one(found[box.way])
                for task in carried:
                    task.cancel()
    return found


def run() -> list[Row]:
    found = asyncio.run(measure())
    told = {"assigned": "submitted until the engine has it", "settled": "result told until settled"}
    made = []
    for name, words in told.items():
        for way, times in found.items():
            for of, at in (("p50", 0.50), ("p99", 0.99)):
                value = 1000 * percentile(getattr(times, name), at)
                made.append(Row(f"{words}, {way}, {of}", round(value, 2), "ms"))
        means = {way: statistics.fmean(getattr(times, name)) for way, times in found.items()}
        made.append(Row(f"{words}, NATS / HTTP", round(means["nats"] / means["http"], 2), "x"))
    return made


if __name__ == "__main__":
    print(json.dumps([asdict(row) for row in run()]))
