"""Runs the functions of a batch inside one SQLite transaction. Knows no threads and no loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from dispatch.store.batch import Answer as Answer
from dispatch.store.batch import Batch, in_transaction, run_functions
from dispatch.store.batch import Function as Function
from dispatch.store.statements import command
from dispatch.store.webhooks import Receivers
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger("store")
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000", "temp_store=MEMORY")


def connect(url: str, *, pragmas: Sequence[str] = PRAGMAS) -> Connection:
    """One connection in autocommit mode: BEGIN IMMEDIATE, savepoints and COMMIT are ours."""
    arguments = {"isolation_level": None, "check_same_thread": False, "cached_statements": 512}
    engine = create_engine(url, connect_args=arguments, poolclass=StaticPool)

    @event.listens_for(engine, "connect")
    def prepare(raw: Any, _: Any) -> None:  # DB-API objects have no common type
        for pragma in pragmas:
            raw.execute(f"PRAGMA {pragma}")

    return engine.connect()


def run_batch(
    connection: Connection, functions: Sequence[Function], public_url: str = "", clock: Callable[[], float] | None = None
) -> list[Answer]:
    """Run all in one durable transaction. Raises DBAPIError when the whole batch died; nothing was kept then."""
    command(connection, "BEGIN IMMEDIATE")
    try:
        answers = run_functions(connection, functions, Batch(Receivers(public_url), clock))
        command(connection, "COMMIT")
    except BaseException:
        if in_transaction(connection):
            command(connection, "ROLLBACK")
        raise
    return answers


def is_fatal(error: DBAPIError) -> bool:
    """A failed fsync leaves the file in an unknown state: the process has to go and recover at its next start."""
    return "disk I/O error" in str(error.orig)


def is_full(error: DBAPIError) -> bool:
    return "disk is full" in str(error.orig)


def unavailable(error: DBAPIError) -> ReelyardError:
    """What a caller is told of a database that cannot be used now; what it said itself stands in the log."""
    log.warning("database_unavailable", reason=str(error.orig))
    code = ErrorCode.STORAGE_FULL if is_full(error) else ErrorCode.DATABASE_UNAVAILABLE
    return ReelyardError(code, retry_after=5.0)
