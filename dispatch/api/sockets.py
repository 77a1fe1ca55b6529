"""Events over a WebSocket: the same as the streams, for readers behind proxies that hold streams back."""

from __future__ import annotations

import asyncio

from aiohttp import WSCloseCode, web

from dispatch.api.call import Call, Handler
from dispatch.api.seats import SEATS
from dispatch.api.tails import Tail, event_number, tail_of_all, tail_of_job
from dispatch.api.wiring import LIMITS, Limits
from dispatch.events import frames
from dispatch.events.hub import Ending
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import SUBPROTOCOL

MOST_TOLD = 4096
"""Bytes: a reader has nothing to say, so its messages are read only to find the closing one."""

CLOSE_CODES = {
    Ending.TOO_SLOW: WSCloseCode.TRY_AGAIN_LATER,
    Ending.SHUTDOWN: WSCloseCode.GOING_AWAY,
    Ending.NOT_LET_IN: WSCloseCode.POLICY_VIOLATION,
}


class _Gone(Exception):
    """The reader closed the connection, or takes nothing."""


async def events_socket(call: Call) -> web.StreamResponse:
    """One message of JSON per event, from `last_event_id` on; with `job_id` that job's alone, until it has ended."""
    query = call.query()
    after = event_number(query.get("last_event_id"), "last_event_id")
    limits = call.request.app[LIMITS]
    socket = web.WebSocketResponse(
        heartbeat=limits.beat_s, max_msg_size=MOST_TOLD, compress=False, protocols=(SUBPROTOCOL,), timeout=limits.write_idle_s
    )
    if not socket.can_prepare(call.request).ok:
        message = "this call takes a WebSocket: send `Upgrade: websocket`, or read the stream at /api/v1/events"
        raise ReelyardError(ErrorCode.UPGRADE_REQUIRED, message)
    tail = await (tail_of_job(call, query["job_id"], after) if "job_id" in query else tail_of_all(call, after))
    with call.request.app[SEATS].take(call.who):
        await socket.prepare(call.request)
        if await _follow(socket, tail, limits):
            code = WSCloseCode.OK if tail.ending is None else CLOSE_CODES[tail.ending]
            await socket.close(code=code, message=(tail.ending or "the job has ended").encode())
    return socket


async def _follow(socket: web.WebSocketResponse, tail: Tail, limits: Limits) -> bool:
    """Tell everything; False when the reader went away before the end."""
    is_there = True
    try:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_listen(socket))
            await _tell(socket, tail, limits)
            listening.cancel()
    except* _Gone:
        is_there = False
    return is_there


async def _listen(socket: web.WebSocketResponse) -> None:
    """Pongs and the close come in only while somebody reads."""
    async for _ in socket:
        pass
    raise _Gone


async def _tell(socket: web.WebSocketResponse, tail: Tail, limits: Limits) -> None:
    try:
        async for items in tail.items(limits.beat_s):
            for item in items:
                async with asyncio.timeout(limits.write_idle_s):
                    await socket.send_str(frames.text(item))
    except (ConnectionError, TimeoutError) as reason:
        raise _Gone from reason


HANDLERS: dict[str, Handler] = {"events_socket": events_socket}
