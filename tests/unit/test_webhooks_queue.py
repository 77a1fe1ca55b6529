"""Who is told next: order per job, room per receiver, the breaker, and nobody delayed by somebody else's receiver."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from math import inf

from dispatch.core.webhook_queue import LONGEST_S, OPENS_AFTER, SHORTEST_S, Bounds, DeliveryQueue, Waiting

BOUNDS = Bounds(per_receiver=2, in_all=8)


def waiting(seq: int, *, job: str | None = None, receiver: str = "a", due: float = 0.0) -> Waiting:
    """Each receiver is of a tenant of its own, but for those whose name begins with the tenant's: `acme 1`."""
    return Waiting(seq, f"d{seq}", job or f"job{seq}", receiver, receiver.split(" ")[0], due)


def queue_of(*entries: Waiting, bounds: Bounds = BOUNDS) -> DeliveryQueue:
    queue = DeliveryQueue(bounds)
    for entry in entries:
        queue.put(entry)
    return queue


def names(taken: list[Waiting]) -> list[str]:
    return [entry.delivery_id for entry in taken]


def deliver(queue: DeliveryQueue, delivery_id: str, now: float = 0.0) -> None:
    queue.remove(delivery_id)
    queue.ended(delivery_id, is_good=True, now=now)


def fail(queue: DeliveryQueue, entry: Waiting, *, again_at: float, now: float) -> None:
    queue.put(replace(entry, due=again_at))
    queue.ended(entry.delivery_id, is_good=False, now=now)


def test_a_receiver_is_told_two_things_at_once() -> None:
    queue = queue_of(waiting(1), waiting(2), waiting(3))

    assert names(queue.take(0.0)) == ["d1", "d2"]
    deliver(queue, "d1")
    assert names(queue.take(0.0)) == ["d3"]


def test_a_later_event_of_a_job_waits_for_the_earlier_one() -> None:
    queue = queue_of(waiting(2, job="j"), waiting(1, job="j"))

    assert names(queue.take(0.0)) == ["d1"]
    fail(queue, waiting(1, job="j"), again_at=5.0, now=0.0)
    assert names(queue.take(4.0)) == []
    assert names(queue.take(5.0)) == ["d1"]
    deliver(queue, "d1")
    assert names(queue.take(5.0)) == ["d2"]


def test_a_job_that_waits_holds_up_no_other() -> None:
    queue = queue_of(waiting(1, job="j", due=300.0), waiting(2, job="j"), waiting(3, job="k"))

    assert names(queue.take(0.0)) == ["d3"]


def test_an_earlier_event_that_is_asked_for_again_goes_first() -> None:
    queue = queue_of(waiting(5, job="j", due=10.0))
    queue.put(waiting(4, job="j"))

    assert names(queue.take(0.0)) == ["d4"]


def test_what_is_put_again_while_it_is_under_way_starts_once() -> None:
    queue = queue_of(waiting(1))
    queue.take(0.0)
    queue.put(waiting(1))

    assert names(queue.take(0.0)) == []
    queue.ended("d1", is_good=True, now=0.0)
    assert names(queue.take(0.0)) == ["d1"]


def test_what_was_discarded_while_it_was_under_way_still_holds_its_job() -> None:
    queue = queue_of(waiting(1, job="j"), waiting(2, job="j"))
    queue.take(0.0)
    queue.remove("d1")

    assert names(queue.take(0.0)) == []
    queue.ended("d1", is_good=None, now=0.0)
    assert names(queue.take(0.0)) == ["d2"]


def test_receivers_take_turns() -> None:
    entries = [waiting(n, receiver="a") for n in range(10)] + [waiting(n, receiver="b") for n in range(10, 14)]

    assert names(queue_of(*entries, bounds=Bounds(4, 4)).take(0.0)) == ["d0", "d10", "d1", "d11"]


def test_a_breaker_opens_after_five_failures_and_lets_one_through_at_a_time() -> None:
    queue = queue_of(*(waiting(n) for n in range(20)), bounds=Bounds(1, 8))
    for n in range(OPENS_AFTER):
        assert names(queue.take(1.0)) == [f"d{n}"]
        fail(queue, waiting(n), again_at=inf, now=1.0)

    assert names(queue.take(1.0)) == []
    assert queue.next_moment() == 1.0 + SHORTEST_S
    assert names(queue.take(1.0 + SHORTEST_S)) == ["d5"]
    fail(queue, waiting(5), again_at=inf, now=31.0)
    assert names(queue.take(31.0)) == []
    assert queue.next_moment() == 31.0 + 2 * SHORTEST_S
    assert names(queue.take(91.0)) == ["d6"]
    deliver(queue, "d6", now=91.0)
    assert names(queue.take(91.0)) == ["d7"]


