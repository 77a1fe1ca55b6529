"""Engines that wait for work, and which of them a new task wakes. Knows nothing of connections or futures."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from dispatch.core.lanes import EngineClass, Lane, Lanes
from dispatch.core.rooms import Room
from protocol.capabilities import SlotKind

_Place = tuple[EngineClass, SlotKind, bool]  # the last: takes a task of this kind ahead of time
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
    """Waiting engines by class, most free slots (times their weight) first, then longest waiting.

    Apart from those with room: those that have none and take one task more ahead of time, longest waiting first.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._waiters: dict[str, Waiter] = {}
        self._heaps: dict[_Place, list[_Candidate]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def put(self, engine_id: str, room: Room, since: float, *, is_ahead: bool = False) -> None:
        """The engine waits with this much room, in place of what it had before; with none it waits no more.

        `is_ahead`: it has no processor slot free, and takes a task all the same, to wait there.
        """
        self.drop(engine_id)
        if max(room) <= 0 and not is_ahead:
            return
        self._serial += 1
        sight = self._lanes.sight(engine_id)
        weight = 1.0 if sight is None else sight.weight
        waiter = Waiter(engine_id, self._lanes.engine_class(engine_id), room, since, self._serial, weight)
        self._waiters[engine_id] = waiter
        for kind in SlotKind:
            if (free := room.of(kind)) > 0:
                self._push((waiter.kind, kind, False), (-free * weight, since, self._serial, engine_id))
        if is_ahead:
            self._push((waiter.kind, SlotKind.CPU, True), (0.0, since, self._serial, engine_id))

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
        return self._first(lane, is_ahead=False)

    def best_ahead(self, lane: Lane) -> str | None:
        """The engine at which a task of this lane may wait for a slot; none for a task that has failed before."""
        return self._first(lane, is_ahead=True) if not lane.avoid else None

    def reach(self, kind: SlotKind) -> int:
        """The lanes of which engines with free slots of this kind might take tasks."""
        mask = 0
        for place in list(self._heaps):
            if place[1:] == (kind, False) and self._top(place) is not None:
                mask |= place[0].mask
        return mask

    def _first(self, lane: Lane, *, is_ahead: bool) -> str | None:
        tops = [self._top(p) for p in list(self._heaps) if p[1:] == (lane.kind, is_ahead) and p[0].mask & lane.bit]
        return min((top for top in tops if top is not None), default=(0, 0.0, 0, None))[3]

    def _could_take(self, engine_id: str, lane: Lane) -> bool:
        waiter = self._waiters.get(engine_id)
        if waiter is None or waiter.room.of(lane.kind) <= 0:
            return False
        return self._lanes.may_serve(engine_id, lane)

    def _candidate(self, waiter: Waiter, lane: Lane) -> _Candidate:
        return (-waiter.room.of(lane.kind) * waiter.weight, waiter.since, waiter.serial, waiter.engine_id)

    def _push(self, place: _Place, candidate: _Candidate) -> None:
        heap = self._heaps.setdefault(place, [])
        self._compact(heap)
        heappush(heap, candidate)

    def _top(self, place: _Place) -> _Candidate | None:
        heap = self._heaps[place]
        while heap and not self._is_current(heap[0]):
            heappop(heap)
        if not heap:
            del self._heaps[place]
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
