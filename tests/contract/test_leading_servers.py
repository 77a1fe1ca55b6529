"""Servers on one database agree who leads: by the real loop, on the store in line, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest

from dispatch.core.cluster import ServerRow
from dispatch.core.leading import Beat
from dispatch.ports import Commit, Transaction
from dispatch.services.leadership import LeadershipService
from dispatch.services.leading import Lead, LeadingStore
from dispatch.services.terms import Following, Loop, Term
from dispatch.store.inline import InlineStore
from dispatch.store.migrate import migrate
from dispatch.store.running import connect
from protocol.errors import ErrorCode, ReelyardError
from tests.virtual_loop import VirtualClock, run

T = TypeVar("T")
BEAT = Beat(renew_s=3.0, lease_s=7.0, look_s=1.0)


class Reach:
    """A server's way to the database; cut, no answer ever comes."""

    def __init__(self, store: InlineStore) -> None:
        self._store = store
        self.open = asyncio.Event()
        self.open.set()

    async def transact(self, function: Callable[[Transaction], T]) -> T:
        await self.open.wait()
        return await self._store.transact(function)

    async def read(self, function: Callable[[Transaction], T]) -> T:
        await self.open.wait()
        return await self._store.read(function)

    async def search(self, function: Callable[[Transaction], T]) -> T:
        return await self.read(function)


@dataclass
class Memory:
    """A part of the term, and its loop."""

    story: list[str] = field(default_factory=list)

    def forget(self) -> None:
        self.story.append("forgets")

    async def load(self) -> None:
        self.story.append("loads")

    async def run(self) -> None:
        self.story.append("runs")
        try:
            await asyncio.Event().wait()
        finally:
            self.story.append("ends")


class Server:
    def __init__(self, name: str, store: InlineStore, run_: Callable[[], Awaitable[None]] | None = None) -> None:
        clock = VirtualClock()
        self.reach, self.memory = Reach(store), Memory()
        self.lead = Lead(ServerRow(name, f"run of {name}", f"http://{name}", "1", clock.now(), 0.0), clock)
        self.led = LeadingStore(self.reach, self.lead)
        term = Term(Following(()), [self.memory], [Loop("work", run_ or self.memory.run)])
        self.leadership = LeadershipService(self.reach, self.lead, term, clock, BEAT)


@dataclass
class Farm:
    store: InlineStore
    group: asyncio.TaskGroup
    loops: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def start(self, name: str) -> Server:
        server = Server(name, self.store)
        self.loops[name] = self.group.create_task(server.leadership.run())
        await server.leadership.settled.wait()
        return server

    def kill(self, name: str) -> None:
        self.loops[name].cancel()


