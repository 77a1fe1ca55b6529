"""What the engine itself says about an ended tool, and how progress is told."""

from __future__ import annotations

import signal

import pytest

from engine.core import failures
from engine.core.progress import Progress
from engine.core.verdicts import LAUNCH_MARK, over_limit
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.plugins import Invocation, Limit, Limits, Outcome
from protocol.results import StepReport
from protocol.states import StepState


def outcome(exit_code: int = 0, *, stderr: str = "", memory: int = 0, limit: Limit | None = None) -> Outcome:
    invocation = Invocation(name="encode", argv=("/bin/tool",), limits=Limits(memory_bytes=1000))
    return Outcome(invocation, exit_code, b"", stderr, 1.0, 1.0, limit is Limit.WALL, memory, limit)


@pytest.mark.parametrize(
    ("ended", "code", "failure_class", "is_engine_death"),
    [
        (outcome(-9, limit=Limit.WALL), ErrorCode.TASK_TIMEOUT, FailureClass.ENGINE, False),
        (outcome(0, limit=Limit.WALL), ErrorCode.TASK_TIMEOUT, FailureClass.ENGINE, False),
        (outcome(-signal.SIGXCPU, limit=Limit.CPU), ErrorCode.TASK_TIMEOUT, FailureClass.ENGINE, False),
        (outcome(-signal.SIGKILL, limit=Limit.MEMORY), ErrorCode.TASK_MEMORY, FailureClass.ENGINE, True),
        (outcome(-signal.SIGKILL, limit=Limit.PIDS), ErrorCode.TOOL_FAILED, FailureClass.ENGINE, False),
        (outcome(1, memory=950), ErrorCode.TASK_MEMORY, FailureClass.ENGINE, True),
        (outcome(-signal.SIGSEGV, memory=950), ErrorCode.TASK_MEMORY, FailureClass.ENGINE, True),
        (outcome(-signal.SIGXFSZ, limit=Limit.DISK), ErrorCode.TASK_DISK, FailureClass.ENGINE, False),
        (outcome(1, stderr="x: No space left on device"), ErrorCode.TASK_DISK, FailureClass.INFRA, False),
        (outcome(-signal.SIGKILL), ErrorCode.TOOL_FAILED, FailureClass.INFRA, False),
        (outcome(-signal.SIGTERM), ErrorCode.TOOL_FAILED, FailureClass.INFRA, False),
        (outcome(127, stderr=f"{LAUNCH_MARK}/x: gone"), ErrorCode.TOOL_MISSING, FailureClass.INFRA, False),
    ],
)
def test_limits_and_kills_are_the_engines_to_judge(
    ended: Outcome, code: ErrorCode, failure_class: FailureClass, is_engine_death: bool
) -> None:
    failure = over_limit(ended)

    assert failure is not None
    assert (failure.code, failure.failure_class, failure.is_engine_death) == (code, failure_class, is_engine_death)


@pytest.mark.parametrize("ended", [outcome(), outcome(0, memory=999), outcome(1), outcome(127), outcome(-signal.SIGSEGV)])
def test_everything_else_is_left_to_the_plugin(ended: Outcome) -> None:
    assert over_limit(ended) is None


def test_an_error_a_plugin_raises_keeps_its_code_and_gets_its_class() -> None:
    missing = failures.raised(ReelyardError(ErrorCode.TOOL_MISSING, "no ffmpeg"))
    broken = failures.raised(ReelyardError(ErrorCode.PLUGIN_FAILED, "odd"))

    assert (missing.failure_class, broken.failure_class) == (FailureClass.INFRA, FailureClass.INTERNAL)


def running(progress: float, state: StepState = StepState.RUNNING) -> StepReport:
    return StepReport(name="a", state=state, progress=progress)


def test_progress_never_falls_and_leaves_room_for_the_upload() -> None:
    progress = Progress(("a", "b"), uploads=True)

    told = [progress.told([running(value)])[0].progress for value in (0.5, 0.3, 1.0)]
    uploaded = [progress.uploaded(share)[0].progress for share in (0.0, 0.5, 1.0)]

    assert told == pytest.approx([0.45, 0.45, 0.9])
    assert uploaded == pytest.approx([0.9, 0.95, 0.99])


def test_a_step_is_not_completed_before_the_final_report() -> None:
    progress = Progress(("a",), uploads=True)

    [step] = progress.told([running(1.0, StepState.COMPLETED)])

    assert (step.state, step.progress) == (StepState.RUNNING, 0.9)


def test_steps_of_others_are_ignored() -> None:
    progress = Progress(("b",), uploads=False)

    assert progress.told([running(0.5)]) == (StepReport(name="b", state=StepState.PENDING),)
