"""A client's wish to have what a damaged film gives: how it is told, which profiles take it, how it reaches the tasks, and
what is held all the same."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from client.options import SubmitOptions
from client.sources import RemoteInput, read_submission
from dispatch.api import form
from dispatch.core.damage_rules import check_damage_allowed
from dispatch.core.followers import plan_job
from dispatch.core.planning import Demands, Frame, allows_damage, first_tasks
from dispatch.core.plans import Beside, Planned
from plugins.ffmpeg import examining, integrity
from plugins.ffmpeg.analysis import FIRST_FRAMES, PROBE, WHOLE, warnings
from plugins.media import stills
from plugins.media.lengths import Heard, Lengths, as_made, expected_ends, hold
from plugins.media.rejected import Rejected
from protocol.errors import ErrorCode, ReelyardError
from protocol.extras import Frames
from protocol.jobs import JobInput, JobSubmission
from protocol.packaging import CmafPackaging
from protocol.plugins import Invocation, Outcome, Work
from protocol.profiles import Live, Profile, Tool
from protocol.recipes import AnalyzeRecipe, InputLimits, PackageRecipe, PlannedSprite, TranscodeRecipe
from protocol.states import TaskKind
from protocol.steps import VALIDATE_VIDEO
from tests.ffmpeg_recipes import rendition
from tests.unit.dispatch_jobs import submitted, video

PACKAGED = Profile(name="mine", renditions=(rendition(360),), packaging=CmafPackaging())
STRICT = AnalyzeRecipe(limits=InputLimits(strict=True), allows_damage=True)
TOLD = video(640, 360)
assert TOLD.video is not None
FILM = TOLD.model_copy(
    update={
        "video": TOLD.video.model_copy(update={"duration": "20"}),
        "audio": (TOLD.audio[0].model_copy(update={"duration": "20"}),),
    }
)


def lengths(picture: str, sound: str, *, playlist: str | None = None) -> Lengths:
    track = Heard(Fraction(20), (Fraction(sound), Fraction(sound)))
    return Lengths((Fraction(picture),), (), (Fraction(playlist or picture),), (track,))


def test_it_comes_by_json_by_a_form_and_by_the_command_line() -> None:
    wanted = JobSubmission(allow_damaged=True)

    assert JobSubmission.model_validate_json('{"allow_damaged": true}') == wanted
    assert form.submission_of({"allow_damaged": "true"}) == wanted
    assert form.submission_of({"allow_damaged": "false"}) == JobSubmission()
    remote = RemoteInput(JobInput(path="/x"))
    assert read_submission(remote, SubmitOptions(inputs=["server:/x"], allow_damaged=True)).allow_damaged
    with pytest.raises(ReelyardError, match="allow_damaged"):
        form.submission_of({"allow_damaged": "yes"})


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (Profile(name="x", renditions=(rendition(360),), live=Live()), "allow_damaged: is not for live streams"),
        (
            Profile(name="x", renditions=(rendition(360),), tool=Tool.HANDBRAKE),
            "allow_damaged: is not for renditions by HandBrake",
        ),
        (Profile(name="x", frames=Frames(fps=1.0)), "allow_damaged: is not for frames"),
    ],
)
def test_profiles_with_a_task_that_takes_no_damage_are_refused(profile: Profile, message: str) -> None:
    with pytest.raises(ReelyardError) as refused:
        check_damage_allowed(profile)

    assert (refused.value.code, str(refused.value).find(message) >= 0) == (ErrorCode.VALIDATION_FAILED, True)
    check_damage_allowed(PACKAGED)


@pytest.mark.parametrize("is_wanted", [True, False])
def test_the_analysis_keeps_it_for_what_is_planned_after_it(is_wanted: bool) -> None:
    frame = Frame("job_1", "default", 5, 1.0, ("a", "b", "c"), allows_damage=is_wanted)
    tasks = first_tasks(frame, PACKAGED.model_dump_json(), InputLimits(), Demands((), ()))

    plans = plan_job(PACKAGED, FILM, lambda _: True, beside=Beside(allows_damage=allows_damage(tasks)))

    assert isinstance(plans, dict)
    encode, package = (plans[kind] for kind in (TaskKind.TRANSCODE, TaskKind.PACKAGE))
    assert isinstance(encode, Planned)
    assert isinstance(package, Planned)
    assert isinstance(encode.recipe, TranscodeRecipe)
    assert isinstance(package.recipe, PackageRecipe)
    assert (encode.recipe.allows_damage, package.recipe.allows_damage) == (is_wanted, is_wanted)


def test_recipes_of_the_version_before_are_read_and_take_no_damage() -> None:
    tasks = submitted().tasks
    old = (tasks[0].recipe_json or "").replace(',"allows_damage":false', "")

    assert "allows_damage" not in old
    assert not allows_damage((replace(tasks[0], recipe_json=old), *tasks[1:]))


def test_what_ends_early_is_told_with_both_lengths() -> None:
    found = lengths("12", "11.9")

    with pytest.raises(Rejected, match=r"should end at 20\.00 s, but decodes to 12\.00 s"):
        hold(FILM, found)
    assert hold(FILM, found, allows_damage=True) == (
        "The picture should end at 20.00 s, but decodes to 12.00 s: the file is damaged or incomplete.",
        "The sound should end at 20.00 s, but decodes to 11.90 s: the file is damaged or incomplete.",
    )
    assert hold(FILM, lengths("20", "20"), allows_damage=True) == ()
    assert expected_ends(as_made(FILM, found)) == (Fraction(12), Fraction("11.9"))


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (lengths("12", "12", playlist="11"), ErrorCode.OUTPUT_INVALID),
        (lengths("12", "0"), ErrorCode.INPUT_CORRUPT),
        (lengths("32", "20"), ErrorCode.INPUT_CORRUPT),
    ],
    ids=["outputs differ", "one is empty", "one ran into the cap"],
)
def test_outputs_are_held_against_each_other_all_the_same(found: Lengths, code: ErrorCode) -> None:
    with pytest.raises(Rejected) as rejected:
        hold(FILM, found, allows_damage=True)

    assert rejected.value.code is code


def test_the_index_of_a_sheet_ends_with_the_film_that_there_is() -> None:
    sheet = PlannedSprite(interval="2", count=5, columns=5, width=160, height=90, path="t/sprite.jpg", index="t/sprite.vtt")

    told = [line for line in stills.index(sheet, Fraction(5)).splitlines() if "-->" in line]

    assert told == [
        "00:00:00.000 --> 00:00:02.000",
        "00:00:02.000 --> 00:00:04.000",
        "00:00:04.000 --> 00:00:05.000",
    ]


def test_a_strict_look_warns_and_proves_the_beginning_besides() -> None:
    work = Work(STRICT, (VALIDATE_VIDEO,), "/work", threads=1, input_path="/in")
    plan = examining.plan("ffmpeg", "ffprobe", work, STRICT)
    ended = Outcome(next(one for one in plan if one.name == WHOLE), 183, b"", "[error] bad", wall_seconds=1.0, cpu_seconds=1.0)
    begun = replace(ended, invocation=Invocation(name=FIRST_FRAMES, argv=("ffmpeg",)))

    assert [one.name for one in plan] == [PROBE, FIRST_FRAMES, WHOLE]
    assert warnings(STRICT, FILM, {WHOLE: ended}) == (integrity.FAULT,)
    assert warnings(STRICT.model_copy(update={"allows_damage": False}), FILM, {WHOLE: ended}) == ()
    assert examining.judge(work, STRICT, ended) is None
    assert examining.judge(work, STRICT, begun) is not None
    assert examining.judge(work, STRICT.model_copy(update={"allows_damage": False}), ended) is not None
