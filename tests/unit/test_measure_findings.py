"""What FFmpeg says of a film, read: bars, black, silence, cuts, loudness, and which of two settings is smaller."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.ffmpeg.measuring import bars, comparing, content, loudness
from plugins.ffmpeg.measuring.subject import Subject
from protocol.extras import ContentAnalysis
from protocol.media import MediaFacts
from protocol.pictures import Crop
from protocol.recipes import Cut, MeasureRecipe, SourcePart
from protocol.sounds import TrackLoudness
from tests.unit.dispatch_jobs import video

FILM = video(1920, 1080, duration="20")
BAR = (1920, 800, 0, 140)
LOUD = """\
[info]     title           : [loudnorm@t7 @ 0x1] [info]
[loudnorm@t1 @ 0x7f] [info]
{
	"input_i" : "-21.80",
	"input_tp" : "-17.65",
	"input_lra" : "3.10",
	"input_thresh" : "-31.80",
	"output_i" : "-23.01",
	"normalization_type" : "linear",
	"target_offset" : "0.01"
}
[loudnorm@t2 @ 0x7f] [info]
{
	"input_i" : "-inf",
	"input_tp" : "-inf",
	"input_lra" : "0.00",
	"input_thresh" : "-70.00",
	"target_offset" : "inf"
}
[loudnorm@t3 @ 0x7f] [info]
{ "input_i" : nonsense }
"""


def subject(source: MediaFacts = FILM, **parts: Any) -> Subject:
    recipe = MeasureRecipe(source=source, content=ContentAnalysis(), **parts)
    return Subject(recipe, "ffmpeg", 1, "/own", {"attachment-more": "/more"})


def test_bars_are_what_most_pictures_agree_on() -> None:
    assert bars.decide([BAR, BAR, BAR, (1900, 700, 10, 200)], 1920, 1080) == Crop(top=140, bottom=140)


def test_a_film_whose_pictures_do_not_agree_has_no_bars() -> None:
    boxes = [(1920, 1080 - 2 * n, 0, n) for n in range(20, 30)]

    assert bars.decide(boxes, 1920, 1080) is None


def test_black_pictures_tell_nothing_of_bars() -> None:
    assert bars.decide([(-1916, -1076, 1918, 1078)] * 9 + [BAR], 1920, 1080) == Crop(top=140, bottom=140)
    assert bars.decide([(-1916, -1076, 1918, 1078)], 1920, 1080) is None


@pytest.mark.parametrize("box", [(1920, 1080, 0, 0), (1918, 1078, 2, 2)])
def test_a_picture_without_bars_or_with_a_seam_is_left_alone(box: tuple[int, int, int, int]) -> None:
    assert bars.decide([box] * 5, 1920, 1080) is None


@given(left=st.integers(0, 400), right=st.integers(0, 400), top=st.integers(0, 300), bottom=st.integers(0, 300))
def test_a_crop_is_even_and_takes_nothing_that_is_not_black(left: int, right: int, top: int, bottom: int) -> None:
    found = bars.decide([(1920 - left - right, 1080 - top - bottom, left, top)] * 3, 1920, 1080) or Crop()

    assert (found.left % 2, found.right % 2, found.top % 2, found.bottom % 2) == (0, 0, 0, 0)
    assert (found.left <= left, found.right <= right, found.top <= top, found.bottom <= bottom) == (True,) * 4


def test_keyframes_are_enough_of_a_long_film_that_is_taken_from_its_start() -> None:
    long = video(1920, 1080, duration="100")
    whole, cut = (subject(long, finds_crop=True, cut=one) for one in (None, Cut(start="5", end="95")))

    assert ["nokey" in bars.invocations(one)[0].argv for one in (whole, cut)] == [True, False]


def test_boxes_are_read_from_what_cropdetect_noted() -> None:
    said = b"frame:0 pts:0 pts_time:0\n" + b"".join(
        b"lavfi.cropdetect.%s=%d\n" % (name, value) for name, value in zip((b"w", b"h", b"x", b"y"), BAR, strict=True)
    )

    assert bars.boxes(said) == [BAR]


def test_an_interval_without_an_end_lasts_until_the_film_is_over() -> None:
    told = [("black_start", 0.02), ("black_end", 1.0), ("black_start", 18.5)]

    assert content.intervals(told, "black", Fraction(0), Fraction(20)) == [(0.0, 1.0), (18.5, 20.0)]


def test_what_goes_on_in_the_next_part_is_one_interval() -> None:
    film = subject(
        video(1920, 1080, duration="30"),
        parts=(
            SourcePart(facts=FILM, start="5", length="15"),
            SourcePart(facts=FILM, attachment="attachment-more", length="15"),
        ),
    )
    told = {
        "content-told:0:black": b"lavfi.black_start=14\n",
        "content-told:1:black": b"lavfi.black_start=0\nlavfi.black_end=2.5\n",
        "content-told:1:scenes": b"lavfi.scd.mafd=9\nlavfi.scd.score=35.31\nlavfi.scd.time=3.2\n",
    }

    found = json.loads(content.report(film, told))

    assert [(part.path, int(part.start), int(part.begins)) for part in film.stretches] == [("/own", 5, 0), ("/more", 0, 15)]
    assert found == {
        "version": 1,
        "duration_seconds": 30.0,
        "scenes": [{"at": 18.2, "score": 35.31}],
        "black": [{"start": 14.0, "end": 17.5}],
        "silence": [],
        "chapters": [],
    }


def test_a_cut_is_looked_at_from_its_start_and_told_from_nought() -> None:
    film = subject(FILM, cut=Cut(start="5", end="15"))

    (looking, *_) = content.invocations(film)

    graph = looking.argv[looking.argv.index("-filter_complex") + 1]
    assert "trim=start=5.000000:end=15.000000,setpts=PTS-5.000000/TB" in graph
    assert "atrim=start=5.000000:end=15.000000,asetpts=PTS-5.000000/TB" in graph


def test_only_what_is_asked_for_and_there_is_looked_for() -> None:
    silent = video(1920, 1080, audio=False)

    asked = subject(silent).recipe.model_copy(update={"content": ContentAnalysis(scenes=False, black=False)})

    assert content.invocations(Subject(asked, "ffmpeg", 1, "/own", {})) == ()


def test_loudness_is_read_by_track_and_silence_has_none() -> None:
    heard = TrackLoudness(integrated=-21.8, true_peak=-17.65, range=3.1, threshold=-31.8, offset=0.01)

    assert loudness.read(LOUD) == {1: heard}


def setting(name: str, size: int, vmaf: float | None) -> dict[str, Any]:
    return {"name": name, "size_bytes": size, "vmaf": vmaf}


@pytest.mark.parametrize(
    ("one", "other", "smaller"),
    [
        ((100, 93.0), (80, 93.3), "b"),
        ((100, 93.0), (80, 95.0), "b"),
        ((100, 95.0), (80, 93.0), None),
        ((100, 93.2), (80, 93.0), "b"),
        ((80, None), (100, 93.0), None),
    ],
)
def test_the_smaller_of_two_settings_is_told_where_the_files_show_it(one: Any, other: Any, smaller: str | None) -> None:
    told = comparing.pair(setting("a", *one), setting("b", *other))

    assert (told["between"], told["smaller_at_equal_quality"]) == (["a", "b"], smaller)
