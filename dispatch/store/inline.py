"""The store run in line on one connection: every await ends at once. The simulation and unit tests use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from dispatch.ports import CommitListener, Transaction
from dispatch.store.running import run_batch, unavailable
from dispatch.store.transaction import SqlTransaction

T = TypeVar("T")


class InlineStore:
    """Satisfies `dispatch.ports.Store` with the same functions, statements and savepoints as the writer thread."""

    def __init__(
        self, connection: Connection, listeners: Sequence[CommitListener] = (), clock: Callable[[], float] | None = None
    ) -> None:
        """`clock` stands in for the database's own."""
        self._connection, self._clock = connection, clock
        self._listeners = tuple(listeners)

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        try:
            answer = run_batch(self._connection, [function], clock=self._clock)[0]
        except OperationalError as error:
            raise unavailable(error) from error
        if answer.error is not None:
            raise answer.error
        if answer.commit is not None:
            for listener in self._listeners:
                listener(answer.commit)
        result: Any = answer.result  # the batch erases the type, the caller's function gives it back
        return result  # type: ignore[no-any-return]  # see above

    async def read(self, function: Callable[[Transaction], T]) -> T:
        raw: Any = self._connection.connection.dbapi_connection  # sqlite3.Connection behind SQLAlchemy's proxy
        raw.execute("PRAGMA query_only=ON")
        try:
            return function(SqlTransaction(self._connection, clock=self._clock))
        except OperationalError as error:
            raise unavailable(error) from error
        finally:
            raw.execute("PRAGMA query_only=OFF")

    async def search(self, function: Callable[[Transaction], T]) -> T:
        return await self.read(function)
