"""Two passes: which renditions take them, and the process before the encode that makes the first of all of them at once."""

from __future__ import annotations

from collections.abc import Iterable

from plugins.ffmpeg.encoders import TWO_PASS, Turn
from plugins.media.lengths import rendition_rate, timeline_rate
from protocol.encoding import SOFTWARE_ENCODERS
from protocol.recipes import PlannedRendition, TranscodeRecipe

STATS = "passes"
"""Where first passes leave what they saw, below the work directory."""

BY_PLACE = frozenset({"libvpx-vp9"})
"""FFmpeg writes the statistics of these itself, to a file named by the place of the stream among all of its outputs: they
come first in both processes, at the same places."""


def takes_two(planned: PlannedRendition) -> bool:
    return planned.spends.bitrate is not None and planned.encoder in TWO_PASS


def turn(planned: PlannedRendition, number: int) -> Turn | None:
    """None for a rendition in one pass."""
    return Turn(number, f"{STATS}/{planned.rendition.name}.log") if takes_two(planned) else None


def in_order(renditions: Iterable[PlannedRendition]) -> tuple[int, ...]:
    """The places of renditions among the recipe's, in the order in which processes write them."""
    numbered = list(enumerate(renditions))
    return tuple(n for n, one in sorted(numbered, key=lambda pair: not (takes_two(pair[1]) and pair[1].encoder in BY_PLACE)))


def first_of(recipe: TranscodeRecipe) -> TranscodeRecipe | None:
    """The recipe of the first passes: pictures alone, and where none of them is as fast as the timeline, one that is, last.
    None where there are none.
    """
    renditions = tuple(planned for planned in recipe.renditions if takes_two(planned))
    if not renditions:
        return None
    grid = timeline_rate(recipe)
    if max(rendition_rate(recipe, planned) for planned in renditions) < grid:  # both passes must see the same frames
        fastest = next(planned for planned in recipe.renditions if rendition_rate(recipe, planned) == grid)
        renditions += (fastest.model_copy(update={"encoder": SOFTWARE_ENCODERS[fastest.rendition.codec]}),)
    silent = recipe.source.model_copy(update={"audio": ()})
    nothing = {"tracks": (), "audio": None, "more_audio": (), "thumbnails": (), "sprite": None, "subtitles": (), "speech": None}
    return recipe.model_copy(update={"source": silent, "renditions": renditions, "own_thumbnail": None, **nothing})
