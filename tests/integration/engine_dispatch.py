"""The other side of the engine's calls, with real HTTP on loopback: hands out tasks, notes what it is told, keeps files."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from protocol.capabilities import Kept, RegisterReply, RegisterRequest
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import (
    Complete,
    Fail,
    Grant,
    Heartbeat,
    HeartbeatReply,
    LeaseReply,
    LeaseRequest,
    Order,
    Release,
    Renewal,
    Settlement,
    digest_of,
)
from protocol.operations import BY_NAME
from protocol.states import LIGHT_TASK_KINDS

Final = Complete | Fail | Release


@dataclass
class Dispatch:
    """`tasks` are handed out in order; `finals` are the final reports, in the order they came."""

    tasks: list[Grant] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    finals: list[Final] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)
    registrations: list[RegisterRequest] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    credentials: set[str] = field(default_factory=lambda: {"token"})
    goodbyes: int = 0
    lease_calls: int = 0
    heartbeat_s: float = 15.0
    puts: int = 0
    break_put: Callable[[int], bool] = field(default=lambda n: False)
    cut_get_after: int | None = None
    url: str = ""

    def __post_init__(self) -> None:
        self.changed = asyncio.Condition()
        self.newest = 0

    async def told(self, fact: Callable[[], bool]) -> None:
        """Wait until a fact holds; it is looked at again after every call."""
        async with self.changed, asyncio.timeout(60):
            await self.changed.wait_for(fact)

    async def order(self, order: Order) -> None:
        async with self.changed:
            self.orders.append(order)
            self.changed.notify_all()

    async def offer(self, *grants: Grant) -> None:
        async with self.changed:
            self.tasks.extend(grants)
            self.changed.notify_all()

    # Routes

    async def register(self, request: web.Request) -> web.Response:
        self.check(request)
        async with self.changed:
            self.registrations.append(RegisterRequest.model_validate_json(await request.read()))
            self.credentials.add("engine-credential")
            self.changed.notify_all()
        held = tuple(Kept(task_id=one.task_id, token=one.token, keep=True) for one in self.registrations[-1].held)
        reply = RegisterReply(
            engine_id="eng_1", credential="engine-credential", heartbeat_s=self.heartbeat_s, lease_s=60.0, held=held
        )
        return json(reply)

    async def heartbeat(self, request: web.Request) -> web.Response:
        self.check(request)
        beat = Heartbeat.model_validate_json(await request.read())
        async with self.changed:
            self.beats.append(beat)
            self.changed.notify_all()
        renewed = tuple(Renewal(task_id=one.task_id, token=one.token, lease_s=60.0) for one in beat.running)
        return json(HeartbeatReply(renewed=renewed, heartbeat_s=self.heartbeat_s))

    async def lease(self, request: web.Request) -> web.Response:
        self.check(request)
        asked = LeaseRequest.model_validate_json(await request.read())
        self.lease_calls += 1
        self.newest = mine = self.newest + 1
        settled = tuple(Settlement(task_id=one.task_id, token=one.token, digest=digest_of(one)) for one in asked.reports)
        async with self.changed:
            self.finals.extend(one for one in asked.reports if isinstance(one, Final))
            self.changed.notify_all()
            try:
                async with asyncio.timeout(asked.wait_s):
                    await self.changed.wait_for(lambda: settled or self.newest != mine or self.orders or self.choose(asked))
            except TimeoutError:
                return json(LeaseReply(settled=settled))
            tasks = self.choose(asked) if self.newest == mine else ()
            for task in tasks:
                self.tasks.remove(task)
            orders, self.orders = tuple(self.orders), []
        return json(LeaseReply(tasks=tasks, settled=settled, orders=orders))

    def choose(self, asked: LeaseRequest) -> tuple[Grant, ...]:
        heavy = [task for task in self.tasks if task.kind not in LIGHT_TASK_KINDS][: asked.slots]
        light = [task for task in self.tasks if task.kind in LIGHT_TASK_KINDS][: asked.light_slots]
        return (*light, *heavy)

    async def offline(self, request: web.Request) -> web.Response:
        self.check(request)
        self.goodbyes += 1
        return web.json_response({"status": "ok"})

    async def get(self, request: web.Request) -> web.StreamResponse:
        content = self.files.get(request.match_info["path"])
        if content is None:
            return error(ErrorCode.FILE_NOT_FOUND)
        part = content[request.http_range] if request.http_range.start else content
        response = web.StreamResponse(status=206 if request.http_range.start else 200)
        response.content_length = len(part)
        await response.prepare(request)
        if self.cut_get_after is not None:
            await response.write(part[: self.cut_get_after])
            self.cut_get_after = None
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(part)
        return response

    async def put(self, request: web.Request) -> web.Response:
        self.puts += 1
        path = request.match_info["path"]
        content = await request.read()
        if path in self.files:
            return error(ErrorCode.FILE_EXISTS)
        self.files[path] = content
        if self.break_put(self.puts):
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=201)

    def check(self, request: web.Request) -> None:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.credentials:
            raise ReelyardError(ErrorCode.UNAUTHORIZED)

    def sha256(self, path: str) -> str:
        return hashlib.sha256(self.files[path]).hexdigest()


def json(message: object) -> web.Response:
    return web.Response(body=message.model_dump_json().encode(), content_type="application/json")  # type: ignore[attr-defined]


def error(code: ErrorCode, message: str = "no") -> web.Response:
    body = {"error": {"code": code, "message": message, "details": {}, "request_id": "req"}}
    return web.json_response(body, status=ReelyardError(code).status)


@web.middleware
async def envelope(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
    try:
        return await handler(request)  # type: ignore[misc,no-any-return]
    except ReelyardError as fault:
        return error(fault.code, fault.message)


@asynccontextmanager
async def serving(dispatch: Dispatch, port: int = 0) -> AsyncIterator[Dispatch]:
    """The dispatch on a free port of loopback; `url` tells where."""
    app = web.Application(middlewares=[envelope], client_max_size=64 << 20)
    handlers = {
        "register_engine": dispatch.register,
        "heartbeat": dispatch.heartbeat,
        "lease": dispatch.lease,
        "engine_offline": dispatch.offline,
        "signed_get": dispatch.get,
        "signed_put": dispatch.put,
    }
    for name, handler in handlers.items():
        app.router.add_route(BY_NAME[name].method, BY_NAME[name].path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    dispatch.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield dispatch
    finally:
        await runner.cleanup()
