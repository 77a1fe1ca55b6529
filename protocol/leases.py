"""What an engine and dispatch say to each other about work: leases, orders, reports, heartbeats, uploads."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from protocol.addresses import FetchPolicy
from protocol.base import Bytes, Identifier, Message, RelativePath, Seconds, Sha256, Token
from protocol.capabilities import Capabilities, Load, Slots
from protocol.errors import ErrorCode
from protocol.packaging import ContentKeys
from protocol.recipes import Recipe
from protocol.results import AttemptResult, Failure, StepReport
from protocol.states import EngineState, TaskKind


class RemoteInput(Message):
    """An input somewhere on the net. The URL may hold a secret in its query: it stands in no log."""

    url: Annotated[str, Field(repr=False)]
    policy: FetchPolicy


EDGE_BYTES = 64 << 10


class SharedFile(Message):
    """A file as dispatch sees it on its own disk. The engine takes it for the same only when size and edges agree.

    `edges_sha256` is the digest of the first and the last 64 KiB, one after the other.
    """

    path: str
    edges_sha256: Sha256


class InputAccess(Message):
    """How an engine reads the input: a signed URL that serves ranges, whole or without the server's address.

    `filename` is for people and logs only.

    With `remote` the engine fetches it from there, within the policy; `url` and `size` then say nothing.
    `sha256` is told where dispatch knows it. `shared` is where the same file stands on a disk that the engine may see too.
    `etag` is the version that every answer must be of, without quotes: an object in a bucket of others may change.
    """

    url: Annotated[str, Field(repr=False)]
    filename: str
    size: Bytes
    remote: RemoteInput | None = None
    sha256: Sha256 | None = None
    shared: SharedFile | None = None
    etag: str | None = None


class TaskInput(Message):
    """A file besides the input, by the name the recipe knows it by: staged by a sibling task, or brought with the job."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]{1,60}$")]
    access: InputAccess


class LiveAccess(Message):
    """How an engine shows a live stream: `publish_url` is a signed prefix for PUT, fenced by the attempt's token.

    Segments go there once, playlists again and again. `policy` is what a playlist to be pulled is held against.
    """

    publish_url: Annotated[str, Field(repr=False)]
    policy: FetchPolicy


class Grant(Message):
    """One task for one engine. `staging_url` is a signed prefix: PUT `<staging_url>/<path>` stages a file, once.

    With `stages_directly` the engine asks `POST /tasks/{id}/uploads` where each file goes past dispatch instead.
    """

    task_id: Identifier
    token: Token
    job_id: Identifier
    kind: TaskKind
    recipe: Recipe
    steps: tuple[str, ...]
    lease_s: Seconds
    estimate_s: Seconds
    input: InputAccess | None = None
    inputs: tuple[TaskInput, ...] = ()
    staging_url: str | None = None
    stages_directly: bool = False
    live: LiveAccess | None = None
    keys: ContentKeys | None = Field(default=None, repr=False)
    """For the encryption of a `package`; the engine keeps them in memory and in its own queue alone."""


class Order(Message):
    """What dispatch wants at once. `cancel` and `drop` end the attempt; both are final. `drain` has no task.

    `give_back` asks for a prefetched task that has not started: another engine is idle. `stop` ends a live stream in good
    order: what was received becomes its recording.
    """

    order: Literal["cancel", "drop", "give_back", "stop", "drain", "undrain"]
    task_id: Identifier | None = None
    token: Token | None = None


class _Report(Message):
    task_id: Identifier
    token: Token


class Ack(_Report):
    """The grant is on the engine's disk."""

    type: Literal["ack"] = "ack"


class Start(_Report):
    type: Literal["start"] = "start"


class Complete(_Report):
    type: Literal["complete"] = "complete"
    result: AttemptResult


class Fail(_Report):
    type: Literal["fail"] = "fail"
    failure: Failure


class Release(_Report):
    """Handed back unharmed: drained, or never started. Never charged."""

    type: Literal["release"] = "release"
    reason: str


Report = Annotated[Ack | Start | Complete | Fail | Release, Field(discriminator="type")]


def digest_of(report: Report) -> str | None:
    """What both sides know a final report by; None for one that ends nothing."""
    return None if isinstance(report, Ack | Start) else hashlib.sha256(report.model_dump_json().encode()).hexdigest()


