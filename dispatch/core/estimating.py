"""What a job will take and weigh, before anything of it is made: from its plans, and from how fast engines here encode. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from dispatch.core.plans import Planned
from protocol.care import Estimate
from protocol.encoding import VideoCodec
from protocol.media import MediaFacts
from protocol.recipes import (
    HandbrakeRecipe,
    Pace,
    PackageRecipe,
    PlannedRendition,
    PlannedTrack,
    Recipe,
    TranscodeRecipe,
    pace_of,
)

SpeedOf = Callable[[Pace], float | None]
"""Frames a second at this pace, as engines have measured; None where none has."""

AROUND_S = 1.0
"""Of each task: the input is opened, the outputs are looked at."""


@dataclass(frozen=True, slots=True)
class Appetite:
    """Bits for a pixel at a CRF, and how many steps of CRF halve them."""

    bits: float
    crf: float
    halving: float

    def at(self, crf: float) -> float:
        return self.bits * math.pow(2.0, (self.crf - crf) / self.halving)


APPETITES: Mapping[VideoCodec, Appetite] = {
    VideoCodec.H264: Appetite(0.12, 23, 4.3),
    VideoCodec.HEVC: Appetite(0.07, 26, 4.6),
    VideoCodec.AV1: Appetite(0.065, 35, 13.5),
    VideoCodec.VP9: Appetite(0.09, 33, 9.1),
}
"""Of pieces of Big Buck Bunny at 360p and 720p, by the presets that `medium` stands for: 0.09 to 0.19, 0.07 to 0.10, 0.07 to
0.09 and 0.09 to 0.13 at these CRFs. Other film may need twice that, or half.
"""


def estimate(plans: Iterable[Planned[Recipe]], speed_of: SpeedOf) -> Estimate:
    """Of all tasks together, one behind the other."""
    planned = list(plans)
    took = [_seconds(plan, speed_of) for plan in planned]
    bits = sum(_bits_of(plan.recipe) for plan in planned)
    seconds = sum(measured if measured is not None else plan.cost_s for plan, measured in zip(planned, took, strict=True))
    return Estimate(seconds=round(seconds, 1), bytes=round(bits / 8), is_measured=any(one is not None for one in took))


def _seconds(plan: Planned[Recipe], speed_of: SpeedOf) -> float | None:
    """By what the engines here have shown. A ladder's speed is that of its source's frames through the whole of it."""
    pace = pace_of(plan.recipe)
    fps = None if pace is None else speed_of(pace)
    if fps is None or not isinstance(plan.recipe, TranscodeRecipe):
        return None
    return AROUND_S + _rate(plan.recipe.source) * _duration(plan.recipe.source) / fps


def _bits_of(recipe: Recipe) -> float:
    """Each rendition as a file and once more as its segments, and the sound; pictures, text and playlists weigh nothing."""
    match recipe:
        case TranscodeRecipe():
            files = (one for one in (recipe.audio, *recipe.more_audio) if one is not None)
            sound = sum(one.audio.bitrate for one in files) * _duration(recipe.source)
            tracks = len(_tracks(recipe.source, recipe.tracks))
            twice = ((one, 1 if one.playlist is None else 2) for one in recipe.renditions)
            return sound + sum(_rendition(one, recipe.source, tracks) * times for one, times in twice)
        case HandbrakeRecipe():
            return sum(_rendition(one, recipe.source, len(recipe.source.audio[:1])) for one in recipe.renditions)
        case PackageRecipe():
            pictures = sum(_rendition(one, recipe.source, 0) for one in recipe.renditions)
            best = max((one.rendition.audio.bitrate for one in recipe.renditions), default=0)
            return pictures + best * len(_tracks(recipe.source, recipe.tracks)) * _duration(recipe.source)
        case _:
            return 0.0


def _tracks(source: MediaFacts, planned: tuple[PlannedTrack, ...]) -> tuple[object, ...]:
    return planned or source.audio[:1]


def _rendition(planned: PlannedRendition, source: MediaFacts, tracks: int) -> float:
    """Its picture, and so many tracks of sound."""
    return (_picture_rate(planned, source) + tracks * planned.rendition.audio.bitrate) * _duration(source)


def _picture_rate(planned: PlannedRendition, source: MediaFacts) -> float:
    """Bits a second: as told where they are told, else as pixels of such film need, up to the cap and the source itself."""
    rate = planned.spends
    if rate.bitrate is not None:
        return float(rate.bitrate)
    frames = float(Fraction(planned.frame_rate)) if planned.frame_rate else _rate(source)
    appetite = APPETITES[planned.rendition.codec]
    wanted = appetite.at(rate.crf if rate.crf is not None else appetite.crf) * planned.width * planned.height * frames
    caps = [float(cap) for cap in (rate.max_bitrate, source.bitrate) if cap]
    return min([wanted, *caps])


def _rate(source: MediaFacts) -> float:
    return float(Fraction(source.video.frame_rate)) if source.video is not None else 0.0


def _duration(source: MediaFacts) -> float:
    return float(Fraction(source.duration))
