"""Requirement signatures as bits, and for each engine the mask of those it may serve.

A lane is a signature (needs, tags, kind of slot, engines to avoid). Engines with the same capabilities and tags share
one class, so that a new lane is matched once a class and an engine's mask costs one lookup.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.core.matching import EngineSight, fits
from dispatch.core.paces import Paces
from dispatch.core.records import Task
from dispatch.core.rooms import kind_of
from protocol.capabilities import SlotKind

KEPT_LANES = 256
"""Empty lanes are kept up to here (200 live ones are expected), so that an idle farm does not match anew each time."""

Signature = tuple[tuple[str, ...], tuple[str, ...], SlotKind, tuple[str, ...]]


def signature(task: Task) -> Signature:
    return task.needs, task.tags, kind_of(task.kind, task.needs), task.avoid


class Lane:
    """`waiting` counts its tasks in the index."""

    __slots__ = ("avoid", "bit", "key", "kind", "needs", "others", "tags", "waiting")

    def __init__(self, key: Signature, bit: int) -> None:
        self.key = key
        self.bit = bit
        self.needs, self.tags = frozenset(key[0]), frozenset(key[1])
        self.kind = key[2]
        self.avoid = frozenset(key[3])
        self.waiting = 0
        self.others = (-1, False)  # the generation in which this was found out, and whether another engine fits


class EngineClass:
    """Engines that can do the same. `online` counts those that take work."""

    __slots__ = ("mask", "online", "provided", "tags")

    def __init__(self, provided: frozenset[str], tags: frozenset[str]) -> None:
        self.provided, self.tags = provided, tags
        self.mask = 0
        self.online = 0

    def match(self, lane: Lane) -> None:
        if fits(lane.needs, lane.tags, provided=self.provided, has_tags=self.tags):
            self.mask |= lane.bit
        else:
            self.mask &= ~lane.bit


class Lanes:
    """All lanes and all engines known. `paces` compares how fast these encode."""

    def __init__(self) -> None:
        self.paces = Paces()
        self._light_mask = self._gpu_mask = 0
        self._lanes: dict[Signature, Lane] = {}
        self._free_bits: list[int] = []
        self._made = 0
        self._sights: dict[str, EngineSight] = {}
        self._class_of: dict[str, EngineClass] = {}
        self._classes: dict[tuple[frozenset[str], frozenset[str]], EngineClass] = {}
        self._members: dict[EngineClass, int] = {}
        self._avoided: dict[str, set[Lane]] = {}
        self._generation = 0

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def sights(self) -> Iterable[EngineSight]:
        return self._sights.values()

    def sight(self, engine_id: str) -> EngineSight | None:
        return self._sights.get(engine_id)

    def engine_class(self, engine_id: str) -> EngineClass:
        return self._class_of[engine_id]

    @property
    def avoided_engines(self) -> list[str]:
        """Engines that some waiting task would rather not see again."""
        return list(self._avoided)

    def lane(self, task: Task) -> Lane:
        """The lane of a task's signature, made when it is new."""
        key = signature(task)
        found = self._lanes.get(key)
        return found if found is not None else self._add(key)

    def set_engine(self, sight: EngineSight) -> bool:
        """Know this engine from now on; True when what it can do or whether it takes work has changed."""
        known = self._sights.get(sight.engine_id)
        self._sights[sight.engine_id] = sight
        self.paces.change(known.speeds if known is not None else {}, sight.speeds)
        if known is not None and _is_same(known, sight):
            return False
        if known is not None:
            self._leave(known)
        self._join(sight)
        return True

    def drop_engine(self, engine_id: str) -> None:
        known = self._sights.pop(engine_id, None)
        if known is not None:
            self.paces.change(known.speeds, {})
            self._leave(known)

    def mask(self, engine_id: str) -> int:
        """The lanes this engine may be given work from."""
        mask = self._class_of[engine_id].mask
        for lane in self._avoided.get(engine_id, ()):
            if mask & lane.bit and self._has_others(lane):
                mask &= ~lane.bit
        return mask

    def masks(self, engine_id: str) -> tuple[int, int, int]:
        """The same, apart for processor, light and GPU slots."""
        mask, light, gpu = self.mask(engine_id), self._light_mask, self._gpu_mask
        return mask & ~(light | gpu), mask & light, mask & gpu

    def may_serve(self, engine_id: str, lane: Lane) -> bool:
        if not self._class_of[engine_id].mask & lane.bit:
            return False
        return engine_id not in lane.avoid or not self._has_others(lane)

    def _has_others(self, lane: Lane) -> bool:
        """Whether an engine that fits takes work and is not among those to avoid."""
        if lane.others[0] != self._generation:
            fitting = sum(kind.online for kind in self._classes.values() if kind.mask & lane.bit)
            avoided = sum(self._is_online_and_fits(engine_id, lane) for engine_id in lane.avoid)
            lane.others = (self._generation, fitting > avoided)
        return lane.others[1]

    def _is_online_and_fits(self, engine_id: str, lane: Lane) -> bool:
        sight = self._sights.get(engine_id)
        return sight is not None and sight.takes_work and bool(self._class_of[engine_id].mask & lane.bit)

    def _add(self, key: Signature) -> Lane:
        if len(self._lanes) >= KEPT_LANES:
            self._sweep()
        if self._free_bits:
            bit = self._free_bits.pop()
        else:
            bit = 1 << self._made
            self._made += 1
        lane = self._lanes[key] = Lane(key, bit)
        if lane.kind is SlotKind.LIGHT:
            self._light_mask |= bit
        elif lane.kind is SlotKind.GPU:
            self._gpu_mask |= bit
        for kind in self._classes.values():
            kind.match(lane)
        for engine_id in lane.avoid:
            self._avoided.setdefault(engine_id, set()).add(lane)
        return lane

    def _sweep(self) -> None:
        for lane in [lane for lane in self._lanes.values() if not lane.waiting]:
            del self._lanes[lane.key]
            self._light_mask &= ~lane.bit
            self._gpu_mask &= ~lane.bit
            self._free_bits.append(lane.bit)
            for engine_id in lane.avoid:
                self._avoided[engine_id].discard(lane)
                if not self._avoided[engine_id]:
                    del self._avoided[engine_id]

    def _join(self, sight: EngineSight) -> None:
        key = (sight.provided, sight.tags)
        kind = self._classes.get(key)
        if kind is None:
            kind = self._classes[key] = EngineClass(*key)
            for lane in self._lanes.values():
                kind.match(lane)
        self._members[kind] = self._members.get(kind, 0) + 1
        kind.online += sight.takes_work
        self._class_of[sight.engine_id] = kind
        self._generation += 1

    def _leave(self, sight: EngineSight) -> None:
        kind = self._class_of.pop(sight.engine_id)
        kind.online -= sight.takes_work
        self._members[kind] -= 1
        if not self._members[kind]:
            del self._members[kind]
            del self._classes[(kind.provided, kind.tags)]
        self._generation += 1


def _is_same(one: EngineSight, other: EngineSight) -> bool:
    return (one.provided, one.tags, one.takes_work, one.boot_id) == (other.provided, other.tags, other.takes_work, other.boot_id)
