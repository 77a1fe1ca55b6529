"""The transcoder plugin for `live` tasks: looks at the head of the stream, encodes until it ends, proves what was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from plugins.live import command, ladder
from plugins.live.pace import paced
from plugins.media import checks, report, segments, verdict, verify
from plugins.media.locate import Located
from plugins.media.probe import Unreadable, facts_of
from plugins.media.record import refusal, tool_uses
from plugins.media.rejected import Rejected
from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, ReelyardError
from protocol.media import MediaFacts
from protocol.plugins import STREAM_HEAD, Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import LiveRecipe, TranscodeRecipe
from protocol.results import Failure, StepReport
from protocol.states import StepState, TaskKind
from protocol.steps import STREAM_LIVE

PROBE, ENCODE, WHOLE, TRIAL = "probe", "stream", "whole", "trial"
PROBE_LIMITS = Limits(wall_s=60.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)
TRIAL_LIMITS = Limits(wall_s=30.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=4 << 20)
WHOLE_LIMITS = Limits(wall_s=3600.0, cpu_s=3600, memory_bytes=4 << 30)
SPARE_S = 3600.0
"""How much longer than the stream may last its encode may run."""


class LivePlugin:
    """Keeps nothing but where the tools are, and by work directory how many frames the running encode has told of."""

    name = "live"
    operations: tuple[str, ...] = (TaskKind.LIVE,)

    def __init__(self) -> None:
        self._tools = Located()
        self._frames: dict[str, int] = {}

    def probes(self, directory: str) -> Sequence[Invocation]:
        """Some frames encoded and cut. Raises ReelyardError(TOOL_MISSING)."""
        self._tools.forget()
        return (Invocation(name=TRIAL, argv=tuple(command.trial(self._tools().ffmpeg.path, directory)), limits=TRIAL_LIMITS),)

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        can = self.operations if any(one.invocation.name == TRIAL and one.exit_code == 0 for one in outcomes) else ()
        return PluginDescription(
            name=self.name,
            version=f"ffmpeg {self._tools().ffmpeg.version}",
            operations=can,
            capabilities=tuple(f"operation:{operation}" for operation in can),
            problem=None if can else "FFmpeg cannot encode H.264 and AAC into HLS here; run `reelyard doctor`",
        )

    def plan(self, work: Work) -> Sequence[Invocation]:
        self._frames.pop(work.directory, None)
        head = work.inputs.get(STREAM_HEAD)
        if head is None or work.input_path is None:
            raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The live plugin was given a task without a stream.")
        return (Invocation(name=PROBE, argv=command.probe(self._tools().ffprobe.path), reads=(head,), limits=PROBE_LIMITS),)

    def follow(self, work: Work, outcomes: Sequence[Outcome]) -> Sequence[Invocation]:
        """Satisfies `Follower`: the encode after the look, then one file of each rendition, then the proofs."""
        recipe, names = _recipe(work), [outcome.invocation.name for outcome in outcomes]
        facts = _facts(outcomes[0])
        renditions = ladder.chosen(recipe, facts)
        if names == [PROBE]:
            return (self._encode(work, recipe, facts),)
        if names == [PROBE, ENCODE]:
            ffmpeg = self._tools().ffmpeg.path
            return tuple(
                Invocation(name=f"{WHOLE}:{one.rendition.name}", argv=command.whole(ffmpeg, one), limits=WHOLE_LIMITS)
                for one in renditions
            )
        return self._proofs(work, facts) if len(names) == 2 + len(renditions) else ()

    def _proofs(self, work: Work, facts: MediaFacts) -> Sequence[Invocation]:
        """Not among the `checks`: what is to be proven follows from what was seen at the head."""
        tools, recorded = self._tools(), ladder.as_recorded(_recipe(work), facts, self._frames.get(work.directory))
        return checks.build(tools.ffmpeg.path, tools.ffprobe.path, recorded, work.threads)

    def _encode(self, work: Work, recipe: LiveRecipe, facts: MediaFacts) -> Invocation:
        renditions = ladder.chosen(recipe, facts)
        rate = ladder.rate_of(renditions, facts)
        wall_s = recipe.live.most_hours * 3600 + recipe.live.wait_s + SPARE_S
        limits = Limits(wall_s=wall_s, warn_s=wall_s, cpu_s=int(wall_s) * max(work.threads, 1) * 2)
        return Invocation(
            name=ENCODE,
            argv=command.encode(self._tools().ffmpeg.path, recipe, renditions, facts, rate, work.threads),
            reads=(work.input_path or "",),
            makes=command.directories(renditions),
            streams=True,
            limits=limits,
        )

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        """How long it lasts nobody knows: what has come in is told by the engine, who receives it."""
        if invocation.name == ENCODE and line.startswith("frame="):
            told = line.partition("=")[2].strip()
            self._frames[work.directory] = int(told) if told.isdecimal() else self._frames.get(work.directory, 0)
        return ()

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        name = outcome.invocation.name
        reads = name in (PROBE, ENCODE)
        failure = verdict.judge(outcome, reads_input=reads, only_reads=name == PROBE, step=STREAM_LIVE)
        if failure is not None or name != PROBE:
            return failure
        try:
            ladder.chosen(_recipe(work), _facts(outcome))
        except Rejected as rejected:
            return refusal(rejected, outcome)
        return None

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        """They have run: see `follow`."""
        return ()

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        by_name = {outcome.invocation.name: outcome for outcome in outcomes}
        facts = _facts(by_name[PROBE])
        recorded = ladder.as_recorded(_recipe(work), facts, self._frames.pop(work.directory, None))
        try:
            verify.presence(recorded, files)
            proof = verify.verify(recorded, by_name, files)
        except Rejected as rejected:
            return refusal(rejected, by_name[ENCODE])
        used = tool_uses(outcomes, self._tools().names)
        made = report.conclusion(recorded, proof, work.steps, by_name[ENCODE], used, {})
        seconds = round(sum(outcome.wall_seconds for outcome in outcomes), 3)
        done = StepReport(name=STREAM_LIVE, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds)
        steps = tuple(done.model_copy(update={"name": step}) for step in work.steps)
        length = max((Fraction(one.facts.duration) for one in proof.renditions), default=Fraction(0))
        analysis = facts.model_copy(update={"duration": str(length)})
        result = made.result.model_copy(update={"steps": steps, "analysis": analysis})
        return Conclusion(facts=made.facts, result=result, extra={**made.extra, **_finished(recorded, by_name)})


def _finished(recorded: TranscodeRecipe, by_name: Mapping[str, Outcome]) -> Mapping[str, bytes]:
    """The playlists that grew say so; from now on they do not (RFC 8216, 4.3.3.5)."""
    paths = [planned.playlist for planned in recorded.renditions if planned.playlist]
    texts = {path: by_name[f"{segments.PLAYLIST}:{path}"].stdout for path in paths}
    return {path: text.replace(b"#EXT-X-PLAYLIST-TYPE:EVENT", b"#EXT-X-PLAYLIST-TYPE:VOD", 1) for path, text in texts.items()}


def _facts(probe: Outcome) -> MediaFacts:
    """A head tells no length. Raises Rejected."""
    try:
        return paced(facts_of(probe.stdout, 0, Fraction(1)), probe.stdout)
    except Unreadable as error:
        raise Rejected(ErrorCode.INPUT_FORMAT, str(error), STREAM_LIVE) from error


def _recipe(work: Work) -> LiveRecipe:
    if not isinstance(work.recipe, LiveRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The live plugin does no task of kind {work.recipe.kind}.")
    return work.recipe
