"""Calls counted against limits: by one server in its memory, and by several in one PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from config.cluster import Cluster
from config.database import Database
from config.dispatch import Api
from dispatch.api.throttle import Throttle
from dispatch.clock import SystemClock
from dispatch.core.callers import Caller
from dispatch.ports.limits import Count, Limit, RateWindows
from dispatch.services.limits import AWAY_S, MemoryWindows, SharedWindows
from dispatch.store.postgres.connecting import Reach
from dispatch.store.postgres.windows import PostgresWindows
from tests.contract.api_server import served
from tests.contract.services_world import Moments
from tests.contract.store_adapters import postgres_store
from tests.servers.postgres import database, running

HOUR, SECOND = Limit("key:1", 5, 3600), Limit("tenant:a", 100, 1)


@asynccontextmanager
async def shared(url: str) -> AsyncIterator[RateWindows]:
    """What one server of a farm counts with."""
    windows = PostgresWindows(Reach(url))
    try:
        yield SharedWindows(windows, SystemClock())
    finally:
        await windows.close()


@asynccontextmanager
async def opened(kind: str) -> AsyncIterator[RateWindows]:
    if kind == "memory":
        yield MemoryWindows(SystemClock())
        return
    with database() as url:
        async with shared(url) as windows:
            yield windows


def calls(counts: Sequence[Count] | None) -> list[int]:
    assert counts is not None
    return [count.calls for count in counts]


def is_within(counts: Sequence[Count] | None) -> bool:
    return calls(counts)[0] <= HOUR.calls


@pytest.mark.parametrize("kind", ["memory", "postgresql"])
async def test_calls_are_counted_and_told_when_their_window_ends(kind: str) -> None:
    async with opened(kind) as windows:
        first, second = await windows.count([HOUR, SECOND]), await windows.count([HOUR])

    assert first is not None
    assert (calls(first), calls(second)) == ([1, 1], [2])
    assert 3590 < first[0].ends_in_s <= 3600
    assert 0 < first[1].ends_in_s <= 1


@pytest.mark.parametrize("kind", ["memory", "postgresql"])
async def test_of_calls_that_come_together_as_many_pass_as_may(kind: str) -> None:
    async with opened(kind) as windows:
        counts = await asyncio.gather(*(windows.count([HOUR]) for _ in range(40)))
        later = await windows.count([HOUR])

    assert sum(map(is_within, counts)) == 5
    assert not is_within(later)


@pytest.mark.parametrize("kind", ["memory", "postgresql"])
async def test_a_window_that_has_ended_begins_anew(kind: str) -> None:
    brief = Limit("key:1", 1, 1)
    async with opened(kind) as windows:
        seen = [calls(await windows.count([brief]))[0]]
        while seen[-1] != 1 or len(seen) == 1:
            seen.append(calls(await windows.count([brief]))[0])
            await asyncio.sleep(0.05)

    assert seen[:2] == [1, 2]


async def test_servers_share_what_a_key_may() -> None:
    with database() as url:
        async with shared(url) as one, shared(url) as other:
            together = [windows.count([HOUR]) for _ in range(50) for windows in (one, other)]
            counts = await asyncio.gather(*together)

    assert sum(map(is_within, counts)) == 5


async def test_what_is_exceeded_is_known_without_asking_again() -> None:
    with database() as url:
        async with shared(url) as one, shared(url) as other:
            for _ in range(6):
                await one.count([HOUR])
            known = [calls(await one.count([HOUR])) for _ in range(3)]
            asked = calls(await other.count([HOUR]))

    assert (known, asked) == ([[6]] * 3, [7])


async def test_servers_that_count_the_same_names_in_any_order_never_wait_for_each_other() -> None:
    names = [Limit(f"key:{number}", 1_000_000, 3600) for number in range(20)]
    with database() as url:
        async with shared(url) as one, shared(url) as other:
            for _ in range(25):
                await asyncio.gather(*(one.count([name]) for name in names), *(other.count([name]) for name in reversed(names)))
            totals = [calls(await one.count([name]))[0] for name in names]

    assert totals == [51] * 20


async def test_calls_pass_while_the_database_is_away_and_are_counted_again_when_it_is_back() -> None:
    clock = Moments()
    who = Caller("key_1", "default", frozenset(), jobs_per_hour=3)
    with running() as server:
        server.execute("CREATE TABLE rate_windows (name text PRIMARY KEY, calls bigint NOT NULL, ends float8 NOT NULL)")
        windows = PostgresWindows(Reach(server.url()))
        throttle = Throttle(SharedWindows(windows, clock), calls_per_s=50, tenant_calls_per_s=500)
        seen = [await charged(throttle, who)]
        server.kill()
        seen += [await charged(throttle, who) for _ in range(5)]
        server.start()
        still = await charged(throttle, who)
        clock.advance(AWAY_S)
        seen += [await charged(throttle, who) for _ in range(3)]
        await windows.close()

    assert (seen[1:6], still) == ([("3", True)] * 5, ("3", True))
    assert [passed for _, passed in seen[6:]] in ([True, True, False], [True, True, True])  # its last moment may be forgotten


async def charged(throttle: Throttle, who: Caller) -> tuple[str, bool]:
    headers, refusal = await throttle.charge(who, "submit_job")
    return headers["RateLimit-Remaining"], refusal is None


async def test_windows_that_have_ended_are_swept_and_no_others() -> None:
    with database() as url, psycopg.connect(url, autocommit=True) as rows:
        async with shared(url) as windows, postgres_store(url) as store:
            await windows.count([HOUR, SECOND])
            rows.execute("UPDATE rate_windows SET ends = 1.0 WHERE name = 'tenant:a:1'")
            await store.transact(lambda tx: tx.forget_rate_windows())
        left = rows.execute("SELECT name, calls FROM rate_windows").fetchall()

    assert left == [("key:1:3600", 1)]


async def test_servers_on_one_database_let_through_what_a_key_may_and_no_more(tmp_path: Path) -> None:
    with database() as url:
        secrets = Cluster(secrets=tmp_path / "secrets")
        sections = {"database": Database(url=url), "cluster": secrets, "api": Api(jobs_per_hour=7)}
        async with served(tmp_path / "a", sections=sections) as one, served(tmp_path / "b", sections=sections) as other:
            key = await one.new_key("jobs:read", "jobs:write")
            calls = [server.call("POST", "/api/v1/jobs", key=key, json={"profile": "noop"}) for server in (one, other) * 6]
            answers = await asyncio.gather(*calls)
            listed = (await other.call("GET", "/api/v1/jobs")).json["total"]

    statuses = [answer.status for answer in answers]
    refused = [answer for answer in answers if answer.status == 429]
    assert (statuses.count(202), statuses.count(429), listed) == (7, 5, 7)
    assert {answer.headers["RateLimit-Remaining"] for answer in refused} == {"0"}
    assert all(3500 < int(answer.headers["Retry-After"]) <= 3600 for answer in refused)
