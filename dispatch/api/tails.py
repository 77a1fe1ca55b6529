"""What one reader of events is told, whatever carries it: what is stored first, then what happens; no gap, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from dispatch.api.authentication import admit
from dispatch.api.call import Call
from dispatch.core.paging import refuse
from dispatch.core.records import Event
from dispatch.events import frames
from dispatch.events.hub import Audience, Ending, Progress, Subscription
from protocol.errors import ErrorCode, ReelyardError
from protocol.states import TERMINAL_JOB_STATES

PAGE = 500
Items = list[Event | Progress]


def event_number(text: str | None, name: str) -> int | None:
    """The number of the last event the reader has; None when it names none. Raises VALIDATION_FAILED."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise refuse(name, "is not the id of an event: a whole number")
    return int(text)


async def tail_of_job(call: Call, job_id: str, after: int | None) -> Tail:
    """Everything of one job since `after`, or all of it; it is over once the job has ended. Raises JOB_NOT_FOUND."""
    job = await call.services.jobs.get(call.who, job_id)
    return Tail(call, Audience(job.tenant, job.job_id), after or 0, has_ended=job.state in TERMINAL_JOB_STATES)


async def tail_of_all(call: Call, after: int | None) -> Tail:
    """Everything the caller may see since `after`, or only what is new; never over by itself."""
    if after is None:
        after = await call.services.store.read(lambda tx: tx.last_seq())
    return Tail(call, Audience(None if call.who.is_admin else call.who.tenant), after)


@dataclass(slots=True)
class Tail:
    """Where one reader stands. `has_ended` is whether the job it follows stands in a terminal state.

    `ending` tells, once the items are over, why the server ended them; None when the job did.
    `admitted_at`: when the key, which may end while the reader stays, was looked at last; monotonic.
    """

    call: Call
    audience: Audience
    last: int
    has_ended: bool = False
    ending: Ending | None = None
    admitted_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.admitted_at = self.call.services.clock.monotonic()

    async def page(self) -> list[Event]:
        """The next stored events; an empty page means that the reader has all there was when it was read."""
        last, audience = self.last, self.audience
        return await self.call.services.store.read(
            lambda tx: tx.events_after(last, job_id=audience.job_id, tenant=audience.tenant, limit=PAGE)
        )

    async def items(self, beat_s: float) -> AsyncIterator[Items]:
        """What the reader has not seen, in order; an empty list when nothing came for `beat_s` seconds.

        The long history is read before the reader subscribes, so that its queue is not filled meanwhile.
        """
        async for stored in self._stored():
            yield stored
        with self.call.services.hub.subscribe(self.audience) as subscription:
            async for stored in self._stored():
                yield stored
            while not self._is_over and subscription.ending is None:
                news = await _taken(subscription, beat_s)
                if not await self._is_let_in(beat_s):
                    subscription.end(Ending.NOT_LET_IN)
                    break
                yield self._news(news)
            self.ending = subscription.ending

    async def _is_let_in(self, beat_s: float) -> bool:
        """Asked anew about once a beat: revoked, expired or rotated away, a key opens nothing that it opened before."""
        now = self.call.services.clock.monotonic()
        if now - self.admitted_at < beat_s / 2:
            return True
        self.admitted_at = now
        try:
            await admit(self.call)
        except ReelyardError as fault:  # a database that is away for a moment ends nobody's stream
            return fault.code not in (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN)
        return True

    async def _stored(self) -> AsyncIterator[Items]:
        while page := await self.page():
            yield self._news(page)
            if len(page) < PAGE:
                return

    def _news(self, items: list[Event] | Items) -> Items:
        """Those the reader has not seen, in order; it has seen them now."""
        fresh = [item for item in items if isinstance(item, Progress) or item.seq > self.last]
        self.last = max((item.seq for item in fresh if isinstance(item, Event)), default=self.last)
        self.has_ended = frames.has_ended(fresh, before=self.has_ended)
        return fresh

    @property
    def _is_over(self) -> bool:
        return self.audience.job_id is not None and self.has_ended


async def _taken(subscription: Subscription, beat_s: float) -> Items:
    """What came; nothing when nothing came for so long."""
    try:
        async with asyncio.timeout(beat_s):
            return await subscription.take()
    except TimeoutError:
        return []
