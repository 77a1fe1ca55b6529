"""Which store a server works on, as its settings say: SQLite in its data directory, or PostgreSQL with others."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import structlog

from config.dispatch import DispatchSettings
from dispatch.app.databases import open_postgres, reach_of, without_password
from dispatch.app.moved import DATABASE, admit_postgres, admit_sqlite
from dispatch.app.moving import mark_of
from dispatch.app.webhooks import public_url_of
from dispatch.clock import SystemChance, SystemClock
from dispatch.core.cluster import ServerRow
from dispatch.ports import CommitListener, Store
from dispatch.store.migrate import migrate
from dispatch.store.running import connect
from dispatch.store.sqlite import SqliteStore

log = structlog.get_logger("dispatch")


class OpenedStore(Store, Protocol):
    """A store with a life: it starts on the loop, and finishes what it was asked before it is closed."""

    def start(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opening:
    """`fatal` ends the process: memory can no longer be trusted."""

    settings: DispatchSettings
    data: Path
    server: ServerRow
    fatal: Callable[[str], None]


def open_store(opening: Opening, listeners: Sequence[CommitListener]) -> OpenedStore:
    """With the newest schema; nothing runs yet. Raises Unusable, and OperationalError when the database is not there."""
    if opening.settings.database.url is None:
        return _open_sqlite(opening, listeners)
    return _open_postgres(opening, listeners)


def _open_sqlite(opening: Opening, listeners: Sequence[CommitListener]) -> OpenedStore:
    admit_sqlite(opening.data)
    path = opening.data / DATABASE
    _make_private(path)
    connection = connect(f"sqlite:///{path}")
    migrate(connection)
    connection.close()
    return SqliteStore(str(path), listeners, opening.fatal, public_url=public_url_of(opening.settings))


def _make_private(database: Path) -> None:
    """For its owner alone, before SQLite makes it; its -wal and -shm follow it. What is there stays as its operator set it."""
    os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _open_postgres(opening: Opening, listeners: Sequence[CommitListener]) -> OpenedStore:
    database = opening.settings.database
    connection = open_postgres(database)
    try:
        migrate(connection)
        mark = mark_of(connection)
    finally:
        connection.close()
    if not admit_postgres(opening.data, mark):
        log.warning("sqlite_file_left_alone", path=str(opening.data / DATABASE), database=without_password(database.url or ""))
    from dispatch.store.postgres.store import Names, PostgresStore, Sizes, Surroundings

    names = Names(opening.server.server_id, opening.server.boot_id)
    around = Surroundings(SystemClock(), SystemChance().draw, opening.fatal, public_url_of(opening.settings))
    patience_s = database.connect_timeout_s + database.statement_timeout_s
    sizes = Sizes(patience_s, database.writers, database.pool_min, database.pool_max, database.idle_s)
    reach = reach_of(database)
    replica = None if database.read_url is None else replace(reach, url=database.read_url)
    return PostgresStore(reach, listeners, names, around, sizes, replica)
