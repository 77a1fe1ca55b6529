"""Frames as a ZIP, made by the real tools and looked at with the standard library and FFmpeg."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from plugins.frames import choice
from plugins.frames.plugin import FramesPlugin
from protocol.errors import ErrorCode, FailureClass
from protocol.extras import Frames, PictureFormat
from protocol.media import MediaFacts
from protocol.plugins import Work
from protocol.recipes import FramesRecipe
from protocol.results import Failure, FileRole, OutputFacts
from protocol.steps import EXTRACT_FRAMES
from tests.integration.ffmpeg_attempts import analyze, brightness, success
from tests.integration.ffmpeg_runner import Attempt, run_attempt, run_process
from tests.media import run_ffmpeg

PATH = "frames/frames.zip"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s at 25 frames a second that grow brighter: the grey of a frame tells its number."""
    path = tmp_path_factory.mktemp("frames") / "clip.mkv"
    grey = "nullsrc=size=160x90:rate=25,geq=lum='16+2*N':cb=128:cr=128,format=yuv420p"
    run_ffmpeg("-f", "lavfi", "-i", grey, "-t", "4", "-c:v", "libx264", "-qp", "0", str(path))
    return path


def extract(clip: Path, directory: Path, frames: Frames, facts: MediaFacts | None = None) -> Attempt:
    recipe = FramesRecipe(source=facts or analyze(clip, directory), frames=frames, path=PATH)
    work = Work(recipe, (EXTRACT_FRAMES,), str(directory), threads=1, input_path=str(clip), input_size=clip.stat().st_size)
    return run_attempt(FramesPlugin(), work)


def numbers(directory: Path) -> list[int]:
    """Which frame of the clip each picture shows."""
    with zipfile.ZipFile(directory / PATH) as archive:
        archive.extractall(directory / "seen")
        names = archive.namelist()
    shades = [brightness(directory / "seen" / name) for name in names]
    return [round((shade * 219 / 255) / 2) for shade in shades]


def test_pictures_are_the_frames_at_their_moments(clip: Path, tmp_path: Path) -> None:
    attempt = extract(clip, tmp_path, Frames(fps=2, format=PictureFormat.PNG))

    facts = OutputFacts(role=FileRole.FRAMES, codec="png", width=160, height=90, frame_count=8)
    assert success(attempt).facts == {PATH: facts}
    assert numbers(tmp_path) == [0, 13, 25, 38, 50, 63, 75, 88]


def test_every_nth_frame_counts_frames(clip: Path, tmp_path: Path) -> None:
    attempt = extract(clip, tmp_path, Frames(every_nth=30, format=PictureFormat.PNG))

    assert success(attempt).facts[PATH].frame_count == 4
    assert numbers(tmp_path) == [0, 30, 60, 90]


def test_the_zip_is_stored_numbered_the_same_each_time_and_the_pictures_are_gone(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a", "b"):
        success(extract(clip, tmp_path / name, Frames(fps=1, max_height=46)))

    with zipfile.ZipFile(tmp_path / "a" / PATH) as archive:
        entries = [(entry.filename, entry.compress_type) for entry in archive.infolist()]
    assert entries == [(f"frame_00000{n}.jpg", zipfile.ZIP_STORED) for n in (1, 2, 3, 4)]
    assert (tmp_path / "a" / PATH).read_bytes() == (tmp_path / "b" / PATH).read_bytes()
    assert list((tmp_path / "a/pictures").iterdir()) == []


def test_more_a_second_than_there_are_makes_no_frame_twice(clip: Path, tmp_path: Path) -> None:
    attempt = extract(clip, tmp_path, Frames(fps=120))

    assert success(attempt).facts[PATH].frame_count == 100
    told = [report.progress for report in attempt.reports]
    assert (told == sorted(told), told[-1]) == (True, 0.99)


def test_more_pictures_than_a_zip_takes_are_refused_before_any_work(clip: Path, tmp_path: Path) -> None:
    facts = analyze(clip, tmp_path)
    assert facts.video is not None
    long = facts.model_copy(update={"video": facts.video.model_copy(update={"duration": "86400"}), "duration": "86400"})

    attempt = extract(clip, tmp_path, Frames(fps=25), long)

    assert isinstance(attempt.result, Failure)
    assert (attempt.result.failure_class, attempt.result.code) == (FailureClass.INPUT, ErrorCode.INPUT_LIMITS)
    assert (attempt.result.message, attempt.outcomes) == (choice.too_many(2_160_000, 100_000), [])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"most_pictures": 7}, "This would be 8 pictures; one ZIP takes 7. Ask for fewer a second, or for every nth frame."),
        (
            {"most_bytes": 1_000_000, "format": PictureFormat.PNG},
            "The pictures have more than 1000000 bytes, which one ZIP takes.",
        ),
    ],
)
def test_a_profile_bounds_the_pictures_and_their_bytes(tmp_path: Path, wanted: dict[str, object], message: str) -> None:
    noise = "nullsrc=size=640x480:rate=2,geq=random(1)*255:128:128"
    run_ffmpeg("-f", "lavfi", "-i", noise, "-t", "4", "-c:v", "libx264", "-preset", "ultrafast", str(tmp_path / "noise.mkv"))

    attempt = extract(tmp_path / "noise.mkv", tmp_path, Frames.model_validate({"fps": 2, **wanted}))

    assert isinstance(attempt.result, Failure)
    assert (attempt.result.code, attempt.result.message.startswith(message)) == (ErrorCode.INPUT_LIMITS, True)


def test_a_film_that_ends_early_is_refused(clip: Path, tmp_path: Path) -> None:
    facts = analyze(clip, tmp_path)
    short = tmp_path / "short.mkv"
    short.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])

    attempt = extract(short, tmp_path, Frames(fps=5), facts)

    assert isinstance(attempt.result, Failure)
    assert (attempt.result.failure_class, attempt.result.code) == (FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)


def test_a_damaged_picture_in_the_zip_is_found(clip: Path, tmp_path: Path) -> None:
    attempt = extract(clip, tmp_path, Frames(fps=2))
    zipped = tmp_path / PATH
    content = bytearray(zipped.read_bytes())
    content[len(content) // 2] ^= 0xFF
    zipped.write_bytes(content)
    prove = next(outcome.invocation for outcome in attempt.outcomes if outcome.invocation.name == "prove")
    work = Work(FramesRecipe(source=analyze(clip, tmp_path), frames=Frames(fps=2), path=PATH), (), str(tmp_path), threads=1)

    failure = FramesPlugin().judge(work, run_process(prove, tmp_path))

    assert failure is not None
    assert failure.code is ErrorCode.OUTPUT_INVALID


def test_probing_proves_the_operation(tmp_path: Path) -> None:
    plugin = FramesPlugin()

    description = plugin.describe([run_process(probe, tmp_path) for probe in plugin.probes(str(tmp_path))])

    assert (description.operations, description.problem) == (("frames",), None)
