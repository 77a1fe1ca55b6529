"""How reports travel over a broker, and when the broker is left alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.attempts import Report
from engine.core.outbox import weigh

PHASES = (frozenset({"ack"}), frozenset({"start"}), frozenset({"complete", "fail", "release"}))
"""Those of one attempt in the order they were made; each phase is settled before the next one goes."""

HEAVIEST = 400_000
"""Bytes in one message, roughly: brokers take a megabyte by default."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Reports of one kind in one message. `places`: where each stood among all."""

    kind: str
    places: tuple[int, ...]
    reports: tuple[Report, ...]


def phases(reports: Sequence[Report]) -> list[list[Batch]]:
    """What goes side by side, in the order in which it goes one after the other."""
    ordered = []
    for kinds in PHASES:
        batches = [batch for kind in sorted(kinds) for batch in _batches(kind, reports)]
        if batches:
            ordered.append(batches)
    return ordered


def _batches(kind: str, reports: Sequence[Report]) -> list[Batch]:
    made: list[Batch] = []
    places: list[int] = []
    weight = 0
    for place, report in enumerate(reports):
        if report.type != kind:
            continue
        weight += weigh(report)
        if places and weight > HEAVIEST:
            made.append(_batch(kind, places, reports))
            places, weight = [], weigh(report)
        places.append(place)
    return [*made, _batch(kind, places, reports)] if places else made


def _batch(kind: str, places: Sequence[int], reports: Sequence[Report]) -> Batch:
    return Batch(kind, tuple(places), tuple(reports[place] for place in places))


FIRST_DETOUR_S, LONGEST_DETOUR_S = 2.0, 60.0


class Detour:
    """After a call over the broker came to nothing the next ones go by HTTP for a while, longer each time in a row."""

    def __init__(self) -> None:
        self._failures, self._until = 0, 0.0

    def is_over(self, now: float) -> bool:
        return now >= self._until

    def failed(self, now: float) -> None:
        self._until = now + min(LONGEST_DETOUR_S, FIRST_DETOUR_S * 2 ** min(self._failures, 10))
        self._failures += 1

    def succeeded(self) -> None:
        self._failures, self._until = 0, 0.0
