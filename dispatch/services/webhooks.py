"""What tenants do about webhooks: their endpoints and secrets, and a look at what was delivered. Foreign ids are missing ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from dispatch.core import webhooks
from dispatch.core.callers import Caller, IdempotencyKey
from dispatch.core.paging import FIRST, Listing, Wanted, cut, page_fields
from dispatch.core.records import Delivery, WebhookEndpoint
from dispatch.core.times import maybe
from dispatch.core.webhook_views import delivery_view, detail, endpoint_fields, endpoint_view
from dispatch.ports import Clock, Ids, Store, Transaction
from dispatch.ports.webhooks import DeliveryFilter, WebhookSender
from dispatch.services.audit import audited
from dispatch.services.idempotency import Answered, Idempotency, answer_of
from dispatch.services.sealing import Unsealable
from dispatch.services.webhook_keys import WebhookKeys, tenant_secrets
from protocol.addresses import AddressPolicy
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import API
from protocol.webhooks import (
    DeliveryDetail,
    DeliveryPage,
    DeliveryState,
    EndpointCreated,
    EndpointPage,
    EndpointPatch,
    EndpointRequest,
    EndpointTestReply,
    EndpointView,
    SecretReply,
)

ENDPOINTS, DELIVERIES = Listing("webhook endpoints"), Listing("webhook deliveries desc")
MOST_ENDPOINTS = 20
"""Of one tenant: each is looked at with every event of its jobs."""

MOST_TESTS, MOST_TESTS_OF_A_TENANT, DISCARDED_AT_ONCE = 8, 2, 200
BY_HAND = "disabled by its tenant"


@dataclass(frozen=True, slots=True)
class Sending:
    """What is needed to sign and send, and where it may go."""

    keys: WebhookKeys
    sender: WebhookSender
    policy: AddressPolicy


class WebhookService:
    def __init__(self, store: Store, once: Idempotency, ids: Ids, clock: Clock, sending: Sending) -> None:
        self._store, self._once, self._ids, self._clock = store, once, ids, clock
        self._keys, self._sender, self._policy = sending.keys, sending.sender, sending.policy
        self._tests = asyncio.Semaphore(MOST_TESTS)
        self._tests_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    # --- endpoints

    async def create(self, who: Caller, request: EndpointRequest, key: IdempotencyKey | None) -> Answered:
        """Raises WEBHOOK_URL_REFUSED, and ENDPOINT_LIMIT when the tenant has as many as it may."""
        webhooks.check_webhook_url(request.url, self._policy)
        now = self._clock.now()
        endpoint = WebhookEndpoint(
            endpoint_id=self._ids.new("whe", now),
            tenant=who.tenant,
            url=request.url,
            events=tuple(sorted(request.events)),
            secrets=self._keys.first(),
            description=request.description,
            created_at=now,
        )
        made = EndpointCreated(**endpoint_fields(endpoint), secret=self._keys.open(endpoint.secrets)[0])
        answer = answer_of(made, 201, {"Location": f"{API}/webhooks/endpoints/{endpoint.endpoint_id}"})

        def save(tx: Transaction) -> Answered:
            if len(tx.endpoints_of(who.tenant)) >= MOST_ENDPOINTS:
                raise ReelyardError(ErrorCode.ENDPOINT_LIMIT, details={"most": MOST_ENDPOINTS})
            tx.put_endpoint(endpoint)
            audited(tx, who, "create_webhook_endpoint", endpoint.endpoint_id, {"events": list(endpoint.events)}, now=now)
            return answer

        return await self._once.transact(who, key, save, has_secret=True)

    async def list(self, who: Caller, wanted: Wanted = FIRST) -> EndpointPage:
        tenant = None if who.is_admin else who.tenant
        found = cut(await self._store.read(lambda tx: tx.endpoints_of(tenant)), wanted, lambda row: (row.endpoint_id,))
        return EndpointPage(endpoints=tuple(map(endpoint_view, found.rows)), **page_fields(found, wanted, ENDPOINTS))

    async def get(self, who: Caller, endpoint_id: str) -> EndpointView:
        return endpoint_view(await self._store.read(lambda tx: _endpoint(tx, who, endpoint_id)))

    async def patch(self, who: Caller, endpoint_id: str, request: EndpointPatch) -> EndpointView:
        """What waits goes to the new URL; what happens while it is disabled is not kept for it."""
        if request.url is not None:
            webhooks.check_webhook_url(request.url, self._policy)
        now = self._clock.now()

        def change(endpoint: WebhookEndpoint) -> WebhookEndpoint:
            changed = replace(
                endpoint,
                url=request.url or endpoint.url,
                events=endpoint.events if request.events is None else tuple(sorted(request.events)),
                description=endpoint.description if request.description is None else request.description,
                version=endpoint.version + 1,
            )
            if request.enabled is True:
                return replace(changed, disabled_at=None, disabled_reason=None)
            if request.enabled is False and endpoint.disabled_at is None:
                return replace(changed, disabled_at=now, disabled_reason=BY_HAND)
            return changed

        told = {name: value for name, value in request.model_dump(mode="json").items() if value is not None and name != "url"}
        if request.url is not None:
            told["url_changed"] = True
        return endpoint_view(await self._change(who, endpoint_id, "patch_webhook_endpoint", change, told))

    async def delete(self, who: Caller, endpoint_id: str) -> EndpointView:
        """What waits for it is discarded, in transactions nobody waits long behind; what a crash leaves is given up in time."""
        now = self._clock.now()

        def end(tx: Transaction) -> WebhookEndpoint:
            endpoint = _endpoint(tx, who, endpoint_id)
            tx.delete_endpoint(endpoint_id)
            audited(tx, who, "delete_webhook_endpoint", endpoint_id, now=now)
            return endpoint

        def discard(tx: Transaction) -> int:
            some = tx.pending_of_endpoint(endpoint_id, DISCARDED_AT_ONCE)
            why = "the endpoint was deleted"
            tx.put_deliveries(webhooks.ended(delivery, DeliveryState.DISCARDED, why, now=now) for delivery in some)
            return len(some)

        gone = await self._store.transact(end)
        while await self._store.transact(discard) == DISCARDED_AT_ONCE:
            continue
        return endpoint_view(gone)

    async def test(self, who: Caller, endpoint_id: str) -> EndpointTestReply:
        """One delivery, now, whatever waits; nothing is stored. A disabled endpoint may be tried too.

        Two of a tenant go at once: its slow receivers hold up no other's tests.
        """
        endpoint = await self._store.read(lambda tx: _endpoint(tx, who, endpoint_id))
        now = self._clock.now()
        delivery_id, body = self._ids.new("whd", now), webhooks.trial(endpoint, now=now)
        signed = webhooks.headers(delivery_id, body, self._opened(endpoint.secrets), now=now)
        own = self._tests_of.setdefault(endpoint.tenant, asyncio.Semaphore(MOST_TESTS_OF_A_TENANT))
        async with own, self._tests:
            tried = await self._sender.send(endpoint.url, signed, body.encode())
        return EndpointTestReply(
            delivery_id=delivery_id,
            delivered=tried.is_delivered,
            status=tried.status,
            seconds=round(tried.seconds, 3),
            error=tried.error,
        )

    async def _change(
        self,
        who: Caller,
        endpoint_id: str,
        action: str,
        change: Callable[[WebhookEndpoint], WebhookEndpoint],
        told: Mapping[str, object],
    ) -> WebhookEndpoint:
        now = self._clock.now()

        def apply(tx: Transaction) -> WebhookEndpoint:
            changed = change(_endpoint(tx, who, endpoint_id))
            tx.put_endpoint(changed)
            audited(tx, who, action, endpoint_id, told, now=now)
            return changed

        return await self._store.transact(apply)

    # --- secrets

    async def tenant_secret(self, who: Caller) -> SecretReply:
        """What the URLs of the tenant's own jobs are signed with; made when it is first asked for or needed."""
        fresh = self._keys.first()
        return self._told(await self._store.transact(lambda tx: tenant_secrets(tx, who.tenant, fresh)))

    async def rotate_tenant_secret(self, who: Caller, key: IdempotencyKey | None = None) -> Answered:
        """The answer is `SecretReply`."""
        now, first = self._clock.now(), self._keys.first()

        def rotate(tx: Transaction) -> Answered:
            kept = self._keys.rotated(tenant_secrets(tx, who.tenant, first))
            tx.put_webhook_secrets(who.tenant, kept)
            audited(tx, who, "rotate_webhook_secret", who.tenant, now=now)
            return answer_of(self._told(kept), 200)

        return await self._once.transact(who, key, rotate, has_secret=True)

    async def endpoint_secret(self, who: Caller, endpoint_id: str) -> SecretReply:
        return self._told((await self._store.read(lambda tx: _endpoint(tx, who, endpoint_id))).secrets)

    async def rotate_endpoint_secret(self, who: Caller, endpoint_id: str, key: IdempotencyKey | None = None) -> Answered:
        """The answer is `SecretReply`."""
        now = self._clock.now()

        def rotate(tx: Transaction) -> Answered:
            before = _endpoint(tx, who, endpoint_id)
            kept = self._keys.rotated(before.secrets)
            tx.put_endpoint(replace(before, secrets=kept, version=before.version + 1))
            audited(tx, who, "rotate_endpoint_secret", endpoint_id, now=now)
            return answer_of(self._told(kept), 200)

        return await self._once.transact(who, key, rotate, has_secret=True)

    def _told(self, kept: tuple[str, ...]) -> SecretReply:
        return SecretReply(secret=self._opened(kept)[0], previous_until=maybe(self._keys.previous_until(kept)))

    def _opened(self, kept: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(self._keys.open(kept))
        except Unsealable:
            message = "the secret was sealed by another server; rotate it"
            raise ReelyardError(ErrorCode.SECRET_UNREADABLE, message) from None

    # --- deliveries

    async def deliveries(self, wanted: DeliveryFilter) -> DeliveryPage:
        found = await self._store.read(lambda tx: tx.list_deliveries(wanted))
        return DeliveryPage(deliveries=tuple(map(delivery_view, found.rows)), **page_fields(found, wanted.page, DELIVERIES))

    async def delivery(self, who: Caller, delivery_id: str) -> DeliveryDetail:
        return detail(await self._store.read(lambda tx: _delivery(tx, who, delivery_id)))

    async def redeliver(self, who: Caller, delivery_id: str, key: IdempotencyKey | None = None) -> Answered:
        """All its tries anew, the same id and bytes; the answer is `DeliveryDetail`.

        Raises ENDPOINT_DISABLED when nobody would be told.
        """
        now = self._clock.now()

        def ask(tx: Transaction) -> Answered:
            delivery = _delivery(tx, who, delivery_id)
            endpoint = None if delivery.endpoint_id is None else tx.endpoint(delivery.endpoint_id)
            if delivery.endpoint_id is not None and (endpoint is None or endpoint.disabled_at is not None):
                raise ReelyardError(ErrorCode.ENDPOINT_DISABLED, details={"endpoint_id": delivery.endpoint_id})
            again = webhooks.again(delivery, now=now)
            tx.put_deliveries([again])
            audited(tx, who, "redeliver", delivery_id, now=now)
            return answer_of(detail(again), 202)

        return await self._once.transact(who, key, ask)


def _endpoint(tx: Transaction, who: Caller, endpoint_id: str) -> WebhookEndpoint:
    endpoint = tx.endpoint(endpoint_id)
    if endpoint is None or not who.sees(endpoint.tenant):
        raise ReelyardError(ErrorCode.ENDPOINT_NOT_FOUND, details={"endpoint_id": endpoint_id})
    return endpoint


def _delivery(tx: Transaction, who: Caller, delivery_id: str) -> Delivery:
    found = tx.deliveries([delivery_id])
    if not found or not who.sees(found[0].tenant):
        raise ReelyardError(ErrorCode.DELIVERY_NOT_FOUND, details={"delivery_id": delivery_id})
    return found[0]
