"""The rows of the store as frozen records. Moments are Unix seconds; `*_json` fields hold a model's JSON as stored."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.events import EventType
from protocol.states import AttemptState, EngineState, JobState, TaskKind, TaskState


@dataclass(frozen=True, slots=True)
class Source:
    """Where a job's original lies.

    `kind` is `storage` (path in the storage), `server` (absolute path), `url` (not fetched yet), `purged` or `none`.
    `sha256` is known where the bytes went through this server or an engine in one go.
    """

    kind: str
    path: str
    filename: str
    size: int
    sha256: str | None = None


PURGED = "purged"
"""The kind of a source whose bytes are gone for good."""

NO_TENANT = "-"
"""The tenant of jobs that only look at an input: no name a tenant may have, in no list, no sum and no quota."""

NO_SOURCE = Source("none", "", "", 0)


@dataclass(frozen=True, slots=True)
class Job:
    """`completed_at` is fixed by the transaction that enters completing; `ttl_from` is where the span `ttl_s` starts.

    `started_at` is the first start of a task other than analyze. `retries` counts what clients asked for. `key_id` is who
    submitted it. `thumbnail_json` tells of the client's own picture: `{"path", "size", "sha256", "type"}` in the storage.
    From `expires_at` its files are purged, `finish_by` is a wish, `ended_at` when it became completed, failed or cancelled.
    `measured_json` is what `measure` found, `attachments_json` files beside the input: name -> `{"path", "size", "sha256",
    "filename", "language"}`, `keys_sealed` the content keys, `stop_asked_at` when its stream was to end.
    """

    job_id: str
    tenant: str
    state: JobState
    priority: int
    profile_json: str
    source: Source
    input_json: str | None
    user_metadata_json: str
    max_attempts: int
    ttl_s: float
    ttl_from: float
    created_at: float
    updated_at: float
    version: int = 1
    retries: int = 0
    progress: float = 0.0
    eta_seconds: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    media_json: str | None = None
    error_json: str | None = None
    outputs_json: str | None = None
    warnings_json: str = "[]"
    key_id: str = ""
    prefix: str = ""
    webhook_url: str | None = None
    expires_at: float | None = None
    thumbnail_json: str | None = None
    outputs_purged_at: float | None = None
    ended_at: float | None = None
    finish_by: float | None = None
    measured_json: str | None = None
    attachments_json: str | None = None
    keys_sealed: str | None = None
    stop_asked_at: float | None = None

    @property
    def root(self) -> str:
        """The first component of every path of its own in the storage, as it was when the job was taken in."""
        return self.prefix or self.tenant


@dataclass(frozen=True, slots=True)
class Task:
    """`needs` are capabilities and `tags` tags, both sorted; `avoid` are engines that failed it; `cost_s` is estimated work.

    `charged` counts attempts that went against `max_attempts`; `infra_failures` those in a row that did not. `deaths`
    are engine ids, one for each death with evidence. `ordinal` is the place in the job: 0 comes first.
    """

    task_id: str
    job_id: str
    tenant: str
    kind: TaskKind
    ordinal: int
    state: TaskState
    priority: int
    needs: tuple[str, ...]
    tags: tuple[str, ...]
    cost_s: float
    created_at: float
    recipe_json: str | None = None
    steps_json: str = "[]"
    version: int = 1
    token: int = 0
    engine_id: str | None = None
    not_before: float = 0.0
    charged: int = 0
    infra_failures: int = 0
    avoid: tuple[str, ...] = ()
    deaths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One grant of one task to one engine. `digest` is that of the report that settled it."""

    token: int
    task_id: str
    job_id: str
    engine_id: str
    boot_id: str
    request_id: str
    kind: TaskKind
    state: AttemptState
    granted_at: float
    acked_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    digest: str | None = None
    error_json: str | None = None
    tools_json: str = "[]"
    log_tail: str = ""


