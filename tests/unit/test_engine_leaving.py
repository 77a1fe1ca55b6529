"""How the engine drains, stops, and takes over what an earlier run left."""

from __future__ import annotations

from engine.core import messages as m
from engine.core.attempts import Key
from engine.core.slots import plain_slots
from protocol.capabilities import Kept
from protocol.leases import Goodbye, LeaseReply, Order, Release
from protocol.states import EngineState
from tests.unit.engine_desk import (
    ACK,
    ENGINE,
    K1,
    ONE,
    START,
    TWO,
    Desk,
    beats,
    completed,
    concluded,
    failed,
    leases,
    ordered,
    registered,
    runs,
    saves,
    settlement,
)


def test_draining_tells_it_takes_nothing_new_and_hands_back_what_waits() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE, TWO)

    asked = desk.feed(m.StopAsked())
    told = desk.disk_done(asked)

    released = Release(task_id="tsk_2", token=2, reason="the engine is draining")
    assert [beat.request.state for beat in beats(asked)] == [EngineState.DRAINING]
    assert saves(asked) == [m.Changes(finals=(released,))]
    assert leases([*asked, *told])[-1].reports == (released,)
    assert leases([*asked, *told])[-1].slots == 0


def test_a_grant_that_arrives_while_draining_is_handed_back_without_a_start() -> None:
    desk = Desk()
    first = leases(desk.online())[0]
    desk.feed(m.StopAsked())

    saved = desk.feed(m.LeaseAnswered(first.request_id, LeaseReply(tasks=(ONE,)), 1.0))
    ending = desk.disk_done(saved)

    assert saves(ending) == [m.Changes(finals=(Release(task_id="tsk_1", token=1, reason="the engine is draining"),))]
    assert runs(ending) == []


def test_a_drained_engine_says_goodbye_and_exits_with_code_0() -> None:
    desk = Desk()
    first = leases(desk.online())[0]
    desk.feed(m.StopAsked())

    goodbye = desk.feed(m.LeaseAnswered(first.request_id, LeaseReply(), 1.0))

    assert m.SayGoodbye(ENGINE, GOODBYE) in goodbye
    assert desk.feed(m.GoodbyeEnded()) == [m.Exit(0, "drained")]


def test_a_draining_engine_finishes_what_runs_and_empties_its_outbox_first() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.StopAsked())
    desk.supersede()

    reported = desk.ended(completed(ONE))
    left = desk.answer(LeaseReply(settled=(settlement(completed(ONE)),)))

    assert not any(isinstance(one, m.SayGoodbye) for one in reported)
    assert leases(reported)[0].wait_s == 0.0
    assert m.SayGoodbye(ENGINE, GOODBYE) in left


def test_what_runs_too_long_while_draining_is_handed_back() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.StopAsked())

    stopped = desk.feed(m.Rang(m.Timer.DRAIN))
    released = desk.feed(m.RunStopped(K1))

    assert stopped[0] == m.Stop(K1, "not finished in time while draining")
    assert saves(released) == [
        m.Changes(finals=(Release(task_id="tsk_1", token=1, reason="not finished in time while draining"),))
    ]


def test_a_second_signal_stops_everything_at_once() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.StopAsked())

    asked = desk.feed(m.StopAsked())

    assert asked[:2] == [m.Stop(K1, "the engine was told to stop at once"), m.Wake(m.Timer.GOODBYE, 10.0)]


def test_work_that_ends_while_it_is_being_handed_back_is_reported_as_done() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.StopAsked())
    desk.feed(m.StopAsked())

    assert saves(desk.feed(m.RunEnded(completed(ONE)))) == [m.Changes(finals=(completed(ONE),))]


def test_a_drained_engine_does_not_wait_for_ever_for_a_silent_dispatch() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.ended(completed(ONE))

    asked = desk.feed(m.StopAsked())

    assert m.Wake(m.Timer.GOODBYE, 30.0) in asked
    assert desk.feed(m.Rang(m.Timer.GOODBYE)) == [m.Exit(0, "drained; what dispatch has not taken yet is kept on disk")]


def test_an_order_to_drain_can_be_taken_back() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))
    desk.feed(ordered(Order(order="drain")))
    desk.supersede()
    desk.feed(ordered(Order(order="undrain")))
    desk.supersede()

    asked = desk.ended(completed(ONE))

    assert desk.lease().slots == 1
    assert not any(isinstance(one, m.Exit | m.SayGoodbye) for one in asked)


def test_an_engine_that_was_stopped_does_not_mind_an_order_to_go_on() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.StopAsked())
    desk.feed(ordered(Order(order="undrain")))

    desk.ended(completed(ONE))

    assert desk.lease().slots == 0


