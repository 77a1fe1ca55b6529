"""The part of a transaction about care: purges, retention and deletions."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, delete, not_, or_, select

from dispatch.core.copying import replace
from dispatch.core.dead_letters import CLIENTS_FAULT
from dispatch.core.paging import Slice, Wanted
from dispatch.core.purging import Scope
from dispatch.core.records import Deletion, Graph, Job
from dispatch.ports import StaleRow
from dispatch.store import rows, schema
from dispatch.store.keyset import Order, load_slice
from dispatch.store.retention import RetentionQueries
from dispatch.store.statements import Lookup, Statement, by_ids, inserting
from protocol.errors import ErrorCode
from protocol.events import EventType
from protocol.states import JobState

INSERT_DELETION = inserting(schema.deletions)
KNOWN_DELETIONS = Lookup(by_ids(schema.deletions, "path", "path"))
SELECT_DELETIONS = (
    select(schema.deletions)
    .where(schema.deletions.c.path > bindparam("after"))
    .order_by(schema.deletions.c.path)
    .limit(bindparam("most"))
)
DROP_DELETION = Statement(delete(schema.deletions).where(schema.deletions.c.path == bindparam("path")), ("path",))

KNOWN_JOBS = Lookup(by_ids(schema.jobs, "job_id", "job_id"))
EVENTS_OF_JOBS = Lookup(by_ids(schema.events, "job_id", "job_id", "type", "data_json"))
WHOLE = f'"scope":"{Scope.JOB}"'

FORGET_STAGED, FORGET_ATTEMPTS, FORGET_TASKS = (
    Statement(delete(table).where(table.c.job_id == bindparam("job_id")), ("job_id",))
    for table in (schema.staged_files, schema.attempts, schema.tasks)
)
FORGET_TOLD = Statement(
    delete(schema.webhook_deliveries).where(
        schema.webhook_deliveries.c.job_id == bindparam("job_id"), not_(schema.IS_UNDELIVERED)
    ),
    ("job_id",),
)
FORGET_JOB = Statement(
    delete(schema.jobs).where(
        schema.jobs.c.job_id == bindparam("job_id"),
        schema.jobs.c.state == bindparam("state"),
        schema.jobs.c.version == bindparam("version"),
    ),
    ("job_id", "state", "version"),
)

# Quotes inside the JSON's own texts are escaped, so no message can be taken for one of these.
ERROR = schema.jobs.c.error_json
IS_CLIENTS = or_(*(ERROR.contains(f'"failure_class":"{kind}"', autoescape=True) for kind in sorted(CLIENTS_FAULT)))
IS_QUARANTINED = ERROR.contains(f'"code":"{ErrorCode.TASK_POISONOUS}"', autoescape=True)
SELECT_DEAD = select(schema.jobs).where(
    schema.jobs.c.state == str(JobState.FAILED), ERROR.is_not(None), or_(not_(IS_CLIENTS), IS_QUARANTINED)
)
NEWEST_FAILURE = Order(schema.jobs.c.ended_at, schema.jobs.c.job_id, is_descending=True)


class CareQueries(RetentionQueries):
    """Mixed into SqlTransaction."""

    _jobs: list[Job]
    forgotten: list[Job]

    def forget_jobs(self, graphs: Iterable[Graph]) -> None:
        """Children first: each row refers to the one above it. The listeners, and who is told, see the job as it was.

        Webhook deliveries that are over go too: their payloads tell of the job. Those that are not end first.
        """
        jobs = [graph.job for graph in graphs]
        ids = [(job.job_id,) for job in jobs]
        for statement in (FORGET_STAGED, FORGET_ATTEMPTS, FORGET_TASKS, FORGET_TOLD):
            statement.run_many(self._connection, list(ids))
        met = FORGET_JOB.run_many(self._connection, [(job.job_id, str(job.state), job.version) for job in jobs])
        if met != len(jobs):
            raise StaleRow(f"{len(jobs) - met} of {len(jobs)} jobs had moved on")
        gone = [replace(job, version=job.version + 1) for job in jobs]
        self._jobs.extend(gone)
        self.forgotten.extend(gone)

    def forget_staged(self, job_id: str) -> None:
        FORGET_STAGED.run_many(self._connection, [(job_id,)])

    def put_deletions(self, deletions: Iterable[Deletion]) -> None:
        wanted = {deletion.path: deletion for deletion in deletions}
        known = {row[0] for row in KNOWN_DELETIONS.rows(self._connection, wanted)}
        new = [rows.DELETIONS.values(deletion) for path, deletion in wanted.items() if path not in known]
        INSERT_DELETION.run_many(self._connection, new)

    def deletions(self, after: str, limit: int) -> list[Deletion]:
        found = self._connection.execute(SELECT_DELETIONS, {"after": after, "most": limit})
        return [rows.DELETIONS.load(row) for row in found]

    def drop_deletions(self, paths: Iterable[str]) -> None:
        DROP_DELETION.run_many(self._connection, [(path,) for path in paths])

    def dead_letters(self, wanted: Wanted) -> Slice[Job]:
        return load_slice(self._connection, SELECT_DEAD, NEWEST_FAILURE, wanted, rows.load_job)

    def jobs_of(self, tenant: str) -> list[str]:
        found = self._connection.execute(select(schema.jobs.c.job_id).where(schema.jobs.c.tenant == tenant))
        return [row[0] for row in found]

    def known_jobs(self, job_ids: Iterable[str]) -> set[str]:
        return {row[0] for row in KNOWN_JOBS.rows(self._connection, job_ids)}

    def purged_jobs(self, job_ids: Iterable[str]) -> set[str]:
        told = EVENTS_OF_JOBS.rows(self._connection, job_ids)
        return {job_id for job_id, type_, data in told if type_ == str(EventType.JOB_PURGED) and WHOLE in data}
