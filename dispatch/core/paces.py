"""How fast each engine encodes, as it told, and what that makes of it among those that wait for the same work."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from math import floor, log

import orjson

from dispatch.core.records import Task
from protocol.capabilities import EncoderSpeed
from protocol.recipes import Pace
from protocol.states import TaskKind

BAND = 1.25
"""Engines whose speeds differ by less than about this are equally fast: what else they had to do makes as much."""

Speeds = Mapping[Pace, float]


def pace_of_task(task: Task) -> Pace | None:
    """By which speeds engines are compared for this task; None where none is measured. Read without the whole recipe: it is
    done for each task that comes.
    """
    if task.kind is not TaskKind.TRANSCODE or task.recipe_json is None:
        return None
    renditions = orjson.loads(task.recipe_json).get("renditions", ())
    tallest = max(renditions, key=lambda planned: int(planned["height"]), default=None)
    return None if tallest is None else Pace(tallest["encoder"], tallest["height"])


def speeds_of(told: Iterable[EncoderSpeed]) -> Speeds:
    return {Pace(one.encoder, one.height): one.fps for one in told}


class Paces:
    """The speeds of all engines, and the middle of those at each pace."""

    def __init__(self) -> None:
        self._sorted: dict[Pace, list[float]] = {}

    def change(self, before: Speeds, after: Speeds) -> None:
        """An engine told others than before; none when it came, or left."""
        if before == after:
            return
        for pace, fps in before.items():
            known = self._sorted[pace]
            del known[bisect_left(known, fps)]
            if not known:
                del self._sorted[pace]
        for pace, fps in after.items():
            insort(self._sorted.setdefault(pace, []), fps)

    def median(self, pace: Pace) -> float | None:
        """Of the engines measured at it; None while there are none."""
        known = self._sorted.get(pace)
        return known[(len(known) - 1) // 2] if known else None

    def band(self, pace: Pace, speeds: Speeds, weight: float) -> int:
        """Engines of a higher band go first. One that was not measured counts as the middle of those that were."""
        fps = speeds.get(pace) or self.median(pace)
        return 0 if fps is None else floor(log(fps * weight, BAND))
