"""The picture's shape: square pixels, cropped, turned, padded, in that order."""

from __future__ import annotations

from fractions import Fraction

from plugins.media.sizes import shown_size
from protocol.media import VideoStream
from protocol.recipes import PicturePlan
from protocol.shapes import Size, cropped, even, fitted, padded, turned

TURNS = {90: "transpose=clock", 180: "hflip,vflip", 270: "transpose=cclock"}


def size_of(video: VideoStream) -> Size:
    """The input's picture as its own file shows it, before anything is done to it."""
    return shown_size((video.coded_width, video.coded_height), Fraction(video.sample_aspect_ratio), video.rotation)


def framed(size: Size, plan: PicturePlan, *, square: bool) -> tuple[str, ...]:
    """The filters that make the shape asked for of a picture of that size; `square` tells whether its pixels are. None where
    nothing is asked for."""
    filters: list[str] = []
    if plan.crop is None and plan.pad is None and not plan.rotate:
        return ()
    if not square:
        filters.append(f"scale=w={size[0]}:h={size[1]}:flags=bicubic,setsar=1")
    if plan.crop is not None:
        size = cropped(size, plan.crop)
        filters.append(f"crop=w={size[0]}:h={size[1]}:x={even(plan.crop.left)}:y={even(plan.crop.top)}")
    if plan.rotate:
        size = turned(size, plan.rotate)
        filters.append(TURNS[plan.rotate])
    if plan.pad is not None:
        filters.append(_pad(size, padded(size, Fraction(plan.pad))))
    return tuple(filters)


def shrunk(size: Size, box: Size) -> Size | None:
    """The size that fits into the box, where that is smaller."""
    inner = fitted(size, box)
    return inner if inner[0] < size[0] and inner[1] < size[1] else None


def boxed(size: Size, box: Size) -> tuple[str, ...]:
    """The filters that make a picture of any size as large as the box, with black bars where its shape is another."""
    inner = fitted(size, box)
    scaled = f"scale=w={inner[0]}:h={inner[1]}:flags=bicubic:out_range=tv,setsar=1"
    return (scaled,) if inner == box else (scaled, _pad(inner, box))


def _pad(size: Size, outer: Size) -> str:
    left, top = even((outer[0] - size[0]) // 2), even((outer[1] - size[1]) // 2)
    return f"pad=w={outer[0]}:h={outer[1]}:x={left}:y={top}:color=black"
