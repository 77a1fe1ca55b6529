"""What the picture of a made rendition must be, or the attempt has failed."""

from __future__ import annotations

import pytest

from plugins.media.picture_proof import hold_picture
from plugins.media.rejected import Rejected
from protocol.encoding import Hdr, VideoCodec
from protocol.errors import ErrorCode
from protocol.media import Colour, MediaFacts, VideoStream
from protocol.profiles import Rendition
from protocol.recipes import PlannedRendition, TranscodeRecipe

PQ = Colour(primaries="bt2020", transfer="smpte2084", matrix="bt2020nc")


def stream(**words: object) -> VideoStream:
    size = {"width": 1280, "height": 720, "coded_width": 1280, "coded_height": 720}
    told = {"index": 0, "codec": "hevc", **size, "frame_rate": "25", "duration": "10", "frames": 250, "bit_depth": 10}
    return VideoStream.model_validate({**told, "bitrate": 1_000_000, "colour": PQ, **words})


SOURCE = MediaFacts(
    container="mp4", duration="10", size_bytes=1, bitrate=1, video=stream(is_hdr=True, frame_rate="50"), streams=1
)
RENDITION = Rendition(name="720p", height=720, codec=VideoCodec.HEVC, crf=25, max_bitrate=1_000_000, bit_depth=10, hdr=Hdr.KEEP)
PLANNED = PlannedRendition(
    rendition=RENDITION, encoder="libx265", width=1280, height=720, path="v.mp4", frame_rate="25", keeps_hdr=True
)
RECIPE = TranscodeRecipe(source=SOURCE, renditions=(PLANNED,))


def test_what_was_asked_for_holds() -> None:
    hold_picture(RECIPE, PLANNED, stream())
    hold_picture(RECIPE, PLANNED, stream(frames=251, bitrate=None))
    hold_picture(RECIPE, PLANNED, stream(bitrate=1_300_000))  # the buffer of 2 s was full at the start, and a tenth


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (None, "is not what was asked for"),
        (stream(codec="h264"), "is not what was asked for"),
        (stream(coded_height=718), "is not what was asked for"),
        (stream(bit_depth=8), "is not what was asked for"),
        (stream(frames=500), "lacks frames"),
        (stream(frames=240), "lacks frames"),
        (stream(duration=None), "lacks frames"),
        (stream(colour=Colour(transfer="bt709")), "does not say that it has the source's dynamic range"),
        (stream(bitrate=1_350_000), "takes 1350000 bits a second, over the cap of 1000000"),
    ],
)
def test_anything_else_is_the_engines_fault(made: VideoStream | None, problem: str) -> None:
    with pytest.raises(Rejected) as rejected:
        hold_picture(RECIPE, PLANNED, made)

    assert problem in rejected.value.message
    assert (rejected.value.code, rejected.value.step) == (ErrorCode.OUTPUT_INVALID, "transcode_720p")


def test_encoders_that_keep_a_cap_on_average_have_more_room() -> None:
    rendition = RENDITION.model_copy(update={"codec": VideoCodec.AV1})
    planned = PLANNED.model_copy(update={"rendition": rendition, "encoder": "libsvtav1"})

    hold_picture(RECIPE, planned, stream(codec="av1", bitrate=1_450_000))
    with pytest.raises(Rejected, match="over the cap"):
        hold_picture(RECIPE, planned, stream(codec="av1", bitrate=1_550_000))
