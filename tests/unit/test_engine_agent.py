"""What the engine does about grants, results and orders: disk first, then word to dispatch."""

from __future__ import annotations

from engine.core import messages as m
from engine.core.attempts import Key
from engine.core.slots import plain_slots
from protocol.errors import ErrorCode
from protocol.leases import Ack, Fail, LeaseReply, Order
from protocol.states import TaskKind
from tests.unit.engine_desk import (
    ACK,
    K1,
    ONE,
    START,
    TWO,
    Desk,
    completed,
    grant,
    leases,
    ordered,
    runs,
    saves,
    settlement,
)

# Grants and the disk


def test_a_registered_engine_opens_its_poll_with_all_its_slots() -> None:
    desk = Desk(plain_slots(encoding=2, light=3))

    asked = desk.online()

    assert [(request.slots, request.light_slots, request.reports) for request in leases(asked)] == [(2, 3, ())]


def test_a_grant_goes_to_disk_before_anything_else() -> None:
    desk = Desk()
    desk.online()

    asked = desk.answer(LeaseReply(tasks=(ONE,)))

    assert asked == [
        m.Save(m.Changes(granted=(m.SavedAttempt(ONE, 1, is_started=True, slot="cpu-0"),))),
        m.Wake(m.Timer.LINGER, 0.02),
    ]


def test_a_saved_grant_is_started_acknowledged_and_told_at_once() -> None:
    desk = Desk()
    desk.online()

    asked = desk.granted(ONE)

    assert runs(asked) == [K1]
    assert [(request.slots, request.reports) for request in leases(asked)] == [(0, (ACK, START))]


def test_a_task_granted_beyond_the_slots_waits_on_disk_as_not_started() -> None:
    desk = Desk()
    desk.online()

    asked = desk.answer(LeaseReply(tasks=(ONE, TWO)))
    after = desk.disk_done(asked)

    assert saves(asked)[0].granted == (
        m.SavedAttempt(ONE, 1, is_started=True, slot="cpu-0"),
        m.SavedAttempt(TWO, 2, is_started=False),
    )
    assert runs(after) == [K1]
    assert leases(after)[0].reports == (Ack(task_id="tsk_2", token=2), ACK, START)


def test_a_waiting_task_starts_when_a_slot_is_free_and_only_after_started_is_on_disk() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE, TWO)

    freed = desk.ended(completed(ONE))
    started = desk.disk_done(freed)

    assert saves(freed) == [m.Changes(started=(m.Placed(Key("tsk_2", 2), "cpu-0"),))]
    assert runs(freed) == []
    assert runs(started) == [Key("tsk_2", 2)]


def test_waiting_tasks_start_in_the_order_they_came() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.granted(grant(5), grant(3), grant(4))

    order = []
    running = ONE
    for following in (grant(5), grant(3), grant(4)):
        order += runs(desk.disk_done(desk.ended(completed(running))))
        running = following

    assert order == [Key("tsk_5", 5), Key("tsk_3", 3), Key("tsk_4", 4)]


def test_light_tasks_take_no_encoding_slot() -> None:
    desk = Desk()
    desk.online()
    light = grant(2, kind=TaskKind.ANALYZE)

    asked = desk.granted(ONE, light)

    assert runs(asked) == [K1, Key("tsk_2", 2)]
    assert (desk.lease().slots, desk.lease().light_slots) == (0, 0)


def test_the_same_grant_twice_is_taken_once() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)

    assert saves(desk.answer(LeaseReply(tasks=(ONE,)))) == []


def test_a_newer_grant_of_a_task_ends_the_work_on_the_older_one() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)

    asked = desk.answer(LeaseReply(tasks=(grant(1, token=9),)))

    assert m.Stop(K1, "granted anew") in asked
    assert [row.grant.token for row in saves(asked)[0].granted] == [9]


def test_an_older_grant_of_a_held_task_is_ignored() -> None:
    desk = Desk()
    desk.online()
    desk.granted(grant(1, token=9))

    assert saves(desk.answer(LeaseReply(tasks=(ONE,)))) == []


def test_a_grant_on_the_answer_of_a_superseded_request_is_taken() -> None:
    desk = Desk(plain_slots(encoding=2, light=1))
    first = leases(desk.online())[0]
    desk.granted(ONE)
    asked = desk.feed(m.LeaseAnswered(first.request_id, LeaseReply(tasks=(TWO,)), 1.0))

    assert runs(desk.disk_done(asked)) == [Key("tsk_2", 2)]


# Results and their settlement


def test_a_result_goes_to_disk_before_it_is_reported() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)

    written = desk.feed(m.RunEnded(completed(ONE)))
    told = desk.disk_done(written)

    assert written == [m.Save(m.Changes(finals=(completed(ONE),)))]
    assert [(request.slots, request.reports) for request in leases(told)] == [(1, (completed(ONE),))]


def test_work_that_ends_at_once_is_told_in_one_report() -> None:
    desk = Desk()
    desk.online()
    grants = desk.answer(LeaseReply(tasks=(ONE,)))

    ran = desk.feed(*(m.ChangesSaved(changes) for changes in saves(grants)), m.RunEnded(completed(ONE)))
    told = desk.disk_done(ran)

    assert leases(ran) == []
    assert [request.reports for request in leases(told)] == [(completed(ONE),)]


