"""How fast this engine encodes: which encodes tell it, how it is averaged, kept and told."""

from __future__ import annotations

import pytest

from engine.core import messages as m
from engine.core.speeds import Speeds, measured
from plugins.media import report
from protocol.capabilities import FASTEST_FPS, MOST_SPEEDS, SLOWEST_FPS, Capabilities, EncoderSpeed
from protocol.extras import Frames
from protocol.leases import Complete, Grant, Heartbeat
from protocol.media import MediaFacts, VideoStream
from protocol.profiles import Rendition
from protocol.recipes import FramesRecipe, HandbrakeRecipe, NoopRecipe, Pace, PlannedRendition, Recipe, TranscodeRecipe
from protocol.results import AttemptResult, StepReport
from protocol.sounds import RenditionAudio
from protocol.states import StepState, TaskKind
from tests.unit.engine_desk import Desk, beat_answered, beats, grant, saves

VIDEO = VideoStream(index=0, codec="h264", width=1920, height=1080, coded_width=1920, coded_height=1080, frame_rate="30000/1001")
SOURCE = MediaFacts(container="mp4", duration="1001/10", size_bytes=1000, bitrate=400, video=VIDEO, streams=1)
"""3000 frames."""


def rendition(height: int, encoder: str = "libx264") -> PlannedRendition:
    wanted = Rendition(
        name=f"{height}p",
        height=height,
        encoders=(encoder,),
        crf=23,
        profile="main",
        level="3.1",
        audio=RenditionAudio(bitrate=96_000, sample_rate=44_100),
        min_source_width=640,
        min_source_height=360,
    )
    return PlannedRendition(rendition=wanted, encoder=encoder, width=2 * height, height=height, path=f"{height}p.mp4")


LADDER = TranscodeRecipe(source=SOURCE, renditions=(rendition(360, "libx264"), rendition(720, "h264_nvenc"), rendition(480)))


def took(seconds: float | None, step: str = "transcode_720p") -> AttemptResult:
    return AttemptResult(steps=(StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds),))


def test_a_ladder_is_measured_by_its_tallest_rendition_in_frames_of_the_source() -> None:
    assert measured(LADDER, took(30.0)) == (Pace("h264_nvenc", 720), 100.0)


def test_what_the_ffmpeg_plugin_reports_of_a_ladder_tells_its_speed() -> None:
    steps = ("transcode_360p", "transcode_480p", "transcode_720p", "generate_thumbnails")
    reported = AttemptResult(steps=report.step_reports(steps, report.served(LADDER), 30.0))

    assert measured(LADDER, reported) == (Pace("h264_nvenc", 720), 100.0)


def test_the_length_of_the_picture_counts_where_the_sound_is_longer() -> None:
    short = VIDEO.model_copy(update={"duration": "1001/20"})
    recipe = LADDER.model_copy(update={"source": SOURCE.model_copy(update={"video": short})})

    assert measured(recipe, took(30.0)) == (Pace("h264_nvenc", 720), 50.0)


@pytest.mark.parametrize(
    ("recipe", "result"),
    [
        (LADDER, took(2.9)),  # too short to tell
        (LADDER, took(None)),
        (LADDER, AttemptResult()),
        (LADDER, took(30.0, "transcode_360p")),
        (TranscodeRecipe(source=SOURCE, renditions=()), took(30.0)),
        (HandbrakeRecipe(source=SOURCE, renditions=LADDER.renditions), took(30.0)),
        (FramesRecipe(source=SOURCE, frames=Frames(fps=1.0), path="f.zip"), took(30.0)),
        (NoopRecipe(seconds=30.0), took(30.0)),
    ],
)
def test_what_is_no_ladder_of_some_length_tells_no_speed(recipe: Recipe, result: AttemptResult) -> None:
    assert measured(recipe, result) is None


