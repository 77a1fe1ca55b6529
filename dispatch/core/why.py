"""Why a job waits: for each engine the first condition that keeps its next task from it, and one sentence for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatch.core.matching import EngineSight, first_lack
from dispatch.core.records import Attempt, Job, Task
from dispatch.core.rooms import Room, kind_of
from dispatch.core.times import rfc3339
from dispatch.core.views import error_view
from protocol.capabilities import SlotKind, Slots
from protocol.jobs import WhyEngine, WhyReply
from protocol.states import HELD_TASK_STATES, TERMINAL_JOB_STATES, EngineState, JobState, TaskState

FITS = "fits and has room; the task waits for its turn"
_STATE_REASONS: dict[EngineState, str | None] = {
    EngineState.ONLINE: None,
    EngineState.BUSY: "is busy and takes no new work; `reelyard engine-info` tells with what",
    EngineState.DRAINING: "is draining",
    EngineState.OFFLINE: "is offline",
    EngineState.LOST: "is lost: it fell silent",
    EngineState.AWAITING_APPROVAL: "awaits approval",
    EngineState.PAUSED: "is paused",
}
_WANTED_REASONS: dict[str, str | None] = {
    "none": None,
    "drain": "is draining",
    "pause": "is paused",
    "approve": "awaits approval",
}


@dataclass(frozen=True, slots=True)
class FarmView:
    """What the scheduler sees now. `rooms` are the open asks; `ahead` is approximate; `held` tells why grants stand still.

    `cap` is how many tasks of the job's tenant are held when no more may be, else None.
    """

    engines: tuple[EngineSight, ...]
    rooms: Mapping[str, Room]
    ahead: int | None = None
    held: str | None = None
    cap: int | None = None


def next_task(tasks: Sequence[Task]) -> Task | None:
    """The pending task of a job that can be granted first."""
    pending = [task for task in tasks if task.state is TaskState.PENDING]
    return min(pending, key=lambda task: (task.not_before, task.ordinal, task.task_id), default=None)


def why(job: Job, tasks: Sequence[Task], farm: FarmView, *, now: float) -> WhyReply:
    """Pure: the same rows and the same farm give the same answer."""
    task = next_task(tasks)
    if task is None or job.state in TERMINAL_JOB_STATES:
        return WhyReply(job_id=job.job_id, state=job.state, summary=_not_waiting(job, tasks, farm))
    reasons = {sight.engine_id: _reason(task, sight, farm) for sight in farm.engines}
    waits_until = task.not_before if task.not_before > now else None
    return WhyReply(
        job_id=job.job_id,
        state=job.state,
        summary=_summary(task, reasons, farm, waits_until),
        ahead_in_queue=farm.ahead,
        not_before=rfc3339(waits_until) if waits_until is not None else None,
        engines=tuple(
            WhyEngine(engine_id=sight.engine_id, name=sight.name, reason=reasons[sight.engine_id]) for sight in farm.engines
        ),
    )


def with_last_failure(reply: WhyReply, attempts: Sequence[Attempt]) -> WhyReply:
    """While the next try is put off: why the one before came to nothing."""
    ended = [(attempt.token, attempt.error_json) for attempt in attempts if attempt.error_json is not None]
    if reply.not_before is None or not ended:
        return reply
    error = error_view(max(ended)[1])
    return reply.model_copy(update={"summary": f"{reply.summary} The last one failed with {error.code}: {error.message}"})


def _not_waiting(job: Job, tasks: Sequence[Task], farm: FarmView) -> str:
    if job.state is JobState.FAILED and job.error_json is not None:
        error = error_view(job.error_json)
        return f"The job has failed; it waits for nothing. {error.code}: {error.message}"
    if job.state in TERMINAL_JOB_STATES:
        return f"The job is {job.state}; it waits for nothing."
    if job.state is JobState.COMPLETING:
        return "Every task is done; the outputs are being published."
    names = {sight.engine_id: sight.name for sight in farm.engines}
    held = [task for task in tasks if task.state in HELD_TASK_STATES]
    if not held:
        return "No task can be granted yet: the inputs of the next one are not made."
    parts = [f"{task.kind} is {task.state} on {names.get(task.engine_id or '', task.engine_id)}" for task in held]
    return f"The job is being worked on: {', '.join(parts)}."


def _reason(task: Task, sight: EngineSight, farm: FarmView) -> str:
    lack = _condition(task, sight)
    if lack is not None:
        return lack
    if sight.engine_id in task.avoid and any(
        other.engine_id not in task.avoid and _condition(task, other) is None for other in farm.engines
    ):
        return "failed this task before; another engine is preferred"
    if farm.cap is not None:
        return "fits; the tenant runs all the tasks it may at once"
    return _room_reason(task, sight, farm)


def _condition(task: Task, sight: EngineSight) -> str | None:
    """What keeps every task like this one from the engine, whatever its load."""
    return (
        first_lack(sight, task.needs, task.tags)
        or _STATE_REASONS[sight.state]
        or _WANTED_REASONS.get(sight.wanted, f"is to {sight.wanted}")
    )


def _room_reason(task: Task, sight: EngineSight, farm: FarmView) -> str:
    kind, slots = kind_of(task.kind, task.needs), Slots.model_validate_json(sight.slots_json)
    word, total, told_free = _slots_of(kind, slots)
    room = farm.rooms.get(sight.engine_id)
    if room is None and told_free > 0:
        return "does not ask for work at this moment"
    if room is not None and room.of(kind) > 0:
        return FITS
    if kind is SlotKind.GPU:
        return f"no free GPU slot of its {total}" if total else "has no GPU slot"
    return f"busy: all {total} {word} slots are taken" if total != 1 else f"busy: its one {word} slot is taken"


def _slots_of(kind: SlotKind, slots: Slots) -> tuple[str, int, int]:
    """The word for such slots, how many there are, and how many are free as the engine told last."""
    if kind is SlotKind.LIGHT:
        return "light", slots.light, slots.free_light
    if kind is SlotKind.GPU:
        return "GPU", slots.gpu, slots.free_gpu
    return "encoding", slots.encoding, slots.free_encoding


def _summary(task: Task, reasons: Mapping[str, str], farm: FarmView, waits_until: float | None) -> str:
    if waits_until is not None:
        return f"The next try of {task.kind} is not before {rfc3339(waits_until)}."
    if farm.held is not None:
        return f"No work is handed out now: {farm.held}."
    if not farm.engines:
        return "No engine is registered. Start one with `reelyard engine`."
    fitting = sum(_condition(task, sight) is None for sight in farm.engines)
    if not fitting:
        reason, engines = Counter(reasons.values()).most_common(1)[0]
        return f"No engine can take {task.kind} now; {engines} of {len(farm.engines)}: {reason}."
    if farm.cap is not None:
        return f"{task.kind} waits for another task of its tenant to end: {_running(farm.cap)}, and no more may."
    queue = f" About {farm.ahead} tasks of its kind go first." if farm.ahead else ""
    return f"{task.kind} waits for its turn on {fitting} of {len(farm.engines)} engines.{queue}"


def _running(count: int) -> str:
    return "1 runs" if count == 1 else f"{count} run"
