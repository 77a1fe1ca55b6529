"""What FFmpeg's own tools say of a file, without any code of ours: how long it claims to be, and how much of it decodes."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.media import ffmpeg_path, ffprobe_path

_TIME = re.compile(r"out_time_us=(\d+)")


@dataclass(frozen=True, slots=True)
class Length:
    """Seconds. `told` is what the file claims; `decoded` is where the last picture that decodes ends, 0.0 without one."""

    told: float
    decoded: float


def length_of(file: Path) -> Length:
    return Length(_told(file), _decoded(file))


def _told(file: Path) -> float:
    asked = ("-v", "quiet", "-show_entries", "format=duration:stream=codec_type,duration", "-of", "json")
    found = subprocess.run([ffprobe_path(), *asked, str(file)], capture_output=True, check=False, timeout=60).stdout
    document = json.loads(found or b"{}")
    return float(document.get("format", {}).get("duration", 0.0))


def _decoded(file: Path) -> float:
    """The film is read as players do, over all that does not decode."""
    command = [
        ffmpeg_path(),
        "-v",
        "quiet",
        "-nostdin",
        "-progress",
        "pipe:1",
        "-i",
        str(file),
        "-map",
        "0:v:0",
        "-f",
        "null",
        "-",
    ]
    found = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True).stdout
    return max((int(moment) / 1e6 for moment in _TIME.findall(found)), default=0.0)


def naive(file: Path, target: Path) -> bool:
    """What a plain command line makes of it: whether FFmpeg is content (exit code 0) with something in `target`."""
    command = [
        ffmpeg_path(),
        "-v",
        "quiet",
        "-nostdin",
        "-y",
        "-i",
        str(file),
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        str(target),
    ]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return done.returncode == 0 and target.exists() and target.stat().st_size > 0
