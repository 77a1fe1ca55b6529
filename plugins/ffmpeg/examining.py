"""Which processes look at the inputs of an analyze task, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.ffmpeg import analysis, looking
from plugins.ffmpeg.analysis import FIRST_FRAMES, LIGHT, MEASURE, PROBE, WHOLE, named, part_of
from plugins.media import verdict
from protocol.errors import ErrorCode, ReelyardError
from protocol.plugins import Invocation, Limits, Outcome, Work
from protocol.recipes import AnalyzeRecipe
from protocol.results import Failure
from protocol.steps import VALIDATE_VIDEO

MEASURE_LIMITS = Limits(wall_s=1800.0, cpu_s=1800, memory_bytes=4 << 30, file_bytes=1 << 20)
WHOLE_LIMITS = Limits(wall_s=4 * 3600.0, memory_bytes=4 << 30, file_bytes=1 << 20)
ANALYZE_LIMITS = Limits(wall_s=180.0, cpu_s=300, memory_bytes=4 << 30, file_bytes=1 << 20)


def plan(ffmpeg: str, ffprobe: str, work: Work, recipe: AnalyzeRecipe) -> tuple[Invocation, ...]:
    """Probe each input, and decode its first frames, or all of it."""
    probe = (PROBE, looking.probe(ffprobe, recipe), ANALYZE_LIMITS)
    first = (FIRST_FRAMES, looking.first_frames(ffmpeg, recipe, work.threads), ANALYZE_LIMITS)
    whole = (WHOLE, looking.whole(ffmpeg, recipe, work.threads), WHOLE_LIMITS)
    begins = not recipe.limits.strict or recipe.allows_damage  # its beginning decodes, whatever follows
    looks = (probe, *([first] if begins else []), *([whole] if recipe.limits.strict else []))
    parts: tuple[str | None, ...] = (None, *recipe.parts)
    return tuple(
        Invocation(name=named(what, part), argv=argv, reads=(path_of(work, part),), limits=limits)
        for part in parts
        for what, argv, limits in looks
    )


def follow(ffprobe: str, work: Work, recipe: AnalyzeRecipe, outcomes: Sequence[Outcome]) -> tuple[Invocation, ...]:
    """Light levels that the container does not tell are looked for in the picture."""
    argv = looking.light(ffprobe, recipe)
    return tuple(
        Invocation(name=named(LIGHT, part), argv=argv, reads=(path_of(work, part),), limits=ANALYZE_LIMITS)
        for part in analysis.dim_parts(outcomes)
    )


def measures(ffmpeg: str, work: Work, recipe: AnalyzeRecipe, unmeasured: Sequence[str | None]) -> tuple[Invocation, ...]:
    """Inputs that do not tell their duration are read through."""
    argv = looking.measure(ffmpeg, recipe)
    return tuple(
        Invocation(name=named(MEASURE, part), argv=argv, reads=(path_of(work, part),), limits=MEASURE_LIMITS)
        for part in unmeasured
    )


def judge(work: Work, recipe: AnalyzeRecipe, outcome: Outcome) -> Failure | None:
    what, part = part_of(outcome.invocation.name)
    failure = verdict.judge(outcome, reads_input=True, only_reads=True, step=VALIDATE_VIDEO)
    if failure is not None and what == WHOLE and recipe.allows_damage and verdict.failed_by_itself(outcome):
        return None
    if failure is not None:
        return analysis.of_part(failure, part)
    if what != PROBE or analysis.needs_measuring(outcome):
        return None
    facts = analysis.facts_or_failure(recipe, outcome, work.input_size if part is None else 0)
    return facts if isinstance(facts, Failure) else None


def unmeasured(outcome: Outcome) -> bool:
    """Whether the invocation was a probe that found no duration."""
    return outcome.exit_code == 0 and part_of(outcome.invocation.name)[0] == PROBE and analysis.needs_measuring(outcome)


def path_of(work: Work, part: str | None) -> str:
    """Raises PLUGIN_FAILED for a task without that input."""
    path = work.input_path if part is None else work.inputs.get(part)
    if path is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The FFmpeg plugin was given a task without an input.")
    return path
