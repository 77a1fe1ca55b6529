"""How far an attempt is: what the tool told of each step, and the upload after it."""

from __future__ import annotations

from collections.abc import Iterable

from protocol.results import StepReport
from protocol.states import StepState
from protocol.steps import UPLOAD_SOURCE

TOOL_SHARE = 0.9
"""Of a step's progress; the rest is the upload of what the tool made."""


LEAST_STEP = 0.01


class Progress:
    """The steps of one attempt. Their progress never falls, and reaches 1 only with the final report."""

    def __init__(self, steps: Iterable[str], *, uploads: bool) -> None:
        self._share = TOOL_SHARE if uploads else 1.0
        self._steps = {name: StepReport(name=name, state=StepState.PENDING) for name in steps}
        self._tool = dict.fromkeys(self._steps, 0.0)

    @property
    def steps(self) -> tuple[StepReport, ...]:
        return tuple(self._steps.values())

    def told(self, reports: Iterable[StepReport]) -> tuple[StepReport, ...]:
        """Take in what a line of the tool's output told; steps the task does not serve are ignored."""
        for report in reports:
            before = self._steps.get(report.name)
            if before is None:
                continue
            self._tool[report.name] = max(self._tool[report.name], report.progress)
            progress = max(before.progress, min(0.99, self._share * self._tool[report.name]))
            state = StepState.RUNNING if report.state is StepState.COMPLETED else report.state
            self._steps[report.name] = report.model_copy(update={"progress": progress, "state": state})
        return self.steps

    def fetched(self, share: float) -> tuple[StepReport, ...] | None:
        """This share of a remote input is here; None where that is not worth telling anew."""
        before = self._steps.get(UPLOAD_SOURCE)
        if before is None or self._share * share < before.progress + LEAST_STEP:
            return None
        return self.told((StepReport(name=UPLOAD_SOURCE, state=StepState.RUNNING, progress=share),))

    def uploaded(self, fraction: float) -> tuple[StepReport, ...]:
        """This part of all bytes is staged."""
        for name, before in self._steps.items():
            if before.state is StepState.RUNNING:
                progress = max(before.progress, min(0.99, self._share * self._tool[name] + (1 - self._share) * fraction))
                self._steps[name] = before.model_copy(update={"progress": progress, "eta_seconds": None})
        return self.steps
