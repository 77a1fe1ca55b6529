"""One byte range of a file, and whether it still means that file. Pure text to values (RFC 9110, 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from protocol.errors import ErrorCode, ReelyardError

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes from `start` of a file of `size` bytes."""

    start: int
    length: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"


def wanted_span(header: str | None, size: int) -> Span | None:
    """The range asked for; None means the whole file.

    A header that is malformed or names several ranges is passed over, as the standard allows. Raises
    RANGE_NOT_SATISFIABLE for a range that holds no byte of the file.
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return _suffix(int(last), size)
    start, end = int(first), int(last) if last else size - 1
    if last and end < start:
        return None
    if start >= size:
        raise _unsatisfiable(size)
    return Span(start, min(end, size - 1) - start + 1, size)


def _suffix(count: int, size: int) -> Span:
    length = min(count, size)
    if not length:
        raise _unsatisfiable(size)
    return Span(size - length, length, size)


def _unsatisfiable(size: int) -> ReelyardError:
    return ReelyardError(ErrorCode.RANGE_NOT_SATISFIABLE, details={"size": size})


def is_range_current(if_range: str | None, *, tag: str, modified: str) -> bool:
    """Whether a Range still means this file: no If-Range, or one that names exactly its tag or its date."""
    return if_range is None or if_range.strip() in (tag, modified)
