"""Ten thousand simulated engines at one server: what their heartbeats cost it, and how long each waits for its answer.

Each is registered over the API with a credential of its own and says what a real engine of this machine says of itself.
Nine in ten are idle; one in ten holds a task and tells a little more progress with every beat.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from bench import spent
from bench.load import Measured, offer
from bench.peers.postgres import postgres
from bench.processes import Farm, farm
from bench.rows import Row

ENGINES, WORKING, BEAT_S = 10_000, 1_000, 15.0
BEATEN_S, WARM_S = 60.0, 15.0
AT_ONCE, CONNECTIONS, BATCH = 32, 256, 500
GENEROUS = {
    "REELYARD_DISPATCH_API__JOBS_PER_HOUR": "1000000",
    "REELYARD_DISPATCH_LEASES__ACK_S": "600",
}
"""Their tasks are handed out before any of them is told that it has started."""

PROFILES = {"hour": "noop_seconds = 3600"}

Json = dict[str, Any]  # a message as it goes over the line


@dataclass(slots=True)
class Box:
    """One engine that is not there: what it says, and the task it holds, if it holds one."""

    engine_id: str
    headers: Mapping[str, str]
    boot_id: str
    task: Json | None = None
    progress: float = 0.0

    def beat(self, slots: Json) -> bytes:
        """Its load is a little different every time, as loads are."""
        load = {"cpu_percent": hash((self.engine_id, self.progress)) % 1000 / 10, "memory_percent": 41.5}
        running = [] if self.task is None else [self._running(self.task)]
        self.progress = min(self.progress + 0.01, 0.99)
        return orjson.dumps({"boot_id": self.boot_id, "state": "online", "load": load, "slots": slots, "running": running})

    def _running(self, task: Json) -> Json:
        steps = [{"name": name, "state": "running", "progress": self.progress} for name in task["steps"]]
        return {"task_id": task["task_id"], "token": task["token"], "started": True, "steps": steps}


SLOTS: Json = {"encoding": 1, "light": 2, "free_encoding": 1, "free_light": 2}


class Boxes:
    """All of them, over a pool of connections that stay open."""

    def __init__(self, running: Farm, session: aiohttp.ClientSession) -> None:
        self._running, self._session = running, session
        self._token = (running.data / "secrets/registration.token").read_text().strip()
        self.all: list[Box] = []

    async def register(self, count: int) -> None:
        """Beside each other, as after a power cut."""
        told = await self._said_by_a_real_one()
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                boot_id = f"boot-{number:08}"
                body = {"name": f"box-{number}", "hostname": "bench", "boot_id": boot_id, "slots": SLOTS, **told}
                reply = await self._post("/api/v1/engines/register", body, {"Authorization": f"Bearer {self._token}"})
                headers = {"Authorization": f"Bearer {reply['credential']}", "Content-Type": "application/json"}
                self.all.append(Box(reply["engine_id"], headers, boot_id))

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def _said_by_a_real_one(self) -> Json:
        """The only engine so far, which then takes no work."""
        key = {"X-API-Key": self._running.key}
        async with self._session.get("/api/v1/engines", headers=key) as reply:
            engine = (await reply.json())["engines"][0]
        async with self._session.patch(f"/api/v1/engines/{engine['engine_id']}", json={"paused": True}, headers=key) as reply:
            await reply.read()
        return {"version": engine["software_version"], "capabilities": engine["capabilities"]}

    async def take_work(self, count: int) -> None:
        """So many of them lease a no-op task each, and start it."""
        key = {"X-API-Key": self._running.key}
        for _ in range(0, count, BATCH):
            await self._post("/api/v1/jobs/batch", {"jobs": [{"profile": "hour"}] * BATCH}, key)
        boxes = iter(self.all[:count])

        async def some() -> None:
            for box in boxes:
                asked = {"boot_id": box.boot_id, "slots": 1, "light_slots": 0, "wait_s": 10, "request_id": "req-1"}
                reply = await self._post(f"/api/v1/engines/{box.engine_id}/lease", asked, box.headers)
                box.task = reply["tasks"][0]
                named = {"task_id": box.task["task_id"], "token": box.task["token"]}
                reports = [{"type": "ack", **named}, {"type": "start", **named}]
                await self._post(
                    f"/api/v1/engines/{box.engine_id}/reports", {"boot_id": box.boot_id, "reports": reports}, box.headers
                )

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))

    async def _post(self, path: str, body: Json, headers: Mapping[str, str]) -> Json:
        async with self._session.post(path, json=body, headers=headers) as reply:
            if reply.status >= 300:
                raise SystemExit(f"{path}: {reply.status} {await reply.text()}")
            answer: Json = await reply.json()
            return answer

    async def beat(self, seconds: float) -> Measured:
        """Each beats once in `BEAT_S`, spread evenly."""
        order = itertools.cycle(self.all)
        return await offer(lambda _: self._beat(next(order)), rate=len(self.all) / BEAT_S, seconds=seconds)

    async def _beat(self, box: Box) -> bool:
        url = f"/api/v1/engines/{box.engine_id}/heartbeat"
        async with self._session.post(url, data=box.beat(SLOTS), headers=box.headers) as reply:
            answer = orjson.loads(await reply.read())
            return reply.status == 200 and len(answer["renewed"]) == (box.task is not None)


async def _measured(name: str, settings: Mapping[str, str]) -> list[Row]:
    async with farm(settings={**GENEROUS, **settings}, profiles=PROFILES) as running:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(base_url=running.url, connector=connector) as session:
            boxes = Boxes(running, session)
            await boxes.register(ENGINES)
            await boxes.take_work(WORKING)
            await boxes.beat(WARM_S)
            began, before = time.perf_counter(), spent.seconds(running.pid)
            measured = await boxes.beat(BEATEN_S)
            used = spent.seconds(running.pid) - before
            took = time.perf_counter() - began
    cores = used / took
    sent = f"{len(measured.spans) / took:.0f}/s of {ENGINES / BEAT_S:.0f}/s"  # less where this machine could not send so many
    beats = f"{len(measured.spans)} beats at {sent}, {measured.failures} failed"
    note = f"{beats}; {WORKING} of {ENGINES} engines work"
    return [
        Row(f"{name}: cores of dispatch for the beats of {ENGINES} engines", cores, "cores", note=note),
        Row(f"{name}: processor time of one beat", 1000 * used / len(measured.spans), "ms"),
        Row(f"{name}: a beat's answer, p50", measured.at(0.5), "ms"),
        Row(f"{name}: a beat's answer, p99", measured.at(0.99), "ms"),
    ]


def run() -> list[Row]:
    rows = asyncio.run(_measured("SQLite", {}))
    with postgres(Path(sys.executable)) as server:
        return [*rows, *asyncio.run(_measured("PostgreSQL", {"REELYARD_DISPATCH_DATABASE__URL": server.dsn}))]
