"""A long poll that is open at a server which died or froze: it ends as soon as a heartbeat has found that out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from engine.core.messages import Identity
from engine.core.servers import Servers
from engine.ports import Unreachable
from engine.shell.client import HttpDispatch
from protocol.capabilities import Capabilities, Load, RegisterReply, RegisterRequest, Slots
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Heartbeat, HeartbeatReply, LeaseRequest
from protocol.states import EngineState

pytestmark = pytest.mark.integration

ME = Identity("eng_1", "secret")
SLOTS = Slots(encoding=1, light=1, free_encoding=1, free_light=1)
BEAT = Heartbeat(boot_id="boot-0001", state=EngineState.ONLINE, load=Load(), slots=SLOTS)
POLL = LeaseRequest(boot_id="boot-0001", slots=1, light_slots=1, wait_s=25.0, request_id="req_1")
AT_ONCE_S = 2.0
Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def server(**answers: Answer) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """By the last word of the path; a poll hangs until the end, and the event tells that it came."""
    polled, over = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        what = request.path.rsplit("/", 1)[-1]
        if what in answers:
            return await answers[what](request)
        polled.set()
        await over.wait()
        return web.Response(status=500)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", polled
    finally:
        over.set()
        await runner.cleanup()


async def beaten(_: web.Request) -> web.Response:
    return web.json_response(HeartbeatReply(heartbeat_s=1.0).model_dump(mode="json"))


async def cut_off(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def pointing(leader: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        fault = {"code": ErrorCode.NOT_LEADER, "message": "another leads", "details": {"leader": leader}, "request_id": "req"}
        return web.json_response({"error": fault}, status=ReelyardError(ErrorCode.NOT_LEADER).status)

    return answer


async def registered(_: web.Request) -> web.Response:
    reply = RegisterReply(engine_id="eng_1", credential="secret", heartbeat_s=1.0, lease_s=4.0)
    return web.json_response(reply.model_dump(mode="json"))


async def poll(client: HttpDispatch) -> str:
    """What the poll ended with; of itself it would wait for 40 s."""
    with pytest.raises(Unreachable) as caught:
        await client.lease(ME, POLL)
    return str(caught.value)


async def given_up(polling: asyncio.Task[str]) -> str:
    async with asyncio.timeout(AT_ONCE_S):
        return await polling


async def test_a_poll_ends_when_a_heartbeat_learns_of_another_leader() -> None:
    async with (
        server(heartbeat=beaten) as (leader, _),
        server(heartbeat=pointing(leader)) as (first, polled),
        aiohttp.ClientSession() as session,
        asyncio.TaskGroup() as group,
    ):
        client = HttpDispatch(session, Servers([first]))
        polling = group.create_task(poll(client))
        await polled.wait()
        await client.heartbeat(ME, BEAT)

        assert await given_up(polling) == f"lease: another call found that {first} is not the one to wait for"


async def test_a_poll_ends_when_a_heartbeat_of_the_same_server_is_cut_off() -> None:
    async with server(heartbeat=cut_off) as (first, polled), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        client = HttpDispatch(session, Servers([first]))
        polling = group.create_task(poll(client))
        await polled.wait()
        with pytest.raises(Unreachable):
            await client.heartbeat(ME, BEAT)

        await given_up(polling)


async def test_a_server_that_hangs_is_found_out_within_a_short_lease() -> None:
    async with server(register=registered) as (first, polled), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        client = HttpDispatch(session, Servers([first]))
        await client.register(registration(), "token")
        polling = group.create_task(poll(client))
        await polled.wait()
        with pytest.raises(Unreachable, match="heartbeat: no answer within 3 s"):
            await client.heartbeat(ME, BEAT)

        await given_up(polling)


async def test_a_poll_at_the_server_that_answers_heartbeats_stays_open() -> None:
    async with server(heartbeat=beaten) as (first, polled), aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        client = HttpDispatch(session, Servers([first]))
        polling = group.create_task(poll(client))
        await polled.wait()
        await client.heartbeat(ME, BEAT)
        await client.heartbeat(ME, BEAT)

        assert not polling.done()
        polling.cancel()


def registration() -> RegisterRequest:
    return RegisterRequest(
        name="one", hostname="here", boot_id="boot-0001", version="1", capabilities=Capabilities(), slots=SLOTS, held=()
    )
