"""Why a job waits: the first condition of each engine, in words, and one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dispatch.core.matching import EngineSight
from dispatch.core.records import Attempt, Task
from dispatch.core.rooms import Room
from dispatch.core.why import FITS, FarmView, why, with_last_failure
from protocol.capabilities import Slots
from protocol.errors import ErrorCode, FailureClass
from protocol.jobs import WhyEngine, WhyReply
from protocol.results import Failure
from protocol.states import AttemptState, EngineState, JobState, TaskKind, TaskState
from tests.unit.scheduler_world import NOW, make_job, make_sight, make_task

FULL = Slots(encoding=2, light=1, free_encoding=0, free_light=1).model_dump_json()


def reason(task: Task, sight: EngineSight, *others: EngineSight, rooms: dict[str, Room] | None = None) -> str:
    reply = why(make_job("a"), [task], FarmView((sight, *others), rooms or {}), now=NOW)
    return reply.engines[0].reason


@pytest.mark.parametrize(
    ("task", "engine", "expected"),
    [
        ({"needs": ("encoder:libx264", "operation:noop")}, {}, "lacks encoder:libx264"),
        ({"tags": ("site:oslo",)}, {}, "lacks tag site:oslo"),
        ({}, {"state": EngineState.DRAINING}, "is draining"),
        ({}, {"wanted": "drain"}, "is draining"),
        ({}, {"wanted": "pause"}, "is paused"),
        ({}, {"state": EngineState.OFFLINE}, "is offline"),
        ({}, {"state": EngineState.LOST}, "is lost: it fell silent"),
        ({}, {"state": EngineState.BUSY}, "is busy and takes no new work; `reelyard engine-info` tells with what"),
        ({}, {"slots_json": FULL}, "busy: all 2 encoding slots are taken"),
        ({"kind": TaskKind.ANALYZE}, {"slots_json": FULL}, "does not ask for work at this moment"),
        ({}, {}, "does not ask for work at this moment"),
    ],
)
def test_an_engine_names_its_first_condition(task: dict[str, Any], engine: dict[str, Any], expected: str) -> None:
    assert reason(make_task("a", **task), make_sight("one", **engine)) == expected


def test_an_open_poll_tells_more_than_the_last_heartbeat() -> None:
    full, free = {"eng_one": Room(0, 1)}, {"eng_one": Room(1, 0)}

    assert reason(make_task("a"), make_sight("one"), rooms=full) == "busy: all 2 encoding slots are taken"
    assert reason(make_task("a"), make_sight("one", slots_json=FULL), rooms=free) == FITS
    light = make_task("a", kind=TaskKind.ANALYZE)
    assert reason(light, make_sight("one"), rooms=free) == "busy: its one light slot is taken"


def test_a_task_for_a_gpu_waits_for_slots_there() -> None:
    task = make_task("a", needs=("encoder:h264_nvenc",))
    slots = Slots(encoding=2, light=1, gpu=2, free_encoding=2, free_light=1, free_gpu=0)
    full = make_sight("one", "encoder:h264_nvenc", slots_json=slots.model_dump_json())

    assert reason(task, full, rooms={"eng_one": Room(2, 1, 0)}) == "no free GPU slot of its 2"
    assert reason(task, full, rooms={"eng_one": Room(0, 0, 1)}) == FITS
    assert reason(task, make_sight("one", "encoder:h264_nvenc")) == "has no GPU slot"
    assert reason(task, make_sight("one")) == "lacks encoder:h264_nvenc"


def test_an_engine_that_failed_the_task_stands_back_only_behind_another_that_fits() -> None:
    task = make_task("a", avoid=("eng_one",))
    room = {"eng_one": Room(1, 0)}

    assert (
        reason(task, make_sight("one"), make_sight("two"), rooms=room) == "failed this task before; another engine is preferred"
    )
    assert reason(task, make_sight("one"), make_sight("two", state=EngineState.LOST), rooms=room) == FITS


def test_the_whole_answer_of_a_waiting_job() -> None:
    farm = FarmView((make_sight("one", slots_json=FULL), make_sight("two", wanted="drain")), {}, ahead=7)

    assert why(make_job("a"), [make_task("a")], farm, now=NOW) == WhyReply(
        job_id="job_a",
        state=JobState.PENDING,
        summary="noop waits for its turn on 1 of 2 engines. About 7 tasks of its kind go first.",
        ahead_in_queue=7,
        engines=(
            WhyEngine(engine_id="eng_one", name="one", reason="busy: all 2 encoding slots are taken"),
            WhyEngine(engine_id="eng_two", name="two", reason="is draining"),
        ),
    )


def summary(*tasks: Task, state: JobState = JobState.PENDING, farm: FarmView | None = None) -> str:
    return why(make_job("a", state), tasks, farm or FarmView((make_sight("one"),), {}), now=NOW).summary


def test_of_a_failed_job_the_reason_is_told() -> None:
    failure = Failure(code=ErrorCode.INPUT_CORRUPT, failure_class=FailureClass.INPUT, message="The index is missing.")
    failed = replace(make_job("a", JobState.FAILED), error_json=failure.model_dump_json())

    told = why(failed, [], FarmView((), {}), now=NOW)

    assert told.summary == "The job has failed; it waits for nothing. INPUT_CORRUPT: The index is missing."


def test_a_summary_names_what_matters_most() -> None:
    held = replace(make_task("a"), state=TaskState.RUNNING, engine_id="eng_one")
    waiting = replace(make_task("a"), state=TaskState.WAITING)
    unfit = make_task("a", needs=("encoder:x",))

    assert summary(make_task("a"), state=JobState.FAILED) == "The job is failed; it waits for nothing."
    assert summary(state=JobState.CANCELLED) == "The job is cancelled; it waits for nothing."
    assert summary(state=JobState.COMPLETING) == "Every task is done; the outputs are being published."
    assert summary(held, state=JobState.TRANSCODING) == "The job is being worked on: noop is running on one."
    assert summary(waiting) == "No task can be granted yet: the inputs of the next one are not made."
    assert summary(make_task("a", not_before=NOW + 5)) == "The next try of noop is not before 2027-01-15T08:00:05.000Z."
    assert summary(make_task("a"), farm=FarmView((), {})) == "No engine is registered. Start one with `reelyard engine`."
    assert summary(unfit) == "No engine can take noop now; 1 of 1: lacks encoder:x."
    held_back = FarmView((make_sight("one"),), {}, held="the storage cannot be reached")
    assert summary(make_task("a"), farm=held_back) == "No work is handed out now: the storage cannot be reached."


def test_while_the_next_try_is_put_off_the_reason_of_the_last_one_is_told() -> None:
    farm, full = FarmView((make_sight("one"),), {}), "TASK_DISK: The disk has 59 MiB free."
    first = _attempt(7, "The disk has 60 MiB free.")
    last = _attempt(8, "The disk has 59 MiB free.")
    put_off = why(make_job("a"), [make_task("a", not_before=NOW + 5)], farm, now=NOW)
    due = why(make_job("a"), [make_task("a")], farm, now=NOW)

    assert with_last_failure(put_off, [last, first]).summary == f"{put_off.summary} The last one failed with {full}"
    assert with_last_failure(put_off, [_attempt(9)]) == put_off
    assert with_last_failure(due, [last]) == due


def _attempt(token: int, message: str | None = None) -> Attempt:
    begun = Attempt(token, "tsk_a", "job_a", "eng_one", "boot", f"req-{token}", TaskKind.NOOP, AttemptState.RUNNING, NOW)
    if message is None:
        return begun
    failure = Failure(code=ErrorCode.TASK_DISK, failure_class=FailureClass.ENGINE, message=message)
    return replace(begun, state=AttemptState.FAILED, error_json=failure.model_dump_json())


def test_a_backoff_that_has_passed_is_not_told() -> None:
    reply = why(make_job("a"), [make_task("a", not_before=NOW - 1)], FarmView((make_sight("one"),), {}), now=NOW)

    assert reply.not_before is None
