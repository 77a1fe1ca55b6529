"""The transcoder plugin for `handbrake` tasks: it plans the processes and judges them; the engine runs them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from plugins.handbrake import command, endings, progress
from plugins.media import checks, report, verdict, verify
from plugins.media.calling import quiet
from plugins.media.locate import Tools, locate, program
from plugins.media.record import ToolName, refusal, tool_uses
from plugins.media.rejected import Rejected
from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, ReelyardError
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import HandbrakeRecipe, PlannedRendition, TranscodeRecipe
from protocol.results import AttemptResult, Failure, StepReport
from protocol.states import StepState, TaskKind
from protocol.steps import transcode_step

VARIABLE = "REELYARD_HANDBRAKE"
REMEDY = "Install HandBrake's command line, on Debian and Ubuntu the package handbrake-cli"

VERSION, CLIP, TRIAL, ENCODE, CLEAN = "version", "clip", "trial", "encode", "clean"
TRIAL_LIMITS = Limits(wall_s=60.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=4 << 20)
LEAST_WALL_S, WALL_PER_SECOND = 4 * 3600.0, 20.0
_VERSION = re.compile(r"^HandBrake (\S+)", re.MULTILINE)
_TOLD_VERSION = re.compile(r'"VersionString": "([^"]{1,40})"')  # every encode begins with it


@dataclass(frozen=True, slots=True)
class Found:
    """Where the tools are: HandBrake makes, FFmpeg proves."""

    handbrake: str
    media: Tools


class HandbrakePlugin:
    """Keeps nothing but where the tools are, the version HandBrake last told, and how far each running encode is (for a
    progress that never falls).
    """

    name = "handbrake"
    operations: tuple[str, ...] = (TaskKind.HANDBRAKE,)

    def __init__(self) -> None:
        self._found: Found | None = None
        self._version = "unknown"
        self._progress: dict[tuple[str, str], progress.Progress] = {}

    def _tools(self) -> Found:
        if self._found is None:
            self._found = Found(program(os.environ, VARIABLE, "HandBrakeCLI", REMEDY), locate(os.environ))
        return self._found

    def probes(self, directory: str) -> Sequence[Invocation]:
        """The version, and a few frames encoded as a recipe would. Raises ReelyardError(TOOL_MISSING)."""
        self._found = None
        tools = self._tools()
        source, made = f"{directory}/trial-in.mp4", f"{directory}/trial-out.mp4"
        picture = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-frames:v", "25", "-pix_fmt", "yuv420p")
        clip = (tools.media.ffmpeg.path, "-y", *quiet(), *picture, "-c:v", "mpeg4", f"file:{source}")
        trial = (tools.handbrake, "--json", "--no-dvdnav", "--input", source, "--output", made, "--format", "av_mp4")
        return (
            Invocation(name=VERSION, argv=(tools.handbrake, "--version"), limits=TRIAL_LIMITS),
            Invocation(name=CLIP, argv=clip, limits=TRIAL_LIMITS),
            Invocation(name=TRIAL, argv=(*trial, "--encoder", "x264"), limits=TRIAL_LIMITS, env=_private(directory)),
        )

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        done = {outcome.invocation.name: outcome for outcome in outcomes if outcome.exit_code == 0 and not outcome.timed_out}
        found = _VERSION.search(done[VERSION].stdout.decode("utf-8", "replace")) if VERSION in done else None
        version = found[1] if found else "unknown"
        can = self.operations if found and TRIAL in done else ()
        return PluginDescription(
            name=self.name,
            version=f"HandBrake {version}",
            operations=can,
            capabilities=tuple(f"operation:{operation}" for operation in can),
            problem=None if can else "HandBrakeCLI does not run or cannot encode here; try it by hand",
        )

    def plan(self, work: Work) -> Sequence[Invocation]:
        """For each rendition the encode, and a copy of it without the tags of the source."""
        recipe = _recipe(work)
        return tuple(one for planned in recipe.renditions for one in self._rendition(work, recipe, planned))

    def _rendition(self, work: Work, recipe: HandbrakeRecipe, planned: PlannedRendition) -> tuple[Invocation, Invocation]:
        tools, source, name = self._tools(), _input(work), planned.rendition.name
        encode = Invocation(
            name=f"{ENCODE}:{name}",
            argv=command.encode(tools.handbrake, recipe, planned, work.threads),
            reads=(source,),
            makes=tuple(parent for parent in (command.MADE, planned.path.rpartition("/")[0]) if parent),
            streams=True,
            limits=_limits(recipe, work.threads),
            readable=(source,),
            env=_private(work.directory),
        )
        return encode, Invocation(name=f"{CLEAN}:{name}", argv=command.clean(tools.media.ffmpeg.path, planned))

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        kind, _, rendition = invocation.name.partition(":")
        if kind != ENCODE:
            return ()
        if (told := _TOLD_VERSION.search(line)) is not None:
            self._version = told[1]
        key = (work.directory, invocation.name)
        now = self._progress[key] = progress.advance(self._progress.get(key, progress.Progress()), line)
        return progress.report(now, transcode_step(rendition))

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        kind, _, rendition = outcome.invocation.name.partition(":")
        if kind != ENCODE:
            return verdict.judge(outcome, reads_input=False)
        self._progress.pop((work.directory, outcome.invocation.name), None)
        return endings.judge(outcome, transcode_step(rendition))

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        recipe = _as_transcode(_recipe(work))
        try:
            verify.presence(recipe, files)
        except Rejected as rejected:
            return refusal(rejected)
        media = self._tools().media
        return checks.build(media.ffmpeg.path, media.ffprobe.path, recipe, work.threads)

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        recipe = _as_transcode(_recipe(work))
        by_name = {outcome.invocation.name: outcome for outcome in outcomes}
        try:
            proof = verify.verify(recipe, by_name, files)
        except Rejected as rejected:
            return refusal(rejected, by_name.get(f"{ENCODE}:{recipe.renditions[-1].rendition.name}"))
        result = AttemptResult(steps=_steps(work, by_name), tools=tool_uses(outcomes, self._names()))
        return Conclusion(facts=dict(report.output_facts(recipe, proof)), result=result)

    def _names(self) -> Mapping[str, ToolName]:
        tools = self._tools()
        return {tools.handbrake: ToolName("HandBrakeCLI", self._version), **tools.media.names}


def _steps(work: Work, by_name: Mapping[str, Outcome]) -> tuple[StepReport, ...]:
    """Each rendition's step took the time of its own process; those the source is too small for are skipped."""
    encodes = {transcode_step(name.partition(":")[2]): one for name, one in by_name.items() if name.startswith(f"{ENCODE}:")}
    return tuple(
        StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=round(encodes[step].wall_seconds, 3))
        if step in encodes
        else StepReport(name=step, state=StepState.SKIPPED, reason=report.SKIP_RENDITION)
        for step in work.steps
    )


def _as_transcode(recipe: HandbrakeRecipe) -> TranscodeRecipe:
    """The same renditions as FFmpeg would have made them: what is asked of them does not depend on the tool."""
    ladder = tuple(planned.model_copy(update={"playlist": None, "segments": None}) for planned in recipe.renditions)
    return TranscodeRecipe(source=recipe.source, renditions=ladder)


def _limits(recipe: HandbrakeRecipe, threads: int) -> Limits:
    wall = max(LEAST_WALL_S, WALL_PER_SECOND * float(Fraction(recipe.source.duration)))
    return Limits(wall_s=wall, cpu_s=int(wall * max(threads, 1)))


def _private(directory: str) -> tuple[tuple[str, str], ...]:
    """HandBrake keeps files of its own while it works; they belong to the attempt."""
    return (("TMPDIR", directory),)


def _input(work: Work) -> str:
    if work.input_path is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The HandBrake plugin was given a task without an input.")
    return work.input_path


def _recipe(work: Work) -> HandbrakeRecipe:
    if not isinstance(work.recipe, HandbrakeRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The HandBrake plugin does no task of kind {work.recipe.kind}.")
    return work.recipe
