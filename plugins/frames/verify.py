"""Holds a ZIP of pictures against what was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plugins.frames.choice import Choice, too_many
from plugins.media.framecrc import frames_of
from plugins.media.lengths import SHARE_SLACK, SLACK_FRAMES
from plugins.media.rejected import Rejected
from plugins.media.verdict import Row
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import MadeFile, Outcome
from protocol.recipes import FramesRecipe
from protocol.steps import EXTRACT_FRAMES

PROVE, DECODE = "prove", "decode"
EMPTY_ZIP_BYTES = 22
"""A ZIP of nothing is its last record alone."""

ZIP_ROWS: tuple[Row, ...] = (
    Row("No space left on device|Disk quota", FailureClass.INFRA, ErrorCode.TASK_DISK, "The engine's disk is full."),
    Row("MemoryError", FailureClass.ENGINE, ErrorCode.TASK_MEMORY, "The pictures need more memory than the task may use."),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What the zipper found in the ZIP it read back."""

    count: int
    is_in_order: bool
    broken: tuple[str, ...]


def too_large(recipe: FramesRecipe) -> Row:
    message = (
        f"The pictures have more than {recipe.frames.most_bytes} bytes, which one ZIP takes. Ask for fewer, or smaller ones."
    )
    return Row("", FailureClass.POLICY, ErrorCode.INPUT_LIMITS, message)


def presence(recipe: FramesRecipe, files: Sequence[MadeFile]) -> None:
    """Raises Rejected without a ZIP, and for one that holds nothing."""
    size = next((file.size for file in files if file.path == recipe.path), 0)
    if size <= EMPTY_ZIP_BYTES:
        raise Rejected(ErrorCode.INPUT_CORRUPT, "Nothing of the file decodes.", EXTRACT_FRAMES)


def verify(recipe: FramesRecipe, choice: Choice, outcomes: Mapping[str, Outcome]) -> int:
    """The number of pictures. Raises Rejected where the ZIP is not what was asked for."""
    told = _told(outcomes[PROVE])
    if told.broken or not told.is_in_order:
        raise Rejected(ErrorCode.OUTPUT_INVALID, "A picture in the ZIP is damaged or out of order.", EXTRACT_FRAMES)
    count = told.count
    if count > (most := recipe.frames.most_pictures):
        raise Rejected(ErrorCode.INPUT_LIMITS, too_many(count, most), EXTRACT_FRAMES)
    if choice.expected is not None and abs(count - choice.expected) > slack(choice):
        message = f"The film should give {choice.expected} pictures, but gives {count}: the file is damaged or incomplete."
        raise Rejected(ErrorCode.INPUT_CORRUPT, message, EXTRACT_FRAMES)
    streams = frames_of(outcomes[DECODE].stdout)
    if [streams[n].size for n in sorted(streams)] != [choice.size] * 2:
        raise Rejected(ErrorCode.OUTPUT_INVALID, "The pictures have another size than was asked for.", EXTRACT_FRAMES)
    return count


def slack(choice: Choice) -> int:
    """By how many pictures the count may be off: what lengths may be off, as pictures, and one for the rounding."""
    expected = choice.expected or 0
    seconds = max(SLACK_FRAMES / choice.rate, SHARE_SLACK * expected / (choice.rate * choice.share))
    return int(seconds * choice.rate * choice.share) + 1


def _told(outcome: Outcome) -> Told:
    try:
        match json.loads(outcome.stdout):
            case {"count": int(count), "in_order": bool(is_in_order), "broken": list(broken)}:
                return Told(count, is_in_order, tuple(str(name) for name in broken))
    except ValueError as error:
        raise Rejected(ErrorCode.OUTPUT_INVALID, "The ZIP cannot be read back.", EXTRACT_FRAMES) from error
    raise Rejected(ErrorCode.OUTPUT_INVALID, "The ZIP cannot be read back.", EXTRACT_FRAMES)