def test_a_settled_result_is_forgotten() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.ended(completed(ONE))

    asked = desk.answer(LeaseReply(settled=(settlement(completed(ONE)),)))

    assert asked[:2] == [m.Save(m.Changes(forgotten=(K1,))), m.Forget(K1, "settled")]


def test_a_result_whose_digest_dispatch_does_not_name_is_kept_and_told_again() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.ended(completed(ONE))

    asked = desk.answer(LeaseReply(settled=(settlement(completed(ONE)).model_copy(update={"digest": "0" * 64}),)))
    desk.feed(m.Rang(m.Timer.OUTBOX))
    again = desk.supersede()

    assert (saves(asked), [wake.timer for wake in asked if isinstance(wake, m.Wake)]) == ([], [m.Timer.OUTBOX])
    assert leases(again)[-1].reports == (completed(ONE),)


def test_a_stale_result_is_final_too() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.ended(completed(ONE))

    asked = desk.answer(LeaseReply(settled=(settlement(completed(ONE), ErrorCode.STALE_LEASE),)))

    assert asked[:2] == [m.Save(m.Changes(forgotten=(K1,))), m.Forget(K1, ErrorCode.STALE_LEASE)]


def test_a_result_that_storage_cannot_take_now_is_sent_again_later() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.ended(completed(ONE))

    asked = desk.answer(LeaseReply(settled=(settlement(completed(ONE), ErrorCode.DATABASE_UNAVAILABLE),)))
    desk.supersede()
    again = desk.feed(m.Rang(m.Timer.OUTBOX))

    assert saves(asked) == []
    assert [one.timer for one in asked if isinstance(one, m.Wake)] == [m.Timer.OUTBOX]
    assert leases(again)[-1].reports == (completed(ONE),)


def test_a_result_without_its_answer_is_sent_again() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.ended(completed(ONE))

    desk.answer(LeaseReply(tasks=(TWO,)))
    again = desk.feed(m.Rang(m.Timer.OUTBOX), m.Rang(m.Timer.LINGER))

    assert leases(again)[-1].reports == (completed(ONE),)


def test_a_stale_ack_drops_the_attempt_and_stops_its_tool() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)

    asked = desk.answer(LeaseReply(settled=(settlement(ACK, ErrorCode.STALE_LEASE), settlement(START, ErrorCode.STALE_LEASE))))
    gone = desk.feed(m.RunStopped(K1))

    assert asked[0] == m.Stop(K1, ErrorCode.STALE_LEASE)
    assert gone[:2] == [m.Save(m.Changes(forgotten=(K1,))), m.Forget(K1, "dropped")]


def test_a_stale_start_does_not_drop_a_result_that_waits_for_its_own_answer() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    start_request = desk.lease()
    desk.ended(completed(ONE))

    late = LeaseReply(settled=(settlement(ACK), settlement(START, ErrorCode.STALE_LEASE)))
    asked = desk.feed(m.LeaseAnswered(start_request.request_id, late, 1.0))

    assert saves(asked) == []


def test_a_result_that_dispatch_cannot_read_becomes_a_failure() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    request = leases(desk.ended(completed(ONE)))[0]

    asked = desk.feed(m.LeaseFailed(request.request_id, ErrorCode.VALIDATION_FAILED, "field x"))
    told = desk.disk_done(asked)

    assert [type(final) for final in saves(asked)[0].finals] == [Fail]
    assert [type(report) for report in leases(told)[0].reports] == [Fail]


# Orders


def test_a_cancelled_attempt_is_stopped_and_never_reported() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    stopped = desk.feed(ordered(Order(order="cancel", task_id="tsk_1", token=1)))
    ended = desk.feed(m.RunEnded(completed(ONE)))

    assert stopped[0] == m.Stop(K1, "cancel ordered")
    assert ended[:2] == [m.Save(m.Changes(forgotten=(K1,))), m.Forget(K1, "dropped")]
    assert all(not request.reports for request in leases(ended))


def test_the_slot_of_a_stopped_attempt_is_free_only_when_its_tool_is_gone() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    desk.feed(ordered(Order(order="drop", task_id="tsk_1", token=1)))
    before = desk.lease().slots
    desk.answer(LeaseReply(), waited=25.0)
    desk.feed(m.RunStopped(K1))

    assert (before, desk.lease().slots) == (0, 1)


def test_a_dropped_result_is_not_reported_any_more() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))
    request = leases(desk.ended(completed(ONE)))[0]

    desk.feed(ordered(Order(order="drop", task_id="tsk_1", token=1)))
    desk.feed(m.LeaseFailed(request.request_id, ErrorCode.VALIDATION_FAILED, "other"))

    assert all(completed(ONE) not in one.reports for one in leases(desk.feed(m.Rang(m.Timer.LEASE_RETRY))))


def test_an_order_that_comes_while_the_grant_is_being_written_keeps_the_tool_from_starting() -> None:
    desk = Desk()
    desk.online()
    asked = desk.answer(LeaseReply(tasks=(ONE,), orders=()))
    desk.feed(m.Rang(m.Timer.HEARTBEAT))
    desk.feed(ordered(Order(order="drop", task_id="tsk_1", token=1)))

    after = desk.disk_done(asked)

    assert runs(after) == []
    assert saves(after) == [m.Changes(forgotten=(K1,))]
