"""Who pays for a failure, and when the task is tried again. The numbers are design.md's, section 4."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch.core.records import Task
from protocol.errors import FailureClass

FIRST_S, FACTOR, LONGEST_S = 1.0, 5.0, 1800.0
MOST_INFRA_IN_A_ROW = 20
MOST_DEATHS, DEATHS_ON_DISTINCT_ENGINES = 3, 2

FINAL = frozenset({FailureClass.INPUT, FailureClass.POLICY})
CHARGED = frozenset({FailureClass.ENGINE, FailureClass.INTERNAL})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the task: tried again at `not_before`, or given up (None)."""

    not_before: float | None
    charged: int
    infra_failures: int


def backoff(failures: int, *, chance: float) -> float:
    """Seconds before the next try after `failures` failures: 1, 5, 25 ... 1800, with +-20 % jitter by `chance` in [0, 1)."""
    span = LONGEST_S if failures > 8 else min(LONGEST_S, FIRST_S * FACTOR ** max(0, failures - 1))
    return span * (0.8 + 0.4 * chance)


def after_death(task: Task, *, now: float, chance: float) -> Verdict:
    """The rule for an engine that died without evidence against the task: whoever kills engines must not wear it out."""
    return Verdict(now + backoff(1, chance=chance), task.charged, task.infra_failures)


def after_failure(task: Task, failure_class: FailureClass, *, max_attempts: int, now: float, chance: float) -> Verdict:
    """The rule for a failure that an engine reported."""
    if failure_class in FINAL:
        return Verdict(None, task.charged, task.infra_failures)
    if failure_class in CHARGED:
        charged = task.charged + 1
        again = now + backoff(charged, chance=chance) if charged < max_attempts else None
        return Verdict(again, charged, 0)
    infra = task.infra_failures + 1
    again = now + backoff(infra, chance=chance) if infra < MOST_INFRA_IN_A_ROW else None
    return Verdict(again, task.charged, infra)


def is_poisonous(deaths: tuple[str, ...], *, fitting_engines: int) -> bool:
    """Three deaths with evidence, or deaths on two engines where two fit."""
    distinct = len(set(deaths))
    return len(deaths) >= MOST_DEATHS or (distinct >= DEATHS_ON_DISTINCT_ENGINES and fitting_engines >= 2)
