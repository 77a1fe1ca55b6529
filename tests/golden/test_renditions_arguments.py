"""What every encoder is told for each way to spend bits, and how a film is decoded on its GPU, compared with what was read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from plugins.ffmpeg import command
from plugins.ffmpeg.encoders import Turn, picture_arguments
from protocol.encoding import HARDWARE_ENCODERS, SOFTWARE_ENCODERS, Preset, VideoCodec, codec_of
from protocol.media import AudioStream, Colour, MasteringDisplay, MediaFacts, VideoStream
from protocol.profiles import CODED_PROFILES, Rendition
from protocol.recipes import PlannedRendition
from tests.ffmpeg_recipes import web

GOLDEN = Path(__file__).parent / "ffmpeg_argv"
ENCODERS = sorted({*SOFTWARE_ENCODERS.values(), *HARDWARE_ENCODERS})
RATES: dict[str, dict[str, object]] = {
    "crf": {"crf": 30, "preset": Preset.SLOW},
    "capped": {"crf": 30, "max_bitrate": 2_000_000, "preset": Preset.ULTRAFAST},
    "average": {"bitrate": 1_000_000, "max_bitrate": 2_000_000, "buffer_seconds": 1.5},
}
DISPLAY = MasteringDisplay(
    red=(34_000, 16_000),
    green=(13_250, 34_500),
    blue=(7_500, 3_000),
    white=(15_635, 16_450),
    luminance=(1, 10_000_000),
    max_content=1000,
    max_average=400,
)
HDR10 = Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc", range="tv")


def video(**words: object) -> VideoStream:
    size = {"width": 1920, "height": 1080, "coded_width": 1920, "coded_height": 1080}
    told = {"index": 0, "codec": "h264", **size, "frame_rate": "30000/1001", "pixel_format": "yuv420p", "duration": "20"}
    return VideoStream.model_validate({**told, **words})


def planned(encoder: str, words: Mapping[str, object], *, hdr: bool = False) -> PlannedRendition:
    codec = codec_of(encoder)
    profile = CODED_PROFILES[codec][-1] if hdr else CODED_PROFILES[codec][0]
    level = None if codec is VideoCodec.VP9 else "4.0"
    told = {"name": "720p", "height": 720, "codec": codec, "profile": profile, "level": level, "bit_depth": 10 if hdr else 8}
    rendition = Rendition.model_validate({**told, **words})
    return PlannedRendition(rendition=rendition, encoder=encoder, width=1280, height=720, path="v.mp4", keeps_hdr=hdr)


def told(one: PlannedRendition, turn: Turn | None = None, source: VideoStream | None = None) -> list[str]:
    arguments = picture_arguments(
        one, rate=Fraction(30_000, 1001), segment_seconds=6, threads=4, video=source or video(), turn=turn
    )
    return list(arguments)


def every() -> dict[str, list[str]]:
    found = {f"{encoder} {rate}": told(planned(encoder, words)) for encoder in ENCODERS for rate, words in RATES.items()}
    for encoder in ("libx264", "libx265", "libvpx-vp9"):
        for number in (1, 2):
            turn = Turn(number, "passes/720p.log")
            found[f"{encoder} pass {number}"] = told(planned(encoder, RATES["average"]), turn)
    hdr = video(is_hdr=True, colour=HDR10, mastering=DISPLAY, pixel_format="yuv420p10le", bit_depth=10)
    for encoder in ("libx265", "libsvtav1", "libvpx-vp9", "hevc_nvenc"):
        found[f"{encoder} hdr10"] = told(planned(encoder, {"crf": 30}, hdr=True), source=hdr)
    return found


def recorded(name: str) -> object:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def test_what_encoders_are_told_is_what_was_recorded() -> None:
    assert every() == recorded("encoders")


FAMILIES = {"cuda": ("nvenc", "0"), "qsv": ("qsv", "renderD128"), "vaapi": ("vaapi", "renderD129")}


def on_device(place: str) -> list[str]:
    """The ladder of `web` with one rendition in HEVC, decoded, scaled and encoded by one GPU."""
    family, device = FAMILIES[place]
    sound = AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000, duration="20")
    source = MediaFacts(container="mp4", duration="20", size_bytes=1000, bitrate=400, video=video(), audio=(sound,), streams=2)
    recipe = web(source)
    small, large = recipe.renditions
    hevc = large.rendition.model_copy(update={"codec": VideoCodec.HEVC, "profile": "main"})
    renditions = (
        small.model_copy(update={"encoder": f"h264_{family}"}),
        large.model_copy(update={"encoder": f"hevc_{family}", "rendition": hevc}),
    )
    recipe = recipe.model_copy(update={"renditions": renditions, "decoder": f"h264_{place}"})
    return list(command.transcode("ffmpeg", recipe, 2, device))


@pytest.mark.parametrize("place", sorted(FAMILIES))
def test_decoding_on_a_gpu_is_told_as_was_recorded(place: str) -> None:
    assert on_device(place) == recorded(f"transcode_on_{place}")


@pytest.mark.parametrize("place", sorted(FAMILIES))
def test_no_picture_leaves_the_gpu_but_the_stills(place: str) -> None:
    argv = on_device(place)
    graph = argv[argv.index("-filter_complex") + 1].split(";")

    assert argv[argv.index("-hwaccel_output_format") + 1] == place
    assert argv.index("-hwaccel") < argv.index("-i")
    assert [line for line in graph if "hwdownload" in line] == ["[loaded]hwdownload,format=nv12[shots]"]
    assert not [line for line in graph if "hwupload" in line or "scale=" in line]
    assert sum(f"scale_{place}=" in line for line in graph) == 2
