"""The plugin by itself: a plugin is pure, so no engine is needed to test it."""

import zipfile
from io import BytesIO

import pytest
from reelyard_stills import plugin
from reelyard_stills.plugin import StillsPlugin

from protocol.errors import ErrorCode
from protocol.extras import Frames
from protocol.media import MediaFacts, VideoStream
from protocol.plugins import Conclusion, Invocation, Outcome, TranscoderPlugin, Work
from protocol.recipes import FramesRecipe
from protocol.results import Failure

JPEG = b"\xff\xd8 pixels \xff\xd9"


@pytest.fixture(autouse=True)
def _tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any program that is there will do: nothing is run."""
    monkeypatch.setenv("REELYARD_FFMPEG", "sh")


def work(frames: Frames, seconds: int = 60) -> Work:
    size = {"width": 640, "height": 360, "coded_width": 640, "coded_height": 360}
    video = VideoStream(index=0, codec="h264", frame_rate="25", duration=str(seconds), **size)
    source = MediaFacts(container="mp4", duration=str(seconds), size_bytes=1, bitrate=None, video=video, streams=1)
    recipe = FramesRecipe(source=source, frames=frames, path="frames/frames.zip")
    return Work(recipe, ("extract_frames",), "/work", threads=1, input_path="/input")


def ended(invocation: Invocation, stdout: bytes, code: int = 0) -> Outcome:
    return Outcome(invocation, code, stdout, "", wall_seconds=1.0, cpu_seconds=0.5)


def test_it_is_a_transcoder_plugin() -> None:
    assert isinstance(StillsPlugin(), TranscoderPlugin)


def test_one_process_seeks_to_each_moment() -> None:
    planned = StillsPlugin().plan(work(Frames(fps=0.1)))

    assert [one.argv[one.argv.index("-ss") + 1] for one in planned] == [
        "0.000000", "9.990000", "19.990000", "29.990000", "39.990000", "49.990000"
    ]  # fmt: skip
    assert {one.reads for one in planned} == {("/input",)}


def test_every_nth_frame_is_a_moment_too() -> None:
    assert len(StillsPlugin().plan(work(Frames(every_nth=500)))) == 3


def test_the_pictures_become_a_zip() -> None:
    doing, film = StillsPlugin(), work(Frames(fps=0.1))
    outcomes = [ended(one, JPEG) for one in doing.plan(film)]

    assert [doing.judge(film, outcome) for outcome in outcomes] == [None] * 6
    done = doing.conclude(film, outcomes, ())

    assert isinstance(done, Conclusion)
    with zipfile.ZipFile(BytesIO(done.extra["frames/frames.zip"])) as archive:
        assert archive.namelist()[0] == "frame_000001.jpg"
        assert archive.read("frame_000006.jpg") == JPEG


@pytest.mark.parametrize(("stdout", "code"), [(b"", 0), (JPEG[:-1], 0), (JPEG, 1)])
def test_half_a_picture_is_the_films_fault(stdout: bytes, code: int) -> None:
    doing, film = StillsPlugin(), work(Frames(fps=0.1))

    failure = doing.judge(film, ended(doing.plan(film)[0], stdout, code))

    assert isinstance(failure, Failure)
    assert failure.code is ErrorCode.INPUT_CORRUPT


def test_too_many_pictures_are_refused_before_any_work() -> None:
    doing, film = StillsPlugin(), work(Frames(fps=25))

    assert doing.plan(film) == ()
    refused = doing.checks(film, ())
    assert isinstance(refused, Failure)
    assert refused.code is ErrorCode.INPUT_LIMITS
    assert str(plugin.MOST) in refused.message
