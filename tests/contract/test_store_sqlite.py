"""What SQLite's writer thread adds: group commit, a batch that dies, durability settings, a clean close."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from dispatch.core.records import IdempotencyRow
from dispatch.events.bus import CommitBus
from dispatch.ports import Commit, Transaction
from dispatch.store.running import connect
from dispatch.store.sqlite import SqliteStore
from protocol.errors import ErrorCode, ReelyardError
from tests.contract.store_adapters import died, job, new_database, noted, sqlite_store
from tests.unit.dispatch_jobs import NOW

Function = Callable[[Transaction], Any]  # each has its own result


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with sqlite_store(tmp_path) as opened:
        yield opened


async def in_one_batch(store: SqliteStore, *functions: Function) -> list[Any]:
    """What each of them answers, result or error, when the writer finds all of them waiting."""
    everybody_waits = threading.Event()

    def hold_the_writer(tx: Transaction) -> None:
        everybody_waits.wait()

    async with asyncio.TaskGroup() as owner:
        owner.create_task(store.transact(hold_the_writer))
        answers = asyncio.gather(*(store.transact(function) for function in functions), return_exceptions=True)
        asyncio.get_running_loop().call_soon(everybody_waits.set)
        return await answers


def note(*words: str) -> Function:
    def function(tx: Transaction) -> str:
        tx.append(noted(*words))
        return words[0]

    return function


async def words(store: SqliteStore) -> list[str | None]:
    events = await store.read(lambda tx: tx.events_after(0, job_id=None, tenant=None, limit=1000))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.new.to_state for event in events]


async def test_each_caller_of_a_batch_gets_its_own_result(store: SqliteStore) -> None:
    answers = await in_one_batch(store, *(note(str(number)) for number in range(50)))

    assert answers == [str(number) for number in range(50)]
    assert await words(store) == answers


async def test_a_function_that_fails_harms_no_neighbour(store: SqliteStore) -> None:
    def insert_and_fail(tx: Transaction) -> None:
        tx.insert([job("lost")])
        raise ReelyardError(ErrorCode.JOB_NOT_FOUND)

    def twice(tx: Transaction) -> None:
        tx.insert([job("same"), job("same")])

    async def count() -> int:
        return len(await store.read(lambda tx: tx.graphs(["job_lost", "job_same"])))

    one, refused, two, doubled, three = await in_one_batch(store, note("a"), insert_and_fail, note("b"), twice, note("c"))

    assert (one, two, three) == ("a", "b", "c")
    assert isinstance(refused, ReelyardError)
    assert "UNIQUE" in str(doubled)
    assert await words(store) == ["a", "b", "c"]
    assert await count() == 0


async def test_the_store_is_told_of_commits_in_order_before_any_caller_goes_on(tmp_path: Path) -> None:
    story: list[str] = []
    bus = CommitBus()

    def listen(commit: Commit) -> None:
        story.extend(f"told {event.new.to_state}" for event in commit.events)

    bus.add(listen)
    async with sqlite_store(tmp_path, bus) as store:

        async def caller(word: str) -> None:
            await store.transact(note(word))
            story.append(f"{word} goes on")

        hold = threading.Event()
        async with asyncio.TaskGroup() as owner:
            owner.create_task(store.transact(lambda tx: hold.wait()))
            for word in ("a", "b", "c"):
                owner.create_task(caller(word))
            asyncio.get_running_loop().call_soon(hold.set)

    assert story == ["told a", "told b", "told c", "a goes on", "b goes on", "c goes on"]


async def test_what_was_answered_is_in_the_file_whatever_happens_next(store: SqliteStore, tmp_path: Path) -> None:
    await store.transact(note("kept"))

    with sqlite3.connect(tmp_path / "dispatch.db") as other:
        assert other.execute("SELECT to_state FROM events").fetchall() == [("kept",)]
    other.close()


async def test_a_caller_that_goes_away_leaves_its_transaction_whole(store: SqliteStore) -> None:
    hold = threading.Event()
    async with asyncio.TaskGroup() as owner:
        owner.create_task(store.transact(lambda tx: hold.wait()))
        leaving = owner.create_task(store.transact(note("left behind")))
        asyncio.get_running_loop().call_soon(leaving.cancel)
        asyncio.get_running_loop().call_soon(hold.set)

    assert leaving.cancelled()
    assert await store.transact(note("next")) == "next"
    assert await words(store) == ["left behind", "next"]


# --- a full disk


@contextmanager
def pages(most: int) -> Iterator[None]:
    """Every connection made meanwhile finds its disk full beyond so many pages of 4 KiB."""

    def limit(raw: Any, _: Any) -> None:  # DB-API objects have no common type
        raw.execute(f"PRAGMA max_page_count={most}")

    event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(Engine, "connect", limit)


def keep(key: str, size: int) -> Function:
    row = IdempotencyRow("acme", "r", key, "f", 202, "x" * size, "run_1", NOW)

    def function(tx: Transaction) -> str:
        tx.put_idempotency(row)
        tx.append(noted(key))
        return key

    return function


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    with pages(100):
        async with sqlite_store(tmp_path) as store:
            yield store


async def test_a_full_disk_refuses_what_does_not_fit_and_nothing_else(small: SqliteStore) -> None:
    one, refused, two = await in_one_batch(small, keep("a", 10), keep("huge", 1_000_000), keep("b", 10))

    assert (one, two) == ("a", "b")
    assert isinstance(refused, ReelyardError)
    assert (refused.code, refused.status) == (ErrorCode.STORAGE_FULL, 507)
    assert await words(small) == ["a", "b"]


async def test_functions_of_a_batch_that_died_run_again_alone_and_count_once(small: SqliteStore) -> None:
    runs: list[str] = []

    def counted(word: str, size: int) -> Function:
        inner = keep(word, size)

        def function(tx: Transaction) -> Any:  # as the inner one
            runs.append(word)
            return inner(tx)

        return function

    await in_one_batch(small, counted("a", 10), counted("huge", 1_000_000), counted("b", 10))

    assert runs == ["a", "huge", "a", "huge", "b"]
    assert await words(small) == ["a", "b"]


async def outcome(store: SqliteStore, function: Function) -> str:
    try:
        return str(await store.transact(function))
    except ReelyardError as error:
        return error.code


async def test_writing_works_again_once_there_is_room(small: SqliteStore) -> None:
    filling = [await outcome(small, keep(f"k-{number}", 20_000)) for number in range(30)]
    assert (filling[0], filling[-1]) == ("k-0", "STORAGE_FULL")

    await small.transact(lambda tx: tx.delete_idempotency_before(NOW + 1))

    assert await small.transact(keep("again", 20_000)) == "again"


# --- the connections


async def test_the_writer_syncs_every_commit(tmp_path: Path) -> None:
    connection = connect(f"sqlite:///{new_database(tmp_path)}")

    found = {
        name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    connection.close()

    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_readers_see_only_what_is_committed(store: SqliteStore) -> None:
    wrote, looked = threading.Event(), threading.Event()

    def write_and_wait(tx: Transaction) -> None:
        tx.insert([job("a")])
        wrote.set()
        looked.wait()

    async with asyncio.TaskGroup() as owner:
        writing = owner.create_task(store.transact(write_and_wait))
        await asyncio.to_thread(wrote.wait)
        before = await store.read(lambda tx: tx.graphs(["job_a"]))
        looked.set()
        await writing

    assert before == {}
    assert set(await store.read(lambda tx: tx.graphs(["job_a"]))) == {"job_a"}


async def test_a_reader_sees_one_moment(store: SqliteStore) -> None:
    first, written = threading.Event(), threading.Event()

    def look_twice(tx: Transaction) -> tuple[int, int]:
        one = tx.last_seq()
        first.set()
        written.wait()
        return one, tx.last_seq()

    async with asyncio.TaskGroup() as owner:
        reading = owner.create_task(store.read(look_twice))
        await asyncio.to_thread(first.wait)
        await store.transact(note("meanwhile"))
        written.set()

    assert reading.result() == (0, 0)


async def test_searches_that_take_long_hold_up_no_reader(store: SqliteStore) -> None:
    may_end = threading.Event()

    def search(tx: Transaction) -> int:
        may_end.wait()
        return tx.last_seq()

    async with asyncio.TaskGroup() as owner, asyncio.timeout(10):
        searches = [owner.create_task(store.search(search)) for _ in range(8)]
        try:
            seen = [await store.read(lambda tx: tx.last_seq()) for _ in range(3)]
            is_searching = not any(task.done() for task in searches)
        finally:
            may_end.set()

    assert (seen, is_searching, [task.result() for task in searches]) == ([0, 0, 0], True, [0] * 8)


async def test_closing_finishes_what_is_queued_and_twice_is_harmless(tmp_path: Path) -> None:
    store = SqliteStore(new_database(tmp_path), [CommitBus()], died)
    store.start()
    async with asyncio.TaskGroup() as owner:
        queued = [owner.create_task(store.transact(note(str(number)))) for number in range(20)]
        asyncio.get_running_loop().call_soon(lambda: owner.create_task(store.close()))
    await store.close()

    assert [task.result() for task in queued] == [str(number) for number in range(20)]


async def test_closing_before_the_start_is_harmless(tmp_path: Path) -> None:
    await SqliteStore(new_database(tmp_path), [CommitBus()], died).close()


async def test_a_closed_store_answers_instead_of_waiting_forever(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        pass

    for call in (store.transact(note("late")), store.read(lambda tx: tx.last_seq()), store.search(lambda tx: tx.last_seq())):
        with pytest.raises(ReelyardError, match="SHUTTING_DOWN"):
            await call


async def test_a_database_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        await store.transact(note("a"))
        (tmp_path / "dispatch.db").rename(tmp_path / "gone.db")
        (tmp_path / "dispatch.db").mkdir()
        with pytest.raises(ReelyardError, match="DATABASE_UNAVAILABLE"):
            await store.read(lambda tx: tx.last_seq())
