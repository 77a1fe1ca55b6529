"""A message that dispatch breaks on is nobody else's trouble: no server ends by it, and it becomes a dead letter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.events.nats_broker import NatsBroker
from dispatch.events.nats_doors import CRASHED, Arrived, Handlers, NatsDoors, Outcome
from dispatch.events.nats_link import NatsLink, NatsPlace
from dispatch.events.nats_streams import Keeping
from protocol.broker import REASON
from protocol.subjects import Subjects
from tests.contract.api_server import until
from tests.contract.nats_world import ground
from tests.contract.test_uploads_tus import begun, send
from tests.servers.nats import NatsServer, nats_server

SUBJECTS = Subjects("crash")
FILM = b"\x1a\x45\xdf\xa3" + bytes(60)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as server:
        yield server


async def broken(_: Arrived) -> Outcome:
    raise RuntimeError("a fault of ours")


async def mute(_: Arrived) -> bytes | None:
    raise RuntimeError("a fault of ours")


async def test_who_asks_what_breaks_dispatch_is_answered_and_the_next_one_too(broker: NatsServer) -> None:
    link = NatsLink(NatsPlace((broker.url,), "test"))
    doors = NatsDoors(link, SUBJECTS, Handlers(mute, mute, broken, broken))
    made = NatsBroker(link, SUBJECTS, Keeping())

    async def is_there() -> bool:
        return made.problem is None

    link.ready.reverse()  # streams are made before the doors open
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(link.run()), tasks.create_task(doors.run())]
        async with asyncio.timeout(20):
            await until(is_there)
            subject = SUBJECTS.ask("eng_1")
            answers = [(await link.client.request(subject, b"x", timeout=5)).data for _ in range(2)]
        for one in running:
            one.cancel()
    assert answers == [b"", b""]


async def test_a_message_that_breaks_dispatch_is_a_dead_letter_after_some_tries(
    broker: NatsServer,
) -> None:
    link = NatsLink(NatsPlace((broker.url,), "test"))
    doors = NatsDoors(link, SUBJECTS, Handlers(mute, mute, broken, broken), again_s=0.01)
    made = NatsBroker(link, SUBJECTS, Keeping())
    link.ready.reverse()  # streams are made before the doors open

    async def is_there() -> bool:
        return made.problem is None

    async def is_buried() -> bool:
        return (await link.js.stream_info(SUBJECTS.stream("DEAD"))).state.messages == 1

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(link.run()), tasks.create_task(doors.run())]
        async with asyncio.timeout(20):
            await until(is_there)
            await link.js.publish(SUBJECTS.incoming("VideoUploaded"), b"poison")
            await until(is_buried)
        dead = await link.js.get_msg(SUBJECTS.stream("DEAD"), 1)
        for one in running:
            one.cancel()
    assert (dead.data, (dead.headers or {})[REASON]) == (b"poison", CRASHED)


async def test_a_connection_that_is_cut_while_it_is_made_ready_is_a_broker_that_is_away(broker: NatsServer) -> None:
    link = NatsLink(NatsPlace((broker.url,), "test"))
    cut: list[str] = []

    async def step() -> None:
        cut.append("once")
        if len(cut) == 1:
            raise ConnectionResetError(104, "Connection reset by peer")

    async def is_ready() -> bool:
        return link.problem is None

    link.ready.append(step)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        async with asyncio.timeout(20):
            await until(is_ready)
        running.cancel()
    assert cut == ["once", "once"]


async def test_an_event_whose_file_the_storage_refuses_ends_no_server(tmp_path: Path, broker: NatsServer) -> None:
    async with ground(tmp_path / "data", broker, "waits") as world:
        url = await begun(world.server, len(FILM))
        await send(world.server, url, 0, FILM)
        raw = world.server.data / "storage" / "default" / "raw"
        raw.parent.mkdir(exist_ok=True)
        raw.write_bytes(b"")  # no directory can be made there
        data = {"input": {"upload_id": url.rpartition("/")[2]}}
        event = {"specversion": "1.0", "id": "1", "source": "//cms", "type": "io.reelyard.VideoUploaded", "data": data}
        js = world.nats.jetstream()
        await js.publish(world.subjects.incoming("VideoUploaded"), json.dumps(event).encode())

        (dead,) = await world.until("DEAD", bool)
        answer = await world.server.call("GET", "/api/v1/jobs")
    assert (answer.status, answer.json["jobs"]) == (200, [])
    assert (dead.headers or {})[REASON].startswith("FILE_NOT_FOUND: ")
