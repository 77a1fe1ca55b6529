"""How often a key and a tenant may call, and how long a stranger with wrong keys is told to wait."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from dispatch.core.callers import Caller
from dispatch.ports.limits import Count, Limit, RateWindows
from protocol.errors import ErrorCode, ReelyardError

MAKES_JOBS = frozenset({"submit_job", "submit_batch", "upload_job", "submit_filesystem", "submit_s3", "submit_minio"})
"""The calls `rate_limit_per_hour` of a key counts; a batch is one call."""

HOUR_S, SECOND_S = 3600, 1
UNLIMITED = str(2**53 - 1)
"""The greatest whole number every reader of JSON holds: `RateLimit-Limit` of a key without a limit."""

Headers = dict[str, str]
NO_LIMIT: Headers = {"RateLimit-Limit": UNLIMITED, "RateLimit-Remaining": UNLIMITED, "RateLimit-Reset": "0"}


class Throttle:
    """What keys and tenants may do. A caller without `jobs_per_hour` is not limited at all."""

    def __init__(self, windows: RateWindows, *, calls_per_s: int, tenant_calls_per_s: int) -> None:
        self._windows, self._calls, self._tenant_calls = windows, calls_per_s, tenant_calls_per_s

    async def charge(self, who: Caller, operation: str) -> tuple[Headers, ReelyardError | None]:
        """Count the call: what its answer says of the limit, and why it is refused, if it is."""
        if who.jobs_per_hour is None:
            return NO_LIMIT, None
        limits = self._limits(who, who.jobs_per_hour, operation)
        counts = await self._windows.count(limits)
        if counts is None:
            return _headers(limits[0], Count(0, 0.0)), None
        for limit, count in zip(limits, counts, strict=False):
            if count.calls > limit.calls:
                return _headers(limit, count), _refusal(limit, count)
        return _headers(limits[0], counts[0]), None

    def _limits(self, who: Caller, jobs_per_hour: int, operation: str) -> tuple[Limit, ...]:
        """The key's own first: what it may not do is not counted against its tenant."""
        key = f"key:{who.key_id}"
        if operation in MAKES_JOBS:
            return (Limit(key, jobs_per_hour, HOUR_S),)
        return Limit(key, self._calls, SECOND_S), Limit(f"tenant:{who.tenant}", self._tenant_calls, SECOND_S)


def _headers(limit: Limit, count: Count) -> Headers:
    remaining = max(0, limit.calls - count.calls)
    return {
        "RateLimit-Limit": str(limit.calls),
        "RateLimit-Remaining": str(remaining),
        "RateLimit-Reset": str(max(0, ceil(count.ends_in_s))),
    }


def _refusal(limit: Limit, count: Count) -> ReelyardError:
    wait = max(1, ceil(count.ends_in_s))
    return ReelyardError(
        ErrorCode.RATE_LIMITED, f"more than {limit.calls} calls in {limit.span_s} s; wait {wait} s", retry_after=wait
    )


@dataclass(frozen=True, slots=True)
class Wrong:
    """Failed authentications of one place: how many, the last one's moment, and until when it is answered no more."""

    count: int
    at: float
    until: float


class Failures:
    """Whoever shows a wrong key too often is told to wait, longer each time. A good key from the same place still works:
    a key has 256 bits, so what is bounded here is work and noise, not the chance of a guess. Each server of a farm counts
    what it sees itself."""

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
