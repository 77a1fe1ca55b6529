"""Retention, dead letters and validation as operators and clients see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.base import Bytes, Identifier, Message, Page, Seconds
from protocol.errors import ErrorCode
from protocol.jobs import AttemptView, JobErrorView
from protocol.media import VideoInfo


class RetentionSpans(Message):
    """Seconds something is kept after the job's end; a log after its attempt's, an entry of the audit log after its own."""

    originals_s: Seconds
    records_s: Seconds
    logs_s: Seconds
    audit_s: Seconds


class RetentionItem(Message):
    """What is due. `kind` is `original`, `record` (a failed or cancelled job, whole), `log` or `expired` (`expires_at`).

    `since` is the end it is counted from. `path` lies in the storage; `token` names the attempt of a log.
    """

    kind: Annotated[str, Field(pattern="^(original|record|log|expired)$")]
    job_id: Identifier
    tenant: str
    path: str | None
    token: int | None
    since: str
    size_bytes: Bytes


class RetentionPage(Page):
    """`audit_entries`: how many entries of the audit log are due; they are not listed one by one."""

    items: tuple[RetentionItem, ...]
    audit_entries: Annotated[int, Field(ge=0)]
    dry_run: bool
    spans: RetentionSpans


class DeadLetter(Message):
    """A job that failed, and not by its client's fault; `error.evidence` tells what is known."""

    job_id: Identifier
    tenant: str
    profile: str
    priority: int
    created_at: str
    failed_at: str
    error: JobErrorView
    attempts: tuple[AttemptView, ...]


class DeadLetterPage(Page):
    dead_letters: tuple[DeadLetter, ...]


class Problem(Message):
    code: ErrorCode
    message: str


class Estimate(Message):
    """Rough: seconds of work, bytes of all outputs together.

    `is_measured`: by how fast the engines here have encoded such pictures before; else as on two threads of a common
    server core.
    """

    seconds: Seconds
    bytes: Bytes
    is_measured: bool = False


class ValidationReply(Message):
    """`transcoding_options` has `can_<rendition>` for each known rendition, and `can_extract_audio`.

    `problems` are why nothing would be made, `warnings` what would be left out or not be as in the source.
    """

    valid: bool
    video_info: VideoInfo | None
    transcoding_options: dict[str, bool]
    problems: tuple[Problem, ...]
    estimate: Estimate | None
    warnings: tuple[str, ...] = ()