def test_an_open_breaker_lets_one_through_at_least_every_ten_minutes() -> None:
    queue, now, gaps = queue_of(*(waiting(n) for n in range(40)), bounds=Bounds(2, 8)), 0.0, []
    for _ in range(20):
        for entry in queue.take(now):
            fail(queue, entry, again_at=inf, now=now)
        moment = max(now, queue.next_moment())
        gaps.append(moment - now)
        now = moment

    assert max(gaps) == LONGEST_S


def test_a_paused_receiver_is_told_nothing_until_it_is_enabled() -> None:
    queue = queue_of(waiting(1))
    queue.pause("a", is_paused=True)

    assert (names(queue.take(0.0)), queue.next_moment()) == ([], inf)
    queue.pause("a", is_paused=False)
    assert names(queue.take(0.0)) == ["d1"]


def test_receivers_that_fail_leave_half_of_the_room_to_the_others() -> None:
    bounds = Bounds(2, 8)
    queue = queue_of(*(waiting(n, receiver=f"bad{n % 20}") for n in range(200)), bounds=bounds)
    for _ in range(10):  # each has failed by now, none often enough for its breaker
        for entry in queue.take(0.0):
            fail(queue, entry, again_at=0.0, now=0.0)
    slow = queue.take(0.0)
    for n in range(1000, 1003):
        queue.put(waiting(n, receiver="good"))

    assert len(slow) == 4
    assert names(queue.take(0.0)) == ["d1000", "d1001"]


def test_receivers_that_are_slow_leave_half_of_the_room_to_the_others_though_they_never_fail() -> None:
    queue = queue_of(*(waiting(n, receiver=f"slow{n % 20}") for n in range(200)))
    for _ in range(20):
        for entry in queue.take(0.0):
            queue.remove(entry.delivery_id)
            queue.ended(entry.delivery_id, is_good=True, now=0.0, seconds=2.1)

    assert len(queue.take(0.0)) == 4


def test_receivers_that_are_held_back_take_turns_too() -> None:
    queue = queue_of(*(waiting(n, receiver=f"slow{n % 20}") for n in range(2000)))
    flying, told = queue.take(0.0), Counter[str]()
    while len(told) < 20 and sum(told.values()) < 200:
        entry = flying.pop(0)
        told[entry.receiver] += 1
        queue.remove(entry.delivery_id)
        queue.ended(entry.delivery_id, is_good=True, now=0.0, seconds=9.0)
        flying += queue.take(0.0)

    assert len(told) == 20
    assert max(told.values()) <= 3


def test_a_tenant_leaves_a_quarter_of_the_room_to_the_others() -> None:
    queue = queue_of(*(waiting(n, receiver=f"acme {n}") for n in range(20)))
    theirs = queue.take(0.0)
    queue.put(waiting(100, receiver="other"))
    others = queue.take(0.0)
    deliver(queue, theirs[0].delivery_id)

    assert (len(theirs), names(others)) == (6, ["d100"])
    assert len(queue.take(0.0)) == 1


def test_a_receiver_nobody_waits_for_is_forgotten() -> None:
    queue = queue_of(waiting(1))
    queue.take(0.0)
    deliver(queue, "d1")
    queue.take(0.0)

    assert (len(queue), queue.next_moment(), queue.receivers) == (0, inf, 0)


def test_whatever_happens_nothing_is_lost_and_every_job_is_told_in_order() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        bounds = Bounds(rng.randint(1, 3), rng.randint(1, 10))
        queue, left, told, now = DeliveryQueue(bounds), {}, [], 0.0
        for seq in range(80):
            entry = waiting(seq, job=f"j{rng.randrange(12)}", receiver=f"r{rng.randrange(5)}", due=rng.uniform(0.0, 5.0))
            left[entry.delivery_id] = entry
            queue.put(entry)
        flying: list[Waiting] = []
        for _ in range(5000):
            if not left:
                break
            flying += queue.take(now)
            room = Counter(entry.receiver for entry in flying)
            assert len(flying) <= bounds.in_all
            assert all(count <= bounds.per_receiver for count in room.values())
            if not flying or rng.random() < 0.1:
                moment = queue.next_moment()
                now = max(now, moment if moment < inf else now)
                continue
            entry = flying.pop(rng.randrange(len(flying)))
            if rng.random() < 0.5:
                told.append(entry)
                del left[entry.delivery_id]
                deliver(queue, entry.delivery_id, now)
            else:
                fail(queue, entry, again_at=now + rng.uniform(0.0, 20.0), now=now)

        assert not left
        per_chain: dict[tuple[str, str], list[int]] = {}
        for entry in told:
            per_chain.setdefault((entry.receiver, entry.job_id), []).append(entry.seq)
        assert all(seqs == sorted(seqs) for seqs in per_chain.values())
