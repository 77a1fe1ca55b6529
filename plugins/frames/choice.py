"""Which frames of a film become pictures, how many that makes, and how large each is. All of it exact numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from plugins.media.lengths import output_rate, picture_end
from plugins.media.rejected import Rejected
from plugins.media.sizes import even
from protocol.errors import ErrorCode
from protocol.extras import Frames
from protocol.media import MediaFacts, VideoStream
from protocol.steps import EXTRACT_FRAMES


@dataclass(frozen=True, slots=True)
class Choice:
    """`share` of the frames, at most 1: of a constant grid of `rate` frames a second, or of the frames as they come.

    `expected` is how many pictures that makes, None where the source does not tell its length.
    """

    rate: Fraction
    share: Fraction
    is_grid: bool
    expected: int | None
    size: tuple[int, int]


def choose(source: MediaFacts, frames: Frames) -> Choice:
    """Raises Rejected for a source without a picture, and for more pictures than a ZIP takes."""
    video = source.video
    if video is None:
        raise Rejected(ErrorCode.INPUT_NO_VIDEO, "The file has no picture; frames are pictures.", EXTRACT_FRAMES)
    rate = output_rate(video) if frames.fps is not None else Fraction(video.frame_rate)
    share = _share(frames, rate)
    expected = _expected(video, frames, rate, share)
    guess = expected if expected is not None else round(Fraction(source.duration) * rate * share)
    if guess > frames.most_pictures:
        raise Rejected(ErrorCode.INPUT_LIMITS, too_many(guess, frames.most_pictures), EXTRACT_FRAMES)
    return Choice(rate, share, frames.fps is not None, expected, _size(video, frames.max_height))


def too_many(count: int, most: int) -> str:
    return f"This would be {count} pictures; one ZIP takes {most}. Ask for fewer a second, or for every nth frame."


def _share(frames: Frames, rate: Fraction) -> Fraction:
    if frames.every_nth is not None:
        return Fraction(1, frames.every_nth)
    return min(Fraction(1), Fraction(frames.fps or 0).limit_denominator(1_000_000) / rate)


def _expected(video: VideoStream, frames: Frames, rate: Fraction, share: Fraction) -> int | None:
    """Picture k is frame ceil(k / share): so many of them lie below the number of frames."""
    end = picture_end(video)
    total = video.frames if frames.every_nth is not None else None
    if total is None and end is None:
        return None
    count = total if total is not None else round((end or Fraction(0)) * rate)
    return max(1, -(-count * share.numerator // share.denominator))


def _size(video: VideoStream, max_height: int | None) -> tuple[int, int]:
    factor = min(Fraction(1), Fraction(max_height, video.height)) if max_height else Fraction(1)
    return even(video.width * factor), even(video.height * factor)
