"""The store on PostgreSQL: writers side by side, readers on snapshots, and a feed that tells commits in one order.

A caller of `transact` is answered when its commit has been told here, after all those before it on any server.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

from dispatch.ports import Clock, CommitListener, Transaction
from dispatch.store.postgres.connecting import Reach, reading, writing
from dispatch.store.postgres.faults import UNAVAILABLE_S, Fault, as_told, fault_of
from dispatch.store.postgres.feed import Feed, Told
from dispatch.store.postgres.pool import Pool
from dispatch.store.postgres.replica import Behind, Replica
from dispatch.store.postgres.snapshots import on_snapshot
from dispatch.store.postgres.writer import Counts, Shared, Waiting, Writer
from protocol.errors import ErrorCode, ReelyardError

T = TypeVar("T")
log = structlog.get_logger("store")
MOST_IN_A_BATCH = 256
SEARCHERS = 2
FEEDS = 1


@dataclass(frozen=True, slots=True)
class Names:
    """`server_id` is that of the server for all its runs; `run_id` is new with each, and of no other server."""

    server_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """`most` connections at once: the writers, the feed, two searchers, and readers; of those of readers `keep` stay open.

    `patience_s`: how long a call waits to be begun, and a read to be answered, by a database that may say nothing any more.
    """

    patience_s: float = 35.0
    writers: int = 1
    keep: int = 2
    most: int = 30
    idle_s: float = 300.0

    @property
    def readers(self) -> int:
        return max(1, self.most - self.writers - SEARCHERS - FEEDS)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`fatal` is called, from any thread, when memory can no longer be trusted; `chance` draws from [0, 1)."""

    clock: Clock
    chance: Callable[[], float]
    fatal: Callable[[str], None]
    public_url: str = ""


