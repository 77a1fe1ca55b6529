"""The Broker port on JetStream: kept once and in order, refused while the broker is away, its streams as they are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatch.events.nats_broker import NatsBroker
from dispatch.events.nats_link import NatsLink, NatsPlace
from dispatch.events.nats_streams import Keeping, set_up
from dispatch.ports.broker import BrokerAway, Outgoing
from protocol.subjects import Subjects
from tests.contract.api_server import until
from tests.servers.nats import NatsServer, nats_server

SUBJECTS = Subjects("port")
CREATED = SUBJECTS.event("JobCreated")


def numbered(first: int, last: int) -> list[Outgoing]:
    return [Outgoing(CREATED, str(number).encode(), f"event-{number}") for number in range(first, last)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as made:
        yield made


@pytest.fixture
async def broker(server: NatsServer) -> AsyncIterator[NatsBroker]:
    link = NatsLink(NatsPlace((server.url,), "test"))
    made = NatsBroker(link, SUBJECTS, Keeping())
    async with asyncio.TaskGroup() as tasks:
        carrying = tasks.create_task(link.run())
        await _there(made)
        yield made
        carrying.cancel()


async def _there(broker: NatsBroker) -> None:
    async def is_there() -> bool:
        return broker.problem is None

    async with asyncio.timeout(20):
        await until(is_there)


async def _kept(broker: NatsBroker) -> list[bytes]:
    js, name = broker._link.js, SUBJECTS.stream("EVENTS")
    count = (await js.stream_info(name)).state.messages
    return [(await js.get_msg(name, seq)).data or b"" for seq in range(1, count + 1)]


async def test_what_is_sent_again_is_kept_once_and_in_its_order(broker: NatsBroker) -> None:
    await broker.keep(numbered(0, 20))
    await broker.keep(numbered(0, 20))
    await broker.keep(numbered(15, 30))
    assert await _kept(broker) == [str(number).encode() for number in range(30)]


async def test_a_server_killed_between_two_batches_keeps_both_once(broker: NatsBroker, server: NatsServer) -> None:
    await broker.keep(numbered(0, 10))
    await server.kill()
    with pytest.raises(BrokerAway):
        await broker.keep(numbered(0, 20))
    await server.start()
    await _there(broker)
    await broker.keep(numbered(0, 20))
    assert await _kept(broker) == [str(number).encode() for number in range(20)]


async def test_one_that_is_lost_on_its_way_lets_none_after_it_in(broker: NatsBroker) -> None:
    """A message that another wrote in between stands for it: the next one does not follow the one before it."""
    await broker.keep(numbered(0, 1))
    await broker._link.js.publish(CREATED, b"x", headers={"Nats-Msg-Id": "another"})
    with pytest.raises(BrokerAway):
        await broker.keep([*numbered(0, 1), *numbered(2, 4)])
    assert await _kept(broker) == [b"0", b"x"]


async def test_streams_that_are_there_are_brought_to_the_settings(broker: NatsBroker) -> None:
    js = broker._link.js
    await set_up(js, SUBJECTS, Keeping(events_s=3600.0))
    config = (await js.stream_info(SUBJECTS.stream("EVENTS"))).config
    assert (config.max_age, config.duplicate_window) == (3600.0, 120.0)
    await set_up(js, SUBJECTS, Keeping(events_s=3600.0))


async def test_a_body_that_is_too_large_is_refused(broker: NatsBroker) -> None:
    with pytest.raises(BrokerAway):
        await broker.keep([Outgoing(CREATED, bytes(2 << 20), "large")])
    assert broker.largest < 1 << 20
