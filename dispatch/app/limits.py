"""Where calls are counted: by one server in its memory, by several in the database they share."""

from __future__ import annotations

from config.database import Database
from dispatch.app.databases import reach_of
from dispatch.ports import Clock
from dispatch.ports.limits import RateWindows
from dispatch.services.limits import MemoryWindows, SharedWindows


def windows_of(database: Database, clock: Clock) -> RateWindows:
    """The database has been opened before: its driver is there."""
    if database.url is None:
        return MemoryWindows(clock)
    from dispatch.store.postgres.windows import PostgresWindows

    return SharedWindows(PostgresWindows(reach_of(database)), clock)
