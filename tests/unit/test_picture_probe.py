"""What a file tells of colours, words and chapters: data of strangers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.ffmpeg.limits import problem_of
from plugins.media import colours, texts
from plugins.media.probe import facts_of
from protocol.errors import ErrorCode
from protocol.media import Chapter, Colour, MasteringDisplay, MediaFacts, SubtitleStream
from protocol.recipes import InputLimits

DISPLAY = {
    "side_data_type": "Mastering display metadata",
    "red_x": "34000/50000",
    "red_y": "16000/50000",
    "green_x": "13250/50000",
    "green_y": "34500/50000",
    "blue_x": "7500/50000",
    "blue_y": "3000/50000",
    "white_point_x": "15635/50000",
    "white_point_y": "16450/50000",
    "min_luminance": "1/10000",
    "max_luminance": "10000000/10000",
}
LIGHT = {"side_data_type": "Content light level metadata", "max_content": 1000, "max_average": 400}
MASTERING = MasteringDisplay(
    red=(34000, 16000),
    green=(13250, 34500),
    blue=(7500, 3000),
    white=(15635, 16450),
    luminance=(1, 10_000_000),
    max_content=1000,
    max_average=400,
)


def document(video: dict[str, Any] | None = None, **more: Any) -> bytes:
    picture = {
        "index": 0,
        "codec_type": "video",
        "codec_name": "hevc",
        "width": 1920,
        "height": 1080,
        "r_frame_rate": "25/1",
        "avg_frame_rate": "25/1",
        **(video or {}),
    }
    streams = [picture, *more.pop("streams", [])]
    return json.dumps({"streams": streams, "format": {"duration": "10", "start_time": "1.0"}, **more}).encode()


def facts(video: dict[str, Any] | None = None, **more: Any) -> MediaFacts:
    return facts_of(document(video, **more), 1000)


def test_hdr10_is_known_by_its_colours_and_light() -> None:
    told = {"color_primaries": "bt2020", "color_transfer": "smpte2084", "color_space": "bt2020nc", "color_range": "tv"}
    video = facts({**told, "side_data_list": [DISPLAY, LIGHT]}).video

    assert video is not None
    assert (video.is_hdr, video.mastering) == (True, MASTERING)
    assert video.colour == Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv")


def test_light_levels_of_a_first_frame_count_too() -> None:
    found = colours.mastering_of_frame(json.dumps({"frames": [{"side_data_list": [DISPLAY]}]}).encode())

    assert found == MASTERING.model_copy(update={"max_content": None, "max_average": None})
    assert colours.mastering_of_frame(b"{") is None


@pytest.mark.parametrize(
    "broken",
    [{"red_x": "9/0"}, {"white_point_y": "-1/2"}, {"blue_x": "3/2"}, {"max_luminance": "0/1"}, {"min_luminance": "9999999999"}],
)
def test_a_display_that_cannot_be_is_none(broken: dict[str, str]) -> None:
    assert colours.mastering([{**DISPLAY, **broken}, LIGHT]) is None


@pytest.mark.parametrize("word", ["unknown", "reserved", "bt709;[0:v]null", "BT709", "x" * 33, 709, None, ["bt709"]])
def test_words_for_colours_are_words(word: object) -> None:
    assert colours.colour({"color_space": word}) == Colour()


@given(st.text())
def test_titles_are_short_and_have_nothing_that_controls(text: str) -> None:
    cleaned = texts.clean(text)

    assert len(cleaned) <= texts.MOST_CHARACTERS
    assert cleaned == cleaned.strip()
    assert cleaned.isprintable() or not cleaned.isascii()


def test_a_title_keeps_its_letters_and_loses_its_tricks() -> None:
    assert texts.clean("  Tön\x1b[2J\u202egnp.exe\n ") == "Tön[2Jgnp.exe"


def test_subtitles_and_sounds_are_told_with_what_they_say_of_themselves() -> None:
    words = {"index": 2, "codec_type": "subtitle", "codec_name": "subrip", "tags": {"language": "ger", "title": "Für alle"}}
    pictures = {"index": 3, "codec_type": "subtitle", "codec_name": "hdmv_pgs_subtitle", "disposition": {"forced": 1}}
    sound = {
        "index": 1,
        "codec_type": "audio",
        "codec_name": "ac3",
        "channels": 6,
        "sample_rate": "48000",
        "channel_layout": "5.1(side)",
        "disposition": {"default": 1},
        "tags": {"title": "Original"},
    }
    found = facts(streams=[sound, words, pictures])

    assert found.subtitles == (
        SubtitleStream(index=2, codec="subrip", language="ger", title="Für alle"),
        SubtitleStream(index=3, codec="hdmv_pgs_subtitle", is_text=False, is_forced=True),
    )
    assert [(one.title, one.is_default, one.layout) for one in found.audio] == [("Original", True, "5.1(side)")]


def test_chapters_are_told_from_the_start_of_the_film_and_end_with_it() -> None:
    chapters = [
        {"start_time": "5.5", "end_time": "99", "tags": {"title": "Zwei"}},
        {"start_time": "1.0", "end_time": "5.5", "tags": {"title": "Eins"}},
        {"start_time": "50", "end_time": "60"},
        {"start_time": "N/A", "end_time": "3"},
    ]

    assert facts(chapters=chapters).chapters == (
        Chapter(start="0", end="9/2", title="Eins"),
        Chapter(start="9/2", end="10", title="Zwei"),
    )


@pytest.mark.parametrize(("profile", "is_refused"), [(5, True), (8, False)])
def test_dolby_vision_that_nobody_else_can_show_is_refused(profile: int, is_refused: bool) -> None:
    record = {"side_data_type": "DOVI configuration record", "dv_profile": profile}
    problem = problem_of(facts({"side_data_list": [record]}), InputLimits())

    assert (problem is not None and problem.code is ErrorCode.INPUT_FORMAT) is is_refused


def test_facts_of_an_older_version_are_read() -> None:
    old = (
        '{"container":"mp4","duration":"20","size_bytes":1,"bitrate":null,"streams":1,"audio":[{"index":1,"codec":"aac",'
        '"channels":2,"sample_rate":48000}],"video":{"index":0,"codec":"h264","width":640,"height":360,"coded_width":640,'
        '"coded_height":360,"frame_rate":"25"}}'
    )

    assert MediaFacts.model_validate_json(old).chapters == ()
