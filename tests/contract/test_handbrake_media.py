"""HandBrake's renditions, made by the real tool and looked at by another."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from plugins.handbrake.plugin import HandbrakePlugin
from protocol.encoding import Preset
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.plugins import Conclusion, Work
from protocol.recipes import HandbrakeRecipe
from protocol.results import Failure
from protocol.states import StepState
from protocol.steps import transcode_step
from tests.ffmpeg_recipes import planned
from tests.integration.ffmpeg_attempts import analyze, keyframe_moments, streams, success
from tests.integration.ffmpeg_runner import Attempt, run_attempt, run_process
from tests.media import make_clip

pytestmark = pytest.mark.skipif(shutil.which("HandBrakeCLI") is None, reason="HandBrakeCLI is not installed (apt handbrake-cli)")

STEPS = (transcode_step("180p"), transcode_step("360p"), transcode_step("720p"))


def work_of(clip: Path, directory: Path, facts: MediaFacts, **other: int) -> Work:
    ladder = tuple(planned(facts, height, hls=None, preset=Preset.ULTRAFAST) for height in (180, 360))
    recipe = HandbrakeRecipe(source=facts, renditions=ladder, group_seconds=other.get("group_seconds"))
    return Work(recipe, STEPS, str(directory), threads=1, input_path=str(clip), input_size=clip.stat().st_size)


def encode(clip: Path, directory: Path, facts: MediaFacts | None = None, **other: int) -> Attempt:
    facts = facts or analyze(clip, directory)
    return run_attempt(HandbrakePlugin(), work_of(clip, directory, facts, **other))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Attempt]:
    """One encode of a clip with sound, looked at by several tests."""
    directory = tmp_path_factory.mktemp("handbrake")
    clip = make_clip(directory / "clip.mkv", seconds=4)
    (directory / "work").mkdir()
    return directory / "work", encode(clip, directory / "work", group_seconds=2)


def test_every_rendition_is_what_was_asked_for(whole: tuple[Path, Attempt]) -> None:
    directory, attempt = whole
    conclusion = success(attempt)

    assert sorted(conclusion.facts) == ["180p/video_180p.mp4", "360p/video_360p.mp4"]
    for name, size in (("180p", (320, 180)), ("360p", (640, 360))):
        found = streams(directory / name / f"video_{name}.mp4")
        assert (found["video"]["codec_name"], found["video"]["width"], found["video"]["height"]) == ("h264", *size)
        assert (found["video"]["profile"], int(found["video"]["nb_read_frames"])) == ("Constrained Baseline", 100)
        assert (found["audio"]["codec_name"], found["audio"]["sample_rate"]) == ("aac", "44100")


def test_the_index_stands_in_front_and_keyframes_where_segments_will_be_cut(whole: tuple[Path, Attempt]) -> None:
    made = whole[0] / "180p/video_180p.mp4"
    head = made.read_bytes()

    assert head.index(b"moov") < head.index(b"mdat")
    assert keyframe_moments(made) == [0.0, 2.0]


def test_each_step_grows_to_its_end_and_the_rendition_too_large_is_skipped(whole: tuple[Path, Attempt]) -> None:
    attempt = whole[1]
    conclusion = success(attempt)

    for step in STEPS[:2]:
        told = [report.progress for report in attempt.reports if report.name == step]
        assert told == sorted(told)
        assert told[-1] >= 0.9
    assert [(step.name, step.state) for step in conclusion.result.steps] == [
        (STEPS[0], StepState.COMPLETED),
        (STEPS[1], StepState.COMPLETED),
        (STEPS[2], StepState.SKIPPED),
    ]


def test_the_record_names_tools_and_no_place_of_this_machine(whole: tuple[Path, Attempt]) -> None:
    tools = success(whole[1]).result.tools

    assert [tool.tool for tool in tools[:4]] == ["HandBrakeCLI", "ffmpeg"] * 2
    assert tools[0].version.startswith("1.")
    assert not [word for tool in tools for word in tool.argv if str(whole[0]) in word]


def test_a_silent_film_stays_silent_and_tells_nothing_of_its_source(tmp_path: Path) -> None:
    tags = ("-metadata", "title=a secret name", "-metadata", "comment=a secret place")
    clip = make_clip(tmp_path / "clip.mp4", seconds=2, audio=False, options=tags)

    conclusion = success(encode(clip, tmp_path))

    assert conclusion.facts["180p/video_180p.mp4"].sample_rate is None
    assert "audio" not in streams(tmp_path / "180p/video_180p.mp4")
    assert b"a secret" in clip.read_bytes()
    assert b"a secret" not in (tmp_path / "180p/video_180p.mp4").read_bytes()


def test_a_film_that_ends_early_is_refused_though_handbrake_calls_it_done(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", seconds=4)
    facts = analyze(clip, tmp_path)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])

    attempt = encode(clip, tmp_path, facts)

    assert isinstance(attempt.result, Failure)
    assert (attempt.result.failure_class, attempt.result.code) == (FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)


def test_what_is_no_film_is_the_clients_fault(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=2)
    facts = analyze(clip, tmp_path)
    clip.write_bytes(b"just words\n")

    attempt = encode(clip, tmp_path, facts)

    assert isinstance(attempt.result, Failure)
    assert (attempt.result.failure_class, attempt.result.code) == (FailureClass.INPUT, ErrorCode.INPUT_FORMAT)


def test_odd_rates_and_upright_films_keep_their_frames(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=2, size=(360, 640), fps="30000/1001")

    conclusion = success(encode(clip, tmp_path))

    assert isinstance(conclusion, Conclusion)
    video = streams(tmp_path / "360p/video_360p.mp4")["video"]
    assert (video["width"], video["height"], Fraction(video["r_frame_rate"])) == (202, 360, Fraction(30000, 1001))


def test_probing_proves_the_operation(tmp_path: Path) -> None:
    plugin = HandbrakePlugin()

    description = plugin.describe([run_process(probe, tmp_path) for probe in plugin.probes(str(tmp_path))])

    assert (description.operations, description.problem) == (("handbrake",), None)
    assert description.version.startswith("HandBrake 1.")
