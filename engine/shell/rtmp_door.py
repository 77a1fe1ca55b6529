"""Listens for the one publisher of a live stream by RTMP. The engine speaks the protocol itself: no tool gets a network."""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from engine.core.flv import Stream
from engine.core.rtmp import APP, Publisher
from engine.core.rtmp_chunks import Refused
from engine.shell.intake import Intake
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger()
READ_BYTES = 64 << 10
GREET_S, SILENT_S = 10.0, 15.0
"""How long a stranger may take to show the key, and how long a publisher may say nothing."""

RETURN_S = 10.0
"""How long a publisher whose connection broke may take to come back; the stream then goes on."""

MOST_STRANGERS = 8


@dataclass(frozen=True, slots=True)
class Listening:
    """`address` is what publishers are told; `ports` are tried in their order, 0 is any free one."""

    host: str = "127.0.0.1"
    ports: Sequence[int] = (0,)
    address: str = ""

    def bound(self) -> socket.socket:
        """Raises ReelyardError where every port is taken."""
        for port in self.ports:
            with suppress(OSError):
                return socket.create_server((self.host, port), family=_family(self.host), backlog=MOST_STRANGERS)
        message = f"No port of {self.host} is free for another live stream; give the engine more (`live_ports`)."
        raise ReelyardError(ErrorCode.LIVE_NO_PORT, message)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class RtmpDoor:
    """`key` is what a publisher must show: the last part of the address."""

    def __init__(self, listening: Listening, key: str) -> None:
        self._key = key
        self._socket = listening.bound()
        host = listening.address or listening.host
        name = f"[{host}]" if ":" in host else host
        self.ingest_url: str | None = f"rtmp://{name}:{self._socket.getsockname()[1]}/{APP}/{key}"
        self._stream = Stream()
        self._strangers = 0
        self._is_taken = False
        self._left = asyncio.Event()

    async def run(self, intake: Intake) -> None:
        """Satisfies `Source`. Ends when the publisher says so, stays away, or `intake.over` is set."""
        async with self._served(intake):
            while not intake.over.is_set():
                self._left.clear()
                if self._is_taken or not intake.opened.is_set():
                    await _first_of(intake.over, self._left)
                elif not await _within(RETURN_S, intake.over, self._left) and not self._is_taken:
                    log.info("publisher_stays_away", after_s=RETURN_S)
                    return
        rest = self._stream.close()
        if rest:
            intake.open(rest)
            await intake.take(rest)

    @asynccontextmanager
    async def _served(self, intake: Intake) -> AsyncIterator[None]:
        connections: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                connections.add(task)
                task.add_done_callback(connections.discard)
            with suppress(asyncio.CancelledError):  # by us, below; asyncio's own callback does not expect it
                await self._serve(reader, writer, intake)

        server = await asyncio.start_server(serve, sock=self._socket, limit=READ_BYTES)
        try:
            yield
        finally:
            server.close()
            for connection in tuple(connections):
                connection.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, intake: Intake) -> None:
        publisher = Publisher(self._accepts)
        self._strangers += 1
        try:
            if self._strangers > MOST_STRANGERS:
                return
            async with asyncio.timeout(GREET_S):
                while not publisher.is_publishing and await self._step(publisher, reader, writer, intake):
                    continue
            if publisher.is_publishing:
                log.info("publisher_came")
                self._strangers -= 1
                while await self._step(publisher, reader, writer, intake):
                    continue
        except (Refused, TimeoutError, ConnectionError) as reason:
            log.info("publisher_left", reason=str(reason) or "it said nothing any more", was_publishing=publisher.is_publishing)
        finally:
            if publisher.is_publishing:
                self._stream.timeline.cut()
                self._is_taken = False
                self._left.set()
            else:
                self._strangers -= 1
            writer.close()

    def _accepts(self, key: str) -> bool:
        if self._is_taken or not hmac.compare_digest(key.encode(), self._key.encode()):
            return False
        self._is_taken = True
        return True

    async def _step(
        self, publisher: Publisher, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, intake: Intake
    ) -> bool:
        """Whether there may be more. Time spent on waiting for the tool is none of the publisher's."""
        async with asyncio.timeout(SILENT_S):
            data = await reader.read(READ_BYTES)
        if not data:
            return False
        heard = publisher.read(data)
        if heard.answers:
            writer.write(heard.answers)
            await writer.drain()
        for tag in heard.tags:
            was_open = self._stream.head is not None
            piece = self._stream.take(tag)
            if piece and not was_open:
                intake.open(piece)
            if piece:
                await intake.take(piece)
        intake.seconds = self._stream.seconds
        if self._stream.is_other:
            log.info("stream_changed", problem="the picture is of another kind or size now: this stream is over")
        is_over = heard.is_over or self._stream.is_other
        if is_over:
            intake.over.set()
        return not is_over


async def _first_of(*events: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


async def _within(seconds: float, over: asyncio.Event, left: asyncio.Event) -> bool:
    """Whether something happened in time."""
    try:
        async with asyncio.timeout(seconds):
            await _first_of(over, left)
    except TimeoutError:
        return False
    return True
