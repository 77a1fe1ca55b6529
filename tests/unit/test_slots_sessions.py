"""Encoder sessions: learnt from refusals, kept, told, and tried again with one more."""

from __future__ import annotations

from engine.core import messages as m
from engine.core.layout import Gpu, Machine, Processor
from engine.core.sessions import MOST_SESSIONS, TRY_MORE_S, SessionLimit, Sessions
from engine.core.slot_specs import planned
from engine.core.slots import SlotKind, Vacancies
from protocol.capabilities import Capabilities, Device
from protocol.errors import ErrorCode, FailureClass
from protocol.leases import Fail, Grant
from protocol.media import MediaFacts, VideoStream
from protocol.profiles import Rendition
from protocol.recipes import PlannedRendition, TranscodeRecipe
from protocol.results import Failure
from protocol.sounds import RenditionAudio
from protocol.states import TaskKind
from tests.unit.engine_desk import Desk, beats, completed, grant, leases, runs, saves

GPUS = (Gpu("0"), Gpu("renderD128"))
MACHINE = Machine((Processor(0, 0),), gpus=GPUS)
FOUR = planned(("CPU:0", "GPU:0x4"), MACHINE, 1)
MAKES = planned(("GPU:0", "GPU:renderD128"), MACHINE, 1)
RENDITION = Rendition(
    name="360p",
    height=360,
    encoders=("h264_nvenc", "libx264"),
    crf=23,
    profile="main",
    level="3.1",
    audio=RenditionAudio(bitrate=96_000, sample_rate=44_100),
    min_source_width=640,
    min_source_height=360,
)
SOURCE = MediaFacts(
    container="mp4",
    duration="20",
    size_bytes=1000,
    bitrate=400,
    video=VideoStream(index=0, codec="h264", width=1920, height=1080, coded_width=1920, coded_height=1080, frame_rate="25"),
    streams=1,
)


def encode(n: int, encoder: str = "h264_nvenc", renditions: int = 1) -> Grant:
    made = PlannedRendition(rendition=RENDITION, encoder=encoder, width=640, height=360, path="v.mp4")
    recipe = TranscodeRecipe(source=SOURCE, renditions=(made,) * renditions)
    return grant(n).model_copy(update={"kind": TaskKind.TRANSCODE, "recipe": recipe})


def refused(of: Grant) -> m.RunEnded:
    failure = Failure(failure_class=FailureClass.INFRA, code=ErrorCode.ENCODER_SESSIONS, message="no session left")
    return m.RunEnded(Fail(task_id=of.task_id, token=of.token, failure=failure))


def gpu_slots_of(desk: Desk) -> int:
    return desk.lease().gpu_slots


def working(*grants: Grant) -> Desk:
    """An engine of four slots on one GPU that runs these."""
    desk = Desk(FOUR)
    desk.online()
    assert (desk.lease().slots, desk.lease().gpu_slots) == (1, 4)
    desk.granted(*grants)
    desk.supersede()
    return desk


def test_a_task_for_a_gpu_runs_in_a_slot_there_and_leaves_the_processors_free() -> None:
    desk = working(encode(1))

    started = [one for one in desk.asked if isinstance(one, m.Run)]
    assert [(one.slot.name, one.slot.device) for one in started] == [("GPU:0", "0")]
    assert (desk.lease().slots, desk.lease().gpu_slots) == (1, 3)


def test_a_refusal_lowers_the_device_to_what_was_open_and_is_kept() -> None:
    first, second, third = encode(1), encode(2), encode(3)
    desk = working(first, second, third)

    ended = desk.feed(refused(third))
    desk.disk_done(ended)
    desk.supersede()

    limit = SessionLimit("0", sessions=2, per_task=1)
    assert [change.sessions for change in saves(ended) if change.sessions] == [(limit,)]
    assert m.Wake(m.Timer.SESSIONS, TRY_MORE_S) in ended
    assert gpu_slots_of(desk) == 0


def test_when_one_ends_there_is_room_for_one_and_an_hour_later_for_one_more() -> None:
    desk = working(encode(1), encode(2), encode(3))
    desk.disk_done(desk.feed(refused(encode(3))))
    desk.disk_done(desk.feed(m.RunEnded(completed(encode(1)))))
    desk.supersede()
    freed = gpu_slots_of(desk)

    desk.feed(m.Rang(m.Timer.SESSIONS))
    desk.supersede()

    assert (freed, gpu_slots_of(desk)) == (1, 2)


def test_a_ladder_is_counted_by_its_renditions() -> None:
    """Five are open, and the third task would need two more of the six there are."""
    desk = working(encode(1, renditions=3), encode(2, renditions=2))

    desk.disk_done(desk.feed(refused(encode(2, renditions=2))))
    desk.disk_done(desk.feed(m.RunEnded(completed(encode(1, renditions=3)))))
    desk.supersede()

    assert gpu_slots_of(desk) == 1  # three sessions, two for a task


