"""Searches on a replica, once it shows all that was committed when they were asked for: on whichever server somebody wrote,
he finds it on every other one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from dispatch.ports import Clock, Transaction
from dispatch.store.postgres.faults import Fault, fault_of
from dispatch.store.postgres.pool import Pool
from dispatch.store.postgres.snapshots import on_snapshot
from dispatch.store.statements import Statement

T = TypeVar("T")
log = structlog.get_logger("store")
LONGEST_LAG_S, LOOK_AGAIN_S = 0.5, 0.005
LEFT_ALONE_S = 5.0
WRITTEN = Statement(text("SELECT pg_current_wal_insert_lsn()::text"))
REPLAYED = Statement(text("SELECT pg_last_wal_replay_lsn()::text"))


class Behind(Exception):
    """The replica lags, or cannot be reached: the primary has to be asked."""


def place_of(lsn: str) -> int:
    """`16/B374D848`, as PostgreSQL writes a place in its log."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


class Replica:
    """One that failed or lagged is left alone for a moment."""

    def __init__(self, primary: Pool, pool: Pool, clock: Clock) -> None:
        self._primary, self._pool, self._clock = primary, pool, clock
        self._left_alone_until = 0.0

    def search(self, function: Callable[[Transaction], T]) -> T:
        """From any thread. Raises Behind, and what the function raises."""
        if self._clock.monotonic() < self._left_alone_until:
            raise Behind
        try:
            with self._primary.borrowed() as connection:
                needed = place_of(WRITTEN.rows(connection)[0][0])
            with self._pool.borrowed() as connection:
                self._wait(connection, needed)
                return on_snapshot(connection, function)
        except DBAPIError as error:
            if fault_of(error) is Fault.OURS:
                raise
            if fault_of(error) is not Fault.RACE:  # what is replayed may end a long read: no sign of trouble
                self._leave_alone(str(error.orig).strip())
            raise Behind from error

    def _wait(self, connection: Connection, needed: int) -> None:
        """Until it has replayed so much; the snapshot is taken after that. One that is no replica any more says nothing."""
        until = self._clock.monotonic() + LONGEST_LAG_S
        while (replayed := REPLAYED.rows(connection)[0][0]) is not None and place_of(replayed) < needed:
            if self._clock.monotonic() >= until:
                self._leave_alone(f"it lags by more than {LONGEST_LAG_S:g} s")
                raise Behind
            threading.Event().wait(LOOK_AGAIN_S)
        if replayed is None:
            self._leave_alone("it is no replica")
            raise Behind

    def _leave_alone(self, reason: str) -> None:
        log.warning("replica_left_alone", reason=reason, for_s=LEFT_ALONE_S)
        self._pool.forget_idle()
        self._left_alone_until = self._clock.monotonic() + LEFT_ALONE_S
