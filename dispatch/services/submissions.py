"""Taking jobs in: checked, then saved with their first tasks, events and answer in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson
from pydantic import JsonValue, ValidationError
from pydantic_core import to_json

from dispatch.core import endings, planning, quotas, tenancy, thumbnails
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.originals import extension_of
from dispatch.core.planning import Demands, Frame
from dispatch.core.problems import of_problems, problems_of
from dispatch.core.purging import expiry_of, moment_ahead
from dispatch.core.records import Graph, Job, Source, Tenant
from dispatch.core.views import job_view
from dispatch.ports import Clock, Ids, Transaction
from dispatch.services.brought import BroughtFiles, mark_used
from dispatch.services.gate import StorageGate
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from dispatch.services.sources import Checked, Sources
from protocol.errors import ReelyardError
from protocol.jobs import BatchItem, BatchReply, BatchSubmission, ErrorBody, JobSubmission
from protocol.operations import API
from protocol.states import JobState
from protocol.storage import Written

ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Where the files of a form go: the original at `path`, the client's own thumbnail beside it."""

    job_id: str
    root: str
    filename: str

    @property
    def path(self) -> str:
        return f"{self.root}/raw/{self.job_id}_original.{extension_of(self.filename)}"

    def thumbnail(self, type_: str) -> str:
        return thumbnails.path_of(self.root, self.job_id, type_)

    def named(self, filename: str) -> UploadPlace:
        return replace(self, filename=filename)


@dataclass(frozen=True, slots=True)
class Sent:
    """The file of a form as it was stored, and the thumbnail with its path."""

    file: Written
    thumbnail: tuple[str, Written] | None = None


