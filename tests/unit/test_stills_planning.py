"""What is planned of single pictures, sprites and subtitles: names, moments, sizes, and what is left out with its reason."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dispatch.core import profile_rules
from dispatch.core.followers import plan_job
from dispatch.core.ladder import plan_transcode
from dispatch.core.picturing import shown
from dispatch.core.planning import task_kinds
from dispatch.core.plans import AttachedText, Beside, Film, Planned
from dispatch.core.texts import beside
from protocol.errors import ReelyardError
from protocol.extras import Frames, Sprite, Subtitles, TextFormat, Thumbnails
from protocol.media import Chapter, MediaFacts, SubtitleStream
from protocol.pictures import BurnIn, Clip, Picture
from protocol.profiles import Profile
from protocol.recipes import PlannedSprite, PlannedSubtitle, TranscodeRecipe
from protocol.results import Failure
from protocol.states import StepState, TaskKind
from tests.unit.dispatch_jobs import WEB, make_job, video

FILM = video(1920, 1080, duration="20")
TEXTS = (
    SubtitleStream(index=2, codec="subrip", language="eng"),
    SubtitleStream(index=3, codec="subrip", language="en"),
    SubtitleStream(index=4, codec="mov_text", language="ger", is_forced=True),
    SubtitleStream(index=5, codec="hdmv_pgs_subtitle", language="fra", is_text=False),
    SubtitleStream(index=6, codec="ass"),
)


def profile(**parts: object) -> Profile:
    return WEB.model_copy(update={"thumbnails": None, "audio": None, **parts})


def planned(profile: Profile, facts: MediaFacts = FILM, beside: Beside | None = None) -> Planned[TranscodeRecipe]:
    film = shown(Film(profile, facts, beside=beside or Beside()))
    assert isinstance(film, Film)
    made = plan_transcode(film)
    assert isinstance(made, Planned)
    return made


def test_pictures_are_named_by_percent_and_by_second() -> None:
    wanted = Thumbnails(percents=(0, 50, 100), seconds=(12.5, 0.04, 3, 3.0))

    shots = planned(profile(thumbnails=wanted)).recipe.thumbnails

    assert [(shot.percent, shot.at, shot.path.removeprefix("thumbnails/")) for shot in shots] == [
        (0, "0", "thumb_00.jpg"),
        (50, "10", "thumb_50.jpg"),
        (100, "20", "thumb_100.jpg"),
        (None, "1/25", "thumb_at_40ms.jpg"),
        (None, "3", "thumb_at_3000ms.jpg"),
        (None, "25/2", "thumb_at_12500ms.jpg"),
    ]


def test_a_second_past_the_end_is_left_out_and_said() -> None:
    recipe = planned(profile(thumbnails=Thumbnails(percents=(25,), seconds=(19.9, 20, 99)))).recipe

    assert [shot.at for shot in recipe.thumbnails] == ["5", "199/10"]
    assert recipe.notes == ("There is no thumbnail at 20 s, 99 s: the film ends at 20.000 s.",)


def test_seconds_count_from_the_start_of_a_clip() -> None:
    recipe = planned(profile(clip=Clip(start=5, end=8), thumbnails=Thumbnails(percents=(100, 25), seconds=(4,)))).recipe

    assert [shot.at for shot in recipe.thumbnails] == ["3/4", "3"]
    assert recipe.notes == ("There is no thumbnail at 4 s: the film ends at 3.000 s.",)


SHEETS = [
    (Sprite(), "20", ("10", 2, 2, 160, 90)),
    (Sprite(interval_seconds=0.5), "20", ("1/2", 40, 10, 160, 90)),
    (Sprite(interval_seconds=0.5, most=7), "20", ("1429/500", 7, 7, 160, 90)),
    (Sprite(interval_seconds=10, columns=3, width=101), "86400", ("864", 100, 3, 100, 56)),
    (Sprite(interval_seconds=600, columns=1), "1", ("600", 1, 1, 160, 90)),
    (Sprite(interval_seconds=1, columns=1, most=200, width=480), "200", ("1", 200, 4, 480, 270)),
]


@pytest.mark.parametrize(("wanted", "duration", "expected"), SHEETS)
def test_a_sheet_holds_no_more_than_it_may_and_browsers_show(
    wanted: Sprite, duration: str, expected: tuple[str, int, int, int, int]
) -> None:
    sheet = planned(profile(sprite=wanted), video(1920, 1080, duration=duration)).recipe.sprite

    assert sheet is not None
    assert (sheet.interval, sheet.count, sheet.columns, sheet.width, sheet.height) == expected
    assert Fraction(sheet.interval) * sheet.count >= Fraction(duration) - Fraction(2, 25)
    assert -(-sheet.count // sheet.columns) * sheet.height <= 16_384


def test_tiles_have_the_shape_of_what_is_shown() -> None:
    turned = profile(sprite=Sprite(width=100), picture=Picture(rotate=90), renditions=())

    assert planned(turned).recipe.sprite == PlannedSprite(
        interval="10",
        count=2,
        columns=2,
        width=100,
        height=178,
        path="thumbnails/sprite.jpg",
        index="thumbnails/sprite.vtt",
    )


def test_subtitles_are_named_by_language_and_the_clients_come_first() -> None:
    facts = FILM.model_copy(update={"subtitles": TEXTS})
    sent = Beside(texts=(AttachedText("mine", "deu"), AttachedText("other", "eng")))

    recipe = planned(profile(subtitles=Subtitles(), clip=Clip(start=2)), facts, sent).recipe

    assert [(one.name, one.attachment, one.stream, one.language, one.offset) for one in recipe.subtitles] == [
        ("de", "attachment-mine", None, "de", "2"),
        ("en", "attachment-other", None, "en", "2"),
        ("en-2", None, 2, "en", "2"),
        ("en-3", None, 3, "en", "2"),
        ("de-forced", None, 4, "de", "2"),
        ("und", None, 6, None, "2"),
    ]
    assert recipe.subtitles[4].paths == {TextFormat.SRT: "subtitles/de-forced.srt", TextFormat.VTT: "subtitles/de-forced.vtt"}
    assert recipe.notes == ("Subtitles that are pictures of text are not taken (fr): they cannot be converted.",)


def test_only_the_languages_that_are_wanted_are_taken_by_any_of_their_codes() -> None:
    facts = FILM.model_copy(update={"subtitles": TEXTS})
    wanted = Subtitles(languages=("de",), formats=(TextFormat.VTT,))

    recipe = planned(profile(subtitles=wanted), facts).recipe

    name = PlannedSubtitle(
        name="de-forced", stream=4, language="de", is_forced=True, paths={TextFormat.VTT: "subtitles/de-forced.vtt"}
    )
    assert (recipe.subtitles, recipe.notes) == ((name,), ())


@pytest.mark.parametrize(
    ("formats", "clip", "expected"),
    [
        ((TextFormat.VTT,), None, "subtitles/chapters.vtt"),
        ((TextFormat.SRT,), None, None),
        ((TextFormat.VTT,), Clip(start=13), None),
    ],
)
def test_chapters_of_the_timeline_go_beside_the_subtitles(
    formats: tuple[TextFormat, ...], clip: Clip | None, expected: str | None
) -> None:
    facts = FILM.model_copy(update={"chapters": (Chapter(start="0", end="12", title="One"),)})

    assert planned(profile(subtitles=Subtitles(formats=formats), clip=clip), facts).recipe.chapters == expected


def test_without_any_the_step_is_skipped_with_its_reason() -> None:
    steps = {step.name: (step.state, step.reason) for step in planned(profile(subtitles=Subtitles())).steps}

    reason = "the source has no text tracks that are wanted, and no subtitles came with the job"
    assert steps["extract_subtitles"] == (StepState.SKIPPED, reason)


def test_what_is_burnt_in_is_no_file_of_its_own() -> None:
    file = '{{"path":"p","size":1,"filename":"{0}.srt","use":"text","language":"en"}}'
    told = f'{{"drawn":{file.format("drawn")},"read":{file.format("read")}}}'
    wanted = profile(burn_in=BurnIn(attachment="drawn"), subtitles=Subtitles())
    job = make_job(wanted, attachments_json=told, thumbnail_json="{}")

    assert beside(job, wanted) == Beside(has_thumbnail=True, texts=(AttachedText("read", "en"),))


@pytest.mark.parametrize(("wanted", "is_planned"), [(Frames(fps=1), True), (None, True)])
def test_a_picture_of_the_clients_own_is_always_encoded_anew(wanted: Frames | None, is_planned: bool) -> None:
    only = profile(renditions=(), hls=None, frames=wanted, subtitles=None if wanted else Subtitles())
    plans = plan_job(only, FILM, lambda plan: True, beside=Beside(has_thumbnail=True))
    assert not isinstance(plans, Failure)
    plan = plans[TaskKind.TRANSCODE]

    assert TaskKind.TRANSCODE in task_kinds(only, has_thumbnail=True)
    assert isinstance(plan, Planned) is is_planned
    assert isinstance(plan, Planned)
    assert isinstance(plan.recipe, TranscodeRecipe)
    assert plan.recipe.own_thumbnail == "thumbnails/thumb_custom.jpg"


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Thumbnails(percents=(), seconds=()), "nothing would be made: give percents or seconds"),
        (Thumbnails(percents=(0, 50)), "primary_percent must be one of percents"),
    ],
)
def test_thumbnails_that_cannot_be_are_refused(wanted: Thumbnails, problem: str) -> None:
    with pytest.raises(ReelyardError, match=problem):
        profile_rules.check_whole(profile(thumbnails=wanted))


def test_a_rendition_is_not_called_as_another_output_is() -> None:
    named = WEB.renditions[0].model_copy(update={"name": "sprite"})

    with pytest.raises(ReelyardError, match="the name sprite is that of another output"):
        profile_rules.check_whole(profile(renditions=(named,)))


def test_thumbnails_by_second_alone_need_no_primary_one() -> None:
    profile_rules.check_whole(profile(thumbnails=Thumbnails(percents=(), seconds=(1,))))
