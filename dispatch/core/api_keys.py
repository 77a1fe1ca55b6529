"""API keys as records: what makes one good, and what rotating and revoking it mean."""

from __future__ import annotations

import hmac
from dataclasses import replace

from dispatch.core import times
from dispatch.core.callers import Caller
from dispatch.core.networks import is_within
from dispatch.core.records import ApiKey
from protocol.admin import KeyView, Scope
from protocol.errors import ErrorCode, ReelyardError

PREFIX = "rk_"
SHOWN = len(PREFIX) + 6
NOT_FOR_KEYS = frozenset({Scope.REGISTRATION, Scope.OPEN})
"""Words of the table of operations that no key can hold. `engine` lets a key register engines, and nothing else."""


def is_good(key: ApiKey, sha256: str, address: str, *, now: float) -> bool:
    """Whether the secret with this digest opens the door to a caller at this address."""
    is_current = hmac.compare_digest(sha256, key.sha256)
    is_previous = key.previous_sha256 is not None and hmac.compare_digest(sha256, key.previous_sha256)
    is_known = is_current or (is_previous and key.previous_until is not None and now < key.previous_until)
    return is_known and not has_ended(key, now=now) and (not key.allowed_ips or is_within(address, key.allowed_ips))


def has_ended(key: ApiKey, *, now: float) -> bool:
    return key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)


def rotated(key: ApiKey, secret: str, sha256: str, *, overlap_s: float, now: float) -> ApiKey:
    """The secret until now stays good for the overlap; one from an earlier rotation ends at once. Raises KEY_ENDED."""
    if has_ended(key, now=now):
        raise ReelyardError(ErrorCode.KEY_ENDED, details={"key_id": key.key_id})
    return replace(key, sha256=sha256, prefix=secret[:SHOWN], previous_sha256=key.sha256, previous_until=now + overlap_s)


def revoked(key: ApiKey, *, now: float) -> ApiKey:
    return key if key.revoked_at is not None else replace(key, revoked_at=now)


def caller_of(key: ApiKey, address: str) -> Caller:
    scopes = frozenset(Scope(scope) for scope in key.scopes)
    return Caller(key.key_id, key.tenant, scopes, address, jobs_per_hour=key.rate_limit_per_hour)


def view(key: ApiKey) -> KeyView:
    return KeyView(
        key_id=key.key_id,
        name=key.name,
        tenant=key.tenant,
        scopes=frozenset(Scope(scope) for scope in key.scopes),
        prefix=key.prefix,
        created_at=times.rfc3339(key.created_at),
        expires_at=times.maybe(key.expires_at),
        revoked_at=times.maybe(key.revoked_at),
        last_used_at=times.maybe(key.last_used_at),
        allowed_ips=key.allowed_ips,
        rate_limit_per_hour=key.rate_limit_per_hour,
        previous_until=times.maybe(key.previous_until),
    )
