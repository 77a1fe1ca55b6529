"""The transcoder plugin for `noop` tasks: it makes nothing, to measure or try out a farm."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import NoopRecipe
from protocol.results import AttemptResult, Failure, StepReport
from protocol.states import StepState, TaskKind


class NoopPlugin:
    """A recipe of 0 seconds runs no process at all; any other sleeps in one, so that it can be killed like an encode."""

    name = "noop"
    operations: tuple[str, ...] = (TaskKind.NOOP,)

    def probes(self, directory: str) -> Sequence[Invocation]:
        return ()

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        return PluginDescription(
            name=self.name,
            version="1",
            operations=self.operations,
            capabilities=tuple(f"operation:{operation}" for operation in self.operations),
        )

    def plan(self, work: Work) -> Sequence[Invocation]:
        seconds = _recipe(work).seconds
        if seconds <= 0:
            return ()
        tool = shutil.which("sleep")
        if tool is None:
            raise ReelyardError(ErrorCode.TOOL_MISSING, "This machine has no `sleep`.")
        return (Invocation(name="sleep", argv=(tool, f"{seconds:.3f}"), limits=Limits(wall_s=seconds + 60)),)

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        return ()

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        if outcome.exit_code == 0 and not outcome.timed_out:
            return None
        return Failure(
            failure_class=FailureClass.INFRA,
            code=ErrorCode.TOOL_FAILED,
            message="The wait was ended from outside.",
            evidence={"exit_code": str(outcome.exit_code)},
        )

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        return ()

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        duration = sum(outcome.wall_seconds for outcome in outcomes)
        steps = tuple(
            StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=duration) for step in work.steps
        )
        return Conclusion(facts={}, result=AttemptResult(steps=steps))


def _recipe(work: Work) -> NoopRecipe:
    if not isinstance(work.recipe, NoopRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The noop plugin was given a task of kind {work.recipe.kind}.")
    return work.recipe
