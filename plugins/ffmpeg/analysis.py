"""The analyze task: what ffprobe tells becomes facts, held against the limits before anything is decoded.

A film made of several inputs has each of them looked at in the same way; `<what>:<input>` are the invocations of a part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from plugins.ffmpeg import integrity
from plugins.ffmpeg.limits import problem_of, whole_problem_of
from plugins.media import colours, verdict
from plugins.media.probe import Unmeasured, Unreadable, facts_of, told_size
from protocol.errors import ErrorCode, FailureClass
from protocol.media import MediaFacts
from protocol.plugins import Outcome
from protocol.recipes import AnalyzeRecipe
from protocol.results import Failure
from protocol.steps import VALIDATE_VIDEO

PROBE, FIRST_FRAMES, WHOLE, MEASURE, LIGHT = "probe", "first_frames", "whole", "measure", "light"
PQ = "smpte2084"
ATTACHED = "attachment-"
"""What the name of an input begins with that came with the job, before the client's own name for it."""

_OUT_TIME = re.compile(rb"^out_time_us=(\d+)\s*$", re.MULTILINE)


def named(what: str, part: str | None) -> str:
    """What an invocation is called; `part` None is the job's own input."""
    return what if part is None else f"{what}:{part}"


def part_of(name: str) -> tuple[str, str | None]:
    """The other way round."""
    what, _, part = name.partition(":")
    return what, part or None


def all_facts(recipe: AnalyzeRecipe, outcomes: Mapping[str, Outcome], size_bytes: int) -> MediaFacts | Failure:
    """Of the input, and of the parts within it; `outcomes` by the name of the invocation."""
    own = _facts(recipe, outcomes, None, size_bytes)
    if isinstance(own, Failure) or not recipe.parts:
        return own
    parts: dict[str, MediaFacts] = {}
    for part in recipe.parts:
        found = _facts(recipe, outcomes, part, told_size(outcomes[named(PROBE, part)].stdout))
        if isinstance(found, Failure):
            return found
        parts[part] = found
    whole = own.model_copy(update={"parts": parts})
    problem = whole_problem_of(whole, recipe.limits)
    if problem is None:
        return whole
    return verdict.failure(FailureClass.INPUT, problem.code, problem.message, outcomes[PROBE], VALIDATE_VIDEO)


def _facts(recipe: AnalyzeRecipe, outcomes: Mapping[str, Outcome], part: str | None, size_bytes: int) -> MediaFacts | Failure:
    probe = outcomes[named(PROBE, part)]
    facts = facts_or_failure(recipe, probe, size_bytes, outcomes.get(named(MEASURE, part)))
    whole = outcomes.get(named(WHOLE, part))
    if whole is not None and isinstance(facts, MediaFacts):
        reason = integrity.broken_off(facts, whole.stdout, whole.stderr_tail)
        if reason is not None and not recipe.allows_damage:
            return _refused(ErrorCode.INPUT_CORRUPT, reason, whole, part)
    light = outcomes.get(named(LIGHT, part))
    if isinstance(facts, Failure) or facts.video is None or light is None:
        return facts
    video = facts.video.model_copy(update={"mastering": colours.mastering_of_frame(light.stdout)})
    return facts.model_copy(update={"video": video})


def facts_or_failure(
    recipe: AnalyzeRecipe, outcome: Outcome, size_bytes: int, measure: Outcome | None = None
) -> MediaFacts | Failure:
    """The facts in the output of the probe, or why the input is refused. `measure` read a file without a duration through."""
    part = part_of(outcome.invocation.name)[1]
    try:
        facts = facts_of(outcome.stdout, size_bytes, _measured(measure))
    except Unreadable as error:
        return _refused(ErrorCode.INPUT_FORMAT, str(error), outcome, part)
    problem = problem_of(facts, recipe.limits)
    return facts if problem is None else _refused(problem.code, problem.message, outcome, part)


def warnings(recipe: AnalyzeRecipe, facts: MediaFacts, outcomes: Mapping[str, Outcome]) -> tuple[str, ...]:
    """What the whole decode of each input found, where damage is allowed. `facts` are those of all."""
    found: list[str] = []
    for part in (None, *recipe.parts) if recipe.allows_damage else ():
        whole = outcomes.get(named(WHOLE, part))
        own = facts if part is None else facts.parts[part]
        reason = _reason(own, whole) if whole is not None else None
        found += [] if reason is None else [reason if part is None else f"{_titled(part)}{reason}"]
    return tuple(found)


def _reason(facts: MediaFacts, whole: Outcome) -> str | None:
    return integrity.FAULT if whole.exit_code else integrity.broken_off(facts, whole.stdout, whole.stderr_tail)


def _titled(part: str) -> str:
    return f"Part {part.removeprefix(ATTACHED)}: "


def of_part(failure: Failure, part: str | None) -> Failure:
    """The same, with a message that names the part it speaks of."""
    if part is None:
        return failure
    return failure.model_copy(update={"message": f"{_titled(part)}{failure.message}"})


def _refused(code: ErrorCode, message: str, outcome: Outcome, part: str | None) -> Failure:
    return of_part(verdict.failure(FailureClass.INPUT, code, message, outcome, VALIDATE_VIDEO), part)


def needs_measuring(outcome: Outcome) -> bool:
    """Whether the probe found everything but a duration."""
    try:
        facts_of(outcome.stdout, 0)
    except Unmeasured:
        return True
    except Unreadable:
        return False
    return False


def dim_parts(outcomes: Sequence[Outcome]) -> tuple[str | None, ...]:
    """The inputs whose light levels may stand in the headers of their first frame alone, and were not looked for there yet."""
    names = {outcome.invocation.name for outcome in outcomes}
    probed = [(part_of(outcome.invocation.name), outcome) for outcome in outcomes]
    return tuple(
        part for (what, part), outcome in probed if what == PROBE and named(LIGHT, part) not in names and _lacks_light(outcome)
    )


def _lacks_light(outcome: Outcome) -> bool:
    try:
        video = facts_of(outcome.stdout, 0, Fraction(1)).video
    except Unreadable:
        return False
    return video is not None and video.colour.transfer == PQ and video.mastering is None


def _measured(outcome: Outcome | None) -> Fraction | None:
    """The last moment that `-progress` told, in seconds."""
    moments = _OUT_TIME.findall(outcome.stdout) if outcome else []
    return Fraction(int(moments[-1]), 1_000_000) if moments else None
