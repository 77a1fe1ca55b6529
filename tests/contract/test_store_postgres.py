"""What several servers on one PostgreSQL promise: one order of commits, told to all alike, and races that nobody notices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest

from dispatch.clock import SystemClock
from dispatch.core.records import Engine, NewEvent, ProfileRow, Tenant, WebhookEndpoint
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit, Store, Transaction
from dispatch.store.postgres.connecting import Reach
from dispatch.store.postgres.store import Names, PostgresStore, Sizes, Surroundings
from protocol.events import EventType
from protocol.states import EngineState
from tests.contract.api_server import until
from tests.contract.store_adapters import bare, granted, graph_of, job, noted, postgres_store, saved
from tests.servers.postgres import database
from tests.unit.dispatch_jobs import NOW, SHA, after, complete

ENGINE = Engine(
    "eng_1", "box", "box.local", "boot-1", "0.1", EngineState.ONLINE, SHA, "{}", (), "{}", "{}", NOW, NOW, "run", 1
)  # fmt: skip
Function = Callable[[Transaction], Any]  # each has its own result


@pytest.fixture
def url() -> Iterator[str]:
    with database() as made:
        yield made


class Heard:
    """What one server's listeners were told."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.bus = CommitBus()
        self.bus.add(self._hear)
        self._more = asyncio.Event()

    @property
    def seqs(self) -> list[int]:
        return [event.seq for commit in self.commits for event in commit.events]

    def last(self, field: str, key: str) -> dict[str, Any]:
        """The latest of each record."""
        return {getattr(record, key): record for commit in self.commits for record in getattr(commit, field)}

    def _hear(self, commit: Commit) -> None:
        self.commits.append(commit)
        self._more.set()

    async def until(self, seq: int) -> None:
        async with asyncio.timeout(20):
            while not self.seqs or self.seqs[-1] < seq:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def two_servers(url: str, writers: int = 1) -> AsyncIterator[tuple[PostgresStore, PostgresStore, Heard, Heard]]:
    one, other = Heard(), Heard()
    sizes = Sizes(writers=writers)
    async with (
        postgres_store(url, one.bus, server="srv_1", sizes=sizes) as first,
        postgres_store(url, other.bus, server="srv_2", sizes=sizes) as second,
    ):
        yield first, second, one, other


async def all_seqs(store: Store) -> list[int]:
    events = await store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=100_000))
    return [event.seq for event in events]


async def test_no_event_ever_comes_before_one_that_was_seen(url: str) -> None:
    async with two_servers(url, writers=2) as (first, second, one, other):
        looks: list[list[int]] = []
        is_over = False

        async def look() -> None:
            while not is_over:
                looks.append(await all_seqs(first))

        async def note(store: Store, name: str) -> None:
            for number in range(15):
                await store.transact(lambda tx, number=number: tx.append(noted(f"{name} {number}")))  # type: ignore[misc]

        async with asyncio.TaskGroup() as owner:
            looking = owner.create_task(look())
            callers = [owner.create_task(note((first, second)[n % 2], str(n))) for n in range(8)]
            await asyncio.wait(callers)
            is_over = True
            await looking
        seqs = await all_seqs(second)
        await one.until(seqs[-1])
        await other.until(seqs[-1])

    assert len(seqs) == 8 * 15
    assert all(later[: len(earlier)] == earlier for earlier, later in zip(looks, [*looks[1:], seqs], strict=True))
    assert (one.seqs, other.seqs) == (seqs, seqs)


