"""Guards of taking over taken out: what mutants put in the place of the engine's rules about tools that outlive it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from engine.core import attempts, recovery, workload
from engine.core import messages as m
from engine.core.slots import Slot, SlotPlan
from tests.sim.corners import draw_failing, draw_outage
from tests.sim.mutant import Mutant


def _gives_up_what_was_started(saved: m.SavedAttempt, death: Any, max_starts: int) -> m.SavedAttempt:
    """As an engine without minders: what it had started died with it."""
    row = _RECOVERED(saved, death, max_starts)
    if not row.is_started or row.final is not None:
        return row
    return replace(row, final=recovery._died(row, "The engine was killed while the tool ran.", None))


def _waits_to_be_registered(self: Any, rows: Iterable[m.SavedAttempt]) -> Iterator[m.Instruction]:
    """What was started is looked for when dispatch has said that it is to be kept."""
    for instruction in _TAKE_OVER(self, rows):
        if not isinstance(instruction, m.Run):
            yield instruction
            continue
        attempt = self.attempts.get(attempts.key_of(instruction.grant))
        self._unannounced.remove(attempt)
        attempt.phase, attempt.slot = attempts.Phase.WAITING, None


def _drops_what_runs(self: Any, key: Any, reason: str) -> Iterator[m.Instruction]:
    """Forgotten at once, its tool left running."""
    attempt = self.attempts.get(key)
    if attempt is not None and attempt.phase is attempts.Phase.RUNNING:
        yield from self.forget(key, reason)
    else:
        yield from _DROP(self, key, reason)


def _blames_all(saved: m.SavedAttempt, death: Any, max_starts: int) -> m.SavedAttempt:
    """A fatal signal is evidence against whatever had been started."""
    if death is None or not saved.is_started:
        return _RECOVERED(saved, death, max_starts)
    return _RECOVERED(saved, replace(death, culprit=attempts.key_of(saved.grant)), max_starts)


def _in_any_slot(self: Any, grant: Any, name: str) -> Slot:
    """The first of its kind, whoever had it."""
    kind = _AGAIN(self, grant, name).kind
    found: Slot = next(slot for slot in self.slots if slot.kind is kind)
    return found


_RECOVERED = recovery._recovered
_TAKE_OVER, _DROP, _AGAIN = workload.Workload.take_over, workload.Workload.drop, SlotPlan.again

TAKEOVERS: dict[str, Mutant] = {
    "engine: gives up what was started": Mutant(
        "an encode outlives its engine", recovery, "_recovered", _gives_up_what_was_started
    ),
    "engine: asks before it takes over": Mutant(
        "tools are looked for at once", workload.Workload, "take_over", _waits_to_be_registered, draw_outage
    ),
    "engine: drops what runs": Mutant("a tool is stopped first", workload.Workload, "drop", _drops_what_runs),
    "engine: takes over in any slot": Mutant("a slot is kept", SlotPlan, "again", _in_any_slot, draw_outage),
    "engine: a crash blames all": Mutant("one attempt is blamed", recovery, "_recovered", _blames_all, draw_failing),
}
