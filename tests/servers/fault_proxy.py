"""A TCP proxy that fails on command: a partition that swallows bytes, a cut, a port where nobody listens any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

BLOCK = 64 << 10


class FaultProxy:
    """Passes connections on to `target` (host, port). `address` is where it listens, for its whole life the same.

    While it is `silent` no byte goes either way and connections hang, as behind a firewall that drops packets; what was
    sent meanwhile goes on afterwards. `cut` breaks every connection off with a reset. While it is `closed` connections are
    refused.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.address = ("127.0.0.1", 0)
        self.passed = 0
        self._flows = asyncio.Event()
        self._flows.set()
        self._lines: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[object]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return self.address[1]

    async def open(self) -> None:
        """Listen again, at the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, *self.address)
            self.address = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Refuse new connections and break off those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def silence(self) -> None:
        self._flows.clear()

    def heal(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Every connection is reset, on both sides."""
        for line in tuple(self._lines):
            with contextlib.suppress(RuntimeError):
                line.transport.abort()

    async def ended(self) -> None:
        """Once it is closed: every connection is gone."""
        while self._serving:
            await asyncio.wait(tuple(self._serving))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self._lines.add(writer)
        try:
            await self._pass_on(reader, writer)
        finally:
            self._lines.discard(writer)
            await _abort(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
        except OSError:
            return
        self._lines.add(far_writer)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pump(reader, far_writer))
                ways.create_task(self._pump(far_reader, writer))
        finally:
            self._lines.discard(far_writer)
            await _abort(far_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One way; the end of one side is told to the other, and a reset ends this way alone."""
        try:
            while block := await reader.read(BLOCK):
                await self._flows.wait()
                writer.write(block)
                await writer.drain()
                self.passed += len(block)
            writer.write_eof()
        except (ConnectionError, OSError):
            writer.transport.abort()


async def _abort(writer: asyncio.StreamWriter) -> None:
    """Reset, and wait until the socket is closed."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """In front of that server. Everything is broken off at the end."""
    proxy = FaultProxy((host, port))
    await proxy.open()
    try:
        yield proxy
    finally:
        proxy.heal()
        await proxy.close()
        await proxy.ended()
