"""What the engine's machine does with streams: it ends them in good order by order, and before a drain hands back the rest."""

from __future__ import annotations

from engine.core import messages as m
from protocol.leases import Order
from protocol.media import LiveInput
from protocol.profiles import Live
from protocol.recipes import LiveRecipe
from protocol.states import TaskKind
from tests.unit.engine_desk import K1, ONE, Desk, ordered

RECIPE = LiveRecipe(source=LiveInput(protocol="rtmp"), live=Live(), renditions=(), master_playlist="hls/master.m3u8")
STREAM = ONE.model_copy(update={"kind": TaskKind.LIVE, "recipe": RECIPE})


def streaming() -> Desk:
    desk = Desk()
    desk.online()
    desk.granted(STREAM)
    return desk


def test_an_order_to_stop_ends_the_stream_and_keeps_the_attempt() -> None:
    desk = streaming()

    told = desk.feed(ordered(Order(order="stop", task_id="tsk_1", token=1)))

    assert m.Finish(K1) in told
    assert not any(isinstance(one, m.Stop | m.Forget) for one in told)


def test_a_drain_that_lasts_too_long_ends_streams_and_then_hands_them_back() -> None:
    desk = streaming()
    desk.feed(m.StopAsked())

    ended, handed_back = desk.feed(m.Rang(m.Timer.DRAIN)), desk.feed(m.Rang(m.Timer.DRAIN))

    assert ended[:2] == [m.Finish(K1), m.Wake(m.Timer.DRAIN, 60.0)]
    assert handed_back[0] == m.Stop(K1, "not finished in time while draining")
