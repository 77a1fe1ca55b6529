"""Every way dispatch can answer, or not, as the engine's client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from engine.core.messages import Identity
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
        yield HttpDispatch(session, f"http://127.0.0.1:{runner.addresses[0][1]}/"), waiting, came
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
            await HttpDispatch(session, "http://127.0.0.1:9").offline(ME, Goodbye(boot_id="boot-0001"))
