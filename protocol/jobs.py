"""Submissions and jobs as clients send and see them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from protocol.base import Bytes, Identifier, Message, Moment, Page, Seconds
from protocol.capabilities import Capability, Tag
from protocol.errors import ErrorCode, FailureClass
from protocol.live import LiveView
from protocol.media import LiveInput, VideoInfo
from protocol.outputs import AsOutputs
from protocol.packaging import ContentKeys
from protocol.pictures import Language, Name
from protocol.profiles import OutputOverrides
from protocol.states import AttemptState, JobState, JobStatus, StepState, TaskKind
from protocol.webhooks import WebhookUrl

MAX_METADATA_BYTES, MAX_METADATA_DEPTH = 65_536, 5
Metadata = dict[str, JsonValue]
Priority = Annotated[int, Field(ge=1, le=10)]


def _depth(value: object) -> int:
    match value:
        case dict():
            return 1 + max((_depth(v) for v in value.values()), default=0)
        case list():
            return 1 + max((_depth(v) for v in value), default=0)
        case _:
            return 0


def _has_control(value: object) -> bool:
    match value:
        case str():
            return any((ord(c) < 32 and c not in "\t\n\r") or ord(c) == 127 for c in value)
        case dict():
            return any(_has_control(k) or _has_control(v) for k, v in value.items())
        case list():
            return any(_has_control(v) for v in value)
        case _:
            return False


def _is_beyond_json(value: object) -> bool:
    """Numbers that other readers of JSON do not take: not finite, or beyond 64 bits."""
    match value:
        case int():
            return not -(2**63) <= value < 2**64
        case float():
            return not math.isfinite(value)
        case dict():
            return any(_is_beyond_json(v) for v in value.values())
        case list():
            return any(_is_beyond_json(v) for v in value)
        case _:
            return False


def check_metadata(value: Metadata) -> Metadata:
    """A JSON object of at most 64 KiB and depth 5, without control characters or numbers past 64 bits. Raises ValueError."""
    if not value:
        return value
    if _depth(value) > MAX_METADATA_DEPTH:
        raise ValueError(f"nested deeper than {MAX_METADATA_DEPTH}")
    if _has_control(value):
        raise ValueError("holds a control character")
    if _is_beyond_json(value):
        raise ValueError("holds a number beyond 64 bits, or one that is not finite")
    return value


MAX_KEY_BYTES = 1024


def check_object_key(key: str) -> str:
    """At most 1,024 bytes, no control characters, no name `.` or `..`: what every S3 store and every HTTP client takes.

    Raises ValueError.
    """
    if len(key.encode()) > MAX_KEY_BYTES:
        raise ValueError(f"longer than {MAX_KEY_BYTES} bytes")
    if any(ord(c) < 32 or ord(c) == 127 for c in key):
        raise ValueError("holds a control character")
    if key.startswith("/") or any(name in (".", "..") for name in key.split("/")):
        raise ValueError("begins with a slash, or has a name `.` or `..`")
    return key


Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]*(\.[a-z0-9][a-z0-9\-]*)*$", min_length=3, max_length=63)]
_NAME = r"([^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*|\.\.[^/\x00-\x1f\x7f]+)"
ObjectKey = Annotated[
    str,
    Field(min_length=1, max_length=MAX_KEY_BYTES, json_schema_extra={"pattern": f"^{_NAME}(/{_NAME}?)*$"}),
    AfterValidator(check_object_key),
]
"""The pattern is for readers of the document: what is wrong with a key, the check says in words."""


class S3Object(Message):
    """An object in a bucket that the server's settings allow; read in place, never changed or deleted."""

    bucket: Bucket
    key: ObjectKey


class JobInput(Message):
    """Exactly one of the five; `s3` needs a server whose settings name the bucket. `live` is for profiles that stream."""

    url: Annotated[str, Field(max_length=4096)] | None = None
    s3: S3Object | None = None
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    upload_id: Identifier | None = None
    live: LiveInput | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> JobInput:
        if sum(x is not None for x in (self.url, self.s3, self.path, self.upload_id, self.live)) != 1:
            raise ValueError("give exactly one of url, s3, path, upload_id, live")
        return self


class Attachment(Message):
    """A file beside the input, a finished upload: a watermark, subtitles, a part of a film made of several."""

    upload_id: Identifier
    language: Language | None = None
    """Of subtitles."""


class Thumbnail(Message):
    """The client's own picture: a finished upload, JPEG, PNG or WebP of at most 5 MB."""

    upload_id: Identifier


