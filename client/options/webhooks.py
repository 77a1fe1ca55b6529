"""What the commands about webhooks take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import typer

from client.options.common import Cursor, Limit, Remote

EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id.", show_default=False)]
DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery's id.", show_default=False)]
Whose = Annotated[
    str | None, typer.Argument(metavar="ENDPOINT", help="Of this endpoint; else of the jobs' own webhooks.", show_default=False)
]


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointListOptions(Remote):
    """List the endpoints that are told of jobs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointAddOptions(Remote):
    """Tell a URL of your tenant's jobs."""

    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages go.", show_default=False)]
    event: Annotated[
        list[str], typer.Option("--event", help="job.completed, job.failed, ...; the three endings unless told.")
    ] = field(default_factory=list)
    description: Annotated[str | None, typer.Option("--description", help="For people.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointRemoveOptions(Remote):
    """Remove an endpoint; what waits for it is discarded."""

    endpoint_id: EndpointId


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointTestOptions(Remote):
    """Send one test message now and tell what came back. Exit 1 when it was not delivered."""

    endpoint_id: EndpointId


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointEnableOptions(Remote):
    """Enable an endpoint again, after its receiver answered 410 or after `disable`."""

    endpoint_id: EndpointId


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointDisableOptions(Remote):
    """Tell an endpoint nothing until it is enabled."""

    endpoint_id: EndpointId


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretShowOptions(Remote):
    """Show what messages are signed with."""

    endpoint_id: Whose = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretRotateOptions(Remote):
    """Make a new secret; the one before signs too, for 24 hours."""

    endpoint_id: Whose = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryListOptions(Remote):
    """List what was sent and what waits, newest first."""

    state: Annotated[str | None, typer.Option("--state", help="pending, delivered, dead, discarded.")] = None
    endpoint: Annotated[str | None, typer.Option("--endpoint", metavar="ENDPOINT", help="Only to this endpoint.")] = None
    job: Annotated[str | None, typer.Option("--job", metavar="JOB", help="Only about this job.")] = None
    limit: Limit = 50
    cursor: Cursor = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryShowOptions(Remote):
    """Show one delivery: its tries, and with --json its payload."""

    delivery_id: DeliveryId


@dataclass(frozen=True, kw_only=True, slots=True)
class RedeliverOptions(Remote):
    """Send a delivery again: the same id and bytes."""

    delivery_id: DeliveryId
