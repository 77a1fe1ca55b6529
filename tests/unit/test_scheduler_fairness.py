"""Who goes next among tenants: weights, all signatures counted together, corrections, no tenant for ever behind."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.fair_queue import HALF_LIFE_S, FairQueue
from dispatch.core.ready_index import ReadyIndex
from dispatch.core.rooms import Room
from tests.unit.scheduler_world import NOW, make_sight, make_task

ONE = Room(encoding=1, light=0)


def backlog(
    index: ReadyIndex, tenant: str, count: int, *, cost_s: float = 10.0, needs: tuple[str, ...] = ("operation:noop",)
) -> None:
    for n in range(count):
        index.put(make_task(f"{tenant}{n:04d}", tenant=tenant, cost_s=cost_s, needs=needs))


def serve(index: ReadyIndex, engine_id: str, choices: int, now: float = NOW) -> Counter[str]:
    """How many tasks each tenant got; tenants are one letter."""
    got: Counter[str] = Counter()
    for _ in range(choices):
        for pick in index.choose(engine_id, ONE, now):
            got[pick.task_id.removeprefix("tsk_")[0]] += 1
            index.confirm(pick.task_id, pick.task_id.replace("tsk", "job"))
    return got


@pytest.fixture
def index() -> ReadyIndex:
    index = ReadyIndex()
    index.lanes.set_engine(make_sight("one", "encoder:x", "encoder:y"))
    return index


def test_equal_tenants_take_turns(index: ReadyIndex) -> None:
    backlog(index, "a", 100)
    backlog(index, "b", 100)

    assert serve(index, "eng_one", 40) == {"a": 20, "b": 20}


def test_service_is_proportional_to_weight(index: ReadyIndex) -> None:
    index.set_weight("a", 3.0)
    backlog(index, "a", 100)
    backlog(index, "b", 100)

    assert serve(index, "eng_one", 40) == {"a": 30, "b": 10}


def test_cost_counts_and_not_the_number_of_tasks(index: ReadyIndex) -> None:
    backlog(index, "a", 100, cost_s=30.0)
    backlog(index, "b", 100, cost_s=10.0)

    assert serve(index, "eng_one", 40) == {"a": 10, "b": 30}


def test_a_tenant_gains_nothing_by_spreading_over_signatures(index: ReadyIndex) -> None:
    backlog(index, "a", 50, needs=("encoder:x",))
    for n in range(50, 100):
        index.put(make_task(f"a{n:04d}", tenant="a", cost_s=10.0, needs=("encoder:y",)))
    backlog(index, "b", 100, needs=("encoder:x",))

    assert serve(index, "eng_one", 40) == {"a": 20, "b": 20}


def test_a_newcomer_is_neither_behind_nor_paid_for_its_absence(index: ReadyIndex) -> None:
    backlog(index, "a", 100)
    serve(index, "eng_one", 50)

    backlog(index, "b", 100)

    assert serve(index, "eng_one", 20) == {"a": 10, "b": 10}


def test_a_tenant_that_waited_for_a_scarce_engine_does_not_lock_out_the_others_for_long(index: ReadyIndex) -> None:
    backlog(index, "a", 1, needs=("encoder:gpu",))
    backlog(index, "b", 1000, cost_s=600.0)
    for hour in range(24):
        serve(index, "eng_one", 10, now=NOW + hour * HALF_LIFE_S)

    for n in range(500):
        index.put(make_task(f"a9{n:03d}", tenant="a", cost_s=600.0))
    got = serve(index, "eng_one", 40, now=NOW + 24 * HALF_LIFE_S)

    assert 5 <= got["b"] <= 20  # 24 hours of service ahead, and yet served again after about two hours of work


def test_an_overestimate_is_given_back(index: ReadyIndex) -> None:
    backlog(index, "a", 100)
    picks = index.choose("eng_one", Room(encoding=10, light=0), NOW)
    for pick in picks:
        index.confirm(pick.task_id, pick.task_id.replace("tsk", "job"))
        index.settle(pick.task_id, 0.0)
    backlog(index, "b", 100)

    assert serve(index, "eng_one", 20) == {"a": 14, "b": 6}  # uncorrected: 10 each


def test_an_underestimate_is_charged_later() -> None:
    fair = FairQueue()
    for tenant in "ab":
        fair.show(fair.flow(tenant), 1)
    fair.charge(fair.flow("a"), 1.0, NOW)
    fair.correct(fair.flow("a"), 1.0, 5.0)

    order = []
    for _ in range(8):
        flow = fair.first(1)
        assert flow is not None
        order.append(flow.tenant)
        fair.charge(flow, 1.0, NOW)

    assert "".join(order) == "babbbbba"


def test_a_refunded_charge_leaves_the_shares_as_they_were(index: ReadyIndex) -> None:
    backlog(index, "a", 100)
    backlog(index, "b", 100)
    for _ in range(10):
        for pick in index.choose("eng_one", ONE, NOW):
            index.give_back(pick.task_id)

    got = serve(index, "eng_one", 60)

    assert abs(got["a"] - got["b"]) <= 10  # what was refunded is drawn down task by task


def test_shares_hold_when_the_weight_of_old_service_is_rebased(index: ReadyIndex) -> None:
    backlog(index, "a", 300)
    backlog(index, "b", 300)
    serve(index, "eng_one", 20)

    later = serve(index, "eng_one", 100, now=NOW + 5000 * HALF_LIFE_S)

    assert later == {"a": 50, "b": 50}


def test_tags_that_become_equal_when_rebased_keep_every_flow_in_its_place() -> None:
    fair = FairQueue()
    for cost, tenant in enumerate("abcdef"):
        fair.show(fair.flow(tenant), 1)
        fair.charge(fair.flow(tenant), 100.0 - cost, NOW)
    later = NOW + 5000 * HALF_LIFE_S
    got: Counter[str] = Counter()
    for _ in range(60):
        flow = fair.first(1)
        assert flow is not None
        got[flow.tenant] += 1
        fair.charge(flow, 1.0, later)

    assert got == dict.fromkeys("abcdef", 10)


def test_a_clock_set_back_does_not_make_service_free(index: ReadyIndex) -> None:
    index.set_weight("a", 3.0)
    backlog(index, "a", 100)
    backlog(index, "b", 100)
    serve(index, "eng_one", 4)

    assert serve(index, "eng_one", 40, now=NOW - 1000 * HALF_LIFE_S) == {"a": 30, "b": 10}


@given(
    weights=st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=2, max_size=300),
    moves=st.lists(st.integers(1, 3), max_size=300),
)
def test_the_first_flow_is_that_with_the_lowest_tag_among_those_that_fit(weights: list[float], moves: list[int]) -> None:
    fair = FairQueue()
    flows = [fair.flow(str(n)) for n in range(len(weights))]
    for n, (flow, weight) in enumerate(zip(flows, weights, strict=True)):
        fair.set_weight(flow.tenant, weight)
        fair.show(flow, 1 + n % 2)

    for mask in moves:
        first = fair.first(mask)
        assert first is min((flow for flow in flows if flow.mask & mask), key=lambda flow: flow.key, default=None)
        if first is not None:
            fair.charge(first, 1.0, NOW)
            if first.key[1] % 5 == 0:
                fair.hide(first, first.mask)
