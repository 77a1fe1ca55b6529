"""Nothing is told of a film that ends early as if it were all of it: how far a process came stands in its last words."""

from __future__ import annotations

import re
from fractions import Fraction

from plugins.ffmpeg.measuring import comparing, content
from plugins.ffmpeg.measuring.subject import Stretch, Subject
from plugins.media.lengths import SLACK_FRAMES, output_rate, slack
from protocol.media import AudioStream, VideoStream
from protocol.plugins import Outcome

_TIME = re.compile(r"^\[info\] (?:frame|size)=[^\n]* time=(\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)
_FRAMES = re.compile(r"^\[info\] frame= *(\d+) ", re.MULTILINE)
"""FFmpeg's summary. A file's own tags never stand right behind the level."""


def problem(subject: Subject, outcome: Outcome) -> str | None:
    """Why what was looked at is not what was told of the film; None where it is."""
    kind, _, rest = outcome.invocation.name.partition(":")
    match kind:
        case content.CONTENT:
            return _ends_early(subject.stretches[int(rest)], outcome)
        case comparing.SCORE:
            return _lacks_frames(subject, outcome)
        case _:
            return None


def _ends_early(stretch: Stretch, outcome: Outcome) -> str | None:
    told = _TIME.findall(outcome.stderr_tail)
    expected = _end(stretch)
    if not told:
        return "The film could not be looked at to its end."
    hours, minutes, seconds = told[-1]
    reached = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    if reached >= expected - slack(stretch.facts, expected):
        return None
    return f"The film should end at {float(expected):.2f} s, but decodes to {float(reached):.2f} s: it is damaged or incomplete."


def _end(stretch: Stretch) -> Fraction:
    """Of what is there longest, within the stretch; where no stream tells, that of the file."""
    length = stretch.end - stretch.start
    streams: list[VideoStream | AudioStream] = [*stretch.facts.audio[:1], *([stretch.facts.video] if stretch.facts.video else [])]
    ends = [Fraction(one.start) + Fraction(one.duration) for one in streams if one.duration is not None]
    return min(length, max(ends)) if ends and len(ends) == len(streams) else length


def _lacks_frames(subject: Subject, outcome: Outcome) -> str | None:
    """A sample that lacks more than a length may be off."""
    video, spot = subject.recipe.source.video, comparing.spot(subject)
    told = _FRAMES.findall(outcome.stderr_tail)
    name = outcome.invocation.name.partition(":")[2]
    planned = next((one for one in subject.recipe.compare if one.rendition.name == name), None)
    if video is None or planned is None:
        return None
    rate = Fraction(planned.frame_rate) if planned.frame_rate else output_rate(video)
    least = (spot.seconds - slack(spot.recipe.source, spot.seconds)) * rate - SLACK_FRAMES
    if told and int(told[-1]) >= least:
        return None
    return "The film ends within the sample that was to be compared: it is damaged or incomplete."
