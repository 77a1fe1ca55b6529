"""Webhooks put together: what tenants ask for, who delivers, and the duty that gives up what nobody waits for."""

from __future__ import annotations

from dataclasses import dataclass

from config.dispatch import DispatchSettings
from dispatch.app.outside import Outside
from dispatch.core.webhook_queue import Bounds
from dispatch.events.webhook_sender import HttpSender
from dispatch.ports import Store
from dispatch.services.deliverer import Deliverer
from dispatch.services.duties import Duty
from dispatch.services.idempotency import Idempotency
from dispatch.services.sealing import Sealer
from dispatch.services.webhook_keys import WebhookKeys
from dispatch.services.webhooks import Sending, WebhookService
from protocol.addresses import AddressPolicy

GIVE_UP_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class WebhookParts:
    service: WebhookService
    deliverer: Deliverer
    duty: Duty


def webhook_policy(settings: DispatchSettings) -> AddressPolicy:
    wanted = settings.webhooks
    return AddressPolicy(allow_private_addresses=wanted.allow_private_addresses, ports=wanted.ports)


def public_url_of(settings: DispatchSettings) -> str:
    """What goes before the links in payloads; nothing where no address is set."""
    return (settings.api.public_url or "").rstrip("/")


def assemble_webhooks(
    outside: Outside, settings: DispatchSettings, sealer: Sealer, once: Idempotency, led: Store
) -> WebhookParts:
    """`led` is the store of what the leader alone does: to deliver."""
    store, clock, ids, wanted = outside.store, outside.clock, outside.ids, settings.webhooks
    policy = webhook_policy(settings)
    keys = WebhookKeys(sealer, ids.secret, clock)
    sender = outside.sender or HttpSender(policy, clock, timeout_s=wanted.timeout_s)
    bounds = Bounds(wanted.in_flight_per_endpoint, wanted.in_flight)
    deliverer = Deliverer(led, sender, keys, clock, outside.chance, bounds)
    service = WebhookService(store, once, ids, clock, Sending(keys, sender, policy))
    return WebhookParts(service, deliverer, Duty("webhooks", deliverer.give_up, GIVE_UP_EVERY_S))