def play(story: Callable[[Farm], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        connection = connect("sqlite://", pragmas=("foreign_keys=ON",))
        migrate(connection)
        async with asyncio.TaskGroup() as group:
            farm = Farm(InlineStore(connection, clock=VirtualClock().now), group)
            await story(farm)
            for loop in farm.loops.values():
                loop.cancel()
        connection.close()

    run(main())


async def leading(server: Server, limit_s: float) -> float:
    """When it has come to lead, after how many seconds."""
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(limit_s):
        while not server.lead.is_leading:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(0.05)
    return asyncio.get_running_loop().time() - began


def test_the_first_leads_and_the_second_knows_where() -> None:
    async def story(farm: Farm) -> None:
        one, two = await farm.start("one"), await farm.start("two")
        await asyncio.sleep(100.0)

        assert (one.lead.is_leading, one.lead.epoch, one.lead.leader_url) == (True, 1, "http://one")
        assert (two.lead.is_leading, two.lead.epoch, two.lead.leader_url) == (False, 0, "http://one")
        assert (one.memory.story, two.memory.story) == (["forgets", "loads", "runs"], [])

    play(story)


def test_when_the_leader_dies_another_leads_once_its_lease_has_run_out() -> None:
    async def story(farm: Farm) -> None:
        _, two = await farm.start("one"), await farm.start("two")
        await asyncio.sleep(10.0)
        farm.kill("one")

        assert BEAT.lease_s - BEAT.renew_s <= await leading(two, 8.5)
        assert (two.lead.epoch, two.lead.leader_url) == (2, "http://two")

    play(story)


def test_a_leader_that_stops_gives_its_row_up() -> None:
    async def story(farm: Farm) -> None:
        one, two = await farm.start("one"), await farm.start("two")
        await asyncio.sleep(10.0)
        one.leadership.stop()
        await one.leadership.stopped.wait()

        assert await leading(two, 1.5) <= BEAT.look_s + 0.1
        assert one.memory.story == ["forgets", "loads", "runs", "ends", "forgets"]

    play(story)


def test_a_leader_whose_database_hangs_stops_all_the_same() -> None:
    async def story(farm: Farm) -> None:
        one = await farm.start("one")
        await asyncio.sleep(3.5)
        one.reach.open.clear()
        one.lead.doubted.set()
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        one.leadership.stop()
        await one.leadership.stopped.wait()

        assert asyncio.get_running_loop().time() - began <= BEAT.renew_s + 0.1

    play(story)


def test_a_leader_whose_database_does_not_answer_stops_before_another_begins() -> None:
    async def story(farm: Farm) -> None:
        one, two = await farm.start("one"), await farm.start("two")
        await asyncio.sleep(10.0)
        one.reach.open.clear()
        await leading(two, 8.5)

        assert not one.lead.is_leading
        assert one.memory.story[-2:] == ["ends", "forgets"]

        one.reach.open.set()
        await asyncio.sleep(2.0)

        assert (one.lead.is_leading, one.lead.leader_url) == (False, "http://two")

    play(story)


def test_what_an_old_leader_still_had_in_hand_is_refused_and_writes_nothing() -> None:
    async def story(farm: Farm) -> None:
        one, two = await farm.start("one"), await farm.start("two")
        one.reach.open.clear()
        late = farm.group.create_task(refused(one.led))
        await leading(two, 8.5)
        one.reach.open.set()

        assert await late is ErrorCode.NOT_LEADER
        assert await farm.store.read(lambda tx: tx.fact("late")) is None

    async def refused(led: LeadingStore) -> ErrorCode:
        with pytest.raises(ReelyardError) as caught:
            await led.transact(lambda tx: tx.put_fact("late", "written"))
        return caught.value.code

    play(story)


def test_the_leader_of_now_writes_and_others_do_not() -> None:
    async def story(farm: Farm) -> None:
        one, two = await farm.start("one"), await farm.start("two")
        await one.led.transact(lambda tx: tx.put_fact("of", "one"))
        with pytest.raises(ReelyardError, match="Another server leads"):
            await two.led.transact(lambda tx: tx.put_fact("of", "two"))

        assert await farm.store.read(lambda tx: tx.fact("of")) == "one"

    play(story)


def test_a_server_that_is_back_in_its_data_directory_leads_at_once() -> None:
    async def story(farm: Farm) -> None:
        await farm.start("one")
        await asyncio.sleep(5.0)
        farm.kill("one")
        again = await farm.start("one")

        assert (again.lead.is_leading, again.lead.epoch) == (True, 2)

    play(story)


def test_a_leader_that_was_cut_off_and_not_missed_leads_again_in_a_new_term() -> None:
    async def story(farm: Farm) -> None:
        one = await farm.start("one")
        one.reach.open.clear()
        await asyncio.sleep(30.0)
        one.reach.open.set()
        await leading(one, 3.0)

        assert one.lead.epoch == 2

    play(story)


def test_every_server_shows_that_it_runs_and_those_not_seen_for_a_day_are_forgotten() -> None:
    async def story(farm: Farm) -> None:
        now = VirtualClock().now()
        rows = [ServerRow(name, "run", "", "1", 0.0, now - span) for name, span in (("gone", 86_500.0), ("away", 80_000.0))]
        for row in rows:
            await farm.store.transact(partial(_shown, row=row))
        await farm.start("one")
        await farm.start("two")
        await asyncio.sleep(10.0)
        shown = await farm.store.read(lambda tx: {row.server_id: VirtualClock().now() - row.seen_at for row in tx.servers()})

        assert sorted(shown) == ["away", "one", "two"]
        assert max(shown["one"], shown["two"]) <= BEAT.renew_s + BEAT.look_s

    play(story)


def test_a_server_whose_term_is_slow_to_end_shows_all_the_while_that_it_runs() -> None:
    """What it still does, such as to take an upload in, is nobody else's as long as it is seen."""
    after_s = 60.0

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(after_s)

    async def story(farm: Farm) -> None:
        one = Server("one", farm.store, stubborn)
        farm.loops["one"] = farm.group.create_task(one.leadership.run())
        await one.leadership.settled.wait()
        one.reach.open.clear()
        await asyncio.sleep(BEAT.lease_s + BEAT.look_s)
        one.reach.open.set()
        await farm.start("two")
        await asyncio.sleep(after_s / 2)
        seen_at = await farm.store.read(lambda tx: {row.server_id: row.seen_at for row in tx.servers()})

        assert not one.lead.is_leading
        assert VirtualClock().now() - seen_at["one"] <= BEAT.renew_s + BEAT.look_s

    play(story)


def _shown(tx: Transaction, row: ServerRow) -> None:
    tx.put_server(row)


def test_a_fault_in_the_term_ends_the_server() -> None:
    class Fault(Exception):
        pass

    async def fails() -> None:
        raise Fault

    async def story(farm: Farm) -> None:
        with pytest.raises(ExceptionGroup):
            await Server("one", farm.store, fails).leadership.run()

    play(story)


def test_commits_told_while_memory_loads_come_after_it_in_order() -> None:
    told: list[Commit] = []

    def hear(commit: Commit) -> None:
        told.append(commit)

    following = Following([hear])
    early, first, second, late = (Commit((), (), (), (), facts=(name,)) for name in "abcd")

    following(early)
    following.keep()
    following(first)
    following(second)
    before = list(told)
    following.follow()
    following.stop()
    following(late)

    assert (before, told) == ([], [first, second])
