"""Events as a stream of server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from dispatch.api.call import Call, Handler
from dispatch.api.seats import SEATS
from dispatch.api.tails import Tail, event_number, tail_of_all, tail_of_job
from dispatch.api.wiring import LIMITS, Limits
from dispatch.events import frames
from protocol.operations import Form

HEADERS = {"Content-Type": Form.SSE.value, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def job_events(call: Call) -> web.StreamResponse:
    """Everything since Last-Event-ID, or all of it; ends once the job has ended."""
    after = event_number(call.header("Last-Event-ID"), "Last-Event-ID")
    tail = await tail_of_job(call, call.path("job_id"), after)
    if tail.has_ended and after is not None and not await tail.page():
        return web.Response(status=204)  # tells a browser not to connect again
    return await _serve(call, tail)


async def all_events(call: Call) -> web.StreamResponse:
    """Everything since Last-Event-ID, or only what is new; never ends by itself."""
    return await _serve(call, await tail_of_all(call, event_number(call.header("Last-Event-ID"), "Last-Event-ID")))


async def _serve(call: Call, tail: Tail) -> web.StreamResponse:
    with call.request.app[SEATS].take(call.who):
        return await _stream(call, tail)


async def _stream(call: Call, tail: Tail) -> web.StreamResponse:
    limits = call.request.app[LIMITS]
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(call.request)
    try:
        await _write(response, _messages(tail, limits), limits)
    except (ConnectionError, TimeoutError):
        _abort(call.request)  # the reader is gone, or takes nothing
        return response
    await response.write_eof()
    return response


async def _messages(tail: Tail, limits: Limits) -> AsyncIterator[bytes]:
    yield frames.comment("reelyard")
    async for items in tail.items(limits.beat_s):
        yield b"".join(map(frames.message, items)) if items else frames.comment("beat")
    if tail.ending is not None:
        yield frames.comment(tail.ending.value)


async def _write(response: web.StreamResponse, messages: AsyncIterator[bytes], limits: Limits) -> None:
    async for block in messages:
        async with asyncio.timeout(limits.write_idle_s):
            await response.write(block)


def _abort(request: web.Request) -> None:
    if isinstance(transport := request.transport, asyncio.WriteTransport):
        transport.abort()


HANDLERS: dict[str, Handler] = {"job_events": job_events, "all_events": all_events}
