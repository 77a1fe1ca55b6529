"""Puts one file through the real path: fetched over HTTP, analyzed, planned as dispatch plans, transcoded, checked, staged."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from engine.clock import SystemClock
from engine.core.attempts import key_of
from engine.core.servers import Servers
from engine.core.slots import Slot, SlotKind
from engine.shell.fetch import Fetcher
from engine.shell.process import Tools
from engine.shell.remote import RemoteInputs
from engine.shell.runner import Runner
from engine.shell.sandbox import Sandboxing
from engine.shell.sandbox_check import SandboxCheck
from engine.shell.scratch import Scratch
from engine.shell.transfer import Transfer
from plugins.ffmpeg.plugin import FFmpegPlugin
from protocol.encoding import Preset
from protocol.leases import Complete, Fail, Grant, InputAccess
from protocol.media import MediaFacts
from protocol.packaging import HlsPackaging
from protocol.plugins import Invocation, Limits, MadeFile, Outcome, Work
from protocol.recipes import AnalyzeRecipe, InputLimits, PlannedAudio, TranscodeRecipe
from protocol.results import Failure, StepReport
from protocol.sounds import AudioFile
from protocol.states import TaskKind
from protocol.steps import EXTRACT_AUDIO_MP3, UPLOAD_SOURCE, VALIDATE_VIDEO
from tests.ffmpeg_recipes import steps, web
from tests.hostile.cases import VALID, Case
from tests.hostile.detectors import Bait, tells_a_secret
from tests.hostile.ground import HEIGHT, WIDTH
from tests.integration.engine_dispatch import Dispatch, serving

MEMORY_CAP, WALL_CAP_S, CPU_CAP_S = 1 << 30, 60.0, 10
"""What one tool process may use here; the numbers of the farm are larger, so that real films fit."""

WHOLE = frozenset({"reference", "picture", "other"})
"""Kinds that get segments and an MP3 besides the film; the others get the film and thumbnails, in half the processes."""

SLOT = Slot("cpu-0", SlotKind.CPU)
SEGMENTS = HlsPackaging(segment_seconds=2)
PICTURE_LIMITS = InputLimits(min_width=WIDTH, min_height=HEIGHT)
SOUND_LIMITS = InputLimits(needs_video=False, needs_audio=True)
PATH_WORDS = re.compile(r"/(?:tmp|home|root|var|work|usr|etc)/| @ 0x|input$")


class CappedPlugin(FFmpegPlugin):
    """The real plugin with smaller caps; it keeps every outcome it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[Outcome] = []

    def plan(self, work: Work) -> Sequence[Invocation]:
        return [_capped(invocation) for invocation in super().plan(work)]

    def checks(self, work: Work, files: Sequence[MadeFile]) -> Sequence[Invocation] | Failure:
        found = super().checks(work, files)
        return found if isinstance(found, Failure) else [_capped(invocation) for invocation in found]

    def judge(self, work: Work, outcome: Outcome) -> Failure | None:
        self.outcomes.append(outcome)
        return super().judge(work, outcome)


