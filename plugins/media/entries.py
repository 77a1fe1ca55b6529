"""Single values of ffprobe's JSON, which may be of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

Entry = Mapping[str, Any]
"""One object of the JSON."""


def fraction(value: object) -> Fraction | None:
    """`30000/1001`, `64:45`, `20.04`, `-90`; None for `N/A`, `0/0` and everything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return Fraction(str(value).replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return None


def integer(value: object) -> int | None:
    found = fraction(value)
    return None if found is None or found.denominator != 1 else int(found)
