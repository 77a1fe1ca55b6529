"""What an engine costs the box it runs on: idle, while FFmpeg works, and at its start."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import aiohttp
import psutil

from bench.clips import minute
from bench.processes import Farm, farm, stop, until_online
from bench.rows import Row

ENGINES, SETTLE_S, IDLE_S = 16, 10.0, 60.0
STARTS, JOB_S = 5, 900.0
LOOK_S = 0.1
CACHE = "capabilities.json"


def _cpu(process: psutil.Process) -> float:
    """Seconds of processor time, its own and that of the children it has waited for."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


async def _idle(running: Farm) -> Iterator[Row]:
    """Engines beside each other on one box, none with work. The probes of the first spare the others theirs."""
    with ExitStack() as stack:
        engines: list[subprocess.Popen[bytes]] = []
        for n in range(1, ENGINES):
            (running.data / f"box{n}").mkdir()
            shutil.copy(running.data / "engine" / CACHE, running.data / f"box{n}" / CACHE)
            engines.append(stack.enter_context(running.engine(f"box{n}")))
        await until_online(running, ENGINES, *engines)
        await asyncio.sleep(SETTLE_S)
        seen = [psutil.Process(pid) for pid in _engine_pids()]
        began, before = time.perf_counter(), sum(_cpu(one) for one in seen)
        await asyncio.sleep(IDLE_S)
        share = 100 * (sum(_cpu(one) for one in seen) - before) / (time.perf_counter() - began)
        memory = [one.memory_full_info() for one in seen]
        for engine in engines:
            engine.terminate()
        for engine in engines:
            stop(engine)
    rss, pss = (statistics.median(getattr(one, kind) for one in memory) / 1e6 for kind in ("rss", "pss"))
    return iter(
        [
            Row(f"{len(seen)} idle engines together, of one core", share, "%", "<= 1", f"over {IDLE_S:.0f} s"),
            Row("memory of an idle engine, resident", rss, "MB", "<= 80", f"median of {len(seen)}; proportional {pss:.0f} MB"),
        ]
    )


def _engine_pids() -> list[int]:
    return [child.pid for child in psutil.Process().children() if "engine" in child.cmdline()[1:4]]


async def _start(running: Farm, session: aiohttp.ClientSession) -> Iterator[Row]:
    """From the spawn of an engine whose probes are cached to the end of a job that waited for it."""
    took: list[float] = []
    for _ in range(STARTS):
        job_id = await _submitted(session, {"profile": "noop"})
        began = time.perf_counter()
        with running.engine("engine"):
            async with session.get(f"/api/v1/jobs/{job_id}/events", timeout=aiohttp.ClientTimeout(total=JOB_S)) as stream:
                await stream.read()
            took.append(time.perf_counter() - began)
    told = ", ".join(f"{one:.2f}" for one in took)
    return iter([Row("from an engine's start to the end of its first job", statistics.median(took), "s", "<= 2", told)])


async def _working(running: Farm, session: aiohttp.ClientSession) -> Iterator[Row]:
    """The engine and the tool's minder, from the first to the last sight of the encoder."""
    clip = minute()
    engine = psutil.Process(_engine_pids()[0])
    job_id = await _submitted(session, {"input": {"path": str(clip.path)}, "profile": "web"})
    marks: list[tuple[float, float, float]] = []
    minders: dict[int, float] = {}
    done = asyncio.create_task(_ended(session, job_id))
    while not done.done():
        encoders = [one for one in engine.children(recursive=True) if "-progress" in _words(one) and "libx264" in _words(one)]
        for parent in (one.parent() for one in encoders):
            if parent is not None:
                minders[parent.pid] = _cpu(parent)
        if encoders:
            marks.append((time.perf_counter(), _cpu(engine), sum(minders.values())))
        await asyncio.sleep(LOOK_S)
    await done
    (began, engine_before, minder_before), (ended, engine_after, minder_after) = marks[0], marks[-1]
    wall = ended - began
    own, minding = engine_after - engine_before, minder_after - minder_before
    note = f"engine {own:.2f} s, minder {minding:.2f} s in {wall:.0f} s of encoding"
    return iter([Row("engine and minder while FFmpeg encodes, of one core", 100 * (own + minding) / wall, "%", "<= 1", note)])


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


async def _ended(session: aiohttp.ClientSession, job_id: str) -> None:
    async with session.get(f"/api/v1/jobs/{job_id}/events", timeout=aiohttp.ClientTimeout(total=JOB_S)) as stream:
        await stream.read()


async def _submitted(session: aiohttp.ClientSession, body: object) -> str:
    async with session.post("/api/v1/jobs", data=json.dumps(body)) as reply:
        if reply.status != 202:
            raise SystemExit(await reply.text())
        job_id: str = (await reply.json())["job_id"]
        return job_id


async def _measured() -> list[Row]:
    settings = {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(minute().path.parent)])}
    async with farm(settings=settings) as running, running.session() as session:
        rows = [*await _working(running, session), *await _idle(running)]
        for child in psutil.Process().children():
            if child.pid in _engine_pids():
                child.terminate()
                child.wait(20)
        return [*rows, *await _start(running, session)]


def run() -> list[Row]:
    return asyncio.run(_measured())
