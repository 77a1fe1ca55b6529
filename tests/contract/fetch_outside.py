"""The world outside for tests of the fetcher: a raw server that answers from a script, names that resolve as told."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import pytest

from engine.core.fetching import InputFailed
from engine.shell.fetch import Fetcher
from protocol.addresses import Address, FetchPolicy


@dataclass
class Moments:
    """A clock on which waiting takes no time."""

    elapsed: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.elapsed += seconds
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Asked:
    """One request. Header names are in small letters."""

    path: str
    headers: dict[str, str]
    number: int


Answer = Callable[[Asked], Sequence[bytes] | bytes]
"""The whole answer as it goes over the wire; the connection is closed after it. Blocks go out one by one."""


class Outside:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    @property
    def ranges(self) -> list[str | None]:
        return [asked.headers.get("range") for asked in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            asked = Asked(head[0].split(" ")[1], {k.lower(): v for k, v in headers.items()}, len(self.asked))
            self.asked.append(asked)
            answer = self._answer(asked)
            for block in [answer] if isinstance(answer, bytes) else answer:
                writer.write(block)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the fetcher left, as it may
        finally:
            writer.close()


@asynccontextmanager
async def outside(answer: Answer) -> AsyncIterator[Outside]:
    made = Outside(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def http(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer with its length; `content_range="..."` becomes `Content-Range: ...`."""
    told = {"Content-Length": str(len(body)), "Connection": "close"} | {
        k.replace("_", "-").title(): v for k, v in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def ranged(content: bytes, asked: Asked, **headers: str) -> bytes:
    """What a proper file server answers."""
    if "range" not in asked.headers:
        return http("200 OK", content, **headers)
    first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
    begin, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
    return http("206 Partial Content", content[begin : end + 1], content_range=f"bytes {begin}-{end}/{len(content)}", **headers)


def redirect(location: str) -> bytes:
    return http("302 Found", location=location)


@dataclass
class Names:
    """A resolver that answers each question for a name with the next of its answers, and the last one for ever."""

    answers: dict[str, list[list[str]]]
    questions: list[str] = field(default_factory=list)

    async def __call__(self, host: str) -> Sequence[Address]:
        self.questions.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.answers[host]
        return [ip_address(text) for text in (answers.pop(0) if len(answers) > 1 else answers[0])]


def policy(*ports: int, **limits: float) -> FetchPolicy:
    """For servers on this machine."""
    return FetchPolicy.model_validate({"allow_private_addresses": True, "ports": ports, "seconds": 20.0, **limits})


def fetcher(clock: Moments, names: Names | None = None) -> Fetcher:
    return Fetcher(clock, lambda: 0.5, names or Names({}))


async def fetched(server: Outside, target: Path, clock: Moments, path: str = "/a.mp4", **limits: float) -> bytes:
    async with fetcher(clock).within(policy(server.port, **limits)) as fetching:
        await fetching.get(server.url + path, target / "input")
    return (target / "input").read_bytes()


async def failed(answer: Answer, target: Path, clock: Moments, **limits: float) -> tuple[str, str]:
    async with outside(answer) as server:
        with pytest.raises(InputFailed) as missing:
            await fetched(server, target, clock, "/a.mp4?signature=s3cret", **limits)
    assert "s3cret" not in missing.value.message
    return missing.value.code, re.sub(r"127\.0\.0\.1", "HOST", missing.value.message)


def cut(answer: bytes, size: int) -> bytes:
    """The answer up to so many bytes of its body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + body[:size]
