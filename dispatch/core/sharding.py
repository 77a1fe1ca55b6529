"""Which farm of several a tenant lives in. Pure: the same names and the same tenant give the same farm, everywhere and always."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from dispatch.core.api_keys import PREFIX
from dispatch.core.claims import looks_like_token

SECRET = 43
"""Characters of the random part of a key: 256 bits as URL-safe base64, whose letters hold `_` too."""


@dataclass(frozen=True, slots=True)
class ShardRouter:
    """`names` are all farms, in any order. `pins` are tenants that live elsewhere than their name says.

    By rendezvous hashing: each farm bids for a tenant, the highest bid has it. One farm more takes its share from all
    others, and moves nobody between them.
    """

    names: tuple[str, ...]
    pins: Mapping[str, str] = field(default_factory=dict)

    def owner(self, tenant: str) -> str:
        pinned = self.pins.get(tenant)
        return pinned if pinned is not None else max(self.names, key=lambda name: (_bid(name, tenant), name))

    def shard_of_key(self, key: str) -> str | None:
        """The farm that made an API key, as its text says; None for one that says nothing."""
        name, is_named, secret = key.removeprefix(PREFIX)[: -SECRET - 1], key[-SECRET - 1 : -SECRET] == "_", key[-SECRET:]
        known = key.startswith(PREFIX) and is_named and len(secret) == SECRET and name in self.names
        return name if known else None


def key_prefix(shard: str | None) -> str:
    """What the keys of a farm begin with."""
    return PREFIX if shard is None else f"{PREFIX}{shard}_"


def _bid(name: str, tenant: str) -> bytes:
    return hashlib.sha256(f"{name}\0{tenant}".encode()).digest()


def tenant_told(token: str, claim: str) -> str | None:
    """The tenant that a token of another issuer names, with nothing of it proven: only where to take it, nothing else."""
    try:
        claims = orjson.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    except (ValueError, IndexError):
        return None
    told = claims.get(claim) if isinstance(claims, dict) else None
    return told if isinstance(told, str) else None


@dataclass(frozen=True, slots=True)
class Shards:
    """This farm among all: `own` is its name, `urls` are where each is reached, `claim` names the tenant in a token."""

    own: str
    urls: Mapping[str, str]
    router: ShardRouter
    claim: str = "tenant"

    def by_secret(self, secret: str) -> str | None:
        """The address of the farm that a key or a token is for; None where it is this one, or nobody knows."""
        if not looks_like_token(secret):
            return self._elsewhere(self.router.shard_of_key(secret))
        tenant = tenant_told(secret, self.claim)
        return None if tenant is None else self.by_tenant(tenant)

    @property
    def others(self) -> list[str]:
        """The addresses of all farms but this one."""
        return [url for name, url in sorted(self.urls.items()) if name != self.own]

    def by_tenant(self, tenant: str) -> str | None:
        return self._elsewhere(self.router.owner(tenant))

    def _elsewhere(self, shard: str | None) -> str | None:
        return None if shard is None or shard == self.own else self.urls[shard]