def _capped(invocation: Invocation) -> Invocation:
    limits = invocation.limits
    memory, wall = min(limits.memory_bytes, MEMORY_CAP), min(limits.wall_s, WALL_CAP_S)
    capped = Limits(wall_s=wall, cpu_s=CPU_CAP_S, memory_bytes=memory, file_bytes=min(limits.file_bytes, 1 << 30))
    return replace(invocation, limits=capped)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a file. `code` is VALID or the failure's; `faults` are the promises that were broken."""

    code: str
    stage: str
    failure: Failure | None
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass
class Range:
    """Where files are tried, one after the other. It serves them as dispatch does and keeps what is staged."""

    dispatch: Dispatch
    runner: Runner
    plugin: CappedPlugin
    bait: Bait
    scratch: Path
    clock: SystemClock = field(default_factory=SystemClock)
    _count: int = 0

    async def trial(self, case: Case) -> Verdict:
        return await self.judged(case.make(self.bait.ground), case.filename, sound=case.sound, whole=case.kind in WHOLE)

    async def judged(
        self, content: bytes, filename: str, *, sound: bool, whole: bool = True, strict: bool = False, allows_damage: bool = False
    ) -> Verdict:
        self.dispatch.files.clear()
        self.dispatch.files["inputs/a"] = content
        self.plugin.outcomes.clear()
        self.bait.trips()
        began = self.clock.now()
        limits = (SOUND_LIMITS if sound else PICTURE_LIMITS).model_copy(update={"strict": strict})
        first = AnalyzeRecipe(limits=limits, allows_damage=allows_damage)
        stage, last, made = await self._run(first, filename, len(content), sound=sound, whole=whole)
        seconds = self.clock.now() - began
        failure = last.failure if isinstance(last, Fail) else None
        code = failure.code.value if failure else VALID
        peak = max((outcome.peak_memory_bytes for outcome in self.plugin.outcomes), default=0)
        told = "\n".join(one.model_dump_json() for one in made)
        cpu = sum(outcome.cpu_seconds for outcome in self.plugin.outcomes)
        warnings = tuple(warning for one in made if isinstance(one, Complete) for warning in one.result.warnings)
        faults = tuple(sorted(self._faults(failure, told, content)))
        return Verdict(code, stage, failure, seconds, cpu, peak, faults, warnings)

    async def _run(
        self, recipe: AnalyzeRecipe, filename: str, size: int, *, sound: bool, whole: bool
    ) -> tuple[str, Complete | Fail, list[Complete | Fail]]:
        analyzed = await self._attempt(self._grant(recipe, (VALIDATE_VIDEO, UPLOAD_SOURCE), filename, size))
        if isinstance(analyzed, Fail):
            return "analyze", analyzed, [analyzed]
        assert analyzed.result.analysis is not None
        facts = MediaFacts.model_validate_json(analyzed.result.analysis.model_dump_json())
        planned, done = _plan(facts, sound=sound, whole=whole)
        planned = planned.model_copy(update={"allows_damage": recipe.allows_damage})
        encoded = await self._attempt(self._grant(planned, done, filename, size))
        return "transcode", encoded, [analyzed, encoded]

    def _grant(self, recipe: AnalyzeRecipe | TranscodeRecipe, steps: tuple[str, ...], filename: str, size: int) -> Grant:
        self._count += 1
        return Grant(
            task_id=f"tsk_{self._count}",
            token=self._count,
            job_id="job_1",
            kind=TaskKind(recipe.kind),
            recipe=recipe,
            steps=steps,
            lease_s=60.0,
            estimate_s=1.0,
            input=InputAccess(url="/files/s/sig.1/inputs/a", filename=filename, size=size),
            staging_url=f"{self.dispatch.url}/files/s/sig.1/staging/{self._count}",
        )

    async def _attempt(self, grant: Grant) -> Complete | Fail:
        report = await self.runner.run(grant, SLOT, _quiet)
        await self.runner.forget(key_of(grant))
        return report

    def _faults(self, failure: Failure | None, told: str, content: bytes) -> set[str]:
        """Every promise this file broke."""
        found = self.bait.trips()
        staged = b"".join(body for path, body in self.dispatch.files.items() if path.startswith("staging/"))
        if tells_a_secret(staged) or tells_a_secret(told.encode()):
            found.add("told a secret")
        if failure is not None and PATH_WORDS.search(failure.message):
            found.add("told a path")
        if failure is not None and str(self.scratch) in failure.log_tail:
            found.add("logged a path")
        if any(outcome.peak_memory_bytes > MEMORY_CAP for outcome in self.plugin.outcomes):
            found.add("memory over its cap")
        if failure is not None and self.dispatch.puts:
            found.add("staged something of a failure")
        self.dispatch.puts = 0
        if self.dispatch.files["inputs/a"] != content or any(self.scratch.iterdir()):
            found.add("left something behind")
        return found


def _plan(facts: MediaFacts, *, sound: bool, whole: bool) -> tuple[TranscodeRecipe, tuple[str, ...]]:
    if sound:
        return TranscodeRecipe(source=facts, renditions=(), audio=PlannedAudio(audio=AudioFile(), path="audio/a.mp3")), (
            EXTRACT_AUDIO_MP3,
        )
    recipe = web(facts, heights=(HEIGHT,), hls=SEGMENTS if whole else None, preset=Preset.ULTRAFAST)
    return (recipe if whole else recipe.model_copy(update={"audio": None})), steps((HEIGHT,))


def _quiet(told: tuple[StepReport, ...]) -> None:
    return


async def best_sandbox(scratch: Path) -> Sandboxing:
    """The best tier that holds on this machine, proven as an engine proves it at its start."""
    return await SandboxCheck(lambda tried: Tools(SystemClock(), confinement=tried.of), scratch).choose(None)


@asynccontextmanager
async def ranged(bait: Bait, scratch: Path, sandboxing: Sandboxing) -> AsyncIterator[Range]:
    """A range with a server on loopback, in that sandbox."""
    chance = random.Random(1).random
    async with serving(Dispatch()) as dispatch, aiohttp.ClientSession() as session:
        clock, plugin = SystemClock(), CappedPlugin()
        transfer = Transfer(session, Servers([dispatch.url]), clock, chance, 60.0)
        remote = RemoteInputs(Fetcher(clock, chance))
        plugins = dict.fromkeys(plugin.operations, plugin)
        runner = Runner(plugins, Scratch(scratch), Tools(clock, confinement=sandboxing.of), transfer, remote)
        await runner.sweep(())  # which makes the scratch directory, as at the start of an engine
        yield Range(dispatch, runner, plugin, bait, scratch)
