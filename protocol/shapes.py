"""How a picture's size follows from what is done to it, for those who plan and those who build the graph. Sizes are (width,
height) in square pixels."""

from __future__ import annotations

from fractions import Fraction

from protocol.pictures import Crop
from protocol.recipes import PicturePlan

Size = tuple[int, int]


def even(value: int) -> int:
    """The even number below, or the same: colour is shared between two pixels."""
    return value - value % 2


def cropped(size: Size, crop: Crop) -> Size:
    """What is left; not above 0 where nothing is. It begins at even places."""
    width = size[0] - even(crop.left) - crop.right
    height = size[1] - even(crop.top) - crop.bottom
    return even(width), even(height)


def turned(size: Size, degrees: int) -> Size:
    return (size[1], size[0]) if degrees in (90, 270) else size


def padded(size: Size, shape: Fraction) -> Size:
    """The smallest size of that shape that holds the picture."""
    width, height = even(size[0] + 1), even(size[1] + 1)
    return max(width, _nearest(height * shape)), max(height, _nearest(width / shape))


def shaped(size: Size, plan: PicturePlan) -> Size:
    """Cropped as it is shown, then turned, then padded."""
    if plan.crop is not None:
        size = cropped(size, plan.crop)
    size = turned(size, plan.rotate)
    return size if plan.pad is None else padded(size, Fraction(plan.pad))


def fitted(size: Size, box: Size) -> Size:
    """As large as fits into the box, enlarged where it must be; even."""
    factor = min(Fraction(box[0], size[0]), Fraction(box[1], size[1]))
    return max(2, min(box[0], _nearest(size[0] * factor))), max(2, min(box[1], _nearest(size[1] * factor)))


def _nearest(value: Fraction) -> int:
    return max(2, round(value / 2) * 2)
