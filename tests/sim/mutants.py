"""Guards taken out, one at a time: each makes dispatch or the engine forget one of its rules for the length of a world.

See `mutant`; those of taking over stand in `takeovers`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dispatch.core import (
    endings,
    followers,
    lease_table,
    lifecycle,
    publication,
    ready_index,
    retry_policy,
    settlement,
    tenancy,
    usage,
    webhooks,
)
from dispatch.core import purging as core_purging
from dispatch.core import uploads as core_uploads
from dispatch.core.originals import original_path
from dispatch.core.records import Deletion, Graph, Job, NewEvent
from dispatch.core.task_machine import advance
from dispatch.core.told import about
from dispatch.ports import Transaction
from dispatch.services import grants, housekeeping, idempotency, jobs, leases, originals, publishing, purging, sweeps
from dispatch.services.deliverer import Deliverer
from dispatch.services.staging import UNFINISHED, StagingService
from dispatch.services.uploads import UploadService
from dispatch.store import care, transaction
from dispatch.store.metering import MeterQueries
from dispatch.store.webhooks import WebhookQueries
from engine.core import attempts, workload
from engine.core import messages as m
from protocol.errors import FailureClass
from protocol.events import EventType
from protocol.states import HELD_TASK_STATES, LIVE_ATTEMPT_STATES, TERMINAL_JOB_STATES, AttemptState, JobState, TaskState
from protocol.storage import StorageError
from tests.sim.ahead import AHEAD
from tests.sim.corners import (
    draw_cancel,
    draw_capped,
    draw_edge,
    draw_failing,
    draw_fetch,
    draw_graph,
    draw_purge,
    draw_untrusted,
    draw_upload,
)
from tests.sim.ground import Clock
from tests.sim.leaders import LEADERS
from tests.sim.measures import MEASURES
from tests.sim.mutant import Mutant
from tests.sim.takeovers import TAKEOVERS


def _ignores_token(graph: Graph, attempt: Any) -> bool:
    return graph.task(attempt.task_id).state in HELD_TASK_STATES


async def _sweep_unguarded(self: Any, overdue: list[Any]) -> None:
    """Puts the task back to pending by the word of memory alone, whatever it has become meanwhile."""
    now, tokens = self._clock.now(), [lease.token for lease in overdue]

    def expire(tx: Transaction) -> None:
        found = tx.attempts_of(tokens)
        before = tx.graphs({a.job_id for a in found.values()}, attempts=found.values())
        after = dict(before)
        for attempt in found.values():
            graph = after[attempt.job_id]
            graph = lifecycle.with_attempt(graph, replace(attempt, state=AttemptState.EXPIRED, ended_at=now))
            task = replace(graph.task(attempt.task_id), state=TaskState.PENDING, engine_id=None)
            after[attempt.job_id] = lifecycle.settle_job(lifecycle.with_task(graph, task, now=now), now=now)
        tx.save(before.values(), (after[job_id] for job_id in before))

    await self._store.transact(expire)


def _renews_for_anybody(self: Any, engine_id: str, pairs: Iterable[tuple[str, int]], *, monotonic: float) -> list[Any]:
    renewed = []
    for task_id, token in pairs:
        lease = next((found for found in self._leases.values() if found.task_id == task_id), None)
        if lease is not None:
            self._leases[lease.token] = replace(lease, until=monotonic + self._times.lease_s)
            renewed.append(replace(lease, token=token))
    return renewed


async def _commits_before_it_promotes(self: Any, job_id: str) -> None:
    ready = await self._store.read(lambda tx: publishing._load(tx, job_id))
    if ready is not None:
        made = publication.publication(ready.graph, ready.staged, ready.attempts)
        await self._commit(ready, made)
        with suppress(StorageError):
            await self._publish(ready, made)


def _grants_anything(graph: Graph, task_id: str, *, now: float) -> bool:
    return True


async def _nothing_granted_before(self: Any, engine_id: str, request_id: str) -> tuple[Any, ...]:
    return ()


async def _loads_nothing(self: Any) -> None:
    return None


def _tokens_of_two_sequences(self: Any, count: int) -> range:
    """Unique, but of two ranges in turn."""
    numbers = self._take("token", count)
    start = numbers.start + (1 - numbers.start // 4 % 2) * 1_000_000
    return range(start, start + count)


def _cancels_whatever(graph: Graph, *, now: float) -> Graph:
    moved = replace(graph, job=replace(graph.job, state=JobState.CANCELLED, updated_at=now))
    event = NewEvent(EventType.JOB_CANCELLED, now, graph.job.tenant, graph.job.job_id, None, graph.job.state, "cancelled")
    for task in graph.tasks:
        if task.state in HELD_TASK_STATES | {TaskState.PENDING, TaskState.WAITING}:
            moved = lifecycle.with_task(moved, advance(task, "cancel"), now=now)
    ended = tuple(
        replace(a, state=AttemptState.CANCELLED, ended_at=now) if a.state in LIVE_ATTEMPT_STATES else a for a in moved.attempts
    )
    return replace(moved, attempts=ended, events=(*moved.events, event))


def _never(*_: object, **__: object) -> bool:
    return False


def _always(*_: object, **__: object) -> bool:
    return True


def _nothing(*_: object, **__: object) -> None:
    return None


def _no_rows(*_: object) -> tuple[Any, ...]:
    return ()


async def _nothing_later(*_: object) -> None:
    return None


def _drops_nothing(self: Any, task_id: str, job_id: str) -> None:
    return None


def _events_of_their_own(self: Any) -> None:
    """Written by a transaction after this one, which a crash prevents once in fifty."""
    if self._pending_events and self._pending_events[0].at * 1000 % 50 < 1:
        self._pending_events.clear()
    _FLUSH(self)


_FLUSH = transaction.SqlTransaction.flush_events


async def _takes_what_stands(self: Any, brought: Any) -> str:
    """Whatever has the name is taken for the file that was fetched."""
    first = original_path(brought.job, brought.staged.path)
    with suppress(StorageError):
        lies_at = f"{grants.staging_prefix(brought.job.job_id, brought.task_id, brought.token)}/{brought.staged.path}"
        await self._storage.link(lies_at, first, size=brought.staged.size, sha256=brought.staged.sha256)
    return str(first)


async def _names_it_later(self: Any, brought: Any) -> str:
    """The row first; the file would follow after the commit."""
    return str(original_path(brought.job, brought.staged.path))


def _source_as_it_was(job: Job, original: Any) -> Any:
    return job.source


def _fixed_staging(job_id: str, task_id: str, token: int) -> str:
    return f"staging/{job_id}/{task_id}/output"


def _no_earlier_answer(tx: Transaction, who: Any, key: Any) -> None:
    return None


def _dated_when_built(made: Any) -> dict[str, Any]:
    return {**_ABOUT(made), "built": next(_MOMENTS)}


_ABOUT = about.job_fields
_MOMENTS = iter(range(10**9))


def _acks_at_once(self: Any, grants: Iterable[Any]) -> Iterator[m.Instruction]:
    granted = tuple(grants)
    yield from _TAKE(self, granted)
    for grant in granted:
        attempt = self.attempts.get(attempts.key_of(grant))
        if attempt is not None:
            self._acknowledge(attempt)


_TAKE = workload.Workload.take


def _ends_unsaved(self: Any, attempt: Any, final: Any) -> Iterator[m.Instruction]:
    """The result is sent before it is on disk, and its row goes at the same time."""
    self._outbox.discard(attempt.key)
    self._outbox.add(final)
    attempt.phase, attempt.final = attempts.Phase.FINISHED, final
    yield m.Save(m.Changes(finals=(final,)))
    yield m.Save(m.Changes(forgotten=(attempt.key,)))


def _runs_unsaved(self: Any, grants: Iterable[Any]) -> Iterator[m.Instruction]:
    for instruction in _TAKE(self, grants):
        yield instruction
        if isinstance(instruction, m.Save):
            for row in instruction.changes.granted:
                attempt = self.attempts.get(attempts.key_of(row.grant))
                if row.is_started and attempt is not None:
                    yield m.Run(row.grant, attempt.slot)


def _tells_nothing_running(self: Any) -> tuple[Any, ...]:
    return ()


def _settles_nothing(self: Any, report: Any, error: Any) -> Iterator[m.Instruction]:
    """What dispatch says of a report is not heard: gone attempts are held for ever."""
    return iter(())


async def _purges_bytes_first(self: Any, who: Any, job_id: str, versions: Any = None) -> Any:
    """The paths are handed to the duty in a transaction before the one that takes the rows."""
    now = self._clock.now()
    graph = await self._store.read(lambda tx: jobs.visible(tx, who, job_id, versions))
    purge = core_purging.everything(graph, core_purging.Reason.ASKED, now=now)
    rows = [Deletion(path, job_id, now) for path in purge.paths]
    await self._store.transact(lambda tx: tx.put_deletions(rows))
    return await _PURGE(self, who, job_id, versions)


_PURGE = purging.PurgeService.purge_job


async def _forgets_before_it_removes(self: Any) -> None:
    waiting = await self._some_after("")
    await self._forget([deletion.path for deletion in waiting])
    for deletion in waiting:
        await self._is_removed(deletion)


def _tells_by_a_transaction_of_its_own(self: Any, events: Any, jobs: Any) -> None:
    """Deliveries made after the commit, which a crash prevents once in ten."""
    if events[0].seq % 10:
        _MAKE(self, events, jobs)


_MAKE = WebhookQueries.make_deliveries


def _waits_for_none_before(delivery: Any, *, now: float, monotonic: float) -> Any:
    return replace(_WAITING(delivery, now=now, monotonic=monotonic), job_id=delivery.delivery_id)


_WAITING = webhooks.waiting_of


def _new_id_for_each_try(delivery_id: str, body: str, secrets: Any, *, now: float) -> dict[str, str]:
    return _HEADERS(f"{delivery_id}{int(now)}", body, secrets, now=now)


_HEADERS = webhooks.headers


async def _tells_before_it_stores(self: Any, upload: Any, piece: Any, intake: Any) -> Any:
    """The row first, with bytes that are not on the disk yet."""
    body = b"".join([block async for block in intake.step()])
    after = await self.advance(upload, upload.received + len(body))
    await self._storage.append(upload.path, upload.received, _one(body))
    intake.verify()
    return after


async def _one(block: bytes) -> AsyncIterator[bytes]:
    yield block


def _takes_at_any_offset(upload: Any, piece: Any, spans: Any) -> Any:
    return _TAKING(upload, replace(piece, offset=upload.received, length=None), spans)


def _asks_for_nothing(tenant: Any) -> frozenset[str]:
    return frozenset()


_TAKING = core_uploads.taking


async def _names_what_came(self: Any, path: str, whole: Any) -> None:
    """All bytes are there by their number; nobody looks whether they are those that were announced."""
    await self._storage.concatenate([path + UNFINISHED], path)
    await self._storage.delete(path + UNFINISHED)


def _counts_every_end(self: Any, old: Job, new: Job) -> None:
    if new.state in TERMINAL_JOB_STATES and old.state is not new.state:
        self._count(new, 1)


MUTANTS: dict[str, Mutant] = {
    "no token check": Mutant("a report is fenced by its attempt and token", lifecycle, "is_live", _ignores_token),
    "sweep without guard": Mutant("expiry looks at the row", sweeps.LeaseSweep, "_expire", _sweep_unguarded, draw_edge),
    "unfenced heartbeat": Mutant("a heartbeat renews its own tokens", lease_table.LeaseTable, "renew", _renews_for_anybody),
    "commit before promote": Mutant("files before the row", publishing.Publisher, "_promote", _commits_before_it_promotes),
    "grant without guard": Mutant("the index is a hint", leases, "_is_grantable", _grants_anything, draw_cancel),
    "dependent not fed": Mutant("what is read is made first", followers, "is_fed", _always, draw_graph),
    "no request replay": Mutant(
        "a repeated call gets its grants", leases.LeaseService, "granted_before", _nothing_granted_before
    ),
    "no leases after restart": Mutant("live leases are swept after a restart", leases.LeaseService, "load", _loads_nothing),
    "no promotion after restart": Mutant("completing jobs go on after a restart", publishing.Publisher, "load", _loads_nothing),
    "wall clock": Mutant("leases live on monotonic time", Clock, "monotonic", Clock.now),
    "two token sequences": Mutant("tokens rise globally", transaction.SqlTransaction, "next_tokens", _tokens_of_two_sequences),
    "cancel overwrites done": Mutant("a terminal job stays", endings, "cancel", _cancels_whatever),
    "no quarantine": Mutant("three deaths are the most", retry_policy, "is_poisonous", _never, draw_failing),
    "infra is charged": Mutant(
        "infra is free", retry_policy, "CHARGED", frozenset(FailureClass) - retry_policy.FINAL, draw_failing
    ),
    "final classes are retried": Mutant("input and policy are final", retry_policy, "FINAL", frozenset[FailureClass]()),
    "settle is not idempotent": Mutant("the same report gets the same answer", settlement, "_said_before", _nothing),
    "event outside of the transaction": Mutant(
        "events are in the transaction", transaction.SqlTransaction, "flush_events", _events_of_their_own
    ),
    "fixed staging key": Mutant("staging is named by token", grants, "staging_prefix", _fixed_staging),
    "original taken by its name": Mutant(
        "originals are compared", originals.OriginalService, "_link", _takes_what_stands, draw_fetch
    ),
    "row before original": Mutant(
        "an original is kept before its row", originals.OriginalService, "_link", _names_it_later, draw_fetch
    ),
    "source stays a URL": Mutant("the settlement changes the source", settlement, "_source_after", _source_as_it_was, draw_fetch),
    "bytes before rows": Mutant("rows are purged first", purging.PurgeService, "purge_job", _purges_bytes_first, draw_purge),
    "paths not noted": Mutant("a purge notes its paths", care.CareQueries, "put_deletions", _nothing, draw_purge),
    "path forgotten before its bytes": Mutant(
        "a path is forgotten last", purging.Remover, "run_once", _forgets_before_it_removes, draw_purge
    ),
    "running jobs are purged": Mutant("only ended jobs are purged", core_purging, "_require_ended", _nothing, draw_purge),
    "late bytes stay": Mutant(
        "what comes late is removed", housekeeping.Housekeeping, "_late_for_purged", _nothing_later, draw_purge
    ),
    "no idempotency": Mutant("one key, one job", idempotency, "first_call", _no_earlier_answer),
    "metadata of the moment": Mutant("metadata follows from rows", about, "job_fields", _dated_when_built, draw_fetch),
    "index drops nothing": Mutant("the index follows the commits", ready_index.ReadyIndex, "drop", _drops_nothing, draw_capped),
    "delivery outside of the transaction": Mutant(
        "deliveries are in the transaction", WebhookQueries, "make_deliveries", _tells_by_a_transaction_of_its_own
    ),
    "a later event overtakes": Mutant("a job's events are told in order", webhooks, "waiting_of", _waits_for_none_before),
    "an id for each try": Mutant("a delivery has one id", webhooks, "headers", _new_id_for_each_try),
    "no deliveries after restart": Mutant("what waits is loaded", Deliverer, "load", _loads_nothing),
    "offset before bytes": Mutant(
        "bytes are stored before their row", UploadService, "_take_in", _tells_before_it_stores, draw_upload
    ),
    "offset not looked at": Mutant("a piece begins where it must", core_uploads, "taking", _takes_at_any_offset, draw_upload),
    "staged without its digest": Mutant(
        "a name for the bytes announced alone", StagingService, "_finish", _names_what_came, draw_upload
    ),
    "usage counted twice": Mutant("a retried job is taken back", usage.Tally, "follow", _counts_every_end, draw_failing),
    "cap not followed": Mutant("caps are known", ready_index.ReadyIndex, "set_cap", _nothing, draw_capped),
    "nothing runs after restart": Mutant("running tasks count", MeterQueries, "held_tasks", _no_rows, draw_capped),
    "no sandbox asked for": Mutant(
        "tasks of the untrusted ask for a sandbox", tenancy, "needs_of", _asks_for_nothing, draw_untrusted
    ),
    "engine: ack before disk": Mutant("disk before ack", workload.Workload, "take", _acks_at_once),
    "engine: run before disk": Mutant("disk before start", workload.Workload, "take", _runs_unsaved),
    "engine: result forgotten when sent": Mutant("results wait for settlement", workload.Workload, "_end", _ends_unsaved),
    "engine: beats without its work": Mutant("beats name what is held", attempts.Attempts, "as_running", _tells_nothing_running),
    "engine: loops on gone": Mutant("gone is final", workload.Workload, "settle", _settles_nothing),
    **TAKEOVERS,
    **AHEAD,
    **MEASURES,
    **LEADERS,
}
