"""How many readers of events a tenant may have at once, streams and WebSockets together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from dispatch.core.callers import Caller
from protocol.errors import ErrorCode, ReelyardError

RETRY_AFTER_S = 10.0


class Seats:
    """`most` readers for each tenant. A caller without `jobs_per_hour` is not limited at all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, who: Caller) -> Iterator[None]:
        """Held while the block runs. Raises RATE_LIMITED."""
        if who.jobs_per_hour is None:
            yield
            return
        if self._taken[who.tenant] >= self._most:
            message = f"the tenant reads {self._most} streams of events at once; close some"
            raise ReelyardError(ErrorCode.RATE_LIMITED, message, retry_after=RETRY_AFTER_S)
        self._taken[who.tenant] += 1
        try:
            yield
        finally:
            self._taken[who.tenant] -= 1
            if not self._taken[who.tenant]:
                del self._taken[who.tenant]


SEATS = web.AppKey("seats", Seats)