GOODBYE = Goodbye(boot_id="boot-0001")


# After a crash


def test_a_result_that_was_not_taken_before_the_crash_is_sent() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1, is_started=True, final=failed(ONE)),)))

    asked = desk.online(Kept(task_id="tsk_1", token=1, keep=True, lease_s=60.0))

    assert leases(asked)[0].reports == (failed(ONE),)


KEPT = Kept(task_id="tsk_1", token=1, keep=True, lease_s=60.0)
RAN = m.SavedAttempt(ONE, 1, is_started=True, retry_count=1, slot="cpu-0")


def test_what_ran_when_the_engine_was_killed_goes_on_before_dispatch_is_asked() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (RAN,)))

    at_once = desk.feed(m.Started())
    asked = desk.feed(registered(KEPT))

    assert (runs(at_once), runs(asked)) == ([K1], [])
    assert leases(asked)[0].reports == (ACK, START)
    assert (leases(asked)[0].slots, leases(asked)[0].light_slots) == (0, 1)


def test_what_goes_on_is_stopped_and_forgotten_where_dispatch_wants_it_dropped() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (RAN,)))
    desk.feed(m.Started())

    dropped = desk.feed(registered(Kept(task_id="tsk_1", token=1, keep=False)))
    gone = desk.feed(m.RunStopped(K1))

    assert m.Stop(K1, "dispatch wants it dropped") in dropped
    assert saves(gone) == [m.Changes(forgotten=(K1,))]
    assert leases(gone)[-1].reports == ()


def test_what_goes_on_may_end_while_dispatch_is_away_and_is_told_when_it_is_back() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (RAN,)))
    desk.feed(m.Started())
    desk.ended(completed(ONE))

    asked = desk.feed(registered(KEPT))

    assert leases(asked)[0].reports == (completed(ONE),)


def test_a_task_that_never_started_waits_for_dispatchs_verdict() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1), m.SavedAttempt(TWO, 2))))
    before = desk.disk_done(desk.feed(m.Started()))

    verdicts = (Kept(task_id="tsk_1", token=1, keep=True, lease_s=60.0), Kept(task_id="tsk_2", token=2, keep=False))
    asked = desk.feed(registered(*verdicts))

    assert saves(before) == []
    assert [changes for changes in saves(asked) if changes.started] == [m.Changes(started=(m.Placed(K1, "cpu-0"),))]
    assert m.Forget(Key("tsk_2", 2), "dispatch wants it dropped") in asked


def test_work_done_on_the_spot_is_told_once_grant_and_result_are_on_disk() -> None:
    desk = Desk(plain_slots(encoding=2, light=1))
    desk.online()

    asked = concluded(desk, ONE, TWO)
    told = desk.disk_done(asked)

    rows = tuple(m.SavedAttempt(one, one.token, is_started=True, final=completed(one)) for one in (ONE, TWO))
    assert saves(asked) == [m.Changes(granted=rows)]
    assert [request.reports for request in leases(asked)] == []
    assert [request.reports for request in leases(told)] == [(completed(ONE), completed(TWO))]


def test_work_done_on_the_spot_takes_no_slot() -> None:
    desk = Desk(plain_slots(encoding=1, light=1))
    desk.online()

    told = desk.disk_done(concluded(desk, ONE, TWO))

    assert [request.slots for request in leases(told)] == [1]


def test_more_of_it_than_slots_is_followed_by_a_request_while_it_is_written() -> None:
    desk = Desk(plain_slots(encoding=1, light=1))
    desk.online()

    asked = concluded(desk, ONE, TWO)
    told = desk.disk_done(asked)

    assert [(request.slots, request.reports) for request in leases(asked)] == [(1, ())]
    assert [request.reports for request in leases(told)] == [(completed(ONE), completed(TWO))]


def test_what_was_done_on_the_spot_leaves_the_disk_in_one_change() -> None:
    desk = Desk()
    desk.online()
    desk.disk_done(concluded(desk, ONE, TWO))

    asked = desk.answer(LeaseReply(settled=(settlement(completed(ONE)), settlement(completed(TWO)))))

    assert saves(asked) == [m.Changes(forgotten=(K1, Key("tsk_2", 2)))]


def test_a_start_told_while_the_row_before_it_is_written_waits_for_its_own_write() -> None:
    desk = Desk(saved=m.Saved(attempts=(m.SavedAttempt(ONE, 1),)))
    recovered = desk.feed(m.Started())
    starting = desk.feed(registered(Kept(task_id="tsk_1", token=1, keep=True)))

    assert runs(desk.disk_done(recovered)) == []
    assert runs(desk.disk_done(starting)) == [K1]
