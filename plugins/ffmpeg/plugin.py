"""FFmpeg as a transcoder plugin: finds the tools, and hands every question to the pure module that answers it."""

from __future__ import annotations

from collections.abc import Sequence

from plugins.ffmpeg import analysis, besides, encoding, examining, inventory, looking, preparing
from plugins.ffmpeg.measuring import quality
from plugins.media import checks, damage, progress, report, verdict, verify
from plugins.media.locate import Located
from plugins.media.record import refusal, tool_uses
from plugins.media.rejected import Rejected
from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, ReelyardError
from protocol.media import MediaFacts
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import AnalyzeRecipe, TranscodeRecipe
from protocol.results import AttemptResult, Failure, StepReport
from protocol.states import StepState, TaskKind
from protocol.steps import VALIDATE_VIDEO

JOIN = "join"
READS_INPUT = encoding.PASSES | {JOIN}

JOIN_LIMITS = Limits(wall_s=1800.0, cpu_s=1800, memory_bytes=4 << 30)


class FFmpegPlugin:
    """Keeps nothing but where the tools are, and by work directory how far each running encode is (for a progress that
    never falls), which inputs do not tell their duration, and which were found damaged.
    """

    name = "ffmpeg"
    operations: tuple[str, ...] = (TaskKind.ANALYZE, TaskKind.TRANSCODE)

    def __init__(self) -> None:
        self._tools = Located()
        self._progress: dict[str, dict[str, progress.Progress]] = {}
        self._unmeasured: dict[str, tuple[str | None, ...]] = {}
        self._damaged: set[str] = set()

    def probes(self, directory: str) -> Sequence[Invocation]:
        """Looks for the tools anew. Raises ReelyardError(TOOL_MISSING)."""
        self._tools.forget()
        tools = self._tools()
        return inventory.probes(tools.ffmpeg.path, tools.ffprobe.path, directory)

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        tools = self._tools()
        return PluginDescription(
            name=self.name,
            version=f"ffmpeg {tools.ffmpeg.version}, ffprobe {tools.ffprobe.version}",
            operations=inventory.operations(outcomes),
            capabilities=inventory.capabilities(outcomes),
            supported_codecs=inventory.supported_codecs(outcomes),
            problem=inventory.missing(outcomes),
            build=inventory.build(outcomes),
        )

    def device_probes(self, device: str) -> Sequence[Invocation]:
        """Satisfies `DeviceUser`, with the next."""
        ffmpeg = self._tools().ffmpeg.path
        return (*inventory.hardware_trials(ffmpeg, (device,)), *inventory.decoding_trials(ffmpeg, device))

    def device_encoders(self, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
        return inventory.hardware_encoders(outcomes)

    def device_decoders(self, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
        """Satisfies `DeviceDecoder`."""
        return inventory.device_decoders(outcomes)

    def plan(self, work: Work) -> Sequence[Invocation]:
        tools, own = self._tools(), _input_of(work)
        match work.recipe:
            case AnalyzeRecipe() as recipe:
                self._unmeasured.pop(work.directory, None)
                return examining.plan(tools.ffmpeg.path, tools.ffprobe.path, work, recipe)
            case TranscodeRecipe() as recipe:
                self._progress[work.directory] = {}
                return encoding.invocations(tools.ffmpeg.path, work, recipe, own)
            case _:
                raise _unfit(work)

    def follow(self, work: Work, outcomes: Sequence[Outcome]) -> Sequence[Invocation]:
        """Satisfies `Follower`."""
        if isinstance(work.recipe, AnalyzeRecipe):
            return examining.follow(self._tools().ffprobe.path, work, work.recipe, outcomes)
        if isinstance(work.recipe, TranscodeRecipe):
            asked = (self._tools().ffmpeg.path, work, work.recipe, _input_of(work), outcomes)
            return encoding.follow(*asked) or quality.follow(*asked)
        return ()

    def join(self, work: Work, picture: str, sound: str) -> Invocation:
        """Satisfies `InputJoiner`."""
        return Invocation(name=JOIN, argv=looking.join(self._tools().ffmpeg.path), reads=(picture, sound), limits=JOIN_LIMITS)

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        is_score = invocation.name == quality.QUALITY
        if not (is_score or invocation.name in encoding.PASSES) or not isinstance(work.recipe, TranscodeRecipe):
            return ()
        running = self._progress.setdefault(work.directory, {})
        goal = quality.goal(work.recipe) if is_score else encoding.goal(work.recipe, invocation)
        now = running[invocation.name] = progress.advance(encoding.begun(running, invocation.name), line, goal)
        told = quality.told if is_score else encoding.told
        return told(work, work.recipe, invocation, now)

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        if outcome.invocation.name == quality.QUALITY:
            return None
        if encoding.gave_up(work.recipe, outcome):
            return None
        if outcome.invocation.name in encoding.LAST:
            self._progress.pop(work.directory, None)
            self._note_damage(work, outcome)
        if isinstance(work.recipe, AnalyzeRecipe) and outcome.invocation.name != JOIN:
            if examining.unmeasured(outcome):
                part = analysis.part_of(outcome.invocation.name)[1]
                self._unmeasured[work.directory] = (*self._unmeasured.get(work.directory, ()), part)
            return examining.judge(work, work.recipe, outcome)
        if isinstance(work.recipe, TranscodeRecipe) and outcome.invocation.name in preparing.NAMES:
            return preparing.judge(outcome, work.recipe)
        if besides.is_one(outcome.invocation.name):
            return besides.judge(outcome)
        step = VALIDATE_VIDEO if isinstance(work.recipe, AnalyzeRecipe) else None
        failure = verdict.judge(outcome, reads_input=outcome.invocation.name in READS_INPUT, step=step)
        return damage.failed(failure) if failure and work.directory in self._damaged else failure

    def _note_damage(self, work: Work, encode: Outcome) -> None:
        self._damaged.discard(work.directory)
        if isinstance(work.recipe, TranscodeRecipe) and damage.met(work.recipe, encode):
            self._damaged.add(work.directory)

    def _blamed(self, work: Work, rejected: Rejected) -> Rejected:
        return damage.refused(rejected) if work.directory in self._damaged else rejected

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        if isinstance(work.recipe, AnalyzeRecipe):
            return self._measures(work, work.recipe)
        if not isinstance(work.recipe, TranscodeRecipe):
            return ()
        try:
            verify.presence(work.recipe, files)
        except Rejected as rejected:
            return refusal(self._blamed(work, rejected))
        tools = self._tools()
        return checks.build(tools.ffmpeg.path, tools.ffprobe.path, work.recipe, work.threads)

    def _measures(self, work: Work, recipe: AnalyzeRecipe) -> Sequence[Invocation]:
        return examining.measures(self._tools().ffmpeg.path, work, recipe, self._unmeasured.pop(work.directory, ()))

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        tools = tool_uses(outcomes, self._tools().names)
        by_name = {outcome.invocation.name: outcome for outcome in outcomes}
        match work.recipe:
            case AnalyzeRecipe() as recipe:
                facts = analysis.all_facts(recipe, by_name, work.input_size)
                if isinstance(facts, Failure):
                    return facts
                told = {"tools": tools, "warnings": analysis.warnings(recipe, facts, by_name)}
                return Conclusion(facts={}, result=_analyzed(work, facts, outcomes).model_copy(update=told))
            case TranscodeRecipe() as recipe:
                try:
                    proof = verify.verify(recipe, by_name, files)
                except Rejected as rejected:
                    return refusal(self._blamed(work, rejected), encoding.whole(by_name))
                self._progress.pop(work.directory, None)
                self._damaged.discard(work.directory)
                made = report.conclusion(recipe, proof, work.steps, encoding.whole(by_name), tools, besides.took(by_name))
                return quality.with_scores(made, work, recipe, by_name)
            case _:
                raise _unfit(work)


def _analyzed(work: Work, facts: MediaFacts, outcomes: Sequence[Outcome]) -> AttemptResult:
    seconds = round(sum(outcome.wall_seconds for outcome in outcomes), 3)
    steps = tuple(StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds) for step in work.steps)
    return AttemptResult(analysis=facts, steps=steps)


def _input_of(work: Work) -> str:
    if work.input_path is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The FFmpeg plugin was given a task without an input.")
    return work.input_path


def _unfit(work: Work) -> ReelyardError:
    return ReelyardError(ErrorCode.PLUGIN_FAILED, f"The FFmpeg plugin does no task of kind {work.recipe.kind}.")
