"""A client that says exactly the bytes it is given, and sees exactly what comes back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.contract.api_server import Server


@dataclass(frozen=True, slots=True)
class Said:
    """One answer off the wire. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        code: str = json.loads(self.body)["error"]["code"]
        return code


@dataclass(frozen=True, slots=True)
class Line:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, *lines: str, body: bytes = b"") -> None:
        """A whole request: its line, its headers, its body."""
        self.writer.write("\r\n".join((*lines, "", "")).encode() + body)

    async def answer(self, *, is_bare: bool = False) -> Said:
        """The next answer; `is_bare` for one whose body does not come, as to HEAD."""
        status = await self.reader.readline()
        headers: dict[str, str] = {}
        while (line := await self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        size = 0 if is_bare else int(headers.get("content-length", 0))
        return Said(int(status.split()[1]), headers, await self.reader.readexactly(size))

    async def rest(self) -> bytes:
        """All that comes until the other side closes or resets."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def line(server: Server, **options: Any) -> AsyncIterator[Line]:  # Any: options of the socket
    host, port = server.web.addresses[0][:2]
    sock = socket.socket()
    for name, value in options.items():
        sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


def get(path: str, *headers: str) -> tuple[str, ...]:
    return (f"GET {path} HTTP/1.1", "Host: reelyard", *headers)


def post(server: Server, path: str, size: int, *headers: str) -> tuple[str, ...]:
    """The head of a POST of so many bytes of JSON."""
    key = f"X-API-Key: {server.key}"
    return (f"POST {path} HTTP/1.1", "Host: reelyard", key, "Content-Type: application/json", f"Content-Length: {size}", *headers)
