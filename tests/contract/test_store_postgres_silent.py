"""A PostgreSQL that takes connections and says nothing: who waits is told so in time, and nobody is told what is not known."""

from __future__ import annotations

import asyncio
from typing import Any

from dispatch.ports import Store, Transaction
from dispatch.store.postgres.connecting import Reach
from dispatch.store.postgres.store import Sizes
from dispatch.store.postgres.windows import PostgresWindows
from protocol.errors import ErrorCode, ReelyardError
from tests.contract.api_server import until
from tests.contract.store_adapters import noted, postgres_store
from tests.servers.postgres import migrated, running


def words(tx: Transaction) -> list[str | None]:
    return [event.new.to_state for event in tx.events_after(0, job_id=None, tenant=None, limit=100)]


async def note(store: Store, word: str) -> None:
    await store.transact(lambda tx: tx.append(noted(word)))


def code(outcome: Any) -> ErrorCode | None:  # an exception, or whatever was answered
    return outcome.code if isinstance(outcome, ReelyardError) else None


async def test_calls_to_a_silent_database_are_refused_but_for_what_was_begun() -> None:
    with running() as server:
        server.create_database("farm")
        url = server.url("farm")
        migrated(url)
        windows = PostgresWindows(Reach(url))
        async with postgres_store(url, sizes=Sizes(patience_s=0.3)) as store, asyncio.TaskGroup() as owner:
            await note(store, "first")
            await asyncio.gather(store.read(words), store.search(words), windows.add({("key:1", 60): 1}))

            async def is_begun() -> bool:
                return not store._unbegun

            with server.frozen():
                begun = owner.create_task(note(store, "begun"))
                await asyncio.sleep(0)
                async with asyncio.timeout(20):
                    await until(is_begun)
                    waiting = (note(store, "waits"), store.read(words), store.search(words), windows.add({("key:1", 60): 1}))
                    refused = await asyncio.gather(*waiting, return_exceptions=True)
                is_waiting = not begun.done()
            async with asyncio.timeout(20):
                await begun
                await note(store, "next")
                found = await store.read(words)
        await windows.close()

    assert [code(one) for one in refused] == [ErrorCode.DATABASE_UNAVAILABLE] * 4
    assert (is_waiting, found) == (True, ["first", "begun", "next"])
