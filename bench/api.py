"""The API under load: looking at jobs while an engine encodes, calls of all kinds at once, a hundred uploads at once.

The client runs beside the server on the same cores. Where a bare aiohttp server can be asked the same, it is.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

from bench.clips import minute
from bench.load import offer
from bench.processes import Farm, farm
from bench.rows import Row

STATUS_RATE, STATUS_S = 500, 12.0
MIXED_RATE, MIXED_S, KNOWN_JOBS = 1000, 10.0, 2000
UPLOADS, UPLOAD_BYTES, BLOCK = 100, 50_000_000, 1 << 18
LOOK_S = 0.05


async def measure() -> list[Row]:
    clip = minute().path
    settings = {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(clip.parent)])}
    async with farm(settings=settings) as running, _session(running) as session:
        rows = [row async for row in _status(session, clip)]
        rows += [row async for row in _mixed(session)]
        rows += [row async for row in _uploads(running, session, clip)]
    return rows


def _session(running: Farm) -> aiohttp.ClientSession:
    """One connection for each call that is open at a time."""
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(base_url=running.url, headers={"X-API-Key": running.key}, connector=connector)


# --- looking at one job while an engine encodes


async def _status(session: aiohttp.ClientSession, clip: Path) -> AsyncIterator[Row]:
    job_id = await _encoding(session, clip)
    path, body = f"/api/v1/jobs/{job_id}", b""
    async with session.get(path) as reply:
        body = await reply.read()
    ours = await offer(lambda _: _is_read(session, path), rate=STATUS_RATE, seconds=STATUS_S)
    async with _bare(body) as url, aiohttp.ClientSession(base_url=url, connector=aiohttp.TCPConnector(limit=0)) as bare:
        theirs = await offer(lambda _: _is_read(bare, "/"), rate=STATUS_RATE, seconds=STATUS_S / 2)
    await _check_state(session, job_id, "transcoding")
    await _cancel(session, job_id)
    note = f"{len(ours.spans)} calls at {STATUS_RATE}/s, {ours.failures} failed"
    yield Row("status of a job beside an encode, p95", ours.at(0.95), "ms", "<= 20", note)
    yield Row("status of a job beside an encode, p99", ours.at(0.99), "ms", "<= 50")
    yield Row("the same bytes from a bare aiohttp server, p95", theirs.at(0.95), "ms", note="same client, same encode")
    yield Row("status / bare, p95", ours.at(0.95) / theirs.at(0.95), "")


async def _encoding(session: aiohttp.ClientSession, clip: Path) -> str:
    """A job of which the encode runs."""
    async with session.post("/api/v1/jobs", json={"input": {"path": str(clip)}, "profile": "web"}) as reply:
        job_id = str((await reply.json())["job_id"])
    while True:
        async with session.get(f"/api/v1/jobs/{job_id}") as reply:
            if (await reply.json())["state"] == "transcoding":
                return job_id
        await asyncio.sleep(LOOK_S)


async def _is_read(session: aiohttp.ClientSession, path: str) -> bool:
    async with session.get(path) as reply:
        return bool(await reply.read()) and reply.status == 200


async def _check_state(session: aiohttp.ClientSession, job_id: str, state: str) -> None:
    async with session.get(f"/api/v1/jobs/{job_id}") as reply:
        if (found := (await reply.json())["state"]) != state:
            raise SystemExit(f"the encode was over before the calls were: the job is {found}")


async def _cancel(session: aiohttp.ClientSession, job_id: str) -> None:
    async with session.post(f"/api/v1/jobs/{job_id}/cancel") as reply:
        await reply.read()


@asynccontextmanager
async def _bare(body: bytes) -> AsyncIterator[str]:
    """A server of nothing but aiohttp, in this process: it saves the client the switch between processes."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# --- calls of all kinds


async def _mixed(session: aiohttp.ClientSession) -> AsyncIterator[Row]:
    known = await _known_jobs(session)
    engine_id = await _engine(session)
    order = itertools.cycle(_kinds(known, engine_id))
    measured = await offer(lambda _: _is_answered(session, *next(order)), rate=MIXED_RATE, seconds=MIXED_S)
    note = f"{len(measured.spans)} calls, {measured.failures} failed; 1 in 10 submits a job that runs"
    yield Row("calls of all kinds at 1,000/s, p99", measured.at(0.99), "ms", "<= 500", note)
    yield Row("calls of all kinds at 1,000/s, p50", measured.at(0.50), "ms")


