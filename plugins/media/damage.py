"""Whose fault it is where outputs do not hold: the input's, where the tool itself met damage in it while it encoded."""

from __future__ import annotations

from plugins.media.rejected import Rejected
from protocol.encoding import HARDWARE_ENCODERS
from protocol.errors import ErrorCode, FailureClass
from protocol.plugins import Outcome
from protocol.recipes import TranscodeRecipe
from protocol.results import Failure

DAMAGED = "The file is damaged: what was made of it does not hold."


def met(recipe: TranscodeRecipe, encode: Outcome) -> bool:
    """Whether errors were met in an encode that ended well. Those of a GPU's encoder tell of nothing but that GPU."""
    if any(planned.encoder in HARDWARE_ENCODERS for planned in recipe.renditions):
        return False
    return encode.exit_code == 0 and any("[error]" in line for line in encode.stderr_tail.splitlines())


def refused(rejected: Rejected) -> Rejected:
    """The same refusal, where damage was met."""
    is_ours = rejected.code is ErrorCode.OUTPUT_INVALID
    return Rejected(ErrorCode.INPUT_CORRUPT, DAMAGED, rejected.step) if is_ours else rejected


def failed(failure: Failure) -> Failure:
    """The failure of a check, where damage was met."""
    if failure.code is not ErrorCode.OUTPUT_INVALID:
        return failure
    update = {"failure_class": FailureClass.INPUT, "code": ErrorCode.INPUT_CORRUPT, "message": DAMAGED}
    return failure.model_copy(update=update)
