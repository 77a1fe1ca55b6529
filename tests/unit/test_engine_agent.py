"""The engine's machine: what is told, started, kept and forgotten, and in which order."""

from __future__ import annotations

from engine.core import messages as m
from engine.core.attempts import Key
from engine.core.slots import SlotPlan
from protocol.capabilities import HeldTask, Kept
from protocol.errors import ErrorCode
from protocol.leases import Ack, Fail, Grant, HeartbeatReply, LeaseReply, Order, Release, Renewal, RunningTask, Start
from protocol.results import StepReport
from protocol.states import EngineState, StepState, TaskKind
from tests.unit.engine_desk import (
    ENGINE,
    Desk,
    completed,
    failed,
    grant,
    leases,
    nearly_full,
    plenty,
    registered,
    runs,
    saves,
    settlement,
)

ONE, TWO = grant(1), grant(2)
K1 = Key("tsk_1", 1)
ACK, START = Ack(task_id="tsk_1", token=1), Start(task_id="tsk_1", token=1)


def beats(instructions: list[m.Instruction]) -> list[m.SendHeartbeat]:
    return [one for one in instructions if isinstance(one, m.SendHeartbeat)]


def beat_answered(*renewed: Renewal, orders: tuple[Order, ...] = ()) -> m.HeartbeatAnswered:
    return m.HeartbeatAnswered(HeartbeatReply(renewed=renewed, orders=orders, heartbeat_s=15.0))


def ordered(order: Order) -> m.HeartbeatAnswered:
    return beat_answered(Renewal(task_id="tsk_1", token=1, lease_s=60.0), orders=(order,))


# Grants and the disk


def test_a_registered_engine_opens_its_poll_with_all_its_slots() -> None:
    desk = Desk(SlotPlan(encoding=2, light=3))

    asked = desk.online()

    assert [(request.slots, request.light_slots, request.reports) for request in leases(asked)] == [(2, 3, ())]


def test_a_grant_goes_to_disk_before_anything_else() -> None:
    desk = Desk()
    desk.online()

    asked = desk.answer(LeaseReply(tasks=(ONE,)))

    assert asked == [
        m.Save(m.Changes(granted=(m.SavedAttempt(ONE, 1, is_started=True),))),
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

    assert saves(asked)[0].granted == (m.SavedAttempt(ONE, 1, is_started=True), m.SavedAttempt(TWO, 2, is_started=False))
    assert runs(after) == [K1]
    assert leases(after)[0].reports == (Ack(task_id="tsk_2", token=2), ACK, START)


def test_a_waiting_task_starts_when_a_slot_is_free_and_only_after_started_is_on_disk() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE, TWO)

    freed = desk.ended(completed(ONE))
    started = desk.disk_done(freed)

    assert saves(freed) == [m.Changes(started=(Key("tsk_2", 2),))]
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
    desk = Desk(SlotPlan(encoding=2, light=1))
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


# Heartbeats


def test_a_heartbeat_names_what_is_held_with_its_progress() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE, TWO)
    steps = (StepReport(name="noop", state=StepState.RUNNING, progress=0.5),)

    told = desk.feed(m.Progressed(K1, steps))
    beat = beats(desk.feed(m.Rang(m.Timer.PROGRESS)))[0]

    assert told == [m.Wake(m.Timer.PROGRESS, 2.0)]
    assert beat.request.running == (
        RunningTask(task_id="tsk_1", token=1, started=True, steps=steps),
        RunningTask(task_id="tsk_2", token=2, started=False),
    )


def test_an_acknowledged_attempt_that_is_not_renewed_is_lost() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.answer(LeaseReply(settled=(settlement(ACK), settlement(START))))
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    asked = desk.feed(beat_answered())

    assert asked[0] == m.Stop(K1, "lease lost")


def test_an_attempt_whose_ack_is_not_answered_yet_is_not_lost_by_a_heartbeat() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    asked = desk.feed(beat_answered())

    assert asked == [m.Wake(m.Timer.HEARTBEAT, 15.0)]


def test_a_finished_attempt_that_is_not_renewed_still_waits_for_its_answer() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.answer(LeaseReply(settled=(settlement(ACK), settlement(START))))
    desk.ended(completed(ONE))
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    assert saves(desk.feed(beat_answered())) == []


