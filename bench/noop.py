"""No-op jobs over HTTP: submitted, granted, run by one engine process with 16 slots, recorded, durable all the way.

`end to end` counts from the first batch sent to the last job completed; `drain` from the moment the engine may take
work to the last job completed; `submit to start` is one job at a time on an idle system.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import datetime

import aiohttp

from bench.processes import Farm, farm
from bench.rows import Row, percentile

JOBS, BATCH, SLOTS, WARM_UP, SINGLES = 20_000, 500, 16, 20, 100
BODY = json.dumps({"jobs": [{"profile": "noop"}] * BATCH})


async def submit(sessions: Sequence[aiohttp.ClientSession], jobs: int) -> list[float]:
    """In batches from two senders, which take the sessions in turn: the milliseconds each batch waited for its answer."""
    left, spans = iter(range(jobs // BATCH)), []

    async def sender() -> None:
        for number in left:
            began = time.perf_counter()
            async with sessions[number % len(sessions)].post("/api/v1/jobs/batch", data=BODY) as reply:
                if reply.status != 202:
                    raise SystemExit(await reply.text())
                await reply.read()
            spans.append(1000 * (time.perf_counter() - began))

    await asyncio.gather(sender(), sender())
    return spans


async def completed(session: aiohttp.ClientSession) -> int:
    async with session.get("/api/v1/jobs", params={"state": "completed", "limit": "1"}) as reply:
        return int((await reply.json())["total"])


async def until_completed(session: aiohttp.ClientSession, count: int) -> None:
    while await completed(session) < count:  # noqa: ASYNC110  # another process completes them
        await asyncio.sleep(0.1)  # counting them costs the server some milliseconds


async def _end_to_end(running: Farm) -> Row:
    async with running.session() as session:
        before = await completed(session)
        started = time.perf_counter()
        await submit([session], JOBS)
        await until_completed(session, before + JOBS)
        return Row("no-op jobs end to end", JOBS / (time.perf_counter() - started), "jobs/s", ">= 2500, aim 5000")


async def _drain(running: Farm) -> Row:
    async with running.session() as session:
        async with session.get("/api/v1/engines") as reply:
            engine_id = (await reply.json())["engines"][0]["engine_id"]
        await _pause(session, engine_id, paused=True)
        before = await completed(session)
        await submit([session], JOBS)
        started = time.perf_counter()
        await _pause(session, engine_id, paused=False)
        await until_completed(session, before + JOBS)
        return Row("drain of a full queue", JOBS / (time.perf_counter() - started), "jobs/s", ">= 7000, aim 15000")


async def _pause(session: aiohttp.ClientSession, engine_id: str, *, paused: bool) -> None:
    async with session.patch(f"/api/v1/engines/{engine_id}", data=json.dumps({"paused": paused})) as reply:
        if reply.status != 200:
            raise SystemExit(await reply.text())


async def _submit_to_start(running: Farm) -> list[Row]:
    """From before the POST to the moment the engine starts the tool, both in the same machine's wall clock.

    The task is one with a tool, because an engine says of those when they start. By then the job, the grant and the
    engine's own row have each been made durable.
    """
    sent: dict[str, float] = {}
    async with running.session() as session:
        for number in range(WARM_UP + SINGLES):
            moment = time.time()
            async with session.post("/api/v1/jobs", data='{"profile":"blink"}') as reply:
                job_id = (await reply.json())["job_id"]
            state = ""
            while state != "completed":
                await asyncio.sleep(0.03)  # asking sooner would only be in the way
                async with session.get(f"/api/v1/jobs/{job_id}") as reply:
                    job = await reply.json()
                    state = job["state"]
            if number >= WARM_UP:
                sent[job["attempts"][0]["task_id"]] = moment
    starts = _starts((running.data / "engine.log").read_text())
    spans = [1000 * (starts[task] - moment) for task, moment in sent.items()]
    return [
        Row("submit to start, p50", percentile(spans, 0.50), "ms", "<= 3"),
        Row("submit to start, p99", percentile(spans, 0.99), "ms", "<= 10"),
    ]


def _starts(log: str) -> dict[str, float]:
    """When each task was started, as the engine's log has it."""
    lines = [json.loads(line) for line in log.splitlines() if '"attempt_started"' in line]
    return {line["task"]: datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines}


async def measure() -> list[Row]:
    async with farm(slots=SLOTS, profiles={"blink": "noop_seconds = 0.01"}) as running:
        return [*await _submit_to_start(running), await _end_to_end(running), await _drain(running)]


def run() -> list[Row]:
    return asyncio.run(measure())


if __name__ == "__main__":
    for row in run():
        print(f"{row.name:32} {row.value:10.1f} {row.unit:8} {row.target}")
