"""The invocations that prove the outputs of a transcode, cheap beside the encode: nothing but what ends and starts decodes.

Outputs are read by their relative names: they are ours, and a playlist must find its segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from plugins.ffmpeg.command import MAX_ALLOC, PROBED_ENTRIES
from plugins.ffmpeg.filters import output_rate, thumbnail_size
from protocol.plugins import Invocation, Limits
from protocol.recipes import TranscodeRecipe

CHECK_LIMITS = Limits(wall_s=1800.0, cpu_s=1800, memory_bytes=4 << 30, file_bytes=1 << 20)
TAIL_SECONDS = Fraction(1, 2)
FACTS, PLAYLIST, KEYFRAMES, DECODE = "facts", "playlist", "keyframes", "decode"


@dataclass(frozen=True, slots=True)
class Ending:
    """One stream of the `decode` check: of which file, and the picture's size, or None for sound."""

    path: str
    size: tuple[int, int] | None


def build(ffmpeg: str, ffprobe: str, recipe: TranscodeRecipe, threads: int) -> tuple[Invocation, ...]:
    """Every check of a transcode, named `<check>:<path>`, or `<check>` for those over all files."""
    media = [planned.path for planned in recipe.renditions]
    if recipe.audio is not None and recipe.source.audio:
        media.append(recipe.audio.path)
    playlists = [planned.playlist for planned in recipe.renditions if planned.playlist]
    head = (ffmpeg, "-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+error", "-max_alloc", str(MAX_ALLOC))
    made = [_check(f"{FACTS}:{path}", _facts(ffprobe, path)) for path in media]
    made += [_check(f"{PLAYLIST}:{path}", (*head, *_text(path))) for path in playlists]
    if playlists:
        made.append(_check(KEYFRAMES, (*head, *_keyframes(playlists))))
    if media or recipe.thumbnails:
        made.append(_check(DECODE, (*head, *_decode(recipe, threads))))
    return tuple(made)


def _check(name: str, argv: tuple[str, ...]) -> Invocation:
    return Invocation(name=name, argv=argv, limits=CHECK_LIMITS)


def _input(path: str, *options: str) -> tuple[str, ...]:
    return ("-protocol_whitelist", "file", *options, "-i", f"file:{path}")


def _facts(ffprobe: str, path: str) -> tuple[str, ...]:
    options = ("-show_entries", PROBED_ENTRIES, "-of", "json=compact=1")
    return (ffprobe, "-hide_banner", "-loglevel", "level+error", *options, *_input(path))


def _text(path: str) -> tuple[str, ...]:
    """A text file as it is: the `data` demuxer and muxer copy bytes, so no other tool is needed to read it."""
    return (*_input(path, "-f", "data"), "-map", "0", "-c", "copy", "-f", "data", "pipe:1")


def _keyframes(playlists: list[str]) -> tuple[str, ...]:
    """Demux the segments as a player does, and list nothing but the keyframes; nothing is decoded."""
    inputs = [argument for path in playlists for argument in _input(path)]
    maps = [argument for n in range(len(playlists)) for argument in ("-map", f"{n}:v:0")]
    return (*inputs, *maps, "-c", "copy", "-bsf:v", "noise=drop=not(key)", "-f", "framecrc", "pipe:1")


def endings(recipe: TranscodeRecipe) -> tuple[Ending, ...]:
    """The streams of the `decode` check in the order they stand in its output."""
    has_sound = bool(recipe.source.audio)
    streams: list[Ending] = []
    for planned in recipe.renditions:
        one = [Ending(planned.path, (planned.width, planned.height)), *([Ending(planned.path, None)] if has_sound else [])]
        streams += [*one, *one]  # the first frames, then the last ones
    streams += [Ending(recipe.audio.path, None)] if recipe.audio is not None and has_sound else []
    streams += [Ending(shot.path, thumbnail_size(recipe)) for shot in recipe.thumbnails]
    return tuple(streams)


def _decode(recipe: TranscodeRecipe, threads: int) -> tuple[str, ...]:
    """The first frames and the last ones of every rendition, the end of the audio file, and every thumbnail.

    To reach the last frame its whole group must be decoded; leaving out the deblocking and the frames that nothing
    refers to makes that a third cheaper. The last frame of a closed group is always a reference.
    """
    rate = output_rate(recipe.source.video) if recipe.source.video else Fraction(25)
    first = ("-threads", "1", "-t", f"{float(2 / rate):.6f}")
    tail = ("-sseof", f"-{float(max(TAIL_SECONDS, 2 / rate)):.6f}")
    last = ("-threads", str(threads), "-skip_loop_filter", "all", "-skip_frame", "noref", *tail)
    inputs: list[str] = []
    kinds: list[tuple[str, ...]] = []
    sound = ("a:0",) if recipe.source.audio else ()
    for planned in recipe.renditions:
        inputs += [*_input(planned.path, *first), *_input(planned.path, *last)]
        kinds += [("v:0", *sound), ("v:0", *sound)]
    if recipe.audio is not None and sound:
        inputs += _input(recipe.audio.path, *tail)
        kinds.append(sound)
    for shot in recipe.thumbnails:
        inputs += _input(shot.path, "-f", "jpeg_pipe")
        kinds.append(("v:0",))
    maps = [argument for n, streams in enumerate(kinds) for stream in streams for argument in ("-map", f"{n}:{stream}")]
    return ("-xerror", *inputs, *maps, "-fps_mode", "passthrough", "-f", "framecrc", "pipe:1")


@dataclass(frozen=True, slots=True)
class Frames:
    """What framecrc lists of one stream: the picture's size, and the moment of each packet in seconds."""

    size: tuple[int, int] | None
    moments: tuple[Fraction, ...]


def frames_of(stdout: bytes) -> Mapping[int, Frames]:
    """The streams of framecrc's text by their number. Lines that are not understood are passed over."""
    bases: dict[int, Fraction] = {}
    sizes: dict[int, tuple[int, int]] = {}
    moments: dict[int, list[Fraction]] = {}
    for line in stdout.decode("ascii", "replace").splitlines():
        if line.startswith("#"):
            _header(line, bases, sizes)
            continue
        fields = [field.strip() for field in line.split(",")]
        if len(fields) >= 6 and fields[0].isdigit() and fields[2].lstrip("-").isdigit():
            stream = int(fields[0])
            moments.setdefault(stream, []).append(int(fields[2]) * bases.get(stream, Fraction(1)))
    return {stream: Frames(sizes.get(stream), tuple(moments.get(stream, ()))) for stream in bases}


def _header(line: str, bases: dict[int, Fraction], sizes: dict[int, tuple[int, int]]) -> None:
    """`#tb 0: 1/25` and `#dimensions 0: 1280x720`."""
    name, _, value = line[1:].partition(": ")
    word, _, stream = name.partition(" ")
    if not stream.isdigit():
        return
    if word == "tb":
        bases[int(stream)] = Fraction(value.strip())
    elif word == "dimensions":
        width, _, height = value.strip().partition("x")
        sizes[int(stream)] = (int(width), int(height))
