"""The scheduler's rounds on virtual time: wake-ups, put-backs, backoffs, holds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dispatch.core.records import Tenant
from dispatch.services.scheduler import GRANTS_A_ROUND
from protocol.errors import ErrorCode, ReelyardError
from protocol.states import AttemptState, EngineState, JobState, TaskKind, TaskState
from tests.unit.scheduler_play import EMPTY, Farm, elapsed, given, play, settled
from tests.unit.scheduler_world import NOW, Rows, make_engine, make_job, make_task


def test_a_waiting_task_is_granted_at_once() -> None:
    async def story(farm: Farm) -> None:
        assert await elapsed(farm.asking("one")) == (["a"], 0.0)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


def test_a_new_task_wakes_a_waiting_engine() -> None:
    async def story(farm: Farm) -> None:
        asking = farm.asking("one")
        await asyncio.sleep(3)
        farm.rows.save(make_task("a"), jobs=[make_job("a")])

        assert await elapsed(asking) == (["a"], 0.0)

    play(Rows(engines=[make_engine("one")]), story)


def test_never_more_grants_than_slots() -> None:
    async def story(farm: Farm) -> None:
        answer = await farm.asking("one", slots=2, light_slots=1)

        assert sorted(given(answer)) == ["a", "b", "x"]

    heavy = [make_task(name) for name in "abcd"]
    light = [make_task(name, kind=TaskKind.ANALYZE) for name in "xy"]
    play(Rows(tasks=[*heavy, *light], engines=[make_engine("one")]), story)


def test_a_gpu_host_keeps_taking_processor_work() -> None:
    async def story(farm: Farm) -> None:
        answer = await farm.asking("one", slots=1, gpu_slots=1)

        assert sorted(given(answer)) == ["a", "x"]

    heavy = [make_task(name) for name in "ab"]
    fast = [make_task(name, needs=("encoder:h264_nvenc", "operation:noop")) for name in "xy"]
    play(Rows(tasks=[*heavy, *fast], engines=[make_engine("one", "encoder:h264_nvenc")]), story)


def test_a_task_for_a_gpu_wakes_the_engine_that_waits_with_one() -> None:
    async def story(farm: Farm) -> None:
        without, with_gpu = farm.asking("one", slots=2), farm.asking("two", slots=0, gpu_slots=1)
        await settled()
        farm.rows.save(make_task("a", needs=("encoder:h264_nvenc", "operation:noop")), jobs=[make_job("a")])

        assert (given(await with_gpu), without.done()) == (["a"], False)

    play(Rows(engines=[make_engine(name, "encoder:h264_nvenc") for name in ("one", "two")]), story)


def test_a_waiting_gpu_is_given_one_task_of_its_kind_and_no_other() -> None:
    async def story(farm: Farm) -> None:
        asking = farm.asking("one", slots=0, gpu_slots=1)
        await settled()
        fast = [make_task(name, needs=("encoder:h264_nvenc", "operation:noop")) for name in "ab"]
        farm.rows.save(*fast, make_task("c"), jobs=[make_job(name) for name in "abc"])

        assert given(await asking) == ["a"]

    play(Rows(engines=[make_engine("one", "encoder:h264_nvenc")]), story)


def test_a_large_round_is_cut_and_goes_on_by_itself() -> None:
    async def story(farm: Farm) -> None:
        asks = [farm.asking(str(n), slots=1000) for n in range(4)]
        assert [len((await ask).grants) for ask in asks] == [1000] * 4
        assert [sum(len(c.task_ids) for c in choices) for choices in farm.rows.rounds] == [GRANTS_A_ROUND] * 2

    play(Rows(tasks=[make_task(f"{n:04d}") for n in range(4000)], engines=[make_engine(str(n)) for n in range(4)]), story)


def test_the_engine_that_worked_on_the_job_is_woken_first() -> None:
    async def story(farm: Farm) -> None:
        await farm.asking("two")
        await settled()
        one, two = farm.asking("one", slots=2), farm.asking("two")
        await settled()
        farm.rows.save(make_task("a2", job_id="job_a", ordinal=1), jobs=[make_job("a", JobState.ASSIGNED)])
        await settled()

        assert (given(two.result()), one.done()) == (["a2"], False)
        assert await one == EMPTY

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one"), make_engine("two")]), story)


def test_the_engine_with_most_free_slots_is_woken_first_then_the_longest_waiting() -> None:
    async def story(farm: Farm) -> None:
        asks = {"late": farm.asking("late"), "free": farm.asking("free", slots=2)}
        await asyncio.sleep(1)
        asks["early"] = farm.asking("early", arrived=-1.0)
        await settled()
        order = []
        for n in range(3):
            farm.rows.save(make_task(str(n)), jobs=[make_job(str(n))])
            await settled()
            (woken,) = (name for name, ask in asks.items() if ask.done())
            order.append(woken)
            del asks[woken]

        assert order == ["free", "early", "late"]

    play(Rows(engines=[make_engine(name) for name in ("late", "free", "early")]), story)


def test_new_tasks_of_one_commit_are_spread_over_waiting_engines() -> None:
    async def story(farm: Farm) -> None:
        one, two = farm.asking("one", slots=2), farm.asking("two", slots=2)
        await settled()
        farm.rows.save(make_task("a"), make_task("b"))

        assert (given(await one), given(await two)) == (["a"], ["b"])

    play(Rows(engines=[make_engine("one"), make_engine("two")]), story)


def test_an_engine_that_does_not_fit_is_not_woken() -> None:
    async def story(farm: Farm) -> None:
        small, large = farm.asking("small", slots=9), farm.asking("large")
        await settled()
        farm.rows.save(make_task("a", needs=("encoder:x",)))
        await settled()

        assert (small.done(), given(await large)) == (False, ["a"])
        assert await small == EMPTY

    play(Rows(engines=[make_engine("small"), make_engine("large", "encoder:x")]), story)


@pytest.mark.parametrize(
    "changes", [{"state": EngineState.DRAINING}, {"wanted": "drain"}, {"wanted": "pause"}, {"boot_id": "another"}]
)
def test_an_engine_gets_no_work_until_it_takes_it(changes: dict[str, Any]) -> None:
    async def story(farm: Farm) -> None:
        asking = farm.asking("one")
        await asyncio.sleep(2)
        assert farm.rows.rounds == []
        farm.rows.save(engines=[make_engine("one")])

        assert await elapsed(asking) == (["a"], 0.0)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one", **changes)]), story)


def test_an_unknown_engine_gets_no_work() -> None:
    async def story(farm: Farm) -> None:
        assert await farm.asking("stranger") == EMPTY

    play(Rows(tasks=[make_task("a")]), story)


def test_the_failed_engine_tries_again_once_the_other_is_lost() -> None:
    async def story(farm: Farm) -> None:
        asking = farm.asking("one")
        await asyncio.sleep(2)
        assert not asking.done()
        farm.rows.save(engines=[make_engine("two", state=EngineState.LOST)])

        assert await elapsed(asking) == (["a"], 0.0)

    play(Rows(tasks=[make_task("a", avoid=("eng_one",))], engines=[make_engine("one"), make_engine("two")]), story)


def test_a_retry_wakes_the_other_engine() -> None:
    async def story(farm: Farm) -> None:
        one, two = farm.asking("one", slots=9), farm.asking("two")
        await settled()
        farm.rows.save(make_task("a", avoid=("eng_one",)))
        await settled()

        assert (one.done(), given(await two)) == (False, ["a"])
        assert await one == EMPTY

    play(Rows(engines=[make_engine("one"), make_engine("two")]), story)


def test_a_task_cancelled_while_it_is_granted_makes_room_for_the_next() -> None:
    async def story(farm: Farm) -> None:
        cancelled = make_task("a", priority=9, state=TaskState.CANCELLED)
        farm.rows.during = lambda: farm.rows.save(cancelled, jobs=[make_job("a", JobState.CANCELLED)])

        assert await elapsed(farm.asking("one")) == (["b"], 0.0)
        assert farm.scheduler.index.snapshot() == frozenset()

    play(Rows(tasks=[make_task("a", priority=9), make_task("b")], engines=[make_engine("one")]), story)


def test_a_choice_the_guards_refuse_goes_to_another_engine_and_is_not_repeated() -> None:
    async def story(farm: Farm) -> None:
        del farm.rows.engine_rows["eng_one"]  # gone in the database, and the scheduler was not told
        one = farm.asking("one", slots=1)
        await settled()
        assert farm.scheduler.index.snapshot() == {"tsk_a"}
        assert await elapsed(farm.asking("two")) == (["a"], 0.0)
        assert await one == EMPTY
        assert [[choice.engine_id for choice in choices] for choices in farm.rows.rounds] == [["eng_one"], ["eng_two"]]

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one"), make_engine("two")]), story)


def test_a_grant_that_fails_is_put_back_and_tried_again_after_a_pause() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.trouble = ReelyardError(ErrorCode.DATABASE_UNAVAILABLE)
        asking = farm.asking("one")
        await asyncio.sleep(10)
        assert farm.scheduler.index.snapshot() == {"tsk_a"}
        assert 4 <= len(farm.rows.rounds) <= 8  # 0.25, 0.5, 1, 2, 4, 5 ... seconds apart
        farm.rows.trouble = None

        assert given(await asking) == ["a"]

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


@pytest.mark.parametrize("error", [ZeroDivisionError(), ReelyardError(ErrorCode.INTERNAL_ERROR)])
def test_any_other_error_ends_the_loop(error: Exception) -> None:
    async def story(farm: Farm) -> None:
        farm.rows.trouble = error
        farm.asking("one")
        await asyncio.sleep(100)

    with pytest.raises(ExceptionGroup) as caught:
        play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)
    assert caught.value.exceptions == (error,)


def test_a_task_is_granted_when_its_backoff_passes_and_its_job_is_derived_again() -> None:
    async def story(farm: Farm) -> None:
        asking = farm.asking("one")
        await settled()
        farm.rows.save(make_task("a", not_before=NOW + 5.0))

        assert await elapsed(asking) == (["a"], 5.0)
        assert farm.backed_off == ["job_a"]

    play(Rows(engines=[make_engine("one")]), story)


def test_a_backoff_that_passed_before_a_restart_is_noticed() -> None:
    async def story(farm: Farm) -> None:
        await settled()
        assert farm.backed_off == ["job_a"]

    play(Rows(tasks=[make_task("a", not_before=NOW - 100.0)]), story)


def test_an_earlier_backoff_is_not_missed_behind_a_later_one() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.save(make_task("late", not_before=NOW + 50.0))
        await settled()
        farm.rows.save(make_task("soon", not_before=NOW + 5.0))
        assert await elapsed(farm.asking("one", slots=2)) == (["soon"], 5.0)

    play(Rows(engines=[make_engine("one")]), story)


def test_a_task_of_a_job_that_ended_is_dropped_and_comes_back_with_its_retry() -> None:
    async def story(farm: Farm) -> None:
        farm.rows.save(make_task("a"), jobs=[make_job("a", JobState.FAILED)])
        assert farm.scheduler.index.snapshot() == frozenset()
        farm.rows.save(make_task("a", not_before=NOW), jobs=[make_job("a", JobState.RETRYING)])

        assert await elapsed(farm.asking("one")) == (["a"], 0.0)

    play(Rows(tasks=[make_task("a")], engines=[make_engine("one")]), story)


def test_the_index_equals_the_rows_when_quiet() -> None:
    async def story(farm: Farm) -> None:
        await farm.asking("one", slots=3)
        held = [task for task in farm.rows.tasks.values() if task.state is TaskState.ASSIGNED]
        farm.rows.save(replace(held[0], state=TaskState.PENDING), replace(held[1], state=TaskState.DONE))
        await settled()

        assert farm.scheduler.index.snapshot() == {task.task_id for task in farm.rows.ready_tasks()}
        assert len(farm.scheduler.index) == 8

    play(Rows(tasks=[make_task(str(n)) for n in range(10)], engines=[make_engine("one")]), story)


def test_tenant_weights_and_true_costs_come_with_the_commits() -> None:
    async def story(farm: Farm) -> None:
        got = [given(await farm.asking("one"))[0] for _ in range(8)]
        assert sorted(name[0] for name in got) == ["a"] * 6 + ["b"] * 2

    tasks = [make_task(f"{tenant}{n}", tenant=tenant) for tenant in "ab" for n in range(20)]
    play(Rows(tasks=tasks, engines=[make_engine("one")], tenants=[Tenant("a", 3.0, NOW), Tenant("b", 1.0, NOW)]), story)


def test_an_ended_attempt_corrects_the_charge() -> None:
    async def story(farm: Farm) -> None:
        got = []
        for _ in range(12):
            (grant,) = (await farm.asking("one")).grants
            task = farm.rows.tasks[grant.task_id]
            got.append(task.tenant)
            attempt = replace(
                farm.rows.attempts[grant.token],
                state=AttemptState.DONE,
                started_at=NOW,
                ended_at=NOW + (3.0 if task.tenant == "a" else 1.0),
            )
            farm.rows.save(replace(task, state=TaskState.DONE), attempts=[attempt])
        assert (got.count("a"), got.count("b")) == (4, 8)

    tasks = [make_task(f"{tenant}{n:02d}", tenant=tenant) for tenant in "ab" for n in range(20)]
    play(Rows(tasks=tasks, engines=[make_engine("one")]), story)