@pytest.mark.parametrize(("duration", "seconds", "fps"), [("1", 1_000_000.0, SLOWEST_FPS), ("1000000000", 3.0, FASTEST_FPS)])
def test_a_speed_nobody_would_believe_is_told_as_the_nearest_one_that_may_be_told(
    duration: str, seconds: float, fps: float
) -> None:
    recipe = LADDER.model_copy(update={"source": SOURCE.model_copy(update={"duration": duration})})
    measurement = measured(recipe, took(seconds))

    assert measurement == (Pace("h264_nvenc", 720), fps)
    assert measurement is not None
    assert [one.fps for one in Speeds().learn(measurement)] == [fps]


def speed(height: int, fps: float) -> EncoderSpeed:
    return EncoderSpeed(encoder="libx264", height=height, fps=fps)


def at(height: int) -> Pace:
    return Pace("libx264", height)


def test_the_newest_encode_counts_three_tenths() -> None:
    speeds = Speeds()

    assert speeds.learn((at(720), 100.0)) == (speed(720, 100.0),)
    assert speeds.learn((at(720), 50.0)) == (speed(720, 85.0),)
    assert speeds.learn((at(360), 10.0)) == (speed(720, 85.0), speed(360, 10.0))
    assert speeds.learn((at(720), 85.0)) == (speed(360, 10.0), speed(720, 85.0))


def test_small_changes_are_kept_and_told_only_once_they_add_up() -> None:
    speeds, told = Speeds(), []
    for fps in (100.0, 80.0, 80.0, 80.0):
        speeds.learn((at(720), fps))
        told.append([one.fps for one in speeds.told(Capabilities()).speeds])

    assert told == [[100.0], [100.0], [89.8], [89.8]]  # it was 94, and is 86.86 now
    assert Speeds().told(Capabilities()) == Capabilities()


def test_what_was_measured_longest_ago_makes_room() -> None:
    speeds = Speeds()
    speeds.restore(speed(height, 1.0) for height in range(100, 100 + MOST_SPEEDS))

    speeds.learn((at(100), 1.0))
    known = speeds.learn((at(2000), 1.0))

    heights = [*range(102, 100 + MOST_SPEEDS), 100, 2000]
    assert [one.height for one in known] == heights
    assert [one.height for one in speeds.told(Capabilities()).speeds] == sorted(heights)


# The engine


def encode(n: int) -> Grant:
    on_processors = LADDER.model_copy(update={"renditions": (rendition(480), rendition(720))})
    return grant(n).model_copy(update={"kind": TaskKind.TRANSCODE, "recipe": on_processors})


def done(of: Grant, seconds: float) -> Complete:
    return Complete(task_id=of.task_id, token=of.token, result=took(seconds))


def beaten(desk: Desk) -> Heartbeat:
    [beat] = beats(desk.feed(m.Rang(m.Timer.HEARTBEAT)))
    desk.feed(beat_answered())
    return beat.request


def fps_of(beat: Heartbeat) -> list[float] | None:
    return None if beat.capabilities is None else [one.fps for one in beat.capabilities.speeds]


def test_a_finished_encode_is_kept_with_its_speed_which_the_next_beat_tells_once() -> None:
    desk = Desk()
    desk.online()
    saved, told = [], []
    for n, seconds in enumerate((30.0, 32.0, 15.0), start=1):
        desk.granted(encode(n))
        kept = desk.feed(m.RunEnded(done(encode(n), seconds)))
        saved += [change.speeds for change in saves(kept) if change.speeds]
        desk.disk_done(kept)
        told += [fps_of(beaten(desk)), fps_of(beaten(desk))]

    assert [[round(one.fps, 3) for one in speeds] for speeds in saved] == [[100.0], [98.125], [128.688]]
    assert told == [[100.0], None, None, None, [128.69], None]


def test_what_an_earlier_run_learnt_is_told_at_registration() -> None:
    desk = Desk(saved=m.Saved(speeds=(speed(720, 99.5),)))

    [registration] = [one for one in desk.feed(m.Started()) if isinstance(one, m.Register)]

    assert registration.request.capabilities.speeds == (speed(720, 99.5),)
