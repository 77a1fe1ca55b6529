"""A line between an engine and a server that breaks when it is told to, and counts what went through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Wire:
    """`cut_up` and `cut_down` are after how many bytes the next connections break, one entry each; none, no break."""

    to: str
    cut_up: list[int] = field(default_factory=list)
    cut_down: list[int] = field(default_factory=list)
    sent_up: int = 0
    sent_down: int = 0
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.to)
        try:
            there, back = await asyncio.open_connection(target.hostname, target.port)
        except ConnectionError:
            writer.transport.abort()
            return
        ends = (writer, back)
        up, down = self._pump(reader, back, "up", ends), self._pump(there, writer, "down", ends)
        await asyncio.gather(up, down)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str, ends: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        passed = 0
        cuts = self.cut_up if way == "up" else self.cut_down
        try:
            while block := await reader.read(1 << 16):
                if cuts and passed + len(block) > cuts[0]:
                    writer.write(block[: max(0, cuts[0] - passed)])
                    await writer.drain()
                    self._count(way, max(0, cuts.pop(0) - passed))
                    raise ConnectionResetError
                writer.write(block)
                await writer.drain()
                passed += len(block)
                self._count(way, len(block))
        except ConnectionError:
            pass
        for end in ends:
            end.transport.abort()

    def _count(self, way: str, size: int) -> None:
        if way == "up":
            self.sent_up += size
        else:
            self.sent_down += size


@asynccontextmanager
async def wired(to: str) -> AsyncIterator[Wire]:
    wire = Wire(to)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.close()
