"""What the services need from the outside world. Adapters satisfy these; nobody inherits them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dispatch.core.job_list import JobFilter, JobVersion
from dispatch.core.paging import Slice
from dispatch.core.records import (
    ApiKey,
    Attempt,
    Delivery,
    Engine,
    Event,
    Graph,
    IdempotencyRow,
    Job,
    NewEvent,
    ProfileRow,
    StagedRow,
    Task,
    Tenant,
    WebhookEndpoint,
)
from dispatch.ports.accounts import AccountRows
from dispatch.ports.care import CareRows
from dispatch.ports.cluster import ClusterRows
from dispatch.ports.uploads import UploadRows
from dispatch.ports.webhooks import WebhookRows
from protocol.leases import Grant, Order
from protocol.states import TaskKind

T = TypeVar("T")


class Clock(Protocol):
    """`now` is wall time (Unix seconds) for records; `monotonic` judges spans and leases."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


class Ids(Protocol):
    """Fresh sortable ids: `new("job", now)` gives `job_...`. `secret()` gives 256 random bits in text."""

    def new(self, prefix: str, now: float) -> str: ...
    def secret(self) -> str: ...


class Transaction(WebhookRows, UploadRows, AccountRows, CareRows, ClusterRows, Protocol):
    """One transaction, synchronous. Functions of it have no side effect but rows and may run several times."""

    # jobs, tasks, attempts
    def graphs(self, job_ids: Iterable[str], *, attempts: Iterable[Attempt] = ()) -> dict[str, Graph]: ...
    def jobs_of_tasks(self, task_ids: Iterable[str]) -> dict[str, str]:
        """task_id -> job_id, of the tasks that exist."""
        ...

    def live_attempts(self, engine_id: str | None = None) -> list[Attempt]: ...
    def attempts_of(self, tokens: Iterable[int]) -> dict[int, Attempt]: ...
    def job_attempts(self, job_id: str) -> list[Attempt]: ...
    def save(self, before: Iterable[Graph], after: Iterable[Graph]) -> None:
        """Write every row that differs, guarded by state and version, and append the events. Raises StaleRow."""
        ...

    def insert(self, graphs: Iterable[Graph]) -> None: ...
    def next_tokens(self, count: int) -> range: ...
    def staged(self, job_id: str) -> list[StagedRow]: ...
    def staged_paths(self, job_ids: Iterable[str]) -> set[tuple[str, str]]:
        """(job_id, path) of every file the finished tasks of these jobs staged."""
        ...

    def ready_tasks(self) -> list[Task]: ...
    def ready_tasks_of(self, kind: TaskKind) -> list[Task]: ...
    def jobs_in(self, states: Iterable[str]) -> list[str]: ...
    def expired_jobs(self, now: float, limit: int) -> list[str]: ...
    def late_jobs(self, before: float, limit: int) -> list[str]: ...
    def jobs_past_backoff(self, now: float, furthest: float, limit: int) -> list[str]: ...
    def list_jobs(self, wanted: JobFilter) -> Slice[JobVersion]: ...
    def job_version(self, job_id: str) -> JobVersion | None: ...

    # events
    def append(self, events: Iterable[NewEvent]) -> None: ...
    def events_after(self, seq: int, *, job_id: str | None, tenant: str | None, limit: int) -> list[Event]: ...
    def last_seq(self) -> int: ...

    # engines, keys, tenants, idempotency
    def engine(self, engine_id: str) -> Engine | None: ...
    def engine_by_credential(self, sha256: str) -> Engine | None: ...
    def engines(self) -> list[Engine]: ...
    def engines_of(self, engine_ids: Iterable[str]) -> dict[str, Engine]:
        """Those that exist."""
        ...

    def put_engine(self, engine: Engine) -> None: ...
    def put_engines(self, changes: Iterable[tuple[Engine, Engine]]) -> None:
        """Each as it was loaded, and as it is now; guarded by its version. Raises StaleRow."""
        ...

    def delete_engine(self, engine_id: str) -> None: ...
    def key_by_digest(self, sha256: str) -> ApiKey | None: ...
    def key(self, key_id: str) -> ApiKey | None: ...
    def keys(self) -> list[ApiKey]: ...
    def put_key(self, key: ApiKey) -> None: ...
    def tenants(self) -> list[Tenant]: ...
    def put_tenant(self, tenant: Tenant) -> None: ...
    def idempotency(self, tenant: str, route: str, key: str) -> IdempotencyRow | None: ...
    def put_idempotency(self, row: IdempotencyRow) -> None: ...
    def delete_idempotency_before(self, moment: float) -> int: ...


class StaleRow(Exception):
    """A guarded update met another state or version than was loaded; the function is run again."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one committed transaction changed, told in order and never before it is on stable storage."""

    events: tuple[Event, ...]
    jobs: tuple[Job, ...]
    tasks: tuple[Task, ...]
    attempts: tuple[Attempt, ...]
    engines: tuple[Engine, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    gone_engines: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    endpoints: tuple[WebhookEndpoint, ...] = ()
    gone_endpoints: tuple[str, ...] = ()
    profiles: tuple[ProfileRow, ...] = ()
    gone_profiles: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """Ids of API keys that were made or changed."""
    facts: tuple[str, ...] = ()
    """Names."""


class Store(Protocol):
    """`transact` runs a function durably; `read` runs one on a snapshot and must not write.

    `search` is a read that may look at very many rows: it waits for other searches, and no other read waits for it.
    """

    async def transact(self, function: Callable[[Transaction], T]) -> T: ...
    async def read(self, function: Callable[[Transaction], T]) -> T: ...
    async def search(self, function: Callable[[Transaction], T]) -> T: ...


class CommitListener(Protocol):
    """Called on the event loop, after each commit, in commit order, before the caller of `transact` goes on."""

    def __call__(self, commit: Commit) -> None: ...


class Orders(Protocol):
    """Hands an order to an engine: at once on its open long poll, else with its next call."""

    def order(self, engine_id: str, order: Order) -> None: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The scheduler's wish: these tasks to this engine, for this request."""

    engine_id: str
    boot_id: str
    request_id: str
    task_ids: tuple[str, ...]


class Granting(Protocol):
    """Turns wishes into grants, in one transaction; a task whose guard misses is simply not in the answer."""

    async def grant(self, choices: Sequence[Choice]) -> list[tuple[Grant, ...]]: ...
