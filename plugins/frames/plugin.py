"""The transcoder plugin for `frames` tasks: FFmpeg takes the pictures, a process of ours zips them and reads them back."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from fractions import Fraction

from plugins.frames import command, verify, zipper
from plugins.frames.choice import Choice, choose
from plugins.media import progress, verdict
from plugins.media.calling import quiet
from plugins.media.locate import Located
from plugins.media.record import ToolName, refusal, tool_uses
from plugins.media.rejected import Rejected
from protocol.capabilities import PluginDescription
from protocol.errors import ErrorCode, ReelyardError
from protocol.extras import MOST_ZIP_BYTES, PictureFormat
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import FramesRecipe
from protocol.results import AttemptResult, Failure, FileRole, OutputFacts, StepReport
from protocol.states import StepState, TaskKind
from protocol.steps import EXTRACT_FRAMES

PICTURES, ZIP = "pictures", "zip"
TRIAL_LIMITS = Limits(wall_s=30.0, cpu_s=60, memory_bytes=2 << 30, file_bytes=1 << 20)
ZIP_LIMITS = Limits(wall_s=4 * 3600.0, memory_bytes=1 << 30, file_bytes=MOST_ZIP_BYTES + (1 << 30))
CHECK_LIMITS = Limits(wall_s=3600.0, cpu_s=3600, memory_bytes=1 << 30)
LEAST_WALL_S, WALL_PER_SECOND = 4 * 3600.0, 10.0

PYTHON, SCRIPT = os.path.realpath(sys.executable), os.path.abspath(zipper.__file__)
PYTHON_FILES = (sys.base_prefix, SCRIPT)
"""What the zipper's process reads: the interpreter with its standard library, and the script."""


