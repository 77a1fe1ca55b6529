"""What an output's colours are called, and what of HDR10 the encoders are told."""

from __future__ import annotations

import pytest

from plugins.ffmpeg.encoders.colours import BT601_525, BT601_625, BT709, colour_of, tagged
from plugins.ffmpeg.encoders.mastering import as_svt, as_x265
from protocol.encoding import Hdr, VideoCodec
from protocol.media import Colour, MasteringDisplay, VideoStream
from protocol.profiles import Rendition
from protocol.recipes import PlannedRendition

HLG = Colour(primaries="bt2020", transfer="arib-std-b67", matrix="bt2020nc", range="tv")
PQ = HLG.model_copy(update={"transfer": "smpte2084"})
DISPLAY = MasteringDisplay(
    red=(34_000, 16_000), green=(13_250, 34_500), blue=(7_500, 3_000), white=(15_635, 16_450), luminance=(50, 10_000_000)
)


def video(width: int, height: int, rate: str = "25", **words: object) -> VideoStream:
    size = {"width": width, "height": height, "coded_width": width, "coded_height": height}
    return VideoStream.model_validate({"index": 0, "codec": "h264", **size, "frame_rate": rate, **words})


def planned(*, hdr: bool = False) -> PlannedRendition:
    kept = {"codec": VideoCodec.HEVC, "bit_depth": 10, "hdr": Hdr.KEEP} if hdr else {}
    rendition = Rendition.model_validate({"name": "360p", "height": 360, "crf": 23, **kept})
    return PlannedRendition(rendition=rendition, encoder="libx264", width=640, height=360, path="v.mp4", keeps_hdr=hdr)


@pytest.mark.parametrize(
    ("source", "colour"),
    [
        (video(1920, 1080), BT709),
        (video(1080, 1920), BT709),
        (video(720, 576), BT601_625),
        (video(720, 480, "30000/1001"), BT601_525),
        (
            video(720, 576, colour=Colour(primaries="nonsense:drawtext", matrix="bt709")),
            BT601_625.model_copy(update={"matrix": "bt709"}),
        ),
        (video(3840, 2160, is_hdr=True, colour=PQ), BT709),
    ],
)
def test_what_a_source_does_not_tell_is_what_players_take_it_for(source: VideoStream, colour: Colour) -> None:
    assert colour_of(planned(), source) == colour


def test_a_kept_range_is_told_as_the_source_tells_it() -> None:
    kept = tagged(planned(hdr=True), video(3840, 2160, is_hdr=True, colour=HLG))

    assert kept == "setparams=range=tv:color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"


def test_only_hdr10_has_metadata_and_only_what_is_known_is_told() -> None:
    hdr10 = video(3840, 2160, is_hdr=True, colour=PQ, mastering=DISPLAY)
    hlg, untold = hdr10.model_copy(update={"colour": HLG}), hdr10.model_copy(update={"mastering": None})

    assert as_x265(hdr10) == ("hdr10=1", "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)")
    assert as_svt(hdr10) == (
        "mastering-display=G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)L(1000.0000,0.0050)",
    )
    assert [(as_x265(one), as_svt(one)) for one in (hlg, untold, None)] == [((), ())] * 3
