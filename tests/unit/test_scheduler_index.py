"""The ready index: order inside a tenant, matching, avoiding, backoffs, and equality with a naive model."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatch.core.lanes import KEPT_LANES
from dispatch.core.ready_index import AGING_S, ReadyIndex, rank
from dispatch.core.records import Task
from dispatch.core.rooms import Pick, Room
from protocol.capabilities import SlotKind
from protocol.states import EngineState, TaskKind
from tests.unit.scheduler_world import NOW, make_sight, make_task

ALL = Room(encoding=1000, light=1000)


@pytest.fixture
def index() -> ReadyIndex:
    index = ReadyIndex()
    index.lanes.set_engine(make_sight("one"))
    return index


def names(picks: list[Pick]) -> list[str]:
    return [pick.task_id.removeprefix("tsk_") for pick in picks]


def test_a_higher_priority_goes_first(index: ReadyIndex) -> None:
    for priority in (1, 10, 5):
        index.put(make_task(f"p{priority}", priority=priority))

    assert names(index.choose("eng_one", ALL, NOW)) == ["p10", "p5", "p1"]


def test_equal_priority_goes_by_age(index: ReadyIndex) -> None:
    for age in (1, 3, 2):
        index.put(make_task(f"age{age}", created_at=NOW - age))

    assert names(index.choose("eng_one", ALL, NOW)) == ["age3", "age2", "age1"]


def test_a_started_job_goes_before_an_older_new_one_of_equal_priority(index: ReadyIndex) -> None:
    index.put(make_task("new", created_at=NOW - 600))
    index.put(make_task("started", ordinal=1))

    assert names(index.choose("eng_one", ALL, NOW)) == ["started", "new"]


def test_a_started_job_does_not_go_before_a_higher_priority(index: ReadyIndex) -> None:
    index.put(make_task("started", ordinal=1, priority=5))
    index.put(make_task("urgent", priority=6))

    assert names(index.choose("eng_one", ALL, NOW)) == ["urgent", "started"]


def test_the_longest_task_of_a_job_goes_first(index: ReadyIndex) -> None:
    for cost in (2.0, 9.0, 4.0):
        index.put(make_task(f"c{cost:g}", job_id="job_x", ordinal=1, cost_s=cost))

    assert names(index.choose("eng_one", ALL, NOW)) == ["c9", "c4", "c2"]


def test_low_priority_does_not_starve_behind_a_stream_of_high_priority(index: ReadyIndex) -> None:
    index.put(make_task("low", priority=1))
    chosen_after = None
    for minute in range(600):
        index.put(make_task(f"high{minute:04d}", priority=10, created_at=NOW + 60 * minute))
        index.put(make_task(f"more{minute:04d}", priority=10, created_at=NOW + 60 * minute))
        if "low" in names(index.choose("eng_one", Room(1, 0), NOW)):
            chosen_after = minute
            break

    assert chosen_after is not None
    assert rank(make_task("x", priority=1)) == rank(make_task("y", priority=10, created_at=NOW + 9 * AGING_S))


def test_an_engine_gets_only_what_it_fits(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("oslo", "encoder:x", tags=("site:oslo",)))
    index.put(make_task("needs", needs=("encoder:x",)))
    index.put(make_task("tagged", tags=("site:oslo",)))
    index.put(make_task("both", needs=("encoder:x",), tags=("site:rome",)))

    assert names(index.choose("eng_one", ALL, NOW)) == []
    assert names(index.choose("eng_oslo", ALL, NOW)) == ["needs", "tagged"]


def test_light_tasks_take_light_slots_and_no_others(index: ReadyIndex) -> None:
    for n in range(3):
        index.put(make_task(f"light{n}", kind=TaskKind.ANALYZE))
        index.put(make_task(f"heavy{n}"))

    picks = index.choose("eng_one", Room(encoding=1, light=2), NOW)

    assert sorted(names(picks)) == ["heavy0", "light0", "light1"]
    assert index.choose("eng_one", Room(0, 0), NOW) == []


def test_gpu_tasks_take_gpu_slots_and_no_others_and_processor_tasks_none_of_them(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("gpu", "encoder:h264_nvenc"))
    for n in range(3):
        index.put(make_task(f"gpu{n}", needs=("encoder:h264_nvenc", "operation:noop")))
        index.put(make_task(f"cpu{n}"))

    assert index.choose("eng_one", Room(0, 5, 5), NOW) == []
    assert names(index.choose("eng_gpu", Room(0, 0, 2), NOW)) == ["gpu0", "gpu1"]
    assert names(index.choose("eng_gpu", Room(5, 5, 0), NOW)) == ["cpu0", "cpu1", "cpu2"]
    assert names(index.choose("eng_gpu", ALL, NOW)) == []
    assert names(index.choose("eng_gpu", Room(0, 0, 9), NOW)) == ["gpu2"]


def test_short_gpu_tasks_share_no_slot(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("gpu", "encoder:h264_vaapi"))
    for n in range(3):
        index.put(make_task(f"g{n}", needs=("encoder:h264_vaapi",), cost_s=0.01))

    assert [(pick.kind, pick.opens_slot) for pick in index.choose("eng_gpu", Room(0, 0, 2), NOW)] == [(SlotKind.GPU, True)] * 2


def test_an_engine_that_failed_a_task_is_not_given_it_while_another_one_fits(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("two"))
    index.put(make_task("retry", avoid=("eng_one",)))

    assert index.choose("eng_one", ALL, NOW) == []
    assert names(index.choose("eng_two", ALL, NOW)) == ["retry"]


@pytest.mark.parametrize("other", [{"state": EngineState.LOST}, {"wanted": "drain"}, {"state": EngineState.BUSY}])
def test_alone_the_engine_that_failed_a_task_tries_again(index: ReadyIndex, other: dict[str, object]) -> None:
    index.lanes.set_engine(make_sight("two"))
    index.put(make_task("retry", avoid=("eng_one",)))
    index.lanes.set_engine(make_sight("two", **other))

    assert names(index.choose("eng_one", ALL, NOW)) == ["retry"]


def test_an_engine_that_joins_is_an_alternative(index: ReadyIndex) -> None:
    index.put(make_task("retry", avoid=("eng_one",)))
    index.choose("eng_one", ALL, NOW)
    index.give_back("tsk_retry")
    index.lanes.set_engine(make_sight("two"))

    assert index.choose("eng_one", ALL, NOW) == []


def test_an_engine_that_is_removed_is_no_alternative(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("two"))
    index.put(make_task("retry", avoid=("eng_one",)))
    assert index.choose("eng_one", ALL, NOW) == []
    index.lanes.drop_engine("eng_two")

    assert names(index.choose("eng_one", ALL, NOW)) == ["retry"]


def test_an_engine_that_does_not_fit_is_no_alternative(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("two", "encoder:x"))
    index.lanes.set_engine(make_sight("three"))
    index.put(make_task("retry", needs=("encoder:x",), avoid=("eng_two",)))

    assert names(index.choose("eng_two", ALL, NOW)) == ["retry"]


def test_engines_that_all_failed_a_task_try_again(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("two"))
    index.put(make_task("retry", avoid=("eng_one", "eng_two")))

    assert names(index.choose("eng_one", ALL, NOW)) == ["retry"]


def test_a_backoff_is_waited_for(index: ReadyIndex) -> None:
    task = make_task("later", not_before=NOW + 5)

    assert index.put(task) is False
    assert index.choose("eng_one", ALL, NOW) == []
    assert index.next_wake() == NOW + 5
    assert index.release(NOW + 4.9) == []
    assert index.release(NOW + 5) == [task]
    assert index.next_wake() is None
    assert names(index.choose("eng_one", ALL, NOW)) == ["later"]


def test_a_dropped_backoff_rings_no_more(index: ReadyIndex) -> None:
    index.put(make_task("later", not_before=NOW + 5))
    index.drop("tsk_later", "job_later")

    assert index.next_wake() is None
    assert index.release(NOW + 10) == []


def test_a_task_put_again_is_there_once_with_its_new_values(index: ReadyIndex) -> None:
    index.put(make_task("a", priority=1))
    index.put(make_task("b", priority=5))
    index.put(make_task("a", priority=9))

    assert len(index) == 2
    assert names(index.choose("eng_one", ALL, NOW)) == ["a", "b"]


def test_an_ended_job_leaves_nothing_behind(index: ReadyIndex) -> None:
    index.put(make_task("ready", job_id="job_x"))
    index.put(make_task("taken", job_id="job_x", priority=9))
    index.put(make_task("later", job_id="job_x", not_before=NOW + 5))
    index.put(make_task("other"))
    index.choose("eng_one", Room(1, 0), NOW)

    index.drop_job("job_x")

    assert index.snapshot() == {"tsk_other"}
    assert index.give_back("tsk_taken") is False
    assert names(index.choose("eng_one", ALL, NOW)) == ["other"]


def test_a_task_given_back_keeps_its_place(index: ReadyIndex) -> None:
    index.put(make_task("first", priority=9))
    index.put(make_task("second"))
    index.choose("eng_one", Room(1, 0), NOW)

    assert index.give_back("tsk_first") is True
    assert names(index.choose("eng_one", ALL, NOW)) == ["first", "second"]


def test_a_task_given_back_joins_those_that_came_meanwhile(index: ReadyIndex) -> None:
    index.put(make_task("first"))
    index.choose("eng_one", ALL, NOW)
    index.put(make_task("second"))

    assert index.give_back("tsk_first") is True
    assert names(index.choose("eng_one", ALL, NOW)) == ["first", "second"]


def test_the_best_of_all_fitting_signatures_goes_first(index: ReadyIndex) -> None:
    index.put(make_task("a", priority=2, needs=("operation:analyze",)))
    index.put(make_task("b", priority=3))
    index.put(make_task("c", priority=4, needs=("operation:analyze",)))

    assert names(index.choose("eng_one", ALL, NOW)) == ["c", "b", "a"]


def test_a_commit_about_a_chosen_task_outranks_the_giving_back(index: ReadyIndex) -> None:
    index.put(make_task("a"))
    index.choose("eng_one", ALL, NOW)
    index.drop("tsk_a", "job_a")

    assert index.give_back("tsk_a") is False
    assert index.snapshot() == frozenset()


def test_many_drops_do_not_pile_up(index: ReadyIndex) -> None:
    for n in range(1000):
        index.put(make_task(f"{n:04d}"))
    for n in range(1, 999):
        index.drop(f"tsk_{n:04d}", f"job_{n:04d}")

    assert index.ahead("tsk_0999") == 1
    assert names(index.choose("eng_one", ALL, NOW)) == ["0000", "0999"]


def test_more_signatures_than_expected_work_as_well(index: ReadyIndex) -> None:
    count = 3 * KEPT_LANES
    tags = tuple(f"t:{n}" for n in range(count))
    index.lanes.set_engine(make_sight("all", tags=tags))
    for n in range(count):
        index.put(make_task(f"{n:04d}", tags=(f"t:{n}",)))

    assert len(index.choose("eng_all", ALL, NOW)) == count
    assert index.choose("eng_one", ALL, NOW) == []


def test_a_bit_used_again_is_matched_anew(index: ReadyIndex) -> None:
    for n in range(3 * KEPT_LANES):  # each lane is empty again before the next: bits are reused
        index.put(make_task("a", tags=(f"t:{n}",)))
        assert index.choose("eng_one", ALL, NOW) == []
        index.drop("tsk_a", "job_a")
    index.put(make_task("b"))

    assert len(index.lanes) <= KEPT_LANES
    assert names(index.choose("eng_one", ALL, NOW)) == ["b"]


def test_an_engine_does_not_fit_what_takes_the_bit_of_something_it_fitted(index: ReadyIndex) -> None:
    index.lanes.set_engine(make_sight("all", tags=tuple(f"t:{n}" for n in range(KEPT_LANES))))
    for n in range(KEPT_LANES):
        index.put(make_task("a", tags=(f"t:{n}",)))
    index.drop("tsk_a", "job_a")
    for n in range(KEPT_LANES):
        index.put(make_task(f"b{n}", tags=(f"u:{n}",)))

    assert index.choose("eng_all", ALL, NOW) == []


def test_ahead_counts_own_tasks_and_others_by_weight(index: ReadyIndex) -> None:
    for n in range(4):
        index.put(make_task(f"a{n}", tenant="a"))
        index.put(make_task(f"b{n}", tenant="b"))

    assert [index.ahead(f"tsk_a{n}") for n in range(4)] == [0, 3, 4, 7]
    assert index.ahead("tsk_unknown") is None


class NaiveModel(RuleBasedStateMachine):
    """The index against a model that looks at everything each time."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ReadyIndex()
        self.tasks: dict[str, Task] = {}
        self.engines = {name: make_sight(name) for name in ("a", "b", "c")}
        self.starts: dict[str, float] = {}
        self.debts: dict[str, float] = {}
        self.virtual = 0.0
        for sight in self.engines.values():
            self.index.lanes.set_engine(sight)
        self.serial = 0

    @rule(
        tenant=st.sampled_from("xyz"),
        priority=st.integers(1, 10),
        needs=st.sampled_from([(), ("operation:noop",), ("operation:analyze",), ("encoder:x",), ("encoder:y",)]),
        avoid=st.sampled_from([(), (), ("eng_a",), ("eng_a", "eng_b")]),
        cost=st.sampled_from([1.0, 2.5]),
        again=st.booleans(),
    )
    def put(self, tenant: str, priority: int, needs: tuple[str, ...], avoid: tuple[str, ...], cost: float, again: bool) -> None:
        self.serial += 1
        known = sorted(self.tasks)
        name = known[self.serial % len(known)].removeprefix("tsk_") if again and known else f"{self.serial:04d}"
        task = make_task(name, tenant=tenant, priority=priority, needs=needs, avoid=avoid, cost_s=cost)
        self.tasks.pop(task.task_id, None)
        if not any(other.tenant == tenant for other in self.tasks.values()):
            self.starts[tenant] = max(self.starts.get(tenant, 0.0), self.virtual)
        self.tasks[task.task_id] = task
        self.index.put(task)

    @rule(n=st.integers(0, 1000))
    def drop(self, n: int) -> None:
        if self.tasks:
            task = self.tasks.pop(sorted(self.tasks)[n % len(self.tasks)])
            self.index.drop(task.task_id, task.job_id)

    @rule(
        name=st.sampled_from("abc"),
        extra=st.sets(st.sampled_from(["encoder:x", "encoder:y"])),
        state=st.sampled_from([EngineState.ONLINE, EngineState.ONLINE, EngineState.LOST]),
    )
    def engine(self, name: str, extra: set[str], state: EngineState) -> None:
        self.engines[name] = make_sight(name, *sorted(extra), state=state)
        self.index.lanes.set_engine(self.engines[name])

    @precondition(lambda self: self.tasks)
    @rule(name=st.sampled_from("abc"), is_granted=st.booleans())
    def choose(self, name: str, is_granted: bool) -> None:
        fitting = [task for task in self.tasks.values() if self._fits(task, name)]
        picks = self.index.choose(f"eng_{name}", Room(1, 0), NOW)
        assert len(picks) == bool(fitting)
        if not picks:
            return
        task = self.tasks[picks[0].task_id]
        assert task in fitting
        lowest = min(self.starts[other.tenant] for other in fitting)
        assert self.starts[task.tenant] == pytest.approx(lowest)
        own = [other for other in fitting if other.tenant == task.tenant]
        assert task == min(own, key=lambda other: (rank(other), other.job_id, -other.cost_s, other.task_id))
        self._charge(task)
        if is_granted:
            del self.tasks[task.task_id]
            self.index.confirm(task.task_id, task.job_id)
        else:
            if all(other is task or other.tenant != task.tenant for other in self.tasks.values()):
                self.starts[task.tenant] = max(self.starts[task.tenant], self.virtual)
            self.debts[task.tenant] -= task.cost_s
            assert self.index.give_back(task.task_id)

    def _charge(self, task: Task) -> None:
        self.virtual = max(self.virtual, self.starts[task.tenant])
        owed = task.cost_s + self.debts.get(task.tenant, 0.0)
        self.starts[task.tenant] += max(owed, 0.0)
        self.debts[task.tenant] = min(owed, 0.0)

    def _fits(self, task: Task, name: str) -> bool:
        def can(sight_name: str) -> bool:
            return set(task.needs) <= self.engines[sight_name].provided

        others = [n for n in "abc" if f"eng_{n}" not in task.avoid and self.engines[n].takes_work and can(n)]
        return can(name) and (f"eng_{name}" not in task.avoid or not others)

    @invariant()
    def knows_the_same_tasks(self) -> None:
        assert self.index.snapshot() == frozenset(self.tasks)


NaiveModel.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
test_the_index_chooses_what_a_naive_model_chooses = NaiveModel.TestCase
