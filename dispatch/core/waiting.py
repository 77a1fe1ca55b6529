"""Engines that wait for work, and which of them a new task wakes. Knows nothing of connections or futures."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from dispatch.core.lanes import EngineClass, Lane, Lanes
from dispatch.core.rooms import Room
from protocol.capabilities import SlotKind

_Candidate = tuple[float, float, int, str]  # minus weighted free slots, waiting since, serial of the room, engine id


@dataclass(frozen=True, slots=True)
class Waiter:
    """`since` orders those that wait equally free; `serial` tells this room from the engine's earlier ones.

    `weight` is the engine's when it began to wait.
    """

    engine_id: str
    kind: EngineClass
    room: Room
    since: float
    serial: int
    weight: float


class WaitingEngines:
    """Waiting engines by class, most free slots (times their weight) first, then longest waiting."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._waiters: dict[str, Waiter] = {}
        self._heaps: dict[tuple[EngineClass, SlotKind], list[_Candidate]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def put(self, engine_id: str, room: Room, since: float) -> None:
        """The engine waits with this much room, in place of what it had before; with none it waits no more."""
        self.drop(engine_id)
        if max(room) <= 0:
            return
        self._serial += 1
        sight = self._lanes.sight(engine_id)
        weight = 1.0 if sight is None else sight.weight
        waiter = Waiter(engine_id, self._lanes.engine_class(engine_id), room, since, self._serial, weight)
        self._waiters[engine_id] = waiter
        for kind in SlotKind:
            if (free := room.of(kind)) > 0:
                heap = self._heaps.setdefault((waiter.kind, kind), [])
                self._compact(heap)
                heappush(heap, (-free * weight, since, self._serial, engine_id))

    def drop(self, engine_id: str) -> None:
        self._waiters.pop(engine_id, None)

    def best(self, lane: Lane, warm: str | None) -> str | None:
        """The engine for a task of this lane: `warm` worked on the same job, then most free slots, then longest waiting."""
        if warm is not None and self._could_take(warm, lane):
            return warm
        if lane.avoid:
            candidates = [self._candidate(waiter, lane) for waiter in self._waiters.values()]
            fitting = [candidate for candidate in candidates if self._could_take(candidate[3], lane)]
            return min(fitting)[3] if fitting else None
        tops = [self._top(*key) for key in list(self._heaps) if key[1] is lane.kind and key[0].mask & lane.bit]
        return min((top for top in tops if top is not None), default=(0, 0.0, 0, None))[3]

    def _could_take(self, engine_id: str, lane: Lane) -> bool:
        waiter = self._waiters.get(engine_id)
        if waiter is None or waiter.room.of(lane.kind) <= 0:
            return False
        return self._lanes.may_serve(engine_id, lane)

    def _candidate(self, waiter: Waiter, lane: Lane) -> _Candidate:
        return (-waiter.room.of(lane.kind) * waiter.weight, waiter.since, waiter.serial, waiter.engine_id)

    def _top(self, engines: EngineClass, kind: SlotKind) -> _Candidate | None:
        heap = self._heaps[(engines, kind)]
        while heap and not self._is_current(heap[0]):
            heappop(heap)
        if not heap:
            del self._heaps[(engines, kind)]
            return None
        return heap[0]

    def _compact(self, heap: list[_Candidate]) -> None:
        """Engines that come and go leave old rows behind; they are swept when they are the most of the heap."""
        if len(heap) > 64 and len(heap) > 2 * len(self._waiters):
            heap[:] = [candidate for candidate in heap if self._is_current(candidate)]
            heapify(heap)

    def _is_current(self, candidate: _Candidate) -> bool:
        waiter = self._waiters.get(candidate[3])
        return waiter is not None and waiter.serial == candidate[2]
