"""How several pieces become the parts of one object, where a part is copied by the storage or sent by us. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """`size` bytes of piece number `piece`, from `first`."""

    piece: int
    first: int
    size: int


@dataclass(frozen=True, slots=True)
class Copied:
    span: Span


@dataclass(frozen=True, slots=True)
class Sent:
    """Too small to be copied: read, and sent as one part."""

    spans: tuple[Span, ...]


Part = Copied | Sent


def parts_of(sizes: Sequence[int], *, smallest: int, largest: int) -> list[Part]:
    """The parts, in order, for pieces of these sizes; every part but the last holds at least `smallest`.

    As much as can be is copied. What is too small for that is sent together with the beginning of what follows.
    """
    parts: list[Part] = []
    held: list[Span] = []
    last = max((number for number, size in enumerate(sizes) if size), default=0)
    for number, size in enumerate(sizes):
        first = 0
        while first < size:
            kept = sum(span.size for span in held)
            left = size - first
            if held:
                taken = min(left, smallest - kept)
                held.append(Span(number, first, taken))
                if kept + taken == smallest:
                    parts.append(Sent(tuple(held)))
                    held = []
            elif left >= smallest or number == last:
                taken = min(left, largest)
                parts.append(Copied(Span(number, first, taken)))
            else:
                taken = left
                held.append(Span(number, first, left))
            first += taken
    if held:
        parts.append(Sent(tuple(held)))
    return parts


def part_size(number: int, *, first: int) -> int:
    """How large part `number` (from 1) of a write of unknown length is: twice as large after each thousand.

    So the 10,000 parts of S3 hold terabytes, and a small file costs little memory.
    """
    return first << min((number - 1) // 1000, 9)
