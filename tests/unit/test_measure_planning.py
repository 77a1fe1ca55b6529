"""What is measured of a film before its encode, and what follows from it for the rest of the job."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch.core.feeding import brought_names
from dispatch.core.followers import Finds, Plans, plan_job
from dispatch.core.planning import RECIPE, STEPS, task_kinds
from dispatch.core.plans import LeftOut, Planned
from dispatch.core.profile_rules import check_whole
from dispatch.core.records import Graph
from protocol.encoding import Rate, Target
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.extras import ContentAnalysis, Metric, PerTitle, QualityMetrics
from protocol.media import MediaFacts
from protocol.pictures import Clip, Crop, Picture
from protocol.profiles import Compare, Profile, Rendition, Tool
from protocol.recipes import Cut, MeasureRecipe, TranscodeRecipe
from protocol.results import DroppedRung, Failure, FileRole, FoundRate, Measured
from protocol.sounds import Loudness, Sound, TrackLoudness
from protocol.states import JobState, StepState, TaskKind, TaskState
from tests.unit.dispatch_jobs import (
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
AIMED = Rendition(name="aimed", height=720, target=Target(vmaf=93), max_bitrate=4_000_000)
FIXED = Rendition(name="fixed", height=360, crf=23)
ON_GPU = AIMED.model_copy(update={"encoders": ("h264_nvenc", "libx264")})
MEASURED = Measured(rates=(FoundRate(rendition="aimed", crf=25.5, vmaf=93.1, probes=()),))
SETTINGS = Compare(renditions=(FIXED, Rendition(name="b", height=1080, crf=30)), sample_seconds=5)


def profile(**parts: Any) -> Profile:  # any part of a profile
    return Profile(name="measured", **{"renditions": (AIMED, FIXED), **parts})


def on_processors(plan: Planned[Any]) -> bool:
    return not any(need.endswith("nvenc") for need in plan.needs)


def anywhere(plan: Planned[Any]) -> bool:
    return True


def plans(wanted: Profile, facts: MediaFacts = FILM, finds: Finds = on_processors, measured: Measured | None = None) -> Plans:
    made = plan_job(wanted, facts, finds, measured)
    assert not isinstance(made, Failure), made
    return made


def recipes(made: Plans) -> dict[TaskKind, Any]:
    return {kind: plan.recipe if isinstance(plan, Planned) else plan.reason for kind, plan in made.items()}


def measuring(made: Plans) -> MeasureRecipe:
    recipe = recipes(made)[TaskKind.MEASURE]
    assert isinstance(recipe, MeasureRecipe), recipe
    return recipe


def encode(made: Plans) -> TranscodeRecipe:
    recipe = recipes(made)[TaskKind.TRANSCODE]
    assert isinstance(recipe, TranscodeRecipe), recipe
    return recipe


def test_a_target_is_looked_for_with_the_encode_that_is_planned() -> None:
    made = plans(profile())

    recipe = measuring(made)
    assert recipe.probes == encode(made).renditions[:1]
    assert (recipe.ladder, recipe.compare, recipe.tracks) == ((), (), ())
    plan = made[TaskKind.MEASURE]
    assert isinstance(plan, Planned)
    assert plan.needs == ("encoder:libx264", "metric:vmaf")


def test_what_was_found_is_what_is_encoded_with_and_proven_in_the_end() -> None:
    encoded = encode(plans(profile(), measured=MEASURED))

    aimed, fixed = encoded.renditions
    assert aimed.spends == Rate(crf=25.5, max_bitrate=4_000_000)
    assert fixed.rate is None
    assert encoded.metrics == QualityMetrics(metrics=(Metric.VMAF,), sample_seconds=20)


def test_what_a_profile_asks_to_be_scored_is_scored_and_needs_who_can() -> None:
    made = plans(profile(renditions=(FIXED,), quality_metrics=QualityMetrics(metrics=(Metric.PSNR,))))

    plan = made[TaskKind.TRANSCODE]
    assert isinstance(plan, Planned)
    assert "metric:psnr" in plan.needs
    assert "metric:vmaf" not in plan.needs


def test_a_target_for_a_gpu_is_not_looked_for_and_says_so() -> None:
    wanted = profile(renditions=(ON_GPU,))

    assert recipes(plans(wanted, finds=anywhere))[TaskKind.MEASURE].startswith("a GPU's encoder makes the renditions")
    assert measuring(plans(wanted)).probes[0].encoder == "libx264"


def test_a_rate_found_for_processors_is_not_given_to_a_gpu() -> None:
    wanted = profile(renditions=(ON_GPU,))

    encoded = encode(plans(wanted, finds=anywhere, measured=MEASURED))

    assert (encoded.renditions[0].encoder, encoded.renditions[0].rate) == ("h264_nvenc", None)


def test_a_clip_is_measured_as_it_will_be_shown_and_its_bars_as_the_film_has_them() -> None:
    wanted = profile(clip=Clip(start=5, end=15), picture=Picture(crop_black=True, pad_to="1:1"), content=ContentAnalysis())

    recipe = measuring(plans(wanted))

    assert (recipe.cut, recipe.source.duration, recipe.whole) == (Cut(start="5", end="15"), "10", (1920, 1080))
    assert (recipe.finds_crop, recipe.content_path) == (True, "analysis/content.json")
    assert recipe.source.video is not None
    assert recipe.source.video.width == recipe.source.video.height


def test_bars_that_were_found_are_cut_off_the_encode() -> None:
    wanted = profile(renditions=(FIXED,), picture=Picture(crop_black=True))

    encoded = encode(plans(wanted, measured=Measured(crop=Crop(top=140, bottom=140))))

    assert encoded.picture.crop == Crop(top=140, bottom=140)
    assert (encoded.renditions[0].width, encoded.renditions[0].height) == (864, 360)


def test_loudness_is_that_of_the_tracks_that_are_taken() -> None:
    wanted = profile(renditions=(FIXED,), sound=Sound(loudness=Loudness()))
    heard = TrackLoudness(integrated=-30, true_peak=-3, range=5, threshold=-40, offset=0.1)

    first, second = plans(wanted), plans(wanted, measured=Measured(loudness={1: heard}))

    assert (measuring(first).tracks, measuring(first).channels) == ((1,), (2,))
    assert encode(second).tracks[0].measured == heard


def test_a_ladder_is_weighed_and_what_it_does_not_need_is_skipped_with_the_reason() -> None:
    wanted = profile(per_title=PerTitle(), renditions=(FIXED, Rendition(name="more", height=720, crf=23)))
    dropped = Measured(dropped=(DroppedRung(rendition="more", reason="this film does not need it"),))

    first, second = plans(wanted), plans(wanted, measured=dropped)

    assert [one.rendition.name for one in measuring(first).ladder] == ["fixed", "more"]
    assert [one.rendition.name for one in encode(second).renditions] == ["fixed"]
    plan = second[TaskKind.TRANSCODE]
    assert isinstance(plan, Planned)
    skipped = {step.name: step.reason for step in plan.steps if step.state is StepState.SKIPPED}
    assert skipped == {"transcode_more": "this film does not need it"}


def test_a_ladder_of_one_rung_is_not_weighed() -> None:
    made = plans(profile(per_title=PerTitle(), renditions=(FIXED, Rendition(name="more", height=1440, crf=23))))

    assert recipes(made)[TaskKind.MEASURE] == "the ladder has one rung only"


def test_settings_are_compared_as_far_as_the_film_is_large_enough() -> None:
    small = measuring(plans(profile(renditions=(), compare=SETTINGS), video(1280, 720)))

    assert [(one.rendition.name, one.path, one.width) for one in small.compare] == [("fixed", "compare/fixed.mp4", 640)]
    assert (small.sample_seconds, small.comparison_path) == (5, "compare/report.json")
    assert task_kinds(profile(renditions=(), compare=SETTINGS)) == (TaskKind.ANALYZE, TaskKind.MEASURE)


def test_a_job_that_compares_what_the_film_is_too_small_for_is_refused() -> None:
    made = plan_job(profile(renditions=(), compare=SETTINGS), video(320, 180), anywhere)

    assert isinstance(made, Failure)
    assert made.code is ErrorCode.INPUT_TOO_SMALL


def test_attachments_are_read_by_what_measures_them() -> None:
    parts = {"attachment-more": video(640, 360)}
    joined = FILM.model_copy(update={"parts": parts})

    recipe = measuring(plans(profile(concat=("input", "more"), content=ContentAnalysis()), joined))

    assert brought_names(recipe) == {"attachment-more"}
    assert [part.attachment for part in recipe.parts] == [None, "attachment-more"]


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"renditions": (), "thumbnails": {}, "quality_metrics": {}}, "quality_metrics"),
        ({"renditions": (FIXED,), "per_title": {}}, "per_title"),
        ({"tool": Tool.HANDBRAKE}, "renditions"),
        ({"tool": Tool.HANDBRAKE, "renditions": (FIXED,), "quality_metrics": {}}, "quality_metrics"),
        ({"compare": Compare(renditions=(FIXED, FIXED))}, "compare"),
        ({"compare": Compare(renditions=(FIXED, AIMED))}, "compare"),
        (
            {"compare": Compare(renditions=(FIXED, FIXED.model_copy(update={"name": "g", "encoders": ("h264_qsv",)})))},
            "compare",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(parts: dict[str, Any], field: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        check_whole(profile(**parts))

    assert (refused.value.code, field in str(refused.value.details)) == (ErrorCode.VALIDATION_FAILED, True)


# --- the task in its job


def measured_job(token: int = 2, **changes: Any) -> Graph:
    """Analysed; `measure` (token 2) runs, the encode waits."""
    job = submitted(profile(**changes))
    return after(granted(after(granted(job, 1), start(1), analyzed(1, FILM)), token, task="tsk_1"), start(token, "tsk_1"))


def rate_of(graph: Graph) -> Rate:
    recipe = RECIPE.validate_json(graph.task("tsk_2").recipe_json or "")
    assert isinstance(recipe, TranscodeRecipe)
    return recipe.renditions[0].spends


def test_the_encode_waits_for_what_is_measured_and_is_planned_anew_by_it() -> None:
    before = measured_job()

    done = after(before, complete(2, "tsk_1", measured=MEASURED))

    assert (states(before)[3], rate_of(before).crf) == (TaskState.WAITING, 23)
    assert (states(done)[3], rate_of(done).crf) == (TaskState.PENDING, 25.5)
    assert done.job.measured_json == MEASURED.model_dump_json()


def test_a_measurement_that_fails_is_tried_again_and_the_encode_goes_on_waiting() -> None:
    failed = after(measured_job(), fail(2, failure(FailureClass.ENGINE), "tsk_1"))

    again = after(granted(failed, 3, task="tsk_1"), start(3, "tsk_1"), complete(3, "tsk_1", measured=MEASURED))

    assert states(failed)[2:] == (TaskState.PENDING, TaskState.WAITING)
    assert (states(again)[3], rate_of(again).crf) == (TaskState.PENDING, 25.5)


def test_a_measurement_that_comes_back_empty_is_none() -> None:
    graph, (answer,) = told(measured_job(), complete(2, "tsk_1"))

    assert answer.error is ErrorCode.PLUGIN_FAILED
    assert states(graph)[2:] == (TaskState.PENDING, TaskState.WAITING)


def test_a_job_without_anything_to_measure_goes_on_without_it() -> None:
    silent = video(1280, 720, audio=False)
    job = submitted(profile(renditions=(FIXED,), sound=Sound(loudness=Loudness())))

    graph = after(granted(job, 1), start(1), analyzed(1, silent))

    assert states(graph)[2:] == (TaskState.SKIPPED, TaskState.PENDING)
    (step,) = STEPS.validate_json(graph.task("tsk_1").steps_json)
    assert (step.state, step.reason) == (StepState.SKIPPED, "there is nothing to measure")


def test_a_comparison_is_a_job_by_itself() -> None:
    job = submitted(profile(renditions=(), compare=SETTINGS))
    files = (staged("compare/fixed.mp4", FileRole.SAMPLE), staged("compare/report.json", FileRole.COMPARISON))

    running = after(granted(after(granted(job, 1), start(1), analyzed(1, FILM)), 2, task="tsk_1"), start(2, "tsk_1"))
    done = after(running, complete(2, "tsk_1", measured=Measured(), files=files))

    assert states(done) == (JobState.COMPLETING, TaskState.DONE, TaskState.DONE)


def test_the_web_profile_measures_nothing() -> None:
    assert TaskKind.MEASURE not in task_kinds(WEB)
    assert not isinstance(plans(WEB)[TaskKind.TRANSCODE], LeftOut)
