"""Bits that a target quality saves against the fixed CRF of `web`, on a film that is easy to encode and on one that is hard.

Each film is made twice by the 720p of `web`: at its CRF 22, and at whatever reaches VMAF 93; both are scored over the whole.
The easy one is 20 s of animation in 1080p. The hard one is the same in 720p with the grain of a fast film on it, which no
encoder can foretell.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cache import cache
from bench.clips import Clip, minute
from bench.media import job
from bench.processes import farm
from bench.rows import Row
from plugins.media.locate import locate

SECONDS, TARGET = 20, 93
GRAIN = "scale=-2:720:flags=bicubic,noise=c0s=20:c0f=t+u"
"""Luma noise that changes with each frame, like that of a fast negative."""

GRAIN_CODED = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "10")

RENDITION = """
[[renditions]]
name = "720p"
height = 720
preset = "medium"
profile = "high"
level = "4.0"
{aim}
audio = {{ codec = "aac", bitrate = 128000, sample_rate = 48000 }}

[quality_metrics]
metrics = ["vmaf"]
"""
PROFILES = {
    "fixed": RENDITION.format(aim="crf = 22"),
    "aimed": RENDITION.format(aim=f"target = {{ vmaf = {TARGET} }}"),
}


@dataclass(frozen=True, slots=True)
class Made:
    """One rendition: its bits a second, sound included, its VMAF over the whole, the CRF it was made with, and the job's time."""

    bitrate: float
    vmaf: float
    crf: str
    wall: float


def films() -> tuple[Clip, Clip]:
    """The easy one, cut out without encoding it anew, and the hard one: grain on it, coded so finely that the grain is what has
    to be encoded. Made the first time.
    """
    whole = minute()
    easy = _cut(whole, "easy", f"{SECONDS} s of the {whole.name}", "-c", "copy")
    return easy, _cut(easy, "strong-grain", f"{easy.name}, with grain", "-vf", GRAIN, *GRAIN_CODED, "-c:a", "copy")


def _cut(source: Clip, word: str, name: str, *arguments: str) -> Clip:
    path = cache("clips") / f"{source.path.stem}-{word}.mp4"
    if not path.exists():
        part = path.with_name(f"part-{path.name}")
        argv = [locate(os.environ).ffmpeg.path, "-y", "-v", "error", "-i", str(source.path), "-t", str(SECONDS), *arguments]
        subprocess.run([*argv, "-f", "mp4", str(part)], stdin=subprocess.DEVNULL, check=True, timeout=1200)
        part.rename(path)
    return Clip(path, name, SECONDS)


async def _made(clip: Clip) -> dict[str, Made]:
    settings = {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(clip.path.parent)])}
    found = {}
    async with farm(settings=settings, profiles=PROFILES) as running, running.session() as session:
        for name in PROFILES:
            ended = await job(running, session, clip, name)
            directory = running.data / "storage" / str(ended.view["tenant"]) / "processed" / str(ended.view["job_id"])
            found[name] = _rendition(directory, ended.wall)
    return found


def _rendition(directory: Path, wall: float) -> Made:
    told: Any = json.loads((directory / "metadata.json").read_text(encoding="utf-8"))  # JSON as it is
    encode = next(tool["argv"] for tool in told["recipe"]["tools"] if "file:720p/video_720p.mp4" in tool["argv"])
    crf = encode[encode.index("-crf") + 1]
    return Made(told["outputs"]["720p"]["bitrate"], told["quality_metrics"]["720p"]["vmaf"], crf, wall)


def rows(kind: str, clip: Clip, made: dict[str, Made]) -> Iterator[Row]:
    fixed, aimed = made["fixed"], made["aimed"]
    told = (f"CRF {one.crf}, {one.bitrate / 1000:.0f} kb/s, VMAF {one.vmaf:.2f}" for one in (fixed, aimed))
    note = " against ".join(reversed(list(told)))
    name = f"{kind} ({clip.name})"
    yield Row(f"{name}: bits saved by VMAF {TARGET} against CRF 22", 100 * (1 - aimed.bitrate / fixed.bitrate), "%", note=note)
    yield Row(f"{name}: off the target, over the whole", abs(aimed.vmaf - TARGET), "points")
    yield Row(f"{name}: the job takes so many times as long", aimed.wall / fixed.wall, "", note=f"{aimed.wall:.0f} s")


def run() -> list[Row]:
    easy, grained = films()
    found = [("easy", easy, asyncio.run(_made(easy))), ("hard", grained, asyncio.run(_made(grained)))]
    return [row for kind, clip, made in found for row in rows(kind, clip, made)]


if __name__ == "__main__":
    for row in run():
        print(f"{row.name:80} {row.value or 0:10.3f} {row.unit:6} {row.note}")
