"""Live streams as jobs see them: what is planned, where it is shown, how it is stopped. Pure.

A stream is one task without `analyze` before it. What the engine tells of it stands with the step that streams, so it goes
as the attempt does: a new attempt begins with nothing told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dispatch.core import endings
from dispatch.core.copying import replace
from dispatch.core.machine import InvalidTransition
from dispatch.core.planning import load_steps
from dispatch.core.records import Attempt, Graph, Source, Task
from dispatch.core.times import maybe
from protocol.live import LiveState, LiveTold, LiveView
from protocol.operations import API
from protocol.states import HELD_TASK_STATES, TaskKind, TaskState

LIVE = "live"
"""The kind of a source that nobody has yet; the directory of what is shown of streams."""

STREAMING = Source(LIVE, "", LIVE, 0)
MASTER, PLAYLIST_ENDING = "master.m3u8", ".m3u8"
GIVEN_UP_S = 60.0
"""After so long without an end a stream that was asked to stop is cancelled by the next call: its engine is not well."""

_SHOWN = re.compile(r"live/(job_[0-9a-z]{1,40})/(\d{1,18})/((?:[A-Za-z0-9_\-]{1,60}/)?[A-Za-z0-9_\-]{1,60}\.(?:m3u8|ts))")
_SEQUENCE = re.compile(rb"^#EXT-X-MEDIA-SEQUENCE:(\d{1,15})\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shown:
    """A file of a stream: of which attempt, and its path below what that attempt shows."""

    job_id: str
    token: int
    path: str

    @property
    def is_playlist(self) -> bool:
        return self.path.endswith(PLAYLIST_ENDING)


def prefix_of(job_id: str, token: int) -> str:
    return f"{LIVE}/{job_id}/{token}"


def shown(path: str) -> Shown | None:
    """None for a path no stream has."""
    found = _SHOWN.fullmatch(path)
    return None if found is None else Shown(found[1], int(found[2]), found[3])


def first_named(playlist: bytes) -> int | None:
    """The number of the first segment a sliding playlist names."""
    found = _SEQUENCE.search(playlist)
    return None if found is None else int(found[1])


def task_of(graph: Graph) -> Task | None:
    return next((task for task in graph.tasks if task.kind is TaskKind.LIVE), None)


def is_shown_by(graph: Graph, attempt: Attempt) -> bool:
    """The fence for what an attempt shows: it runs, and its task is its own."""
    task = task_of(graph)
    return task is not None and (task.token, task.task_id) == (attempt.token, attempt.task_id) and task.state is TaskState.RUNNING


def told(graph: Graph) -> LiveTold | None:
    """What the engine said last; None where nobody streams."""
    task = task_of(graph)
    if task is None or task.state is not TaskState.RUNNING:
        return None
    return next((step.live for step in load_steps(task.steps_json) if step.live is not None), None)


def view(graph: Graph) -> LiveView | None:
    said = told(graph)
    if said is None:
        return None
    playback = f"{API}/jobs/{graph.job.job_id}/live" if live_master(graph) is not None else None
    return LiveView(**dict(said), playback=playback, stop_asked_at=maybe(graph.job.stop_asked_at))


def live_master(graph: Graph) -> str | None:
    """Where the master playlist of a stream that can be watched lies in the storage; None while there is none."""
    said, task = told(graph), task_of(graph)
    if said is None or task is None or said.state not in (LiveState.STREAMING, LiveState.ENDED):
        return None
    return f"{prefix_of(graph.job.job_id, task.token)}/{MASTER}"


def stop(graph: Graph, *, now: float) -> Graph:
    """What has come in becomes the recording; a job that nobody streams to is cancelled, for there is none.

    Raises InvalidTransition where it is too late, or the job is no stream.
    """
    task = task_of(graph)
    if task is None:
        raise InvalidTransition(f"job {graph.job.job_id}", graph.job.state, "stop")
    said = told(graph)
    if said is None or said.state is LiveState.WAITING or _is_given_up(graph, now=now):
        return endings.cancel(graph, now=now)
    if graph.job.stop_asked_at is not None:
        return graph
    return replace(graph, job=replace(graph.job, stop_asked_at=now, updated_at=now))


def cancel(graph: Graph, *, now: float) -> Graph:
    """Of a stream that runs it is the same as to stop; of every other job it leaves nothing. Raises as both do."""
    return endings.cancel(graph, now=now) if told(graph) is None else stop(graph, now=now)


def _is_given_up(graph: Graph, *, now: float) -> bool:
    asked = graph.job.stop_asked_at
    return asked is not None and now >= asked + GIVEN_UP_S


def is_to_stop(graph: Graph, attempt: Attempt) -> bool:
    task = graph.task(attempt.task_id)
    held = task.token == attempt.token and task.state in HELD_TASK_STATES
    return graph.job.stop_asked_at is not None and attempt.kind is TaskKind.LIVE and held
