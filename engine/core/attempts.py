"""The attempts an engine holds, each in one phase, and what they leave free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from engine.core.sessions import SessionLimit, Sessions
from engine.core.slots import Room, Slot, SlotKind, SlotPlan, Vacancies, kind_for, room_of
from protocol.capabilities import HeldTask, Kept
from protocol.leases import Ack, Complete, Fail, Grant, Release, RunningTask, Start
from protocol.recipes import sessions_of
from protocol.results import StepReport

Report = Ack | Start | Complete | Fail | Release
Final = Complete | Fail | Release
"""A report that ends an attempt; it is on disk before it is sent."""


class Key(NamedTuple):
    """An attempt's name: the task and the fencing number of the lease."""

    task_id: str
    token: int


def key_of(named: Report | Grant | Kept) -> Key:
    return Key(named.task_id, named.token)


class Phase(Enum):
    NEW = auto()  # on its way to the disk, to wait there
    WAITING = auto()  # on disk, waits for a slot
    STARTING = auto()  # has a slot; "started" is on its way to the disk
    RUNNING = auto()
    STOPPING = auto()  # the tool is being stopped
    ENDING = auto()  # the final report is on its way to the disk
    FINISHED = auto()  # the final report is on disk and not settled


_TAKES_SLOT = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.ENDING})
_LOSABLE = frozenset({Phase.WAITING, Phase.STARTING, Phase.RUNNING})
_COMES = frozenset({Phase.NEW, Phase.WAITING})
_TOLD = frozenset({Phase.WAITING, Phase.STARTING, Phase.RUNNING, Phase.ENDING, Phase.FINISHED})


PREFETCH_S = 60.0
"""A task waits here only behind one that is estimated to take less, so that it has not long to wait."""


@dataclass(slots=True)
class Attempt:
    """`is_dropped`: nothing about it is told any more. `handed_back` is the reason of a release on its way.

    `slot` is where it runs or ran; None if it never had one. `had_scratch`: it may have left something on the scratch disk.
    `kind` is that of the slot it takes, worked out once: what is free is counted at every event.
    """

    grant: Grant
    phase: Phase
    order: int
    steps: tuple[StepReport, ...] = ()
    final: Final | None = None
    is_ack_told: bool = False
    is_acked: bool = False
    is_dropped: bool = False
    slot: Slot | None = None
    had_scratch: bool = True
    handed_back: str | None = None
    kind: SlotKind = field(init=False)

    def __post_init__(self) -> None:
        self.kind = kind_for(self.grant)

    @property
    def key(self) -> Key:
        return Key(self.grant.task_id, self.grant.token)

    @property
    def is_losable(self) -> bool:
        """Whether dispatch's silence about it in a heartbeat's answer means that its lease is gone."""
        return self.is_acked and self.phase in _LOSABLE


