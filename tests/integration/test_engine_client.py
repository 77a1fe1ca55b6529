"""Every way dispatch can answer, or not, as the engine's client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from engine.core.messages import Identity
from engine.core.servers import Servers
from engine.ports import Unreachable
from engine.shell.client import HttpDispatch
from protocol.capabilities import Load, Slots
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Goodbye, Heartbeat, HeartbeatReply
from protocol.states import EngineState
from tests.integration.engine_dispatch import error

pytestmark = pytest.mark.integration

ME = Identity("eng_1", "secret")
BEAT = Heartbeat(
    boot_id="boot-0001",
    state=EngineState.ONLINE,
    load=Load(),
    slots=Slots(encoding=1, light=1, free_encoding=1, free_light=1),
)


@pytest.fixture
async def answers() -> AsyncIterator[tuple[HttpDispatch, list[web.StreamResponse], list[web.Request]]]:
    """A client, the answers its server will give, and the requests that came."""
    waiting: list[web.StreamResponse] = []
    came: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        came.append(request)
        return waiting.pop(0)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield HttpDispatch(session, Servers([f"http://127.0.0.1:{runner.addresses[0][1]}/"])), waiting, came
    await runner.cleanup()


Answers = tuple[HttpDispatch, list[web.StreamResponse], list[web.Request]]


async def test_a_heartbeat_goes_to_its_route_with_the_engines_credential(answers: Answers) -> None:
    client, waiting, came = answers
    waiting.append(web.Response(body=b'{"heartbeat_s": 15.0}'))

    assert await client.heartbeat(ME, BEAT) == HeartbeatReply(heartbeat_s=15.0)
    assert (came[0].path, came[0].headers["Authorization"]) == ("/api/v1/engines/eng_1/heartbeat", "Bearer secret")


async def test_an_error_keeps_its_code_and_its_retry_after(answers: Answers) -> None:
    client, waiting, _ = answers
    answer = error(ErrorCode.SHUTTING_DOWN, "stopping")
    answer.headers["Retry-After"] = "3"
    waiting.append(answer)

    with pytest.raises(ReelyardError) as caught:
        await client.heartbeat(ME, BEAT)

    assert (caught.value.code, caught.value.message, caught.value.retry_after) == (ErrorCode.SHUTTING_DOWN, "stopping", 3.0)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=502, text="<html>bad gateway</html>"),
        web.Response(status=404, text="not here"),
        web.Response(body=b'{"heartbeat_s": "soon"}'),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    ],
    ids=["a gateway", "somebody else", "another version", "a redirect"],
)
async def test_an_answer_that_is_not_dispatchs_counts_as_none(answer: web.Response, answers: Answers) -> None:
    client, waiting, _ = answers
    waiting.append(answer)

    with pytest.raises(Unreachable):
        await client.heartbeat(ME, BEAT)


async def test_nobody_there_is_unreachable() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(Unreachable):
            await HttpDispatch(session, Servers(["http://127.0.0.1:9"])).offline(ME, Goodbye(boot_id="boot-0001"))


def pointing(leader: str | None) -> web.Response:
    fault = {"code": ErrorCode.NOT_LEADER, "message": "another leads", "details": {"leader": leader}, "request_id": "req"}
    answer = web.json_response({"error": fault}, status=ReelyardError(ErrorCode.NOT_LEADER).status)
    if leader is None:
        answer.headers["Retry-After"] = "1"
    return answer


@asynccontextmanager
async def server(*waiting: web.StreamResponse) -> AsyncIterator[tuple[str, list[str]]]:
    """An address that gives these answers, and the paths that were asked for there."""
    left, came = list(waiting), list[str]()

    async def handle(request: web.Request) -> web.StreamResponse:
        await request.read()
        came.append(request.path)
        return left.pop(0)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", came
    await runner.cleanup()


def beaten(heartbeat_s: float = 15.0) -> web.Response:
    return web.Response(body=HeartbeatReply(heartbeat_s=heartbeat_s).model_dump_json().encode())


async def test_a_call_goes_on_at_the_leader_and_the_next_one_begins_there() -> None:
    leading, following = server(beaten(1.0), beaten(2.0)), aiohttp.ClientSession()
    async with leading as (leader, led), server(pointing(leader)) as (other, came), following as session:
        client = HttpDispatch(session, Servers([other]))
        replies = [await client.heartbeat(ME, BEAT), await client.heartbeat(ME, BEAT)]

    assert [reply.heartbeat_s for reply in replies] == [1.0, 2.0]
    assert (len(led), len(came)) == (2, 1)


async def test_a_leader_that_is_gone_sends_the_engine_back_to_its_own_server() -> None:
    async with server(beaten()) as (first, _):
        pass
    async with server(pointing(first), beaten(3.0)) as (other, came), aiohttp.ClientSession() as session:
        client = HttpDispatch(session, Servers([other]))
        with pytest.raises(ReelyardError, match=f"NOT_LEADER: {first} is said to lead and cannot be reached"):
            await client.heartbeat(ME, BEAT)

        assert (await client.heartbeat(ME, BEAT)).heartbeat_s == 3.0
    assert len(came) == 2


async def test_the_next_server_is_asked_where_nobody_listens() -> None:
    async with server(beaten(4.0)) as (other, _), aiohttp.ClientSession() as session:
        assert (await HttpDispatch(session, Servers(["http://127.0.0.1:9", other])).heartbeat(ME, BEAT)).heartbeat_s == 4.0


async def test_while_nobody_leads_the_engine_hears_when_to_ask_again() -> None:
    async with server(pointing(None)) as (other, _), aiohttp.ClientSession() as session:
        with pytest.raises(ReelyardError) as caught:
            await HttpDispatch(session, Servers([other])).heartbeat(ME, BEAT)

    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.NOT_LEADER, 1.0)
