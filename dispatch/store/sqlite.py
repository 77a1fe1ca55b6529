"""The store on SQLite: one writer thread with group commit, and readers on WAL connections of their own.

All functions that wait are run in one `BEGIN IMMEDIATE ... COMMIT` and answered after the commit. The listeners hear of
each commit on the event loop, in order, before any of those callers goes on.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from dispatch.ports import CommitListener, Transaction
from dispatch.store.running import PRAGMAS, Answer, Function, connect, is_fatal, run_batch, unavailable
from dispatch.store.statements import command
from dispatch.store.transaction import SqlTransaction
from protocol.errors import ErrorCode, ReelyardError

T = TypeVar("T")
MOST_IN_A_BATCH = 256
Waiting = tuple[Function, "asyncio.Future[Any]"]


class SqliteStore:
    """Satisfies `dispatch.ports.Store`. `fatal` is called, from the writer thread, when the file can no longer be trusted.

    `public_url` goes before the links in what webhooks tell.
    """

    def __init__(
        self, path: str, listeners: Sequence[CommitListener], fatal: Callable[[str], None], *, public_url: str = ""
    ) -> None:
        self._url = f"sqlite:///{path}"
        self._listeners = tuple(listeners)
        self._fatal = fatal
        self._public_url = public_url
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="store-reader")
        self._searcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-searcher")
        self._local = threading.local()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        """Run it durably. Raises what it raises, or a code that tells why nothing could be written.

        DATABASE_UNAVAILABLE, STORAGE_FULL, and SHUTTING_DOWN once the store is closed.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put((function, future))
        result: T = await future
        return result

    async def read(self, function: Callable[[Transaction], T]) -> T:
        """Run it on a snapshot; writes are refused by the connection. Raises DATABASE_UNAVAILABLE or SHUTTING_DOWN."""
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, function)

    async def search(self, function: Callable[[Transaction], T]) -> T:
        """The same on a thread of its own: a second's walk through a million jobs holds up no other reader."""
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._searcher, self._read, function)

    async def close(self) -> None:
        """Finish what is queued, then stop. Harmless when called twice or before the start."""
        self._is_closed = True
        if self._thread.is_alive():
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
        self._readers.shutdown(wait=True)
        self._searcher.shutdown(wait=True, cancel_futures=True)

    def _check_open(self) -> None:
        """After the close nobody would ever answer."""
        if self._is_closed:
            raise ReelyardError(ErrorCode.SHUTTING_DOWN)

    # --- the reader threads

    def _read(self, function: Callable[[Transaction], T]) -> T:
        try:
            return self._read_on(self._reader(), function)
        except OperationalError as error:
            raise unavailable(error) from error

    def _read_on(self, connection: Connection, function: Callable[[Transaction], T]) -> T:
        command(connection, "BEGIN")
        try:
            return function(SqlTransaction(connection))
        finally:
            command(connection, "ROLLBACK")

    def _reader(self) -> Connection:
        """This thread's own connection."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self._url, pragmas=("query_only=ON", "wal_autocheckpoint=0"))
        return connection

    # --- the writer thread

    def _write(self) -> None:
        connection = connect(self._url, pragmas=PRAGMAS)
        while (batch := self._take()) is not None:
            self._run(connection, batch)
        connection.close()

    def _take(self) -> list[Waiting] | None:
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < MOST_IN_A_BATCH:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            batch.append(following)
        return batch

    def _run(self, connection: Connection, batch: list[Waiting]) -> None:
        try:
            answers = run_batch(connection, [function for function, _ in batch], self._public_url)
        except (OperationalError, IntegrityError) as error:
            self._batch_died(connection, batch, error)
        except BaseException as error:
            self._fatal(f"the writer thread met {error!r}")
            raise
        else:
            self._deliver(batch, answers)

    def _batch_died(self, connection: Connection, batch: list[Waiting], error: DBAPIError) -> None:
        """Everything was rolled back: each function runs again alone, and the one that cannot gets the reason."""
        if is_fatal(error):
            self._fatal(str(error.orig))
            return
        if len(batch) > 1:
            for waiting in batch:
                self._run(connection, [waiting])
            return
        answer = Answer()
        answer.error = error if isinstance(error, IntegrityError) else unavailable(error)
        self._deliver(batch, [answer])

    def _deliver(self, batch: list[Waiting], answers: list[Answer]) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._tell, batch, answers)

    # --- back on the event loop

    def _tell(self, batch: list[Waiting], answers: list[Answer]) -> None:
        for answer in answers:
            if answer.commit is not None:
                for listener in self._listeners:
                    listener(answer.commit)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if answer.error is not None:
                future.set_exception(answer.error)
            else:
                future.set_result(answer.result)
