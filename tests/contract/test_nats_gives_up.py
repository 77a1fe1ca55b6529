"""A call that went by HTTP, to a server that froze: the broker tells of the next leader, and the call waits no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import NoReturn

import nats
import pytest

from engine.clock import SystemClock
from engine.core.messages import Identity
from engine.ports import Unreachable
from engine.shell.broker import BrokerPlace, line_of
from protocol.capabilities import RegisterReply, RegisterRequest
from protocol.leases import Goodbye, Heartbeat, HeartbeatReply, LeaseReply, LeaseRequest
from protocol.subjects import Subjects
from tests.contract.nats_world import Disk
from tests.servers.nats import nats_server

POLL = LeaseRequest(boot_id="boot-0001", slots=1, light_slots=1, wait_s=25.0, request_id="req_1")


class Frozen:
    """The DispatchClient port of a server that takes every call and answers none."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def _hang(self) -> NoReturn:
        self.asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing ends this but a cancellation")

    async def register(self, request: RegisterRequest, credential: str | None) -> RegisterReply:
        await self._hang()

    async def heartbeat(self, who: Identity, request: Heartbeat) -> HeartbeatReply:
        await self._hang()

    async def lease(self, who: Identity, request: LeaseRequest) -> LeaseReply:
        await self._hang()

    async def offline(self, who: Identity, goodbye: Goodbye) -> None:
        await self._hang()


async def test_a_poll_by_http_ends_when_the_broker_tells_of_another_leader(tmp_path: Path) -> None:
    subjects, http = Subjects("gives-up"), Frozen()
    async with nats_server(tmp_path / "nats") as broker, asyncio.TaskGroup() as tasks:
        line = line_of(BrokerPlace((broker.url,), "gives-up"), http, Disk(), SystemClock())
        carrying = tasks.create_task(line.run())
        polling = tasks.create_task(ended(line.client.lease(Identity("eng_1", "secret"), POLL)))
        await http.asked.wait()  # nobody takes the ask from the broker
        other = await nats.connect(broker.url)
        for run in (b"run-before", b"run-before", b"run-after"):
            await other.publish(subjects.leader(), run)
        await other.flush()
        async with asyncio.timeout(5):
            assert await polling == "another server leads by now"
        await other.close()
        carrying.cancel()


async def ended(call: Awaitable[LeaseReply]) -> str:
    with pytest.raises(Unreachable) as caught:
        await call
    return str(caught.value)
