"""What the commands about jobs take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from client.options.common import Cursor, JobId, Limit, Remote, Retry

Attach = Annotated[
    list[str],
    typer.Option("--attach", metavar="NAME[:LANG]=FILE", help="A file beside it: watermark=logo.png, subs:en=film.srt."),
]
Outputs = Annotated[
    str | None,
    typer.Option("--outputs", metavar="JSON", help='Parts of the profile: \'{"renditions": ["360p"], "audio": null}\'.'),
]
Strict = Annotated[bool, typer.Option("--strict", help="Decode the input to its end first, and refuse it where it is damaged.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitOptions(Remote):
    """Submit files, server paths (server:/path), links (http, https), or streams (live:rtmp, live:https://host/live.m3u8)."""

    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="What to transcode.", show_default=False)]
    profile: Annotated[str | None, typer.Option("--profile", help="The recipe; see `reelyard profiles`. A stream's is live.")] = (
        None
    )
    priority: Annotated[int | None, typer.Option("--priority", help="1 (background) to 10 (critical).")] = None
    meta: Annotated[list[str], typer.Option("--meta", metavar="K=V", help="Metadata kept with the job.")] = field(
        default_factory=list
    )
    ttl: Annotated[int | None, typer.Option("--ttl", metavar="S", help="Fail unless started within so many seconds.")] = None
    requires: Annotated[
        list[str], typer.Option("--requires", metavar="C", help="What an engine must be able to do: encoder:libx264.")
    ] = field(default_factory=list)
    tag: Annotated[list[str], typer.Option("--tag", metavar="T", help="A tag an engine must have: site:oslo.")] = field(
        default_factory=list
    )
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="K", help="The same key never makes a second job.")
    ] = None
    webhook: Annotated[str | None, typer.Option("--webhook", metavar="URL", help="Told when a job has ended.")] = None
    thumbnail: Annotated[
        Path | None, typer.Option("--thumbnail", metavar="FILE", help="Your own picture: JPEG, PNG or WebP, at most 5 MB.")
    ] = None
    attach: Attach = field(default_factory=list)
    content_keys: Annotated[
        Path | None, typer.Option("--content-keys", metavar="FILE", help="Keys for its encryption, as JSON: howto/encryption.md.")
    ] = None
    expires_at: Annotated[
        str | None,
        typer.Option("--expires-at", metavar="TIME", help="Its files are purged then: 2027-01-31T00:00:00Z."),
    ] = None
    finish_by: Annotated[
        str | None,
        typer.Option("--finish-by", metavar="TIME", help="Critical when it still waits near then: 2027-01-31T00:00:00Z."),
    ] = None
    outputs: Outputs = None
    strict: Strict = False
    allow_damaged: Annotated[bool, typer.Option("--allow-damaged", help="Publish what a damaged input gives, with warnings.")] = (
        False
    )
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the jobs have ended.")] = False
    download: Annotated[
        Path | None, typer.Option("--download", metavar="DIR", help="Wait, then fetch the outputs to DIR/<job>.")
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsOptions(Remote):
    """List jobs, newest first."""

    status: Annotated[str | None, typer.Option("--status", help="Only those pending, processing, completed, ...")] = None
    search: Annotated[str | None, typer.Option("--search", "-q", help="Only those in which this is found.")] = None
    meta: Annotated[list[str], typer.Option("--meta", metavar="K=V", help="Only those with this metadata.")] = field(
        default_factory=list
    )
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only those of this tenant (admins).")] = None
    limit: Limit = 50
    cursor: Cursor = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions(Remote):
    """Show one job."""

    job_id: JobId
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until it has ended; exit 1 if it did not complete.")] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WhyOptions(Remote):
    """Tell why a job waits, engine by engine."""

    job_id: JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class LogOptions(Remote):
    """Show the tail of each attempt's tool log."""

    job_id: JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelOptions(Remote):
    """Cancel a job."""

    job_id: JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryOptions(Remote):
    """Try a failed job again."""

    job_id: JobId
    priority: Retry = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputsOptions(Remote):
    """List what a job made, with links that expire; or fetch it."""

    job_id: JobId
    download: Annotated[Path | None, typer.Option("--download", metavar="DIR", help="Fetch all of it to DIR.")] = None
    zip: Annotated[Path | None, typer.Option("--zip", metavar="FILE", help="Fetch all of it as one ZIP.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SetOptions(Remote):
    """Change a job that still waits."""

    job_id: JobId
    priority: Annotated[int | None, typer.Option("--priority", help="1 (background) to 10 (critical).")] = None
    meta: Annotated[list[str], typer.Option("--meta", metavar="K=V", help="Set this; K= takes it away, the rest stays.")] = field(
        default_factory=list
    )
    webhook: Annotated[str | None, typer.Option("--webhook", metavar="URL", help="Told instead; empty for none.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PurgeOptions(Remote):
    """Remove a job that has ended, with all its files."""

    job_id: JobId
    outputs: Annotated[bool, typer.Option("--outputs", help="Only what it published; the job and its original stay.")] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidateOptions(Remote):
    """Have an engine look at an input; nothing is made of it. Exit 1 when it is not fit."""

    input: Annotated[str, typer.Argument(metavar="INPUT", help="A file, server:/path or http(s)://.", show_default=False)]
    profile: Annotated[str | None, typer.Option("--profile", help="For this recipe.")] = None
    outputs: Outputs = None
    attach: Attach = field(default_factory=list)
    strict: Strict = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaybackOptions(Remote):
    """Tell the link that plays what a job made, for whoever has it, until it expires."""

    job_id: JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveOptions(Remote):
    """Tell where a stream is published to while it waits, and where to watch it while it runs."""

    job_id: JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class StopOptions(Remote):
    """End a live stream: what has come in becomes its recording."""

    job_id: JobId
