"""The noop plugin."""

from __future__ import annotations

import shutil

from plugins.noop.plugin import NoopPlugin
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Conclusion, Outcome, Work
from protocol.recipes import NoopRecipe
from protocol.results import AttemptResult, StepReport
from protocol.states import StepState
from protocol.steps import NOOP


def work(seconds: float) -> Work:
    return Work(recipe=NoopRecipe(seconds=seconds), steps=(NOOP,), directory="/nowhere", threads=1)


def test_nothing_runs_for_no_seconds() -> None:
    plugin = NoopPlugin()
    step = StepReport(name=NOOP, state=StepState.COMPLETED, progress=1.0, duration_seconds=0.0)

    assert plugin.plan(work(0)) == ()
    assert plugin.checks(work(0), ()) == ()
    assert plugin.conclude(work(0), (), ()) == Conclusion(facts={}, result=AttemptResult(steps=(step,)))


def test_seconds_are_slept_in_a_process() -> None:
    (invocation,) = NoopPlugin().plan(work(1.5))

    assert (invocation.argv, invocation.limits.wall_s) == ((shutil.which("sleep"), "1.500"), 61.5)


def test_a_killed_sleep_is_not_the_tasks_fault() -> None:
    plugin = NoopPlugin()
    (invocation,) = plugin.plan(work(1))
    failure = plugin.judge(work(1), Outcome(invocation, -9, b"", "", wall_seconds=0.1, cpu_seconds=0.0))

    assert failure is not None
    assert (failure.failure_class, failure.code) == (FailureClass.INFRA, ErrorCode.TOOL_FAILED)
    assert plugin.judge(work(1), Outcome(invocation, 0, b"", "", wall_seconds=1.0, cpu_seconds=0.0)) is None
