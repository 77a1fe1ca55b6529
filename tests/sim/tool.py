"""The AttemptRunner of a box: work that takes virtual time, fails by its job's script, and stages its files."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dispatch.app.assembly import Core
from dispatch.core.staged_pieces import StagedPiece
from dispatch.services.uploads import Body
from engine.core import failures
from engine.core.attempts import Key, key_of
from engine.core.backoff import full_jitter
from engine.core.progress import Progress
from engine.core.slots import Slot
from engine.ports import Tell, Unreachable
from engine.shell.transfer import PATIENCE_S
from protocol.errors import ErrorCode, FailureClass, ReelyardError
from protocol.leases import Complete, Fail, Grant, InputAccess, Release, Report, TaskInput
from protocol.media import AudioStream, MediaFacts, VideoStream
from protocol.recipes import MeasureRecipe, NoopRecipe
from protocol.results import AttemptResult, Failure, StagedFile, StagedOriginal, StepReport
from protocol.states import StepState, TaskKind
from protocol.storage import Written
from tests.sim.ground import Ground
from tests.sim.measures import found
from tests.sim.minder import Fate, Minder
from tests.sim.network import is_passing
from tests.sim.plan import Film, JobPlan, Nature
from tests.sim.process import Process
from tests.sim.siblings import files_of, misread
from tests.sim.uploader import Connection
from tests.sim.watch import Watch

if TYPE_CHECKING:
    from tests.sim.box import Box

WORK_S = {
    TaskKind.ANALYZE: 0.5,
    TaskKind.MEASURE: 3.0,
    TaskKind.TRANSCODE: 6.0,
    TaskKind.NOOP: 4.0,
    TaskKind.TRANSCRIBE: 3.0,
    TaskKind.FRAMES: 2.0,
    TaskKind.PACKAGE: 1.0,
}
PARTS = 3
TRY_AGAIN = frozenset({ErrorCode.UPLOAD_OFFSET, ErrorCode.UPLOAD_LOCKED, ErrorCode.BODY_INCOMPLETE, ErrorCode.CHECKSUM_MISMATCH})
SOON_S = 5.0
"""An engine that is up finds its tools so soon, its disk refusing some writes."""

FACTS = MediaFacts(
    container="mov",
    duration="20",
    size_bytes=12,
    bitrate=4_000_000,
    video=VideoStream(index=0, codec="h264", width=1280, height=720, coded_width=1280, coded_height=720, frame_rate="25"),
    audio=(AudioStream(index=1, codec="aac", channels=2, sample_rate=48_000),),
    streams=2,
)
CODES = {
    FailureClass.INPUT: ErrorCode.INPUT_CORRUPT,
    FailureClass.POLICY: ErrorCode.INPUT_LIMITS,
    FailureClass.ENGINE: ErrorCode.TOOL_FAILED,
    FailureClass.INTERNAL: ErrorCode.PLUGIN_FAILED,
    FailureClass.INFRA: ErrorCode.TRANSFER_FAILED,
}


@dataclass(slots=True)
class Bench:
    """What all tools of a world share. `plans` are those of the jobs, by number; `deaths` count engine processes a job cost."""

    ground: Ground
    watch: Watch
    plans: dict[int, JobPlan]
    failed: Counter[int] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a tool was begun, by job and kind."""
    films: dict[int, bytes] = field(default_factory=dict)
    """What each attempt fetched from its job's URL, by token."""

    def plan_of(self, job_id: str) -> JobPlan:
        return self.plans[self.watch.numbers[job_id]]

    def noted(self, job_id: str, final: Report) -> None:
        """A box has a result on its disk. That a tool died of its memory nobody knows before."""
        self.ground.count["wanted back"] += isinstance(final, Release) and final.reason == "wanted back"
        if self.plan_of(job_id).nature is Nature.EATS_MEMORY and isinstance(final, Fail) and final.failure.is_engine_death:
            self.deaths[job_id] += 1


class _Lost(Exception):
    """The tool was begun by an engine before this one, and is gone without an end; the text says how."""


