"""The strings that players choose by, from the headers of made files."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from plugins.media.codecs import codecs, picture

AVC_HIGH_4 = "\n00000000: 0164 0028 ffe1 0016 6742 c00d da05 067e  .d.(....gB.....~\n"
HEVC_MAIN = "\n00000000: 0101 6000 0000 9000 0000 0000 3cf0 00fc  ..`.........<...\n00000010: fdf8 f800 000f  ......\n"
HEVC_MAIN10_HIGH_TIER = '\n00000000: 0122 2000 0000 b000 0000 0000 99f0 00fc  ." .............\n'
AV1_8 = "\n00000000: 8100 0c00 0a0b 0200 0005 21e7 f660 17c0  ..........!..`..\n00000010: 02  .\n"
AV1_10_LEVEL_5_1_HIGH_TIER = "\n00000000: 810d ce00                                ....\n"
AAC: dict[str, object] = {"codec_type": "audio", "codec_name": "aac"}
OPUS: dict[str, object] = {"codec_type": "audio", "codec_name": "opus"}


def told(*streams: Mapping[str, object]) -> bytes:
    return json.dumps({"streams": streams}).encode()


def video(codec: str, extradata: object = "\n", **more: object) -> dict[str, object]:
    return {"codec_type": "video", "codec_name": codec, "extradata": extradata, **more}


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (video("h264", AVC_HIGH_4), "avc1.640028"),
        (video("hevc", HEVC_MAIN), "hvc1.1.6.L60.90"),
        (video("hevc", HEVC_MAIN10_HIGH_TIER), "hvc1.2.4.H153.B0"),
        (video("av1", AV1_8), "av01.0.00M.08"),
        (video("av1", AV1_10_LEVEL_5_1_HIGH_TIER), "av01.0.13H.10"),
        (video("h264"), None),
        (video("hevc", "\n00000000: 0101  ..\n"), None),
        (video("mpeg4"), None),
    ],
)
def test_a_picture_is_told_by_its_own_header(stream: dict[str, object], text: str | None) -> None:
    assert picture(told(AAC, stream)) == text


@pytest.mark.parametrize(
    ("profile", "size", "rate", "form", "text"),
    [
        ("Profile 0", (320, 180), "25/1", "yuv420p", "vp09.00.11.08"),
        ("Profile 0", (1280, 720), "30/1", "yuv420p", "vp09.00.31.08"),
        ("Profile 0", (1920, 1080), "60/1", "yuv420p", "vp09.00.41.08"),
        ("Profile 2", (3840, 2160), "25/1", "yuv420p10le", "vp09.02.50.10"),
        ("Profile 0", (320, 180), "0/0", "yuv420p", None),
    ],
)
def test_vp9_has_the_least_level_that_its_size_and_rate_need(
    profile: str, size: tuple[int, int], rate: str, form: str, text: str | None
) -> None:
    shown: dict[str, object] = {"profile": profile, "width": size[0], "height": size[1], "avg_frame_rate": rate, "pix_fmt": form}

    assert picture(told(video("vp9", **shown))) == text


def test_each_sound_is_told_once_and_one_that_is_not_known_leaves_nothing_to_tell() -> None:
    avc = video("h264", AVC_HIGH_4)

    assert codecs(told(avc, AAC, AAC, OPUS)) == "avc1.640028,mp4a.40.2,opus"
    assert codecs(told({"codec_type": "audio", "codec_name": "ac3"})) == "ac-3"
    assert codecs(told(avc, {"codec_type": "audio", "codec_name": "vorbis"})) is None
    assert codecs(told()) is None
