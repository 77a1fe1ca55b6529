"""The analyze task: what ffprobe tells becomes facts, held against the limits before anything is decoded."""

from __future__ import annotations

from plugins.ffmpeg import verdict
from plugins.ffmpeg.limits import problem_of
from plugins.ffmpeg.probe import Unreadable, facts_of
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.plugins import Outcome
from protocol.recipes import AnalyzeRecipe
from protocol.results import Failure
from protocol.steps import VALIDATE_VIDEO

NOTHING_DECODED = "The first frames of the file do not decode."


def facts_or_failure(recipe: AnalyzeRecipe, outcome: Outcome, size_bytes: int) -> MediaFacts | Failure:
    """The facts in the output of the probe, or why the input is refused."""
    try:
        facts = facts_of(outcome.stdout, size_bytes)
    except Unreadable as error:
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_FORMAT, str(error), outcome, VALIDATE_VIDEO)
    problem = problem_of(facts, recipe.limits)
    if problem is None:
        return facts
    return verdict.failure(FailureClass.INPUT, problem.code, problem.message, outcome, VALIDATE_VIDEO)
