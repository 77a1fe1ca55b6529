"""A receiver of webhooks: a real HTTP server that keeps what it gets, and answers by what its paths are told to do."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web
from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> Any:  # JSON
        return orjson.loads(self.body)

    @property
    def event(self) -> str:
        type_: str = self.told["type"]
        return type_

    def is_signed_with(self, secret: str) -> bool:
        """By the library, at the moment the message says it was sent; `verify` itself looks at the real clock."""
        moment = datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)
        expected = Webhook(secret).sign(self.id, moment, self.body.decode())
        return expected in self.headers["webhook-signature"].split(" ")


Answering = Callable[[Received], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Receiver:
    """`answers` are what a path gives next, in order; then, and elsewhere, `always`. A number is a status.

    `released` is for answers that are held back.
    """

    port: int = 0
    got: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    answers: dict[str, list[int | Answering]] = field(default_factory=lambda: defaultdict(list))
    always: dict[str, int | Answering] = field(default_factory=dict)
    flying: Counter[str] = field(default_factory=Counter)
    most_flying: Counter[str] = field(default_factory=Counter)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def until(self, count: int) -> list[Received]:
        """What came, once it is so much."""
        while len(self.got) < count:
            self._news.clear()
            await self._news.wait()
        return self.got

    def at(self, path: str) -> list[Received]:
        return [one for one in self.got if one.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.path, {k.lower(): v for k, v in request.headers.items()}, await request.read())
        self.got.append(received)
        self.flying[request.path] += 1
        self.most_flying[request.path] = max(self.most_flying[request.path], self.flying[request.path])
        self._news.set()
        try:
            return await self._answer(request, received)
        finally:
            self.flying[request.path] -= 1

    async def _answer(self, request: web.Request, received: Received) -> web.StreamResponse:
        script = self.answers[request.path]
        answer = script.pop(0) if script else self.always.get(request.path, 200)
        response = web.Response(status=answer) if isinstance(answer, int) else await answer(received)
        if 200 <= response.status < 300:
            self.taken.append(received)
        if response.status == DROPPED and request.transport is not None:
            request.transport.abort()
        return response


DROPPED = 599
"""A status that stands for no answer: the connection is cut."""


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", made.handle)
    running = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await running.setup()
    await web.TCPSite(running, "127.0.0.1", 0).start()
    made.port = running.addresses[0][1]
    try:
        yield made
    finally:
        await running.cleanup()


@asynccontextmanager
async def raw_server(answer: bytes, *, holds: bool = False) -> AsyncIterator[int]:
    """A port that says these bytes to whoever connects, whatever it is asked; `holds` leaves the connection open."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        talks.append(over)
        try:
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
            if holds:
                await reader.read()
        except ConnectionError:
            pass  # a client that has heard enough
        finally:
            writer.close()
            over.set()

    talks: list[asyncio.Event] = []
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for over in talks:
            await over.wait()
