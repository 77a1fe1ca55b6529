"""Every adapter of the store, ready to use, and what its tests put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from dispatch.clock import SystemClock
from dispatch.core import lifecycle
from dispatch.core.lifecycle import GrantTo
from dispatch.core.records import Graph, NewEvent
from dispatch.events.bus import CommitBus
from dispatch.ports import Store, Transaction
from dispatch.store.inline import InlineStore
from dispatch.store.migrate import migrate
from dispatch.store.postgres.connecting import Reach
from dispatch.store.postgres.store import Names, PostgresStore, Sizes, Surroundings
from dispatch.store.running import connect
from dispatch.store.sqlite import SqliteStore
from protocol.events import EventType
from tests.servers.postgres import database
from tests.unit.dispatch_jobs import NOW, submitted

ADAPTERS = ("inline", "sqlite", "postgres")
_runs = count(1)


class Fatal(Exception):
    """The store said that its file can no longer be trusted."""


def died(reason: str) -> None:
    raise Fatal(reason)


@lru_cache(maxsize=1)
def _image() -> bytes:
    """A migrated database as the bytes of its file; migrating anew for each test takes longer than most of them."""
    connection = connect("sqlite://", pragmas=())
    migrate(connection)
    raw: Any = connection.connection.dbapi_connection  # sqlite3.Connection behind SQLAlchemy's proxy
    image: bytes = raw.serialize()
    connection.close()
    return image


def new_database(directory: Path) -> str:
    path = directory / "dispatch.db"
    path.write_bytes(_image())
    return str(path)


@asynccontextmanager
async def sqlite_store(directory: Path, bus: CommitBus | None = None) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(new_database(directory), [bus or CommitBus()], died)
    store.start()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def postgres_store(
    url: str,
    bus: CommitBus | None = None,
    *,
    server: str = "srv_1",
    sizes: Sizes | None = None,
    reach: Reach | None = None,
    replica: str | None = None,
) -> AsyncIterator[PostgresStore]:
    """A server's store on the database that is there already."""
    chance = Random(7).random
    names = Names(server, f"run_{server}_{next(_runs)}")
    around = Surroundings(SystemClock(), chance, died)
    copy = None if replica is None else Reach(replica)
    store = PostgresStore(reach or Reach(url), [bus or CommitBus()], names, around, sizes, copy)
    store.start()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_store(adapter: str, directory: Path, bus: CommitBus | None = None) -> AsyncIterator[Store]:
    """The adapter on an empty database."""
    if adapter == "sqlite":
        async with sqlite_store(directory, bus) as store:
            yield store
        return
    if adapter == "postgres":
        with database() as url:
            async with postgres_store(url, bus) as store:
                yield store
        return
    connection = connect("sqlite://", pragmas=("foreign_keys=ON",))
    raw: Any = connection.connection.dbapi_connection  # as above
    raw.deserialize(_image())
    yield InlineStore(connection, [bus or CommitBus()])
    connection.close()


def job(name: str, **changes: Any) -> Graph:  # any field of the job
    """A new no-op job `job_<name>` with its one task `tsk_<name>`."""
    graph = submitted(job_id=f"job_{name}", **changes)
    return replace(graph, tasks=tuple(replace(task, task_id=f"tsk_{name}") for task in graph.tasks))


def noted(*words: str) -> Iterable[NewEvent]:
    """Events that say one word each, of no job."""
    return [NewEvent(EventType.ENGINE_CHANGED, NOW, "-", to_state=word) for word in words]


async def graph_of(store: Store, job_id: str) -> Graph:
    """The job as it lies in the store, with all its attempts."""

    def load(tx: Transaction) -> Graph:
        return tx.graphs([job_id], attempts=tx.job_attempts(job_id))[job_id]

    return await store.read(load)


async def saved(store: Store, before: Graph, changed: Graph) -> Graph:
    """The job as it lies in the store after this change."""
    await store.transact(lambda tx: tx.save([before], [changed]))
    return await graph_of(store, before.job.job_id)


def granted(graph: Graph, token: int, *, now: float = NOW) -> Graph:
    """The first task of the job, granted to `eng_1`."""
    return lifecycle.grant(graph, graph.tasks[0].task_id, GrantTo(token, "eng_1", "boot-0001", "req-1"), now=now)


def bare(graph: Graph) -> Graph:
    """As it is loaded: no events, no files to be written."""
    return replace(graph, events=(), files=(), lost_files_of=())
