"""How many tasks of a tenant engines hold at once: never more than its cap, and again as soon as one ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from dispatch.core.ready_index import ReadyIndex, rank
from dispatch.core.records import Task, Tenant
from dispatch.core.rooms import Room
from dispatch.core.why import FarmView, why
from protocol.states import EngineState, JobState, TaskState
from tests.unit.scheduler_play import Farm, given, play, settled
from tests.unit.scheduler_world import NOW, Rows, make_engine, make_job, make_sight, make_task
from tests.unit.test_scheduler_index import NaiveModel

ALL = Room(encoding=1000, light=1000)


def capped(cap: int | None, name: str = "default") -> Tenant:
    return Tenant(name, 1.0, NOW, max_running=cap)


# --- the index


def index_of(cap: int, *names: str) -> ReadyIndex:
    index = ReadyIndex()
    index.lanes.set_engine(make_sight("one"))
    index.set_cap("default", cap)
    for name in names:
        index.put(make_task(name))
    return index


def chosen(index: ReadyIndex) -> list[str]:
    return [pick.task_id.removeprefix("tsk_") for pick in index.choose("eng_one", ALL, NOW)]


def test_a_choice_stops_at_the_cap_and_goes_on_with_other_tenants() -> None:
    index = index_of(2, "a", "b", "c")
    index.put(make_task("x", tenant="other"))

    assert sorted(chosen(index)) == ["a", "b", "x"]
    assert chosen(index) == []


def test_what_is_held_counts_until_it_is_held_no_more() -> None:
    index = index_of(1, "a", "b")
    index.hold(make_task("held"))
    before = chosen(index)

    index.put(make_task("held", priority=9))

    assert (before, chosen(index), chosen(index)) == ([], ["held"], [])


def test_a_task_that_is_both_chosen_and_held_counts_once() -> None:
    index = index_of(2, "a", "b", "c")
    index.choose("eng_one", Room(1, 0), NOW)
    index.hold(make_task("a"))
    index.confirm("tsk_a", "job_a")

    assert chosen(index) == ["b"]


def test_a_job_that_ends_with_a_chosen_task_makes_room() -> None:
    index = index_of(1, "a", "b")
    index.choose("eng_one", Room(1, 0), NOW)

    index.drop_job("job_a")

    assert (index.reopened(), chosen(index)) == (["tsk_b"], ["b"])


def test_a_cap_of_nothing_lets_nothing_run() -> None:
    assert chosen(index_of(0, "a")) == []


def test_a_lowered_cap_takes_nothing_away_and_holds_until_enough_have_ended() -> None:
    index = index_of(3, "a", "b", "c", "d")
    chosen(index)
    for name in "abc":
        index.hold(make_task(name))
    index.set_cap("default", 1)
    index.drop("tsk_a", "job_a")
    index.drop("tsk_b", "job_b")
    before = chosen(index)

    index.drop("tsk_c", "job_c")

    assert (before, chosen(index)) == ([], ["d"])


def test_a_tenant_that_comes_back_is_neither_behind_nor_paid_for_its_absence() -> None:
    index = index_of(1, *(f"d{n:03d}" for n in range(50)))
    index.hold(make_task("held"))
    for n in range(50):
        index.put(make_task(f"o{n:03d}", tenant="other"))
    for _ in range(30):
        index.choose("eng_one", Room(1, 0), NOW)
    index.set_cap("default", None)

    picks = [index.choose("eng_one", Room(1, 0), NOW)[0].task_id[4] for _ in range(20)]

    assert (picks.count("d"), picks.count("o")) == (10, 10)


class CappedModel(NaiveModel):
    """The naive model with caps: a tenant at its cap has nothing that fits, and starts anew when it comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.caps: dict[str, int | None] = {}
        self.held: dict[str, Task] = {}

    def is_full(self, tenant: str) -> bool:
        cap = self.caps.get(tenant)
        return cap is not None and sum(task.tenant == tenant for task in self.held.values()) >= cap

    def came_back(self, tenant: str, *, was_full: bool) -> None:
        if was_full and not self.is_full(tenant):
            self.starts[tenant] = max(self.starts.get(tenant, 0.0), self.virtual)

    @rule(tenant=st.sampled_from("xyz"), cap=st.sampled_from([None, 0, 1, 2, 2]))
    def set_cap(self, tenant: str, cap: int | None) -> None:
        was_full = self.is_full(tenant)
        self.caps[tenant] = cap
        self.index.set_cap(tenant, cap)
        self.came_back(tenant, was_full=was_full)

    @precondition(lambda self: self.held)
    @rule(n=st.integers(0, 1000))
    def end(self, n: int) -> None:
        task_id = sorted(self.held)[n % len(self.held)]
        tenant = self.held[task_id].tenant
        was_full = self.is_full(tenant)
        self.index.drop(task_id, self.held.pop(task_id).job_id)
        self.came_back(tenant, was_full=was_full)

    @precondition(lambda self: self.tasks)
    @rule(name=st.sampled_from("abc"), is_granted=st.booleans())
    def choose(self, name: str, is_granted: bool) -> None:
        fitting = [task for task in self.tasks.values() if self._fits(task, name) and not self.is_full(task.tenant)]
        picks = self.index.choose(f"eng_{name}", Room(1, 0), NOW)
        assert len(picks) == bool(fitting)
        if not picks:
            return
        task = self.tasks[picks[0].task_id]
        assert task in fitting
        assert self.starts[task.tenant] == pytest.approx(min(self.starts[other.tenant] for other in fitting))
        own = [other for other in fitting if other.tenant == task.tenant]
        assert task == min(own, key=lambda other: (rank(other), other.job_id, -other.cost_s, other.task_id))
        self._charge(task)
        self.held[task.task_id] = task
        if is_granted:
            del self.tasks[task.task_id]
            self.index.hold(task)
            return
        was_full = self.is_full(task.tenant)
        if all(other is task or other.tenant != task.tenant for other in self.tasks.values()):
            self.starts[task.tenant] = max(self.starts[task.tenant], self.virtual)
        self.debts[task.tenant] -= task.cost_s
        assert self.index.give_back(task.task_id)
        del self.held[task.task_id]
        self.came_back(task.tenant, was_full=was_full)

    @invariant()
    def a_task_has_a_lane_while_its_tenant_has_room(self) -> None:
        seen = {task_id: self.index.lane_of(task_id) is not None for task_id in self.tasks}
        assert seen == {task_id: not self.is_full(task.tenant) for task_id, task in self.tasks.items()}

    @invariant()
    def counts_what_is_held(self) -> None:
        counts = {tenant: self.index.running.count(tenant) for tenant in "xyz"}
        assert counts == {t: sum(task.tenant == t for task in self.held.values()) for t in "xyz"}


