"""What the services get from outside themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispatch.app.secrets import Secrets
from dispatch.core.cluster import ServerRow
from dispatch.events.bus import CommitBus
from dispatch.ports import Clock, Ids, Store
from dispatch.ports.limits import RateWindows
from dispatch.ports.webhooks import WebhookSender
from dispatch.services.leases import Chance
from dispatch.services.s3_inputs import NO_BUCKETS, S3Inputs
from protocol.profiles import Profile
from protocol.storage import StorageProvider

THE_ONLY_ONE = ServerRow("srv_only", "run_only", "", "", 0.0, 0.0)
"""A server that shares its database with nobody needs no name."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Adapters and facts; made by the process, and by tests in its place. `sender` is HTTP where none is given."""

    store: Store
    bus: CommitBus
    storage: StorageProvider
    clock: Clock
    ids: Ids
    chance: Chance
    profiles: Sequence[Profile]
    secrets: Secrets
    sender: WebhookSender | None = None
    windows: RateWindows | None = None
    """Of several servers together; in the memory of this one where there are none."""
    buckets: S3Inputs = NO_BUCKETS
    server: ServerRow = THE_ONLY_ONE
