"""The analyze task: what ffprobe tells becomes facts, held against the limits before anything is decoded."""

from __future__ import annotations

import re
from fractions import Fraction

from plugins.ffmpeg.limits import problem_of
from plugins.media import verdict
from plugins.media.probe import Unmeasured, Unreadable, facts_of
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.plugins import Outcome
from protocol.recipes import AnalyzeRecipe
from protocol.results import Failure
from protocol.steps import VALIDATE_VIDEO

_OUT_TIME = re.compile(rb"^out_time_us=(\d+)\s*$", re.MULTILINE)


def facts_or_failure(
    recipe: AnalyzeRecipe, outcome: Outcome, size_bytes: int, measure: Outcome | None = None
) -> MediaFacts | Failure:
    """The facts in the output of the probe, or why the input is refused. `measure` read a file without a duration through."""
    try:
        facts = facts_of(outcome.stdout, size_bytes, _measured(measure))
    except Unreadable as error:
        return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_FORMAT, str(error), outcome, VALIDATE_VIDEO)
    problem = problem_of(facts, recipe.limits)
    if problem is None:
        return facts
    return verdict.failure(FailureClass.INPUT, problem.code, problem.message, outcome, VALIDATE_VIDEO)


def needs_measuring(outcome: Outcome) -> bool:
    """Whether the probe found everything but a duration."""
    try:
        facts_of(outcome.stdout, 0)
    except Unmeasured:
        return True
    except Unreadable:
        return False
    return False


def _measured(outcome: Outcome | None) -> Fraction | None:
    """The last moment that `-progress` told, in seconds."""
    moments = _OUT_TIME.findall(outcome.stdout) if outcome else []
    return Fraction(int(moments[-1]), 1_000_000) if moments else None