async def test_both_servers_hear_of_the_same_rows(url: str) -> None:
    async with two_servers(url) as (first, second, one, other):
        names = [f"{n}" for n in range(12)]

        async def live(store: Store, name: str) -> None:
            await store.transact(lambda tx: tx.insert([job(name)]))
            new = await graph_of(store, f"job_{name}")
            token = await store.transact(lambda tx: tx.next_tokens(1)[0])
            held = await saved(store, new, granted(new, token))
            await saved(store, held, after(held, complete(token, f"tsk_{name}")))

        async with asyncio.TaskGroup() as owner:
            for number, name in enumerate(names):
                owner.create_task(live((first, second)[number % 2], name))
        seqs = await all_seqs(first)
        await one.until(seqs[-1])
        await other.until(seqs[-1])
        rows = await first.read(lambda tx: tx.graphs([f"job_{name}" for name in names]))

    jobs = {job_id: graph.job for job_id, graph in rows.items()}
    tasks = {graph.tasks[0].task_id: graph.tasks[0] for graph in rows.values()}
    for heard in (one, other):
        assert (heard.last("jobs", "job_id"), heard.last("tasks", "task_id")) == (jobs, tasks)
        for name in names:
            told = [record.version for commit in heard.commits for record in commit.jobs if record.job_id == f"job_{name}"]
            assert told == sorted(told)


async def test_another_server_hears_of_what_is_gone(url: str) -> None:
    new = job("a")
    endpoint = WebhookEndpoint("whe_1", "default", "https://x.example/", (), ("s",), "", NOW)

    def make(tx: Transaction) -> None:
        tx.insert([new])
        tx.put_engine(ENGINE)
        tx.put_endpoint(endpoint)
        tx.put_profile(ProfileRow("mine", "{}", NOW, 1))
        tx.put_tenant(Tenant("acme", 2.0, NOW))
        tx.put_fact("digest", "abc")

    def remove(tx: Transaction) -> None:
        tx.forget_jobs([bare(new)])
        tx.delete_engine("eng_1")
        tx.delete_endpoint("whe_1")
        tx.delete_profile("mine")
        tx.append(noted("gone"))

    async with two_servers(url) as (first, _, one, other):
        await first.transact(make)
        await other.until(one.seqs[-1])
        await first.transact(remove)
        await other.until(one.seqs[-1])

    made, gone = other.commits
    assert (made.engines, made.endpoints, made.tenants, made.facts) == (
        (ENGINE,),
        (endpoint,),
        (Tenant("acme", 2.0, NOW),),
        ("digest",),
    )
    assert (made.jobs, made.tasks, [row.name for row in made.profiles]) == ((new.job,), new.tasks, ["mine"])
    assert (gone.gone_engines, gone.gone_endpoints, gone.gone_profiles) == (("eng_1",), ("whe_1",), ("mine",))
    assert gone.jobs == (replace(new.job, version=new.job.version + 1),) == one.commits[-1].jobs
    assert gone.events == one.commits[-1].events


async def test_what_two_servers_add_up_at_once_is_all_there(url: str) -> None:
    def more(tx: Transaction) -> float:
        [tenant] = tx.tenants()
        tx.put_tenant(replace(tenant, weight=tenant.weight + 1))
        return tenant.weight

    async with two_servers(url, writers=2) as (first, second, _one, _other):
        await first.transact(lambda tx: tx.put_tenant(Tenant("acme", 0.0, NOW)))

        async def add(store: Store) -> None:
            for _ in range(10):
                await store.transact(more)

        async with asyncio.TaskGroup() as owner:
            for number in range(6):
                owner.create_task(add((first, second)[number % 2]))
        [tenant] = await second.read(lambda tx: tx.tenants())
        races = first.counts.races + second.counts.races

    assert tenant.weight == 60.0
    assert races > 0


async def test_a_caller_is_answered_after_its_commit_and_those_before_it_were_told(url: str) -> None:
    async with two_servers(url) as (first, second, one, other):
        for number in range(10):
            (there,) = await first.transact(lambda tx, number=number: noted_seqs(tx, f"a{number}"))  # type: ignore[misc]
            assert one.seqs[-1] >= there
            (here,) = await second.transact(lambda tx, number=number: noted_seqs(tx, f"b{number}"))  # type: ignore[misc]
            assert other.seqs[-1] >= here
            assert other.seqs == sorted(other.seqs)
            words = [event.new.to_state for commit in other.commits for event in commit.events]
            assert f"a{number}" in words
            assert words[-1] == f"b{number}"


