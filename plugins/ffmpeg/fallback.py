"""What a GPU could not decode after all is decoded on processors, by the same encoders, in the same attempt."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.media import verdict
from protocol.errors import ErrorCode
from protocol.plugins import Outcome
from protocol.recipes import TranscodeRecipe

MAY_BE_THE_DECODER = frozenset({ErrorCode.TOOL_FAILED, ErrorCode.INPUT_CORRUPT, ErrorCode.INPUT_FORMAT, ErrorCode.TASK_MEMORY})
"""What a device that gives up may look like. A full disk, taken sessions or a limit are no reason to begin anew."""


def gave_up(recipe: TranscodeRecipe, outcome: Outcome) -> bool:
    """Whether that encode, which decoded on a GPU, may have failed for it."""
    if recipe.decoder is None or outcome.exit_code <= 0 or outcome.timed_out or outcome.limit is not None:
        return False
    if outcome.exit_code == verdict.STOPPED_BY_SIGNAL and not verdict.blames_gpu(outcome):
        return False
    failure = verdict.judge(outcome, reads_input=True)
    return failure is not None and failure.code in MAY_BE_THE_DECODER


def again(recipe: TranscodeRecipe, outcomes: Sequence[Outcome], name: str, other: str) -> TranscodeRecipe | None:
    """The recipe to encode by once more, as `other`, after the encode called `name` gave up; None where there is no need."""
    names = {outcome.invocation.name for outcome in outcomes}
    if other in names or not any(one.invocation.name == name and gave_up(recipe, one) for one in outcomes):
        return None
    return recipe.model_copy(update={"decoder": None})
