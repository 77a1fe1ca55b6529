"""Engines that wait for work, and which of them a new task wakes. Knows nothing of connections or futures."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from dispatch.core.lanes import EngineClass, Lane, Lanes
from dispatch.core.paces import Speeds
from dispatch.core.rooms import Room
from protocol.capabilities import SlotKind
from protocol.recipes import Pace

MOST_PACES = 16
"""So many orders by speed are kept for each kind of slot; one more takes the place of the oldest, to be made anew in need."""

_Candidate = tuple[int, float, float, int, str]  # minus band of speed, minus weighted free slots, since, serial, engine id
_Heaps = dict[EngineClass, list[_Candidate]]


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
    speeds: Speeds


class WaitingEngines:
    """Waiting engines by class: for each pace that tasks are measured by the fastest first, then, and where nothing is
    measured, most free slots (times their weight), then longest waiting.

    Apart from those with room: those that have none and take one task more ahead of time, longest waiting first.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._waiters: dict[str, Waiter] = {}
        self._heaps: dict[SlotKind, dict[Pace | None, _Heaps]] = {kind: {None: {}} for kind in SlotKind}
        self._ahead: _Heaps = {}
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
        weight, speeds = (1.0, {}) if sight is None else (sight.weight, sight.speeds)
        waiter = Waiter(engine_id, self._lanes.engine_class(engine_id), room, since, self._serial, weight, speeds)
        self._waiters[engine_id] = waiter
        for kind in SlotKind:
            if room.of(kind) > 0:
                for pace, heaps in self._heaps[kind].items():
                    self._push(heaps, waiter.kind, self._candidate(waiter, kind, pace))
        if is_ahead:
            self._push(self._ahead, waiter.kind, (0, 0.0, since, self._serial, engine_id))

    def drop(self, engine_id: str) -> None:
        self._waiters.pop(engine_id, None)

    def best(self, lane: Lane, warm: str | None, pace: Pace | None = None) -> str | None:
        """The engine for a task of this lane: `warm` worked on the same job, then the first of all that wait. `pace` is
        what the task is measured by.
        """
        if warm is not None and self._could_take(warm, lane):
            return warm
        if lane.avoid:
            waiters = [waiter for waiter in self._waiters.values() if self._could_take(waiter.engine_id, lane)]
            return min((self._candidate(waiter, lane.kind, pace) for waiter in waiters), default=(None,))[-1]
        return self._first(self._ordered(lane.kind, pace), lane)

    def best_ahead(self, lane: Lane) -> str | None:
        """The engine at which a task of this lane may wait for a slot; none for a task that has failed before."""
        return self._first(self._ahead, lane) if lane.kind is SlotKind.CPU and not lane.avoid else None

    def reach(self, kind: SlotKind) -> int:
        """The lanes of which engines with free slots of this kind might take tasks."""
        mask, heaps = 0, self._heaps[kind][None]
        for engines in list(heaps):
            if self._top(heaps, engines) is not None:
                mask |= engines.mask
        return mask

    def _ordered(self, kind: SlotKind, pace: Pace | None) -> _Heaps:
        """The order for tasks of this pace. It is made when it is first needed, and kept up from then on; there is none where
        nobody has told a speed.
        """
        orders = self._heaps[kind]
        if pace is not None and self._lanes.paces.median(pace) is None:
            pace = None
        heaps = orders.get(pace)
        if heaps is None:
            if len(orders) > MOST_PACES:
                del orders[next(known for known in orders if known is not None)]
            heaps = orders[pace] = {}
            for waiter in self._waiters.values():
                if waiter.room.of(kind) > 0:
                    self._push(heaps, waiter.kind, self._candidate(waiter, kind, pace))
        return heaps

    def _first(self, heaps: _Heaps, lane: Lane) -> str | None:
        tops = [self._top(heaps, engines) for engines in list(heaps) if engines.mask & lane.bit]
        return min((top for top in tops if top is not None), default=(None,))[-1]

    def _could_take(self, engine_id: str, lane: Lane) -> bool:
        waiter = self._waiters.get(engine_id)
        if waiter is None or waiter.room.of(lane.kind) <= 0:
            return False
        return self._lanes.may_serve(engine_id, lane)

    def _candidate(self, waiter: Waiter, kind: SlotKind, pace: Pace | None) -> _Candidate:
        band = self._lanes.paces.band(pace, waiter.speeds, waiter.weight) if pace is not None else 0
        return (-band, -waiter.room.of(kind) * waiter.weight, waiter.since, waiter.serial, waiter.engine_id)

    def _push(self, heaps: _Heaps, engines: EngineClass, candidate: _Candidate) -> None:
        heap = heaps.setdefault(engines, [])
        self._compact(heap)
        heappush(heap, candidate)

    def _top(self, heaps: _Heaps, engines: EngineClass) -> _Candidate | None:
        heap = heaps[engines]
        while heap and not self._is_current(heap[0]):
            heappop(heap)
        if not heap:
            del heaps[engines]
            return None
        return heap[0]

    def _compact(self, heap: list[_Candidate]) -> None:
        """Engines that come and go leave old rows behind; they are swept when they are the most of the heap."""
        if len(heap) > 64 and len(heap) > 2 * len(self._waiters):
            heap[:] = [candidate for candidate in heap if self._is_current(candidate)]
            heapify(heap)

    def _is_current(self, candidate: _Candidate) -> bool:
        waiter = self._waiters.get(candidate[-1])
        return waiter is not None and waiter.serial == candidate[-2]
