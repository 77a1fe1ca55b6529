"""What a hostile file is: a name, how it is made, and what must become of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.errors import ErrorCode
from tests.hostile.ground import Ground

VALID = "valid"
"""The file makes a job whose outputs passed every check."""

FORMAT, CORRUPT, LIMITS = ErrorCode.INPUT_FORMAT.value, ErrorCode.INPUT_CORRUPT.value, ErrorCode.INPUT_LIMITS.value
SMALL, SHORT, LONG = ErrorCode.INPUT_TOO_SMALL.value, ErrorCode.INPUT_TOO_SHORT.value, ErrorCode.INPUT_TOO_LONG.value
NO_VIDEO = ErrorCode.INPUT_NO_VIDEO.value
REFUSED = frozenset({FORMAT, CORRUPT, LIMITS, SMALL, SHORT, LONG, NO_VIDEO})
"""Any refusal that blames the file; for damage by chance, where what it hits is not known."""

Make = Callable[[Ground], bytes]


@dataclass(frozen=True, slots=True)
class Case:
    """`expects` are the codes that are right, VALID among them where the file may as well be taken.

    `sound` is tried with a profile that makes sound alone; `filename` is what the client calls it. `neighbours`: a naive
    command line sees the file beside other people's, as on a disk that all jobs share.
    """

    kind: str
    name: str
    how: str
    make: Make
    expects: frozenset[str]
    filename: str = "clip.mp4"
    sound: bool = False


def rows(kind: str, *found: tuple[str, str, Make, str] | tuple[str, str, Make, str, str]) -> tuple[Case, ...]:
    """Cases of one kind: name, how it is made, the maker, the right codes with blanks between, and perhaps a file name."""
    made = []
    for row in found:
        name, how, make, codes = row[:4]
        filename = row[4] if len(row) == 5 else "clip.mp4"
        made.append(Case(kind, name, how, make, frozenset(codes.split()), filename))
    return tuple(made)


def sounds(kind: str, *found: tuple[str, str, Make, str]) -> tuple[Case, ...]:
    """The same, for files that are tried with a profile of sound alone."""
    return tuple(Case(kind, name, how, make, frozenset(codes.split()), sound=True) for name, how, make, codes in found)


def fixed(content: bytes) -> Make:
    """A file that is the same everywhere."""
    return lambda _: content


def lazily(make: Callable[[], bytes]) -> Make:
    """A file that needs no ground."""
    return lambda _: make()
