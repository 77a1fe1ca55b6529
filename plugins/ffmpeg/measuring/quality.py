"""The scores of finished renditions, by one process after the encode: of the whole, or of frames spread over the film.

They are told besides. An encode that holds is not thrown away because one of them could not be measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from plugins.ffmpeg import encoding, preparing, sources
from plugins.ffmpeg.measuring import windows
from plugins.ffmpeg.measuring.scoring import Look, score
from plugins.media import progress, scores
from plugins.media.lengths import output_rate
from plugins.media.progress import Goal, Progress
from plugins.media.scores import Score
from protocol.extras import QualityMetrics
from protocol.plugins import Conclusion, Invocation, Limits, Outcome, Work
from protocol.recipes import PlannedRendition, TranscodeRecipe
from protocol.results import FileRole, OutputFacts, StepReport
from protocol.states import StepState
from protocol.steps import MEASURE_QUALITY

QUALITY = "quality"
LEAST_WALL_S, WALL_PER_SECOND = 4 * 3600.0, 40.0
"""libvmaf is slower than most encoders."""


def follow(ffmpeg: str, work: Work, recipe: TranscodeRecipe, own: str, outcomes: Sequence[Outcome]) -> tuple[Invocation, ...]:
    """`own` is the path of the job's input. Once, when the encode has ended."""
    names = {outcome.invocation.name for outcome in outcomes}
    if recipe.metrics is None or not recipe.renditions or encoding.ENCODE not in names or QUALITY in names:
        return ()
    looks = [_look(recipe, recipe.metrics, planned) for planned in recipe.renditions]
    return (
        Invocation(
            name=QUALITY,
            argv=score(ffmpeg, recipe, looks, recipe.metrics.metrics, work.threads),
            reads=sources.reads(recipe, own, work.inputs),
            streams=True,
            limits=_limits(recipe, work.threads),
            secrets=preparing.files(recipe, outcomes),
        ),
    )


def _look(recipe: TranscodeRecipe, metrics: QualityMetrics, planned: PlannedRendition) -> Look:
    video = recipe.source.video
    if metrics.sample_seconds is None or video is None:
        return Look(planned)
    rate = Fraction(planned.frame_rate) if planned.frame_rate else output_rate(video)
    seconds = Fraction(video.duration or recipe.source.duration)
    return Look(planned, spans=windows.frames(seconds, rate, metrics.sample_seconds))


def _limits(recipe: TranscodeRecipe, threads: int) -> Limits:
    wall = max(LEAST_WALL_S, WALL_PER_SECOND * float(Fraction(recipe.source.duration)))
    return Limits(wall_s=wall, cpu_s=int(wall * max(threads, 1)), file_bytes=1 << 20)


def told(work: Work, recipe: TranscodeRecipe, invocation: Invocation, now: Progress) -> tuple[StepReport, ...]:
    """What a line just read tells of the step."""
    return progress.reports(now, (MEASURE_QUALITY,) if MEASURE_QUALITY in work.steps else (), goal(recipe))


def goal(recipe: TranscodeRecipe) -> Goal:
    return Goal(frames=0, seconds=float(Fraction(recipe.source.duration)), rate=0.0)


def measured(recipe: TranscodeRecipe, by_name: Mapping[str, Outcome]) -> dict[str, Score]:
    """By rendition, of those that were measured."""
    outcome = by_name.get(QUALITY)
    if recipe.metrics is None or outcome is None or outcome.exit_code != 0:
        return {}
    names = [planned.rendition.name for planned in recipe.renditions]
    said = {name: scores.read(outcome.stderr_tail, name, recipe.metrics.metrics) for name in names}
    return {name: one for name, one in said.items() if one is not None}


def with_scores(conclusion: Conclusion, work: Work, recipe: TranscodeRecipe, by_name: Mapping[str, Outcome]) -> Conclusion:
    """The same success, with what was measured, and a word on what was not."""
    if recipe.metrics is None:
        return conclusion
    found = measured(recipe, by_name)
    lacking = [planned.rendition.name for planned in recipe.renditions if planned.rendition.name not in found]
    warnings = tuple(f"The quality of {name} could not be measured." for name in lacking)
    seconds = by_name[QUALITY].wall_seconds if QUALITY in by_name else 0.0
    steps = tuple(_step(step, lacking, seconds) if step.name == MEASURE_QUALITY else step for step in conclusion.result.steps)
    changed = {"steps": steps, "warnings": (*conclusion.result.warnings, *warnings)}
    facts = {path: _scored(told, found) for path, told in conclusion.facts.items()}
    return replace(conclusion, facts=facts, result=conclusion.result.model_copy(update=changed))


def _scored(facts: OutputFacts, found: Mapping[str, Score]) -> OutputFacts:
    told = found.get(facts.rendition or "") if facts.role is FileRole.RENDITION else None
    return facts if told is None else facts.model_copy(update={"psnr": told.psnr, "ssim": told.ssim, "vmaf": told.vmaf})


def _step(step: StepReport, lacking: Sequence[str], seconds: float) -> StepReport:
    state = StepState.FAILED if lacking else StepState.COMPLETED
    reason = f"not measured: {', '.join(lacking)}" if lacking else None
    return StepReport(name=step.name, state=state, progress=1.0, duration_seconds=round(seconds, 3), reason=reason)
