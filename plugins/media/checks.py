"""The invocations that prove the outputs of a transcode, cheap beside the encode: nothing but what ends and starts decodes.

Outputs are read by their relative names: they are ours, and a playlist must find its segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from plugins.media import stills, subtitles
from plugins.media.calling import facts, own_file, quiet, text
from plugins.media.lengths import expected_ends, output_rate, slack
from plugins.media.segments import PLAYLIST
from plugins.media.sound_checks import LOUDNESS, levelled, loudness
from plugins.media.soundtracks import HeardTrack, heard, own_playlists, sound_files
from plugins.media.stills import OWN_READ, READ_JPEG
from protocol.media import MediaFacts
from protocol.plugins import Invocation, Limits
from protocol.recipes import TranscodeRecipe

CHECK_LIMITS = Limits(wall_s=1800.0, cpu_s=1800, memory_bytes=4 << 30, file_bytes=1 << 20)
TAIL_SECONDS = Fraction(1, 2)
FASTER_TAIL = ("-skip_loop_filter", "all", "-skip_frame", "noref")
"""To reach the last frame its whole group must be decoded; leaving out the deblocking and the frames that nothing refers
to makes that a third cheaper. The last frame of a closed group is always a reference."""

FACTS, KEYFRAMES, DECODE = "facts", "keyframes", "decode"

MOST_DECODED = 48
"""Streams of one process: FFmpeg takes four threads for each, and with twelve tracks beside five pictures it took 737."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One stream of the `decode` check: of which file, and the picture's size, or None for sound.

    Not required is the end of a stream whose length the source does not tell: another may outlast it.
    """

    path: str
    size: tuple[int, int] | None
    is_required: bool = True


def build(ffmpeg: str, ffprobe: str, recipe: TranscodeRecipe, threads: int) -> tuple[Invocation, ...]:
    """Every check of a transcode, named `<check>:<path>`, or `<check>` for those over all files."""
    media = [planned.path for planned in recipe.renditions] + [file.planned.path for file in sound_files(recipe)]
    playlists = [planned.playlist for planned in recipe.renditions if planned.playlist]
    beside = [track.planned.playlist for track in own_playlists(recipe) if track.planned.playlist]
    head = (ffmpeg, *quiet())
    made = [check(f"{FACTS}:{path}", facts(ffprobe, path)) for path in media]
    made += [check(f"{PLAYLIST}:{path}", text(ffmpeg, path)) for path in (*playlists, *beside)]
    made += [check(f"{LOUDNESS}:{path}", loudness(ffmpeg, path, place)) for path, place in levelled(recipe)]
    if playlists:
        made.append(keyframes(ffmpeg, playlists))
    if recipe.own_thumbnail:
        made.append(check(OWN_READ, stills.read_own(ffmpeg, recipe.own_thumbnail)))
    made += [check(name, argv) for name, argv in subtitles.reads(ffmpeg, recipe)]
    made += [check(name, (*head, *_decode(reads))) for name, reads in _decodes(recipe, threads)]
    return tuple(made)


def check(name: str, argv: tuple[str, ...]) -> Invocation:
    """A process that looks at what was made."""
    return Invocation(name=name, argv=argv, limits=CHECK_LIMITS)


def keyframes(ffmpeg: str, playlists: Sequence[str]) -> Invocation:
    """Read the segments as a player does, and decode and list nothing but the keyframes."""
    inputs = [argument for path in playlists for argument in own_file(path, "-skip_frame", "nokey")]
    maps = [argument for n in range(len(playlists)) for argument in ("-map", f"{n}:v:0")]
    listed = ("-fps_mode", "passthrough", "-f", "framecrc", "pipe:1")
    return check(KEYFRAMES, (ffmpeg, *quiet(), "-xerror", *inputs, *maps, *listed))


@dataclass(frozen=True, slots=True)
class _Read:
    """One input of the `decode` check, with what is expected of the streams taken from it."""

    options: tuple[str, ...]
    streams: tuple[tuple[str, Ending], ...]

    @property
    def path(self) -> str:
        return self.streams[0][1].path


def endings(recipe: TranscodeRecipe) -> tuple[tuple[str, tuple[Ending, ...]], ...]:
    """The `decode` checks, with their streams in the order they stand in the output of each."""
    return tuple((name, tuple(ending for read in reads for _, ending in read.streams)) for name, reads in _decodes(recipe, 1))


def _decodes(recipe: TranscodeRecipe, threads: int) -> tuple[tuple[str, tuple[_Read, ...]], ...]:
    """By name what is read: one process, but for films of many tracks."""
    groups: list[list[_Read]] = []
    room = 0
    for read in _reads(recipe, threads):
        if len(read.streams) > room:
            groups.append([])
            room = MOST_DECODED
        groups[-1].append(read)
        room -= len(read.streams)
    return tuple((f"{DECODE}:{n}" if n else DECODE, tuple(reads)) for n, reads in enumerate(groups))


def _reads(recipe: TranscodeRecipe, threads: int) -> tuple[_Read, ...]:
    """The first frames and the last ones of every rendition, the end of the audio file, and every thumbnail."""
    picture_end, _ = expected_ends(recipe.source)
    tracks = heard(recipe)
    rate = output_rate(recipe.source.video) if recipe.source.video else Fraction(25)
    first = ("-threads", "1", "-t", f"{float(2 / rate):.6f}")
    last_picture = ("-threads", str(threads), *FASTER_TAIL, *_last_of(recipe, picture_end))
    reads: list[_Read] = []
    for planned in recipe.renditions:
        picture, sound = Ending(planned.path, (planned.width, planned.height)), Ending(planned.path, None)
        reads.append(_Read(first, (("v:0", picture), *((f"a:{track.place}", sound) for track in tracks))))
        reads.append(_Read(last_picture, (("v:0", replace(picture, is_required=picture_end is not None)),)))
        reads += [_last_sound(recipe, planned.path, track, track.place) for track in tracks]
    reads += [_last_sound(recipe, file.planned.path, file.track, 0) for file in sound_files(recipe)]
    reads += [_last_sound(recipe, track.planned.playlist or "", track, 0) for track in own_playlists(recipe)]
    reads += [_Read(READ_JPEG, (("v:0", Ending(path, size)),)) for path, size in stills.sizes(recipe)]
    return tuple(reads)


def _last_sound(recipe: TranscodeRecipe, path: str, track: HeardTrack, place: int) -> _Read:
    """The end of a track, as stream `place` of the sound in that file."""
    return _Read(_last_of(recipe, track.end), ((f"a:{place}", Ending(path, None, is_required=track.end is not None)),))


def _last_of(recipe: TranscodeRecipe, expected: Fraction | None) -> tuple[str, ...]:
    return last_there(recipe.source) if recipe.allows_damage else tail(recipe.source, expected)


def last_there(source: MediaFacts) -> tuple[str, ...]:
    """To the end of the file, wherever that is: of a stream that ends before the others, what follows its last keyframe."""
    back = slack(source, Fraction(source.duration)) + TAIL_SECONDS
    return ("-sseof", f"-{float(back):.6f}", "-noaccurate_seek")


def tail(source: MediaFacts, expected: Fraction | None) -> tuple[str, ...]:
    """From so far before the expected end that even the shortest length that passes has frames there."""
    return ("-ss", f"{float(tail_start(source, expected)):.6f}")


def tail_start(source: MediaFacts, expected: Fraction | None) -> Fraction:
    """The moment where `tail` leads, in seconds."""
    end = Fraction(source.duration) if expected is None else expected
    return max(Fraction(0), end - slack(source, end) - TAIL_SECONDS)


def _decode(reads: Sequence[_Read]) -> tuple[str, ...]:
    """Decode what is named, and list every frame."""
    inputs = [argument for read in reads for argument in own_file(read.path, *read.options)]
    maps = [argument for n, read in enumerate(reads) for kind, _ in read.streams for argument in ("-map", f"{n}:{kind}")]
    return ("-xerror", *inputs, *maps, "-fps_mode", "passthrough", "-f", "framecrc", "pipe:1")