class Tool:
    """One process's AttemptRunner. The tools themselves are their minders', and outlive it."""

    def __init__(self, bench: Bench, process: Process, box: Box) -> None:
        self._bench, self._process, self._box, self._ground = bench, process, box, bench.ground
        self._slots: set[Slot] = set()

    def instant(self, grant: Grant) -> Complete | Fail | None:
        if not isinstance(grant.recipe, NoopRecipe) or grant.recipe.seconds > 0:
            return None
        self._process.check()
        self._bench.runs[(grant.job_id, grant.kind.value)] += 1
        return _complete(grant, AttemptResult(steps=_done(grant)))

    async def run(self, grant: Grant, slot: Slot, tell: Tell) -> Complete | Fail:
        self._check_started(grant, slot)
        try:
            return await self._work(grant, tell)
        except _Lost as lost:
            return _fail(grant, failures.tool_lost(f"the tool was {lost}", {}))
        except Unreachable as lost:
            return _fail(grant, failures.transfer_failed(str(lost)))
        except ReelyardError as error:
            return _fail(grant, failures.transfer_failed(error.message))
        finally:
            self._slots.discard(slot)

    def finish(self, key: Key) -> None:
        """Nothing of this world streams."""

    async def forget(self, key: Key) -> None:
        self._process.check()
        minder = self._box.disk.journals.pop(key, None)
        if minder is not None and minder.fate(self._ground.time) is Fate.RUNS:
            raise self._ground.broken(f"{self._box.own.name} forgot {key}, whose tool runs on")

    async def sweep(self, keep: Collection[Key]) -> None:
        """What nobody keeps is told to end."""
        self._process.check()
        for key in self._box.disk.journals.keys() - set(keep):
            del self._box.disk.journals[key]

    def _check_started(self, grant: Grant, slot: Slot) -> None:
        """No tool runs before the disk says that it was started and where, nor in a slot where one runs."""
        self._process.check()
        row = self._box.disk.rows.get(key_of(grant))
        if row is None or not row.is_started:
            raise self._ground.broken(f"{self._box.own.name} ran {key_of(grant)} before its disk had it as started")
        if row.slot != slot.name or slot in self._slots:
            raise self._ground.broken(f"{self._box.own.name} ran {key_of(grant)} in slot {slot.name}, which is not free for it")
        self._slots.add(slot)

    async def _work(self, grant: Grant, tell: Tell) -> Complete | Fail:
        progress = Progress(grant.steps, uploads=grant.staging_url is not None)
        known = self._box.disk.journals.get(key_of(grant))
        if known is None and grant.input is not None:
            await self._fetch(grant, grant.input)
        for one in grant.inputs:
            await self._read(one)
        minder = self._begun(grant) if known is None else self._taken_over(key_of(grant), known)
        try:
            failure = await self._follow(grant, minder, lambda steps: tell(progress.told(steps)))
        except asyncio.CancelledError:
            if self._process.is_dead:
                minder.leave(self._ground.time)
            else:
                minder.is_stopped = True
            raise
        if failure is not None:
            return _fail(grant, failure)
        if grant.kind is TaskKind.ANALYZE:
            original = await self._stage_original(grant)
            return _complete(grant, AttemptResult(analysis=FACTS, steps=_done(grant), original=original))
        files = await self._stage(grant) if grant.staging_url is not None else ()
        tell(progress.uploaded(1.0))
        measured = found(grant.recipe, grant.token) if isinstance(grant.recipe, MeasureRecipe) else None
        self._ground.count["found by measuring"] += measured is not None
        return _complete(grant, AttemptResult(files=files, steps=_done(grant), measured=measured))

    def _begun(self, grant: Grant) -> Minder:
        self._bench.runs[(grant.job_id, grant.kind.value)] += 1
        self._ground.note("runs", self._box.own.name, grant.task_id, grant.token)
        moments, moment = [], self._ground.time
        for _ in range(PARTS):
            moment += self._box.plan.pace * WORK_S[grant.kind] / PARTS * self._ground.rng.uniform(0.5, 2.0)
            moments.append(moment)
        minder = self._box.disk.journals[key_of(grant)] = Minder(tuple(moments), self._box.plan.reattach_s)
        return minder

    def _taken_over(self, key: Key, minder: Minder) -> Minder:
        now, name = self._ground.time, self._box.own.name
        fate = minder.attach(now)
        self._ground.note("takes over", name, key.task_id, key.token, fate.value)
        if fate is Fate.LEFT and minder.gone_at > self._box.awake_since + SOON_S:
            raise self._ground.broken(f"{name} was back in time for {key}, and did not look for its tool")
        if fate in (Fate.LEFT, Fate.STOPPED):
            raise _Lost(fate.value)
        self._ground.count["tool taken over"] += 1
        return minder

    async def _follow(self, grant: Grant, minder: Minder, told: Callable[[list[StepReport]], None]) -> Failure | None:
        for part, moment in enumerate(minder.parts, start=1):
            await self._spend(max(0.0, moment - self._ground.time))
            told([StepReport(name=n, state=StepState.RUNNING, progress=part / PARTS) for n in grant.steps])
            if not minder.is_judged:
                minder.is_judged = True
                failure = self._mishap(grant)
                if failure is not None:
                    minder.is_stopped = True
                    return failure
        return None

    async def _spend(self, seconds: float) -> None:
        if self._ground.hits("kill engine at work", self._ground.rates.kill_engine):
            self._process.die()
        await self._ground.sleep(seconds)
        await self._box.line.thawed()
        self._process.check()

    def _mishap(self, grant: Grant) -> Failure | None:
        """What the job's plan lets happen to an attempt of its main task."""
        if grant.kind is TaskKind.ANALYZE:
            return None
        plan = self._bench.plan_of(grant.job_id)
        if plan.nature is Nature.CRASHES_ENGINES:
            self._bench.deaths[grant.job_id] += 1
            self._box.crash("Fatal Python error: Segmentation fault", key_of(grant))
            self._process.check()
        if plan.nature is Nature.EATS_MEMORY:
            return Failure(
                failure_class=FailureClass.ENGINE, code=ErrorCode.TASK_MEMORY, message="over its limit", is_engine_death=True
            )
        at = self._bench.failed[plan.number]
        if at >= len(plan.failures):
            return None
        self._bench.failed[plan.number] += 1
        wanted = plan.failures[at]
        return Failure(failure_class=wanted, code=CODES[wanted], message=f"scripted {wanted}")

    async def _fetch(self, grant: Grant, access: InputAccess) -> None:
        if access.remote is None:
            _, _, _, signature, path = access.url.split("/", 4)
            await self._patiently(lambda core: core.services.files.open_signed(signature, "GET", path))
            return
        await self._spend(0.5)
        if self._ground.hits("fetch fails", self._ground.rates.lose):
            raise Unreachable("the world outside does not answer")
        is_steady = self._bench.plan_of(grant.job_id).film is Film.STEADY
        self._bench.films[grant.token] = f"{access.remote.url} {'' if is_steady else grant.token}".encode()

    async def _stage_original(self, grant: Grant) -> StagedOriginal | None:
        content = self._bench.films.get(grant.token)
        if content is None or grant.staging_url is None:
            return None
        _, _, _, signature, prefix = grant.staging_url.split("/", 4)
        await self._put(signature, f"{prefix}/original.mp4", content)
        return StagedOriginal(path="original.mp4", size=len(content), sha256=hashlib.sha256(content).hexdigest())

    async def _read(self, one: TaskInput) -> None:
        """What a sibling staged."""
        self._ground.count["read of a sibling"] += 1
        if (wrong := misread(one, self._bench.watch.tasks)) is not None:
            raise self._ground.broken(wrong)
        _, _, _, signature, path = one.access.url.split("/", 4)
        await self._patiently(lambda core: core.services.files.open_signed(signature, "GET", path))

    async def _stage(self, grant: Grant) -> tuple[StagedFile, ...]:
        assert grant.staging_url is not None
        _, _, _, signature, prefix = grant.staging_url.split("/", 4)
        staged = []
        for path, facts in files_of(grant.recipe):
            content = f"{path} by {self._box.own.name} under {grant.task_id} {grant.token}".encode()
            put = self._put_pieces if self._bench.plan_of(grant.job_id).pieces else self._put
            await put(signature, f"{prefix}/{path}", content)
            sha256 = hashlib.sha256(content).hexdigest()
            staged.append(StagedFile(path=path, size=len(content), sha256=sha256, facts=facts))
        return tuple(staged)

    async def _put_pieces(self, signature: str, path: str, content: bytes) -> None:
        """As the engine stages large files: from what dispatch says it has, to the digest of all of it."""
        whole, half = Written(len(content), hashlib.sha256(content).hexdigest()), max(1, len(content) // 2)

        async def send(core: Core) -> bool:
            staging = core.services.staging
            at = await staging.received(signature, path, Connection())
            piece = StagedPiece(at, whole if at >= whole.size else None)
            return await staging.take(signature, path, piece, Body(halves(content[at : at + half]), Connection())) < at

        while True:
            try:
                await self._patiently(send)
            except ReelyardError as error:
                if error.code is ErrorCode.FILE_EXISTS:
                    return
                if error.code not in TRY_AGAIN:
                    raise
                await self._spend(1.0)

    async def _put(self, signature: str, path: str, content: bytes) -> None:
        async def blocks() -> AsyncIterator[bytes]:
            yield content

        async def handler(core: Core) -> Written:
            return await core.services.files.stage(signature, path, blocks())

        try:
            await self._patiently(handler)
        except ReelyardError as error:
            if error.code is not ErrorCode.FILE_EXISTS:  # one we put there in a try whose answer was lost
                raise

    async def _patiently(self, handler: object) -> None:
        """As the engine's transfers: again and again, until nothing has moved for PATIENCE_S."""
        began, tries = self._ground.time, 0
        while True:
            try:
                await self._box.network.call(self._box.line, handler)  # type: ignore[arg-type]  # results of both kinds are dropped
            except (Unreachable, ReelyardError) as problem:
                if isinstance(problem, ReelyardError) and not is_passing(problem):
                    raise
                if self._ground.time - began > PATIENCE_S:
                    raise
                tries += 1
                await self._spend(full_jitter(tries, self._ground.rng.random()))
            else:
                self._process.check()
                return


async def halves(piece: bytes) -> AsyncIterator[bytes]:
    for block in (piece[: len(piece) // 2], piece[len(piece) // 2 :]):
        if block:
            yield block


def _done(grant: Grant) -> tuple[StepReport, ...]:
    return tuple(StepReport(name=name, state=StepState.COMPLETED, progress=1.0) for name in grant.steps)


def _complete(grant: Grant, result: AttemptResult) -> Complete:
    return Complete(task_id=grant.task_id, token=grant.token, result=result)


def _fail(grant: Grant, failure: Failure) -> Fail:
    return Fail(task_id=grant.task_id, token=grant.token, failure=failure)
