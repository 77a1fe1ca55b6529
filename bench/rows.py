"""What a bench gives back: rows of a name, a value, its unit and its target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TARGET = re.compile(r"^(<=|>=) ([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure, with its target where the design sets one: `<= 1.05`, `>= 2500, aim 5000`.

    `value` is None where nothing could be measured; `note` then says why.
    """

    name: str
    value: float | None
    unit: str
    target: str = ""
    note: str = ""


def is_met(row: Row) -> bool | None:
    """Whether the figure is at least what the target asks; None without a figure or without a number to hold it against."""
    target = _TARGET.match(row.target)
    if row.value is None or target is None:
        return None
    limit = float(target[2])
    return row.value <= limit if target[1] == "<=" else row.value >= limit


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of a non-empty sample."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
