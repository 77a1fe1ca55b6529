"""The secrets deliveries are signed with, as rows keep them: `until:sealed`, the newest first. Pure.

`until` is the Unix second at which a secret ends, 0 for the one in force. The sealing itself is done by a service.
"""

from __future__ import annotations

import base64
import hashlib

OVERLAP_S = 86_400.0
MOST = 3
"""At once: one more than a rotation needs, and few enough for one header."""


def secret_of(chance: str) -> str:
    """A new secret from at least 256 random bits in text: 32 bytes, as Standard Webhooks writes them."""
    return "whsec_" + base64.b64encode(hashlib.sha256(chance.encode()).digest()).decode()


def first(sealed: str) -> tuple[str, ...]:
    return (f"0:{sealed}",)


def rotated(kept: tuple[str, ...], sealed: str, *, now: float) -> tuple[str, ...]:
    """The new one in force; those before are good for another day, or for as long as they were."""
    before = ((_until(row) or now + OVERLAP_S, row.partition(":")[2]) for row in kept if _is_valid(row, now=now))
    ending = [f"{int(until)}:{text}" for until, text in before]
    return (f"0:{sealed}", *ending[: MOST - 1])


def valid(kept: tuple[str, ...], *, now: float) -> list[str]:
    """The sealed texts that are good now, the newest first."""
    return [row.partition(":")[2] for row in kept if _is_valid(row, now=now)]


def previous_until(kept: tuple[str, ...], *, now: float) -> float | None:
    """When the last of those before the newest ends; None when there is none."""
    return max((float(_until(row)) for row in kept[1:] if _is_valid(row, now=now)), default=None)


def _until(row: str) -> int:
    return int(row.partition(":")[0])


def _is_valid(row: str, *, now: float) -> bool:
    return _until(row) == 0 or _until(row) > now