def test_work_goes_on_while_heartbeats_fail() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)

    for _ in range(20):
        desk.feed(m.Rang(m.Timer.HEARTBEAT))
        asked = desk.feed(m.HeartbeatFailed(None, "refused"))
        assert [type(one) for one in asked] == [m.Wake]


def test_a_change_of_state_is_told_at_once() -> None:
    desk = Desk()
    desk.online()

    asked = desk.feed(nearly_full())

    assert [beat.request.state for beat in beats(asked)] == [EngineState.BUSY]
    assert [(request.slots, request.light_slots) for request in leases(asked)] == [(0, 0)]


def test_a_full_disk_takes_work_again_only_clearly_above_the_watermark() -> None:
    desk = Desk()
    desk.online()
    desk.feed(nearly_full())
    desk.feed(beat_answered())

    edge = desk.feed(m.LoadRead(plenty().load.model_copy(update={"disk_free_percent": 10.5})))
    free = desk.feed(plenty())

    assert beats(edge) == []
    assert [beat.request.state for beat in beats(free)] == [EngineState.ONLINE]


def test_a_large_disk_is_never_low() -> None:
    desk = Desk()
    desk.online()

    asked = desk.feed(m.LoadRead(nearly_full().load.model_copy(update={"disk_free_bytes": 100 << 30})))

    assert beats(asked) == []


def test_only_one_heartbeat_is_in_flight_and_a_change_meanwhile_sends_another() -> None:
    desk = Desk()
    desk.online()
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    during = desk.feed(nearly_full())
    after = desk.feed(beat_answered())

    assert beats(during) == []
    assert after == [m.Wake(m.Timer.HEARTBEAT, 0.0)]


def test_the_pause_between_heartbeats_is_spread() -> None:
    desk = Desk()

    asked = desk.online()

    assert m.Wake(m.Timer.HEARTBEAT, 15.0) in asked


def test_a_disk_that_refuses_writes_stops_the_taking_of_work() -> None:
    desk = Desk()
    desk.online()

    asked = desk.feed(m.SaveFailed())
    fine = desk.feed(m.ChangesSaved(m.Changes()))

    assert [(request.slots, request.light_slots) for request in leases(asked)] == [(0, 0)]
    assert desk.agent.handle(m.Quiet()) == []
    assert fine == []


# Coming and going


def test_a_known_engine_registers_with_its_credential_and_names_what_it_holds() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1),)))

    asked = desk.feed(m.Started())

    register = next(one for one in asked if isinstance(one, m.Register))
    assert register.credential == "secret"
    assert register.request.engine_id == "eng_1"
    assert register.request.held == (HeldTask(task_id="tsk_1", token=1),)


def test_a_revoked_engine_registers_anew_with_the_registration_token() -> None:
    desk = Desk(saved=m.Saved(ENGINE))
    desk.feed(m.Started())

    asked = desk.feed(m.RegisterFailed(ErrorCode.UNAUTHORIZED, "revoked"))

    register = next(one for one in asked if isinstance(one, m.Register))
    assert (register.credential, register.request.engine_id) == ("token", None)


def test_an_engine_that_nobody_wants_exits_with_code_3() -> None:
    desk = Desk()
    desk.feed(m.Started())

    asked = desk.feed(m.RegisterFailed(ErrorCode.UNAUTHORIZED, "unknown token."))

    assert asked == [m.Exit(3, "Dispatch refused this engine: unknown token. Give a valid registration token with --token-file.")]


def test_registration_is_tried_again_while_dispatch_is_silent_or_ill() -> None:
    desk = Desk()
    desk.feed(m.Started())

    silent = desk.feed(m.RegisterFailed(None, "refused"))
    ill = desk.feed(m.RegisterFailed(ErrorCode.DATABASE_UNAVAILABLE, "later", retry_after=7.0))

    assert (silent, ill) == ([m.Wake(m.Timer.REGISTER, 0.25)], [m.Wake(m.Timer.REGISTER, 7.0)])


