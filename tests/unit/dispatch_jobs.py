"""Jobs as graphs for the tests of the dispatch core, and what engines say of them. Data only, no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from config.profiles import load_profiles
from dispatch.core import endings, planning, settlement
from dispatch.core.lifecycle import GrantTo, grant
from dispatch.core.planning import Demands, Frame
from dispatch.core.records import NO_SOURCE, Graph, Job, Source
from dispatch.core.settlement import Bench
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Ack, Complete, Fail, Release, Report, Settlement, Start, digest_of
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.profiles import Profile
from protocol.recipes import InputLimits
from protocol.results import AttemptResult, Failure, FileRole, OutputFacts, StagedFile
from protocol.states import JobState

NOW = 1_800_000_000.0
PROFILES = {profile.name: profile for profile in load_profiles()}
WEB, NOOP = PROFILES["web"].model_copy(update={"transcription": None}), PROFILES["noop"]
"""`WEB` without its transcription is two tasks; `PROFILES` has it whole."""

SHA = "a" * 64


def make_job(profile: Profile = NOOP, **changes: Any) -> Job:  # any field of the record
    job = Job(
        job_id="job_1",
        tenant="default",
        state=JobState.PENDING,
        priority=5,
        profile_json=profile.model_dump_json(),
        source=NO_SOURCE if profile.is_noop else Source("storage", "default/raw/job_1_original.mp4", "my film.mp4", 4_000_000),
        input_json=None,
        user_metadata_json="{}",
        max_attempts=3,
        ttl_s=60.0,
        ttl_from=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(job, **changes)


def submitted(profile: Profile = NOOP, **changes: Any) -> Graph:  # any field of the job
    """The job as a submission makes it: tasks `tsk_0`, `tsk_1`, ... in their order."""
    job = make_job(profile, **changes)
    task_ids = tuple(f"tsk_{number}" for number, _ in enumerate(planning.task_kinds(profile)))
    frame = Frame(job.job_id, job.tenant, job.priority, job.created_at, task_ids)
    return endings.created(job, planning.first_tasks(frame, job.profile_json, InputLimits(), Demands((), ())))


def siblings(count: int) -> Graph:
    """A job of so many no-op tasks that may be granted independently."""
    graph = submitted()
    tasks = tuple(replace(graph.tasks[0], task_id=f"tsk_{number}", ordinal=number) for number in range(count))
    return replace(graph, tasks=tasks)


def granted(graph: Graph, token: int, *, task: str = "tsk_0", engine: str = "eng_a", now: float = NOW) -> Graph:
    return grant(graph, task, GrantTo(token, engine, "boot-0001", f"req-{token}"), now=now)


def told(
    graph: Graph, *reports: Report, now: float = NOW, fitting: int = 1, taken: frozenset[tuple[str, str]] = frozenset()
) -> tuple[Graph, list[Settlement]]:
    """The graph after these reports, and their answers. Backoffs have no jitter."""
    bench = Bench(now, 0.5, lambda _: fitting, taken)
    answers = []
    for report in reports:
        graph, answer = settlement.settle(graph, report, digest_of(report), bench)
        answers.append(answer)
    return graph, answers


def after(graph: Graph, *reports: Report, now: float = NOW, fitting: int = 1) -> Graph:
    """The graph after these reports, each of which is taken."""
    changed, answers = told(graph, *reports, now=now, fitting=fitting)
    assert [answer.error for answer in answers] == [None] * len(reports)
    return changed


def ack(token: int, task: str = "tsk_0") -> Ack:
    return Ack(task_id=task, token=token)


def start(token: int, task: str = "tsk_0") -> Start:
    return Start(task_id=task, token=token)


def release(token: int, task: str = "tsk_0", reason: str = "drained") -> Release:
    return Release(task_id=task, token=token, reason=reason)


def complete(token: int, task: str = "tsk_0", **result: Any) -> Complete:  # any field of the result
    return Complete(task_id=task, token=token, result=AttemptResult(**result))


def analyzed(token: int, facts: MediaFacts) -> Complete:
    return complete(token, analysis=facts)


def failure(kind: FailureClass, code: ErrorCode = ErrorCode.TOOL_FAILED, **fields: Any) -> Failure:  # any field of it
    return Failure(failure_class=kind, code=code, message="it went wrong", **fields)


def fail(token: int, why: Failure, task: str = "tsk_0") -> Fail:
    return Fail(task_id=task, token=token, failure=why)


def video(width: int, height: int, *, rate: str = "25", duration: str = "20", audio: bool = True) -> MediaFacts:
    picture = VideoStream(
        index=0, codec="h264", width=width, height=height, coded_width=width, coded_height=height, frame_rate=rate
    )
    sound = AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000, bitrate=128_000)
    return MediaFacts(
        container="mov",
        duration=duration,
        size_bytes=4_000_000,
        bitrate=1_600_000,
        video=picture,
        audio=(sound,) if audio else (),
        streams=2 if audio else 1,
    )


def staged(path: str, role: FileRole = FileRole.RENDITION, size: int = 1000, **facts: Any) -> StagedFile:  # any fact
    return StagedFile(path=path, size=size, sha256=SHA, facts=OutputFacts(role=role, **facts))


def ready_to_transcode(facts: MediaFacts | None = None, profile: Profile = WEB) -> Graph:
    """A web job whose `analyze` (token 1) is done: `tsk_1` may be granted."""
    return after(granted(submitted(profile), 1), ack(1), start(1), analyzed(1, facts or video(1920, 1080)))


def states(graph: Graph) -> tuple[str, ...]:
    """The job's state, then those of its tasks."""
    return (graph.job.state.value, *(task.state.value for task in graph.tasks))


def chain(graph: Graph, kind: str) -> Sequence[tuple[str | None, str | None]]:
    """The moves told in events: of the job (`job`), or of one task by its id."""
    return [(event.from_state, event.to_state) for event in graph.events if (event.task_id or "job") == kind]
