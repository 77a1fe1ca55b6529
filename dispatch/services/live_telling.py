"""What is told live over the broker and never kept: progress of jobs, signs of life of engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from dispatch.core import cloud_events
from dispatch.core.records import Engine
from dispatch.ports import Clock, Commit
from dispatch.ports.broker import Broker
from protocol.broker_events import ENGINE_HEARTBEAT
from protocol.cloud_events import CloudEvent
from protocol.events import EventType
from protocol.subjects import Subjects

MOST_WAITING = 1000
"""What is told so fast that the broker does not follow is left out: the next one says more."""


class LiveTelling:
    """A CommitListener. `is_due` says whether it is this server's to tell: the leader's."""

    def __init__(self, broker: Broker, subjects: Subjects, clock: Clock, source: str, is_due: Callable[[], bool]) -> None:
        self._broker, self._subjects, self._clock = broker, subjects, clock
        self._source, self._is_due = source, is_due
        self._heard: dict[str, float | None] = {}
        self._waiting: asyncio.Queue[tuple[str, CloudEvent]] = asyncio.Queue(MOST_WAITING)

    def __call__(self, commit: Commit) -> None:
        for engine in commit.engines:
            self._beat(engine)
        for engine_id in commit.gone_engines:
            self._heard.pop(engine_id, None)

    def _beat(self, engine: Engine) -> None:
        known = self._heard.get(engine.engine_id)
        self._heard[engine.engine_id] = at = engine.last_heartbeat_at
        if at is not None and at != known and self._may_tell():
            self._put(ENGINE_HEARTBEAT, cloud_events.heartbeat(engine, at, self._source))

    def progress(self, data_json: str, tenant: str) -> None:
        name = EventType.PROGRESS_UPDATED.value
        if self._may_tell():
            self._put(name, cloud_events.progress(data_json, tenant, self._clock.now(), self._source))

    def _may_tell(self) -> bool:
        return self._is_due() and self._broker.problem is None and not self._waiting.full()

    def _put(self, name: str, event: CloudEvent) -> None:
        self._waiting.put_nowait((name, event))

    async def run(self) -> None:
        while True:
            name, event = await self._waiting.get()
            await self._broker.tell(self._subjects.event(name), event.model_dump_json(exclude_none=True).encode())
