"""Looking at jobs again and again, as pages and scripts do: with what was built before kept by its version, and without.

One server on SQLite, one client process with eight connections; the server's processor time is its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import psutil

from bench.processes import Farm, farm
from bench.rows import Row

JOBS, CALLERS, SECONDS = 500, 8, 4.0
SETTING = "REELYARD_DISPATCH_API__VIEW_CACHE_BYTES"
LIMITS = {"REELYARD_DISPATCH_API__CALLS_PER_S": "1000000", "REELYARD_DISPATCH_API__TENANT_CALLS_PER_S": "1000000"}


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers a second, and the server's processor time for each in microseconds."""

    a_second: float
    cpu_us: float


async def measure() -> list[Row]:
    without = {name: rate async for name, rate in _rates({SETTING: "0"})}
    kept = {name: rate async for name, rate in _rates({})}
    rows = []
    for name, rate in kept.items():
        before = without[name]
        note = f"{before.a_second:.0f}/s and {before.cpu_us:.0f} us of processor time without, {rate.cpu_us:.0f} us with"
        rows += [
            Row(f"{name}, views kept", rate.a_second, "/s", note=note),
            Row(f"{name}, processor time with / without", rate.cpu_us / before.cpu_us, ""),
        ]
    return rows


async def _rates(settings: dict[str, str]) -> AsyncIterator[tuple[str, Rate]]:
    async with farm(settings={**LIMITS, **settings}) as running, running.session() as session:
        ids = await _finished(session)
        server = _server(running)
        chance = random.Random(7)
        one = [f"/api/v1/jobs/{chance.choice(ids)}" for _ in range(20_000)]
        yield "a job", await _asked(session, server, one)
        yield "a list of 50 jobs", await _asked(session, server, ["/api/v1/jobs?limit=50"] * 20_000)
        yield "a list of 200 jobs", await _asked(session, server, ["/api/v1/jobs?limit=200"] * 20_000)


async def _finished(session: aiohttp.ClientSession) -> list[str]:
    """Jobs whose views change no more."""
    jobs = [{"profile": "noop", "metadata": {"n": number}} for number in range(JOBS)]
    async with session.post("/api/v1/jobs/batch", json={"jobs": jobs}) as reply:
        made = (await reply.json())["jobs"]
    while True:
        async with session.get("/api/v1/jobs?status=completed&limit=1") as reply:
            if (await reply.json())["total"] == JOBS:
                return [row["job_id"] for row in made]
        await asyncio.sleep(0.1)


def _server(running: Farm) -> psutil.Process:
    children = psutil.Process().children()
    return next(one for one in children if "dispatch" in one.cmdline() and str(running.data) in one.cmdline())


async def _asked(session: aiohttp.ClientSession, server: psutil.Process, paths: list[str]) -> Rate:
    """One round to begin with, then for some seconds as fast as it goes."""
    left = iter(paths)
    until = time.perf_counter() + SECONDS
    count = 0

    async def ask() -> None:
        nonlocal count
        for path in left:
            async with session.get(path) as reply:
                await reply.read()
            count += 1
            if time.perf_counter() >= until:
                return

    began, used = time.perf_counter(), _used(server)
    await asyncio.gather(*(ask() for _ in range(CALLERS)))
    took = time.perf_counter() - began
    return Rate(count / took, 1e6 * (_used(server) - used) / count)


def _used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def run() -> list[Row]:
    return asyncio.run(measure())
