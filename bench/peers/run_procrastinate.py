"""procrastinate as a peer; run by `bench.peers` in the peers' environment."""

from __future__ import annotations

from importlib.metadata import version

import procrastinate
import race  # type: ignore[import-not-found]  # beside this script, which runs on its own


async def _noop() -> None:
    return


def _app(dsn: str) -> procrastinate.App:
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn))


class Queue:
    version = version("procrastinate")

    def __init__(self, app: procrastinate.App) -> None:
        self._app = app
        self._noop = app.task(_noop, name="noop")

    async def setup(self) -> None:
        await self._app.schema_manager.apply_schema_async()

    async def put(self, count: int) -> None:
        await self._noop.batch_defer_async(*({} for _ in range(count)))

    async def left(self) -> int:
        asked = "SELECT count(*) AS n FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        return int((await self._app.connector.execute_query_one_async(asked))["n"])


async def queue(dsn: str) -> Queue:
    app = _app(dsn)
    await app.open_async()
    return Queue(app)


async def work(asked: race.Race) -> None:
    app = _app(asked.dsn)
    app.task(_noop, name="noop")
    async with app.open_async():
        race.wait_for_go()
        await app.run_worker_async(concurrency=asked.at_once)


if __name__ == "__main__":
    race.main(queue, work)
