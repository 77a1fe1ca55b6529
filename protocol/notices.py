"""The bodies of webhook deliveries, as receivers may parse them."""

from __future__ import annotations

from pydantic import JsonValue

from protocol.base import Identifier, Message
from protocol.jobs import JobErrorView
from protocol.states import JobState
from protocol.webhooks import WebhookEvent


class JobNotice(Message):
    """What a receiver is told of a job. A purged job that is gone has nothing but its id, tenant and state, and `purged`."""

    job_id: Identifier
    tenant: str
    state: JobState | None
    profile: str | None = None
    created_at: str | None = None
    outputs: dict[str, JsonValue] | None = None
    user_metadata: dict[str, JsonValue] = {}
    error: JobErrorView | None = None
    links: dict[str, str] = {}
    purged: dict[str, JsonValue] | None = None


class EndpointTrial(Message):
    """What `webhook.test` tells."""

    endpoint_id: Identifier
    tenant: str
    message: str


class WebhookMessage(Message):
    """The body of every delivery, the same bytes on every try."""

    type: WebhookEvent
    timestamp: str
    data: JobNotice | EndpointTrial
