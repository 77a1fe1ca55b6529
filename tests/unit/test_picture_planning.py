"""The timeline that clips, crops, turns, shapes and several inputs make, and what of it cannot be."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.core.feeding import brought_names
from dispatch.core.followers import plan_job
from dispatch.core.ladder import plan_renditions, plan_transcode
from dispatch.core.picturing import shown
from dispatch.core.planning import Demands, Frame, first_tasks
from dispatch.core.plans import Film, Planned
from protocol.encoding import Hdr, VideoCodec
from protocol.errors import ErrorCode
from protocol.media import AudioStream, Chapter, Colour, MediaFacts, SubtitleStream
from protocol.pictures import BurnIn, Clip, Crop, Picture, Watermark
from protocol.profiles import Profile, Rendition
from protocol.recipes import AnalyzeRecipe, Cut, InputLimits, PlannedBurnIn, PlannedOverlay, TranscodeRecipe
from protocol.results import Failure, Measured
from protocol.states import TaskKind
from tests.unit.dispatch_jobs import NOW, WEB, video

SMALL = Rendition(name="180p", height=180, crf=23)


def profile(**parts: Any) -> Profile:
    return Profile(name="made", renditions=(SMALL,), **parts)


def film(facts: MediaFacts | None = None, measured: Measured | None = None, **parts: Any) -> Film:
    made = shown(Film(profile(**parts), facts or video(640, 360), measured))
    assert isinstance(made, Film), made
    return made


def refusal(facts: MediaFacts | None = None, **parts: Any) -> Failure:
    made = shown(Film(profile(**parts), facts or video(640, 360)))
    assert isinstance(made, Failure)
    return made


def size(made: Film) -> tuple[int, int]:
    assert made.facts.video is not None
    return made.facts.video.width, made.facts.video.height


def test_a_film_of_which_nothing_is_asked_stays_as_it_is() -> None:
    facts = video(1279, 719)

    assert shown(Film(WEB, facts)) == Film(WEB, facts)


@pytest.mark.parametrize(
    ("picture", "made"),
    [
        (Picture(), (640, 360)),
        (Picture(rotate=90), (360, 640)),
        (Picture(rotate=180), (640, 360)),
        (Picture(crop=Crop(left=101, top=3)), (540, 358)),
        (Picture(crop=Crop(left=80, right=80), pad_to="16:9"), (640, 360)),
        (Picture(pad_to="1:1"), (640, 640)),
        (Picture(pad_to="4:3", rotate=270), (854, 640)),
        (Picture(crop=Crop(top=60, bottom=60), rotate=90, pad_to="9:16"), (360, 640)),
    ],
)
def test_sizes_follow_from_what_is_done_to_the_picture(picture: Picture, made: tuple[int, int]) -> None:
    assert size(film(picture=picture)) == made


def test_black_bars_count_where_they_take_more_than_was_asked_for() -> None:
    wanted = Picture(crop=Crop(left=20, top=10), crop_black=True)
    measured = Measured(crop=Crop(top=40, bottom=40))

    assert film(picture=wanted).picture.crop == Crop(left=20, top=10)
    assert film(picture=wanted, measured=measured).picture.crop == Crop(left=20, top=40, bottom=40)
    assert film(picture=Picture(), measured=measured).picture.crop is None


def test_a_rung_that_the_crop_leaves_no_room_for_is_left_out() -> None:
    wanted = Profile(
        name="two", renditions=(SMALL, Rendition(name="360p", height=360, crf=23)), picture=Picture(crop=Crop(top=100))
    )
    made = shown(Film(wanted, video(640, 360)))
    assert isinstance(made, Film)
    ladder = plan_renditions(made)

    assert not isinstance(ladder, Failure)
    assert [(one.rendition.name, one.width, one.height) for one in ladder] == [("180p", 444, 180)]


@given(
    st.tuples(st.integers(16, 4000), st.integers(16, 4000)),
    st.builds(Crop, left=st.integers(0, 900), right=st.integers(0, 900), top=st.integers(0, 900), bottom=st.integers(0, 900)),
    st.sampled_from([0, 90, 180, 270]),
    st.sampled_from([None, "16:9", "1:1", "9:16", "21:9"]),
)
def test_what_is_made_is_even_and_holds_all_that_is_left(
    source: tuple[int, int], crop: Crop, rotate: Any, pad: str | None
) -> None:
    wanted = profile(picture=Picture(crop=crop, rotate=rotate, pad_to=pad))
    made = shown(Film(wanted, video(*source)))
    left = source[0] - crop.left - crop.right, source[1] - crop.top - crop.bottom
    if isinstance(made, Failure):
        assert made.code in (ErrorCode.INPUT_TOO_SMALL, ErrorCode.INPUT_LIMITS)
        assert min(left) < 18 or made.code is ErrorCode.INPUT_LIMITS
        return
    width, height = size(made) if rotate in (0, 180) else size(made)[::-1]

    assert width >= left[0] - 2
    assert height >= left[1] - 2
    if crop != Crop() or pad is not None:
        assert (width % 2, height % 2) == (0, 0)


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (Picture(crop=Crop(left=400, right=240)), ErrorCode.INPUT_TOO_SMALL),
        (Picture(crop=Crop(top=8000)), ErrorCode.INPUT_TOO_SMALL),
        (Picture(pad_to="99:1"), ErrorCode.INPUT_LIMITS),
    ],
)
def test_pictures_that_cannot_be_are_refused(picture: Picture, code: ErrorCode) -> None:
    assert refusal(picture=picture).code is code


def test_a_clip_is_a_film_of_its_own() -> None:
    facts = video(640, 360).model_copy(
        update={
            "chapters": (
                Chapter(start="0", end="4", title="a"),
                Chapter(start="4", end="9", title="b"),
                Chapter(start="9", end="20", title="c"),
            )
        }
    )
    made = film(facts, clip=Clip(start=5.25, end=10))

    assert (made.cut, made.facts.duration) == (Cut(start="21/4", end="10"), "19/4")
    assert made.facts.chapters == (Chapter(start="0", end="15/4", title="b"), Chapter(start="15/4", end="19/4", title="c"))
    assert made.facts.video is not None
    assert (made.facts.video.start, made.facts.video.duration) == ("0", "19/4")


def test_streams_that_begin_late_begin_late_in_a_clip_or_are_not_there() -> None:
    facts = video(640, 360)
    early, late = (
        AudioStream(index=n, codec="aac", channels=2, sample_rate=48_000, start=start, duration=duration)
        for n, start, duration in ((1, "0", "3"), (2, "6", "14"))
    )
    made = film(facts.model_copy(update={"audio": (early, late)}), clip=Clip(start=5))

    assert [(one.index, one.start, one.duration) for one in made.facts.audio] == [(2, "1", "14")]


@pytest.mark.parametrize("clip", [Clip(start=20), Clip(start=3, end=20.2), Clip(start=19.95)])
def test_a_clip_beyond_the_film_is_refused(clip: Clip) -> None:
    assert refusal(clip=clip).code is ErrorCode.INPUT_CLIP


def test_a_clip_of_the_whole_is_none() -> None:
    assert film(clip=Clip(start=0, end=20.05)) == film().__class__(profile(clip=Clip(start=0, end=20.05)), video(640, 360))


# --- several inputs


def joined(*names: str, **parts: Any) -> Film:
    """The input: 20 s of 640x360; `intro`: 4.5 s of 320x240 without sound; `late`: 10 s in 5.1 sound, two tracks."""
    intro = video(320, 240, duration="9/2", rate="30", audio=False)
    late = video(1280, 720, duration="10").model_copy(
        update={"chapters": (Chapter(start="1", end="12", title="x"),), "subtitles": (SubtitleStream(index=3, codec="srt"),)}
    )
    facts = video(640, 360).model_copy(update={"parts": {"attachment-intro": intro, "attachment-late": late}})
    return film(facts, concat=names, **parts)


def test_parts_are_one_film_of_the_input_s_size() -> None:
    made = joined("intro", "input", "late")

    assert [(part.attachment, part.start, part.length) for part in made.parts] == [
        ("attachment-intro", "0", "9/2"),
        (None, "0", "20"),
        ("attachment-late", "0", "10"),
    ]
    assert made.facts.video is not None
    assert (size(made), made.facts.duration, made.facts.video.duration) == ((640, 360), "69/2", "69/2")
    assert made.facts.video.frame_rate == "25"
    assert [(one.index, one.duration, one.sample_rate) for one in made.facts.audio] == [(1, "69/2", 48_000)]
    assert made.facts.chapters == (Chapter(start="51/2", end="69/2", title="x"),)
    assert made.facts.subtitles == ()


def test_parts_without_the_input_take_the_first_one_s_size() -> None:
    made = joined("late", "intro")

    assert (size(made), made.facts.duration) == ((1280, 720), "29/2")


def test_a_clip_of_parts_is_cut_out_of_each() -> None:
    made = joined("intro", "input", "late", clip=Clip(start=4, end=8))

    assert made.cut is None
    assert [(part.attachment, part.start, part.length) for part in made.parts] == [
        ("attachment-intro", "4", "1/2"),
        (None, "0", "7/2"),
    ]
    assert sum(Fraction(part.length or 0) for part in made.parts) == Fraction(made.facts.duration) == 4


def test_the_input_alone_is_no_film_of_parts() -> None:
    assert joined("input").parts == ()


def test_a_part_without_a_picture_is_refused_by_its_name() -> None:
    sound = video(640, 360).model_copy(update={"video": None})
    facts = video(640, 360).model_copy(update={"parts": {"attachment-radio": sound}})

    assert refusal(facts, concat=("input", "radio")).message == "part radio has no picture, and other parts have one"


def test_a_part_that_was_not_looked_at_is_refused() -> None:
    assert refusal(concat=("input", "other")).code is ErrorCode.INPUT_NOT_FOUND


def test_analysis_is_told_of_every_part_once() -> None:
    wanted = profile(concat=("a", "input", "b", "a"))
    task = first_tasks(Frame("job", "tenant", 5, NOW, ("t1", "t2")), wanted.model_dump_json(), InputLimits(), Demands((), ()))[0]
    recipe = AnalyzeRecipe.model_validate_json(task.recipe_json or "")

    assert recipe.parts == ("attachment-a", "attachment-b")
    assert brought_names(recipe) == {"attachment-a", "attachment-b"}


# --- what is laid over


def test_marks_and_words_are_planned_with_their_files() -> None:
    mark = Watermark(attachment="logo")
    made = film(watermark=mark, burn_in=BurnIn(attachment="words"), clip=Clip(start=2)).picture

    assert made.overlay == PlannedOverlay(watermark=mark, attachment="attachment-logo")
    assert made.burn_in == PlannedBurnIn(attachment="attachment-words", offset="2")


def test_subtitles_of_the_film_are_found_by_any_code_of_their_language() -> None:
    tracks = (
        SubtitleStream(index=2, codec="hdmv_pgs_subtitle", language="deu", is_text=False),
        SubtitleStream(index=3, codec="subrip", language="ger", is_forced=True),
        SubtitleStream(index=4, codec="ass", language="ger"),
    )
    facts = video(640, 360).model_copy(update={"subtitles": tracks})

    assert film(facts, burn_in=BurnIn(language="de")).picture.burn_in == PlannedBurnIn(stream=4)
    assert refusal(facts, burn_in=BurnIn(language="fr")).code is ErrorCode.INPUT_FORMAT


def test_what_is_laid_over_is_not_laid_over_hdr() -> None:
    kept = Rendition(name="hdr", height=360, codec=VideoCodec.HEVC, crf=20, bit_depth=10, hdr=Hdr.KEEP)
    facts = video(640, 360)
    assert facts.video is not None
    bright = facts.model_copy(update={"video": facts.video.model_copy(update={"is_hdr": True})})
    ladders = [
        plan_renditions(Film(Profile(name="x", renditions=(kept,), watermark=mark), bright)) for mark in (None, Watermark())
    ]

    assert [ladder if isinstance(ladder, Failure) else ladder[0].keeps_hdr for ladder in ladders] == [True, False]


def test_a_job_is_planned_by_its_timeline() -> None:
    plans = plan_job(profile(clip=Clip(start=5, end=10), picture=Picture(rotate=90)), video(640, 360), lambda plan: False)
    assert not isinstance(plans, Failure)
    plan = plans[TaskKind.TRANSCODE]
    assert isinstance(plan, Planned)
    assert isinstance(plan.recipe, TranscodeRecipe)

    assert (plan.recipe.source.duration, plan.recipe.cut) == ("5", Cut(start="5", end="10"))
    assert [(one.width, one.height) for one in plan.recipe.renditions] == [(102, 180)]


def test_a_job_that_cannot_be_is_refused_when_it_is_planned() -> None:
    made = plan_job(profile(clip=Clip(start=50)), video(640, 360), lambda plan: False)

    assert isinstance(made, Failure)
    assert made.code is ErrorCode.INPUT_CLIP


def test_recipes_of_an_older_version_are_read() -> None:
    made = plan_transcode(Film(profile(), video(640, 360)))
    assert isinstance(made, Planned)
    old = made.recipe.model_dump(mode="json", exclude={"parts", "cut", "picture"})

    assert TranscodeRecipe.model_validate(old, strict=False) == made.recipe


@pytest.mark.parametrize(
    ("colour", "parts", "needed"),
    [
        (Colour(), {}, set()),
        (Colour(primaries="bt709", matrix="bt709"), {}, set()),
        (Colour(matrix="smpte170m"), {}, {"filter:zscale"}),
        (Colour(primaries="bt2020"), {}, {"filter:zscale"}),
        (Colour(), {"burn_in": BurnIn(attachment="words")}, {"filter:ass"}),
        (Colour(), {"concat": ("input", "more")}, {"filter:zscale"}),
    ],
)
def test_engines_must_have_proven_what_a_picture_needs(colour: Colour, parts: dict[str, Any], needed: set[str]) -> None:
    facts = video(640, 360)
    assert facts.video is not None
    told = facts.model_copy(update={"video": facts.video.model_copy(update={"colour": colour})})
    made = plan_transcode(film(told.model_copy(update={"parts": {"attachment-more": told}}), **parts))
    assert isinstance(made, Planned)

    assert {need for need in made.needs if need.startswith("filter:")} == needed
