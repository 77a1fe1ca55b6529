"""The states of a job, a task, an attempt, an engine and a step. The tables over them stand in `dispatch.core`."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    PENDING = "pending"
    ASSIGNED = "assigned"
    TRANSCODING = "transcoding"
    COMPLETING = "completing"
    COMPLETED = "completed"
    FAILED = "failed"
    RETRYING = "retrying"
    CANCELLED = "cancelled"


TERMINAL_JOB_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class TaskState(StrEnum):
    WAITING = "waiting"  # some input is not made yet
    PENDING = "pending"  # may be granted once `not_before` has passed
    ASSIGNED = "assigned"  # one engine holds it and has not started it
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # for good: no attempt is left
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


HELD_TASK_STATES = frozenset({TaskState.ASSIGNED, TaskState.RUNNING})


class AttemptState(StrEnum):
    GRANTED = "granted"
    ACKED = "acked"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


LIVE_ATTEMPT_STATES = frozenset({AttemptState.GRANTED, AttemptState.ACKED, AttemptState.RUNNING})


class EngineState(StrEnum):
    ONLINE = "online"
    BUSY = "busy"  # alive, refuses new work for now
    DRAINING = "draining"  # finishes what it holds, takes nothing new
    OFFLINE = "offline"  # said goodbye
    LOST = "lost"  # fell silent
    AWAITING_APPROVAL = "awaiting_approval"
    PAUSED = "paused"


class StepState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class JobStatus(StrEnum):
    """What a client sees; `dispatch.core.views` maps job states to it."""

    PENDING = "pending"
    VALIDATING = "validating"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskKind(StrEnum):
    ANALYZE = "analyze"
    MEASURE = "measure"  # loudness, black bars, content, CRFs that reach a target: what encodes are planned by
    TRANSCODE = "transcode"
    HANDBRAKE = "handbrake"  # renditions by HandBrake instead of FFmpeg
    TRANSCRIBE = "transcribe"  # speech to text, from the sound that `transcode` staged
    FRAMES = "frames"  # single pictures as a ZIP
    PACKAGE = "package"  # CMAF segments, HLS and DASH of finished renditions
    LIVE = "live"  # a stream received, encoded and published while it runs
    NOOP = "noop"


LIGHT_TASK_KINDS = frozenset({TaskKind.ANALYZE, TaskKind.PACKAGE})
"""Tasks that need no encoding slot."""
