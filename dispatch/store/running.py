"""Runs the functions of a batch inside one SQLite transaction, a savepoint each. Knows no threads and no loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from dispatch.core.usage import Tally
from dispatch.ports import Commit, StaleRow, Transaction
from dispatch.store.metering import write_usage
from dispatch.store.statements import command
from dispatch.store.transaction import SqlTransaction
from dispatch.store.webhooks import Receivers
from protocol.errors import ErrorCode, ReelyardError

log = structlog.get_logger("store")
MOST_RERUNS = 5
Function = Callable[[Transaction], Any]  # every caller has its own result type
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000", "temp_store=MEMORY")


class Answer:
    """What became of one function of a batch: a result or an error, and what it changed."""

    __slots__ = ("commit", "error", "result")

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.commit: Commit | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What the functions of one batch share. `clock` stands in for the database's own."""

    receivers: Receivers
    used: Tally
    clock: Callable[[], float] | None = None


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
    """Run all in one durable transaction. Raises OperationalError when the whole batch died; nothing was kept then."""
    command(connection, "BEGIN IMMEDIATE")
    try:
        used, receivers = Tally(), Receivers(public_url)
        answers = [_run_one(connection, function, Batch(receivers, used, clock)) for function in functions]
        write_usage(connection, used)
        command(connection, "COMMIT")
    except BaseException:
        if _in_transaction(connection):
            command(connection, "ROLLBACK")
        raise
    return answers


def _run_one(connection: Connection, function: Function, batch: Batch) -> Answer:
    """What it used is added to that of the batch once it stands."""
    answer, receivers, used = Answer(), batch.receivers, batch.used
    for left in reversed(range(MOST_RERUNS)):
        transaction = SqlTransaction(connection, receivers, used, batch.clock)
        command(connection, "SAVEPOINT one")
        try:
            answer.result = function(transaction)
            transaction.flush_events()
        except StaleRow as stale:
            _undo(connection, receivers)
            answer.error = stale
            if left:
                continue
        except IntegrityError as error:  # a row against the rules is the fault of its function alone
            _undo(connection, receivers)
            answer.error = error
            return answer
        except DBAPIError:
            if not _in_transaction(connection):  # SQLITE_FULL and friends roll back everything, savepoints included
                raise
            _undo(connection, receivers)
            raise
        except Exception as error:  # noqa: BLE001  # belongs to the caller of the function, who gets it raised
            _undo(connection, receivers)
            answer.error = error
            return answer
        else:
            command(connection, "RELEASE one")
            answer.error = None
            answer.commit = transaction.changes()
            used.merge(transaction.used)
            return answer
    return answer


def _undo(connection: Connection, receivers: Receivers) -> None:
    receivers.forget()
    command(connection, "ROLLBACK TO one")
    command(connection, "RELEASE one")


def _in_transaction(connection: Connection) -> bool:
    raw: Any = connection.connection.dbapi_connection  # sqlite3.Connection behind SQLAlchemy's proxy
    return bool(raw.in_transaction)


def is_fatal(error: OperationalError) -> bool:
    """A failed fsync leaves the file in an unknown state: the process has to go and recover at its next start."""
    return "disk I/O error" in str(error.orig)


def is_full(error: OperationalError) -> bool:
    return "disk is full" in str(error.orig)


def unavailable(error: OperationalError) -> ReelyardError:
    """What a caller is told of a database that cannot be used now; what it said itself stands in the log."""
    log.warning("database_unavailable", reason=str(error.orig))
    code = ErrorCode.STORAGE_FULL if is_full(error) else ErrorCode.DATABASE_UNAVAILABLE
    return ReelyardError(code, retry_after=5.0)
