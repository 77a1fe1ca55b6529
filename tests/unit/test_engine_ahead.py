"""When an engine asks for a task ahead of time, and how it hands back what another one could begin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.core import messages as m
from engine.core.slots import plain_slots
from protocol.leases import Grant, LeaseReply, Order, Release
from protocol.states import TaskKind
from tests.unit.engine_desk import ONE, TWO, Desk, beats, completed, grant, nearly_full, ordered, runs, saves, settlement

GIVE_BACK = Order(order="give_back", task_id="tsk_2", token=2)
LONG = ONE.model_copy(update={"estimate_s": 60.0})
BACK = m.Changes(finals=(Release(task_id="tsk_2", token=2, reason="wanted back"),))


def at_work(*grants: Grant, encoding: int = 1, light: int = 1) -> Desk:
    """Registered, and these granted; what was open before is answered."""
    desk = Desk(plain_slots(encoding=encoding, light=light))
    desk.online()
    if grants:
        desk.granted(*grants)
        desk.supersede()
    return desk


@pytest.mark.parametrize(
    ("grants", "encoding", "expected"),
    [
        ((), 1, (1, False)),
        ((ONE,), 1, (0, True)),
        ((ONE,), 2, (1, False)),
        ((LONG,), 1, (0, False)),
        ((LONG, TWO), 2, (0, True)),
        ((ONE, TWO), 1, (0, False)),
        ((grant(1, kind=TaskKind.ANALYZE),), 1, (1, False)),
    ],
    ids=["idle", "at work", "a slot free", "for long", "one for long", "one waits", "light work"],
)
def test_one_more_is_asked_for_where_a_slot_will_be_free_soon_and_nothing_waits(
    grants: tuple[Grant, ...], encoding: int, expected: tuple[int, bool]
) -> None:
    desk = at_work(*grants, encoding=encoding)

    assert (desk.lease().slots, desk.lease().prefetch) == expected


@pytest.mark.parametrize("what", [lambda: m.StopAsked(), nearly_full], ids=["draining", "busy"])
def test_an_engine_that_takes_no_work_asks_for_none_ahead_of_time(what: Callable[[], m.Event]) -> None:
    desk = at_work(ONE)

    desk.feed(what())

    assert (desk.lease().slots, desk.lease().prefetch) == (0, False)


def test_what_came_ahead_of_time_begins_when_the_slot_is_free_and_the_next_is_asked_for() -> None:
    desk = at_work(ONE)
    desk.granted(TWO)
    waiting = desk.lease().prefetch
    desk.supersede()

    begun = desk.disk_done(desk.ended(completed(ONE)))

    assert (waiting, runs(begun), desk.lease().prefetch) == (False, [("tsk_2", 2)], True)


def test_a_draining_engine_stays_until_a_request_is_answered_that_may_bring_a_task_ahead_of_time() -> None:
    desk = at_work(ONE, light=0)
    open_ahead = desk.lease()
    desk.feed(m.StopAsked())
    desk.ended(completed(ONE))
    desk.answer(LeaseReply())

    last = desk.answer(LeaseReply(settled=(settlement(completed(ONE)),)))
    then = desk.feed(m.LeaseAnswered(open_ahead.request_id, LeaseReply(), 1.0))

    assert [any(isinstance(one, m.SayGoodbye) for one in asked) for asked in (last, then)] == [False, True]


def test_what_waits_is_handed_back_when_it_is_wanted() -> None:
    desk = at_work(ONE)
    desk.granted(TWO)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    assert saves(desk.feed(ordered(GIVE_BACK))) == [BACK]


@pytest.mark.parametrize(
    "order", [GIVE_BACK.model_copy(update=u) for u in ({"task_id": "tsk_1", "token": 1}, {"token": 9}, {"token": None})]
)
def test_what_has_begun_or_is_not_held_is_not_handed_back(order: Order) -> None:
    desk = at_work(ONE)
    desk.granted(TWO)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    asked = desk.feed(ordered(order))

    assert (saves(asked), [one for one in asked if isinstance(one, m.Stop)]) == ([], [])


def test_the_same_order_twice_hands_it_back_once() -> None:
    desk = at_work(ONE)
    desk.granted(TWO)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))
    desk.feed(ordered(GIVE_BACK))

    assert saves(desk.feed(ordered(GIVE_BACK))) == []


def test_what_is_handed_back_is_told_as_held_no_more() -> None:
    desk = at_work(ONE)
    desk.granted(TWO)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))
    desk.disk_done(desk.feed(ordered(GIVE_BACK)))

    beat = beats(desk.feed(m.Rang(m.Timer.HEARTBEAT)))[0].request

    assert [(one.task_id, one.started) for one in beat.running] == [("tsk_1", True)]
