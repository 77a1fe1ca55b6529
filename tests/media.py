"""Small clips for tests, made by the real FFmpeg from its own sources: a Mandelbrot zoom and a sine."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from plugins.media.locate import Tools, locate


@functools.cache
def _tools() -> Tools:
    return locate(os.environ)


def ffmpeg_path() -> str:
    return _tools().ffmpeg.path


def ffprobe_path() -> str:
    return _tools().ffprobe.path


def run_ffmpeg(*arguments: str) -> None:
    """Run FFmpeg, overwriting what is there; its error text stands in the exception."""
    argv = [ffmpeg_path(), "-y", "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{argv}: {done.stderr.decode(errors='replace')}")


def make_clip(
    path: Path,
    *,
    seconds: float,
    size: tuple[int, int] = (640, 360),
    audio: bool = True,
    fps: str | int = 25,
    options: tuple[str, ...] = (),
) -> Path:
    """An H.264 clip of an ever-changing picture; `options` stand before the output and override what is set here."""
    sound = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}") if audio else ()
    codec = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p", *(("-c:a", "aac") if audio else ()))
    picture = f"mandelbrot=size={size[0]}x{size[1]}:rate={fps}:maxiter=100"
    run_ffmpeg("-f", "lavfi", "-i", picture, *sound, "-t", f"{seconds}", *codec, *options, str(path))
    return path
