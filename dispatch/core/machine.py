"""A state table held in the `transitions` library: it checks destinations and draws diagrams; it never runs callbacks.

Look-ups go through a plain dict built from the machine, because a trigger costs tens of microseconds there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transitions import Machine

from protocol.errors import ErrorCode, ReelyardError


class InvalidTransition(ReelyardError):
    """The move is not in the table. Nothing was changed."""

    def __init__(self, subject: str, state: str, trigger: str) -> None:
        message = f"{subject}: {trigger} is not possible while {state}"
        super().__init__(ErrorCode.INVALID_TRANSITION, message, details={"state": state})


@dataclass(frozen=True, slots=True)
class Row:
    trigger: str
    source: str
    target: str


class StateTable:
    """The table of one kind of record. Raises at import when a row names a state that does not exist."""

    def __init__(self, noun: str, states: Sequence[str], initial: str, rows: Sequence[Row]) -> None:
        self.noun, self.states, self.rows = noun, tuple(states), tuple(rows)
        machine = Machine(model=None, states=list(states), initial=initial, auto_transitions=False, send_event=True)
        for row in rows:
            machine.add_transition(row.trigger, str(row.source), str(row.target))
        self._targets: dict[tuple[str, str], str] = {
            (trigger, source): str(transition.dest)
            for trigger, event in machine.events.items()
            for source, found in event.transitions.items()
            for transition in found
        }
        self._pairs = frozenset((source, target) for (_, source), target in self._targets.items())

    def after(self, subject: str, state: str, trigger: str) -> str:
        """The state after `trigger`. Raises InvalidTransition."""
        target = self._targets.get((trigger, state))
        if target is None:
            raise InvalidTransition(subject, state, trigger)
        return target

    def check(self, subject: str, state: str, target: str) -> None:
        """Raise InvalidTransition unless some row leads from `state` to `target`."""
        if (state, target) not in self._pairs:
            raise InvalidTransition(subject, state, f"becoming {target}")
