"""API keys: who may call. Keys are shown once and kept as SHA-256."""

from __future__ import annotations

import hmac
from dataclasses import replace

from dispatch.core import times
from dispatch.core.callers import Caller
from dispatch.core.paging import FIRST, Listing, Wanted, page_fields, refuse
from dispatch.core.records import ApiKey
from dispatch.ports import Clock, Ids, Store, Transaction
from dispatch.services.engines import digest
from protocol.admin import KeyCreated, KeyPage, KeyRequest, KeyView, Scope
from protocol.errors import ErrorCode, ReelyardError

KEYS = Listing("api keys")
PREFIX = "rk_"
SHOWN = len(PREFIX) + 6
USE_NOTED_EVERY_S = 60.0
WARNING = "This key is shown once. Keep it where only its user can read it."


class KeyService:
    """`registration_sha256` is that of the shared token that lets engines register."""

    def __init__(self, store: Store, ids: Ids, clock: Clock, *, registration_sha256: str) -> None:
        self._store, self._ids, self._clock = store, ids, clock
        self._registration = registration_sha256
        self._known: dict[str, ApiKey] = {}

    async def authenticate(self, secret: str) -> Caller:
        """Raises UNAUTHORIZED, the same for a key that is unknown, expired or revoked."""
        hashed, now = digest(secret), self._clock.now()
        key = self._known.get(hashed) or await self._store.read(lambda tx: tx.key_by_digest(hashed))
        if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
            raise ReelyardError(ErrorCode.UNAUTHORIZED)
        if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY_S:
            key = await self._note_use(key, now)
        known = self._known.get(hashed)
        if known is not None and known.revoked_at is not None:  # while it was looked up
            raise ReelyardError(ErrorCode.UNAUTHORIZED)
        self._known[hashed] = key
        return Caller(key.key_id, key.tenant, frozenset(Scope(scope) for scope in key.scopes))

    async def _note_use(self, key: ApiKey, now: float) -> ApiKey:
        def note(tx: Transaction) -> ApiKey:
            fresh = tx.key(key.key_id)
            if fresh is None or fresh.revoked_at is not None:
                raise ReelyardError(ErrorCode.UNAUTHORIZED)
            used = replace(fresh, last_used_at=now)
            tx.put_key(used)
            return used

        try:
            return await self._store.transact(note)
        except ReelyardError as error:
            if error.code is ErrorCode.UNAUTHORIZED:
                raise
            return key  # a database that cannot be written still lets clients read

    def check_registration(self, secret: str) -> bool:
        return hmac.compare_digest(digest(secret), self._registration)

    async def create(self, who: Caller, request: KeyRequest) -> KeyCreated:
        secret = PREFIX + self._ids.secret()
        key = self._new_key(request, secret)

        def save(tx: Transaction) -> None:
            if request.tenant not in {tenant.name for tenant in tx.tenants()}:
                raise refuse("tenant", f"there is no tenant {request.tenant}; make it first")
            tx.put_key(key)

        await self._store.transact(save)
        return KeyCreated.model_validate({**_fields(key), "api_key": secret, "warning": WARNING})

    def _new_key(self, request: KeyRequest, secret: str) -> ApiKey:
        now = self._clock.now()
        return ApiKey(
            key_id=self._ids.new("key", now),
            name=request.name,
            tenant=request.tenant,
            scopes=tuple(sorted(request.scopes)),
            prefix=secret[:SHOWN],
            sha256=digest(secret),
            created_at=now,
            expires_at=None if request.expires_at is None else _expiry(request.expires_at),
        )

    async def list(self, wanted: Wanted = FIRST) -> KeyPage:
        found = await self._store.read(lambda tx: tx.list_keys(wanted))
        return KeyPage(api_keys=tuple(map(_view, found.rows)), **page_fields(found, wanted, KEYS))

    async def revoke(self, key_id: str) -> KeyView:
        now = self._clock.now()

        def end(tx: Transaction) -> ApiKey:
            key = tx.key(key_id)
            if key is None:
                raise ReelyardError(ErrorCode.KEY_NOT_FOUND)
            revoked = key if key.revoked_at is not None else replace(key, revoked_at=now)
            tx.put_key(revoked)
            return revoked

        revoked = await self._store.transact(end)
        self._known[revoked.sha256] = revoked
        return _view(revoked)

    async def ensure_first(self, admin_secret: str) -> None:
        """At the first start: the admin key whose secret lies in the data directory."""
        request = KeyRequest(name="first admin key", scopes=frozenset({Scope.ADMIN}))
        admin = self._new_key(request, admin_secret)

        def ensure(tx: Transaction) -> None:
            if tx.key_by_digest(admin.sha256) is None:
                tx.put_key(admin)

        await self._store.transact(ensure)


def _expiry(text: str) -> float:
    try:
        return times.parse(text)
    except ValueError:
        raise refuse("expires_at", "must be an RFC 3339 time with an offset") from None


def _fields(key: ApiKey) -> dict[str, str | frozenset[Scope] | None]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": frozenset(Scope(scope) for scope in key.scopes),
        "prefix": key.prefix,
        "created_at": times.rfc3339(key.created_at),
        "expires_at": times.maybe(key.expires_at),
        "revoked_at": times.maybe(key.revoked_at),
        "last_used_at": times.maybe(key.last_used_at),
    }


def _view(key: ApiKey) -> KeyView:
    return KeyView.model_validate(_fields(key))
