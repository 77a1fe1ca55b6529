"""Webhooks as clients set them up and as receivers get them: names of events, endpoints, deliveries, payloads."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from protocol.base import Identifier, Message, Page, Seconds
from protocol.events import EventType


class WebhookEvent(StrEnum):
    JOB_CREATED = "job.created"
    JOB_ASSIGNED = "job.assigned"
    JOB_STARTED = "job.started"
    JOB_WAITING = "job.waiting"
    JOB_RETRYING = "job.retrying"
    JOB_COMPLETING = "job.completing"
    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_PURGED = "job.purged"
    TEST = "webhook.test"  # sent when an endpoint is tried, asked for by nobody else


WEBHOOK_OF_EVENT: dict[EventType, WebhookEvent] = {
    EventType.JOB_CREATED: WebhookEvent.JOB_CREATED,
    EventType.JOB_ASSIGNED: WebhookEvent.JOB_ASSIGNED,
    EventType.TRANSCODING_STARTED: WebhookEvent.JOB_STARTED,
    EventType.JOB_WAITING: WebhookEvent.JOB_WAITING,
    EventType.JOB_RETRYING: WebhookEvent.JOB_RETRYING,
    EventType.JOB_COMPLETING: WebhookEvent.JOB_COMPLETING,
    EventType.JOB_FINISHED: WebhookEvent.JOB_COMPLETED,
    EventType.JOB_FAILED: WebhookEvent.JOB_FAILED,
    EventType.JOB_CANCELLED: WebhookEvent.JOB_CANCELLED,
    EventType.JOB_PURGED: WebhookEvent.JOB_PURGED,
}

ENDINGS = frozenset({WebhookEvent.JOB_COMPLETED, WebhookEvent.JOB_FAILED, WebhookEvent.JOB_CANCELLED})
"""What a job's own `webhook_url` is told, and an endpoint that does not say what it wants."""

WebhookUrl = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=2048)]
"""Its form alone; whether anything is sent there is for the server to say."""

Events = Annotated[frozenset[WebhookEvent], Field(min_length=1)]
Description = Annotated[str, Field(max_length=200)]


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # given up after the last attempt, or refused for good
    DISCARDED = "discarded"  # its endpoint was deleted


class EndpointRequest(Message):
    """`url` has no user name in it; where its name leads is looked at each time something is sent."""

    url: WebhookUrl
    events: Events = ENDINGS
    description: Description = ""


class EndpointPatch(Message):
    """`enabled` true also ends a pause that the receiver asked for by answering 410."""

    url: WebhookUrl | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = None


class EndpointView(Message):
    endpoint_id: Identifier
    tenant: str
    url: str
    events: tuple[WebhookEvent, ...]
    description: str
    enabled: bool
    disabled_at: str | None
    disabled_reason: str | None
    created_at: str
    version: int


class EndpointCreated(EndpointView):
    secret: str


class EndpointPage(Page):
    endpoints: tuple[EndpointView, ...]


class SecretReply(Message):
    """`previous_until`: until then each delivery is signed with the secret before as well."""

    secret: str
    previous_until: str | None = None


class EndpointTestReply(Message):
    """What the receiver answered to one delivery of type `webhook.test`; it is not tried again."""

    delivery_id: Identifier
    delivered: bool
    status: int | None
    seconds: Seconds
    error: str | None


class TryView(Message):
    at: str
    status: int | None
    seconds: Seconds
    error: str | None


class DeliveryView(Message):
    """`endpoint_id` is null where the job's own `webhook_url` is told. `next_at` is null once it has ended."""

    delivery_id: Identifier
    tenant: str
    endpoint_id: Identifier | None
    url: str
    job_id: Identifier
    event: WebhookEvent
    state: DeliveryState
    attempts: int
    next_at: str | None
    created_at: str
    ended_at: str | None


class DeliveryDetail(DeliveryView):
    """`payload` is what is sent, `tries` the last of them, newest last."""

    payload: dict[str, JsonValue]
    tries: tuple[TryView, ...]


class DeliveryPage(Page):
    deliveries: tuple[DeliveryView, ...]
