"""The connection to NATS: made in the background, for ever, and one line in the log each time it goes or comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import nats
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

log = structlog.get_logger("broker")
CONNECT_S, RECONNECT_S, PING_S = 2, 1, 10
"""Whole seconds, as the library takes them. A server that is frozen is given up after two pings without an answer."""

CLOSE_S = 2.0
FAULTS = (nats.errors.Error, TimeoutError, OSError)
"""Of a connection; the library lets some of the system's own through, as of one that was cut."""


@dataclass(frozen=True, slots=True)
class NatsPlace:
    """Where the broker is, and how to be let in. Files are read at each connection, so that they may be changed.

    `inbox` begins the subjects that answers come to: those of engines are others, and may be kept apart.
    """

    servers: tuple[str, ...]
    name: str
    inbox: str = "_INBOX"
    credentials_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


class NatsLink:
    """`ready` is run after each connection, before the link counts as there; what it raises keeps it away."""

    def __init__(self, place: NatsPlace) -> None:
        self._place = place
        self.client = Client()
        self.js: JetStreamContext = self.client.jetstream(timeout=5.0)
        self.ready: list[Callable[[], Awaitable[None]]] = []
        self._problem: str | None = "not connected yet"
        self._is_told_away = self._is_ending = False
        self._changed = asyncio.Event()

    @property
    def problem(self) -> str | None:
        return self._problem

    async def run(self) -> None:
        """Until cancelled: connected whenever a server of the list can be reached."""
        try:
            await self._connect()
            while not _is_cancelled():
                self._changed.clear()
                if self.client.is_connected and self._problem is not None:
                    await self._get_ready()
                if not _is_cancelled():
                    await self._wait()
        finally:
            self._is_ending = True
            await self._close()

    async def _connect(self) -> None:
        place = self._place
        await self.client.connect(
            servers=list(place.servers),
            name=place.name,
            inbox_prefix=place.inbox,
            connect_timeout=CONNECT_S,
            reconnect_time_wait=RECONNECT_S,
            max_reconnect_attempts=-1,
            ping_interval=PING_S,
            user=place.user,
            password=_password(place.password_file),
            user_credentials=str(place.credentials_file) if place.credentials_file is not None else None,
            tls=ssl.create_default_context(cafile=str(place.ca_file)) if place.ca_file is not None else None,
            error_cb=self._on_error,
            disconnected_cb=self._on_lost,
            reconnected_cb=self._on_back,
        )

    async def _get_ready(self) -> None:
        """Streams and consumers may be others than before: the server may have come back without its disk."""
        try:
            for step in self.ready:
                await step()
        except FAULTS as fault:
            self._lost(f"it is connected, but not usable: {_words(fault)}")
        else:
            self._problem = None
            if self._is_told_away:
                log.info("broker_back")
            self._is_told_away = False

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(RECONNECT_S if self._problem is not None else None):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _on_lost(self) -> None:
        self._lost("the connection is lost")

    async def _on_back(self) -> None:
        self._changed.set()

    async def _on_error(self, fault: Exception) -> None:
        """While it is away each try ends here; a line each would fill the disk."""
        if not self.client.is_connected:
            self._lost(_words(fault))

    def _lost(self, problem: str) -> None:
        self._problem = problem
        if not self._is_told_away and not self._is_ending:
            log.warning("broker_away", reason=problem, advice="engines go on by HTTP; does it run, and is [nats] right?")
        self._is_told_away = True
        self._changed.set()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.client.close()
        except FAULTS:
            return


def _is_cancelled() -> bool:
    """The library now and then takes a cancellation for the end of its own waiting."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _password(file: Path | None) -> str | Callable[[], str] | None:
    return None if file is None else lambda: file.read_text(encoding="utf-8").strip()


def _words(fault: Exception) -> str:
    return str(fault) or type(fault).__name__
