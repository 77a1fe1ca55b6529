"""What is read before an encode: which reading of a file counts, and whose fault it is when none does."""

from __future__ import annotations

import pytest

from plugins.ffmpeg import preparing
from protocol.errors import ErrorCode, FailureClass
from protocol.pictures import Watermark
from protocol.plugins import Outcome, Work
from protocol.recipes import PicturePlan, PlannedBurnIn, PlannedOverlay, TranscodeRecipe
from tests.unit.dispatch_jobs import video

SRT = "1\n00:00:01,000 --> 00:00:02,000\n{}\n\n"
BROKEN = "[srt] Invalid UTF-8 in decoded subtitles text"


def recipe(burn_in: PlannedBurnIn | None = None, *, mark: bool = False) -> TranscodeRecipe:
    overlay = PlannedOverlay(watermark=Watermark(), attachment="attachment-watermark") if mark else None
    return TranscodeRecipe(source=video(640, 360), renditions=(), picture=PicturePlan(burn_in=burn_in, overlay=overlay))


FILE, TRACK = recipe(PlannedBurnIn(attachment="attachment-words")), recipe(PlannedBurnIn(stream=3))
WORK = Work(FILE, (), "/work", 1, "/in/own", inputs={"attachment-words": "/in/words", "attachment-watermark": "/in/mark"})


def ended(plan: TranscodeRecipe, name: str, stdout: bytes = b"", *, code: int = 0, stderr: str = "") -> Outcome:
    (one,) = [one for one in preparing.invocations("ffmpeg", WORK, plan, "/in/own") if one.name == name]
    return Outcome(one, code, stdout, stderr, wall_seconds=0.1, cpu_seconds=0.1)


def drawn(plan: TranscodeRecipe, *outcomes: Outcome) -> str:
    ((path, content),) = preparing.files(plan, outcomes)
    assert path == "burn.ass"
    return content.decode().rstrip().rpartition(",")[2]


def test_a_track_is_read_once_and_a_file_twice() -> None:
    read = [[(one.name, one.reads) for one in preparing.invocations("ffmpeg", WORK, plan, "/in/own")] for plan in (TRACK, FILE)]

    assert read == [
        [("subtitles_to_burn", ("/in/own",))],
        [("subtitles_to_burn", ("/in/words",)), ("subtitles_to_burn_recoded", ("/in/words",))],
    ]
    assert preparing.invocations("ffmpeg", WORK, recipe(), "/in/own") == ()


@pytest.mark.parametrize(
    ("code", "stderr", "recoded", "seen"),
    [
        (0, "", "Ã¼ber", "über"),
        (69, BROKEN, "\u00fcber", "über"),
        (0, BROKEN, "na\u00efve", "naïve"),
        (69, BROKEN, "Ã¼ber", "über"),
    ],
)
def test_the_reading_that_makes_sense_is_drawn(code: int, stderr: str, recoded: str, seen: str) -> None:
    plain = ended(FILE, preparing.TEXTS, SRT.format("über").encode() if not stderr else b"", code=code, stderr=stderr)
    other = ended(FILE, preparing.RECODED, SRT.format(recoded).encode())

    assert preparing.judge(plain, FILE) is None
    assert preparing.judge(other, FILE) is None
    assert drawn(FILE, plain, other) == seen


@pytest.mark.parametrize(
    ("outcome", "plan", "code"),
    [
        (ended(FILE, preparing.RECODED, code=183), FILE, ErrorCode.INPUT_FORMAT),
        (ended(FILE, preparing.RECODED, b"nothing"), FILE, ErrorCode.INPUT_FORMAT),
        (ended(FILE, preparing.RECODED, SRT.format("x" * 600).encode()), FILE, ErrorCode.INPUT_LIMITS),
        (ended(TRACK, preparing.TEXTS, code=1), TRACK, ErrorCode.INPUT_FORMAT),
        (ended(recipe(mark=True), preparing.PICTURE, code=183), recipe(mark=True), ErrorCode.INPUT_FORMAT),
    ],
)
def test_what_cannot_be_read_is_the_clients(outcome: Outcome, plan: TranscodeRecipe, code: ErrorCode) -> None:
    failure = preparing.judge(outcome, plan)

    assert failure is not None
    assert (failure.failure_class, failure.code) == (FailureClass.INPUT, code)


def test_a_tool_that_was_killed_is_not_the_clients() -> None:
    failure = preparing.judge(ended(FILE, preparing.TEXTS, code=-9), FILE)

    assert failure is not None
    assert failure.failure_class is not FailureClass.INPUT
