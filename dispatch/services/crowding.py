"""What takes long or goes before everything else is done for each tenant only so many times at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import ErrorCode, ReelyardError


class AtOnce:
    """`what` names in the refusal what is bounded."""

    def __init__(self, most: int, what: str, *, retry_after_s: float) -> None:
        self._most, self._what, self._retry_after_s = most, what, retry_after_s
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def turn(self, tenant: str) -> Iterator[None]:
        """Raises RATE_LIMITED while as many of this tenant are under way as there may be."""
        if self._under_way[tenant] >= self._most:
            message = f"{self._most} {self._what} of this tenant are under way; wait for one to end"
            raise ReelyardError(ErrorCode.RATE_LIMITED, message, retry_after=self._retry_after_s)
        self._under_way[tenant] += 1
        try:
            yield
        finally:
            self._under_way[tenant] -= 1
            if not self._under_way[tenant]:
                del self._under_way[tenant]
