"""Jobs of more than an encode: what follows the analysis, what waits for a sibling, and what is done without."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from dispatch.core import endings, followers
from dispatch.core.besides import NO_SPEECH, model_for
from dispatch.core.feeding import read_paths
from dispatch.core.followers import plan_job
from dispatch.core.ladder import SPEECH_PATH
from dispatch.core.planning import RECIPE, task_kinds
from dispatch.core.plans import LeftOut
from dispatch.core.profile_rules import check_whole
from dispatch.core.records import Graph
from dispatch.core.views import step_views
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.extras import Frames, Transcription
from protocol.media import MediaFacts
from protocol.packaging import CmafPackaging, HlsPackaging
from protocol.profiles import Profile, Tool
from protocol.recipes import FramesRecipe, PackageRecipe, TranscodeRecipe, TranscribeRecipe
from protocol.results import Failure, FileRole
from protocol.states import JobState, TaskKind, TaskState
from tests.unit.dispatch_jobs import (
    NOW,
    PROFILES,
    WEB,
    after,
    analyzed,
    complete,
    fail,
    failure,
    granted,
    staged,
    start,
    states,
    submitted,
    told,
    video,
)

FILM = video(1920, 1080)
SILENT = video(1920, 1080, audio=False)
SPEAKING = PROFILES["web"]
NEEDED = SPEAKING.model_copy(update={"transcription": Transcription(required=True)})
FRAMES = PROFILES["frames"]
DASH = PROFILES["dash"]
BY_HANDBRAKE = DASH.model_copy(update={"tool": Tool.HANDBRAKE})
ALL = SPEAKING.model_copy(update={"frames": Frames(fps=1), "packaging": CmafPackaging(hls=False)})
SPEECH = staged(SPEECH_PATH, FileRole.SPEECH)
MP4S = tuple(staged(f"{name}/video_{name}.mp4", rendition=name) for name in ("360p", "720p"))


def analysis_done(profile: Profile, facts: MediaFacts = FILM, *, fitting: int = 1) -> Graph:
    return after(granted(submitted(profile), 1), start(1), analyzed(1, facts), fitting=fitting)


def transcribing(profile: Profile = SPEAKING) -> Graph:
    """The encode (token 2) is done, and the transcription (token 3) runs."""
    encoded = after(granted(analysis_done(profile), 2, task="tsk_1"), start(2, "tsk_1"), complete(2, "tsk_1", files=(SPEECH,)))
    return after(granted(encoded, 3, task="tsk_2"), start(3, "tsk_2"))


@pytest.mark.parametrize(
    ("profile", "kinds"),
    [
        (WEB, "analyze transcode"),
        (SPEAKING, "analyze transcode transcribe"),
        (FRAMES, "analyze frames"),
        (DASH, "analyze transcode package"),
        (BY_HANDBRAKE, "analyze handbrake package"),
        (WEB.model_copy(update={"tool": Tool.HANDBRAKE, "hls": None}), "analyze handbrake transcode"),
        (ALL, "analyze transcode frames transcribe package"),
        (Profile(name="words", transcription=Transcription()), "analyze transcode transcribe"),
    ],
)
def test_a_profile_takes_these_tasks(profile: Profile, kinds: str) -> None:
    assert " ".join(task_kinds(profile)) == kinds


def test_what_reads_the_input_is_readied_with_the_analysis_and_what_reads_a_sibling_waits() -> None:
    assert states(analysis_done(ALL)) == ("pending", "done", "pending", "pending", "waiting", "waiting")


def test_the_end_of_the_encode_readies_those_that_read_its_files() -> None:
    encoding = granted(analysis_done(ALL), 2, task="tsk_1")

    done = after(encoding, complete(2, "tsk_1", files=(SPEECH, *MP4S)))

    assert states(done) == ("pending", "done", "done", "pending", "pending", "pending")


def test_only_a_job_that_will_be_transcribed_stages_its_sound() -> None:
    def speech(profile: Profile, fitting: int) -> str | None:
        recipe = RECIPE.validate_json(analysis_done(profile, fitting=fitting).task("tsk_1").recipe_json or "")
        assert isinstance(recipe, TranscodeRecipe)
        return recipe.speech

    assert [speech(SPEAKING, 1), speech(SPEAKING, 0), speech(WEB, 1), speech(NEEDED, 0)] == [
        SPEECH_PATH,
        None,
        None,
        SPEECH_PATH,
    ]


def test_without_an_engine_a_transcription_is_skipped_and_one_that_is_required_waits() -> None:
    spare, needed = analysis_done(SPEAKING, fitting=0), analysis_done(NEEDED, fitting=0)
    steps = {step.name: (step.status.value, step.error) for step in step_views(spare)}

    assert (states(spare), states(needed)) == (
        ("pending", "done", "pending", "skipped"),
        ("pending", "done", "pending", "waiting"),
    )
    assert steps["transcribe_video"] == ("skipped", NO_SPEECH)


def test_an_engine_that_left_meanwhile_leaves_the_job_complete_without_its_transcription() -> None:
    encoding = granted(analysis_done(SPEAKING), 2, task="tsk_1")

    done = after(encoding, complete(2, "tsk_1", files=(SPEECH,)), fitting=0)

    assert states(done) == ("completing", "done", "done", "skipped")


@pytest.mark.parametrize("kind", [FailureClass.INPUT, FailureClass.POLICY])
def test_an_optional_transcription_that_fails_for_good_costs_the_job_nothing_but_a_warning(kind: FailureClass) -> None:
    job = after(transcribing(), fail(3, failure(kind), "tsk_2"))
    step = next(step for step in step_views(job) if step.name == "transcribe_video")

    assert states(job) == ("completing", "done", "done", "skipped")
    assert (step.status.value, step.error) == ("failed", "it went wrong")
    assert orjson.loads(job.job.warnings_json) == ["There is no transcription: it went wrong"]
    assert job.job.error_json is None
    moves = [(e.from_state, e.to_state) for e in job.events if e.task_id == "tsk_2"]
    assert moves[-2:] == [("running", "pending"), ("pending", "skipped")]


def test_a_required_transcription_that_fails_for_good_fails_the_job_and_is_tried_again_alone() -> None:
    failed = after(transcribing(NEEDED), fail(3, failure(FailureClass.INPUT), "tsk_2"))
    again = endings.retry(failed, priority=5, now=NOW)

    assert states(failed) == ("failed", "done", "done", "failed")
    assert states(again) == ("retrying", "done", "done", "pending")


def test_a_transcription_is_tried_as_often_as_any_task_before_it_is_given_up() -> None:
    job = after(transcribing(), fail(3, failure(FailureClass.ENGINE), "tsk_2"))

    assert states(job) == ("retrying", "done", "done", "pending")


def test_a_silent_film_is_not_transcribed_and_refused_where_that_is_required() -> None:
    spare = analysis_done(SPEAKING, SILENT)
    refused, answers = told(after(granted(submitted(NEEDED), 1), start(1)), analyzed(1, SILENT))

    assert states(spare) == ("pending", "done", "pending", "skipped")
    assert states(refused) == ("failed", "failed", "waiting", "waiting")
    assert answers[0].error is ErrorCode.INPUT_FORMAT


def test_an_input_of_which_nothing_would_be_made_is_refused() -> None:
    sound_only = WEB.model_copy(update={"renditions": (), "hls": None, "thumbnails": None})

    assert plan_job(sound_only, SILENT, lambda plan: True) == Failure(
        failure_class=FailureClass.INPUT, code=ErrorCode.INPUT_FORMAT, message="profile web makes sound, and the input has none"
    )


def test_an_encode_that_would_make_nothing_is_skipped_beside_frames() -> None:
    profile = FRAMES.model_copy(update={"audio": WEB.audio})

    assert states(analysis_done(profile, SILENT)) == ("pending", "done", "skipped", "pending")


def test_a_profile_of_frames_alone_is_two_tasks() -> None:
    job = analysis_done(FRAMES)
    recipe = RECIPE.validate_json(job.task("tsk_1").recipe_json or "")

    assert recipe == FramesRecipe(source=FILM, frames=Frames(fps=1), path="frames/frames.zip")
    assert states(after(granted(job, 2, task="tsk_1"), start(2, "tsk_1"))) == ("transcoding", "done", "running")


def test_a_package_reads_the_renditions_by_name_and_speech_the_staged_sound() -> None:
    plans = plan_job(ALL, FILM, lambda plan: True)
    assert not isinstance(plans, Failure)
    recipes = {kind: plan.recipe for kind, plan in plans.items() if not isinstance(plan, LeftOut)}

    assert {kind.value: dict(read_paths(recipe)) for kind, recipe in recipes.items()} == {
        "transcode": {},
        "frames": {},
        "transcribe": {"speech": SPEECH_PATH},
        "package": {"360p": "360p/video_360p.mp4", "720p": "720p/video_720p.mp4"},
    }
    assert isinstance(recipes[TaskKind.PACKAGE], PackageRecipe)


@pytest.mark.parametrize(("seconds", "model"), [(299.9, "tiny"), (300, "base"), (1800, "small"), (3600, "base")])
def test_the_model_goes_by_duration(seconds: float, model: str) -> None:
    assert model_for(seconds) == model


@pytest.mark.parametrize(
    ("wish", "needs", "model"),
    [
        (Transcription(), {"speech:any"}, "tiny"),
        (Transcription(language="de"), {"speech:de"}, "tiny"),
        (Transcription(language="en", model="small"), {"speech:en", "model:small"}, "small"),
    ],
)
def test_a_transcription_needs_its_language_and_a_model_that_was_named(wish: Transcription, needs: set[str], model: str) -> None:
    job = analysis_done(SPEAKING.model_copy(update={"transcription": wish}))
    task = job.task("tsk_2")
    recipe = RECIPE.validate_json(task.recipe_json or "")

    assert set(task.needs) == {"operation:transcribe", *needs}
    assert isinstance(recipe, TranscribeRecipe)
    assert (recipe.model, recipe.language) == (model, wish.language)


def test_what_reads_a_lost_file_is_not_granted_before_it_is_made_again() -> None:
    encoding = granted(analysis_done(DASH), 2, task="tsk_1")
    packaging = granted(after(encoding, complete(2, "tsk_1", files=MP4S)), 3, task="tsk_2")
    promoted = after(packaging, complete(3, "tsk_2", files=(staged("dash/manifest.mpd", FileRole.MANIFEST),)))

    redone = endings.redo_lost(promoted, ["tsk_1", "tsk_2"], now=NOW)

    assert states(promoted)[0] == JobState.COMPLETING
    assert (states(redone), redone.lost_files_of) == (("retrying", "done", "pending", "done"), ("tsk_1",))
    unfed = replace(redone.task("tsk_2"), state=TaskState.PENDING)
    assert not followers.is_fed(redone, unfed)


@pytest.mark.parametrize(
    "parts",
    [
        {"packaging": CmafPackaging(), "hls": HlsPackaging()},
        {"packaging": CmafPackaging(hls=False, dash=False), "hls": None},
        {"packaging": CmafPackaging(), "hls": None, "renditions": ()},
        {"tool": Tool.HANDBRAKE},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, object]) -> None:

    with pytest.raises(ReelyardError) as refused:
        check_whole(WEB.model_copy(update=parts))

    assert refused.value.code is ErrorCode.VALIDATION_FAILED
