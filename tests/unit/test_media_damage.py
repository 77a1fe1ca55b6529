"""Who is to blame where outputs do not hold, of an input that showed damage while it was encoded."""

from __future__ import annotations

import pytest

from plugins.media import damage
from plugins.media.rejected import Rejected
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Invocation, Outcome
from protocol.results import Failure
from tests.ffmpeg_recipes import web
from tests.unit.dispatch_jobs import video

RECIPE = web(video(1280, 720))
ON_A_GPU = RECIPE.model_copy(
    update={"renditions": tuple(one.model_copy(update={"encoder": "h264_nvenc"}) for one in RECIPE.renditions)}
)
BAD = "[aac @ 0x1] [error] Number of bands (11) exceeds limit (8).\n"


def encode(stderr: str, code: int = 0) -> Outcome:
    return Outcome(Invocation(name="encode", argv=("ffmpeg",)), code, b"", stderr, wall_seconds=1.0, cpu_seconds=1.0)


def test_damage_is_what_decoders_complain_of() -> None:
    assert damage.met(RECIPE, encode(BAD))
    assert not damage.met(RECIPE, encode(""))
    assert not damage.met(RECIPE, encode(BAD, code=1))
    assert not damage.met(ON_A_GPU, encode(BAD))


@pytest.mark.parametrize(
    ("code", "blamed"),
    [
        (ErrorCode.OUTPUT_INVALID, (FailureClass.INPUT, ErrorCode.INPUT_CORRUPT)),
        (ErrorCode.TASK_DISK, (FailureClass.ENGINE, ErrorCode.TASK_DISK)),
        (ErrorCode.INPUT_FORMAT, (FailureClass.INPUT, ErrorCode.INPUT_FORMAT)),
    ],
)
def test_outputs_of_a_damaged_input_that_do_not_hold_are_its_own_fault(
    code: ErrorCode, blamed: tuple[FailureClass, ErrorCode]
) -> None:
    refused = damage.refused(Rejected(code, "The outputs differ in length.", "transcode_360p"))
    was = FailureClass.INPUT if code is ErrorCode.INPUT_FORMAT else FailureClass.ENGINE
    failed = damage.failed(Failure(failure_class=was, code=code, message="What the tool made does not decode."))

    assert (refused.failure_class, refused.code, refused.step) == (*blamed, "transcode_360p")
    assert (failed.failure_class, failed.code) == blamed
