"""Several inputs become one picture and one sound for each track, one behind the other, before anything else sees them.

Every part is as long as was planned, to the frame and to the sample: a stream that is told to end early is filled up by as
much as it is told to lack and `HEALED` more, so that one that ends earlier still is found out by the length of the whole.
"""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.colouring import TAGS, to_sdr
from plugins.ffmpeg.framing import boxed, shrunk, size_of
from plugins.ffmpeg.sources import seconds
from plugins.media.lengths import timeline_rate
from protocol.languages import short
from protocol.media import AudioStream, VideoStream
from protocol.recipes import SourcePart, TranscodeRecipe

HEALED = Fraction(1, 10)
"""Seconds that may be missing at the end of a part without a word: less than the slack of the whole."""

OLD_LINES = 576
"""Up to so many, a picture that does not tell its colours has those of old television."""

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def picture(recipe: TranscodeRecipe, lines: list[str]) -> str:
    """How the joined picture comes into the graph; the parts' own chains go to `lines`."""
    rate, begins, frames = timeline_rate(recipe), Fraction(0), 0
    labels = []
    for n, part in enumerate(recipe.parts):
        video = part.facts.video
        begins += _length(part)
        count, frames = round(begins * rate) - frames, round(begins * rate)
        if video is None or count <= 0:
            continue
        lines.append(f"[{n}:{video.index}]{','.join(_picture(recipe, part, video, count))}[p{n}]")
        labels.append(f"[p{n}]")
    return f"{''.join(labels)}concat=n={len(labels)}:v=1:a=0,fps=fps={rate}:start_time=0"


def _picture(recipe: TranscodeRecipe, part: SourcePart, video: VideoStream, count: int) -> list[str]:
    """`count` frames of the timeline's size, rate and colours."""
    rate, target = timeline_rate(recipe), recipe.source.video
    lacks = _lacks(part, video.start, video.duration)
    padding = "stop=-1" if lacks is None else f"stop={int((lacks + HEALED) * rate) + 1}"
    wants = recipe.picture.deinterlace
    return [
        *(["bwdif=mode=send_frame:deint=all"] if (video.is_interlaced if wants is None else wants) else []),
        f"fps=fps={rate}:start_time=0,tpad=stop_mode=clone:{padding},trim=end_frame={count}",
        *([] if target is None else _shaped(video, (target.coded_width, target.coded_height))),
        f"format=yuv420p,{TAGS}",
    ]


def _shaped(video: VideoStream, box: tuple[int, int]) -> tuple[str, ...]:
    size = size_of(video)
    smaller = shrunk(size, box) if video.is_hdr else None
    return (
        *([f"scale=w={smaller[0]}:h={smaller[1]}:flags=bicubic,setsar=1"] if smaller else []),
        *to_sdr(_assumed(video)),
        *boxed(smaller or size, box),
    )


def _assumed(video: VideoStream) -> VideoStream:
    if video.colour.matrix or video.colour.primaries or video.is_hdr or size_of(video)[1] > OLD_LINES:
        return video
    return video.model_copy(update={"colour": video.colour.model_copy(update={"matrix": "smpte170m"})})


def sound(recipe: TranscodeRecipe, stream: int) -> str:
    """How a track of the timeline comes into the graph: the chains of all parts, and the beginning of the one behind them.
    Parts that lack it are silent."""
    track = next(track for track in recipe.source.audio if track.index == stream)
    labels = [f"[q{stream}_{n}]" for n in range(len(recipe.parts))]
    chains = [
        f"{','.join(_sound(part, n, track))}{label}" for n, (part, label) in enumerate(zip(recipe.parts, labels, strict=True))
    ]
    return ";".join((*chains, f"{''.join(labels)}concat=n={len(labels)}:v=0:a=1"))


def _sound(part: SourcePart, number: int, track: AudioStream) -> list[str]:
    layout, rate, length = LAYOUTS[track.channels], track.sample_rate, seconds(_length(part))
    own = _alike(part, track)
    if own is None:
        return [f"anullsrc=r={rate}:cl={layout}", f"atrim=end={length}"]
    lacks = _lacks(part, own.start, own.duration)
    padding = f"whole_dur={length}" if lacks is None else f"pad_dur={seconds(lacks + HEALED)}"
    return [
        f"[{number}:{own.index}]atrim=end={length},aresample={rate}:async=1:first_pts=0",
        f"aformat=sample_fmts=fltp:channel_layouts={layout},apad={padding},atrim=end={length}",
    ]


def _alike(part: SourcePart, track: AudioStream) -> AudioStream | None:
    """The part's track in that language, else its first."""
    same = (own for own in part.facts.audio if short(own.language) == short(track.language) is not None)
    return next(same, next(iter(part.facts.audio), None))


def _length(part: SourcePart) -> Fraction:
    return Fraction(part.length or part.facts.duration)


def _lacks(part: SourcePart, start: str, duration: str | None) -> Fraction | None:
    """By how much a stream is told to end before its part does; None where nothing is told."""
    if duration is None:
        return None
    end = Fraction(start) + Fraction(duration) - Fraction(part.start)
    return max(Fraction(0), _length(part) - end)
