"""Searching and paging lists in SQL: what is found, and that no page repeats or hides a row while others come in."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.core.callers import Caller
from dispatch.core.job_list import SORTS, JobFilter, parse
from dispatch.core.paging import Listing, Wanted, cursor_of, wanted_of
from dispatch.core.records import Graph, Source, Tenant
from dispatch.ports import Store
from protocol.admin import Scope
from protocol.states import JobState
from tests.contract.store_adapters import ADAPTERS, job, open_store
from tests.unit.dispatch_jobs import NOW

ADMIN = Caller("key_9", "default", frozenset({Scope.ADMIN}))


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(request.param, tmp_path) as opened:
        yield opened


def told(name: str, **metadata: Any) -> Graph:  # any JSON
    source = Source("storage", f"default/raw/job_{name}_original.mp4", f"Film {name}_50%.mp4", 1)
    return job(name, source=source, user_metadata_json=orjson.dumps(metadata).decode())


async def found(store: Store, query: dict[str, str]) -> str:
    page = await store.read(lambda tx: tx.list_jobs(parse({"order": "asc", **query}, ADMIN)))
    return "".join(row.job_id.removeprefix("job_") for row in page.rows)


JOBS = (
    told("a", n=3, title='He said "no"', show={"id": 7, "on": True}),
    told("b", n="3", title="Grün, 100%", nothing=None),
    told("c", n=3.5, title="a_b", flag=True, **{"show.id": 7}),
    told("d", n=1, flag=1, title="back\\slash", text="true"),
    told("e", n=30, title="aXb", **{"7": "digits"}),
)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "job_c"}, "c"),
        ({"q": "FILM B"}, "b"),
        ({"q": "50%"}, "abcde"),
        ({"q": "100%"}, "b"),
        ({"q": "a_b"}, "c"),
        ({"q": 'said "no"'}, "a"),
        ({"q": "back\\slash"}, "d"),
        ({"q": "Grün"}, "b"),
        ({"q": "nowhere"}, ""),
        ({"q": "'; DROP TABLE jobs; --"}, ""),
        ({"metadata.n": "3"}, "ab"),
        ({"metadata.n": "3.5"}, "c"),
        ({"metadata.n": "1"}, "d"),
        ({"metadata.flag": "true"}, "c"),
        ({"metadata.flag": "1"}, "d"),
        ({"metadata.text": "true"}, "d"),
        ({"metadata.nothing": "null"}, "b"),
        ({"metadata.title": "Grün, 100%"}, "b"),
        ({"metadata.title": 'He said "no"'}, "a"),
        ({"metadata.title": "a_b"}, "c"),
        ({"metadata.title": "he said"}, ""),
        ({"metadata.show.id": "7"}, "ac"),
        ({"metadata.show.on": "true"}, "a"),
        ({"metadata.7": "digits"}, "e"),
        ({"metadata.show": "7"}, ""),
        ({"metadata.n": "3", "metadata.show.id": "7"}, "a"),
        ({"metadata.n": "3", "q": "grün"}, "b"),
        ({"metadata.*": "x"}, ""),
        ({"metadata.x'y": "x"}, ""),
        ({"q": "film", "limit": "2", "offset": "1"}, "bc"),
    ],
)
async def test_jobs_are_found_by_their_text_and_metadata(store: Store, query: dict[str, str], names: str) -> None:
    await store.transact(lambda tx: tx.insert(JOBS))

    assert await found(store, query) == names


async def test_a_search_counts_what_it_found(store: Store) -> None:
    await store.transact(lambda tx: tx.insert(JOBS))

    page = await store.read(lambda tx: tx.list_jobs(parse({"metadata.n": "3", "limit": "1"}, ADMIN)))

    assert (len(page.rows), page.total, page.last is not None) == (1, 2, True)


async def test_the_last_full_page_has_no_next(store: Store) -> None:
    await store.transact(lambda tx: tx.insert(JOBS[:2]))

    page = await store.read(lambda tx: tx.list_jobs(JobFilter(page=Wanted(limit=2))))

    assert (len(page.rows), page.last) == (2, None)


ROWS = st.tuples(st.integers(0, 4), st.integers(1, 3), st.sampled_from([None, 1.0, 2.0]))


@settings(max_examples=40, deadline=None)
@given(
    before=st.lists(ROWS, min_size=1, max_size=12),
    between=st.lists(ROWS, max_size=12),
    sort=st.sampled_from(SORTS),
    order=st.sampled_from(["asc", "desc"]),
    limit=st.integers(1, 4),
)
def test_every_job_there_was_is_seen_once_while_others_come_in(
    before: list[tuple[int, int, float | None]],
    between: list[tuple[int, int, float | None]],
    sort: str,
    order: str,
    limit: int,
) -> None:
    async def walk() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with open_store("inline", Path(directory)) as store:
                await store.transact(lambda tx: tx.insert([_row(f"old{n}", row) for n, row in enumerate(before)]))
                late = [_row(f"new{n}", row) for n, row in enumerate(between)]
                seen = await _walk(store, {"sort": sort, "order": order, "limit": str(limit)}, late)

        assert len(seen) == len(set(seen))
        assert {name for name in seen if name.startswith("job_old")} == {f"job_old{n}" for n in range(len(before))}

    asyncio.run(walk())


def _row(name: str, row: tuple[int, int, float | None]) -> Graph:
    age, priority, completed = row
    state = JobState.PENDING if completed is None else JobState.COMPLETED
    ended = None if completed is None else NOW + completed
    return job(name, created_at=NOW + age, priority=priority, completed_at=ended, ended_at=ended, state=state)


async def _walk(store: Store, query: dict[str, str], late: list[Graph]) -> list[str]:
    """Page by page; between two pages one more job comes in."""
    seen: list[str] = []
    while True:
        wanted = parse(query, ADMIN)
        page = await store.read(lambda tx, wanted=wanted: tx.list_jobs(wanted))  # type: ignore[misc]  # bound at once
        seen += [row.job_id for row in page.rows]
        if page.last is None:
            return seen
        query = {**query, "cursor": cursor_of(wanted.listing, page.last)}
        if late:
            new = late.pop()
            await store.transact(lambda tx, new=new: tx.insert([new]))  # type: ignore[misc]  # as above


async def test_small_lists_are_walked_by_cursor_too(store: Store) -> None:
    names, listing = [f"t{n}" for n in range(7)], Listing("tenants")
    for name in names:
        await store.transact(lambda tx, name=name: tx.put_tenant(Tenant(name, 1.0, NOW)))  # type: ignore[misc]  # as above
    seen: list[str] = []
    query: dict[str, str] | None = {"limit": "3"}
    while query is not None:
        wanted = wanted_of(query, listing)
        page = await store.read(lambda tx, wanted=wanted: tx.list_tenants(wanted))  # type: ignore[misc]  # bound at once
        seen += [tenant.name for tenant in page.rows]
        query = None if page.last is None else {"limit": "3", "cursor": cursor_of(listing, page.last)}

    assert seen == names