class Settlement(Message):
    """The answer to one report, in the order they were sent. `error` is final for the engine: it drops the attempt.

    `digest` is that of a final report as dispatch stored it: only then does the engine delete what it reported.
    """

    task_id: Identifier
    token: Token
    error: ErrorCode | None = None
    message: str | None = None
    digest: Sha256 | None = None


class TaskCall(Message):
    """The body of `POST /tasks/{id}/ack` and `/start`; the task stands in the path."""

    token: Token


class TaskCompleted(TaskCall):
    result: AttemptResult


class TaskFailed(TaskCall):
    failure: Failure


class TaskReleased(TaskCall):
    reason: str = ""


class LeaseRequest(Message):
    """Asks for up to `slots` encoding, `gpu_slots` GPU and `light_slots` light tasks; waits up to `wait_s`.

    Always open, also with 0. `prefetch`: one more short task may come, to wait on the engine's disk.

    A newer request of the same engine answers the older one at once, empty.
    """

    boot_id: str
    slots: Annotated[int, Field(ge=0, le=1024)]
    light_slots: Annotated[int, Field(ge=0, le=1024)]
    gpu_slots: Annotated[int, Field(ge=0, le=1024)] = 0
    prefetch: bool = False
    wait_s: Annotated[float, Field(ge=0, le=60)] = 25.0
    request_id: Annotated[str, Field(min_length=1, max_length=64)]
    reports: tuple[Report, ...] = ()


class LeaseReply(Message):
    tasks: tuple[Grant, ...] = ()
    orders: tuple[Order, ...] = ()
    settled: tuple[Settlement, ...] = ()


class ReportsRequest(Message):
    boot_id: str
    reports: Annotated[tuple[Report, ...], Field(min_length=1, max_length=2000)]


class ReportsReply(Message):
    settled: tuple[Settlement, ...]


class RunningTask(Message):
    """An attempt the engine holds, with the progress of its steps. `started` is false while it waits for a slot."""

    task_id: Identifier
    token: Token
    started: bool
    steps: tuple[StepReport, ...] = ()


class Heartbeat(Message):
    boot_id: str
    state: EngineState
    load: Load
    slots: Slots
    running: tuple[RunningTask, ...] = ()
    capabilities: Capabilities | None = None


class Renewal(Message):
    task_id: Identifier
    token: Token
    lease_s: Seconds


class HeartbeatReply(Message):
    """`renewed` are the leases that live on; an attempt of the heartbeat that is not in it is lost and dropped."""

    renewed: tuple[Renewal, ...] = ()
    orders: tuple[Order, ...] = ()
    heartbeat_s: Seconds


class Goodbye(Message):
    """The last word of one run of an engine; it says nothing about a later run."""

    boot_id: str


class UploadFile(Message):
    """A whole file that waits to be staged, as its bytes are."""

    path: RelativePath
    size: Bytes
    sha256: Sha256


_ANY_OF_TWO: JsonDict = {"anyOf": [{"required": [name], "properties": {name: {"minItems": 1}}} for name in ("paths", "files")]}


class UploadsRequest(Message):
    """Asks for `paths`, or for `files`, which may then go past dispatch."""

    model_config = ConfigDict(json_schema_extra=_ANY_OF_TWO)

    token: Token
    paths: Annotated[tuple[RelativePath, ...], Field(max_length=20_000)] = ()
    files: Annotated[tuple[UploadFile, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _asks_for_something(self) -> UploadsRequest:
        if not self.paths and not self.files:
            raise ValueError("give paths or files")
        return self


class UploadTarget(Message):
    """Where to PUT the file, whole and once, each time with `headers`: at `url`, or as `parts` in their order.

    Every part but the last holds `part_bytes`; parts may come in any order, and again. When all are there,
    `POST /tasks/{id}/uploads/finish` names `upload`. Links hold secrets: they stand in no log.
    """

    path: RelativePath
    url: Annotated[str, Field(repr=False)] = ""
    headers: dict[str, str] = {}
    parts: Annotated[tuple[str, ...], Field(repr=False)] = ()
    part_bytes: Bytes = 0
    upload: str | None = None


class UploadsReply(Message):
    uploads: tuple[UploadTarget, ...]


class UploadFinish(Message):
    """All parts of the file are there: it is made one. Once more is harmless."""

    token: Token
    file: UploadFile
    upload: Annotated[str, Field(min_length=1, max_length=1024)]
