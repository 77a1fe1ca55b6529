"""Worlds with one thing in them: what a promise says about that one thing, with the figures a farm runs with."""

from __future__ import annotations

from dataclasses import replace

from protocol.states import JobState
from tests.sim.ground import NO_FAULTS, Rates
from tests.sim.plan import EnginePlan, Fault, FaultKind, JobPlan, Plan
from tests.sim.world import World

LEASE_S, SWEEP_S, RECONNECT_S = 60.0, 5.0, 30.0
FARM = Plan(
    seed=1,
    engines=tuple(EnginePlan(f"box{number}", 2, 1, frozenset(), True) for number in range(2)),
    jobs=tuple(JobPlan(n, 0.5 * n, "default", ("web", "nap")[n % 2], 5, frozenset(), None, 3) for n in range(6)),
    rates=NO_FAULTS,
    lease_s=LEASE_S,
    heartbeat_s=15.0,
    ack_s=10.0,
    sweep_s=SWEEP_S,
)


def test_in_a_calm_world_every_task_runs_once() -> None:
    for seed in range(10):
        world = World(replace(FARM, seed=seed))
        story = world.run()

        assert story.problems == ()
        assert story.states == {JobState.COMPLETED: 6}
        assert set(world.bench.runs.values()) == {1}


def test_a_dispatch_that_is_down_for_five_minutes_costs_no_second_encode() -> None:
    for seed in range(10):
        outage = Fault(3.0 + 0.3 * seed, FaultKind.KILL_DISPATCH, 300.0)
        world = World(replace(FARM, seed=seed, faults=(outage,)))
        world.busy_s = 310.0
        story = world.run()

        assert story.problems == ()
        assert story.states == {JobState.COMPLETED: 6}
        assert set(world.bench.runs.values()) == {1}


def test_an_engine_that_is_back_within_a_lease_has_encoded_everything_once() -> None:
    taken_over = 0
    for seed in range(20):
        death = Fault(3.0 + 0.3 * seed, FaultKind.KILL_ENGINE, 0.5 + seed, which=seed % 2)
        world = World(replace(FARM, seed=seed, faults=(death,), reattach_s=LEASE_S))
        story = world.run()

        assert story.problems == ()
        assert story.states == {JobState.COMPLETED: 6}
        assert set(world.bench.runs.values()) == {1}
        taken_over += story.faults["tool taken over"]

    assert taken_over >= 20


def test_the_work_of_a_dead_engine_is_given_to_another_within_a_lease_and_a_quarter_minute() -> None:
    hit = 0
    for seed in range(20):
        death = Fault(3.0 + 0.3 * seed, FaultKind.KILL_ENGINE, 900.0, which=seed % 2)
        world = World(replace(FARM, seed=seed, faults=(death,)))
        story = world.run()
        runs = [(float(str(row[0])), row[2], row[3]) for row in story.trace if row[1] == "runs"]
        lost = {task for moment, box, task in runs if box == f"box{seed % 2}" and moment < death.at}
        again = {task: moment for moment, _, task in runs if moment > death.at and task in lost}

        assert story.states == {JobState.COMPLETED: 6}
        assert all(moment - death.at <= LEASE_S + 15.0 for moment in again.values())
        hit += len(again)

    assert hit >= 20


def test_two_tenants_share_one_slot_evenly() -> None:
    jobs = tuple(
        JobPlan(n, 0.0 if n < 12 else 0.1, "default" if n < 12 else "acme", "nap", 5, frozenset(), None, 3) for n in range(24)
    )
    one_slot = (EnginePlan("box0", 1, 1, frozenset(), True),)
    world = World(replace(FARM, jobs=jobs, engines=one_slot, rates=Rates()))
    story = world.run()
    tenant_of = {task.task_id: task.tenant for task in world.watch.tasks.values()}
    order = [tenant_of[str(row[3])] for row in story.trace if row[1] == "runs"]

    assert story.states == {JobState.COMPLETED: 24}
    assert all(abs(order[1:n].count("acme") - order[1:n].count("default")) <= 2 for n in range(2, 23))