def _kinds(known: list[str], engine_id: str) -> Iterator[tuple[str, str, object]]:
    """Ten calls at a time: looks at jobs, their reasons, lists, the registry, figures; and a submission."""
    for start in range(0, len(known) - 6, 6):
        for job_id in known[start : start + 5]:
            yield "GET", f"/api/v1/jobs/{job_id}", None
        yield "GET", f"/api/v1/jobs/{known[start + 5]}/why", None
        yield "GET", "/api/v1/jobs?limit=20&status=completed", None
        yield "GET", f"/api/v1/engines/{engine_id}", None
        yield "GET", "/api/v1/stats", None
        yield "POST", "/api/v1/jobs", {"profile": "noop"}


async def _known_jobs(session: aiohttp.ClientSession) -> list[str]:
    known: list[str] = []
    for _ in range(0, KNOWN_JOBS, 500):
        async with session.post("/api/v1/jobs/batch", json={"jobs": [{"profile": "noop"}] * 500}) as reply:
            known += [job["job_id"] for job in (await reply.json())["jobs"]]
    return known


async def _engine(session: aiohttp.ClientSession) -> str:
    async with session.get("/api/v1/engines") as reply:
        return str((await reply.json())["engines"][0]["engine_id"])


async def _is_answered(session: aiohttp.ClientSession, method: str, path: str, body: object) -> bool:
    async with session.request(method, path, json=body) as reply:
        return bool(await reply.read()) and reply.status in (200, 202)


# --- uploads


async def _uploads(running: Farm, session: aiohttp.ClientSession, clip: Path) -> AsyncIterator[Row]:
    """Each sends the clip's first bytes and then zeros, as one resumable upload: nothing of them is ever a job."""
    dispatch = _dispatch_of(running)
    head = _head(clip)
    before, peak = dispatch.memory_info().rss, 0
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        sending = [tasks.create_task(_upload(session, head)) for _ in range(UPLOADS)]
        while not all(task.done() for task in sending):
            peak = max(peak, dispatch.memory_info().rss)
            await asyncio.sleep(LOOK_S)
    took = time.perf_counter() - began
    failed = sum(not task.result() for task in sending)
    yield Row("memory of dispatch over 100 uploads of 50 MB at once, more", (peak - before) / 1e6, "MB", "<= 100")
    yield Row("those uploads", UPLOADS * UPLOAD_BYTES / 1e6 / took, "MB/s", note=f"{took:.1f} s, {failed} failed")


def _head(clip: Path) -> bytes:
    with clip.open("rb") as file:
        return file.read(BLOCK)


async def _upload(session: aiohttp.ClientSession, head: bytes) -> bool:
    tus = {"Tus-Resumable": "1.0.0"}
    async with session.post("/api/v1/uploads", headers={**tus, "Upload-Length": str(UPLOAD_BYTES)}) as made:
        place = made.headers["Location"]
    headers = {
        **tus,
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(UPLOAD_BYTES),
    }
    async with session.patch(place, headers=headers, data=_content(head)) as sent:
        is_whole = sent.status == 204
    async with session.delete(place, headers=tus) as gone:
        return is_whole and gone.status == 204


async def _content(head: bytes) -> AsyncIterator[bytes]:
    zeros, left = bytes(BLOCK), UPLOAD_BYTES - len(head)
    yield head
    while left > 0:
        yield zeros[:left]
        left -= BLOCK


def _dispatch_of(running: Farm) -> psutil.Process:
    for child in psutil.Process(os.getpid()).children():
        with suppress(psutil.NoSuchProcess):
            if "dispatch" in child.cmdline() and str(running.data) in child.cmdline():
                return child
    raise SystemExit("dispatch is not among the children of this process")


def run() -> list[Row]:
    return asyncio.run(measure())


if __name__ == "__main__":
    for row in run():
        print(f"{row.name:62} {row.value or 0:10.3f} {row.unit:4} {row.target} {row.note}")
