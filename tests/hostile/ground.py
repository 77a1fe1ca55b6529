"""What a hostile file is made from: small real clips, and the addresses of the things it must not reach."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.media import run_ffmpeg

SECRET = "canary-4d1f6b0e-another-tenants-words"
"""Stands in every file outside; wherever else it is found, something was read."""

SECONDS, RATE, WIDTH, HEIGHT = 2, 10, 320, 180
PICTURE = ("-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}:duration={SECONDS}")
SOUND = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={SECONDS}")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "10", "-threads", "1", "-c:a", "aac")
BOTH, ONLY_PICTURE, ONLY_SOUND = (*PICTURE, *SOUND), PICTURE, SOUND

RECIPES: dict[str, tuple[str, ...]] = {
    "mp4": (*BOTH, *H264, "-movflags", "+faststart", "-f", "mp4"),
    "moov_last": (*BOTH, *H264, "-f", "mp4"),
    "fragmented": (*BOTH, *H264, "-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-f", "mp4"),
    "hevc": (*PICTURE, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1", "-f", "mp4"),
    "mkv": (*BOTH, *H264, "-f", "matroska"),
    "webm": (*BOTH, "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis", "-f", "webm"),
    "vp9": (*PICTURE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-f", "webm"),
    "avi": (*BOTH, "-c:v", "mpeg4", "-c:a", "libmp3lame", "-f", "avi"),
    "mjpeg_avi": (*PICTURE, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "avi"),
    "raw_avi": (*PICTURE, "-c:v", "huffyuv", "-f", "avi"),
    "flv": (*BOTH, "-c:v", "flv", "-c:a", "libmp3lame", "-f", "flv"),
    "asf": (*BOTH, "-c:v", "wmv2", "-c:a", "wmav2", "-f", "asf"),
    "ts": (*BOTH, "-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2", "-f", "mpegts"),
    "h264_ts": (*BOTH, *H264, "-f", "mpegts"),
    "mpeg": (*BOTH, "-c:v", "mpeg1video", "-r", "25", "-c:a", "mp2", "-f", "mpeg"),
    "mxf": (*BOTH, "-c:v", "mpeg2video", "-r", "25", "-c:a", "pcm_s16le", "-ar", "48000", "-f", "mxf"),
    "ogg": (*BOTH, "-c:v", "libtheora", "-c:a", "libvorbis", "-f", "ogg"),
    "png_mov": (*PICTURE, "-c:v", "png", "-f", "mov"),
    "mjpeg_mov": (*PICTURE, "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "mov"),
    "prores_mov": (*PICTURE, "-c:v", "prores", "-f", "mov"),
    "ffv1_mkv": (*PICTURE, "-c:v", "ffv1", "-f", "matroska"),
    "wav": (*SOUND, "-c:a", "pcm_s16le", "-f", "wav"),
    "mp3": (*SOUND, "-c:a", "libmp3lame", "-f", "mp3"),
    "aac": (*SOUND, "-c:a", "aac", "-f", "adts"),
    "flac": (*SOUND, "-c:a", "flac", "-f", "flac"),
    "ogg_sound": (*SOUND, "-c:a", "libvorbis", "-f", "ogg"),
    "jpeg": (*PICTURE, "-frames:v", "1", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "mjpeg"),
    "png": (*PICTURE, "-frames:v", "1", "-c:v", "png", "-f", "image2pipe"),
    "gif": (*PICTURE, "-f", "gif"),
}


@functools.cache
def encode(arguments: tuple[str, ...]) -> bytes:
    """What FFmpeg writes with these arguments, the same in every run."""
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "made"
        run_ffmpeg(*arguments, "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", str(made))
        return made.read_bytes()


def clip(name: str) -> bytes:
    """One of the clips of `RECIPES`."""
    return encode(RECIPES[name])


def with_files(files: dict[str, bytes], arguments: Callable[[Path], tuple[str, ...]], ending: str) -> bytes:
    """What FFmpeg makes of files that lie in a directory of their own."""
    directory = Path(tempfile.mkdtemp())
    try:
        for name, content in files.items():
            (directory / name).write_bytes(content)
        run_ffmpeg(*arguments(directory), str(directory / f"made.{ending}"))
        return (directory / f"made.{ending}").read_bytes()
    finally:
        shutil.rmtree(directory)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a file may aim at. `outside` holds other people's files; the ports have somebody listening."""

    outside: Path
    tcp: int
    udp: int

    @property
    def media(self) -> str:
        return f"{self.outside}/secret.ts"

    @property
    def text(self) -> str:
        return f"{self.outside}/secret.txt"

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.tcp}"


def furnish(directory: Path) -> None:
    """Put other people's files there; the names are those that demuxers look for by themselves."""
    directory.mkdir(parents=True, exist_ok=True)
    named = ("-metadata", f"service_provider={SECRET}", "-metadata", f"title={SECRET}")
    film = encode((*BOTH, "-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2", "-f", "mpegts"))
    run_ffmpeg("-f", "mpegts", "-i", _put(directory / "plain.ts", film), "-c", "copy", *named, f"{directory}/secret.ts")
    (directory / "plain.ts").unlink()
    for name in ("secret.mp4", "secret.m4s", "secret.mkv"):
        run_ffmpeg("-i", f"{directory}/secret.ts", "-c:v", "copy", "-c:a", "copy", *named, "-f", "mp4", f"{directory}/{name}")
    for name in ("secret.txt", "secret.key", "secret.srt", "clip.sub"):
        (directory / name).write_text(f"1\n00:00:00,000 --> 00:00:09,000\n{SECRET}\n")
    for n in range(3):
        (directory / f"frame{n:03d}.jpg").write_bytes(clip("jpeg"))


def _put(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)
