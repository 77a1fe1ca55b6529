"""What the engine does about heartbeats, its disk and its registration."""

from __future__ import annotations

from engine.core import messages as m
from protocol.capabilities import HeldTask, Kept, Load
from protocol.errors import ErrorCode
from protocol.leases import LeaseReply, Renewal, RunningTask
from protocol.results import StepReport
from protocol.states import EngineState, StepState
from tests.unit.engine_desk import (
    ACK,
    ENGINE,
    K1,
    ONE,
    START,
    TWO,
    Desk,
    beat_answered,
    beats,
    completed,
    leases,
    nearly_full,
    plenty,
    registered,
    saves,
    settlement,
)

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


def test_progress_is_told_soon_at_first_and_then_as_often_as_dispatch_wants_to_hear() -> None:
    desk = Desk()
    desk.online()
    desk.granted(ONE)
    half, more = (StepReport(name="noop", state=StepState.RUNNING, progress=share) for share in (0.5, 0.6))

    first = desk.feed(m.Progressed(K1, (half,)))
    desk.feed(m.Rang(m.Timer.PROGRESS))
    desk.feed(ordered_nothing())
    second = desk.feed(m.Progressed(K1, (more,)))

    assert (first, second) == ([m.Wake(m.Timer.PROGRESS, 2.0)], [m.Wake(m.Timer.PROGRESS, 15.0)])


def ordered_nothing() -> m.HeartbeatAnswered:
    return beat_answered(Renewal(task_id="tsk_1", token=1, lease_s=60.0))


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


def test_a_machine_with_enough_to_do_tells_it_at_once_and_takes_work_again_after() -> None:
    desk = Desk()
    desk.online()

    pressed = desk.feed(m.LoadRead(Load(busy=("cpu", "memory"))))
    desk.feed(beat_answered())
    free = desk.feed(plenty())

    assert [(beat.request.state, beat.request.load.busy) for beat in beats(pressed)] == [(EngineState.BUSY, ("cpu", "memory"))]
    assert [(request.slots, request.light_slots) for request in leases(pressed)] == [(0, 0)]
    assert [beat.request.state for beat in beats(free)] == [EngineState.ONLINE]


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
