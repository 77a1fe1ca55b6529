"""API keys: made, rotated, revoked, and looked up at each call. Secrets are shown once and kept as SHA-256."""

from __future__ import annotations

from dataclasses import replace

from dispatch.core import api_keys, times
from dispatch.core.api_keys import NOT_FOR_KEYS, PREFIX, SHOWN
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.networks import network_of
from dispatch.core.paging import FIRST, Listing, Wanted, page_fields, refuse
from dispatch.core.records import ApiKey
from dispatch.ports import Clock, Commit, Ids, Store, Transaction
from dispatch.services.audit import audited
from dispatch.services.engines import digest
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from protocol.admin import KeyCreated, KeyPage, KeyRequest, KeyView, RotateRequest, Scope
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import API

KEYS = Listing("api keys")
USE_NOTED_EVERY_S = 60.0
WARNING = "This key is shown once. Keep it where only its user can read it."


class KeyService:
    """A CommitListener: a key that any server changed is looked up anew.

    `jobs_per_hour` is the limit of keys that are made without one; `prefix` is what they begin with.
    """

    def __init__(
        self, store: Store, once: Idempotency, ids: Ids, clock: Clock, *, jobs_per_hour: int, prefix: str = PREFIX
    ) -> None:
        self._store, self._once, self._ids, self._clock = store, once, ids, clock
        self._jobs_per_hour, self._prefix = jobs_per_hour, prefix
        self._known: dict[str, ApiKey] = {}
        self._changes = 0

    def __call__(self, commit: Commit) -> None:
        for key_id in commit.keys:
            self._changed(key_id)

    # --- at each call

    async def authenticate(self, secret: str, address: str = "") -> Caller:
        """Raises UNAUTHORIZED, the same for a key that is unknown, expired, revoked, or used from elsewhere."""
        hashed, now = digest(secret), self._clock.now()
        key = await self._current(hashed)
        if key is None or not api_keys.is_good(key, hashed, address, now=now):
            raise ReelyardError(ErrorCode.UNAUTHORIZED)
        if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY_S:
            await self._note_use(key, now)
            key = await self._current(hashed)  # it may have been revoked meanwhile
            if key is None or not api_keys.is_good(key, hashed, address, now=now):
                raise ReelyardError(ErrorCode.UNAUTHORIZED)
        self._known[hashed] = key
        return api_keys.caller_of(key, address)

    async def _current(self, hashed: str) -> ApiKey | None:
        """The key as it stands: looked up anew when any key was changed while the database was asked."""
        while True:
            known, changes = self._known.get(hashed), self._changes
            if known is not None:
                return known
            found = await self._store.read(lambda tx: tx.key_by_digest(hashed))
            if changes == self._changes:
                return found

    def _changed(self, key_id: str) -> None:
        """From now on no call is let in by what was known of the key before."""
        self._changes += 1
        self._known = {hashed: key for hashed, key in self._known.items() if key.key_id != key_id}

    async def _note_use(self, key: ApiKey, now: float) -> None:
        def note(tx: Transaction) -> ApiKey | None:
            fresh = tx.key(key.key_id)
            if fresh is None:
                return None
            used = replace(fresh, last_used_at=now)
            tx.put_key(used)
            return used

        changes = self._changes
        try:
            used = await self._store.transact(note)
        except ReelyardError:
            used = replace(key, last_used_at=now)  # a database that cannot be written still lets clients read
        if used is not None and changes == self._changes:
            self._known.update({hashed: used for hashed, known in self._known.items() if known.key_id == key.key_id})

    # --- what admins ask

    async def create(self, who: Caller, request: KeyRequest, key: IdempotencyKey | None = None) -> Answered:
        """The answer is `KeyCreated`. Raises VALIDATION_FAILED."""
        secret = self._prefix + self._ids.secret()
        made = self._new_key(request, secret)

        def save(tx: Transaction) -> Answered:
            if request.tenant not in {tenant.name for tenant in tx.tenants()}:
                raise refuse("tenant", f"there is no tenant {request.tenant}; make it first")
            tx.put_key(made)
            about = {"name": made.name, "tenant": made.tenant, "scopes": made.scopes, "expires_at": times.maybe(made.expires_at)}
            audited(tx, who, "create_key", made.key_id, about, now=made.created_at)
            place = f"{API}/admin/api-keys/{made.key_id}"
            return answer_of(_created(made, secret), 201, {"Location": place})

        return await self._once.transact(who, key, save, has_secret=True)

    def _new_key(self, request: KeyRequest, secret: str) -> ApiKey:
        if meaningless := request.scopes & NOT_FOR_KEYS:
            raise refuse("scopes", f"no key can hold {', '.join(sorted(meaningless))}")
        now, has_limit = self._clock.now(), "rate_limit_per_hour" in request.model_fields_set
        return ApiKey(
            key_id=self._ids.new("key", now),
            name=request.name,
            tenant=request.tenant,
            scopes=tuple(sorted(request.scopes)),
            prefix=secret[:SHOWN],
            sha256=digest(secret),
            created_at=now,
            expires_at=None if request.expires_at is None else _expiry(request.expires_at, now),
            allowed_ips=tuple(map(_network, request.allowed_ips)),
            rate_limit_per_hour=request.rate_limit_per_hour if has_limit else self._jobs_per_hour,
        )

    async def rotate(self, who: Caller, key_id: str, request: RotateRequest, key: IdempotencyKey | None = None) -> Answered:
        """A new secret for the same key; the answer is `KeyCreated`. Raises KEY_NOT_FOUND, KEY_ENDED."""
        secret, now = self._prefix + self._ids.secret(), self._clock.now()

        def save(tx: Transaction) -> Answered:
            turned = api_keys.rotated(_present(tx, key_id), secret, digest(secret), overlap_s=request.overlap_s, now=now)
            tx.put_key(turned)
            audited(tx, who, "rotate_key", key_id, {"overlap_s": request.overlap_s}, now=now)
            return answer_of(_created(turned, secret), 200)

        return await self._once.transact(who, key, save, has_secret=True)

    async def revoke(self, who: Caller, key_id: str) -> KeyView:
        now = self._clock.now()

        def end(tx: Transaction) -> ApiKey:
            before = _present(tx, key_id)
            after = api_keys.revoked(before, now=now)
            if after is not before:
                tx.put_key(after)
                audited(tx, who, "revoke_key", key_id, {"name": before.name}, now=now)
            return after

        return api_keys.view(await self._store.transact(end))

    async def list(self, wanted: Wanted = FIRST) -> KeyPage:
        found = await self._store.read(lambda tx: tx.list_keys(wanted))
        return KeyPage(api_keys=tuple(map(api_keys.view, found.rows)), **page_fields(found, wanted, KEYS))

    async def ensure_first(self, admin_secret: str, *, is_fresh: bool) -> None:
        """The admin key whose secret lies in the data directory: where there is no key at all, or the secret is a new one.

        A key that was rotated or revoked since does not come back by a restart.
        """
        request = KeyRequest(name="first admin key", scopes=frozenset({Scope.ADMIN}), rate_limit_per_hour=None)
        admin = self._new_key(request, admin_secret)

        def ensure(tx: Transaction) -> None:
            if tx.key_by_digest(admin.sha256) is None and (is_fresh or not tx.keys()):
                tx.put_key(admin)

        await self._store.transact(ensure)


def _present(tx: Transaction, key_id: str) -> ApiKey:
    found = tx.key(key_id)
    if found is None:
        raise ReelyardError(ErrorCode.KEY_NOT_FOUND)
    return found


def _created(key: ApiKey, secret: str) -> KeyCreated:
    return KeyCreated(**api_keys.view(key).model_dump(), api_key=secret, warning=WARNING)


def _expiry(text: str, now: float) -> float:
    try:
        moment = times.parse(text)
    except ValueError:
        raise refuse("expires_at", "must be an RFC 3339 time with an offset") from None
    if moment <= now:
        raise refuse("expires_at", "has passed already")
    return moment


def _network(text: str) -> str:
    try:
        return network_of(text)
    except ValueError as error:
        raise refuse("allowed_ips", f"{text[:64]}: give an address or a network such as 192.0.2.0/24 ({error})") from None
