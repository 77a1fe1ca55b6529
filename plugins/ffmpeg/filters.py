"""The filter graph of a decode-once transcode: one decoded picture and one decoded sound, split for every output."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from plugins.ffmpeg.encoders import TAKES_UPLOADED, UPLOAD
from plugins.media.lengths import output_rate, picture_end
from plugins.media.sizes import thumbnail_size
from protocol.media import MediaFacts
from protocol.recipes import PlannedRendition, ThumbnailShot, TranscodeRecipe

CHAIN_RATIO = Fraction(3, 2)
"""A rendition is scaled from a larger one only when that has at least this many times its lines: below, detail suffers."""

SPARSE_SECONDS = 10
"""How often a picture is kept as a thumbnail before its moment, so that one is there should the picture end too early."""


LENGTH_MARGIN = Fraction(11, 10)
"""The cap on an output's length, over what is expected: far enough that a cut cannot look like the right length."""


def length_cap(source: MediaFacts) -> Fraction:
    """Where everything is cut, in seconds."""
    return Fraction(source.duration) * LENGTH_MARGIN + 10


@dataclass(frozen=True, slots=True)
class Graph:
    """The text for `-filter_complex` and the labels of its outputs, in the order of the recipe."""

    text: str
    pictures: tuple[str, ...]
    shots: tuple[str, ...]
    sounds: tuple[str, ...]


def build(recipe: TranscodeRecipe, sounds: int) -> Graph:
    """The graph for `sounds` users of the first audio track. Pictures only where the source has one."""
    lines: list[str] = []
    pictures = _uploaded(recipe, _pictures(recipe, lines), lines)
    shots = _shots(recipe, lines)
    labels = tuple(f"a{n}" for n in range(sounds))
    if labels:
        cut = f"atrim=end={float(length_cap(recipe.source)):.3f}"
        head = f"[0:{recipe.source.audio[0].index}]{cut},aresample=async=1:first_pts=0"
        lines.append(f"{head}{_split('asplit', labels)}")
    return Graph(";".join(lines), pictures, shots, labels)


def _pictures(recipe: TranscodeRecipe, lines: list[str]) -> tuple[str, ...]:
    """One branch per rendition, each scaled from the smallest larger branch that is large enough, else from the source."""
    if recipe.source.video is None or not (recipe.renditions or recipe.thumbnails):
        return ()
    ladder = sorted(range(len(recipe.renditions)), key=lambda n: -recipe.renditions[n].height)
    users: dict[str, list[str]] = {"base": [], **{f"r{n}": [f"v{n}"] for n in ladder}}
    for place, n in enumerate(ladder):
        users[_parent(recipe.renditions, ladder[:place], n)].append(f"r{n}i")
    users[f"r{ladder[0]}" if ladder else "base"].extend(["shots"] if recipe.thumbnails else [])
    lines.append(f"[0:{recipe.source.video.index}]{_head(recipe.source)}{_split('split', users['base'])}")
    for n in ladder:
        planned = recipe.renditions[n]
        lines.append(f"[r{n}i]{_scale(planned.width, planned.height)}{_split('split', users[f'r{n}'])}")
    return tuple(f"v{n}" for n in range(len(recipe.renditions)))


def _uploaded(recipe: TranscodeRecipe, pictures: tuple[str, ...], lines: list[str]) -> tuple[str, ...]:
    """Pictures for encoders that take them only from their GPU's memory are brought there, each at its final size."""
    labels: list[str] = []
    for label, planned in zip(pictures, recipe.renditions, strict=False):  # sound alone has no picture
        if planned.encoder in TAKES_UPLOADED:
            lines.append(f"[{label}]{UPLOAD}[{label}u]")
        labels.append(f"{label}u" if planned.encoder in TAKES_UPLOADED else label)
    return tuple(labels)


def _parent(renditions: tuple[PlannedRendition, ...], larger: list[int], n: int) -> str:
    fit = [m for m in larger if renditions[m].height >= CHAIN_RATIO * renditions[n].height]
    return f"r{fit[-1]}" if fit else "base"


def _head(source: MediaFacts) -> str:
    """Whole frames at a constant rate, the first at 0: segments, frame counts and thumbnails all rest on that grid.

    It is cut here, where frames are repeated to fill holes: `-t` of the outputs lets all that was repeated through the graph.
    """
    video = source.video
    if video is None:
        return "null"
    deinterlace = "bwdif=mode=send_frame:deint=all," if video.is_interlaced else ""
    return f"{deinterlace}fps=fps={output_rate(video)}:start_time=0,trim=end={float(length_cap(source)):.3f}"


def _scale(width: int, height: int) -> str:
    return f"scale=w={width}:h={height}:flags=bicubic:out_range=tv,setsar=1,format=yuv420p"


def _shots(recipe: TranscodeRecipe, lines: list[str]) -> tuple[str, ...]:
    if recipe.source.video is None or not recipe.thumbnails:
        return ()
    rate = output_rate(recipe.source.video)
    end = picture_end(recipe.source.video)
    width, height = thumbnail_size(recipe)
    scale = "" if recipe.renditions else f"scale=w={width}:h={height}:flags=bicubic,setsar=1,"
    inputs = [f"s{n}i" for n in range(len(recipe.thumbnails))]
    lines.append(f"[shots]null{_split('split', inputs)}")
    for n, shot in enumerate(recipe.thumbnails):
        lines.append(f"[s{n}i]{_select(shot, rate=rate, end=end)},{scale}format=yuvj420p[s{n}]")
    return tuple(f"s{n}" for n in range(len(recipe.thumbnails)))


def _select(shot: ThumbnailShot, *, rate: Fraction, end: Fraction | None) -> str:
    """The frames of which the last one becomes the thumbnail: each overwrites the one before.

    Those shortly before the moment, and one now and then before, in case the picture ends earlier than told.
    """
    at, frame = Fraction(shot.at), 1 / rate
    if end is not None:
        at = max(Fraction(0), min(at, end - frame))
    if shot.percent == 100:
        moment, upper = at - Fraction(1, 2), ""
    else:
        moment, upper = at - frame * Fraction(3, 2), f"lte(t,{float(at + frame / 100):.6f})*"
    wanted = f"gte(t,{float(moment):.6f})+isnan(prev_selected_t)+gte(t-prev_selected_t,{SPARSE_SECONDS})"
    return f"select='{upper}({wanted})'"


def _split(name: str, labels: list[str] | tuple[str, ...]) -> str:
    """The end of a chain that feeds `labels`."""
    ends = "".join(f"[{label}]" for label in labels)
    return ends if len(labels) == 1 else f",{name}={len(labels)}{ends}"
