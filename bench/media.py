"""A real clip through the whole system against the same FFmpeg command run bare, and decode once against one run per output."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil

from bench.bare import Spent, encode
from bench.clips import Clip, minute
from bench.processes import Farm, farm
from bench.record import Finished, Json, finished, parts, recipe_of
from bench.rows import Row
from plugins.ffmpeg import command
from plugins.media.locate import locate
from protocol.recipes import TranscodeRecipe

ROUNDS, JOB_S = 3, 900.0


def _cpu_of_farm() -> float:
    """Seconds that dispatch and the engine have used: the children of this process, without the tools they started."""
    spent = 0.0
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            spent += times.user + times.system
    return spent


async def job(
    running: Farm, session: aiohttp.ClientSession, clip: Clip, profile: str = "web", outputs: Json | None = None
) -> Finished:
    """One job from a server path. The stream of its events ends when it has ended: nobody asks in between."""
    body = json.dumps({"input": {"path": str(clip.path)}, "profile": profile, "outputs": outputs or {}})
    cpu, sent = _cpu_of_farm(), time.time()
    async with session.post("/api/v1/jobs", data=body) as reply:
        if reply.status != 202:
            raise SystemExit(await reply.text())
        job_id = (await reply.json())["job_id"]
    async with session.get(f"/api/v1/jobs/{job_id}/events", timeout=aiohttp.ClientTimeout(total=JOB_S)) as stream:
        await stream.read()
    done = time.time()
    cpu = _cpu_of_farm() - cpu
    async with session.get(f"/api/v1/jobs/{job_id}") as reply:
        view = await reply.json()
    if view["state"] != "completed":
        raise SystemExit(f"the job did not complete: {view['state']}, {view['error']}")
    published = running.data / "storage" / view["tenant"] / "processed" / job_id
    return finished(view, published, sent=sent, done=done, cpu=cpu)


async def _rounds(clip: Clip) -> tuple[list[Finished], list[Spent], TranscodeRecipe]:
    """The system and the bare command by turns. The bare one is what the record of the job says was run."""
    ffmpeg = locate(os.environ).ffmpeg.path
    jobs: list[Finished] = []
    bare: list[Spent] = []
    settings = {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(clip.path.parent)])}
    async with farm(settings=settings) as running, running.session() as session:
        for _ in range(ROUNDS):
            jobs.append(await job(running, session, clip))
            recipe = recipe_of(running.data / "dispatch.db", jobs[-1].view["job_id"])
            argv = [ffmpeg, *jobs[-1].encode["argv"][1:]]
            bare.append(await asyncio.to_thread(encode, argv, clip.path, command.directories(recipe)))
    return jobs, bare, recipe


def _overhead(clip: Clip, jobs: list[Finished], bare: list[Spent]) -> Iterator[Row]:
    through = statistics.median(job.wall for job in jobs)
    alone = statistics.median(spent.wall for spent in bare)
    yield Row(f"{clip.name}: through the system / FFmpeg bare", through / alone, "", "<= 1.05")
    yield Row("through the system, median of 3", through, "s", note=_all([job.wall for job in jobs]))
    yield Row("FFmpeg bare, median of 3", alone, "s", note=_all([spent.wall for spent in bare]))
    whole, only = statistics.median(job.cpu_with_tools for job in jobs), statistics.median(spent.cpu for spent in bare)
    yield Row("the same in CPU, which other load disturbs less", whole / only, "", note=f"{whole:.1f} s / {only:.1f} s")
    middle = sorted(jobs, key=lambda job: job.wall)[len(jobs) // 2]
    for name, seconds in parts(middle).items():
        yield Row(f"of the median job: {name}", seconds, "s")
    yield Row("CPU of dispatch and engine for that job", middle.cpu, "s")
    yield Row("that CPU, of one core", 100 * middle.cpu / middle.wall, "%")


def _all(walls: list[float]) -> str:
    return ", ".join(f"{wall:.2f}" for wall in walls)


def separate(recipe: TranscodeRecipe) -> dict[str, TranscodeRecipe]:
    """The same outputs as recipes of their own: each rendition with its segments, the audio, the thumbnails."""
    nothing = recipe.model_copy(update={"renditions": (), "audio": None, "thumbnails": (), "master_playlist": None})
    made = {planned.rendition.name: nothing.model_copy(update={"renditions": (planned,)}) for planned in recipe.renditions}
    if recipe.audio is not None:
        made["audio"] = nothing.model_copy(update={"audio": recipe.audio})
    if recipe.thumbnails:
        made["thumbnails"] = nothing.model_copy(update={"thumbnails": recipe.thumbnails})
    return made


def _ladder(recipe: TranscodeRecipe, source: Path, threads: int, once: Spent) -> Iterator[Row]:
    ffmpeg = locate(os.environ).ffmpeg.path
    spent = {
        name: encode(command.transcode(ffmpeg, alone, threads), source, command.directories(alone))
        for name, alone in separate(recipe).items()
    }
    wall, cpu = sum(run.wall for run in spent.values()), sum(run.cpu for run in spent.values())
    each = ", ".join(f"{name} {run.wall:.1f}" for name, run in spent.items())
    yield Row("one run per output / decode once, wall", wall / once.wall, "", note=f"{wall:.1f} s ({each}) / {once.wall:.1f} s")
    yield Row("one run per output / decode once, CPU", cpu / once.cpu, "", note=f"{cpu:.1f} s / {once.cpu:.1f} s")


def rows(clip: Clip) -> Iterator[Row]:
    jobs, bare, recipe = asyncio.run(_rounds(clip))
    yield from _overhead(clip, jobs, bare)
    argv = jobs[0].encode["argv"]
    threads = int(argv[argv.index("-threads") + 1])
    middle = sorted(bare, key=lambda spent: spent.wall)[len(bare) // 2]
    yield from _ladder(recipe, clip.path, threads, middle)


def run() -> list[Row]:
    return list(rows(minute()))


if __name__ == "__main__":
    for row in run():
        print(f"{row.name:62} {row.value or 0:10.3f} {row.unit:4} {row.target} {row.note}")
