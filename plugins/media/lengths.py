"""Holds the lengths of all outputs against each other and against the source.

All of them come from one decode: where they differ it is our fault, where all end early it is the input's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from plugins.media.rejected import Rejected
from protocol.errors import ErrorCode
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.rates import capped_rate
from protocol.recipes import PlannedRendition, TranscodeRecipe

NO_PICTURE_RATE = Fraction(25)
"""For sums that need one where there is no picture."""

LENGTH_MARGIN = Fraction(11, 10)
"""The cap on an output's length, over what is expected: far enough that a cut cannot look like the right length."""

LEAST_SLACK, SHARE_SLACK, SLACK_FRAMES = Fraction(1, 10), Fraction(1, 200), 2
"""A duration may be off by the largest of 0.1 s, half a percent and two frames."""

ESTIMATE_SHARE = {"aac": Fraction(1, 10), "mp3": Fraction(1, 10)}
"""Raw audio streams carry no duration; ffprobe guesses one from the bitrate of their first frames."""

ESTIMATE_LEAST = {"mpegts": Fraction(1, 2), "mpeg": Fraction(1, 2)}
"""In these, durations come from the last timestamps, and those of sound stand on groups of frames."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One sound track in all that carries it: when it should end, None where the source does not tell, and when it does."""

    expected: Fraction | None
    ends: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """When each output's picture and sound end, and how long each playlist is, in seconds. `sounds` are of the first track,
    `tracks` of any.
    """

    pictures: tuple[Fraction, ...]
    sounds: tuple[Fraction, ...]
    playlists: tuple[Fraction, ...]
    tracks: tuple[Heard, ...] = ()


def output_rate(video: VideoStream) -> Fraction:
    """The source's frame rate, halved until it is at most 60."""
    return capped_rate(Fraction(video.frame_rate))


def rendition_rate(recipe: TranscodeRecipe, planned: PlannedRendition) -> Fraction:
    """That of one rendition: the timeline's, or the one that it was planned with."""
    if planned.frame_rate is not None:
        return Fraction(planned.frame_rate)
    return output_rate(recipe.source.video) if recipe.source.video else NO_PICTURE_RATE


def timeline_rate(recipe: TranscodeRecipe) -> Fraction:
    """The grid that all pictures are taken from: that of the fastest rendition. The others are it, halved."""
    rates = [rendition_rate(recipe, planned) for planned in recipe.renditions]
    return max(rates) if rates else output_rate(recipe.source.video) if recipe.source.video else NO_PICTURE_RATE


def length_cap(source: MediaFacts) -> Fraction:
    """Where everything is cut, in seconds."""
    return Fraction(source.duration) * LENGTH_MARGIN + 10


def picture_end(video: VideoStream) -> Fraction | None:
    """When the last frame has been shown, in seconds from the start of the file; None when the file does not tell."""
    return None if video.duration is None else Fraction(video.start) + Fraction(video.duration)


def end_of(stream: VideoStream | AudioStream) -> Fraction:
    """When the stream ends, in seconds from the start of its file."""
    return Fraction(stream.start) + Fraction(stream.duration or 0)


def hold(source: MediaFacts, lengths: Lengths, *, allows_damage: bool = False) -> tuple[str, ...]:
    """Raises Rejected where a length is off. What is off of the source's alone is told instead, where that is allowed."""
    picture, first = expected_ends(source)
    tracks = (*lengths.tracks, *([Heard(first, lengths.sounds)] if lengths.sounds else []))
    least = _least(source)
    for ends in ((*lengths.pictures, *lengths.playlists), *(track.ends for track in tracks)):
        if ends and max(ends) - min(ends) > least:
            raise Rejected(ErrorCode.OUTPUT_INVALID, "The outputs differ in length.")
    missed = [_missed("picture", lengths.pictures, picture, source)]
    missed += [_missed("sound", track.ends, track.expected, source) for track in tracks]
    untold = [track.ends for track in tracks if track.ends and track.expected is None]
    if untold or (lengths.pictures and picture is None):
        every = (*lengths.pictures, *(end for track in tracks for end in track.ends))
        missed.append(_missed("file", (max(every),), Fraction(source.duration), source))
    told = tuple(dict.fromkeys(one for one in missed if one is not None))
    if told and not (allows_damage and _is_whole(source, lengths, tracks)):
        raise Rejected(ErrorCode.INPUT_CORRUPT, told[0])
    return told


def as_made(source: MediaFacts, lengths: Lengths) -> MediaFacts:
    """The same, with the lengths that the outputs have: what is told of them follows the film that there is."""
    video, sound = source.video, source.audio[0] if source.audio else None
    heard = next((track.ends for track in lengths.tracks if track.ends), ())
    update: dict[str, object] = {"duration": str(max((*lengths.pictures, *heard), default=Fraction(source.duration)))}
    if video is not None and lengths.pictures:
        update["video"] = video.model_copy(update={"duration": str(max(lengths.pictures) - Fraction(video.start))})
    if sound is not None and heard:
        first = sound.model_copy(update={"duration": str(max(heard) - Fraction(sound.start))})
        update["audio"] = (first, *source.audio[1:])
    return source.model_copy(update=update)


def expected_ends(source: MediaFacts) -> tuple[Fraction | None, Fraction | None]:
    """When picture and sound of the outputs should end; None where the source does not tell."""
    sound = source.audio[0] if source.audio else None
    picture = picture_end(source.video) if source.video else None
    return picture, end_of(sound) if sound and sound.duration is not None else None


def shown_until(source: MediaFacts) -> Fraction:
    """When picture and sound of the outputs have ended, in seconds: what players take for the length of the film."""
    known = [end for end in expected_ends(source) if end is not None]
    return max(known, default=Fraction(source.duration))


def slack(source: MediaFacts, expected: Fraction) -> Fraction:
    """By how much an end may be off."""
    return max(_least(source), expected * ESTIMATE_SHARE.get(source.container, SHARE_SLACK))


def _least(source: MediaFacts) -> Fraction:
    frame = 1 / output_rate(source.video) if source.video else Fraction(0)
    return max(SLACK_FRAMES * frame, ESTIMATE_LEAST.get(source.container, LEAST_SLACK))


def _missed(what: str, ends: Sequence[Fraction], expected: Fraction | None, source: MediaFacts) -> str | None:
    """How the first that is off differs from what the source tells."""
    off = (end for end in ends if expected is not None and abs(end - expected) > slack(source, expected))
    end = next(off, None)
    if end is None or expected is None:
        return None
    told, found = f"{float(expected):.2f} s", f"{float(end):.2f} s"
    return f"The {what} should end at {told}, but decodes to {found}: the file is damaged or incomplete."


def _is_whole(source: MediaFacts, lengths: Lengths, tracks: Sequence[Heard]) -> bool:
    """Whether nothing is empty, and nothing ran into the cap, which would be our cut."""
    ends = [*lengths.pictures, *lengths.playlists, *(end for track in tracks for end in track.ends)]
    return all(0 < end < length_cap(source) - _least(source) for end in ends)
