"""The sizes of pictures taken from a film: even, square-pixelled, never enlarged."""

from __future__ import annotations

from fractions import Fraction

from protocol.recipes import PlannedRendition, PlannedSprite, TranscodeRecipe

THUMBNAIL_BOX = (1280, 720)
"""The room of a thumbnail when there is no rendition whose size it could take."""


def thumbnail_size(recipe: TranscodeRecipe) -> tuple[int, int]:
    """That of the largest rendition in BT.709, whose scaled frames it shares; else what fits the box, never enlarged."""
    if has_frames_to_share(recipe):
        largest = max(usual_range(recipe), key=lambda planned: planned.height)
        return largest.width, largest.height
    if recipe.source.video is None:
        return THUMBNAIL_BOX
    width, height = recipe.source.video.width, recipe.source.video.height
    factor = min(Fraction(1), Fraction(THUMBNAIL_BOX[0], width), Fraction(THUMBNAIL_BOX[1], height))
    return even(width * factor), even(height * factor)


def has_frames_to_share(recipe: TranscodeRecipe) -> bool:
    """Whether some rendition has frames as JPEG shows them."""
    return bool(usual_range(recipe))


def usual_range(recipe: TranscodeRecipe) -> tuple[PlannedRendition, ...]:
    return tuple(planned for planned in recipe.renditions if not planned.keeps_hdr)


def shown_size(coded: tuple[int, int], aspect: Fraction, rotation: int) -> tuple[int, int]:
    """The picture's size with square pixels, upright."""
    width, height = round(coded[0] * aspect / 2) * 2 if aspect != 1 else coded[0], coded[1]
    return (height, width) if rotation in (90, 270) else (width, height)


def sheet_size(sprite: PlannedSprite) -> tuple[int, int]:
    """All its tiles together, the last row full or not."""
    return sprite.columns * sprite.width, -(-sprite.count // sprite.columns) * sprite.height


def even(value: Fraction) -> int:
    """The nearest even number, at least 2: H.264 and JPEG share colour between two pixels."""
    return max(2, round(value / 2) * 2)
