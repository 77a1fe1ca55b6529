"""Inputs held against limits."""

from __future__ import annotations

import pytest

from plugins.ffmpeg.limits import Problem, problem_of
from plugins.media.probe import Unreadable, facts_of
from protocol.errors import ErrorCode
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.recipes import InputLimits

VIDEO = VideoStream(index=0, codec="h264", width=1920, height=1080, coded_width=1920, coded_height=1080, frame_rate="25")
SOUND = AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000)
FACTS = MediaFacts(container="mp4", duration="20", size_bytes=1000, bitrate=None, video=VIDEO, audio=(SOUND,), streams=2)
SMALL = VIDEO.model_copy(update={"width": 320, "height": 180})
UPRIGHT = VIDEO.model_copy(update={"width": 360, "height": 640})
HUGE = VIDEO.model_copy(update={"coded_width": 4352, "coded_height": 8193})
FAST = VIDEO.model_copy(update={"frame_rate": "240"})


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None),
        ({"video": UPRIGHT}, None),
        ({"video": SMALL}, Problem(ErrorCode.INPUT_TOO_SMALL, "The picture is 320x180; this profile needs at least 640x360.")),
        ({"video": HUGE}, Problem(ErrorCode.INPUT_LIMITS, "The picture is 4352x8193; at most 8192x4352 is taken.")),
        ({"video": FAST}, Problem(ErrorCode.INPUT_LIMITS, "The input has 240 frames a second; at most 120 are taken.")),
        ({"video": None}, Problem(ErrorCode.INPUT_NO_VIDEO, "The file has no picture; this profile makes video.")),
        ({"streams": 65}, Problem(ErrorCode.INPUT_LIMITS, "The file has 65 streams; at most 64 are taken.")),
        ({"duration": "1/2"}, Problem(ErrorCode.INPUT_TOO_SHORT, "The input lasts 0.50 s; it needs at least 1 s.")),
        ({"duration": "90000"}, Problem(ErrorCode.INPUT_TOO_LONG, "The input lasts 90000 s; at most 86400 s are taken.")),
        (
            {"video": VIDEO.model_copy(update={"width": 131_072})},
            Problem(
                ErrorCode.INPUT_LIMITS,
                "The picture is shown 131072 pixels long, for their odd shape; at most 16384 are taken.",
            ),
        ),
        (
            {"video": VIDEO.model_copy(update={"start": "601"})},
            Problem(ErrorCode.INPUT_LIMITS, "The picture begins 601 s after the file does; at most 600 s are taken."),
        ),
        (
            {"audio": (SOUND.model_copy(update={"sample_rate": 1}),)},
            Problem(ErrorCode.INPUT_LIMITS, "The sound has 1 samples a second; 4000 to 768000 are taken."),
        ),
        (
            {"audio": (SOUND.model_copy(update={"channels": 65}),)},
            Problem(ErrorCode.INPUT_LIMITS, "The sound has 65 channels; at most 64 are taken."),
        ),
        (
            {"size_bytes": 20_000_000_001},
            Problem(ErrorCode.INPUT_TOO_LARGE, "The file has 20000000001 bytes; at most 20000000000 are taken."),
        ),
    ],
)
def test_the_first_limit_that_is_exceeded_is_told(changed: dict[str, object], problem: Problem | None) -> None:
    assert problem_of(FACTS.model_copy(update=changed), InputLimits()) == problem


def test_sound_alone_is_enough_for_a_profile_of_sound() -> None:
    limits = InputLimits(needs_video=False, needs_audio=True)

    assert problem_of(FACTS.model_copy(update={"video": None}), limits) is None
    assert problem_of(FACTS.model_copy(update={"audio": ()}), limits) == Problem(
        ErrorCode.INPUT_FORMAT, "The file has no sound; this profile makes audio."
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b'{"streams": [{"index": 0, "codec_type": "data"}], "format": {"duration": "5"}}',
        b'{"streams": [{"index": 0, "codec_type": "video", "codec_name": "h264"}], "format": {"duration": "5"}}',
        b'{"streams": [{"index": 0, "codec_type": "audio", "codec_name": "aac"}], "format": {"duration": "N/A"}}',
        b'{"streams": [{"index": 0, "codec_type": "audio", "codec_name": "aac"}], "format": {"duration": "1e300"}}',
    ],
)
def test_answers_that_lack_what_media_has_are_unreadable(answer: bytes) -> None:
    with pytest.raises(Unreadable):
        facts_of(answer, 10)
