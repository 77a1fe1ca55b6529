"""The argument lists for typical recipes, compared as lists with recorded ones that were read and run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plugins.ffmpeg import besides, command, looking
from plugins.media import checks
from protocol.errors import ReelyardError
from protocol.extras import TextFormat
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.packaging import HlsPackaging, SegmentFormat
from protocol.plugins import Work
from protocol.recipes import AnalyzeRecipe, InputLimits, PlannedSprite, PlannedSubtitle, ThumbnailShot, TranscodeRecipe
from tests.ffmpeg_recipes import web

GOLDEN = Path(__file__).parent / "ffmpeg_argv"


def source(*, width: int = 1920, height: int = 1080, has_sound: bool = True, is_interlaced: bool = False) -> MediaFacts:
    video = VideoStream(
        index=0,
        codec="h264",
        width=width,
        height=height,
        coded_width=width,
        coded_height=height,
        frame_rate="30000/1001",
        is_interlaced=is_interlaced,
        duration="20",
    )
    sound = AudioStream(index=1, codec="aac", channels=6, sample_rate=48_000, duration="20")
    audio = (sound,) if has_sound else ()
    return MediaFacts(
        container="mp4", duration="20", size_bytes=1000, bitrate=400, video=video, audio=audio, streams=1 + len(audio)
    )


def stills() -> TranscodeRecipe:
    """Pictures by percent and by second, and a sheet, of the frames of a ladder."""
    sheet = {"interval": "10", "count": 2, "columns": 2, "width": 160, "height": 90}
    paths = {"path": "thumbnails/sprite.jpg", "index": "thumbnails/sprite.vtt"}
    recipe = web(source(), hls=None)
    by_second = ThumbnailShot(percent=None, at="7/2", path="thumbnails/thumb_at_3500ms.jpg")
    sprite = PlannedSprite.model_validate({**sheet, **paths})
    return recipe.model_copy(update={"thumbnails": (*recipe.thumbnails[:1], by_second), "sprite": sprite})


RECIPES: dict[str, TranscodeRecipe] = {
    "full_hd": web(source()),
    "no_sound": web(source(has_sound=False)),
    "only_360p": web(source(width=640, height=360), heights=(360,)),
    "fragmented": web(source(), hls=HlsPackaging(segment_seconds=6, format=SegmentFormat.FMP4)),
    "portrait": web(source(width=1080, height=1920)),
    "interlaced": web(source(is_interlaced=True)),
    "no_streaming": web(source(), hls=None),
    "stills": stills(),
    "only_sound": web(source(), heights=()).model_copy(update={"thumbnails": (), "master_playlist": None, "hls": None}),
}


GPUS = {"h264_nvenc": "0", "h264_qsv": "renderD128", "h264_vaapi": "renderD129"}


def planned_for(encoder: str) -> TranscodeRecipe:
    recipe = RECIPES["full_hd"]
    renditions = tuple(planned.model_copy(update={"encoder": encoder}) for planned in recipe.renditions)
    return recipe.model_copy(update={"renditions": renditions})


def recorded(name: str) -> list[str]:
    lines = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    return [str(argument) for argument in json.loads(lines)]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_transcode_arguments_are_those_recorded(name: str) -> None:
    assert list(command.transcode("ffmpeg", RECIPES[name], 2)) == recorded(f"transcode_{name}")


@pytest.mark.parametrize("encoder", sorted(GPUS))
def test_arguments_for_a_gpu_are_those_recorded(encoder: str) -> None:
    assert list(command.transcode("ffmpeg", planned_for(encoder), 2, GPUS[encoder])) == recorded(f"transcode_{encoder}")


def test_what_is_run_before_an_encode_is_as_recorded() -> None:
    """The client's own picture, the film's tracks of text, and a file beside it in both kinds of letters."""
    texts = (
        PlannedSubtitle(name="en", stream=2, paths={TextFormat.VTT: "subtitles/en.vtt"}),
        PlannedSubtitle(name="fr", attachment="attachment-mine", paths={TextFormat.VTT: "subtitles/fr.vtt"}),
    )
    recipe = web(source()).model_copy(update={"own_thumbnail": "thumbnails/thumb_custom.jpg", "subtitles": texts})
    inputs = {"thumbnail": "/inputs/thumbnail", "attachment-mine": "/inputs/attachment-mine"}
    work = Work(recipe, (), "/work", threads=2, input_path="/input", inputs=inputs)

    made = besides.invocations("ffmpeg", work, recipe)

    assert {one.name: [list(one.reads), list(one.argv)] for one in made} == json.loads((GOLDEN / "besides.json").read_text())


def test_an_encoder_is_not_sent_to_a_gpu_of_another_make() -> None:
    with pytest.raises(ReelyardError, match="The GPU 0 is none of those that -vaapi_device takes"):
        command.transcode("ffmpeg", planned_for("h264_vaapi"), 2, "0")


def test_analysis_arguments_are_those_recorded() -> None:
    recipe = AnalyzeRecipe(limits=InputLimits())

    assert list(looking.probe("ffprobe", recipe)) == recorded("probe")
    assert list(looking.first_frames("ffmpeg", recipe, 2)) == recorded("first_frames")
    assert list(looking.measure("ffmpeg", recipe)) == recorded("measure")


@pytest.mark.parametrize("name", ["full_hd", "no_sound", "only_sound", "stills"])
def test_check_arguments_are_those_recorded(name: str) -> None:
    built = checks.build("ffmpeg", "ffprobe", RECIPES[name], 2)

    assert {check.name: list(check.argv) for check in built} == json.loads((GOLDEN / f"checks_{name}.json").read_text())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_input_is_read_by_descriptor_and_every_output_is_a_file_below(name: str) -> None:
    argv = command.transcode("ffmpeg", RECIPES[name], 2)
    inputs = [argv[n + 1] for n, argument in enumerate(argv) if argument == "-i"]
    targets = [argument for argument in argv if "file:" in argument]

    assert inputs == ["fd:"]
    assert argv[argv.index("-protocol_whitelist") + 1] == "fd"
    assert not [target for target in targets if "file:/" in target or ".." in target]
