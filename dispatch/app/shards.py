"""This farm among all that share tenants."""

from __future__ import annotations

from config.dispatch import DispatchSettings
from dispatch.core.sharding import ShardRouter, Shards


def shards_of(settings: DispatchSettings) -> Shards | None:
    """None for a farm that has all tenants."""
    told = settings.shards
    if told.own is None:
        return None
    router = ShardRouter(tuple(sorted(told.urls)), dict(told.pins))
    return Shards(told.own, dict(told.urls), router, settings.jwt.tenant_claim)