class PostgresStore:
    """Satisfies `dispatch.ports.Store`. Searches go to the `replica`, if there is one that keeps up."""

    def __init__(
        self,
        reach: Reach,
        listeners: Sequence[CommitListener],
        names: Names,
        around: Surroundings,
        sizes: Sizes | None = None,
        replica: Reach | None = None,
    ) -> None:
        sizes = sizes or Sizes()
        self._listeners = tuple(listeners)
        self._around = around
        self._patience_s = sizes.patience_s
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._unbegun: dict[int, Waiting] = {}  # by numbers that the queue holds; whoever takes it out answers it
        self._numbers = itertools.count(1)
        self._closing = threading.Event()
        self._pool = Pool(reading(reach), around.clock, keep=sizes.keep, idle_s=sizes.idle_s)
        self._pools = [self._pool]
        self._replica: Replica | None = None
        if replica is not None:
            self._pools.append(Pool(reading(replica), around.clock, keep=sizes.keep, idle_s=sizes.idle_s))
            self._replica = Replica(self._pool, self._pools[-1], around.clock)
        self._feed = Feed(reading(reach), names.run_id, self._post, around.fatal, self._shed)
        land = self._feed.land
        self._shared = Shared(writing(reach), names.run_id, around.public_url, land, around.chance, self._closing)
        self._writers = [
            threading.Thread(
                target=self._write, args=(f"{names.server_id}/{number}",), name=f"store-writer-{number}", daemon=True
            )
            for number in range(sizes.writers)
        ]
        self._readers = ThreadPoolExecutor(sizes.readers, thread_name_prefix="store-reader")
        self._searchers = ThreadPoolExecutor(SEARCHERS, thread_name_prefix="store-searcher")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    @property
    def counts(self) -> Counts:
        return self._shared.counts

    def start(self) -> None:
        """Raises DBAPIError when the database is not there."""
        self._loop = asyncio.get_running_loop()
        self._feed.start()
        for thread in self._writers:
            thread.start()

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        """Run it durably. Raises what it raises, or a code that tells why nothing was written.

        DATABASE_UNAVAILABLE, STORAGE_FULL, and SHUTTING_DOWN once the store is closed. It is cancelled where the store is
        closed before anybody could say whether it stands.
        """
        self._check_open()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = next(self._numbers)
        self._unbegun[number] = function, future
        self._queue.put(number)
        giving_up = future.get_loop().call_later(self._patience_s, self._give_up, number)
        try:
            result: T = await future
        finally:
            giving_up.cancel()
        return result

    def _give_up(self, number: int) -> None:
        """What a writer has begun it answers, however long that takes: nobody else knows whether it stands."""
        waiting = self._unbegun.pop(number, None)
        if waiting is not None:
            log.warning("database_silent", waited_s=self._patience_s)
            _settle(waiting[1], None, _silent())

    async def read(self, function: Callable[[Transaction], T]) -> T:
        """Run it on a snapshot; writes are refused by the connection. Raises DATABASE_UNAVAILABLE or SHUTTING_DOWN."""
        self._check_open()
        return await self._answered(self._readers, partial(self._read, function))

    async def search(self, function: Callable[[Transaction], T]) -> T:
        """The same on threads of their own: long walks hold up no other reader, and, with a replica, not the primary."""
        self._check_open()
        return await self._answered(self._searchers, partial(self._search, function))

    async def _answered(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(threads, call)
        try:
            async with asyncio.timeout(self._patience_s):
                return await running
        except TimeoutError as late:
            log.warning("database_silent", waited_s=self._patience_s)
            raise _silent() from late

    async def close(self) -> None:
        """Finish what is queued, then stop. Harmless when called twice or before the start."""
        if self._is_closed:
            return
        self._is_closed = True
        self._closing.set()
        await asyncio.to_thread(self._end)
        self._readers.shutdown(wait=True)
        self._searchers.shutdown(wait=True, cancel_futures=True)
        for pool in self._pools:
            pool.close()

    def _shed(self) -> None:
        for pool in self._pools:
            pool.shed()

    def _end(self) -> None:
        running = [thread for thread in self._writers if thread.is_alive()]
        for _ in running:
            self._queue.put(None)
        for thread in running:
            thread.join()
        self._feed.close()

    def _check_open(self) -> None:
        """After the close nobody would ever answer."""
        if self._is_closed:
            raise ReelyardError(ErrorCode.SHUTTING_DOWN)

    # --- the reader threads

    def _search(self, function: Callable[[Transaction], T]) -> T:
        if self._replica is not None:
            with suppress(Behind):
                found = self._replica.search(function)
                self._shared.counts.add(on_replica=1)
                return found
        return self._read(function)

    def _read(self, function: Callable[[Transaction], T]) -> T:
        try:
            return self._read_once(function)
        except DBAPIError as error:
            if fault_of(error) is not Fault.LOST:
                raise as_told(error) from error
        self._pool.forget_idle()
        try:
            return self._read_once(function)
        except DBAPIError as error:
            raise as_told(error) from error

    def _read_once(self, function: Callable[[Transaction], T]) -> T:
        with self._pool.borrowed() as connection:
            return on_snapshot(connection, function)

    # --- the writer threads

    def _write(self, part: str) -> None:
        writer = Writer(self._shared, part)
        try:
            while (batch := self._take()) is not None:
                writer.run(batch)
        except BaseException as error:
            self._around.fatal(f"a writer met {error!r}")
            raise
        finally:
            writer.close()

    def _take(self) -> list[Waiting] | None:
        first = self._next(is_waiting=True)
        if first is None:
            return None
        batch = [first]
        with suppress(queue.Empty):
            while len(batch) < MOST_IN_A_BATCH:
                following = self._next(is_waiting=False)
                if following is None:
                    self._queue.put(None)
                    break
                batch.append(following)
        return batch

    def _next(self, *, is_waiting: bool) -> Waiting | None:
        """None at the end. Raises queue.Empty where it is not to wait."""
        while (number := self._queue.get(block=is_waiting)) is not None:
            waiting = self._unbegun.pop(number, None)
            if waiting is not None:
                return waiting
        return None

    # --- to the event loop, and on it

    def _post(self, told: Told) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(partial(self._tell, told))

    def _tell(self, told: Told) -> None:
        for commit in told.commits:
            for listener in self._listeners:
                listener(commit)
        for (_, future), answer in told.pairs:
            _settle(future, answer.result, answer.error)


def _silent() -> ReelyardError:
    return ReelyardError(ErrorCode.DATABASE_UNAVAILABLE, retry_after=UNAVAILABLE_S)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, asyncio.CancelledError):
        future.cancel()
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
