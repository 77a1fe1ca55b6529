"""The engines in memory, as committed: who is there, what it can do, when it was last heard. A hint; rows decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from dispatch.core.backlog import Place
from dispatch.core.paces import Speeds, speeds_of
from dispatch.core.records import Engine, Task
from dispatch.ports import Clock, Commit
from protocol.capabilities import Capabilities, SlotKind
from protocol.recipes import Pace
from protocol.states import EngineState

TAKING = frozenset({EngineState.ONLINE, EngineState.BUSY})
PRESENT = frozenset({EngineState.ONLINE, EngineState.BUSY, EngineState.DRAINING, EngineState.PAUSED})


@dataclass(slots=True)
class Seen:
    """`heard_at` moves with the engine's own words alone, never with what operators change of it."""

    engine: Engine
    provided: frozenset[str]
    heard_at: float  # monotonic
    speeds: Speeds


class EngineRegistry:
    """A CommitListener. Tells how many engines fit a task, and which have fallen silent."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._present = 0

    def load(self, engines: Iterable[Engine]) -> None:
        for engine in engines:
            self._put(engine)

    def __call__(self, commit: Commit) -> None:
        for engine in commit.engines:
            self._put(engine)
        for engine_id in commit.gone_engines:
            self._count(self._seen.pop(engine_id, None), -1)

    def _put(self, engine: Engine) -> None:
        known = self._seen.get(engine.engine_id)
        if known is not None and known.engine.capabilities_json == engine.capabilities_json:
            provided, speeds = known.provided, known.speeds
        else:
            told = Capabilities.model_validate_json(engine.capabilities_json)
            provided, speeds = told.provided, speeds_of(told.speeds)
        is_unheard = known is not None and known.engine.last_heartbeat_at == engine.last_heartbeat_at
        heard_at = known.heard_at if known is not None and is_unheard else self._clock.monotonic()
        self._count(known, -1)
        self._seen[engine.engine_id] = seen = Seen(engine, provided, heard_at, speeds)
        self._count(seen, +1)

    def _count(self, seen: Seen | None, by: int) -> None:
        """Kept, because every heartbeat asks for it."""
        if seen is not None and seen.engine.state in PRESENT:
            self._present += by

    def hear_all(self) -> None:
        """This server begins to judge who is silent: nobody has been so before now."""
        for seen in self._seen.values():
            seen.heard_at = self._clock.monotonic()

    def has(self, engine_id: str) -> bool:
        return engine_id in self._seen

    def count_known(self) -> int:
        return len(self._seen)

    def count_present(self) -> int:
        return self._present

    def encoding_slots(self) -> dict[str, int]:
        """Of each engine that is there."""
        there = (seen.engine for seen in self._seen.values() if seen.engine.state in PRESENT)
        return {engine.engine_id: int(orjson.loads(engine.slots_json)["encoding"]) for engine in there}

    def count_states(self) -> dict[EngineState, int]:
        counted = Counter(seen.engine.state for seen in self._seen.values())
        return {state: counted[state] for state in EngineState}

    def places(self) -> list[Place]:
        """The engines that take work, now or once they are less busy."""
        return [
            Place(seen.provided, frozenset(seen.engine.tags), _slots(seen.engine), seen.speeds)
            for seen in self._seen.values()
            if seen.engine.state in TAKING and seen.engine.wanted == "none"
        ]

    def count_fitting(self, task: Task) -> int:
        """Engines that are there and could run the task."""
        needs, tags = set(task.needs), set(task.tags)
        return sum(
            seen.engine.state in PRESENT and needs <= seen.provided and tags <= set(seen.engine.tags)
            for seen in self._seen.values()
        )

    def can_serve(self, task: Task) -> bool:
        """Whether one that takes work, now or once it is less busy, could run the task."""
        needs, tags = set(task.needs), set(task.tags)
        return any(
            seen.engine.state in TAKING and seen.engine.wanted == "none"
            for seen in self._seen.values()
            if needs <= seen.provided and tags <= set(seen.engine.tags)
        )

    def speed_of(self, pace: Pace) -> float | None:
        """Frames a second, the middle of what engines that take work have measured; None where none has."""
        known = sorted(seen.speeds[pace] for seen in self._seen.values() if pace in seen.speeds and seen.engine.state in TAKING)
        return known[(len(known) - 1) // 2] if known else None

    def silent(self, *, longer_than_s: float) -> list[str]:
        """Ids of present engines not heard for so long, by this process's monotonic clock."""
        limit = self._clock.monotonic() - longer_than_s
        return [key for key, seen in self._seen.items() if seen.engine.state in PRESENT and seen.heard_at < limit]


def _slots(engine: Engine) -> dict[SlotKind, int]:
    told = orjson.loads(engine.slots_json)
    return {SlotKind.CPU: told["encoding"], SlotKind.LIGHT: told["light"], SlotKind.GPU: told.get("gpu", 0)}
