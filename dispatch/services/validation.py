"""Dry runs: an engine looks at an input, nothing is made of it, and nothing of it stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from dispatch.core import endings, planning, purging, tenancy, validation
from dispatch.core.callers import Caller
from dispatch.core.paging import MOST, Wanted
from dispatch.core.planning import Demands, Frame
from dispatch.core.plans import Planned
from dispatch.core.purging import Reason
from dispatch.core.records import NO_TENANT, Graph, Job, Source, Task, Upload
from dispatch.core.sniffing import SNIFF_BYTES
from dispatch.ports import Clock, Commit, Ids, Store, Transaction
from dispatch.services.crowding import AtOnce
from dispatch.services.profiles import ProfileBook
from dispatch.services.purging import save_purge
from dispatch.services.sources import Checked, Sources
from protocol.care import ValidationReply
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission
from protocol.profiles import Profile
from protocol.recipes import Pace, Recipe
from protocol.states import TERMINAL_JOB_STATES
from protocol.storage import NotFound, StorageProvider

log = structlog.get_logger("validation")
WAIT_S, RETRY_AFTER_S = 10.0, 5.0
MOST_OF_A_TENANT = 8
"""Dry runs under way: they go before all other work, so nobody may fill the farm with them."""


class Farm(Protocol):
    def can_serve(self, task: Task) -> bool:
        """Whether some engine is there, takes work, and fits the task."""
        ...

    def speed_of(self, pace: Pace) -> float | None:
        """Frames a second, the middle of what engines that take work have measured; None where none has."""
        ...


class Uploads(Protocol):
    async def usable(self, who: Caller, upload_id: str) -> Upload: ...


@dataclass(frozen=True, slots=True)
class Inputs:
    """What inputs are held against before an engine sees them."""

    sources: Sources
    uploads: Uploads
    profiles: ProfileBook
    storage: StorageProvider


class ValidationService:
    """A CommitListener: whoever waits hears of the end of its job with the commit. A duty sweeps what nobody waits for."""

    def __init__(self, store: Store, inputs: Inputs, farm: Farm, ids: Ids, clock: Clock, *, others_s: float = 0.0) -> None:
        """`others_s`: how long the calls of other servers on the same database may take; a look is swept after that."""
        self._store, self._inputs, self._farm = store, inputs, farm
        self._ids, self._clock, self._others_s = ids, clock, others_s
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._at_once = AtOnce(MOST_OF_A_TENANT, "dry runs", retry_after_s=RETRY_AFTER_S)
        self._is_closed = False

    def __call__(self, commit: Commit) -> None:
        if not self._waiting:
            return
        for job in commit.jobs:
            if job.state in TERMINAL_JOB_STATES:
                self._end(job.job_id)

    def close(self) -> None:
        """The server stops: nobody waits any longer, now and later."""
        self._is_closed = True
        for job_id in list(self._waiting):
            self._end(job_id)

    def _end(self, job_id: str) -> None:
        waiting = self._waiting.get(job_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    async def validate(self, who: Caller, submission: JobSubmission) -> ValidationReply:
        """Raises NO_ENGINE when none fits, or none has told within the wait; RATE_LIMITED; and what a submission would be
        refused with that is not about its input."""
        profiles = await self._profiles()
        try:
            checked = await self._checked(who, submission)
        except ReelyardError as refused:
            if not _is_about_input(refused.code):
                raise
            return validation.refused(refused.code, refused.message, profiles)
        if checked.profile.is_noop or checked.profile.live is not None:
            warnings = () if checked.profile.is_noop else (validation.NOT_THERE_YET,)
            return ValidationReply(
                valid=True, video_info=None, transcoding_options={}, problems=(), estimate=None, warnings=warnings
            )
        self._check_open()
        with self._at_once.turn(who.tenant):
            graph = self._graph(who, checked)
            reply = validation.reply_of(await self._look(graph), profiles, self._known(graph.tasks[0]))
        if reply is None:
            self._check_open()
            raise ReelyardError(ErrorCode.NO_ENGINE, retry_after=RETRY_AFTER_S)
        if checked.profile.attachments:
            return reply.model_copy(update={"warnings": (*reply.warnings, validation.NOT_BROUGHT)})
        return reply

    def _known(self, task: Task) -> validation.Farm:
        """`task` has what the submission asks of every engine; its own operation is that of none of the plans."""

        def finds(plan: Planned[Recipe]) -> bool:
            own = {need for need in task.needs if not need.startswith("operation:")}
            needs = {f"operation:{plan.recipe.kind}", *own, *plan.needs}
            return self._farm.can_serve(replace(task, needs=tuple(sorted(needs))))

        return validation.Farm(finds, self._farm.speed_of)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ReelyardError(ErrorCode.SHUTTING_DOWN, retry_after=RETRY_AFTER_S)

    async def run_once(self) -> None:
        """Remove what an earlier run of a server left, and what outlived its call."""
        for job_id in await self._store.read(self._left):
            if job_id not in self._waiting:
                await self._store.transact(_concluding(job_id, now=self._clock.now()))
                log.info("validation_swept", job=job_id)

    def _left(self, tx: Transaction) -> list[str]:
        before = self._clock.now() - self._others_s
        graphs = tx.graphs(tx.jobs_of(NO_TENANT))
        return [job_id for job_id, graph in graphs.items() if graph.job.created_at <= before]

    async def _profiles(self) -> Sequence[Profile]:
        return (await self._inputs.profiles.list(Wanted(limit=MOST))).profiles

    async def _checked(self, who: Caller, submission: JobSubmission) -> Checked:
        """An upload is read where it lies: it can still be submitted afterwards."""
        checked = await self._inputs.sources.check(who, submission, needs_keys=False)
        upload_id = None if submission.input is None else submission.input.upload_id
        if upload_id is None:
            return checked
        upload = await self._inputs.uploads.usable(who, upload_id)
        try:
            head = b"".join([block async for block in await self._inputs.storage.read(upload.path, 0, SNIFF_BYTES)])
        except NotFound:
            raise ReelyardError(ErrorCode.UPLOAD_GONE, details={"upload_id": upload_id}) from None
        self._inputs.sources.check_bytes(upload.received, head)
        return replace(checked, source=Source("storage", upload.path, upload.filename, upload.received))

    def _graph(self, who: Caller, checked: Checked) -> Graph:
        now, submission = self._clock.now(), checked.submission
        profile = validation.of_one_input(checked.profile)
        task_ids = tuple(self._ids.new("tsk", now) for _ in planning.task_kinds(profile))
        allows_damage, job_id = submission.allow_damaged, self._ids.new("job", now)
        frame = Frame(job_id, NO_TENANT, validation.HIGHEST_PRIORITY, now, task_ids, allows_damage=allows_damage)
        tenant = self._inputs.sources.tenant_of(who)
        needs = submission.required_capabilities | submission.requires | tenancy.needs_of(tenant)
        demands = Demands(tuple(sorted(needs)), tuple(sorted(submission.tags)))
        limits = self._inputs.sources.limits_for(who, submission)
        return validation.graph_of(frame, checked.source, profile.model_dump_json(), limits, demands)

    async def _look(self, graph: Graph) -> Job:
        """The job at its end; by then it is gone from the database. What an error leaves there, the duty sweeps."""
        if not self._farm.can_serve(graph.tasks[0]):
            raise ReelyardError(ErrorCode.NO_ENGINE, "no engine that takes work fits this input", retry_after=RETRY_AFTER_S)
        job_id = graph.job.job_id
        ended = self._waiting[job_id] = asyncio.get_running_loop().create_future()
        try:
            await self._store.transact(lambda tx: tx.insert([graph]))
            await self._wait(ended)
            return await self._store.transact(_concluding(job_id, now=self._clock.now())) or graph.job
        finally:
            del self._waiting[job_id]

    async def _wait(self, ended: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                await ended
        except TimeoutError:
            return


def _concluding(job_id: str, *, now: float) -> Callable[[Transaction], Job | None]:
    """Take the job away, cancelled first when it still runs: its engine is told, and its late report is stale."""

    def conclude(tx: Transaction) -> Job | None:
        graph = tx.graphs([job_id]).get(job_id)
        if graph is None:
            return None
        if graph.job.state not in TERMINAL_JOB_STATES:
            tx.save([graph], [endings.cancel(graph, now=now)])
            graph = tx.graphs([job_id])[job_id]
        save_purge(tx, purging.everything(graph, Reason.VALIDATED, now=now), now=now)
        return graph.job

    return conclude


def _is_about_input(code: ErrorCode) -> bool:
    return code.startswith("INPUT_") and code is not ErrorCode.INPUT_KIND_UNSUPPORTED
