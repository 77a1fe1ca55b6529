"""The one place that reads the machine's clocks and its source of chance."""

from __future__ import annotations

import random
import secrets
import time

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


class RandomIds:
    """Sortable ids: nine characters of milliseconds since 1970, then 60 random bits, all in base 36."""

    def new(self, prefix: str, now: float) -> str:
        return f"{prefix}_{_base36(int(now * 1000), 9)}{_base36(secrets.randbits(60), 12)}"

    def secret(self) -> str:
        return secrets.token_urlsafe(32)
