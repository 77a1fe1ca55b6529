"""Searches on a replica that really follows: everything that was written is found, whether it keeps up or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dispatch.ports import Store
from dispatch.store.postgres.replica import place_of
from tests.contract.store_adapters import noted, postgres_store
from tests.servers.postgres import PostgresServer, database, running, shared


@dataclass(frozen=True)
class Pair:
    url: str
    replica: PostgresServer

    @property
    def replica_url(self) -> str:
        return self.replica.url(self.url.rpartition("/")[2])


@pytest.fixture(scope="module")
def replica() -> Iterator[PostgresServer]:
    with running(primary=shared()) as server:
        yield server


@pytest.fixture
def pair(replica: PostgresServer) -> Iterator[Pair]:
    with database() as url:
        replica.await_database(url.rpartition("/")[2])
        yield Pair(url, replica)


async def write(store: Store, word: str) -> None:
    await store.transact(lambda tx: tx.append(noted(word)))


async def search(store: Store) -> list[str | None]:
    events = await store.search(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=1000))
    return [event.new.to_state for event in events]


async def test_a_search_finds_on_the_replica_what_any_server_wrote_just_before(pair: Pair) -> None:
    words = [f"{number}" for number in range(10)]
    async with (
        postgres_store(pair.url, server="srv_1") as first,
        postgres_store(pair.url, server="srv_2", replica=pair.replica_url) as second,
    ):
        for number, word in enumerate(words):
            await write(first, word)
            assert await search(second) == words[: number + 1]
        answered = second.counts.on_replica

    assert answered > 0


async def test_a_replica_that_stands_still_is_not_believed(pair: Pair) -> None:
    async with postgres_store(pair.url, replica=pair.replica_url) as store:
        await write(store, "a")
        assert await search(store) == ["a"]
        before = store.counts.on_replica
        pair.replica.execute("SELECT pg_wal_replay_pause()")
        try:
            await write(store, "b")
            assert await search(store) == ["a", "b"]
            after = store.counts.on_replica
        finally:
            pair.replica.execute("SELECT pg_wal_replay_resume()")

    assert after == before


async def test_a_replica_that_is_away_or_is_none_is_done_without(pair: Pair) -> None:
    for elsewhere in (pair.url.replace(f":{shared().port}/", ":1/"), pair.url):
        async with postgres_store(pair.url, replica=elsewhere) as store:
            await write(store, "x")
            assert (await search(store))[-1] == "x"
            assert store.counts.on_replica == 0


@pytest.mark.parametrize(("lsn", "place"), [("0/0", 0), ("0/16B3748", 0x16B3748), ("2/A", (2 << 32) + 10)])
def test_places_in_the_log_are_numbers(lsn: str, place: int) -> None:
    assert place_of(lsn) == place
