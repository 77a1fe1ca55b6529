"""Tasks that wait at an engine for a slot, and which of them an idle engine would rather do. Knows nothing of connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dispatch.core.lanes import Signature, signature
from dispatch.core.matching import EngineSight, fits
from dispatch.core.ready_index import rank
from dispatch.core.records import Attempt, Task
from protocol.states import AttemptState, TaskState

ASKED_AGAIN_S = 10.0
"""An order to give a task back is given once; again, where it was lost, after so long and only for an engine that asks anew."""


@dataclass(slots=True)
class Held:
    """`is_there`: the engine has said that the task is on its disk. `asked_at`: when it was ordered back, monotonic."""

    task: Task
    is_there: bool = False
    asked_at: float | None = None

    def may_be_asked(self, now: float) -> bool:
        return self.is_there and (self.asked_at is None or now - self.asked_at >= ASKED_AGAIN_S)


class Prefetched:
    """Follows the commits. `chosen` are tasks that are being granted to wait; what is granted otherwise is not kept."""

    def __init__(self) -> None:
        self.chosen: set[str] = set()
        self._held: dict[str, Held] = {}
        self._by_signature: dict[Signature, dict[str, Held]] = {}
        self._arrived: list[str] = []

    def __len__(self) -> int:
        return len(self._held)

    def follow_task(self, task: Task) -> None:
        """One that is assigned waits; one that was started, has ended or is pending does not."""
        if task.state is not TaskState.ASSIGNED:
            self._drop(task.task_id)
        elif task.task_id in self.chosen:
            self.adopt(task, is_there=False)

    def adopt(self, task: Task, *, is_there: bool) -> None:
        """After a restart of ours it is not known which tasks were prefetched: whatever is not started may be asked for."""
        self._drop(task.task_id)
        held = self._held[task.task_id] = Held(task, is_there)
        self._by_signature.setdefault(signature(task), {})[task.task_id] = held

    def follow_attempt(self, attempt: Attempt) -> bool:
        """True when a task has come to where it waits, so that somebody idle may be looked for."""
        held = self._held.get(attempt.task_id)
        if held is None or attempt.state is not AttemptState.ACKED or held.task.token != attempt.token:
            return False
        held.is_there = True
        self._arrived.append(attempt.task_id)
        return True

    def arrived(self) -> list[Task]:
        """Those that have come to where they wait since the last call, and still do."""
        arrived, self._arrived = self._arrived, []
        return [self._held[task_id].task for task_id in arrived if task_id in self._held]

    def ask_for(self, sight: EngineSight, most: int, now: float) -> list[Task]:
        """At most so many that this engine could begin at once, the best first. They are noted as asked for."""
        found = sorted((h for h in self._fitting(sight) if h.may_be_asked(now)), key=lambda held: rank(held.task))[:most]
        for held in found:
            held.asked_at = now
        return [held.task for held in found]

    def ask(self, task_id: str, now: float) -> bool:
        """Note that this one is asked for; False where it was lately."""
        held = self._held.get(task_id)
        if held is None or not held.may_be_asked(now):
            return False
        held.asked_at = now
        return True

    def _fitting(self, sight: EngineSight) -> Iterator[Held]:
        for (needs, tags, _, avoid), waiting in self._by_signature.items():
            if sight.engine_id not in avoid and fits(
                frozenset(needs), frozenset(tags), provided=sight.provided, has_tags=sight.tags
            ):
                yield from (held for held in waiting.values() if held.task.engine_id != sight.engine_id)

    def _drop(self, task_id: str) -> None:
        held = self._held.pop(task_id, None)
        if held is None:
            return
        key = signature(held.task)
        del self._by_signature[key][task_id]
        if not self._by_signature[key]:
            del self._by_signature[key]