class Attempts:
    """All attempts of one engine, by key."""

    def __init__(self, slots: SlotPlan) -> None:
        self._slots, self._total = slots, slots.total
        self._has_gpus = slots.gpu > 0
        self.sessions = Sessions()
        self._closed: frozenset[str] = frozenset()
        self._able: Mapping[str, frozenset[str]] = {}
        self._held: dict[Key, Attempt] = {}
        self._of_task: dict[str, list[Key]] = {}
        self._next_order = 1

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(tuple(self._held.values()))

    def get(self, key: Key) -> Attempt | None:
        return self._held.get(key)

    def add(self, attempt: Attempt) -> Attempt:
        key = attempt.key
        self._held[key] = attempt
        self._of_task.setdefault(key.task_id, []).append(key)
        self._next_order = max(self._next_order, attempt.order + 1)
        return attempt

    def remove(self, key: Key) -> None:
        if self._held.pop(key, None) is not None:
            keys = self._of_task[key.task_id]
            keys.remove(key)
            if not keys:
                del self._of_task[key.task_id]

    @property
    def next_order(self) -> int:
        return self._next_order

    def of_task(self, task_id: str) -> list[Attempt]:
        return [self._held[key] for key in self._of_task.get(task_id, ())]

    def waiting(self) -> list[Attempt]:
        """Those ready for a slot, first come first."""
        return sorted((a for a in self._held.values() if a.phase is Phase.WAITING), key=lambda a: a.order)

    @property
    def devices(self) -> frozenset[str]:
        """The GPUs on which there are slots."""
        return frozenset(slot.device for slot in self._slots.slots if slot.device is not None)

    def close(self, devices: frozenset[str]) -> None:
        """The slots on these GPUs, and on no others, take no new work; what runs there goes on."""
        if devices != self._closed:
            self._closed = devices
            self._total = room_of(slot for slot in self._slots.slots if slot.device not in devices)

    def prove(self, able: Mapping[str, frozenset[str]]) -> None:
        """What encodes and decodes on each GPU."""
        self._able = able

    def vacancies(self) -> Vacancies:
        """Slots nothing runs in: a task may be started in one of these now."""
        used = (a.slot for a in self._held.values() if a.phase in _TAKES_SLOT and a.slot is not None)
        spare = self.sessions.spare(self._open_sessions()) if self._has_gpus else None
        return Vacancies(self._slots, used, self._closed, spare, self._able)

    def session_refused(self, attempt: Attempt) -> SessionLimit | None:
        """The limit that a refusal to this attempt teaches; None where it ran on no GPU."""
        device = attempt.slot.device if attempt.slot is not None else None
        if device is None:
            return None
        needed = sessions_of(attempt.grant.recipe)
        return self.sessions.refused(device, needed=needed, others=self._open_sessions()[device] - needed)

    def _open_sessions(self) -> Counter[str]:
        """By GPU, what the attempts that hold a slot there have open at the most."""
        opened: Counter[str] = Counter()
        for attempt in self._held.values():
            if attempt.phase in _TAKES_SLOT and attempt.slot is not None and attempt.slot.device is not None:
                opened[attempt.slot.device] += sessions_of(attempt.grant.recipe)
        return opened

    def free_room(self) -> Room:
        """Slots nothing runs in or waits for: what is offered to dispatch."""
        kinds = [a.kind for a in self._held.values() if self._takes_room(a)]
        total = self._total
        encoding = max(0, total.encoding - kinds.count(SlotKind.CPU))
        return Room(
            encoding=encoding,
            light=max(0, total.light - kinds.count(SlotKind.LIGHT)),
            gpu=self._free_gpu() if self._has_gpus else 0,
            ahead=encoding == 0 and self._takes_ahead(),
        )

    def _takes_ahead(self) -> bool:
        """Whether nothing waits, and what has a processor slot will be over soon."""
        held = self._held.values()
        return not any(a.phase in _COMES for a in held) and any(
            a.phase in _TAKES_SLOT and a.kind is SlotKind.CPU and a.grant.estimate_s < PREFETCH_S for a in held
        )

    def _free_gpu(self) -> int:
        """By device, since each may be closed or out of sessions by itself."""
        coming = sum(a.slot is None and self._takes_room(a) and a.kind is SlotKind.GPU for a in self._held.values())
        return max(0, self.vacancies().count(SlotKind.GPU) - coming)

    def _takes_room(self, attempt: Attempt) -> bool:
        if attempt.phase is Phase.FINISHED or not attempt.had_scratch:
            return False
        return attempt.slot is None or attempt.slot.device not in self._closed

    def as_held(self) -> tuple[HeldTask, ...]:
        """For a registration."""
        return tuple(HeldTask(task_id=key.task_id, token=key.token) for key, a in self._held.items() if _is_told(a))

    def as_running(self) -> tuple[RunningTask, ...]:
        """For a heartbeat. A finished attempt is named until it is settled, so that its lease lives on."""
        return tuple(
            RunningTask(task_id=key.task_id, token=key.token, started=a.phase is not Phase.WAITING, steps=a.steps)
            for key, a in self._held.items()
            if _is_told(a)
        )


def _is_told(attempt: Attempt) -> bool:
    return attempt.phase in _TOLD and not attempt.is_dropped and not isinstance(attempt.final, Release)
