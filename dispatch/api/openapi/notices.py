"""What this server sends to webhook receivers, as the document's `webhooks`."""

from __future__ import annotations

from typing import Any

from protocol.webhooks import ENDINGS, WebhookEvent

Json = dict[str, Any]  # Any: a JSON document has no narrower type

_HEADERS: dict[str, tuple[str, Json]] = {
    "webhook-id": ("The same on every try of one delivery", {"type": "string", "pattern": "^whd_[0-9a-z]{1,40}$"}),
    "webhook-timestamp": ("When this try was made: seconds of the epoch", {"type": "string", "pattern": "^[0-9]+$"}),
    "webhook-signature": (
        "`v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`; one for each secret that is good, with blanks between",
        {"type": "string", "pattern": "^v1,[A-Za-z0-9+/=]+( v1,[A-Za-z0-9+/=]+)*$"},
    ),
}
_ANSWERS: Json = {
    "2XX": {"description": "Delivered"},
    "410": {"description": "The endpoint wants no more: it is disabled"},
    "default": {"description": "Tried again, up to ten times in three days; redirects are not followed"},
}


def webhooks(message: tuple[Json, str]) -> Json:
    """One row for each event; all have the same headers and the same form of body. `message` is its schema and example."""
    return {event.value: {"post": _row(event, *message)} for event in WebhookEvent}


def _row(event: WebhookEvent, schema: Json, example: str) -> Json:
    asked = "" if event in ENDINGS else " Sent to endpoints that ask for it."
    narrowed: Json = {"allOf": [schema, {"properties": {"type": {"const": event.value}}}]}
    content: Json = {"schema": narrowed}
    if event is WebhookEvent.JOB_COMPLETED:
        content["examples"] = {"WebhookMessage": {"$ref": example}}
    return {
        "operationId": f"on_{event.value.replace('.', '_')}",
        "summary": f"{event.value} in the form of Standard Webhooks 1.0",
        "description": f"At least once, in order for each job, signed.{asked}",
        "tags": ["webhooks"],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": said, "schema": row}
            for name, (said, row) in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": _ANSWERS,
        "security": [],
    }
