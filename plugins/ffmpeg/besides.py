"""What a transcode runs before its encode: the client's own picture, and subtitles. A file that is no good fails early."""

from __future__ import annotations

from collections.abc import Mapping

from plugins.ffmpeg.stills import own_thumbnail
from plugins.ffmpeg.texts import extractions
from plugins.media import stills, subtitles
from protocol.plugins import Invocation, Limits, Outcome, Work
from protocol.recipes import TranscodeRecipe
from protocol.results import Failure
from protocol.steps import EXTRACT_SUBTITLES

THUMBNAIL = "thumbnail"
"""What a task calls the client's own picture among its inputs."""

OWN_LIMITS = Limits(wall_s=60.0, cpu_s=60, memory_bytes=3 << 30, file_bytes=8 << 20)


def invocations(ffmpeg: str, work: Work, recipe: TranscodeRecipe) -> tuple[Invocation, ...]:
    return (*_own(ffmpeg, work, recipe), *extractions(ffmpeg, recipe, work.input_path, work.inputs))


def _own(ffmpeg: str, work: Work, recipe: TranscodeRecipe) -> tuple[Invocation, ...]:
    if recipe.own_thumbnail is None:
        return ()
    parent = recipe.own_thumbnail.rpartition("/")[0]
    argv = own_thumbnail(ffmpeg, recipe.own_thumbnail)
    reads, makes = (work.inputs[THUMBNAIL],), (parent,) if parent else ()
    return (Invocation(name=stills.OWN, argv=argv, reads=reads, makes=makes, limits=OWN_LIMITS),)


def is_one(name: str) -> bool:
    """Whether the invocation of that name is one of these, or reads back what they made."""
    return name in (stills.OWN, stills.OWN_READ) or subtitles.is_one(name)


def judge(outcome: Outcome) -> Failure | None:
    return subtitles.judged(outcome) if subtitles.is_one(outcome.invocation.name) else stills.judged(outcome)


def took(by_name: Mapping[str, Outcome]) -> Mapping[str, float]:
    """Seconds of the steps that are not part of the encode."""
    return {EXTRACT_SUBTITLES: sum(one.wall_seconds for name, one in by_name.items() if subtitles.is_one(name))}
