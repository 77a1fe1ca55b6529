"""Endpoints and deliveries of webhooks as clients see them. Secrets stand in none of them. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from dispatch.core.records import Delivery, WebhookEndpoint
from dispatch.core.times import maybe, rfc3339
from protocol.webhooks import DeliveryDetail, DeliveryState, DeliveryView, EndpointView, TryView, WebhookEvent

Fields = dict[str, Any]  # of a pydantic model


def endpoint_fields(endpoint: WebhookEndpoint) -> Fields:
    return {
        "endpoint_id": endpoint.endpoint_id,
        "tenant": endpoint.tenant,
        "url": endpoint.url,
        "events": tuple(map(WebhookEvent, endpoint.events)),
        "description": endpoint.description,
        "enabled": endpoint.disabled_at is None,
        "disabled_at": maybe(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "created_at": rfc3339(endpoint.created_at),
        "version": endpoint.version,
    }


def endpoint_view(endpoint: WebhookEndpoint) -> EndpointView:
    return EndpointView(**endpoint_fields(endpoint))


def _delivery_fields(delivery: Delivery) -> Fields:
    return {
        "delivery_id": delivery.delivery_id,
        "tenant": delivery.tenant,
        "endpoint_id": delivery.endpoint_id,
        "url": delivery.url,
        "job_id": delivery.job_id,
        "event": WebhookEvent(delivery.event),
        "state": DeliveryState(delivery.state),
        "attempts": delivery.attempts,
        "next_at": rfc3339(delivery.next_at) if delivery.state == DeliveryState.PENDING else None,
        "created_at": rfc3339(delivery.created_at),
        "ended_at": maybe(delivery.ended_at),
    }


def delivery_view(delivery: Delivery) -> DeliveryView:
    return DeliveryView(**_delivery_fields(delivery))


def detail(delivery: Delivery) -> DeliveryDetail:
    tries = tuple(TryView(**row) for row in orjson.loads(delivery.log_json))
    return DeliveryDetail(**_delivery_fields(delivery), payload=orjson.loads(delivery.payload), tries=tries)
