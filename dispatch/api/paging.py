"""`limit` and `offset` of the small lists, which are cut from what the service gives whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dispatch.api import problems

T = TypeVar("T")
DEFAULT_LIMIT, MOST = 50, 200


@dataclass(frozen=True, slots=True)
class Page:
    limit: int
    offset: int

    def of(self, rows: Sequence[T]) -> tuple[T, ...]:
        return tuple(rows[self.offset : self.offset + self.limit])


def page_of(query: Mapping[str, str]) -> Page:
    """Raises VALIDATION_FAILED when a number is none, or out of range."""
    limit = _number(query, "limit", default=DEFAULT_LIMIT, least=1, most=MOST)
    return Page(limit, _number(query, "offset", default=0, least=0, most=1_000_000_000))


def _number(query: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise problems.of_field(name, f"is not a whole number from {least} to {most}")
    return int(text)
