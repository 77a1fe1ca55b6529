"""`reelyard up`: the engine is stopped first, a fault stops both, and nothing is left behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client.supervise import (
    DISPATCH,
    DRAINED,
    ENGINE,
    PATIENCE_S,
    AskAgain,
    Exited,
    Fact,
    Finish,
    Instruction,
    Kill,
    Listening,
    Say,
    StartEngine,
    StopAsked,
    Supervisor,
    Terminate,
)

UP = Listening("http://127.0.0.1:1")
PRESS_ON = [AskAgain(PATIENCE_S), AskAgain(2 * PATIENCE_S)]
DRAINING = Say("stopping: running work is finished first; Ctrl-C again hands it back at once")


def obeyed(*facts: Fact) -> list[list[Instruction]]:
    supervisor = Supervisor()
    return [supervisor.handle(fact) for fact in facts]


def test_the_engine_starts_once_dispatch_listens() -> None:
    assert obeyed(UP) == [[StartEngine("http://127.0.0.1:1")]]


def test_the_engine_is_stopped_first_then_dispatch() -> None:
    assert obeyed(UP, StopAsked(), Exited(ENGINE, 0), Exited(DISPATCH, 0))[1:] == [
        [DRAINING, Terminate(ENGINE)],
        [Terminate(DISPATCH)],
        [Finish(None)],
    ]


def test_a_second_wish_reaches_the_engine_and_a_third_kills() -> None:
    assert obeyed(UP, StopAsked(), StopAsked(), StopAsked())[2:] == [
        [Terminate(ENGINE)],
        [Kill(DISPATCH), Kill(ENGINE)],
    ]


def test_a_wish_before_dispatch_listens_stops_dispatch_and_starts_nothing() -> None:
    assert obeyed(StopAsked(), UP, Exited(DISPATCH, 0)) == [[DRAINING, Terminate(DISPATCH)], [], [Finish(None)]]


def test_when_the_engine_dies_dispatch_is_stopped_and_the_fault_told() -> None:
    fault = "engine ended by itself with exit code -9; its messages stand above"

    assert obeyed(UP, Exited(ENGINE, -9), Exited(DISPATCH, 0))[1:] == [[Terminate(DISPATCH), *PRESS_ON], [Finish(fault)]]


def test_an_engine_that_an_operator_drained_leaves_the_server_running() -> None:
    assert obeyed(UP, Exited(ENGINE, 0), StopAsked(), Exited(DISPATCH, 0))[1:] == [
        [Say(DRAINED)],
        [DRAINING, Terminate(DISPATCH)],
        [Finish(None)],
    ]


def test_when_dispatch_dies_the_engine_is_stopped_and_pressed_if_it_lingers() -> None:
    fault = "dispatch ended by itself with exit code 1; its messages stand above"

    assert obeyed(UP, Exited(DISPATCH, 1), StopAsked(), StopAsked(), StopAsked(), Exited(ENGINE, -9))[1:] == [
        [Terminate(ENGINE), *PRESS_ON],
        [Terminate(ENGINE)],
        [Terminate(ENGINE)],
        [Kill(ENGINE)],
        [Finish(fault)],
    ]


def test_dispatch_that_never_listened_is_a_fault() -> None:
    assert obeyed(Exited(DISPATCH, 2)) == [[Finish("dispatch ended by itself with exit code 2; its messages stand above")]]


def test_dispatch_that_goes_while_the_engine_drains_is_no_fault() -> None:
    assert obeyed(UP, StopAsked(), Exited(DISPATCH, 0), Exited(ENGINE, 0))[2:] == [[], [Finish(None)]]


@given(st.booleans(), st.lists(st.sampled_from(["stop", DISPATCH, ENGINE]), max_size=8))
def test_it_finishes_exactly_when_the_last_child_has_ended(is_up: bool, words: list[str]) -> None:
    supervisor, alive = Supervisor(), {DISPATCH}
    if is_up:
        supervisor.handle(UP)
        alive.add(ENGINE)
    for word in words:
        if word != "stop" and word not in alive:
            continue
        alive.discard(word)
        told = supervisor.handle(StopAsked() if word == "stop" else Exited(word, 0))

        assert any(isinstance(one, Finish) for one in told) == (not alive)
        assert all(one.who in alive for one in told if isinstance(one, Terminate | Kill))
        if not alive:
            return
