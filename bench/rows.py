"""What a bench gives back: rows of a name, a value, its unit and its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure, with its target where the design sets one."""

    name: str
    value: float
    unit: str
    target: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of a non-empty sample."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
