"""Where calls are counted against limits: in memory for one server, in the database for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class Limit(NamedTuple):
    """At most `calls` in a window of `span_s` seconds, which begins with its first call. `name` says whose."""

    name: str
    calls: int
    span_s: int


class Count(NamedTuple):
    """Calls of the window so far, this one included, and the seconds until it ends."""

    calls: int
    ends_in_s: float


class RateWindows(Protocol):
    async def count(self, limits: Sequence[Limit]) -> Sequence[Count] | None:
        """Count one call against each of them in turn; those behind one that is exceeded need not be counted, nor told.

        None when nobody knows now: the call is let through.
        """
        ...

    async def close(self) -> None:
        """Once, when no call comes any more."""
        ...


class Adding(Protocol):
    """Adds calls to windows that all servers share; those that have ended begin anew. Raises DATABASE_UNAVAILABLE."""

    async def add(self, calls: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], Count]:
        """By name and span of a window: the calls to add, and the count with them."""
        ...

    async def close(self) -> None: ...