class FramesPlugin:
    """Keeps nothing but where the tools are, and how far each running extraction is (for a progress that never falls)."""

    name = "frames"
    operations: tuple[str, ...] = (TaskKind.FRAMES,)

    def __init__(self) -> None:
        self._tools = Located()
        self._progress: dict[str, progress.Progress] = {}

    def probes(self, directory: str) -> Sequence[Invocation]:
        """A picture of each format, of a grid as a recipe asks for. Raises ReelyardError(TOOL_MISSING)."""
        self._tools.forget()
        head = (self._tools().ffmpeg.path, "-y", *quiet(), "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25")
        chosen = ("-vf", "fps=fps=25:start_time=0,select='lt(mod(n*1,5),1)'", "-frames:v", "2", "-fps_mode", "passthrough")
        return tuple(
            Invocation(
                name=f"trial:{kind.value}",
                argv=(*head, *chosen, *command.ENCODERS[kind], "-pix_fmt", command.PIXELS[kind], "-f", "null", "-"),
                limits=TRIAL_LIMITS,
            )
            for kind in PictureFormat
        )

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        failed = [one.invocation.name for one in outcomes if one.exit_code != 0 or one.timed_out]
        can = () if failed else self.operations
        return PluginDescription(
            name=self.name,
            version=f"ffmpeg {self._tools().ffmpeg.version}",
            operations=can,
            capabilities=tuple(f"operation:{operation}" for operation in can),
            problem=f"FFmpeg cannot take pictures: {', '.join(failed)}" if failed else None,
        )

    def plan(self, work: Work) -> Sequence[Invocation]:
        """Nothing for what is refused: `checks` tells why."""
        recipe, ffmpeg, source = _recipe(work), self._tools().ffmpeg.path, _input(work)
        try:
            choice = choose(recipe.source, recipe.frames)
        except Rejected:
            return ()
        self._progress[work.directory] = progress.Progress()
        wall = max(LEAST_WALL_S, WALL_PER_SECOND * float(Fraction(recipe.source.duration)))
        parent = recipe.path.rpartition("/")[0]
        return (
            Invocation(
                name=PICTURES,
                argv=command.pictures(ffmpeg, recipe, choice, work.threads),
                reads=(source,),
                makes=tuple(one for one in (command.PICTURES, command.PROOF, parent) if one),
                streams=True,
                limits=Limits(wall_s=wall, cpu_s=int(wall * max(work.threads, 1))),
            ),
            Invocation(name=ZIP, argv=command.pack(PYTHON, SCRIPT, recipe), limits=ZIP_LIMITS, readable=PYTHON_FILES),
        )

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        if invocation.name != PICTURES:
            return ()
        goal = _goal(_recipe(work))
        now = progress.advance(self._progress.get(work.directory, progress.Progress()), line, goal)
        self._progress[work.directory] = now
        return progress.reports(now, (EXTRACT_FRAMES,), goal)

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        match outcome.invocation.name:
            case "pictures":
                self._progress.pop(work.directory, None)
                return verdict.judge(outcome, reads_input=True, step=EXTRACT_FRAMES)
            case "zip":
                rows = (verify.too_large(_recipe(work)),) if outcome.exit_code == zipper.TOO_LARGE else verify.ZIP_ROWS
                return verdict.judge_by(outcome, rows, EXTRACT_FRAMES)
            case _:
                return verdict.judge(outcome, reads_input=False, step=EXTRACT_FRAMES)

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        recipe = _recipe(work)
        try:
            choose(recipe.source, recipe.frames)
            verify.presence(recipe, files)
        except Rejected as rejected:
            return refusal(rejected)
        prove = command.prove(PYTHON, SCRIPT, recipe.path)
        decode = command.decode(self._tools().ffmpeg.path, recipe)
        return (
            Invocation(name=verify.PROVE, argv=prove, limits=CHECK_LIMITS, readable=PYTHON_FILES),
            Invocation(name=verify.DECODE, argv=decode, limits=CHECK_LIMITS),
        )

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        recipe, by_name = _recipe(work), {outcome.invocation.name: outcome for outcome in outcomes}
        try:
            choice = choose(recipe.source, recipe.frames)
            count = verify.verify(recipe, choice, by_name)
        except Rejected as rejected:
            return refusal(rejected, by_name.get(PICTURES))
        seconds = round(sum(outcome.wall_seconds for outcome in outcomes), 3)
        steps = tuple(
            StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds) for step in work.steps
        )
        names = {**self._tools().names, PYTHON: ToolName("python", sys.version.partition(" ")[0])}
        return Conclusion(facts={recipe.path: _facts(recipe, choice, count)}, result=_result(steps, outcomes, names))


def _facts(recipe: FramesRecipe, choice: Choice, count: int) -> OutputFacts:
    width, height = choice.size
    kind = recipe.frames.format.value
    return OutputFacts(role=FileRole.FRAMES, codec=kind, width=width, height=height, frame_count=count)


def _result(steps: tuple[StepReport, ...], outcomes: Sequence[Outcome], names: dict[str, ToolName]) -> AttemptResult:
    """The script is named without its place on this machine."""
    tools = tool_uses(outcomes, names)
    told = tuple(use.model_copy(update={"argv": tuple("zipper.py" if w == SCRIPT else w for w in use.argv)}) for use in tools)
    return AttemptResult(steps=steps, tools=told)


def _goal(recipe: FramesRecipe) -> progress.Goal:
    choice = choose(recipe.source, recipe.frames)
    seconds = Fraction(recipe.source.duration)
    frames = choice.expected or max(1, round(seconds * choice.rate * choice.share))
    return progress.Goal(frames=frames, seconds=float(seconds), rate=float(choice.rate * choice.share))


def _input(work: Work) -> str:
    if work.input_path is None:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, "The frames plugin was given a task without an input.")
    return work.input_path


def _recipe(work: Work) -> FramesRecipe:
    if not isinstance(work.recipe, FramesRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The frames plugin does no task of kind {work.recipe.kind}.")
    return work.recipe
