"""Progress lines one by one."""

from __future__ import annotations

from fractions import Fraction

from plugins.ffmpeg.goal import goal_of
from plugins.media.progress import Goal, Progress, advance, reports
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.results import StepReport
from protocol.states import StepState
from tests.ffmpeg_recipes import web

GOAL = Goal(frames=100, seconds=4.0, rate=25.0)


def after(*lines: str, start: Progress | None = None, goal: Goal = GOAL) -> Progress:
    now = start or Progress()
    for line in lines:
        now = advance(now, line, goal)
    return now


def test_a_block_is_told_when_it_ends() -> None:
    unfinished = after("frame=50", "out_time_us=2000000", "speed=0.5x")

    assert reports(unfinished, ("a",), GOAL) == ()
    assert reports(after("progress=continue", start=unfinished), ("a", "b"), GOAL) == (
        StepReport(name="a", state=StepState.RUNNING, progress=0.5, eta_seconds=4.0),
        StepReport(name="b", state=StepState.RUNNING, progress=0.5, eta_seconds=4.0),
    )


def test_progress_never_falls_and_never_says_done() -> None:
    high = after("frame=120", "progress=continue")
    later = after("frame=10", "progress=continue", start=high)

    assert (high.fraction, later.fraction) == (1.0, 1.0)
    assert reports(later, ("a",), GOAL)[0].progress == 0.99


def test_values_that_are_not_known_yet_are_no_progress() -> None:
    block = after("frame=0", "out_time_us=N/A", "speed=N/A", "noise", "progress=continue")

    assert reports(block, ("a",), GOAL) == (StepReport(name="a", state=StepState.RUNNING, progress=0.0),)


def test_sound_that_runs_ahead_does_not_shorten_the_eta() -> None:
    """Half of the picture, all of the sound, at 2x for the sound: the picture goes at 1x, so 2 of 4 s are left."""
    block = after("frame=50", "out_time_us=4000000", "speed=2x", "progress=continue")

    assert reports(block, ("a",), GOAL)[0].eta_seconds == 2.0


def test_sound_alone_is_measured_by_time() -> None:
    goal = Goal(frames=0, seconds=4.0, rate=0.0)
    block = after("out_time_us=1000000", "speed=1x", "progress=continue", goal=goal)

    assert reports(block, ("a",), goal) == (StepReport(name="a", state=StepState.RUNNING, progress=0.25, eta_seconds=3.0),)


def test_the_goal_counts_the_frames_that_will_be_written() -> None:
    video = VideoStream(
        index=0,
        codec="h264",
        width=640,
        height=360,
        coded_width=640,
        coded_height=360,
        frame_rate="120",
        duration="10",
        start="1/2",
    )
    sound = AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000)
    source = MediaFacts(container="mp4", duration="12", size_bytes=1, bitrate=None, video=video, audio=(sound,), streams=2)

    assert goal_of(web(source, heights=(360,))) == Goal(frames=630, seconds=10.5, rate=60.0)
    assert goal_of(web(source.model_copy(update={"video": None}), heights=())) == Goal(frames=0, seconds=12.0, rate=0.0)
    assert Fraction(source.duration) == 12
