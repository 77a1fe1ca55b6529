"""Live progress at a server that does not lead: what heartbeats told the leader stands in rows, and is told to who watches here.

The leader tells it with the heartbeats themselves. Progress may be left out; the next one tells more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dispatch.ports import Commit, Store
from dispatch.ports.cluster import Leading
from dispatch.services.heartbeats import Progress, progress_of
from protocol.states import TERMINAL_JOB_STATES


class Audience(Protocol):
    """Who watches at this server."""

    def is_watched(self, job_id: str, tenant: str) -> bool: ...
    def publish_progress(self, job_id: str, tenant: str, data_json: str) -> None: ...


class WatchedProgress:
    """A CommitListener, and a duty; `wake` is the duty's."""

    def __init__(self, store: Store, leading: Leading, audience: Audience) -> None:
        self._store, self._leading, self._audience = store, leading, audience
        self._moved: set[str] = set()
        self.wake: Callable[[], None] = lambda: None

    def __call__(self, commit: Commit) -> None:
        if self._leading.is_leading:
            return
        told = {event.new.job_id for event in commit.events}  # a change of state tells more than progress
        for job in commit.jobs:
            if job.state in TERMINAL_JOB_STATES or job.job_id in told:
                continue
            if self._audience.is_watched(job.job_id, job.tenant):
                self._moved.add(job.job_id)
                self.wake()

    async def run_once(self) -> None:
        moved, self._moved = self._moved, set()
        if not moved:
            return
        graphs = await self._store.read(lambda tx: tx.graphs(sorted(moved)))
        for graph in graphs.values():
            self._publish(progress_of(graph))

    def _publish(self, progress: Progress) -> None:
        self._audience.publish_progress(progress.job_id, progress.tenant, progress.data_json)
