"""Runs the functions of a batch inside one transaction, a savepoint each. Knows no threads, no loop and no commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from dispatch.core.usage import Tally
from dispatch.ports import Commit, StaleRow, Transaction
from dispatch.store.metering import write_usage
from dispatch.store.statements import command
from dispatch.store.transaction import SqlTransaction, flush_all
from dispatch.store.webhooks import Receivers

MOST_RERUNS = 5
Function = Callable[[Transaction], Any]  # every caller has its own result type


class Answer:
    """What became of one function of a batch: a result or an error, and what it changed."""

    __slots__ = ("commit", "error", "result", "transaction")

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.commit: Commit | None = None
        self.transaction: SqlTransaction | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What the functions of one batch share. `clock` stands in for the database's own.

    `numbers_last`: events get their numbers not at the end of their function but of the batch, by `number`.
    """

    receivers: Receivers
    clock: Callable[[], float] | None = None
    numbers_last: bool = False
    used: Tally = field(default_factory=Tally)


def run_functions(connection: Connection, functions: Sequence[Function], batch: Batch, *, part: str = "") -> list[Answer]:
    """Run all, and write what they used. Raises DBAPIError when the whole transaction died.

    The last savepoint stays open until the end of the transaction: to release it would be one more message to the database.
    """
    answers: list[Answer] = []
    for function in functions:
        command(connection, *(("RELEASE one", "SAVEPOINT one") if answers else ("SAVEPOINT one",)))
        answers.append(_run_one(connection, function, batch))
    write_usage(connection, batch.used, part)
    return answers


def number(connection: Connection, answers: Sequence[Answer]) -> None:
    """Events and the like get their numbers, in the order of the functions: the last that happens before the commit."""
    stand = [(answer, answer.transaction) for answer in answers if answer.transaction is not None]
    flush_all(connection, [transaction for _, transaction in stand])
    for answer, transaction in stand:
        answer.commit = transaction.changes()


def _run_one(connection: Connection, function: Function, batch: Batch) -> Answer:
    """What it used is added to that of the batch once it stands."""
    answer = Answer()
    for left in reversed(range(MOST_RERUNS)):
        transaction = SqlTransaction(connection, batch.receivers, batch.used, batch.clock)
        try:
            answer.result = function(transaction)
            transaction.find_receivers() if batch.numbers_last else transaction.flush()
        except StaleRow as stale:
            _undo(connection, batch.receivers)
            answer.error = stale
            if left:
                continue
        except (IntegrityError, DataError) as error:  # a row against the rules is the fault of its function alone
            _undo(connection, batch.receivers)
            answer.error = error
            return answer
        except DBAPIError:
            if not in_transaction(connection):  # SQLITE_FULL and friends roll back everything, savepoints included
                raise
            _undo(connection, batch.receivers)
            raise
        except Exception as error:  # noqa: BLE001  # belongs to the caller of the function, who gets it raised
            _undo(connection, batch.receivers)
            answer.error = error
            return answer
        else:
            answer.error, answer.transaction = None, transaction
            answer.commit = None if batch.numbers_last else transaction.changes()
            batch.used.merge(transaction.used)
            return answer
    return answer


def _undo(connection: Connection, receivers: Receivers) -> None:
    """The savepoint is still there afterwards."""
    receivers.forget()
    command(connection, "ROLLBACK TO one")


def in_transaction(connection: Connection) -> bool:
    if connection.invalidated:  # SQLAlchemy has seen it lost, and would connect anew, or refuse to
        return False
    raw: Any = connection.connection.dbapi_connection  # the driver's own, behind SQLAlchemy's proxy
    if connection.dialect.name == "postgresql":
        return not raw.closed and raw.info.transaction_status != raw.info.transaction_status.IDLE
    return bool(raw.in_transaction)
