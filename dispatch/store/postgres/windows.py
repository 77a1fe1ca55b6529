"""Calls counted by several servers together: one small statement for all that wait, beside the transactions of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from dispatch.ports.limits import Count
from dispatch.store.postgres.connecting import Reach, engine_of
from dispatch.store.postgres.faults import Fault, as_told, fault_of
from dispatch.store.postgres.pool import close, is_usable
from protocol.errors import ErrorCode, ReelyardError

LONGEST_S = 2.0
LONGEST_MS = str(int(LONGEST_S * 1000))
"""A count that takes longer is given up, also where the database says nothing: nobody waits for it any longer than that."""

SETTINGS = {
    "synchronous_commit": "off",  # a crash of PostgreSQL may forget the calls of its last moments, and nothing else
    "statement_timeout": LONGEST_MS,
    "lock_timeout": LONGEST_MS,
}
NOW = "extract(epoch FROM clock_timestamp())::float8"
ADD = text(f"""
    INSERT INTO rate_windows AS known (name, calls, ends)
    SELECT name, calls, {NOW} + span FROM unnest(CAST(:names AS text[]), CAST(:calls AS bigint[]), CAST(:spans AS bigint[]))
        AS told (name, calls, span) ORDER BY name
    ON CONFLICT (name) DO UPDATE SET
        calls = CASE WHEN known.ends <= {NOW} THEN excluded.calls ELSE known.calls + excluded.calls END,
        ends = CASE WHEN known.ends <= {NOW} THEN excluded.ends ELSE known.ends END
    RETURNING name, calls, ends - {NOW}
""")
"""Each row is locked before it is looked at, so that no call is counted twice or not at all; in the order of their names, so
that two servers never wait for each other."""


class PostgresWindows:
    """An Adding. It has one connection and one thread of its own."""

    def __init__(self, reach: Reach) -> None:
        self._engine = engine_of(reach, SETTINGS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-windows")
        self._connection: Connection | None = None

    async def add(self, calls: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], Count]:
        adding = asyncio.get_running_loop().run_in_executor(self._thread, self._add, dict(calls))
        try:
            async with asyncio.timeout(LONGEST_S):
                return await adding
        except TimeoutError as late:
            raise ReelyardError(ErrorCode.DATABASE_UNAVAILABLE) from late

    async def close(self) -> None:
        """Harmless when called twice."""
        await asyncio.to_thread(self._thread.shutdown)
        if self._connection is not None:
            close(self._connection)
            self._connection = None

    def _add(self, calls: dict[tuple[str, int], int]) -> dict[tuple[str, int], Count]:
        """A connection that was lost since it was used last is opened anew, once."""
        try:
            return self._add_once(calls)
        except DBAPIError as error:
            if fault_of(error) is not Fault.LOST:
                raise as_told(error) from error
        try:
            return self._add_once(calls)
        except DBAPIError as error:
            raise as_told(error) from error

    def _add_once(self, calls: dict[tuple[str, int], int]) -> dict[tuple[str, int], Count]:
        connection = self._opened()
        try:
            names = {f"{name}:{span}": (name, span) for name, span in calls}
            values = {"names": list(names), "calls": list(calls.values()), "spans": [span for _, span in calls]}
            return {names[name]: Count(count, left) for name, count, left in connection.execute(ADD, values)}
        finally:
            if not is_usable(connection):
                close(connection)
                self._connection = None

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection
