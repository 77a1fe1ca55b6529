"""How long to wait: full jitter after failures, and a little spread for whatever beats regularly."""

from __future__ import annotations

from collections.abc import Callable

from protocol.errors import ErrorCode

LEADERLESS_S = 4.0
"""Another server leads within ten seconds; ten thousand engines that ask each second would keep it from that."""

FIRST, LONGEST = 0.5, 30.0
"""Seconds. A lost dispatch is found again within 30 s (trust.md, promise 3)."""


def full_jitter(failures: int, chance: float, *, first: float = FIRST, longest: float = LONGEST) -> float:
    """The pause before the next try after `failures` >= 1 in a row; `chance` lies in [0, 1).

    A random part of a doubling span: many engines that lost the same server do not come back as a herd.
    """
    return chance * float(min(longest, first * 2 ** min(failures - 1, 32)))


def told_pause(code: ErrorCode | None, told: float | None, chance: Callable[[], float]) -> float | None:
    """What dispatch asks to wait. Where nobody leads all engines hear the same: they come back spread over some seconds."""
    return LEADERLESS_S * (0.5 + chance()) if code is ErrorCode.NOT_LEADER else told


def spread(seconds: float, chance: float) -> float:
    """`seconds` +-20 %, so that engines started together do not beat together."""
    return seconds * (0.8 + 0.4 * chance)