CappedModel.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
test_the_index_with_caps_chooses_what_a_naive_model_chooses = CappedModel.TestCase


# --- the scheduler


def held(rows: Rows) -> int:
    return len(rows.held_tasks())


def end(rows: Rows, name: str) -> None:
    rows.save(replace(rows.tasks[f"tsk_{name}"], state=TaskState.DONE), jobs=[make_job(name, JobState.COMPLETED)])


def tasks(count: int, **changes: Any) -> list[Task]:  # any field of the record
    return [make_task(f"{n}", created_at=NOW + n, cost_s=10.0, **changes) for n in range(count)]


def farm_of(cap: int, count: int = 4, **more: Any) -> Rows:  # whatever Rows takes
    engines = [make_engine(name) for name in ("one", "two", "three")]
    return Rows(tasks=tasks(count), engines=engines, tenants=[capped(cap)], **more)


def test_a_waiting_engine_gets_the_next_task_when_one_ends() -> None:
    async def story(farm: Farm) -> None:
        one, two = farm.asking("one"), farm.asking("two")
        await settled()
        assert (given(one.result()), two.done()) == (["0"], False)
        end(farm.rows, "0")
        await settled()

        assert (given(two.result()), held(farm.rows)) == (["1"], 1)

    play(farm_of(1), story)


def test_every_waiting_engine_is_woken_for_what_a_raised_cap_allows() -> None:
    async def story(farm: Farm) -> None:
        asks = [farm.asking(name) for name in ("one", "two", "three")]
        await settled()
        assert [ask.done() for ask in asks] == [False] * 3
        farm.rows.save(tenants=(capped(2),))
        await settled()
        assert held(farm.rows) == 2
        farm.rows.save(tenants=(capped(None),))
        await settled()

        assert (held(farm.rows), [ask.done() for ask in asks]) == (3, [True] * 3)

    play(farm_of(0), story)


def test_what_engines_hold_at_the_start_counts() -> None:
    async def story(farm: Farm) -> None:
        ask = farm.asking("one")
        await settled()
        assert not ask.done()
        end(farm.rows, "0")
        await settled()

        assert given(ask.result()) == ["1"]

    rows = farm_of(1)
    rows.tasks["tsk_0"] = replace(rows.tasks["tsk_0"], state=TaskState.RUNNING, engine_id="eng_two")
    play(rows, story)


def test_a_grant_that_is_refused_makes_room_for_another_task() -> None:
    async def story(farm: Farm) -> None:
        gone = replace(farm.rows.tasks["tsk_0"], state=TaskState.CANCELLED)
        farm.rows.during = lambda: farm.rows.save(gone)
        asks = [farm.asking("one"), farm.asking("two")]
        await settled()

        assert [given(ask.result()) for ask in asks if ask.done()] == [["1"]]
        assert held(farm.rows) == 1

    play(farm_of(1), story)


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_no_more_than_the_cap_is_held_through_any_day(cap: int) -> None:
    async def story(farm: Farm) -> None:
        seen = []
        for n in range(30):
            asks = [farm.asking(name, request_id=f"req-{n}-{name}", wait_s=0.0) for name in ("one", "two", "three")]
            await asyncio.sleep(0.01)
            seen.append(held(farm.rows))
            for ask in asks:
                for name in given(await ask):
                    if (int(name) + n) % 2:
                        end(farm.rows, name)
            for task in farm.rows.held_tasks()[: n % 3]:
                farm.rows.save(replace(task, state=TaskState.PENDING), jobs=[make_job(task.job_id.removeprefix("job_"))])

        assert max(seen) == cap

    play(farm_of(cap, 200), story)


def test_why_names_the_cap() -> None:
    sights = (make_sight("one"), make_sight("two", state=EngineState.LOST))
    reply = why(make_job("a"), [make_task("a")], FarmView(sights, {"eng_one": Room(1, 0)}, cap=2), now=NOW)

    assert reply.summary == "noop waits for another task of its tenant to end: 2 run, and no more may."
    assert [engine.reason for engine in reply.engines] == [
        "fits; the tenant runs all the tasks it may at once",
        "is lost: it fell silent",
    ]
