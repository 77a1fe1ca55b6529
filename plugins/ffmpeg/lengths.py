"""Holds the lengths of all outputs against each other and against the source.

All of them come from one decode: where they differ it is our fault, where all end early it is the input's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from plugins.ffmpeg.filters import output_rate, picture_end
from plugins.ffmpeg.rejected import Rejected
from protocol.errors import ErrorCode
from protocol.media import AudioStream, MediaFacts, VideoStream

LEAST_SLACK, SHARE_SLACK, SLACK_FRAMES = Fraction(1, 10), Fraction(1, 200), 2
"""A duration may be off by the largest of 0.1 s, half a percent and two frames."""

ESTIMATING_CONTAINERS = frozenset({"aac", "mp3"})
ESTIMATE_SLACK = Fraction(1, 10)
"""Raw audio streams carry no duration; ffprobe guesses one from the bitrate of their first frames."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """When each output's picture and sound end, and how long each playlist is, in seconds."""

    pictures: tuple[Fraction, ...]
    sounds: tuple[Fraction, ...]
    playlists: tuple[Fraction, ...]


def end_of(stream: VideoStream | AudioStream) -> Fraction:
    """When the stream ends, in seconds from the start of its file."""
    return Fraction(stream.start) + Fraction(stream.duration or 0)


def hold(source: MediaFacts, lengths: Lengths) -> None:
    """Raises Rejected where a length is off."""
    frame = 1 / output_rate(source.video) if source.video else Fraction(0)
    least = max(SLACK_FRAMES * frame, LEAST_SLACK)
    for ends in ((*lengths.pictures, *lengths.playlists), lengths.sounds):
        if ends and max(ends) - min(ends) > least:
            raise Rejected(ErrorCode.OUTPUT_INVALID, "The outputs differ in length.")
    picture = picture_end(source.video) if source.video else None
    sound = end_of(source.audio[0]) if source.audio and source.audio[0].duration else None
    share = ESTIMATE_SLACK if source.container in ESTIMATING_CONTAINERS else SHARE_SLACK
    _reaches("picture", lengths.pictures, picture, least=least, share=share)
    _reaches("sound", lengths.sounds, sound, least=least, share=share)
    if (lengths.pictures and picture is None) or (lengths.sounds and sound is None):
        longest = max((*lengths.pictures, *lengths.sounds))
        _reaches("file", (longest,), Fraction(source.duration), least=least, share=share)


def _reaches(what: str, ends: Sequence[Fraction], expected: Fraction | None, *, least: Fraction, share: Fraction) -> None:
    if expected is None:
        return
    for end in ends:
        if abs(end - expected) > max(least, expected * share):
            told, found = f"{float(expected):.2f} s", f"{float(end):.2f} s"
            message = f"The {what} should end at {told}, but decodes to {found}: the file is damaged or incomplete."
            raise Rejected(ErrorCode.INPUT_CORRUPT, message)
