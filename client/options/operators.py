"""What the commands of operators take."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from client.options.common import Cursor, JobId, Limit, Remote, Retry

EngineWord = Annotated[str, typer.Argument(metavar="ENGINE", help="The engine's id, or its name.", show_default=False)]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id.", show_default=False)]
TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="Its name.", show_default=False)]
ProfileName = Annotated[str, typer.Argument(metavar="PROFILE", help="Its name.", show_default=False)]
Weight = Annotated[float | None, typer.Option("--weight", help="Its share of the farm, beside the others'; 1 unless told.")]
Running = Annotated[str | None, typer.Option("--max-running", metavar="N", help="Tasks at once; none for no limit.")]
Queued = Annotated[str | None, typer.Option("--max-queued", metavar="N", help="Jobs not yet ended; none for no limit.")]
Monthly = Annotated[str | None, typer.Option("--max-bytes-per-month", metavar="N", help="Input bytes; none for no limit.")]
Prefix = Annotated[str | None, typer.Option("--prefix", help="The directory of its files; none for its name.")]
Untrusted = Annotated[
    bool | None, typer.Option("--untrusted/--trusted", help="Only engines with a sandbox of tier 2 or 3 take its jobs.")
]
Default = Annotated[str | None, typer.Option("--default-profile", metavar="P", help="For jobs that name none; none for none.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginesOptions(Remote):
    """List the engines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineInfoOptions(Remote):
    """Show one engine."""

    engine: EngineWord


@dataclass(frozen=True, kw_only=True, slots=True)
class DrainOptions(Remote):
    """Let an engine finish what it holds and take nothing new."""

    engine: EngineWord


@dataclass(frozen=True, kw_only=True, slots=True)
class UndrainOptions(Remote):
    """Let an engine take work again."""

    engine: EngineWord


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCreateOptions(Remote):
    """Make an API key. It is shown this once."""

    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)]
    scope: Annotated[list[str], typer.Option("--scope", help="What it may do; what a client needs unless told.")] = field(
        default_factory=list
    )
    tenant: Annotated[str, typer.Option("--tenant", help="Whose jobs it makes and sees.")] = "default"
    expires_at: Annotated[str | None, typer.Option("--expires-at", metavar="TIME", help="RFC 3339, UTC.")] = None
    allow_ip: Annotated[list[str], typer.Option("--allow-ip", metavar="NET", help="Only from this address or network.")] = field(
        default_factory=list
    )
    per_hour: Annotated[str | None, typer.Option("--per-hour", metavar="N", help="Calls that make jobs; none for no limit.")] = (
        None
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyListOptions(Remote):
    """List API keys, without their secrets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRevokeOptions(Remote):
    """Revoke an API key."""

    key_id: KeyId


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantCreateOptions(Remote):
    """Make a tenant."""

    name: TenantName
    weight: Weight = None
    max_running: Running = None
    max_queued: Queued = None
    max_bytes_per_month: Monthly = None
    prefix: Prefix = None
    default_profile: Default = None
    untrusted: Untrusted = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantListOptions(Remote):
    """List tenants."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfilesOptions(Remote):
    """List the profiles a job may name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApproveOptions(Remote):
    """Let an engine that awaits approval take work."""

    engine: EngineWord


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRotateOptions(Remote):
    """Give a key a new secret. It is shown this once."""

    key_id: KeyId
    overlap: Annotated[
        float, typer.Option("--overlap", metavar="S", help="The secret until now stays good for so many seconds.")
    ] = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantSetOptions(Remote):
    """Change a tenant; what is not told stays."""

    name: TenantName
    weight: Weight = None
    max_running: Running = None
    max_queued: Queued = None
    max_bytes_per_month: Monthly = None
    prefix: Prefix = None
    default_profile: Default = None
    untrusted: Untrusted = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileGetOptions(Remote):
    """Show one profile as JSON, as `profiles put` takes it."""

    name: ProfileName


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfilePutOptions(Remote):
    """Put a profile in, from a JSON or TOML file; one of the same name is replaced."""

    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON, or TOML by its suffix.", show_default=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileDeleteOptions(Remote):
    """Take out a profile that was put in."""

    name: ProfileName


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterListOptions(Remote):
    """List jobs that failed by no fault of their client, newest first."""

    limit: Limit = 50
    cursor: Cursor = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterRetryOptions(Remote):
    """Try a dead letter again."""

    job_id: JobId
    priority: Retry = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterDiscardOptions(Remote):
    """Purge a dead letter: the job and its files."""

    job_id: JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class StatsOptions(Remote):
    """Show the figures of the farm, or of your tenant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageOptions(Remote):
    """Show what each key used, by day, newest first."""

    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant.")] = None
    key_id: Annotated[str | None, typer.Option("--key-id", help="Only this key.")] = None
    since: Annotated[str | None, typer.Option("--from", metavar="DAY", help="From this day on: 2026-01-31.")] = None
    until: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Up to this day.")] = None
    limit: Limit = 50
    cursor: Cursor = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditOptions(Remote):
    """Show who changed what, newest first."""

    actor: Annotated[str | None, typer.Option("--actor", help="Only this one: a key's id, jwt:<subject>.")] = None
    action: Annotated[str | None, typer.Option("--action", help="Only this operation: create_key.")] = None
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="RFC 3339.")] = None
    limit: Limit = 50
    cursor: Cursor = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionOptions(Remote):
    """Show what the retention duty takes with its next run."""

    limit: Limit = 50
    cursor: Cursor = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigShowOptions(Remote):
    """Show the settings that are in force on the server, secrets masked."""
