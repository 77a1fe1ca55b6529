"""How long to wait: full jitter after failures, and a little spread for whatever beats regularly."""

from __future__ import annotations

FIRST, LONGEST = 0.5, 30.0
"""Seconds. A lost dispatch is found again within 30 s (trust.md, promise 3)."""


def full_jitter(failures: int, chance: float, *, first: float = FIRST, longest: float = LONGEST) -> float:
    """The pause before the next try after `failures` >= 1 in a row; `chance` lies in [0, 1).

    A random part of a doubling span: many engines that lost the same server do not come back as a herd.
    """
    return chance * float(min(longest, first * 2 ** min(failures - 1, 32)))


def spread(seconds: float, chance: float) -> float:
    """`seconds` +-20 %, so that engines started together do not beat together."""
    return seconds * (0.8 + 0.4 * chance)