@dataclass(frozen=True, slots=True)
class StagedRow:
    """One file a finished task staged, to be published as `path`."""

    job_id: str
    path: str
    task_id: str
    token: int
    size: int
    sha256: str
    facts_json: str


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event before the store gives it its `seq`."""

    type: EventType
    at: float
    tenant: str
    job_id: str | None = None
    task_id: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    data_json: str = "{}"


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    new: NewEvent


@dataclass(frozen=True, slots=True)
class Engine:
    """A registered engine. `wanted` is what an operator asked for: `none`, `drain` or `pause`.

    `own_tags` are those it was configured with, `tags` those in force: an operator's stand until it brings other ones.
    """

    engine_id: str
    name: str
    hostname: str
    boot_id: str
    software_version: str
    state: EngineState
    credential_sha256: str
    capabilities_json: str
    tags: tuple[str, ...]
    slots_json: str
    load_json: str
    registered_at: float
    last_heartbeat_at: float | None
    wanted: str = "none"
    version: int = 1
    own_tags: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`allowed_ips` are networks in CIDR form, none means any. `rate_limit_per_hour` None is unlimited.

    After a rotation the secret before, `previous_sha256`, is good until `previous_until`.
    """

    key_id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    prefix: str
    sha256: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    allowed_ips: tuple[str, ...] = ()
    rate_limit_per_hour: int | None = None
    previous_sha256: str | None = None
    previous_until: float | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """Quotas are None where there is none: tasks running at once, jobs not yet ended, bytes taken in per month (UTC).
    `prefix`: where its files lie, its name when empty. `webhook_secrets`: sealed, newest first. `limits_json`: on its inputs.
    """

    name: str
    weight: float
    created_at: float
    max_running: int | None = None
    max_queued: int | None = None
    max_bytes_per_month: int | None = None
    prefix: str = ""
    default_profile: str | None = None
    webhook_secrets: tuple[str, ...] = ()
    version: int = 1
    untrusted: bool = False
    limits_json: str | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyRow:
    """The answer to the first call with a key, stored with its effect; `boot_id` is that of the server that gave it.

    `body` is sealed where it holds a secret. `headers_json` are those headers that belong to the answer, such as Location.
    """

    tenant: str
    route: str
    key: str
    fingerprint: str
    status: int
    body: str
    boot_id: str
    created_at: float
    headers_json: str = "{}"


@dataclass(frozen=True, slots=True)
class Graph:
    """A job with all its tasks and those attempts that matter to a decision, with the events of what changed.

    Pure functions take a graph and return a new one; the store saves what differs from what it loaded.
    """

    job: Job
    tasks: tuple[Task, ...]
    attempts: tuple[Attempt, ...] = ()
    events: tuple[NewEvent, ...] = ()
    files: tuple[StagedRow, ...] = ()
    lost_files_of: tuple[str, ...] = ()

    def task(self, task_id: str) -> Task:
        for task in self.tasks:
            if task.task_id == task_id:
                return task
        raise KeyError(task_id)

    def attempt(self, token: int) -> Attempt:
        for attempt in self.attempts:
            if attempt.token == token:
                return attempt
        raise KeyError(token)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one key did on one day (UTC, `2026-01-31`): counts of jobs, bytes, seconds from start to end of its jobs."""

    day: str
    tenant: str
    key_id: str
    jobs_created: int = 0
    jobs_completed: int = 0
    jobs_failed: int = 0
    jobs_cancelled: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    processing_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who (`actor`: a key's id, or `jwt:<subject>`) did what (`action`: an operation's name) to what, and from where."""

    audit_id: str
    at: float
    tenant: str
    actor: str
    action: str
    target: str
    address: str
    request_id: str
    details_json: str = "{}"


@dataclass(frozen=True, slots=True)
class ProfileRow:
    name: str
    profile_json: str
    updated_at: float
    version: int = 1


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """`events` are webhook names (`job.completed`). `secrets` are sealed, the newest first."""

    endpoint_id: str
    tenant: str
    url: str
    events: tuple[str, ...]
    secrets: tuple[str, ...]
    description: str
    created_at: float
    disabled_at: float | None = None
    disabled_reason: str | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver: an endpoint, or a job's own `webhook_url` (`endpoint_id` None).

    `payload` is the body, byte for byte the same on every try. `seq` is that of the event: order within a job.
    `state` is `pending`, `delivered`, `dead` or `discarded`; `log_json` the last tries, newest last.
    """

    delivery_id: str
    tenant: str
    endpoint_id: str | None
    url: str
    job_id: str
    seq: int
    event: str
    payload: str
    state: str
    attempts: int
    next_at: float
    created_at: float
    ended_at: float | None = None
    log_json: str = "[]"


@dataclass(frozen=True, slots=True)
class Upload:
    """A resumable upload; its bytes lie at `path` in the storage. `size` is None while it is not known.

    `state` is one of those in `core.uploads`. `parts` are the uploads a concatenation was made of; a partial upload has
    the entry `partial` in `metadata_json`, beside the `header` its client sent. `received` bytes are durable: after a
    crash it goes on from there.
    """

    upload_id: str
    tenant: str
    key_id: str
    filename: str
    size: int | None
    received: int
    state: str
    metadata_json: str
    parts: tuple[str, ...]
    created_at: float
    updated_at: float
    expires_at: float

    @property
    def path(self) -> str:
        return f"uploads/{self.upload_id}"


@dataclass(frozen=True, slots=True)
class Deletion:
    """Bytes that no row refers to any more; `path` is a file or a directory in the storage."""

    path: str
    job_id: str | None
    created_at: float
