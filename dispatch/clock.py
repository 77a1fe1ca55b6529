"""The one place that reads the machine's clocks and its source of chance."""

from __future__ import annotations

import random
import secrets
import struct
import time
from functools import lru_cache

AT_ONCE = 256
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class SystemClock:
    """`now` is wall time in Unix seconds; `monotonic` counts seconds and never jumps."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class SystemChance:
    """Jitter for backoffs: uniform in [0, 1)."""

    def draw(self) -> float:
        return random.SystemRandom().random()


def _base36(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = ALPHABET[rest] + digits
    return digits.rjust(width, "0")


@lru_cache(maxsize=1)
def _millisecond(number: int) -> str:
    """The same for all ids of a batch."""
    return _base36(number, 9)


class RandomIds:
    """Sortable ids: nine characters of milliseconds since 1970, then 60 random bits, all in base 36."""

    def __init__(self) -> None:
        self._chance: list[int] = []

    def new(self, prefix: str, now: float) -> str:
        if not self._chance:  # a call of the kernel for each id would cost more than all the rest of it
            self._chance = [number >> 4 for number in struct.unpack(f"{AT_ONCE}Q", secrets.token_bytes(8 * AT_ONCE))]
        return f"{prefix}_{_millisecond(int(now * 1000))}{_base36(self._chance.pop(), 12)}"

    def secret(self) -> str:
        return secrets.token_urlsafe(32)
