"""Counters of calls: in the memory of one server, in bounded room; or in a table that all servers share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

import structlog

from dispatch.core.breaker import Breaker
from dispatch.ports import Clock
from dispatch.ports.limits import Adding, Count, Limit
from protocol.errors import ReelyardError

MOST_WINDOWS = 20_000
AWAY_S = 1.0
"""How long a database that did not answer is not asked again for a count."""

Name = tuple[str, int]
log = structlog.get_logger("limits")


class Window(NamedTuple):
    calls: int
    ends: float


class Ending:
    """Values that go when their moment comes; when there are too many, the one whose moment is next goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._windows: dict[Name, Window] = {}
        self._ends: list[tuple[float, Name]] = []

    def get(self, name: Name, now: float) -> Window | None:
        while self._ends and self._ends[0][0] <= now:
            self._drop_first()
        return self._windows.get(name)

    def put(self, name: Name, window: Window) -> None:
        """One that is known already keeps its end."""
        if name in self._windows:
            self._windows[name] = window
            return
        while len(self._windows) >= self._most:
            self._drop_first()
        self._windows[name] = window
        heappush(self._ends, (window.ends, name))

    def _drop_first(self) -> None:
        del self._windows[heappop(self._ends)[1]]


class MemoryWindows:
    """A RateWindows for one server, by its monotonic clock."""

    def __init__(self, clock: Clock, most: int = MOST_WINDOWS) -> None:
        self._clock, self._windows = clock, Ending(most)

    async def count(self, limits: Sequence[Limit]) -> Sequence[Count]:
        """Windows that ended go first, then the one that ends next: one of an hour stays."""
        counts: list[Count] = []
        for limit in limits:
            counts.append(self._count(limit))
            if counts[-1].calls > limit.calls:
                break
        return counts

    async def close(self) -> None:
        """Memory goes by itself."""

    def _count(self, limit: Limit) -> Count:
        now, name = self._clock.monotonic(), name_of(limit)
        known = self._windows.get(name, now)
        window = Window(known.calls + 1, known.ends) if known is not None else Window(1, now + limit.span_s)
        self._windows.put(name, window)
        return Count(window.calls, window.ends - now)


class _Batch:
    """Calls that wait for one statement. `told` is what it said, None where the database was away."""

    def __init__(self) -> None:
        self.calls: Counter[Name] = Counter()
        self.is_over = False
        self.told: Mapping[Name, Count] | None = None


class SharedWindows:
    """A RateWindows over what several servers add to: all calls that wait are counted by one statement.

    What is exceeded is known here until its window ends, and costs the database nothing more. While the database is away
    calls are let through: they find that out by themselves.
    """

    def __init__(self, windows: Adding, clock: Clock) -> None:
        self._windows, self._clock = windows, clock
        self._breaker = Breaker(failures=1, open_s=AWAY_S)
        self._turn = asyncio.Lock()
        self._batch = _Batch()
        self._exceeded = Ending(MOST_WINDOWS)

    async def count(self, limits: Sequence[Limit]) -> Sequence[Count] | None:
        if (known := self._known(limits)) is not None:
            return [known]
        batch, places = self._batch, [self._join(limit) for limit in limits]
        async with self._turn:
            if not batch.is_over:
                await self._run(batch)
        told = batch.told
        if told is None:
            return None
        return [
            self._placed(limit, batch.calls[name_of(limit)] - place, told) for limit, place in zip(limits, places, strict=True)
        ]

    async def close(self) -> None:
        await self._windows.close()

    def _known(self, limits: Sequence[Limit]) -> Count | None:
        """The first limit, where it is exceeded already. A tenant's is asked for anew: its keys have limits of their own."""
        now, first = self._clock.monotonic(), limits[0]
        window = self._exceeded.get(name_of(first), now)
        if window is None or window.calls <= first.calls:
            return None
        return Count(window.calls, window.ends - now)

    def _join(self, limit: Limit) -> int:
        """Which of the batch's calls on this window it is."""
        name = name_of(limit)
        self._batch.calls[name] += 1
        return self._batch.calls[name]

    async def _run(self, batch: _Batch) -> None:
        if self._batch is batch:
            self._batch = _Batch()
        try:
            if self._breaker.admits(self._clock.monotonic()):
                batch.told = await self._windows.add(batch.calls)
                self._breaker.succeeded()
        except ReelyardError as error:
            self._breaker.failed(self._clock.monotonic())
            log.warning("calls_not_counted", code=error.code, calls=batch.calls.total())
        batch.is_over = True

    def _placed(self, limit: Limit, behind: int, told: Mapping[Name, Count]) -> Count:
        """Of calls that came together each is told its own count: so many came behind it."""
        name = name_of(limit)
        count = Count(told[name].calls - behind, told[name].ends_in_s)
        if count.calls > limit.calls:
            self._exceeded.put(name, Window(count.calls, self._clock.monotonic() + count.ends_in_s))
        return count


def name_of(limit: Limit) -> Name:
    return limit.name, limit.span_s
