"""How often a key, a tenant and a stranger may call. Kept in memory, by the monotonic clock, in bounded room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from math import ceil
from typing import NamedTuple

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from dispatch.core.callers import Caller
from protocol.errors import ErrorCode, ReelyardError

MAKES_JOBS = frozenset({"submit_job", "submit_batch", "upload_job", "submit_filesystem", "submit_s3", "submit_minio"})
"""The calls `rate_limit_per_hour` of a key counts; a batch is one call."""

MOST_WINDOWS = 20_000
UNLIMITED = str(2**53 - 1)
"""The greatest whole number every reader of JSON holds: `RateLimit-Limit` of a key without a limit."""

Headers = dict[str, str]
NO_LIMIT: Headers = {"RateLimit-Limit": UNLIMITED, "RateLimit-Remaining": UNLIMITED, "RateLimit-Reset": "0"}


class Window(NamedTuple):
    calls: int
    ends: float


class Windows(Storage):
    """Counters of the `limits` library. Its own storage in memory reads the wall clock, sweeps in a thread of its own
    and grows without bound; here what has ended goes, then what ends next, and a window begins with its first call."""

    STORAGE_SCHEME = ["windows"]

    def __init__(self, monotonic: Callable[[], float], most: int = MOST_WINDOWS) -> None:
        super().__init__()
        self._monotonic, self._most = monotonic, most
        self._windows: dict[str, Window] = {}
        self._ends: list[tuple[float, str]] = []

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = self._monotonic()
        self._drop_ended(now)
        window = self._windows.get(key)
        if window is not None:
            self._windows[key] = counted = Window(window.calls + amount, window.ends)
            return counted.calls
        while len(self._windows) >= self._most:
            self._drop_first()
        self._windows[key] = Window(amount, now + expiry)
        heappush(self._ends, (now + expiry, key))
        return amount

    def _drop_ended(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            self._drop_first()

    def _drop_first(self) -> None:
        """The window that ends next; one that was cleared, or begun anew since, is not the one that stands here."""
        ends, key = heappop(self._ends)
        window = self._windows.get(key)
        if window is not None and window.ends == ends:
            del self._windows[key]

    def get(self, key: str) -> int:
        window = self._windows.get(key)
        return window.calls if window is not None and window.ends > self._monotonic() else 0

    def get_expiry(self, key: str) -> float:
        window = self._windows.get(key)
        return window.ends if window is not None else self._monotonic()

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._windows)
        self._windows.clear()
        self._ends.clear()
        return count

    def clear(self, key: str) -> None:
        self._windows.pop(key, None)


@lru_cache(maxsize=1024)
def _per_hour(amount: int) -> RateLimitItem:
    return RateLimitItemPerHour(amount)


class Throttle:
    """What keys and tenants may do. A caller without `jobs_per_hour` is not limited at all."""

    def __init__(self, *, calls_per_s: int, tenant_calls_per_s: int, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._limiter = FixedWindowRateLimiter(Windows(monotonic))
        self._key = RateLimitItemPerSecond(calls_per_s)
        self._tenant = RateLimitItemPerSecond(tenant_calls_per_s)

    def charge(self, who: Caller, operation: str) -> tuple[Headers, ReelyardError | None]:
        """Count the call: what its answer says of the limit, and why it is refused, if it is."""
        if who.jobs_per_hour is None:
            return NO_LIMIT, None
        if operation in MAKES_JOBS:
            return self._count(_per_hour(who.jobs_per_hour), f"key:{who.key_id}")
        headers, refusal = self._count(self._key, f"key:{who.key_id}")
        if refusal is not None:
            return headers, refusal
        tenant = f"tenant:{who.tenant}"
        return (headers, None) if self._limiter.hit(self._tenant, tenant) else self._told(self._tenant, tenant, is_within=False)

    def _count(self, item: RateLimitItem, name: str) -> tuple[Headers, ReelyardError | None]:
        return self._told(item, name, is_within=self._limiter.hit(item, name))

    def _told(self, item: RateLimitItem, name: str, *, is_within: bool) -> tuple[Headers, ReelyardError | None]:
        ends, remaining = self._limiter.get_window_stats(item, name)
        wait = max(0, ceil(ends - self._monotonic()))
        headers = {"RateLimit-Limit": str(item.amount), "RateLimit-Remaining": str(remaining), "RateLimit-Reset": str(wait)}
        if is_within:
            return headers, None
        message = f"more than {item.amount} calls in {item.get_expiry()} s; wait {max(1, wait)} s"
        return headers, ReelyardError(ErrorCode.RATE_LIMITED, message, retry_after=max(1, wait))


@dataclass(frozen=True, slots=True)
class Wrong:
    """Failed authentications of one place: how many, the last one's moment, and until when it is answered no more."""

    count: int
    at: float
    until: float


class Failures:
    """Whoever shows a wrong key too often is told to wait, longer each time. A good key from the same place still works:
    a key has 256 bits, so what is bounded here is work and noise, not the chance of a guess."""

    FIRST_WAIT_S, LONGEST_WAIT_S, FORGOTTEN_AFTER_S = 1.0, 300.0, 900.0
    MOST_PLACES = 10_000

    def __init__(self, *, free: int, monotonic: Callable[[], float]) -> None:
        self._free, self._monotonic = free, monotonic
        self._places: OrderedDict[str, Wrong] = OrderedDict()

    def note(self, place: str) -> ReelyardError | None:
        """Count one failure; RATE_LIMITED when this place has to wait."""
        now = self._monotonic()
        known = self._places.pop(place, None)
        if known is None or now - known.at > self.FORGOTTEN_AFTER_S:
            known = Wrong(0, now, 0.0)
        if known.until > now:
            self._places[place] = known
            wait = known.until - now
            return ReelyardError(
                ErrorCode.RATE_LIMITED, "too many calls with a wrong key from this address", retry_after=ceil(wait)
            )
        count = known.count + 1
        until = now + self._wait(count) if count >= self._free else 0.0
        self._places[place] = Wrong(count, now, until)
        while len(self._places) > self.MOST_PLACES:
            self._places.popitem(last=False)
        return None

    def _wait(self, count: int) -> float:
        return min(self.FIRST_WAIT_S * 2.0 ** min(count - self._free, 20), self.LONGEST_WAIT_S)
