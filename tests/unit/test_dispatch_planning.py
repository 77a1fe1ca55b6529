"""What is planned of an input: the ladder of `web`, sizes, needs, steps and limits."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.ladder import PIXELS_PER_SECOND, plan_transcode
from dispatch.core.planning import Demands, Frame, first_tasks, limits_of
from dispatch.core.plans import Film, LeftOut, Planned
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.profiles import Profile
from protocol.recipes import AnalyzeRecipe, InputLimits, NoopRecipe, TranscodeRecipe
from protocol.results import Failure
from protocol.states import StepState, TaskKind, TaskState
from tests.unit.dispatch_jobs import NOOP, NOW, WEB, video


def planned(facts: MediaFacts, profile: Profile = WEB) -> Planned[TranscodeRecipe]:
    made = plan_transcode(Film(profile, facts))
    assert isinstance(made, Planned), made
    return made


def ladder(facts: MediaFacts) -> dict[str, tuple[int, int]]:
    return {r.rendition.name: (r.width, r.height) for r in planned(facts).recipe.renditions}


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ((1920, 1080), {"360p": (640, 360), "720p": (1280, 720)}),
        ((1280, 720), {"360p": (640, 360), "720p": (1280, 720)}),
        ((3840, 2160), {"360p": (640, 360), "720p": (1280, 720)}),
        ((1279, 720), {"360p": (640, 360)}),
        ((1280, 718), {"360p": (642, 360)}),
        ((640, 360), {"360p": (640, 360)}),
        ((640, 480), {"360p": (480, 360)}),
        ((1080, 1920), {"360p": (202, 360), "720p": (406, 720)}),
        ((360, 640), {"360p": (202, 360)}),
        ((853, 480), {"360p": (640, 360)}),
        ((1441, 1081), {"360p": (480, 360), "720p": (960, 720)}),
        ((1282, 720), {"360p": (642, 360), "720p": (1282, 720)}),
        ((2048, 858), {"360p": (860, 360), "720p": (1718, 720)}),
    ],
)
def test_the_ladder_of_web(source: tuple[int, int], made: dict[str, tuple[int, int]]) -> None:
    assert ladder(video(*source)) == made


@given(st.integers(min_value=16, max_value=8192), st.integers(min_value=16, max_value=4352))
def test_sizes_are_even_keep_the_shape_and_are_never_upscaled(width: int, height: int) -> None:
    made = plan_transcode(Film(WEB, video(width, height)))
    assert not isinstance(made, LeftOut)
    if isinstance(made, Failure):
        assert made.code is ErrorCode.INPUT_TOO_SMALL
        assert max(width, height) < 640 or min(width, height) < 360
        return

    for rendition in made.recipe.renditions:
        assert (rendition.width % 2, rendition.height % 2) == (0, 0)
        assert rendition.height <= height
        assert rendition.width <= width + 1
        assert abs(rendition.width - Fraction(width * rendition.height, height)) <= 1


def test_the_files_of_web_lie_where_the_layout_says() -> None:
    recipe = planned(video(1920, 1080)).recipe

    assert [(r.path, r.playlist, r.segments) for r in recipe.renditions] == [
        ("360p/video_360p.mp4", "360p/segments/playlist.m3u8", "360p/segments/segment_%03d.ts"),
        ("720p/video_720p.mp4", "720p/segments/playlist.m3u8", "720p/segments/segment_%03d.ts"),
    ]
    assert recipe.audio is not None
    assert (recipe.audio.path, recipe.master_playlist) == ("audio/audio.mp3", "hls/master.m3u8")
    assert [(shot.percent, shot.at, shot.path) for shot in recipe.thumbnails] == [
        (0, "0", "thumbnails/thumb_00.jpg"),
        (25, "5", "thumbnails/thumb_25.jpg"),
        (50, "10", "thumbnails/thumb_50.jpg"),
        (75, "15", "thumbnails/thumb_75.jpg"),
        (100, "20", "thumbnails/thumb_100.jpg"),
    ]


def test_a_silent_film_needs_no_sound_encoders_and_skips_the_mp3() -> None:
    made = planned(video(640, 360, audio=False))

    assert made.needs == ("encoder:libx264", "encoder:mjpeg")
    assert made.recipe.audio is None
    assert {s.name: s.reason for s in made.steps if s.state is StepState.SKIPPED} == {
        "transcode_720p": "the source is smaller than 1280x720",
        "prepare_hls_720p": "the source is smaller than 1280x720",
        "extract_audio_mp3": "the source has no audio",
    }


def test_the_estimate_follows_pixels_and_time() -> None:
    small, large = planned(video(640, 360)).cost_s, planned(video(1920, 1080, duration="40")).cost_s

    assert small == pytest.approx(1 + 20 * 25 * 640 * 360 / PIXELS_PER_SECOND + 0.1)
    assert large == pytest.approx(1 + 40 * 25 * (640 * 360 + 1280 * 720) / PIXELS_PER_SECOND + 0.2)


def test_a_picture_that_is_too_small_is_told_what_it_lacks() -> None:
    assert plan_transcode(Film(WEB, video(639, 360))) == Failure(
        failure_class=FailureClass.INPUT,
        code=ErrorCode.INPUT_TOO_SMALL,
        message="the picture is 639x360; profile web needs at least 640x360",
    )


def test_sound_alone_is_no_input_for_web() -> None:
    sound = video(640, 360).model_copy(update={"video": None})

    assert plan_transcode(Film(WEB, sound)) == Failure(
        failure_class=FailureClass.INPUT, code=ErrorCode.INPUT_NO_VIDEO, message="profile web makes video, and the input has none"
    )


def first(profile: Profile, *names: str) -> list[tuple[TaskKind, TaskState, tuple[str, ...], tuple[str, ...], str | None]]:
    frame = Frame("job_1", "default", 7, NOW, names)
    tasks = first_tasks(frame, profile.model_dump_json(), InputLimits(), Demands(("encoder:libx264",), ("site:oslo",)))
    assert {(t.job_id, t.tenant, t.priority, t.created_at) for t in tasks} == {("job_1", "default", 7, NOW)}
    return [(t.kind, t.state, t.needs, t.tags, t.recipe_json) for t in tasks]


def test_the_first_tasks_of_a_film_are_its_analysis_and_an_encode_that_waits() -> None:
    limits = AnalyzeRecipe(limits=limits_of(WEB, InputLimits()))

    assert first(WEB, "tsk_a", "tsk_b") == [
        (
            TaskKind.ANALYZE,
            TaskState.PENDING,
            ("encoder:libx264", "operation:analyze"),
            ("site:oslo",),
            limits.model_dump_json(),
        ),
        (TaskKind.TRANSCODE, TaskState.WAITING, ("encoder:libx264", "operation:transcode"), ("site:oslo",), None),
    ]


def test_a_noop_is_one_task() -> None:
    assert first(NOOP, "tsk_a") == [
        (
            TaskKind.NOOP,
            TaskState.PENDING,
            ("encoder:libx264", "operation:noop"),
            ("site:oslo",),
            NoopRecipe(seconds=0.0).model_dump_json(),
        )
    ]


def test_the_limits_are_the_servers_with_the_smallest_picture_of_the_profile() -> None:
    strict = InputLimits(max_fps=60, max_bytes=1000)
    thumbnails_only = WEB.model_copy(update={"renditions": (), "audio": None})
    sound_only = WEB.model_copy(update={"renditions": (), "thumbnails": None})

    assert limits_of(WEB, strict) == InputLimits(max_fps=60, max_bytes=1000, min_width=640, min_height=360)
    any_size = strict.model_copy(update={"min_width": 16, "min_height": 16})
    assert limits_of(thumbnails_only, strict) == any_size
    assert limits_of(sound_only, strict) == any_size.model_copy(update={"needs_video": False, "needs_audio": True})
