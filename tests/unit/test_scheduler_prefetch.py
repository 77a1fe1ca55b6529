"""Tasks granted ahead of time: who may wait where, and who is asked for what waits while another engine is idle."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dispatch.core.records import Tenant
from dispatch.services.polls import LeaseAnswer
from protocol.leases import Order
from protocol.states import AttemptState, TaskState
from tests.unit.scheduler_play import EMPTY, Farm, elapsed, given, play, settled
from tests.unit.scheduler_world import NOW, Rows, make_engine, make_task

ONE, TWO = make_engine("one"), make_engine("two")
GIVE_BACK = Order(order="give_back", task_id="tsk_a", token=1)
BACK = LeaseAnswer(orders=(GIVE_BACK,))


def busy(farm: Farm, name: str = "one", **changes: Any) -> asyncio.Task[LeaseAnswer]:  # fields of the ask
    """All its processor slots are taken, and nothing waits there."""
    return farm.asking(name, **{"slots": 0, "prefetch": True, **changes})


def told(rows: Rows, state: AttemptState, task_state: TaskState = TaskState.ASSIGNED, token: int = 1) -> None:
    """What the engine that holds it says of an attempt."""
    attempt = rows.attempts[token] = replace(rows.attempts[token], state=state)
    task = replace(rows.tasks[attempt.task_id], state=task_state)
    rows.save(task if task_state is not TaskState.PENDING else replace(task, engine_id=None), attempts=[attempt])


def on_disk(rows: Rows) -> None:
    told(rows, AttemptState.ACKED)


def started(rows: Rows) -> None:
    told(rows, AttemptState.RUNNING, TaskState.RUNNING)


def released(rows: Rows) -> None:
    told(rows, AttemptState.RELEASED, TaskState.PENDING)


async def waiting_at_one(farm: Farm) -> None:
    assert given(await busy(farm)) == ["a"]
    on_disk(farm.rows)
    await settled()


@pytest.mark.parametrize(
    ("ask", "expected"), [({}, ["a"]), ({"prefetch": False}, []), ({"light_slots": 1}, ["a"])], ids=["busy", "not asked", "light"]
)
def test_an_engine_whose_slots_are_taken_gets_one_task_more_where_it_asks_for_it(
    ask: dict[str, Any], expected: list[str]
) -> None:
    async def story(farm: Farm) -> None:
        assert given(await busy(farm, **ask, wait_s=1.0)) == expected

    play(Rows(tasks=[make_task("a"), make_task("b")], engines=[ONE]), story)


def test_a_new_task_goes_to_a_busy_engine_when_none_is_idle() -> None:
    async def story(farm: Farm) -> None:
        asking = busy(farm)
        await asyncio.sleep(3)
        farm.rows.save(make_task("a"), make_task("b"))

        assert await elapsed(asking) == (["a"], 0.0)

    play(Rows(engines=[ONE]), story)


@pytest.mark.parametrize("first", ["one", "two"])
def test_idle_engines_come_first(first: str) -> None:
    async def story(farm: Farm) -> None:
        asks = {"one": lambda: busy(farm, "one", wait_s=5.0), "two": lambda: farm.asking("two", wait_s=5.0)}
        asked = {name: asks[name]() for name in sorted(asks, key=lambda name: name != first)}
        await settled()
        farm.rows.save(make_task("b"))

        assert [given(await asked[name]) for name in ("one", "two")] == [["b"], ["a"]]

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


def test_what_an_idle_engine_could_do_waits_at_no_other_though_that_one_worked_on_the_job() -> None:
    async def story(farm: Farm) -> None:
        ahead, idle = busy(farm, wait_s=5.0), farm.asking("two")
        await settled()
        farm.rows.save(make_task("a"))

        assert (given(await idle), given(await ahead)) == (["a"], [])

    play(Rows(engines=[ONE, TWO]), story)


def test_a_busy_engine_is_woken_for_what_it_alone_can_do_and_leaves_the_rest_to_an_idle_one() -> None:
    async def story(farm: Farm) -> None:
        ahead, idle = busy(farm), farm.asking("two")
        await settled()
        farm.rows.save(make_task("a", needs=("encoder:libx265", "operation:noop")), make_task("b", priority=10))

        assert (given(await ahead), given(await idle)) == (["a"], ["b"])

    play(Rows(engines=[make_engine("one", "encoder:libx265"), TWO]), story)


def test_a_task_of_a_minute_does_not_wait_at_an_engine_nor_does_what_comes_after_it() -> None:
    async def story(farm: Farm) -> None:
        assert await busy(farm, wait_s=1.0) == EMPTY

    long, short = make_task("a", cost_s=60.0), make_task("b", created_at=NOW + 1)
    play(Rows(tasks=[long, short], engines=[ONE]), story)


def test_of_the_shortest_tasks_as_many_wait_as_share_a_slot() -> None:
    async def story(farm: Farm) -> None:
        assert len(given(await busy(farm))) == 10

    play(Rows(tasks=[make_task(f"{n:02}", cost_s=0.1) for n in range(30)], engines=[ONE]), story)


def test_a_tenant_at_its_cap_has_nothing_waiting_either() -> None:
    async def story(farm: Farm) -> None:
        assert given(await farm.asking("one")) == ["a"]
        assert await busy(farm, wait_s=1.0) == EMPTY

    tenant = Tenant("default", 1.0, NOW, max_running=1)
    play(Rows(tasks=[make_task("a"), make_task("b")], engines=[ONE], tenants=[tenant]), story)


def test_a_newer_ask_during_a_grant_does_not_double_what_waits() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.gate = asyncio.Event()
        older = busy(farm, request_id="r1")
        await settled()
        newer = busy(farm, request_id="r2")
        await settled()
        farm.rows.gate.set()

        assert await elapsed(older) == (["a"], 0.0)
        assert await elapsed(newer) == ([], 25.0)

    play(Rows(tasks=[make_task("a"), make_task("b")], engines=[ONE]), story)


# Back again


def test_what_waits_is_ordered_back_when_another_engine_is_idle_and_goes_there() -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        holder, idle = farm.asking("one", slots=0), farm.asking("two")

        assert await holder == BACK
        again = busy(farm, wait_s=5.0)
        released(farm.rows)
        assert (given(await idle), given(await again)) == (["a"], [])

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


def test_it_is_ordered_back_only_once_it_is_where_it_waits() -> None:
    async def story(farm: Farm) -> None:
        assert given(await busy(farm)) == ["a"]
        holder, _ = farm.asking("one", slots=0), farm.asking("two", wait_s=5.0)
        await settled()
        assert not holder.done()
        on_disk(farm.rows)

        assert await holder == BACK

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


def test_what_has_begun_stays() -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        started(farm.rows)
        holder, _ = farm.asking("one", slots=0, wait_s=5.0), farm.asking("two", wait_s=5.0)

        assert await holder == EMPTY

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


def test_what_was_granted_to_a_free_slot_is_not_asked_for() -> None:
    async def story(farm: Farm) -> None:
        assert given(await farm.asking("one")) == ["a"]
        on_disk(farm.rows)
        holder, _ = farm.asking("one", slots=0, wait_s=5.0), farm.asking("two", wait_s=5.0)

        assert await holder == EMPTY

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


@pytest.mark.parametrize(
    "idle",
    [{"slots": 0, "light_slots": 1}, {"slots": 0, "prefetch": True}, {"boot_id": "another"}],
    ids=["no slot", "no slot either", "not registered"],
)
def test_nothing_is_ordered_back_for_an_engine_that_could_not_begin_it(idle: dict[str, Any]) -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        holder, _ = farm.asking("one", slots=0, wait_s=5.0), farm.asking("two", wait_s=5.0, **idle)

        assert await holder == EMPTY

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


def test_nothing_is_ordered_back_for_an_engine_that_does_not_fit() -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        holder, _ = farm.asking("one", slots=0, wait_s=5.0), farm.asking("two", wait_s=5.0)

        assert await holder == EMPTY

    able = make_engine("one", "encoder:libx265")
    play(Rows(tasks=[make_task("a", needs=("encoder:libx265", "operation:noop"))], engines=[able, TWO]), story)


def test_an_idle_engine_takes_what_is_ready_before_it_asks_for_what_waits() -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        farm.rows.save(make_task("b"))
        holder, other = farm.asking("one", slots=0, wait_s=5.0), farm.asking("two")

        assert (given(await other), await holder) == (["b"], EMPTY)

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


def test_it_is_ordered_once_and_once_more_for_one_that_asks_later() -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        orders = []
        for _ in range(4):
            holder, _ = farm.asking("one", slots=0, wait_s=4.0), farm.asking("two", wait_s=4.0)
            orders.append((await holder).orders)
            await asyncio.sleep(4.0)

        assert orders == [(GIVE_BACK,), (), (GIVE_BACK,), ()]

    play(Rows(tasks=[make_task("a")], engines=[ONE, TWO]), story)


def test_an_order_waits_for_what_is_being_granted_to_its_engine() -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        farm.rows.gate = asyncio.Event()
        farm.rows.save(make_task("b", needs=("encoder:libx265", "operation:noop")))
        holder, _ = farm.asking("one"), farm.asking("two", wait_s=5.0)
        await settled()
        farm.rows.gate.set()

        assert given(await holder) == ["b"]
        assert (await farm.asking("one", slots=0)).orders == (GIVE_BACK,)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one", "encoder:libx265"), TWO]), story)


def test_what_came_back_waits_nowhere_again() -> None:
    async def story(farm: Farm) -> None:
        await waiting_at_one(farm)
        released(farm.rows)

        assert await busy(farm, wait_s=5.0) == EMPTY
        assert given(await farm.asking("one")) == ["a"]

    play(Rows(tasks=[make_task("a")], engines=[ONE]), story)


def test_after_a_restart_whatever_was_not_started_may_be_ordered_back() -> None:
    async def story(farm: Farm) -> None:
        holder, _ = farm.asking("one", slots=0), farm.asking("two")

        assert await holder == BACK

    held = make_task("a", state=TaskState.ASSIGNED, token=1, engine_id="eng_one")
    begun = make_task("b", state=TaskState.RUNNING, token=2, engine_id="eng_one")
    play(Rows(tasks=[held, begun], engines=[ONE, TWO]), story)
