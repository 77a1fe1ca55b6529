"""A whole dispatch with engines' clients to it: over HTTP, and over NATS with HTTP behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from config.nats import Nats
from engine.clock import SystemClock
from engine.core.attempts import Final
from engine.core.messages import Changes, Identity, Saved, SavedAttempt
from engine.core.servers import Servers
from engine.ports import DispatchClient, LocalQueue
from engine.shell.broker import BrokerPlace, line_of
from engine.shell.client import HttpDispatch
from protocol.capabilities import Load, Slots
from protocol.leases import Complete, Grant, Heartbeat, LeaseReply, LeaseRequest, Report, RunningTask
from protocol.results import AttemptResult
from protocol.states import EngineState
from protocol.subjects import Subjects
from tests.contract.api_server import Server, served, until
from tests.servers.nats import NatsServer

BOOT = "boot-0001"
Json = dict[str, Any]  # what a message holds


class Disk:
    """The LocalQueue port, in memory: what would be on the engine's disk."""

    def __init__(self) -> None:
        self.saved: list[Changes] = []

    async def load(self) -> Saved:
        raise AssertionError("nothing here starts again")

    async def save(self, changes: Changes) -> None:
        self.saved.append(changes)


@dataclass(slots=True)
class Box:
    """An engine as dispatch sees it: who it is, its line, and its disk."""

    who: Identity
    client: DispatchClient
    queue: LocalQueue

    async def ask(
        self, request_id: str, *reports: Report, slots: int = 4, light_slots: int = 0, wait_s: float = 5.0
    ) -> LeaseReply:
        request = LeaseRequest(
            boot_id=BOOT, slots=slots, light_slots=light_slots, wait_s=wait_s, request_id=request_id, reports=reports
        )
        return await self.client.lease(self.who, request)

    async def write(self, *grants: Grant, finals: tuple[Final, ...] = ()) -> None:
        granted = tuple(SavedAttempt(grant, order) for order, grant in enumerate(grants))
        await self.queue.save(Changes(granted=granted, finals=finals))

    async def beat(self, *grants: Grant) -> list[int]:
        """The tokens whose leases live on."""
        running = tuple(RunningTask(task_id=grant.task_id, token=grant.token, started=True) for grant in grants)
        slots = Slots(encoding=4, light=2, free_encoding=4, free_light=2)
        beat = Heartbeat(boot_id=BOOT, state=EngineState.ONLINE, load=Load(), slots=slots, running=running)
        return [renewal.token for renewal in (await self.client.heartbeat(self.who, beat)).renewed]


def done(grant: Grant) -> Complete:
    return Complete(task_id=grant.task_id, token=grant.token, result=AttemptResult())


@dataclass(slots=True)
class Ground:
    """`broker` is the server, `nats` a connection of somebody who may read and send everything."""

    server: Server
    broker: NatsServer
    nats: Client
    subjects: Subjects
    owner: asyncio.TaskGroup
    lines: list[asyncio.Task[None]]

    async def connect(self) -> None:
        self.nats = await nats.connect(self.broker.url)

    async def box(self, kind: str, **fields: object) -> Box:
        """`kind` is http or nats."""
        engine_id, credential = await self.server.new_engine(**fields)
        disk, who = Disk(), Identity(engine_id, credential)
        http = HttpDispatch(self.server.http, Servers([self.server.url]))
        servers = (self.broker.url,) if kind == "nats" else ()
        line = line_of(BrokerPlace(servers, self.subjects.prefix), http, disk, SystemClock())
        self.lines.append(self.owner.create_task(line.run()))
        return Box(who, line.client, line.queue)

    async def state(self, job_id: str) -> str:
        told: str = (await self.server.call("GET", f"/api/v1/jobs/{job_id}")).json["state"]
        return told

    async def count(self, stream: str) -> int:
        """Messages that the broker keeps there now."""
        return (await self.nats.jetstream().stream_info(self.subjects.stream(stream))).state.messages

    async def kept(self, stream: str) -> list[RawStreamMsg]:
        js, name = self.nats.jetstream(), self.subjects.stream(stream)
        state = (await js.stream_info(name)).state
        found = []
        for seq in range(max(1, state.first_seq), state.last_seq + 1):
            try:
                found.append(await js.get_msg(name, seq))
            except NotFoundError:
                continue
        return found

    async def until(self, stream: str, fits: Callable[[list[RawStreamMsg]], bool]) -> list[RawStreamMsg]:
        async def is_so() -> bool:
            return fits(await self.kept(stream))

        async with asyncio.timeout(20):
            await until(is_so)
        return await self.kept(stream)

    async def send_in(self, event: Json, type_: str = "VideoUploaded") -> None:
        await self.nats.jetstream().publish(self.subjects.incoming(type_), json.dumps(event).encode())


@asynccontextmanager
async def ground(
    directory: Path, broker: NatsServer, prefix: str, *, is_there: bool = True, **wishes: Any
) -> AsyncIterator[Ground]:  # Any: settings
    """`prefix` keeps farms on one broker apart. `wishes` are further settings of [nats]. `is_there`: the broker runs."""
    wanted = Nats(servers=(broker.url,), prefix=prefix, **wishes)
    async with served(directory, sections={"nats": wanted}) as server, asyncio.TaskGroup() as owner:
        made = Ground(server, broker, Client(), Subjects(prefix), owner, [])
        try:
            if is_there:
                await made.connect()
                await until(_is_there(server))
            yield made
        finally:
            for line in made.lines:
                line.cancel()
            await made.nats.close()


def _is_there(server: Server) -> Callable[[], Awaitable[bool]]:
    async def is_there() -> bool:
        return server.core.broker.problem() is None

    return is_there
