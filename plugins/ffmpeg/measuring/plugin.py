"""FFmpeg as the plugin of `measure` tasks: asks the pure modules what to run next, and puts together what they found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from plugins.ffmpeg.measuring import bars, comparing, content, loudness, probing, stages, trials, whole
from plugins.ffmpeg.measuring.subject import Subject
from plugins.media import progress, scores, verdict
from plugins.media.locate import Located
from plugins.media.record import tool_uses
from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.extras import Metric
from protocol.plugins import Conclusion, Invocation, MadeFile, Outcome, Work
from protocol.recipes import MeasureRecipe
from protocol.results import AttemptResult, Failure, FileRole, Measured, OutputFacts, StepReport
from protocol.states import StepState, TaskKind
from protocol.steps import MEASURE_SOURCE

ONLY_READ = frozenset({loudness.LOUDNESS, bars.BARS, content.CONTENT})
ENCODES = frozenset({probing.ENCODE, comparing.ENCODE})
SCORES: Mapping[str, tuple[Metric, ...]] = {probing.SCORE: (Metric.VMAF,), comparing.SCORE: comparing.ALL}


class MeasurePlugin:
    """Keeps nothing but where the tools are, and by work directory how far each running attempt is (for a progress that
    never falls).
    """

    name = "measure"
    operations: tuple[str, ...] = (TaskKind.MEASURE,)

    def __init__(self) -> None:
        self._tools = Located()
        self._told: dict[str, stages.Told] = {}

    def probes(self, directory: str) -> Sequence[Invocation]:
        """Looks for the tools anew. Raises ReelyardError(TOOL_MISSING)."""
        self._tools.forget()
        return trials.probes(self._tools().ffmpeg.path)

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        can = self.operations if trials.works(outcomes) else ()
        return PluginDescription(
            name=self.name,
            version=f"ffmpeg {self._tools().ffmpeg.version}",
            operations=can,
            capabilities=(*(f"operation:{operation}" for operation in can), *trials.metrics(outcomes)),
            problem=trials.problem(outcomes),
        )

    def plan(self, work: Work) -> Sequence[Invocation]:
        """Everything follows."""
        _recipe(work)
        self._told[work.directory] = stages.Told()
        return ()

    def follow(self, work: Work, outcomes: Sequence[Outcome]) -> Sequence[Invocation]:
        subject, done = self._subject(work), {outcome.invocation.name: outcome for outcome in outcomes}
        stage = stages.following(subject, done)
        told = self._told.get(work.directory, stages.Told())
        self._told[work.directory] = replace(told, stage=stage, now=progress.Progress())
        return stage.invocations

    def _subject(self, work: Work) -> Subject:
        if work.input_path is None:
            raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The measure plugin was given a task without an input.")
        return Subject(_recipe(work), self._tools().ffmpeg.path, work.threads, work.input_path, work.inputs)

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        told = self._told.get(work.directory)
        if told is None or not invocation.streams:
            return ()
        told = self._told[work.directory] = stages.advance(told, invocation, line, self._subject(work))
        if not told.now.is_fresh:
            return ()
        return (StepReport(name=MEASURE_SOURCE, state=StepState.RUNNING, progress=told.shown),)

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        kind = outcome.invocation.name.partition(":")[0]
        plain = replace(outcome, stderr_tail=scores.errors_only(outcome.stderr_tail)) if kind not in ENCODES else outcome
        reads = kind in ONLY_READ or kind in ENCODES
        failure = verdict.judge(plain, reads_input=reads, only_reads=kind in ONLY_READ, step=MEASURE_SOURCE)
        if failure is None and kind in SCORES and not _told_all(outcome, SCORES[kind]):
            message = "The tool ended without a score."
            return verdict.failure(FailureClass.ENGINE, ErrorCode.TOOL_FAILED, message, plain, MEASURE_SOURCE)
        if failure is None and (problem := whole.problem(self._subject(work), outcome)) is not None:
            return verdict.failure(FailureClass.INPUT, ErrorCode.INPUT_CORRUPT, problem, plain, MEASURE_SOURCE)
        return failure

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        """Scoring has read every sample to its end already."""
        return ()

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        self._told.pop(work.directory, None)
        subject, done = self._subject(work), {outcome.invocation.name: outcome for outcome in outcomes}
        sizes = {file.path: file.size for file in files}
        seconds = round(sum(outcome.wall_seconds for outcome in outcomes), 3)
        steps = tuple(
            StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds) for step in work.steps
        )
        tools = tool_uses(outcomes, self._tools().names)
        facts, extra = _published(subject, done, sizes)
        result = AttemptResult(
            measured=_measured(subject, done, sizes), steps=steps, tools=tools, warnings=probing.warnings(subject)
        )
        return Conclusion(facts=facts, result=result, extra=extra)


def _told_all(outcome: Outcome, metrics: tuple[Metric, ...]) -> bool:
    """Whether every filter that was to measure has said what it found."""
    graph = next((after for word, after in pairwise(outcome.invocation.argv) if word == "-filter_complex"), "")
    return all(scores.read(outcome.stderr_tail, name, metrics) is not None for name in scores.names(graph))


def _measured(subject: Subject, done: Mapping[str, Outcome], sizes: Mapping[str, int]) -> Measured:
    heard = done.get(loudness.LOUDNESS)
    return Measured(
        loudness=loudness.read(heard.stderr_tail) if heard else {},
        crop=stages.crop_of(subject, done),
        rates=probing.found_rates(stages.cropped(subject, done), done, sizes),
        dropped=probing.dropped(stages.cropped(subject, done), done),
    )


def _published(
    subject: Subject, done: Mapping[str, Outcome], sizes: Mapping[str, int]
) -> tuple[dict[str, OutputFacts], dict[str, bytes]]:
    """The files of the result: facts by path, and the bytes of those that are written here."""
    recipe = subject.recipe
    facts: dict[str, OutputFacts] = {}
    extra: dict[str, bytes] = {}
    if recipe.content is not None and recipe.content_path is not None:
        told = {name: outcome.stdout for name, outcome in done.items() if name.startswith(f"{content.TOLD}:")}
        extra[recipe.content_path] = content.report(subject, told)
        facts[recipe.content_path] = OutputFacts(role=FileRole.CONTENT)
    if recipe.compare and recipe.comparison_path is not None:
        written, samples = comparing.report(stages.cropped(subject, done), done, sizes)
        extra[recipe.comparison_path] = written
        facts |= {**samples, recipe.comparison_path: OutputFacts(role=FileRole.COMPARISON)}
    return facts, extra


def _recipe(work: Work) -> MeasureRecipe:
    if not isinstance(work.recipe, MeasureRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The measure plugin does no task of kind {work.recipe.kind}.")
    return work.recipe
