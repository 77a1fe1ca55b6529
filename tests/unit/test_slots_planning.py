"""Which encoder a rendition is planned for: the dearest that an engine has proven, else the one on processors."""

from __future__ import annotations

import pytest

from dispatch.core.followers import plan_job
from dispatch.core.plans import Planned
from dispatch.core.rooms import kind_of
from protocol.capabilities import SlotKind
from protocol.profiles import Profile
from protocol.recipes import Recipe, TranscodeRecipe, slot_kind
from protocol.states import TaskKind
from tests.unit.dispatch_jobs import WEB, after, analyzed, granted, start, submitted, video

NVENC, QSV, X264 = "h264_nvenc", "h264_qsv", "libx264"


def wishing(*ladders: tuple[str, ...]) -> Profile:
    """The profile `web` with these encoders for its renditions, 360p first."""
    renditions = (one.model_copy(update={"encoders": names}) for one, names in zip(WEB.renditions, ladders, strict=True))
    return WEB.model_copy(update={"renditions": tuple(renditions)})


def planned(profile: Profile, *proven: str) -> tuple[TranscodeRecipe, tuple[str, ...]]:
    """The encode, and what it needs, where one engine has proven these encoders."""
    provided = {f"encoder:{name}" for name in (*proven, "aac", "libmp3lame", "mjpeg")}

    def finds(plan: Planned[Recipe]) -> bool:
        return provided >= {need for need in plan.needs if need.startswith("encoder:")}

    plans = plan_job(profile, video(1920, 1080), finds)
    assert isinstance(plans, dict)
    plan = plans[TaskKind.TRANSCODE]
    assert isinstance(plan, Planned)
    assert isinstance(plan.recipe, TranscodeRecipe)
    return plan.recipe, plan.needs


@pytest.mark.parametrize(
    ("ladders", "proven", "made"),
    [
        (((X264,), (X264,)), (NVENC, X264), (X264, X264)),
        (((NVENC, X264), (NVENC, X264)), (NVENC, X264), (NVENC, NVENC)),
        (((NVENC, X264), (NVENC, X264)), (X264,), (X264, X264)),
        (((NVENC, QSV, X264), (NVENC, QSV, X264)), (QSV, X264), (QSV, QSV)),
        (((X264,), (NVENC, X264)), (NVENC, X264), (X264, NVENC)),
        (((X264, NVENC), (X264, NVENC)), (NVENC, X264), (X264, X264)),
        (((NVENC,), (NVENC,)), (X264,), (NVENC, NVENC)),
        (((X264,), (NVENC, X264)), (NVENC,), (X264, X264)),
    ],
    ids=[
        "nobody wishes one",
        "wished and proven",
        "wished and not there",
        "the second wish is there",
        "for the large one only",
        "processors are dearer",
        "nothing else will do",
        "no engine has both",
    ],
)
def test_the_first_encoder_that_an_engine_has_proven_counts(
    ladders: tuple[tuple[str, ...], ...], proven: tuple[str, ...], made: tuple[str, ...]
) -> None:
    recipe, needs = planned(wishing(*ladders), *proven)

    assert tuple(one.encoder for one in recipe.renditions) == made
    assert {f"encoder:{name}" for name in made} <= set(needs)
    assert slot_kind(TaskKind.TRANSCODE, recipe) is (SlotKind.CPU if set(made) == {X264} else SlotKind.GPU)


@pytest.mark.parametrize(("fitting", "encoder"), [(1, NVENC), (0, X264)])
def test_the_end_of_the_analysis_asks_the_farm_for_the_encode_itself(fitting: int, encoder: str) -> None:
    profile = wishing((NVENC, X264), (NVENC, X264))

    job = after(granted(submitted(profile), 1), start(1), analyzed(1, video(1920, 1080)), fitting=fitting)

    task = job.task("tsk_1")
    assert f"encoder:{encoder}" in task.needs
    assert kind_of(task.kind, task.needs) is (SlotKind.GPU if fitting else SlotKind.CPU)