def noted_seqs(tx: Transaction, word: str) -> tuple[int]:
    tx.append(noted(word))
    return (tx.last_seq(),)


async def test_a_server_that_stood_still_for_too_long_ends(url: str) -> None:
    reasons: list[str] = []
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fatal(reason: str) -> None:
        reasons.append(reason)
        loop.call_soon_threadsafe(ended.set)

    frozen = PostgresStore(
        Reach(url), [CommitBus()], Names("srv_9", "run_9"), Surroundings(SystemClock(), lambda: 0.5, fatal), Sizes()
    )
    with psycopg.connect(url, autocommit=True) as raw:
        async with postgres_store(url) as store:
            await store.transact(lambda tx: tx.append(noted("a")))
            frozen.start()
            raw.execute("INSERT INTO sequences VALUES ('dropped', 10)")
            await store.transact(lambda tx: tx.append(noted("b")))
            async with asyncio.timeout(10):
                await ended.wait()
            await frozen.close()

    assert "stood still" in reasons[0]


async def test_old_changes_go_and_a_server_that_starts_then_goes_on_after_them(url: str) -> None:
    heard = Heard()
    async with postgres_store(url) as store:
        for word in "abc":
            await store.transact(lambda tx, word=word: tx.append(noted(word)))  # type: ignore[misc]
        with psycopg.connect(url, autocommit=True) as raw:
            raw.execute("UPDATE changes SET at = at - 601 WHERE seq <= 3")
            await store.transact(lambda tx: tx.drop_changes())
            left = raw.execute("SELECT count(*) FROM changes WHERE seq <= 3").fetchone()
            dropped = raw.execute("SELECT value FROM sequences WHERE name = 'dropped'").fetchone()
        async with postgres_store(url, heard.bus, server="srv_2") as second:
            await second.transact(lambda tx: tx.append(noted("d")))

    assert (left, dropped) == ((0,), (3,))
    assert [event.new.to_state for commit in heard.commits for event in commit.events] == ["d"]


async def test_a_text_with_a_nul_is_kept_without_it(url: str) -> None:
    async with postgres_store(url) as store:
        await store.transact(lambda tx: tx.append([NewEvent(EventType.ENGINE_CHANGED, NOW, "-", to_state="a\0b")]))
        [event] = await store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=10))

    assert event.new.to_state == "a\ufffdb"


def _insert(tx: Transaction, *, name: str) -> None:
    tx.insert([job(name)])


async def test_what_keys_used_is_one_sum_whichever_server_counted_it(url: str) -> None:
    async with two_servers(url) as (first, second, _, _other):
        async with asyncio.TaskGroup() as owner:
            for number, store in enumerate([first, second] * 3):
                owner.create_task(store.transact(partial(_insert, name=str(number))))
        sums = await first.read(lambda tx: tx.usage_sums(None))

    assert [(row.tenant, row.jobs_created) for row in sums] == [("default", 6)]


async def test_connections_nobody_needs_are_closed_but_for_those_that_stay(url: str) -> None:
    sizes = Sizes(writers=1, keep=1, most=12, idle_s=0.2)
    async with postgres_store(url, sizes=sizes) as store:
        gate = threading.Barrier(5)
        await asyncio.gather(*(store.read(lambda tx: gate.wait(10)) for _ in range(5)))
        with psycopg.connect(url, autocommit=True) as raw:

            async def is_down() -> bool:
                return count() == 2

            def count() -> int:
                found = raw.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reelyard'").fetchone()
                assert found is not None
                return int(found[0])

            at_first = count()
            await until(is_down)

    assert at_first == 6  # the feed, and five readers
