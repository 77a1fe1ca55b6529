"""The stores alone, without a server around: durable transactions that insert one job each, for so many callers at once."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from bench.rows import Row
from dispatch.clock import SystemClock
from dispatch.core.records import Graph
from dispatch.ports import Store, Transaction
from dispatch.store.migrate import migrate
from dispatch.store.postgres.connecting import Reach, connect
from dispatch.store.postgres.store import Names, PostgresStore, Surroundings
from dispatch.store.running import connect as connect_sqlite
from dispatch.store.sqlite import SqliteStore
from tests.contract.store_adapters import job

CALLERS, SPAN_S, WARM_S = (1, 8, 64), 4.0, 0.5


def died(reason: str) -> None:
    raise SystemExit(reason)


@asynccontextmanager
async def on_sqlite() -> AsyncIterator[Store]:
    with tempfile.TemporaryDirectory(prefix="reelyard-bench-") as directory:
        path = Path(directory) / "dispatch.db"
        with connect_sqlite(f"sqlite:///{path}") as connection:
            migrate(connection)
        store = SqliteStore(str(path), [], died)
        store.start()
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def on_postgres(url: str) -> AsyncIterator[PostgresStore]:
    with connect(Reach(url)) as connection:
        migrate(connection)
    store = PostgresStore(Reach(url), [], Names("srv_1", "run_1"), Surroundings(SystemClock(), Random(7).random, died))
    store.start()
    try:
        yield store
    finally:
        await store.close()


def inserting(graph: Graph) -> Callable[[Transaction], None]:
    return lambda tx: tx.insert([graph])


async def rate(store: Store, callers: int, graphs: Iterator[Graph], span: float) -> float:
    """Transactions a second, each answered before its caller asks for the next."""
    done = 0
    began = time.perf_counter()

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < began + span:
            await store.transact(inserting(next(graphs)))
            done += 1

    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / (time.perf_counter() - began)


async def measure(url: str) -> list[Row]:
    """By turns, so that what else the machine does meanwhile falls on both."""
    graphs = (job(f"{number:08}") for number in itertools.count())
    rows = []
    async with on_sqlite() as sqlite, on_postgres(url) as postgres:
        for callers in CALLERS:
            for name, store in (("SQLite", sqlite), ("PostgreSQL", postgres)):
                await rate(store, callers, graphs, WARM_S)
                found = await rate(store, callers, graphs, SPAN_S)
                rows.append(Row(f"{name} alone: transactions for {callers} at once", found, "/s"))
    return rows
