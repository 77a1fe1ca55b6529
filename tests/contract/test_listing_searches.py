"""Searches of jobs: they hold up no other read, and of one tenant only so many wait at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

from dispatch.ports import Transaction
from dispatch.services.jobs import MOST_SEARCHES
from tests.contract.api_server import Server, served, until

MORE = 2


async def test_searches_wait_and_lists_do_not(tmp_path: Path) -> None:
    may_end = threading.Event()

    def walk(_: Transaction) -> None:
        may_end.wait()

    async with served(tmp_path) as server, asyncio.TaskGroup() as tasks, asyncio.timeout(30):
        await server.new_tenant("acme")
        other = await server.new_key("jobs:read", tenant="acme")
        job = await server.submit()
        try:
            tasks.create_task(server.core.outside.store.search(walk))
            asked = [tasks.create_task(status(server, "?q=noop")) for _ in range(MOST_SEARCHES + MORE)]

            async def are_refused() -> bool:
                return sum(task.done() for task in asked) == MORE

            await until(are_refused)
            others = tasks.create_task(status(server, "?q=noop", key=other))
            meanwhile = [await status(server, "?status=pending"), await status(server, f"/{job['job_id']}")]
        finally:
            may_end.set()

    assert meanwhile == [200, 200]
    assert Counter(task.result() for task in asked) == {200: MOST_SEARCHES, 429: MORE}
    assert others.result() == 200


async def status(server: Server, rest: str, *, key: str = "") -> int:
    return (await server.call("GET", f"/api/v1/jobs{rest}", key=key)).status
