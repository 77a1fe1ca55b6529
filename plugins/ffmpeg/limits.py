"""Holds what an input is against what a recipe allows: one row per rule, the first that fails is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from protocol.errors import ErrorCode
from protocol.media import MediaFacts, VideoStream
from protocol.recipes import InputLimits

LEAST_RATE, MOST_RATE, MOST_CHANNELS = 4000, 768_000, 64
"""The telephone's rate halved, the fastest converters', and what FFmpeg's resampler takes."""

MOST_SHOWN = 16_384
"""The longest side once pixels are square; what H.264 encoders take."""

MOST_LATE_S = 600
"""How much later than the file a stream may begin. Films with an overture take minutes, broken ones hours."""


DOLBY_VISION_ALONE = 5
"""The profile without a picture for other players."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an input, for a client."""

    code: ErrorCode
    message: str


def problem_of(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    """The first limit that the input exceeds, or None."""
    for rule in RULES:
        if (problem := rule(facts, limits)) is not None:
            return problem
    return None


def whole_problem_of(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    """What is wrong with a film made of several inputs, each of which is within the limits."""
    lasts = sum((Fraction(part.duration) for part in facts.parts.values()), start=Fraction(facts.duration))
    if lasts > Fraction(limits.max_duration_s):
        message = f"All parts together last {float(lasts):.0f} s; at most {limits.max_duration_s:g} s are taken."
        return Problem(ErrorCode.INPUT_TOO_LONG, message)
    return None


def _bytes(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    if facts.size_bytes <= limits.max_bytes:
        return None
    return Problem(ErrorCode.INPUT_TOO_LARGE, f"The file has {facts.size_bytes} bytes; at most {limits.max_bytes} are taken.")


def _streams(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    if facts.streams <= limits.max_streams:
        return None
    return Problem(ErrorCode.INPUT_LIMITS, f"The file has {facts.streams} streams; at most {limits.max_streams} are taken.")


def _kinds(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    if limits.needs_video and facts.video is None:
        return Problem(ErrorCode.INPUT_NO_VIDEO, "The file has no picture; this profile makes video.")
    if limits.needs_audio and not facts.audio:
        return Problem(ErrorCode.INPUT_FORMAT, "The file has no sound; this profile makes audio.")
    return None


def _duration(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    duration = Fraction(facts.duration)
    if duration < Fraction(limits.min_duration_s):
        message = f"The input lasts {float(duration):.2f} s; it needs at least {limits.min_duration_s:g} s."
        return Problem(ErrorCode.INPUT_TOO_SHORT, message)
    if duration > Fraction(limits.max_duration_s):
        message = f"The input lasts {float(duration):.0f} s; at most {limits.max_duration_s:g} s are taken."
        return Problem(ErrorCode.INPUT_TOO_LONG, message)
    return None


def _picture(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    if facts.video is None or not limits.needs_video:
        return None
    return _too_small(facts.video, limits) or _too_big(facts.video, limits)


def _dolby(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    """Profile 5 codes colours of its own, which turn green and violet where they are taken for BT.2020."""
    if facts.video is None or not limits.needs_video or facts.video.dolby_vision != DOLBY_VISION_ALONE:
        return None
    message = "The picture is Dolby Vision profile 5, whose colours nothing else can show; give HDR10, HLG, or profile 8."
    return Problem(ErrorCode.INPUT_FORMAT, message)


def _too_small(video: VideoStream, limits: InputLimits) -> Problem | None:
    """By the long and the short side, so that an upright film is held against the same box, turned."""
    long, short = max(video.width, video.height), min(video.width, video.height)
    if long >= max(limits.min_width, limits.min_height) and short >= min(limits.min_width, limits.min_height):
        return None
    size, least = f"{video.width}x{video.height}", f"{limits.min_width}x{limits.min_height}"
    return Problem(ErrorCode.INPUT_TOO_SMALL, f"The picture is {size}; this profile needs at least {least}.")


def _too_big(video: VideoStream, limits: InputLimits) -> Problem | None:
    """The decoder is capped by pixels, so an upright picture may use the same room."""
    long, short = max(video.coded_width, video.coded_height), min(video.coded_width, video.coded_height)
    if long > max(limits.max_width, limits.max_height) or short > min(limits.max_width, limits.max_height):
        size = f"{video.coded_width}x{video.coded_height}"
        message = f"The picture is {size}; at most {limits.max_width}x{limits.max_height} is taken."
        return Problem(ErrorCode.INPUT_LIMITS, message)
    if (shown := max(video.width, video.height)) > MOST_SHOWN:
        message = f"The picture is shown {shown} pixels long, for their odd shape; at most {MOST_SHOWN} are taken."
        return Problem(ErrorCode.INPUT_LIMITS, message)
    if Fraction(video.frame_rate) > limits.max_fps:
        rate = float(Fraction(video.frame_rate))
        return Problem(ErrorCode.INPUT_LIMITS, f"The input has {rate:.3g} frames a second; at most {limits.max_fps} are taken.")
    return None


def _sound(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    """The first track's alone: odd ones beside it are left out where tracks are chosen. A rate of 0 is one that is not told."""
    for sound in facts.audio[:1]:
        if sound.sample_rate and not LEAST_RATE <= sound.sample_rate <= MOST_RATE:
            message = f"The sound has {sound.sample_rate} samples a second; {LEAST_RATE} to {MOST_RATE} are taken."
            return Problem(ErrorCode.INPUT_LIMITS, message)
        if sound.channels > MOST_CHANNELS:
            return Problem(ErrorCode.INPUT_LIMITS, f"The sound has {sound.channels} channels; at most {MOST_CHANNELS} are taken.")
    return None


def _start(facts: MediaFacts, limits: InputLimits) -> Problem | None:
    """What is missing before a stream begins is filled up, in memory and in the outputs."""
    for what, stream in (("picture", facts.video), *(("sound", sound) for sound in facts.audio[:1])):
        if stream is not None and Fraction(stream.start) > MOST_LATE_S:
            message = (
                f"The {what} begins {float(Fraction(stream.start)):.0f} s after the file does; at most {MOST_LATE_S} s are taken."
            )
            return Problem(ErrorCode.INPUT_LIMITS, message)
    return None


RULES: tuple[Callable[[MediaFacts, InputLimits], Problem | None], ...] = (
    _bytes,
    _streams,
    _kinds,
    _duration,
    _start,
    _sound,
    _dolby,
    _picture,
)
