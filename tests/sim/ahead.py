"""Tasks that wait at a box for a slot: at most one, and not for long while another box is idle that could do it.

Held against calm worlds, where nothing but the rules decides how long something takes; and those rules taken out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from dispatch.core.prefetched import Held
from dispatch.core.rooms import SHORT_S
from engine.core.attempts import Attempts
from engine.core.messages import SavedAttempt
from engine.core.slots import SlotKind, kind_for
from protocol.states import TaskKind
from tests.sim.box import Box
from tests.sim.corners import draw_ahead
from tests.sim.ground import NO_FAULTS, Ground
from tests.sim.mutant import Mutant
from tests.sim.plan import Plan

LOOK_S = 0.25
IDLE_S = 1.0
"""An order, a release and a grant, each with its way and its commit."""


class Waiting:
    """Looks at all boxes again and again; a world with faults is not looked at."""

    def __init__(self, ground: Ground, plan: Plan, boxes: Iterable[Box]) -> None:
        self._ground, self._boxes = ground, list(boxes)
        self._is_calm = plan.rates == NO_FAULTS and not plan.faults
        self._since: dict[str, float] = {}

    async def watch(self) -> None:
        while self._is_calm:
            await asyncio.sleep(LOOK_S)
            waiting = {box.own.name: [row for row in _processor(box) if not row.is_started] for box in self._boxes}
            for box in self._boxes:
                self._at_most_one(box, waiting[box.own.name])
                others = [row for name, rows in waiting.items() if name != box.own.name for row in rows]
                self._not_idle_for_long(box, others)

    def _at_most_one(self, box: Box, waiting: list[SavedAttempt]) -> None:
        self._ground.count["waited ahead"] += len(waiting)
        if sum(row.grant.estimate_s >= SHORT_S for row in waiting) > 1:
            raise self._ground.broken(f"{len(waiting)} tasks wait at {box.own.name}")

    def _not_idle_for_long(self, box: Box, others: list[SavedAttempt]) -> None:
        is_idle = box.disk.identity is not None and len(_processor(box)) < box.own.encoding
        if not is_idle or not any(_does(box, row) for row in others):
            self._since.pop(box.own.name, None)
        elif self._ground.time - self._since.setdefault(box.own.name, self._ground.time) > IDLE_S:
            raise self._ground.broken(f"{box.own.name} is idle while a task waits elsewhere that it could do")


def _processor(box: Box) -> list[SavedAttempt]:
    """What is not over and takes a processor slot."""
    return [row for row in box.disk.rows.values() if row.final is None and kind_for(row.grant) is SlotKind.CPU]


def _does(box: Box, row: SavedAttempt) -> bool:
    return row.grant.kind is TaskKind.NOOP or box.own.does_web


def _never(*_: Any) -> bool:
    return False


def _always(*_: Any) -> bool:
    return True


AHEAD: dict[str, Mutant] = {
    "nothing is wanted back": Mutant("what waits is taken back for the idle", Held, "may_be_asked", _never, draw_ahead),
    "engine: asks for one after the other": Mutant("one task waits at an engine", Attempts, "_takes_ahead", _always, draw_ahead),
}