class SubmissionService:
    def __init__(
        self, once: Idempotency, brought: BroughtFiles, gate: StorageGate, sources: Sources, ids: Ids, clock: Clock
    ) -> None:
        self._once, self._brought, self._gate = once, brought, gate
        self._sources, self._ids, self._clock = sources, ids, clock

    async def submit(self, who: Caller, submission: JobSubmission, key: IdempotencyKey | None) -> Answered:
        replay = await self._once.replay(who, key)
        if replay is not None:
            return replay
        self._gate.check_submission()
        checked = await self._brought.take(who, await self._sources.check(who, submission))
        return await self._saved(self._save_one(who, checked, key), checked.brought)

    async def submit_batch(self, who: Caller, batch: BatchSubmission, key: IdempotencyKey | None) -> Answered:
        """Each submission is answered for itself; those that are right are saved together."""
        replay = await self._once.replay(who, key)
        if replay is not None:
            return replay
        self._gate.check_submission()
        outcomes = [await self._check_item(who, item) for item in batch.jobs]
        brought = [path for outcome in outcomes if isinstance(outcome, Checked) for path in outcome.brought]
        graphs = [outcome if isinstance(outcome, BatchItem) else self._graph(who, outcome) for outcome in outcomes]
        wanted, tenant = [g for g in graphs if isinstance(g, Graph)], self._sources.tenant_of(who)

        def save(tx: Transaction) -> Answered:
            refused = self._over_quota(tx, tenant, wanted)
            self._insert(tx, [graph for graph in wanted if graph.job.job_id not in refused])
            items = tuple(g if isinstance(g, BatchItem) else _item(who, g, refused) for g in graphs)
            return answer_of(BatchReply(jobs=items), ACCEPTED)

        return await self._saved(self._once.transact(who, key, save), brought)

    async def _check_item(self, who: Caller, item: dict[str, JsonValue]) -> Checked | BatchItem:
        try:
            submission = JobSubmission.model_validate_json(to_json(item))
            expiry_of(submission.expires_at, now=self._clock.now())
            moment_ahead("finish_by", submission.finish_by, now=self._clock.now())
            return await self._brought.take(who, await self._sources.check(who, submission))
        except ValidationError as invalid:
            return _refused(who, of_problems(problems_of(invalid)))
        except ReelyardError as error:
            return _refused(who, error)

    # --- uploads

    def begin_upload(self, who: Caller, filename: str) -> UploadPlace:
        """Where the bytes go. Raises STORAGE_FULL or STORAGE_UNAVAILABLE before a byte is read."""
        self._gate.check_submission()
        job_id, root = self._ids.new("job", self._clock.now()), tenancy.root_of(self._sources.tenant_of(who))
        return UploadPlace(job_id, root, filename)

    async def submit_upload(
        self, who: Caller, place: UploadPlace, sent: Sent, submission: JobSubmission, key: IdempotencyKey | None
    ) -> Answered:
        """The stored file becomes a job; on any refusal, or a replay, the file is removed again."""
        paths = [place.path] if sent.thumbnail is None else [place.path, sent.thumbnail[0]]
        return await self._saved(self._submit_stored(who, place, sent, submission, key), paths)

    async def _submit_stored(
        self, who: Caller, place: UploadPlace, sent: Sent, submission: JobSubmission, key: IdempotencyKey | None
    ) -> Answered:
        answer = await self._once.replay(who, key)
        if answer is not None:
            return answer
        source = Source("storage", place.path, place.filename, sent.file.size, sent.file.sha256)
        checked = self._sources.check_upload(who, submission, source, await self._brought.head(place.path))
        own = None if sent.thumbnail is None else thumbnails.stored(await self._brought.picture(*sent.thumbnail))
        return await self._save_one(who, replace(checked, job_id=place.job_id, thumbnail_json=own), key)

    async def abandon_upload(self, paths: Iterable[str]) -> None:
        await self._brought.drop(paths)

    # --- saving

    async def _saved(self, saving: Awaitable[Answered], paths: Iterable[str]) -> Answered:
        """Without a job of this very call, what was brought for it is removed again.

        When the call is cancelled its commit may still come: the files stay, and housekeeping collects them if no job does.
        """
        try:
            answer = await saving
        except Exception:  # not a cancel: its commit may have happened; where it has not, housekeeping removes the files
            await self._brought.drop(paths)
            raise
        if answer.replayed:
            await self._brought.drop(paths)
        return answer

    async def _save_one(self, who: Caller, checked: Checked, key: IdempotencyKey | None) -> Answered:
        graph, tenant = self._graph(who, checked), self._sources.tenant_of(who)
        job = graph.job
        headers = {"Location": f"{API}/jobs/{job.job_id}", "ETag": f'"{job.version}"'}
        answer = answer_of(job_view(graph), ACCEPTED, headers)

        def save(tx: Transaction) -> Answered:
            for refused in self._over_quota(tx, tenant, [graph]).values():
                raise refused
            self._insert(tx, [graph])
            return answer

        return await self._once.transact(who, key, save)

    def _insert(self, tx: Transaction, graphs: Sequence[Graph]) -> None:
        tx.insert(graphs)
        mark_used(tx, [graph.job for graph in graphs])

    def _over_quota(self, tx: Transaction, tenant: Tenant, graphs: Sequence[Graph]) -> Mapping[str, ReelyardError]:
        """Counted in the transaction that inserts: of many at once only so many get in."""
        if not quotas.is_limited(tenant):
            return {}
        now = self._clock.now()
        return quotas.refusals(tenant, tx.standing(tenant, now), [graph.job for graph in graphs], now=now)

    def _graph(self, who: Caller, checked: Checked) -> Graph:
        now, submission = self._clock.now(), checked.submission
        job_id = checked.job_id or self._ids.new("job", now)
        has_thumbnail = checked.thumbnail_json is not None
        task_ids = tuple(self._ids.new("tsk", now) for _ in planning.task_kinds(checked.profile, has_thumbnail))
        frame = Frame(job_id, who.tenant, submission.priority, now, task_ids, has_thumbnail, submission.allow_damaged)
        tenant = self._sources.tenant_of(who)
        needs = submission.required_capabilities | submission.requires | tenancy.needs_of(tenant)
        demands = Demands(tuple(sorted(needs)), tuple(sorted(submission.tags)))
        live = submission.input.live if submission.input is not None else None
        limits = self._sources.limits_for(who, submission)
        tasks = planning.first_tasks(frame, checked.profile_json, limits, demands, live)
        job = Job(
            job_id=job_id,
            tenant=who.tenant,
            state=JobState.PENDING,
            priority=submission.priority,
            profile_json=checked.profile_json,
            source=checked.source,
            input_json=None if submission.input is None else submission.input.model_dump_json(exclude_none=True),
            user_metadata_json=orjson.dumps(submission.metadata).decode() if submission.metadata else "{}",
            max_attempts=submission.max_attempts,
            ttl_s=submission.ttl_s or self._sources.rules.ttl_s,
            ttl_from=now,
            created_at=now,
            updated_at=now,
            key_id=who.key_id,
            prefix=tenancy.root_of(tenant),
            expires_at=expiry_of(submission.expires_at, now=now),
            webhook_url=submission.webhook_url,
            thumbnail_json=checked.thumbnail_json,
            attachments_json=checked.attachments_json,
            keys_sealed=checked.keys_sealed,
            finish_by=moment_ahead("finish_by", submission.finish_by, now=now),
        )
        return endings.created(job, tasks)


def _item(who: Caller, graph: Graph, refused: Mapping[str, ReelyardError]) -> BatchItem:
    no = refused.get(graph.job.job_id)
    if no is not None:
        return _refused(who, no)
    return BatchItem(status=ACCEPTED, job_id=graph.job.job_id, state=graph.job.state)


def _refused(who: Caller, error: ReelyardError) -> BatchItem:
    """Named by the request of the whole batch: that is what the log has."""
    body = ErrorBody(code=error.code, message=error.message, details=error.details, request_id=who.request_id or "-")
    return BatchItem(status=error.status, error=body)
