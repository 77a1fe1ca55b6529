"""Clients: they submit until they are told 202, cancel when they change their mind, and ask for a retry of what failed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from dispatch.app.assembly import Core
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.services.files import as_client_error
from dispatch.services.idempotency import Answered
from dispatch.services.submissions import Sent
from engine.ports import Unreachable
from protocol.admin import Scope
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobInput, JobSubmission, JobView, RetryRequest
from protocol.states import JobState
from protocol.storage import StorageError
from tests.sim.network import Line, Network, is_passing
from tests.sim.plan import FILMS, JobPlan
from tests.sim.receiver import OWN_URL
from tests.sim.tool import Bench
from tests.sim.uploader import CLIP, Uploader

OVER = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


@dataclass(slots=True)
class Client:
    """One job's client. `accepted` are all job ids it was ever told; `asked_*` whether a request may have arrived."""

    plan: JobPlan
    network: Network
    bench: Bench
    line: Line = field(init=False)
    accepted: list[str] = field(default_factory=list)
    asked_cancel: bool = False
    asked_retry: bool = False
    is_cancelled: bool = False
    is_purged: bool = False

    def __post_init__(self) -> None:
        self.line = Line(f"client{self.plan.number}")

    @property
    def who(self) -> Caller:
        return Caller("key_1", self.plan.tenant, frozenset(Scope))

    async def live(self) -> None:
        await asyncio.sleep(self.plan.at)
        await self._submit()
        if self.plan.cancel_after is not None:
            await asyncio.sleep(self.plan.cancel_after)
            await self._cancel()
        if self.plan.retries:
            await self._retry_once()
        if self.plan.purge_after is not None:
            await asyncio.sleep(self.plan.purge_after)
            await self._purge()

    async def _input(self) -> JobInput | None:
        """What the submission names; None when its bytes come with it, or there are none."""
        if self.plan.film is not None:
            return JobInput(url=f"https://films.example/{self.plan.number}.mp4?signature=1")
        if self.plan.pieces == 0 or self.plan.profile not in FILMS:
            return None
        uploader = Uploader(self.who, self.plan, self.network, self.line, self.bench.ground)
        return JobInput(upload_id=await uploader.send())

    async def _submit(self) -> None:
        submission = JobSubmission(
            profile=self.plan.profile,
            priority=self.plan.priority,
            tags=self.plan.tags,
            ttl_s=self.plan.ttl_s,
            max_attempts=self.plan.max_attempts,
            webhook_url=OWN_URL if self.plan.tenant == "default" else None,
            metadata={"number": self.plan.number},
            input=await self._input(),
        )
        fingerprint = hashlib.sha256(submission.model_dump_json().encode()).hexdigest()
        key = IdempotencyKey("submit", f"key-{self.plan.number}", fingerprint)

        async def handler(core: Core) -> Answered:
            return await self._take_in(core, submission, key)

        while True:
            try:
                answer = await self.network.call(self.line, handler)
            except (Unreachable, ReelyardError) as problem:
                if isinstance(problem, ReelyardError) and not is_passing(problem):
                    raise
                await asyncio.sleep(1.0)
                continue
            self.accepted.append(_job_of(answer))
            self.bench.ground.note("accepted", _job_of(answer), self.plan.number)
            return

    async def _take_in(self, core: Core, submission: JobSubmission, key: IdempotencyKey) -> Answered:
        """As the HTTP layer does it: the bytes first, then the job."""
        submissions = core.services.submissions
        if self.plan.profile not in FILMS or submission.input is not None:
            answer = await submissions.submit(self.who, submission, key)
        else:
            place = submissions.begin_upload(self.who, "clip.mp4")
            try:
                written = await core.services.storage.write(place.path, _blocks())
            except StorageError as error:
                raise as_client_error(error) from error
            answer = await submissions.submit_upload(self.who, place, Sent(written), submission, key)
        self.accepted.append(_job_of(answer))
        return answer

    async def _ask(self, what: str) -> JobView | None:
        """The job after the call; None when its state does not allow it."""

        async def handler(core: Core) -> JobView:
            job_id = self.accepted[-1]
            if what == "cancel":
                return await core.services.jobs.cancel(self.who, job_id)
            if what == "retry":
                again = await core.services.jobs.retry(self.who, job_id, RetryRequest())
                return JobView.model_validate_json(again.body)
            return await core.services.jobs.get(self.who, job_id)

        while True:
            try:
                return await self.network.call(self.line, handler)
            except ReelyardError as error:
                if error.code is ErrorCode.INVALID_TRANSITION:
                    return None
                if not is_passing(error):
                    raise
            except Unreachable:
                pass
            await asyncio.sleep(1.0)

    async def _cancel(self) -> None:
        self.asked_cancel = True
        view = await self._ask("cancel")
        if view is not None:
            self.is_cancelled = True
            if view.state is not JobState.CANCELLED:
                raise self.bench.ground.broken(f"{view.job_id} was cancelled and is {view.state}")

    async def _retry_once(self) -> None:
        """Once the job has ended, look at it; if it has failed, ask for another try."""
        while self.bench.watch.jobs[self.accepted[-1]].state not in OVER:  # noqa: ASYNC110  # a client polls
            await asyncio.sleep(5.0)
        view = await self._ask("get")
        if view is not None and view.state is JobState.FAILED:
            self.asked_retry = True
            await self._ask("retry")

    async def _purge(self) -> None:
        """Asked again and again while the job has not ended, and until the answer arrives."""

        async def handler(core: Core) -> JobView:
            purges = core.services.care.purges
            return await (purges.purge_outputs if self.plan.keeps_job else purges.purge_job)(self.who, self.accepted[-1])

        while True:
            try:
                await self.network.call(self.line, handler)
            except ReelyardError as error:
                if error.code is ErrorCode.JOB_NOT_FOUND:
                    break  # an earlier call did it, and its answer was lost
                has_ended = self.bench.watch.jobs[self.accepted[-1]].state in (JobState.FAILED, JobState.CANCELLED)
                if error.code is ErrorCode.OUTPUTS_NOT_READY and has_ended:
                    return
                if not is_passing(error) and error.code not in (ErrorCode.INVALID_TRANSITION, ErrorCode.OUTPUTS_NOT_READY):
                    raise
            except Unreachable:
                pass
            else:
                break
            await asyncio.sleep(1.0)
        self.is_purged = not self.plan.keeps_job


def _job_of(answer: Answered) -> str:
    return JobView.model_validate_json(answer.body).job_id


async def _blocks() -> AsyncIterator[bytes]:
    yield CLIP