class JobSubmission(Message):
    """`input` is None only for profile `noop`. `requires` is an alias of `required_capabilities`.

    From `expires_at` (RFC 3339, at most ten years ahead) the job's files are purged once it has ended. A job that still
    waits some time (`jobs.hurry_s`) before `finish_by` becomes critical, priority 10; it is a wish, and nothing is refused
    for it. `outputs` overrides parts of the profile.
    """

    input: JobInput | None = None
    profile: Name | None = None
    outputs: OutputOverrides = OutputOverrides()
    priority: Priority = 5
    required_capabilities: Annotated[frozenset[Capability], Field(max_length=32)] = frozenset()
    requires: Annotated[frozenset[Capability], Field(max_length=32)] = frozenset()
    tags: Annotated[frozenset[Tag], Field(max_length=16)] = frozenset()
    ttl_s: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    expires_at: Annotated[Moment, Field(max_length=40)] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    thumbnail: Thumbnail | None = None
    attachments: Annotated[dict[Name, Attachment], Field(max_length=16)] = {}
    content_keys: ContentKeys | None = Field(default=None, repr=False)
    webhook_url: WebhookUrl | None = None
    metadata: Annotated[Metadata, AfterValidator(check_metadata)] = {}
    finish_by: Annotated[Moment, Field(max_length=40)] | None = None
    integrity: Literal["strict"] | None = None
    """`strict`: the input is decoded to its end before anything is made of it. Null: as the server's settings say."""
    allow_damaged: bool = False
    """What a damaged input gives is published all the same, with warnings; not of live streams, nor with HandBrake or frames."""


class BatchSubmission(Message):
    jobs: Annotated[tuple[dict[str, JsonValue], ...], Field(min_length=1, max_length=1000)]
    """Each is checked for itself, so that one bad submission does not refuse the others."""


class FilesystemSubmission(Message):
    file_path: Annotated[str, Field(min_length=1, max_length=4096)]
    profile: Name | None = None
    priority: Priority = 5
    webhook_url: WebhookUrl | None = None
    metadata: Annotated[Metadata, AfterValidator(check_metadata)] = {}


class S3Submission(Message):
    bucket: Bucket
    object_key: ObjectKey
    profile: Name | None = None
    priority: Priority = 5
    webhook_url: WebhookUrl | None = None
    metadata: Annotated[Metadata, AfterValidator(check_metadata)] = {}


class JobPatch(Message):
    """What may change while a job waits; what is left out stays. `webhook_url` null takes the webhook away."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    priority: Priority = 5
    metadata: Annotated[Metadata, AfterValidator(check_metadata)] = {}
    webhook_url: Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=2048)] | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> JobPatch:
        if not self.model_fields_set:
            raise ValueError("give at least one of priority, metadata, webhook_url")
        return self


class RetryRequest(Message):
    priority: Priority = 10


class StepView(Message):
    name: str
    status: StepState
    progress_percent: float
    eta_seconds: Seconds | None = None
    duration_seconds: Seconds | None = None
    output_size_bytes: Bytes | None = None
    error: str | None = None


class AttemptView(Message):
    task_id: Identifier
    kind: TaskKind
    token: int
    state: AttemptState
    engine_id: Identifier
    granted_at: str
    started_at: str | None
    ended_at: str | None
    error: str | None


class JobErrorView(Message):
    code: ErrorCode
    message: str
    failure_class: Annotated[FailureClass, Field(serialization_alias="class", validation_alias="class")]
    step: str | None = None
    evidence: dict[str, str] = {}


class JobView(Message):
    """The whole job. Every field is stored or follows from stored rows; nothing depends on when it is read."""

    job_id: Identifier
    tenant: str
    state: JobState
    status: JobStatus
    version: int
    profile: str
    progress_percent: float
    current_task: str | None
    priority: int
    attempt: int
    created_at: str
    updated_at: str
    started_at: str | None
    completed_at: str | None
    expires_at: str | None = None
    finish_by: str | None = None
    outputs_purged_at: str | None = None
    webhook_url: str | None = None
    processing_time_seconds: Seconds | None
    eta_seconds: Seconds | None
    input: dict[str, JsonValue] | None
    video_info: VideoInfo | None
    tasks: tuple[StepView, ...]
    attempts: tuple[AttemptView, ...]
    outputs: Annotated[dict[str, JsonValue], AsOutputs] | None
    compression: dict[str, float] | None
    quality_metrics: dict[str, JsonValue] | None
    user_metadata: Metadata
    error: JobErrorView | None
    warnings: tuple[str, ...] = ()
    live: LiveView | None = None
    links: dict[str, str]


class JobPage(Page):
    jobs: tuple[JobView, ...]


class ErrorBody(Message):
    code: ErrorCode
    message: str
    details: dict[str, Any] = {}
    request_id: str


class ErrorEnvelope(Message):
    error: ErrorBody


class BatchItem(Message):
    """The answer to one submission of a batch: the job's id and state, or the error."""

    status: int
    job_id: Identifier | None = None
    state: JobState | None = None
    error: ErrorBody | None = None


class BatchReply(Message):
    jobs: tuple[BatchItem, ...]


class WhyEngine(Message):
    """The first condition that keeps the task from this engine; None when it fits and merely has no free slot yet."""

    engine_id: Identifier
    name: str
    reason: str


class WhyReply(Message):
    job_id: Identifier
    state: JobState
    summary: str
    ahead_in_queue: int | None = None
    not_before: str | None = None
    engines: tuple[WhyEngine, ...] = ()


class OutputLink(Message):
    """One published file: `url` expires at `expires_at`; `path` is below the job's outputs."""

    path: str
    role: str
    rendition: str | None
    size_bytes: Bytes
    sha256: str
    url: str


class OutputsReply(Message):
    job_id: Identifier
    expires_at: str
    files: tuple[OutputLink, ...]


class AttemptLog(Message):
    task_id: Identifier
    token: int
    log: str


class JobLog(Message):
    attempts: tuple[AttemptLog, ...]
