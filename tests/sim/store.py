"""The real store on SQLite in memory, with the delays of a writer thread: memory learns of a commit a little later."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection

from dispatch.ports import Commit, CommitListener, Transaction
from dispatch.store.inline import InlineStore
from dispatch.store.migrate import migrate
from dispatch.store.running import connect
from tests.sim.ground import Ground
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


class SimStore:
    """The Store of one dispatch process. `seen` is told at the commit, the process's listeners later, in commit order."""

    def __init__(self, connection: Connection, ground: Ground, process: Process, seen: CommitListener) -> None:
        self._ground, self._process = ground, process
        self._inline = InlineStore(connection, (seen, self._keep))
        self._untold: deque[Commit] = deque()
        self.listeners: list[CommitListener] = []

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        await self._moment()
        try:
            return await self._inline.transact(function)
        finally:
            mine = self._untold[-1] if self._untold else None
            await self._moment()
            self._tell(mine)

    async def read(self, function: Callable[[Transaction], T]) -> T:
        self._process.check()
        if self._ground.hits("slow read", self._ground.rates.slow_commit):
            await asyncio.sleep(self._ground.rng.uniform(0.0, 0.5))
            self._process.check()
        return await self._inline.read(function)

    async def search(self, function: Callable[[Transaction], T]) -> T:
        return await self.read(function)

    def _keep(self, commit: Commit) -> None:
        told = (commit.events, commit.jobs, commit.tasks, commit.attempts, commit.engines, commit.tenants, commit.gone_engines)
        if any((*told, commit.deliveries, commit.endpoints)):
            self._untold.append(commit)

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

    async def _moment(self) -> None:
        """Waiting for the disk: others run meanwhile, and the process may be killed."""
        ground = self._ground
        self._process.check()
        if ground.hits("kill dispatch at a commit", ground.rates.kill_dispatch):
            self._process.die()
        if ground.hits("slow commit", 0.6 if ground.is_disk_slow else ground.rates.slow_commit):
            await asyncio.sleep(ground.rng.uniform(0.0, SLOW_S))
        elif ground.rates.slow_commit and ground.rng.random() < 0.3:
            await asyncio.sleep(ground.rng.uniform(0.0, 0.01))
        self._process.check()
