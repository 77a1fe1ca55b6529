"""The command line one would write first, against the same files: it must trip the detectors, or they do not live."""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.boxes import content
from tests.hostile.cases import Case
from tests.hostile.detectors import Bait
from tests.hostile.ground import SECONDS, Ground
from tests.media import ffmpeg_path

PATIENCE_S, MEMORY_CAP, MUCH_MEMORY = 3.0, 2 << 30, 400 << 20
"""An attempt that takes longer is killed and counts as hung; one that used more memory than MUCH counts as greedy."""

BY_FILE = (
    *(f"reference:{name}" for name in ("hls-file", "hls-relative", "hls-beside", "hls-map", "concat-script", "dash-file")),
    *("reference:vobsub", "reference:image-pattern", "reference:hls-key", "reference:concat-absolute"),
    *("damage:cut-mp4-60%", "damage:cut-moov_last-50%", "damage:cut-mkv-50%", "damage:hole-mkv", "damage:cut-avi-80%"),
    *("picture:png-bomb", "movie:elst-empty", "matroska:cluster-jump"),
)
BY_NAME = (
    *("{web}/a.mp4", "tcp://127.0.0.1:{tcp}", "concat:{media}|{media}", "subfile,,start,0,end,0,,:{media}"),
    *("{media}", "file:{media}", "hls+{web}/a.m3u8"),
)
"""What a client may put where a name belongs; a naive command line takes it as its input."""


@dataclass(frozen=True, slots=True)
class Slip:
    """What a naive command line did: the case, and the detectors it tripped."""

    name: str
    trips: frozenset[str]


async def by_file(case: Case, outside: Path, bait: Bait, out: Path) -> Slip:
    """The file lies among other people's, as on a disk that all jobs share. It must be there before the bait is laid."""
    trips = await _run(case.filename, outside, out)
    return Slip(f"{case.kind}:{case.name}", frozenset(trips | bait.trips(own=case.filename)))


async def by_name(name: str, outside: Path, bait: Bait, out: Path) -> Slip:
    return Slip(name, frozenset(await _run(filled(name, bait.ground), outside, out) | bait.trips()))


def filled(name: str, ground: Ground) -> str:
    for slot in ("media", "web", "tcp"):
        name = name.replace(f"{{{slot}}}", str(getattr(ground, slot)))
    return name


async def _run(name: str, directory: Path, out: Path) -> set[str]:
    argv = (ffmpeg_path(), "-nostdin", "-loglevel", "error", "-y", "-i", name, "-preset", "ultrafast", str(out))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=directory, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, preexec_fn=_cap
    )
    trips: set[str] = set()
    try:
        async with asyncio.timeout(PATIENCE_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        code = await process.wait()
        trips.add("hung")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if peak > max(before, MUCH_MEMORY >> 10):
        trips.add("greedy")
    if code == 0 and _is_short(out):
        trips.add("short")
    return trips


def _cap() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_CAP, MEMORY_CAP))


def _is_short(out: Path) -> bool:
    """Whether something was made that lacks an end, which exit code 0 does not tell."""
    return out.exists() and _seconds(out.read_bytes()) < SECONDS * 0.9


def _seconds(film: bytes) -> float:
    header = content(film, "moov/mvhd")
    return int.from_bytes(header[16:20], "big") / max(1, int.from_bytes(header[12:16], "big"))
