"""What each command takes, as types. Imports nothing heavy: `reelyard --help` reads only this."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]
EngineId = Annotated[str, typer.Argument(metavar="ENGINE", help="The engine's id.", show_default=False)]
Data = Annotated[Path, typer.Option("--data", envvar="REELYARD_DATA", help="Where a server on this box keeps its data.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="At most so many.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Common:
    """What every command takes."""

    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote(Common):
    """What every command takes that speaks to a server."""

    server: Annotated[
        str | None,
        typer.Option("--server", envvar="REELYARD_SERVER", help="The server's address; else the one that runs on --data."),
    ] = None
    key: Annotated[
        str | None, typer.Option("--key", envvar="REELYARD_API_KEY", help="The API key; else the admin key in --data.")
    ] = None
    data: Data = Path("reelyard-data")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpOptions(Common):
    """Start a server and one engine on this box. Ctrl-C drains both."""

    data: Data = Path("reelyard-data")
    listen: Annotated[str, typer.Option("--listen", help="Address and port of the server; port 0 picks a free one.")] = (
        "127.0.0.1:8080"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitOptions(Remote):
    """Submit files, server paths (server:/path), links (http, https) or S3 objects (s3://bucket/key)."""

    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="What to transcode.", show_default=False)]
    profile: Annotated[str | None, typer.Option("--profile", help="The recipe; see `reelyard profiles`.")] = None
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
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the jobs have ended.")] = False
    download: Annotated[
        Path | None, typer.Option("--download", metavar="DIR", help="Wait, then fetch the outputs to DIR/<job>.")
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsOptions(Remote):
    """List jobs, newest first."""

    status: Annotated[str | None, typer.Option("--status", help="Only those pending, processing, completed, ...")] = None
    limit: Limit = 50
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on after this page.")] = None


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
    priority: Annotated[int, typer.Option("--priority", min=1, max=10, help="1 (background) to 10 (critical).")] = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputsOptions(Remote):
    """List what a job made, with links that expire; or fetch it."""

    job_id: JobId
    download: Annotated[Path | None, typer.Option("--download", metavar="DIR", help="Fetch all of it to DIR.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginesOptions(Remote):
    """List the engines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInfoOptions(Remote):
    """Show one engine."""

    engine_id: EngineId


@dataclass(frozen=True, kw_only=True, slots=True)
class DrainOptions(Remote):
    """Let an engine finish what it holds and take nothing new."""

    engine_id: EngineId


@dataclass(frozen=True, kw_only=True, slots=True)
class UndrainOptions(Remote):
    """Let an engine take work again."""

    engine_id: EngineId


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCreateOptions(Remote):
    """Make an API key. It is shown this once."""

    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)]
    scope: Annotated[list[str], typer.Option("--scope", help="What it may do; jobs:read and jobs:write unless told.")] = field(
        default_factory=list
    )
    tenant: Annotated[str, typer.Option("--tenant", help="Whose jobs it makes and sees.")] = "default"
    expires_at: Annotated[str | None, typer.Option("--expires-at", metavar="TIME", help="RFC 3339, UTC.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyListOptions(Remote):
    """List API keys, without their secrets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRevokeOptions(Remote):
    """Revoke an API key."""

    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id.", show_default=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantCreateOptions(Remote):
    """Make a tenant."""

    name: Annotated[str, typer.Argument(help="Its name.", show_default=False)]
    weight: Annotated[float, typer.Option("--weight", help="Its share of the farm, beside the others'.")] = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantListOptions(Remote):
    """List tenants."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfilesOptions(Remote):
    """List the profiles a job may name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionOptions(Remote):
    """Tell the version of this program, and of the server where one answers."""
