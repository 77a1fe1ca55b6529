"""What the real HandBrakeCLI 1.6.1 wrote, recorded once: its last words at each kind of end, and a whole run of progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.handbrake import endings, progress
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Invocation, Outcome
from protocol.results import StepReport
from protocol.states import StepState

GOLDEN = Path(__file__).parent / "handbrake"
VERDICTS: dict[str, tuple[FailureClass, ErrorCode] | None] = {
    "done": None,
    "no_film": (FailureClass.INPUT, ErrorCode.INPUT_FORMAT),
    "bad_option": (FailureClass.ENGINE, ErrorCode.TOOL_FAILED),
    "bad_encoder": (FailureClass.ENGINE, ErrorCode.TOOL_FAILED),
    "bad_preset": (FailureClass.ENGINE, ErrorCode.TOOL_FAILED),
    "no_directory": (FailureClass.ENGINE, ErrorCode.TOOL_FAILED),
    "disk_full": None,  # HandBrake calls it done; what it made is read back, and refused
}


def recorded(name: str) -> Outcome:
    record = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    invocation = Invocation(name="encode:360p", argv=("HandBrakeCLI",))
    return Outcome(invocation, record["exit_code"], b"", "\n".join(record["stderr"]), wall_seconds=1.0, cpu_seconds=1.0)


def test_every_record_has_a_verdict() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == VERDICTS.keys()


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_recorded_endings_get_their_verdict(name: str) -> None:
    failure = endings.judge(recorded(name), "transcode_360p")

    assert (None if failure is None else (failure.failure_class, failure.code)) == VERDICTS[name]


def test_some_ends_without_work_exit_0() -> None:
    assert [recorded(name).exit_code for name in ("bad_option", "bad_encoder")] == [0, 0]


def test_a_failure_names_its_step_and_quotes_no_path() -> None:
    failure = endings.judge(recorded("no_film"), "transcode_360p")

    assert failure is not None
    assert failure.step == "transcode_360p"
    assert "/dev/fd" not in failure.log_tail


def reports() -> list[StepReport]:
    now = progress.Progress()
    told: list[StepReport] = []
    for line in (GOLDEN / "progress.log").read_text(encoding="utf-8").splitlines():
        now = progress.advance(now, line)
        told.extend(progress.report(now, "transcode_360p"))
    return told


def test_a_recorded_run_grows_to_its_end() -> None:
    shares = [report.progress for report in reports()]

    assert shares == sorted(shares)
    assert (len(shares) > 5, shares[0] < 0.1, shares[-1]) == (True, True, progress.ENCODED)
    assert {report.state for report in reports()} == {StepState.RUNNING}


def test_the_time_left_is_told_once_the_speed_is_known() -> None:
    left = [report.eta_seconds for report in reports()]

    assert left[0] is None
    assert [eta for eta in left if eta]


def test_a_line_of_another_kind_and_a_broken_object_tell_nothing() -> None:
    now = progress.Progress(fraction=0.5)
    for line in ("Progress: {", '    "State": "WORKING', "}", "Version: {", "}", ""):
        now = progress.advance(now, line)

    assert (now.fraction, progress.report(now, "x")) == (0.5, ())


def test_progress_never_falls() -> None:
    now = progress.Progress(fraction=0.5)
    for line in ("Progress: {", ' "State": "WORKING",', ' "Working": {"Progress": 0.1, "Rate": 0.0, "ETASeconds": -1}', "}"):
        now = progress.advance(now, line)

    assert [report.progress for report in progress.report(now, "x")] == [0.5]
