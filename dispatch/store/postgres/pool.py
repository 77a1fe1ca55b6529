"""Connections that readers borrow: opened when needed, the latest used first, closed when nobody needs them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dispatch.ports import Clock


@dataclass(frozen=True, slots=True)
class Idle:
    connection: Connection
    since: float


class Pool:
    """`keep` connections stay open however long they are idle, others for `idle_s`. How many there are, the borrowers decide."""

    def __init__(self, engine: Engine, clock: Clock, *, keep: int, idle_s: float) -> None:
        self._engine, self._clock, self._keep, self._idle_s = engine, clock, keep, idle_s
        self._idle: deque[Idle] = deque()  # the one used last at the right
        self._lock = threading.Lock()
        self._is_closed = False

    @contextmanager
    def borrowed(self) -> Iterator[Connection]:
        """One in autocommit mode. It is closed when it was lost meanwhile. Raises DBAPIError when none can be opened."""
        connection = self._take() or self._engine.connect()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def shed(self) -> None:
        """Close what nobody needed for long. To be called now and then."""
        oldest = self._clock.monotonic() - self._idle_s
        over: list[Idle] = []
        with self._lock:
            while len(self._idle) > self._keep and self._idle[0].since <= oldest:
                over.append(self._idle.popleft())
        for idle in over:
            close(idle.connection)

    def forget_idle(self) -> None:
        """After one connection was lost the others hardly live."""
        with self._lock:
            over = list(self._idle)
            self._idle.clear()
        for idle in over:
            close(idle.connection)

    def close(self) -> None:
        self._is_closed = True
        self.forget_idle()

    @property
    def idle(self) -> int:
        return len(self._idle)

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop().connection if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        if self._is_closed or not is_usable(connection):
            close(connection)
            return
        with self._lock:
            self._idle.append(Idle(connection, self._clock.monotonic()))


def is_usable(connection: Connection) -> bool:
    """Whether it is open and in no transaction."""
    if connection.closed or connection.invalidated:
        return False
    raw: Any = connection.connection.dbapi_connection  # psycopg.Connection behind SQLAlchemy's proxy
    return not raw.closed and raw.info.transaction_status == raw.info.transaction_status.IDLE


def close(connection: Connection) -> None:
    """Whatever state it is in."""
    with suppress(DBAPIError):
        connection.invalidate()
    with suppress(DBAPIError):
        connection.close()
