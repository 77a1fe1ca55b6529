"""Long polls and orders: who is answered when, and with what."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from dispatch.services.polls import LeaseAnswer, LeaseAsk
from protocol.errors import ErrorCode, ReelyardError
from protocol.leases import Order
from tests.unit.scheduler_play import EMPTY, Farm, elapsed, given, play, settled
from tests.unit.scheduler_world import Rows, make_ask, make_engine, make_task
from tests.virtual_loop import Stuck, run

CANCEL = Order(order="cancel", task_id="tsk_a", token=1)


def test_an_ask_without_work_is_answered_empty_after_its_time() -> None:
    async def story(farm: Farm) -> None:
        assert await elapsed(farm.asking("one", wait_s=25.0)) == ([], 25.0)
        assert farm.rows.rounds == []

    play(Rows(engines=[make_engine("one")]), story)


def test_an_ask_that_does_not_wait_still_gets_what_is_there() -> None:
    async def story(farm: Farm) -> None:
        assert await elapsed(farm.asking("one", wait_s=0.0)) == (["a"], 0.0)
        assert await elapsed(farm.asking("one", wait_s=0.0)) == ([], 0.0)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


def test_all_asks_of_a_moment_are_granted_in_one_transaction() -> None:
    async def story(farm: Farm) -> None:
        asks = [farm.asking(name) for name in ("one", "two", "three")]
        assert [given(await ask) for ask in asks] == [["a"], ["b"], ["c"]]
        assert [len(choices) for choices in farm.rows.rounds] == [3]

    engines = [make_engine(name) for name in ("one", "two", "three")]
    play(Rows(tasks=[make_task(name) for name in "abc"], engines=engines), story)


def test_a_newer_ask_answers_the_older_one_at_once() -> None:
    async def story(farm: Farm) -> None:
        older = farm.asking("one", request_id="r1")
        await asyncio.sleep(5)
        newer = farm.asking("one", request_id="r2")

        assert await elapsed(older) == ([], 0.0)
        farm.rows.save(make_task("a"))
        assert await elapsed(newer) == (["a"], 0.0)

    play(Rows(engines=[make_engine("one")]), story)


def test_a_newer_ask_during_a_grant_does_not_double_the_slots() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.gate = asyncio.Event()
        older = farm.asking("one", request_id="r1")
        await settled()
        newer = farm.asking("one", request_id="r2")
        await settled()
        farm.rows.gate.set()

        assert await elapsed(older) == (["a"], 0.0)
        assert await elapsed(newer) == ([], 25.0)

    play(Rows(tasks=[make_task("a"), make_task("b")], engines=[make_engine("one")]), story)


def test_the_same_request_again_during_its_grant_gets_the_same_grants() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.gate = asyncio.Event()
        first = farm.asking("one", request_id="r")
        await settled()
        again = farm.asking("one", request_id="r")
        await settled()
        first.cancel()
        await settled()
        farm.rows.gate.set()

        assert given(await again) == ["a"]
        assert len(farm.rows.rounds) == 1

    play(Rows(tasks=[make_task("a"), make_task("b")], engines=[make_engine("one")]), story)


def test_an_ask_that_went_away_gets_nothing() -> None:
    async def story(farm: Farm) -> None:
        gone = farm.asking("one")
        await settled()
        gone.cancel()
        await settled()
        farm.rows.save(make_task("a"))
        await settled()

        assert farm.rows.rounds == []

    play(Rows(engines=[make_engine("one")]), story)


def test_an_ask_whose_time_ends_during_its_grant_still_gets_it() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.gate = asyncio.Event()
        asking = farm.asking("one", wait_s=1.0)
        await asyncio.sleep(3)
        assert not asking.done()
        farm.rows.gate.set()

        assert given(await asking) == ["a"]

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


def test_an_ask_whose_time_ends_before_its_first_round_waits_for_that_round() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.gate = asyncio.Event()
        one = farm.asking("one")
        await settled()
        two = farm.asking("two", wait_s=0.0)
        await asyncio.sleep(1)
        farm.rows.gate.set()

        assert (given(await one), given(await two)) == (["a"], ["b"])

    play(Rows(tasks=[make_task("a"), make_task("b")], engines=[make_engine("one"), make_engine("two")]), story)


def test_an_ask_whose_round_does_not_come_is_answered_when_grants_pause() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.gate = asyncio.Event()
        farm.rows.trouble = ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)
        farm.asking("one")
        await settled()
        two = farm.asking("two", wait_s=0.0)
        await asyncio.sleep(1)
        farm.rows.gate.set()

        assert await elapsed(two) == ([], 0.0)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one"), make_engine("two")]), story)


def test_an_order_is_answered_at_once_on_the_open_poll() -> None:
    async def story(farm: Farm) -> None:
        asking = farm.asking("one", slots=0)
        await asyncio.sleep(4)
        farm.scheduler.order("eng_one", CANCEL)

        assert await asking == LeaseAnswer(orders=(CANCEL,))
        assert await farm.asking("one", slots=0) == EMPTY

    play(Rows(engines=[make_engine("one")]), story)


def test_an_order_is_kept_once_for_the_next_ask() -> None:
    async def story(farm: Farm) -> None:
        farm.scheduler.order("eng_one", CANCEL, Order(order="drain"))
        farm.scheduler.order("eng_one", CANCEL, Order(order="undrain"))

        assert await farm.asking("one") == LeaseAnswer(orders=(CANCEL, Order(order="undrain")))

    play(Rows(engines=[make_engine("one")]), story)


def test_an_order_during_a_grant_rides_along() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.gate = asyncio.Event()
        asking = farm.asking("one")
        await settled()
        farm.scheduler.order("eng_one", CANCEL)
        farm.rows.gate.set()
        answer = await asking

        assert (given(answer), answer.orders) == (["a"], (CANCEL,))

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


def test_an_ask_is_answered_empty_in_time_while_the_database_is_away() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.trouble = ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)
        assert await elapsed(farm.asking("one", wait_s=7.0)) == ([], 7.0)
        assert await elapsed(farm.asking("one", wait_s=0.0)) == ([], 0.0)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


def test_nothing_is_granted_while_held_and_orders_still_flow() -> None:
    async def story(farm: Farm) -> None:
        farm.scheduler.hold("the storage cannot be reached")
        asking = farm.asking("one")
        await asyncio.sleep(5)
        assert farm.rows.rounds == []
        farm.scheduler.order("eng_one", CANCEL)
        assert await asking == LeaseAnswer(orders=(CANCEL,))
        asking = farm.asking("one")
        await asyncio.sleep(5)
        farm.scheduler.resume()

        assert await elapsed(asking) == (["a"], 0.0)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


def test_a_removed_engine_ends_its_poll_and_its_orders() -> None:
    async def story(farm: Farm) -> None:
        asking = farm.asking("one")
        await asyncio.sleep(1)
        farm.rows.save(gone_engines=("eng_one",))
        assert await elapsed(asking) == ([], 0.0)

        farm.scheduler.order("eng_one", CANCEL)
        farm.rows.save(gone_engines=("eng_one",))
        assert await farm.asking("one") == EMPTY

    play(Rows(engines=[make_engine("one")]), story)


def test_stopping_answers_every_poll() -> None:
    async def story(farm: Farm) -> None:
        farm.asking("one")
        farm.asking("two")
        await settled()

    play(Rows(engines=[make_engine("one")]), story)  # the group would hang, and the loop say Stuck, otherwise


def test_a_loop_with_nothing_to_wait_for_says_so() -> None:
    async def main() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(main())


def test_asks_take_no_longer_than_they_say() -> None:
    async def story(farm: Farm) -> None:
        asks: list[LeaseAsk] = [make_ask("one", wait_s=w, request_id=str(w)) for w in (0.0, 0.5, 60.0)]
        for ask in asks:
            assert await elapsed(farm.scheduler.ask(ask)) == ([], ask.wait_s)

    play(Rows(engines=[make_engine("one")]), story)
