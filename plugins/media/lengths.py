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

HIGHEST_RATE = Fraction(60)
LEAST_SLACK, SHARE_SLACK, SLACK_FRAMES = Fraction(1, 10), Fraction(1, 200), 2
"""A duration may be off by the largest of 0.1 s, half a percent and two frames."""

ESTIMATE_SHARE = {"aac": Fraction(1, 10), "mp3": Fraction(1, 10)}
"""Raw audio streams carry no duration; ffprobe guesses one from the bitrate of their first frames."""

ESTIMATE_LEAST = {"mpegts": Fraction(1, 2), "mpeg": Fraction(1, 2)}
"""In these, durations come from the last timestamps, and those of sound stand on groups of frames."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """When each output's picture and sound end, and how long each playlist is, in seconds."""

    pictures: tuple[Fraction, ...]
    sounds: tuple[Fraction, ...]
    playlists: tuple[Fraction, ...]


def output_rate(video: VideoStream) -> Fraction:
    """The source's frame rate, halved until it is at most 60."""
    rate = Fraction(video.frame_rate)
    while rate > HIGHEST_RATE:
        rate /= 2
    return rate


def picture_end(video: VideoStream) -> Fraction | None:
    """When the last frame has been shown, in seconds from the start of the file; None when the file does not tell."""
    return None if video.duration is None else Fraction(video.start) + Fraction(video.duration)


def end_of(stream: VideoStream | AudioStream) -> Fraction:
    """When the stream ends, in seconds from the start of its file."""
    return Fraction(stream.start) + Fraction(stream.duration or 0)


def hold(source: MediaFacts, lengths: Lengths) -> None:
    """Raises Rejected where a length is off."""
    least = _least(source)
    for ends in ((*lengths.pictures, *lengths.playlists), lengths.sounds):
        if ends and max(ends) - min(ends) > least:
            raise Rejected(ErrorCode.OUTPUT_INVALID, "The outputs differ in length.")
    picture, sound = expected_ends(source)
    _reaches("picture", lengths.pictures, picture, source)
    _reaches("sound", lengths.sounds, sound, source)
    if (lengths.pictures and picture is None) or (lengths.sounds and sound is None):
        _reaches("file", (max((*lengths.pictures, *lengths.sounds)),), Fraction(source.duration), source)


def expected_ends(source: MediaFacts) -> tuple[Fraction | None, Fraction | None]:
    """When picture and sound of the outputs should end; None where the source does not tell."""
    sound = source.audio[0] if source.audio else None
    picture = picture_end(source.video) if source.video else None
    return picture, end_of(sound) if sound and sound.duration is not None else None


def slack(source: MediaFacts, expected: Fraction) -> Fraction:
    """By how much an end may be off."""
    return max(_least(source), expected * ESTIMATE_SHARE.get(source.container, SHARE_SLACK))


def _least(source: MediaFacts) -> Fraction:
    frame = 1 / output_rate(source.video) if source.video else Fraction(0)
    return max(SLACK_FRAMES * frame, ESTIMATE_LEAST.get(source.container, LEAST_SLACK))


def _reaches(what: str, ends: Sequence[Fraction], expected: Fraction | None, source: MediaFacts) -> None:
    if expected is None:
        return
    for end in ends:
        if abs(end - expected) > slack(source, expected):
            told, found = f"{float(expected):.2f} s", f"{float(end):.2f} s"
            message = f"The {what} should end at {told}, but decodes to {found}: the file is damaged or incomplete."
            raise Rejected(ErrorCode.INPUT_CORRUPT, message)
