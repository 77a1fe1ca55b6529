"""Streams of server-sent events: what is stored first, then what happens; nothing missed, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from dispatch.api.call import Call, Handler
from dispatch.api.wiring import LIMITS, Limits
from dispatch.core.paging import refuse
from dispatch.core.records import Event
from dispatch.events import sse
from dispatch.events.hub import Audience, Progress, Subscription
from protocol.operations import Form
from protocol.states import TERMINAL_JOB_STATES

PAGE = 500
HEADERS = {"Content-Type": Form.SSE.value, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def last_event_id(header: str | None) -> int | None:
    """The number of the last event the reader has; None when it names none. Raises VALIDATION_FAILED."""
    if not header:
        return None
    if not (header.isascii() and header.isdigit() and len(header) <= 18):
        raise refuse("Last-Event-ID", "is not the id of an event: a whole number")
    return int(header)


async def job_events(call: Call) -> web.StreamResponse:
    """Everything since Last-Event-ID, or all of it; ends once the job has ended."""
    after = last_event_id(call.header("Last-Event-ID"))
    job = await call.services.jobs.get(call.who, call.path("job_id"))
    tail = Tail(call, Audience(job.tenant, job.job_id), after or 0, has_ended=job.state in TERMINAL_JOB_STATES)
    if tail.has_ended and after is not None and not await tail.page():
        return web.Response(status=204)  # tells a browser not to connect again
    return await _serve(call, tail)


async def all_events(call: Call) -> web.StreamResponse:
    """Everything since Last-Event-ID, or only what is new; never ends by itself."""
    after = last_event_id(call.header("Last-Event-ID"))
    if after is None:
        after = await call.services.store.read(lambda tx: tx.last_seq())
    return await _serve(call, Tail(call, Audience(None if call.who.is_admin else call.who.tenant), after))


@dataclass(slots=True)
class Tail:
    """Where one reader stands. `has_ended` is whether the job it follows stands in a terminal state."""

    call: Call
    audience: Audience
    last: int
    has_ended: bool = False

    async def page(self) -> list[Event]:
        """The next stored events; an empty page means that the reader has all there was when it was read."""
        last, audience = self.last, self.audience
        return await self.call.services.store.read(
            lambda tx: tx.events_after(last, job_id=audience.job_id, tenant=audience.tenant, limit=PAGE)
        )

    async def stored(self) -> AsyncIterator[list[Event | Progress]]:
        while page := await self.page():
            yield self.news(page)
            if len(page) < PAGE:
                return

    def news(self, items: list[Event] | list[Event | Progress]) -> list[Event | Progress]:
        """Those the reader has not seen, in order; it has seen them now."""
        fresh = [item for item in items if isinstance(item, Progress) or item.seq > self.last]
        self.last = max((item.seq for item in fresh if isinstance(item, Event)), default=self.last)
        self.has_ended = sse.has_ended(fresh, before=self.has_ended)
        return fresh

    @property
    def is_over(self) -> bool:
        return self.audience.job_id is not None and self.has_ended


async def _serve(call: Call, tail: Tail) -> web.StreamResponse:
    limits = call.request.app[LIMITS]
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(call.request)
    try:
        await _write(response, _messages(call, tail, limits), limits)
    except (ConnectionError, TimeoutError):
        _abort(call.request)  # the reader is gone, or takes nothing
        return response
    await response.write_eof()
    return response


async def _messages(call: Call, tail: Tail, limits: Limits) -> AsyncIterator[bytes]:
    """The long history is read before the reader subscribes, so that its queue is not filled meanwhile."""
    yield sse.comment("reelyard")
    async for items in tail.stored():
        yield b"".join(map(sse.message, items))
    with call.services.hub.subscribe(tail.audience) as subscription:
        async for items in tail.stored():
            yield b"".join(map(sse.message, items))
        while not tail.is_over and subscription.ending is None:
            taken = await _taken(subscription, limits.beat_s)
            yield sse.comment("beat") if taken is None else b"".join(map(sse.message, tail.news(taken)))
        if subscription.ending is not None:
            yield sse.comment(subscription.ending.value)


async def _taken(subscription: Subscription, beat_s: float) -> list[Event | Progress] | None:
    """What came, or None when nothing came for so long."""
    try:
        async with asyncio.timeout(beat_s):
            return await subscription.take()
    except TimeoutError:
        return None


async def _write(response: web.StreamResponse, messages: AsyncIterator[bytes], limits: Limits) -> None:
    async for block in messages:
        if block:
            async with asyncio.timeout(limits.write_idle_s):
                await response.write(block)


def _abort(request: web.Request) -> None:
    if isinstance(transport := request.transport, asyncio.WriteTransport):
        transport.abort()


HANDLERS: dict[str, Handler] = {"job_events": job_events, "all_events": all_events}
