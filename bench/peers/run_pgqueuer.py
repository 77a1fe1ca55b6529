"""pgqueuer as a peer; run by `bench.peers` in the peers' environment."""

from __future__ import annotations

from importlib.metadata import version

import asyncpg
import race  # type: ignore[import-not-found]  # beside this script, which runs on its own
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries


async def _noop(_: Job) -> None:
    return


class Queue:
    version = version("pgqueuer")

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._queries = Queries(AsyncpgDriver(connection))

    async def setup(self) -> None:
        await self._queries.install()

    async def put(self, count: int) -> None:
        await self._queries.enqueue(["noop"] * count, [None] * count, [0] * count)

    async def left(self) -> int:
        return int(await self._connection.fetchval("SELECT count(*) FROM pgqueuer"))


async def queue(dsn: str) -> Queue:
    return Queue(await asyncpg.connect(dsn))


async def work(asked: race.Race) -> None:
    """It may hold twice its batch at most: half of what may run at once is its batch."""
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(asked.dsn)))
    worker.entrypoint("noop")(_noop)
    race.wait_for_go()
    await worker.run(batch_size=asked.at_once // 2, max_concurrent_tasks=asked.at_once)


if __name__ == "__main__":
    race.main(queue, work)
