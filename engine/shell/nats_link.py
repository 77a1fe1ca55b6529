"""The engine's connection to NATS: made in the background, for ever. A call that waits when it is lost ends at once."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from engine.shell.broker import BrokerPlace
from protocol.subjects import Subjects

CONNECT_S, RECONNECT_S, PING_S = 2, 1, 10
"""Whole seconds, as the library takes them. A server that is frozen is given up after two pings without an answer."""

CLOSE_S = 2.0
FAULTS = (nats.errors.Error, TimeoutError, OSError, ValueError)


class BrokerAway(Exception):
    """The broker, or dispatch behind it, did not answer. What was sent may have arrived or not."""


class NatsLink:
    def __init__(self, place: BrokerPlace) -> None:
        self._place = place
        self.client = Client()
        self.js: JetStreamContext = self.client.jetstream()
        self._spans: set[asyncio.Timeout] = set()
        self._tried = asyncio.Event()

    async def tried(self) -> None:
        """Until the first connection is made, or the first try at it has failed."""
        await self._tried.wait()

    @property
    def is_up(self) -> bool:
        return self.client.is_connected

    async def run(self) -> None:
        """Until cancelled. The library connects again by itself, and renews what is subscribed to."""
        place = self._place
        try:
            await self.client.connect(
                servers=list(place.servers),
                name=place.name,
                inbox_prefix=Subjects(place.prefix).inbox("engine"),
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
            )
            self._tried.set()
            if not _is_cancelled():
                await asyncio.get_running_loop().create_future()
        finally:
            await self._close()

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """A call over the broker, with the span it has. What keeps it from an answer is BrokerAway, a lost connection at once."""
        if not self.is_up:
            raise BrokerAway("it is not connected")
        try:
            async with asyncio.timeout(seconds) as span:
                self._spans.add(span)
                try:
                    yield span
                finally:
                    self._spans.discard(span)
        except FAULTS as fault:
            raise BrokerAway(str(fault) or ("no answer in time" if self.is_up else "the connection was lost")) from fault

    async def _on_lost(self) -> None:
        end(self._spans)

    async def _on_error(self, fault: Exception) -> None:
        """What a call makes of it is told there; while nobody calls it does not matter."""
        self._tried.set()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.client.close()
        except (TimeoutError, nats.errors.Error):
            return


def end(spans: Iterable[asyncio.Timeout]) -> None:
    """Whoever waits within them waits no longer."""
    now = asyncio.get_running_loop().time()
    for span in spans:
        if not span.expired():
            span.reschedule(now)


def _is_cancelled() -> bool:
    """The library now and then takes a cancellation for the end of its own waiting."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _password(file: Path | None) -> str | Callable[[], str] | None:
    return None if file is None else lambda: file.read_text(encoding="utf-8").strip()
