"""The real store on SQLite in memory, with the delays of a writer thread: memory learns of a commit a little later."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection

from dispatch.ports import Commit, CommitListener, Transaction
from dispatch.store.inline import InlineStore
from dispatch.store.migrate import migrate
from dispatch.store.running import connect
from protocol.errors import ErrorCode, ReelyardError
from tests.sim.ground import EPOCH, Ground
from tests.sim.process import Process

T = TypeVar("T")
SLOW_S = 1.5


@lru_cache(maxsize=1)
def _database() -> tuple[Connection, bytes]:
    """One connection for all worlds of this process, which keeps SQLAlchemy's compiled statements; and the empty schema."""
    connection = connect("sqlite://", pragmas=("foreign_keys=ON",))
    migrate(connection)
    return connection, _raw(connection).serialize()


def _raw(connection: Connection) -> Any:  # sqlite3.Connection behind SQLAlchemy's proxy
    return connection.connection.dbapi_connection


def empty_database() -> Connection:
    """The database of a new world; that of the world before is gone."""
    connection, image = _database()
    _raw(connection).deserialize(image)
    return connection


CUT_S = 4.0
LAG_S = 0.4
"""Another server hears of a commit so much later."""


class Wires:
    """The stores of all servers on one database: each hears what any of them commits."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._stores: list[SimStore] = []

    def join(self, store: SimStore) -> None:
        self._stores = [other for other in self._stores if not other.process.is_dead and other is not store] + [store]

    def committed(self, by: SimStore, commit: Commit) -> None:
        for store in self._stores:
            if not store.process.is_dead:
                store.hear(commit, is_own=store is by)


class SimStore:
    """The Store of one dispatch process. `seen` is told at the commit, the process's listeners later, in commit order."""

    def __init__(
        self, connection: Connection, ground: Ground, process: Process, seen: Sequence[CommitListener], wires: Wires
    ) -> None:
        self._ground, self.process, self._wires = ground, process, wires
        self._inline = InlineStore(connection, (*seen, self._keep), clock=lambda: EPOCH + ground.time)
        self._untold: deque[Commit] = deque()
        self.listeners: list[CommitListener] = []
        self.is_cut = False
        wires.join(self)

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        await self._moment()
        await self._reach()
        try:
            return await self._inline.transact(function)
        finally:
            mine = self._untold[-1] if self._untold else None
            await self._moment()
            self._tell(mine)

    async def read(self, function: Callable[[Transaction], T]) -> T:
        self.process.check()
        await self._reach()
        if self._ground.hits("slow read", self._ground.rates.slow_commit):
            await asyncio.sleep(self._ground.rng.uniform(0.0, 0.5))
            self.process.check()
        return await self._inline.read(function)

    async def search(self, function: Callable[[Transaction], T]) -> T:
        return await self.read(function)

    def _keep(self, commit: Commit) -> None:
        told = (commit.events, commit.jobs, commit.tasks, commit.attempts, commit.engines, commit.tenants, commit.gone_engines)
        if any((*told, commit.deliveries, commit.endpoints)):
            self._wires.committed(self, commit)

    def hear(self, commit: Commit, *, is_own: bool) -> None:
        self._untold.append(commit)
        if not is_own:
            self.process.spawn(self._tell_soon(commit))

    async def _tell_soon(self, commit: Commit) -> None:
        await asyncio.sleep(self._ground.rng.uniform(0.0, LAG_S))
        while self.is_cut:  # noqa: ASYNC110  # a wire is looked at again and again
            await asyncio.sleep(LAG_S)
        self._tell(commit)

    def _tell(self, last: Commit | None) -> None:
        """Everything up to `last` is told, in the order it was committed."""
        if last is None or last not in self._untold:
            return
        while self._untold:
            commit = self._untold.popleft()
            for listener in self.listeners:
                listener(commit)
            if commit is last:
                return

    async def _reach(self) -> None:
        """Cut off from the database it hears nothing, and then that it cannot be reached."""
        if not self.is_cut:
            return
        await asyncio.sleep(self._ground.rng.uniform(0.0, CUT_S))
        self.process.check()
        if self.is_cut:
            raise ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)

    async def _moment(self) -> None:
        """Waiting for the disk: others run meanwhile, and the process may be killed."""
        ground = self._ground
        self.process.check()
        if ground.hits("kill dispatch at a commit", ground.rates.kill_dispatch):
            self.process.die()
        if ground.hits("slow commit", 0.6 if ground.is_disk_slow else ground.rates.slow_commit):
            await asyncio.sleep(ground.rng.uniform(0.0, SLOW_S))
        elif ground.rates.slow_commit and ground.rng.random() < 0.3:
            await asyncio.sleep(ground.rng.uniform(0.0, 0.01))
        self.process.check()
