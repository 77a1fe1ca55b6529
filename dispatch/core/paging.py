"""Pages of lists: which part is asked for, and cursors, which are opaque to clients and hold the place of the last row seen.

A page after a cursor is found by its place alone, so rows that come in meanwhile neither repeat nor hide another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from protocol.errors import ErrorCode, ReelyardError

DEFAULT_LIMIT, MOST, FURTHEST = 50, 200, 1_000_000_000
PAGE_PARAMETERS = ("limit", "offset", "cursor")
LARGEST = 2**63

T = TypeVar("T")
Place = tuple[str | float | int, ...]
"""The values of the columns a list is sorted by, the last of which no two rows share."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A list and its order. `name` stands in its cursors, so that those of another are refused; `kinds` are of its places."""

    name: str
    kinds: tuple[type[str] | type[float] | type[int], ...] = (str,)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a list: what follows the place `after`, or what follows the first `offset` rows."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0
    after: Place | None = None


FIRST = Wanted()


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """A part of a list; `total` counts all of it. `last` is the place of its last row when more follow."""

    rows: tuple[T, ...]
    total: int
    last: Place | None = None


def wanted_of(query: Mapping[str, str], listing: Listing) -> Wanted:
    """Raises VALIDATION_FAILED, naming the parameter."""
    if "cursor" in query and "offset" in query:
        raise refuse("offset", "go on by cursor or by offset, not by both")
    return Wanted(
        limit=number(query, "limit", DEFAULT_LIMIT, least=1, most=MOST),
        offset=number(query, "offset", 0, least=0, most=FURTHEST),
        after=_place(query["cursor"], listing) if "cursor" in query else None,
    )


def page_fields(found: Slice[T], wanted: Wanted, listing: Listing) -> dict[str, Any]:
    """The fields of `protocol.base.Page` but for the address of the next one."""
    return {
        "total_count": found.total,
        "total": found.total,
        "limit": wanted.limit,
        "offset": wanted.offset,
        "next_cursor": None if found.last is None else cursor_of(listing, found.last),
    }


def cut(rows: Sequence[T], wanted: Wanted, place: Callable[[T], Place]) -> Slice[T]:
    """The page of a list held in memory, its rows in the order of their places."""
    after = wanted.after
    following = rows if after is None else [row for row in rows if place(row) > after]
    page = tuple(following[wanted.offset : wanted.offset + wanted.limit])
    has_more = len(following) > wanted.offset + wanted.limit
    return Slice(page, len(rows), place(page[-1]) if has_more else None)


def cursor_of(listing: Listing, place: Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([listing.name, *place])).decode().rstrip("=")


def _place(text: str, listing: Listing) -> Place:
    try:
        told = orjson.loads(base64.urlsafe_b64decode((text + "=" * (-len(text) % 4)).encode()))
    except (ValueError, binascii.Error):
        told = None
    if not isinstance(told, list) or told[:1] != [listing.name] or not _fits(told[1:], listing):
        raise refuse("cursor", "is not a cursor of this list and its order; leave it out to start over")
    return tuple(told[1:])


def _fits(values: Sequence[object], listing: Listing) -> bool:
    """A number too large for a column would be refused by the database alone."""
    if len(values) != len(listing.kinds):
        return False
    for value, kind in zip(values, listing.kinds, strict=True):
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value < LARGEST
        is_right = {str: isinstance(value, str), float: is_number, int: is_number and isinstance(value, int)}[kind]
        if not is_right:
            return False
    return True


def refuse(name: str, problem: str) -> ReelyardError:
    details: dict[str, object] = {"problems": [{"field": name, "problem": problem}]}
    return ReelyardError(ErrorCode.VALIDATION_FAILED, f"{name}: {problem}", details=details)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Whether it is asked for; not when it is left out."""
    told = {"true": True, "1": True, "false": False, "0": False}.get(query.get(name, "false"))
    if told is None:
        raise refuse(name, "must be true or false")
    return told


def number(query: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not least <= int(text) <= most:
        raise refuse(name, f"must be a whole number from {least} to {most}")
    return int(text)
