"""What a decode to the end says of an input, by the words and figures FFmpeg left."""

from __future__ import annotations

import pytest

from plugins.ffmpeg import integrity
from protocol.media import MediaFacts
from tests.unit.dispatch_jobs import video

INCOMPLETE = "The file is incomplete: it ends before its last stream does. Send it again."


def facts(seconds: str, frames: int | None) -> MediaFacts:
    made = video(640, 360)
    assert made.video is not None
    return made.model_copy(update={"duration": seconds, "video": made.video.model_copy(update={"frames": frames})})


def progress(seconds: float, frames: int) -> bytes:
    """Two of FFmpeg's blocks, the first from before anything was decoded."""
    block = "frame={}\nfps=0.00\nout_time_us={}\nprogress=continue\n"
    return (block.format("   0", "N/A") + block.format(frames, int(seconds * 1_000_000))).encode()


@pytest.mark.parametrize(
    ("told", "frames", "came", "decoded", "words", "wanted"),
    [
        ("4", 100, 4.0, 100, "", None),
        ("4", None, 4.0, 100, "", None),
        ("4", 100, 3.6, 96, "", None),
        ("4", 100, 2.24, 56, "", "The file tells of 4.00 s, and decodes for 2.24 s."),
        ("4", 100, 4.0, 92, "", "The file tells of 100 pictures, and 92 decode."),
        ("1000", None, 991.0, 0, "", None),
        ("1000", None, 989.0, 0, "", "The file tells of 1000.00 s, and decodes for 989.00 s."),
        ("4", None, 4.0, 100, "[in#0/matroska,webm @ 0x5] [error] File ended prematurely", INCOMPLETE),
        ("4", 100, 4.0, 100, "[mov,mp4 @ 0x5] [error] stream 0, offset 0x3a: partial file", INCOMPLETE),
    ],
)
def test_a_decode_that_stops_short_is_told_with_its_figures(
    told: str, frames: int | None, came: float, decoded: int, words: str, wanted: str | None
) -> None:
    assert integrity.broken_off(facts(told, frames), progress(came, decoded), words) == wanted


def test_a_decode_that_told_nothing_reached_nothing() -> None:
    assert integrity.broken_off(facts("4", 100), b"", "") == "The file tells of 4.00 s, and decodes for 0.00 s."
