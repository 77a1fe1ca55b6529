"""Time, chance and names as the running system has them; everything else takes them from outside."""

from __future__ import annotations

import asyncio
import secrets
import time


class SystemClock:
    """The Clock port over the monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def new_boot_id() -> str:
    """The name of one run of the engine: sortable by start, unique by chance."""
    return f"{int(time.time()):010d}-{secrets.token_hex(8)}"


def new_request_id() -> str:
    return secrets.token_hex(8)


def wall_time() -> float:
    """Unix time, for people alone."""
    return time.time()


def new_stream_key() -> str:
    """Whoever knows it may publish: 128 bits that nobody guesses."""
    return secrets.token_hex(16)
