"""The picture's part of the graph: decoded once, made upright, regular and of known colours, scaled for every rendition.

Its roots are `base`, the timeline as it is, and `sdr`, the same in BT.709 with everything that is laid over it. Where nothing is
kept as HDR the two are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from plugins.ffmpeg import device_chain, joined
from plugins.ffmpeg.colouring import to_sdr
from plugins.ffmpeg.finishing import pixel_format
from plugins.ffmpeg.framing import framed, shrunk, size_of
from plugins.ffmpeg.graph import STILLS, has_stills, split
from plugins.ffmpeg.overlays import burnt, marked
from plugins.ffmpeg.sources import seconds
from plugins.media.lengths import length_cap, timeline_rate
from plugins.media.sizes import THUMBNAIL_BOX
from protocol.media import VideoStream
from protocol.recipes import PlannedRendition, TranscodeRecipe
from protocol.shapes import Size

CHAIN_RATIO = Fraction(3, 2)
"""A rendition is scaled from a larger one only when that has at least this many times its lines: below, detail suffers."""

BASE, SDR = "base", "sdr"


def pictures(recipe: TranscodeRecipe, lines: list[str]) -> tuple[str, ...]:
    """One branch per rendition, each scaled from the smallest larger branch that is large enough, else from its root."""
    video = recipe.source.video
    if video is None or not (recipe.renditions or _stills(recipe)):
        return ()
    if recipe.decoder is not None:
        return device_chain.pictures(recipe, recipe.decoder, _stills(recipe), lines)
    renditions = recipe.renditions
    ladder = sorted(range(len(renditions)), key=lambda n: -renditions[n].height)
    users: dict[str, list[str]] = {BASE: [], SDR: [], **{f"r{n}": [f"v{n}"] for n in ladder}}
    for place, n in enumerate(ladder):
        users[_parent(renditions, ladder[:place], n)].append(f"r{n}i")
    users[next((f"r{n}" for n in ladder if not renditions[n].keeps_hdr), SDR)].extend(_stills(recipe))
    _roots(recipe, video, users, lines)
    for n in ladder:
        lines.append(f"[r{n}i]{_scale(renditions[n])}{split('split', users[f'r{n}'])}")
    return tuple(f"v{n}" for n in range(len(renditions)))


def _stills(recipe: TranscodeRecipe) -> list[str]:
    return [STILLS] if has_stills(recipe) else []


def _parent(renditions: tuple[PlannedRendition, ...], larger: list[int], n: int) -> str:
    """A picture of more bits, or of another range, is not made of one that has lost them."""
    kinds = [(planned.rendition.bit_depth, planned.keeps_hdr) for planned in renditions]
    alike = [m for m in larger if kinds[m] == kinds[n]]
    fit = [m for m in alike if renditions[m].height >= CHAIN_RATIO * renditions[n].height]
    return f"r{fit[-1]}" if fit else BASE if renditions[n].keeps_hdr else SDR


def _roots(recipe: TranscodeRecipe, video: VideoStream, users: dict[str, list[str]], lines: list[str]) -> None:
    """From the decoder to both roots."""
    entry = [joined.picture(recipe, lines)] if recipe.parts else [f"[0:{video.index}]{_regular(recipe, video)}"]
    size = size_of(video)
    is_square = Fraction(video.sample_aspect_ratio) == 1
    entry += framed(size, recipe.picture, square=is_square)
    if users[BASE]:
        lines.append(f"{','.join(entry)}{split('split', [*users[BASE], *([SDR] if users[SDR] else [])])}")
        entry = [f"[{SDR}]null"]
    if users[SDR]:
        _sdr(recipe, video, entry, users[SDR], lines)


def _sdr(recipe: TranscodeRecipe, video: VideoStream, entry: Sequence[str], users: list[str], lines: list[str]) -> None:
    """Tone mapping is dear: it is done at the largest size that anything of it is made in."""
    smaller = shrunk((video.width, video.height), _largest(recipe)) if video.is_hdr else None
    depth = max((planned.rendition.bit_depth for planned in recipe.renditions if not planned.keeps_hdr), default=8)
    depth = min(depth, max(8, video.bit_depth))
    shrinking = [f"scale=w={smaller[0]}:h={smaller[1]}:flags=bicubic,setsar=1"] if smaller else []
    chain = ",".join((*entry, *shrinking, *to_sdr(video, depth), *burnt(recipe)))
    over = marked(recipe, smaller or (video.width, video.height), depth, lines)
    if over is not None:
        lines.append(f"{chain}[under]")
        chain = over
    lines.append(f"{chain}{split('split', users)}")


def _largest(recipe: TranscodeRecipe) -> Size:
    sizes = [(planned.width, planned.height) for planned in recipe.renditions if not planned.keeps_hdr]
    return max(sizes, key=lambda size: size[1], default=THUMBNAIL_BOX)


def _regular(recipe: TranscodeRecipe, video: VideoStream) -> str:
    """Whole frames at a constant rate, the first at 0: segments, frame counts and thumbnails all rest on that grid.

    It is cut here, where frames are repeated to fill holes: `-t` of the outputs lets all that was repeated through the graph.
    """
    wants = recipe.picture.deinterlace
    deinterlace = "bwdif=mode=send_frame:deint=all," if (video.is_interlaced if wants is None else wants) else ""
    end = f"{float(length_cap(recipe.source)):.3f}" if recipe.cut is None else seconds(Fraction(recipe.source.duration))
    return f"{deinterlace}fps=fps={timeline_rate(recipe)}:start_time=0,trim=end={end}"


def _scale(planned: PlannedRendition) -> str:
    size = f"w={planned.width}:h={planned.height}"
    return f"scale={size}:flags=bicubic:out_range=tv,setsar=1,format={pixel_format(planned)}"
