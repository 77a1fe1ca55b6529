"""The bus of committed events and live progress: every reader has a bounded queue, and a slow one is dropped.

It is fed after each commit, in `seq` order, and knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from dispatch.core.records import Event
from dispatch.ports import Commit


@dataclass(frozen=True, slots=True)
class Progress:
    """Live progress of a job: never stored, may be left out when a reader is slow."""

    job_id: str
    tenant: str
    data_json: str


@dataclass(frozen=True, slots=True)
class Audience:
    """What a reader wants: one job, or everything of a tenant; `tenant` None sees all tenants."""

    tenant: str | None
    job_id: str | None = None


class Ending(StrEnum):
    TOO_SLOW = "too slow: reconnect with Last-Event-ID"
    SHUTDOWN = "the server is stopping: reconnect in a moment"
    NOT_LET_IN = "the key is good no longer"


class Subscription:
    """One reader's queue. Everything is called on the event loop."""

    def __init__(self, audience: Audience, capacity: int) -> None:
        self.audience = audience
        self.ending: Ending | None = None
        self._capacity = capacity
        self._queue: deque[Event | Progress] = deque()
        self._news = asyncio.Event()

    def offer(self, item: Event | Progress) -> None:
        """Take it in. Progress is left out when half the room is used; an event that finds no room ends the reader."""
        if self.ending is not None:
            return
        if isinstance(item, Progress) and 2 * len(self._queue) >= self._capacity:
            return
        if len(self._queue) >= self._capacity:
            self.end(Ending.TOO_SLOW)
            return
        self._queue.append(item)
        self._news.set()

    def end(self, ending: Ending) -> None:
        if self.ending is None:
            self.ending = ending
            self._queue.clear()
            self._news.set()

    async def take(self) -> list[Event | Progress]:
        """Everything that is there, at least one item; empty only once the subscription has ended."""
        await self._news.wait()
        taken = list(self._queue)
        self._queue.clear()
        if self.ending is None:
            self._news.clear()
        return taken


class EventHub:
    """Satisfies `dispatch.ports.CommitListener`."""

    def __init__(self, *, capacity: int = 1000) -> None:
        self._capacity = capacity
        self._by_job: dict[str, set[Subscription]] = {}
        self._by_tenant: dict[str | None, set[Subscription]] = {}
        self._is_closed = False
        self.on_progress: list[Callable[[str, str], None]] = []
        """Told of all progress: its JSON, and the tenant."""

    def __call__(self, commit: Commit) -> None:
        if not self._by_job and not self._by_tenant:
            return  # the hot path: most of the time nobody watches
        for event in commit.events:
            self._tell(event, event.new.tenant, event.new.job_id)

    def is_watched(self, job_id: str, tenant: str) -> bool:
        """Whether anybody would be told of this job."""
        return job_id in self._by_job or tenant in self._by_tenant or None in self._by_tenant

    def publish_progress(self, job_id: str, tenant: str, data_json: str) -> None:
        """`data_json` is one line of JSON, as it goes on the wire."""
        for told in self.on_progress:
            told(data_json, tenant)
        if self.is_watched(job_id, tenant):
            self._tell(Progress(job_id, tenant, data_json), tenant, job_id)

    @contextmanager
    def subscribe(self, audience: Audience) -> Iterator[Subscription]:
        """A subscription that ends with the block. After `close` it comes already ended."""
        subscription = Subscription(audience, self._capacity)
        if self._is_closed:
            subscription.end(Ending.SHUTDOWN)
        self._readers(audience).add(subscription)
        try:
            yield subscription
        finally:
            self._forget(subscription)

    def close(self) -> None:
        """End every stream, now and later."""
        self._is_closed = True
        for readers in (*self._by_job.values(), *self._by_tenant.values()):
            for subscription in readers:
                subscription.end(Ending.SHUTDOWN)

    def _tell(self, item: Event | Progress, tenant: str, job_id: str | None) -> None:
        if job_id is not None:
            for subscription in self._by_job.get(job_id, ()):
                if subscription.audience.tenant in (None, tenant):
                    subscription.offer(item)
        for name in (tenant, None):
            for subscription in self._by_tenant.get(name, ()):
                subscription.offer(item)

    def _readers(self, audience: Audience) -> set[Subscription]:
        if audience.job_id is not None:
            return self._by_job.setdefault(audience.job_id, set())
        return self._by_tenant.setdefault(audience.tenant, set())

    def _forget(self, subscription: Subscription) -> None:
        audience, readers = subscription.audience, self._readers(subscription.audience)
        readers.discard(subscription)
        if readers:
            return
        if audience.job_id is not None:
            del self._by_job[audience.job_id]
        else:
            del self._by_tenant[audience.tenant]
