"""`limit` and `offset` of the small lists, which are cut from what the service gives whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dispatch.core.paging import DEFAULT_LIMIT, MOST, number

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    limit: int
    offset: int

    def of(self, rows: Sequence[T]) -> tuple[T, ...]:
        return tuple(rows[self.offset : self.offset + self.limit])


def page_of(query: Mapping[str, str]) -> Page:
    """Raises VALIDATION_FAILED when a number is none, or out of range."""
    limit = number(query, "limit", DEFAULT_LIMIT, least=1, most=MOST)
    return Page(limit, number(query, "offset", 0, least=0, most=1_000_000_000))
