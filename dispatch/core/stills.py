"""Which single pictures are made of a film, how large its sprite sheet is, and where they go. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from dispatch.core.plans import Film
from protocol.extras import Sprite, Thumbnails
from protocol.media import MediaFacts, VideoStream
from protocol.recipes import PlannedRendition, PlannedSprite, ThumbnailShot, TranscodeRecipe

OWN_PATH = "thumbnails/thumb_custom.jpg"
SHEET, INDEX = "thumbnails/sprite.jpg", "thumbnails/sprite.vtt"
TALLEST_SHEET = 16_384
"""Pixels; JPEG ends at 65,535, and browsers show no larger ones on a canvas."""

SPARE_FRAMES = 2
"""A tile is planned only where so many frames follow: a film may end that much before its file says."""


def with_stills(film: Film, ladder: Sequence[PlannedRendition], recipe: TranscodeRecipe) -> TranscodeRecipe:
    """The recipe with its single pictures. `ladder` are the renditions, whose shape they have, by whatever tool."""
    own = OWN_PATH if film.beside.has_thumbnail else None
    wanted, source = film.profile.thumbnails, recipe.source
    if source.video is None:
        return recipe.model_copy(update={"own_thumbnail": own})
    made = {
        "thumbnails": () if wanted is None else shots(wanted, source),
        "sprite": None if film.profile.sprite is None else sprite(film.profile.sprite, source, ladder),
        "own_thumbnail": own,
        "notes": (*recipe.notes, *(() if wanted is None else _past_the_end(wanted, source))),
    }
    return recipe.model_copy(update=made)


def has_stills(recipe: TranscodeRecipe) -> bool:
    return bool(recipe.thumbnails or recipe.sprite or recipe.own_thumbnail)


def shots(wanted: Thumbnails, source: MediaFacts) -> tuple[ThumbnailShot, ...]:
    """By percent, then by second; a second past the end is left out."""
    length = _length(source)
    by_percent = (
        ThumbnailShot(percent=percent, at=str(length * percent / 100), path=f"thumbnails/thumb_{percent:02d}.jpg")
        for percent in sorted(set(wanted.percents))
    )
    by_second = (
        ThumbnailShot(percent=None, at=str(Fraction(ms, 1000)), path=f"thumbnails/thumb_at_{ms}ms.jpg")
        for ms in _milliseconds(wanted)
        if Fraction(ms, 1000) < length
    )
    return (*by_percent, *by_second)


def _milliseconds(wanted: Thumbnails) -> list[int]:
    return sorted({round(second * 1000) for second in wanted.seconds})


def _past_the_end(wanted: Thumbnails, source: MediaFacts) -> tuple[str, ...]:
    length = _length(source)
    late = [f"{ms / 1000:g} s" for ms in _milliseconds(wanted) if Fraction(ms, 1000) >= length]
    if not late:
        return ()
    shown = ", ".join(late[:5]) + (f" and {len(late) - 5} more" if len(late) > 5 else "")
    return (f"There is no thumbnail at {shown}: the film ends at {float(length):.3f} s.",)


def sprite(wanted: Sprite, source: MediaFacts, ladder: Sequence[PlannedRendition]) -> PlannedSprite | None:
    """Tiles so far apart that there are no more than `most`; rows that fit a picture browsers show."""
    video = source.video
    if video is None:
        return None
    length = _length(source)
    interval = max(Fraction(round(wanted.interval_seconds * 1000), 1000), Fraction(ceil(length * 1000 / wanted.most), 1000))
    count = max(1, ceil((length - SPARE_FRAMES / Fraction(video.frame_rate)) / interval))
    width = _even(Fraction(wanted.width))
    height = _height(width, video, ladder)
    columns = max(min(wanted.columns, count), ceil(Fraction(count, max(1, TALLEST_SHEET // height))))
    return PlannedSprite(
        interval=str(interval), count=count, columns=columns, width=width, height=height, path=SHEET, index=INDEX
    )


def _height(width: int, video: VideoStream, ladder: Sequence[PlannedRendition]) -> int:
    tallest = max(ladder, key=lambda planned: planned.height, default=None)
    shape = (video.width, video.height) if tallest is None else (tallest.width, tallest.height)
    return min(_even(Fraction(width * shape[1], shape[0])), TALLEST_SHEET)


def _even(value: Fraction) -> int:
    """JPEG shares colour between two pixels."""
    return max(2, 2 * round(value / 2))


def _length(source: MediaFacts) -> Fraction:
    told = source.video.duration if source.video is not None else None
    return Fraction(told or source.duration)