def test_a_task_refused_alone_is_not_tried_again_until_there_may_be_enough() -> None:
    desk = working(encode(1, renditions=3))

    desk.disk_done(desk.feed(refused(encode(1, renditions=3))))
    desk.supersede()
    at_once = gpu_slots_of(desk)
    desk.feed(m.Rang(m.Timer.SESSIONS))
    desk.supersede()

    assert (at_once, gpu_slots_of(desk)) == (0, 1)


def test_what_was_learnt_holds_after_a_restart_and_is_told_of_the_device() -> None:
    desk = Desk(FOUR, saved=m.Saved(sessions=(SessionLimit("0", 2, 1),)))
    asked = desk.online()
    told = desk.feed(m.Surveyed(Capabilities(devices=(Device(index="0", name="card"),))))

    assert leases(asked)[-1].gpu_slots == 2
    (beat,) = beats(told)
    assert beat.request.capabilities == Capabilities(devices=(Device(index="0", name="card", max_sessions=2),))


def test_a_task_that_waits_for_a_session_starts_when_one_is_free() -> None:
    desk = working(encode(1), encode(2), encode(3))
    desk.disk_done(desk.feed(refused(encode(3))))
    desk.granted(encode(4))

    freed = desk.disk_done(desk.disk_done(desk.feed(m.RunEnded(completed(encode(1))))))

    assert runs(freed) == [("tsk_4", 4)]


def test_other_failures_teach_nothing() -> None:
    desk = working(encode(1))
    failure = Failure(failure_class=FailureClass.INFRA, code=ErrorCode.TOOL_FAILED, message="driver gone")

    ended = desk.feed(m.RunEnded(Fail(task_id="tsk_1", token=1, failure=failure)))

    assert [change.sessions for change in saves(ended)] == [()]


def test_a_task_goes_to_a_gpu_that_has_its_encoder() -> None:
    free = Vacancies(MAKES, ())

    seats = [free.seat(encode(1, "h264_qsv")), free.seat(encode(2, "h264_vaapi")), free.seat(encode(3))]

    assert [seat and seat.name for seat in seats] == ["GPU:renderD128", None, "GPU:0"]
    assert free.count(SlotKind.GPU) == 0


def test_a_task_goes_to_the_card_that_has_proven_its_encoders_and_its_decoder() -> None:
    able = {"0": frozenset({"h264_nvenc"}), "1": frozenset({"h264_nvenc", "hevc_nvenc", "h264_cuda"})}
    two = planned(("GPU:0", "GPU:1"), Machine((Processor(0, 0),), gpus=(Gpu("0"), Gpu("1"))), 1)
    plain = encode(1)
    decoded = plain.model_copy(update={"recipe": plain.recipe.model_copy(update={"decoder": "h264_cuda"})})

    def seated(*tasks: Grant) -> list[str | None]:
        free = Vacancies(two, (), able=able)
        return [slot.name if (slot := free.seat(task)) else None for task in tasks]

    assert seated(encode(1, "hevc_nvenc"), encode(2)) == ["GPU:1", "GPU:0"]
    assert seated(decoded, encode(2, "hevc_nvenc")) == ["GPU:1", None]
    assert seated(encode(1, "av1_nvenc")) == ["GPU:0"]  # where it fails, and dispatch hears of it


def test_what_a_survey_proved_decides_the_card() -> None:
    two = planned(("GPU:0", "GPU:1"), Machine((Processor(0, 0),), gpus=(Gpu("0"), Gpu("1"))), 1)
    desk = Desk(two)
    desk.online()
    proven = (Device(index="0", name="old", encoders=("h264_nvenc",)), Device(index="1", name="new", encoders=("hevc_nvenc",)))
    desk.feed(m.Surveyed(Capabilities(devices=proven)))

    desk.granted(encode(1, "hevc_nvenc"))

    assert [one.slot.device for one in desk.asked if isinstance(one, m.Run)] == ["1"]


def test_a_limit_that_has_grown_far_is_forgotten() -> None:
    sessions = Sessions()
    sessions.restore((SessionLimit("0", MOST_SESSIONS - 1, 1),))

    grown = sessions.try_more()

    assert (grown, list(sessions)) == ((SessionLimit("0", MOST_SESSIONS, 1),), [])


def test_tasks_that_come_together_share_what_is_left() -> None:
    free = Vacancies(FOUR, (), spare={"0": 1})

    assert (free.count(SlotKind.GPU), free.seat(encode(1)) is None, free.seat(encode(2))) == (1, False, None)


def test_a_task_that_waits_for_the_other_make_is_counted() -> None:
    desk = Desk(MAKES)
    desk.online()

    desk.granted(encode(1, "h264_qsv"), encode(2, "h264_qsv"))
    desk.supersede()

    assert gpu_slots_of(desk) == 0
