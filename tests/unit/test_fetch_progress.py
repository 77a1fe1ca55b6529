"""How far a job by URL is while its input is on the way: the step `upload_source` tells, and never falls."""

from __future__ import annotations

from engine.core.progress import Progress
from protocol.results import StepReport
from protocol.states import StepState

STEPS = ("validate_video", "upload_source")


def test_a_fetch_is_told_by_the_percent_and_the_upload_after_it_fills_the_rest() -> None:
    progress = Progress(STEPS, uploads=True)
    waiting = StepReport(name="validate_video", state=StepState.PENDING)

    def source(share: float) -> StepReport:
        return StepReport(name="upload_source", state=StepState.RUNNING, progress=share)

    assert progress.fetched(0.001) is None
    assert progress.fetched(0.5) == (waiting, source(0.45))
    assert progress.fetched(0.505) is None
    assert progress.fetched(0.2) is None, "it starts over, and what was told stands"
    assert progress.fetched(1.0) == (waiting, source(0.9))
    assert progress.uploaded(0.5) == (waiting, source(0.95))


def test_a_task_without_that_step_tells_nothing_of_its_fetch() -> None:
    assert Progress(("noop",), uploads=False).fetched(0.5) is None