def test_a_forgotten_engine_registers_again_and_keeps_working() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))

    asked = desk.feed(m.HeartbeatFailed(ErrorCode.ENGINE_NOT_FOUND, "who?"))
    back = desk.feed(registered(Kept(task_id="tsk_1", token=1, keep=True, lease_s=60.0)))

    assert [type(one) for one in asked] == [m.Register]
    assert leases(back)[0].reports == (ACK, START)


def test_an_attempt_that_dispatch_does_not_keep_is_stopped() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    desk.feed(m.Rang(m.Timer.HEARTBEAT))
    desk.feed(m.HeartbeatFailed(ErrorCode.ENGINE_NOT_FOUND, "who?"))

    back = desk.feed(registered(Kept(task_id="tsk_1", token=1, keep=False)))

    assert m.Stop(K1, "dispatch wants it dropped") in back


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

    assert m.SayGoodbye(ENGINE) in goodbye
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
    assert m.SayGoodbye(ENGINE) in left


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


# After a crash


def test_a_result_that_was_not_taken_before_the_crash_is_sent() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1, is_started=True, final=failed(ONE)),)))

    asked = desk.online(Kept(task_id="tsk_1", token=1, keep=True, lease_s=60.0))

    assert leases(asked)[0].reports == (failed(ONE),)


def test_a_task_that_ran_when_the_engine_was_killed_is_reported_and_not_run_again() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1, is_started=True),)))

    written = desk.feed(m.Started())
    asked = [*desk.disk_done(written), *desk.feed(registered(Kept(task_id="tsk_1", token=1, keep=True, lease_s=60.0)))]

    report = leases(asked)[0].reports[0]
    assert isinstance(report, Fail)
    assert (report.failure.code, report.failure.is_engine_death) == (ErrorCode.ENGINE_DIED, False)
    assert saves(written)[0].granted[0].final == report
    assert runs(asked) == []


def test_a_fatal_signal_of_the_engine_itself_is_evidence_against_the_task() -> None:
    desk = Desk(
        saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1, is_started=True),)), fatal_note="Fatal Python error: Segmentation fault\n"
    )

    final = saves(desk.feed(m.Started()))[0].granted[0].final

    assert isinstance(final, Fail)
    assert final.failure.is_engine_death
    assert final.failure.evidence == {"fatal_signal": "Fatal Python error: Segmentation fault"}


def test_a_task_that_never_started_waits_for_dispatchs_verdict() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1), m.SavedAttempt(TWO, 2))))
    before = desk.disk_done(desk.feed(m.Started()))

    verdicts = (Kept(task_id="tsk_1", token=1, keep=True, lease_s=60.0), Kept(task_id="tsk_2", token=2, keep=False))
    asked = desk.feed(registered(*verdicts))

    assert saves(before) == []
    assert [changes for changes in saves(asked) if changes.started] == [m.Changes(started=(K1,))]
    assert m.Forget(Key("tsk_2", 2), "dispatch wants it dropped") in asked


def test_an_engine_that_starts_again_and_again_hands_back_what_it_never_starts() -> None:
    desk = Desk(saved=m.Saved(ENGINE, (m.SavedAttempt(ONE, 1, retry_count=2),)))

    final = saves(desk.feed(m.Started()))[0].granted[0].final

    assert isinstance(final, Release)


# Work that is done on the spot


def concluded(desk: Desk, *grants: Grant) -> list[m.Instruction]:
    return desk.feed(
        m.LeaseAnswered(desk.lease().request_id, LeaseReply(tasks=grants), 1.0, tuple(completed(one) for one in grants))
    )


def test_work_done_on_the_spot_is_told_once_grant_and_result_are_on_disk() -> None:
    desk = Desk()
    desk.online()

    asked = concluded(desk, ONE, TWO)
    told = desk.disk_done(asked)

    rows = tuple(m.SavedAttempt(one, one.token, is_started=True, final=completed(one)) for one in (ONE, TWO))
    assert saves(asked) == [m.Changes(granted=rows)]
    assert [request.reports for request in leases(asked)] == []
    assert [request.reports for request in leases(told)] == [(completed(ONE), completed(TWO))]


def test_work_done_on_the_spot_takes_no_slot() -> None:
    desk = Desk(SlotPlan(encoding=1, light=1))
    desk.online()

    told = desk.disk_done(concluded(desk, ONE, TWO))

    assert [request.slots for request in leases(told)] == [1]


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
