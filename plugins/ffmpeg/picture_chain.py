"""The picture's part of the graph: decoded once, made upright and regular, scaled for every rendition."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.finishing import pixel_format
from plugins.ffmpeg.graph import split
from plugins.media.lengths import timeline_rate
from protocol.media import MediaFacts
from protocol.recipes import PlannedRendition, TranscodeRecipe

CHAIN_RATIO = Fraction(3, 2)
"""A rendition is scaled from a larger one only when that has at least this many times its lines: below, detail suffers."""

LENGTH_MARGIN = Fraction(11, 10)
"""The cap on an output's length, over what is expected: far enough that a cut cannot look like the right length."""


def length_cap(source: MediaFacts) -> Fraction:
    """Where everything is cut, in seconds."""
    return Fraction(source.duration) * LENGTH_MARGIN + 10


def pictures(recipe: TranscodeRecipe, lines: list[str]) -> tuple[str, ...]:
    """One branch per rendition, each scaled from the smallest larger branch that is large enough, else from the source."""
    if recipe.source.video is None or not (recipe.renditions or recipe.thumbnails):
        return ()
    ladder = sorted(range(len(recipe.renditions)), key=lambda n: -recipe.renditions[n].height)
    users: dict[str, list[str]] = {"base": [], **{f"r{n}": [f"v{n}"] for n in ladder}}
    for place, n in enumerate(ladder):
        users[_parent(recipe.renditions, ladder[:place], n)].append(f"r{n}i")
    users[f"r{ladder[0]}" if ladder else "base"].extend(["shots"] if recipe.thumbnails else [])
    lines.append(f"[0:{recipe.source.video.index}]{_head(recipe)}{split('split', users['base'])}")
    for n in ladder:
        planned = recipe.renditions[n]
        lines.append(f"[r{n}i]{_scale(planned)}{split('split', users[f'r{n}'])}")
    return tuple(f"v{n}" for n in range(len(recipe.renditions)))


def _parent(renditions: tuple[PlannedRendition, ...], larger: list[int], n: int) -> str:
    """A picture of more bits, or of another range, is not made of one that has lost them."""
    kinds = [(planned.rendition.bit_depth, planned.keeps_hdr) for planned in renditions]
    alike = [m for m in larger if kinds[m] == kinds[n]]
    fit = [m for m in alike if renditions[m].height >= CHAIN_RATIO * renditions[n].height]
    return f"r{fit[-1]}" if fit else "base"


def _head(recipe: TranscodeRecipe) -> str:
    """Whole frames at a constant rate, the first at 0: segments, frame counts and thumbnails all rest on that grid.

    It is cut here, where frames are repeated to fill holes: `-t` of the outputs lets all that was repeated through the graph.
    """
    video = recipe.source.video
    if video is None:
        return "null"
    deinterlace = "bwdif=mode=send_frame:deint=all," if video.is_interlaced else ""
    return f"{deinterlace}fps=fps={timeline_rate(recipe)}:start_time=0,trim=end={float(length_cap(recipe.source)):.3f}"


def _scale(planned: PlannedRendition) -> str:
    size = f"w={planned.width}:h={planned.height}"
    return f"scale={size}:flags=bicubic:out_range=tv,setsar=1,format={pixel_format(planned)}"
