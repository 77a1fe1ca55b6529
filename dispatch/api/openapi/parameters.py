"""Every parameter that calls take in the path, the query or a header: one row each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dispatch.api.openapi import resumable
from protocol.errors import ErrorCode
from protocol.operations import Form, Operation
from protocol.states import JobState, JobStatus
from protocol.webhooks import DeliveryState, WebhookEvent

Json = dict[str, Any]  # Any: a JSON document has no narrower type
PARAMETER = re.compile(r"\{(\w+)(?::([^}]*))?\}")


class UndescribedParameter(Exception):
    """A row of the table of operations names a parameter that has no row here."""


@dataclass(frozen=True, slots=True)
class InPath:
    """`missing` are the codes of a call that names something that is not there."""

    description: str
    schema: Json
    missing: tuple[ErrorCode, ...]


def _id(prefix: str, what: str, *missing: ErrorCode) -> InPath:
    schema: Json = {"type": "string", "pattern": f"^{prefix}_[0-9a-z]{{1,40}}$", "examples": [f"{prefix}_01k9w3m8q2z7c4xg5t"]}
    return InPath(f"The id of {what}", schema, missing)


_C = ErrorCode
_RELATIVE = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*$"
PATH_PARAMETERS: dict[str, InPath] = {
    "job_id": _id("job", "a job", _C.JOB_NOT_FOUND),
    "engine_id": _id("eng", "an engine", _C.ENGINE_NOT_FOUND),
    "task_id": _id("tsk", "a task", _C.TASK_NOT_FOUND),
    "key_id": _id("key", "an API key", _C.KEY_NOT_FOUND),
    "endpoint_id": _id("whe", "a webhook endpoint", _C.ENDPOINT_NOT_FOUND),
    "delivery_id": _id("whd", "a delivery of a webhook", _C.DELIVERY_NOT_FOUND),
    "upload_id": _id("upl", "a resumable upload", _C.UPLOAD_NOT_FOUND),
    "signature": InPath(
        "What a signed link carries: its signature and its expiry",
        {"type": "string", "pattern": r"^[A-Za-z0-9_\-]+\.[0-9]+$", "examples": ["c2lnbmF0dXJl.1790000000"]},
        (_C.LINK_INVALID, _C.LINK_EXPIRED, _C.FILE_NOT_FOUND),
    ),
    "tenant": InPath(
        "The name of a tenant",
        {"type": "string", "pattern": r"^[a-z0-9][a-z0-9_\-]{0,39}$", "examples": ["newsroom"]},
        (_C.TENANT_NOT_FOUND,),
    ),
    "part": InPath(
        "A part of the server",
        {"type": "string", "enum": ["db", "storage", "queue", "engines", "redis", "minio", "workers"]},
        (_C.ROUTE_NOT_FOUND,),
    ),
    "profile": InPath(
        "The name of a profile",
        {"type": "string", "pattern": r"^[a-z0-9][a-z0-9_\-]{0,39}$", "examples": ["web"]},
        (_C.NO_SUCH_PROFILE,),
    ),
    "asset": InPath(
        "A file of the page",
        {"type": "string", "pattern": r"^[a-z0-9.\-]+$", "examples": ["swagger-ui.css"]},
        (_C.FILE_NOT_FOUND,),
    ),
    "wheel": InPath(
        "A file that the manifest names",
        {
            "type": "string",
            "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.\-+]{0,150}\.whl$",
            "examples": ["reelyard-0.2.0-py3-none-any.whl"],
        },
        (_C.FILE_NOT_FOUND,),
    ),
    "path": InPath(
        "A relative path; its slashes stand as they are",
        {
            "type": "string",
            "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*$",
            "examples": ["web_720p.mp4"],
        },
        (_C.FILE_NOT_FOUND,),
    ),
}

_STATE = "|".join(JobState)
_STATES = f"^({_STATE})(,({_STATE}))*$"
_DAY: Json = {"type": "string", "format": "date", "examples": ["2026-11-20"], "description": "A day (UTC), itself included"}
_TIME: Json = {"type": "string", "format": "date-time", "examples": ["2026-11-20T10:00:00Z"]}
QUERY_SCHEMAS: dict[str, Json] = {
    "status": {"type": "string", "enum": [status.value for status in JobStatus]},
    "state": {
        "type": "string",
        "enum": [state.value for state in JobState],
        "description": "One or several, with commas between",
    },
    "tenant": {"type": "string", "description": "For admins: those of this tenant alone"},
    "created_after": _TIME,
    "created_before": _TIME,
    "q": {
        "type": "string",
        "minLength": 1,
        "maxLength": 200,
        "description": "A text in the job's id, its file's name or its metadata, whatever its case",
    },
    "metadata.*": {
        "type": "string",
        "description": "An entry of the metadata, named behind the dot: `metadata.show=news`, or `metadata.show.id=7` "
        "for one within another. `7` is found as a number and as a text. Several must all be there.",
    },
    "list_usage.tenant": {"type": "string", "description": "What keys of this tenant used"},
    "key_id": {"type": "string", "description": "What this key used; `jwt:<subject>` for a token"},
    "from": _DAY,
    "to": _DAY,
    "sort": {"type": "string", "enum": ["created_at", "completed_at", "priority"], "default": "created_at"},
    "order": {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "offset": {"type": "integer", "minimum": 0, "maximum": 1_000_000_000, "default": 0},
    "cursor": {"type": "string", "description": "`next_cursor` of the page before; not together with `offset`"},
    "actor": {"type": "string", "description": "A key's id, or `jwt:<subject>`", "examples": ["key_01k9w3m8q2z7c4xg5t"]},
    "action": {"type": "string", "description": "The name of an operation", "examples": ["revoke_key"]},
    "since": _TIME,
    "job_id": {"type": "string", "pattern": "^job_[0-9a-z]{1,40}$", "description": "The events of this job alone"},
    "purge": {"type": "boolean", "default": False, "description": "Remove the job and all its files for good"},
    "expires_in": {
        "type": "integer",
        "minimum": 60,
        "maximum": 604_800,
        "default": 3600,
        "description": "For how many seconds the links are good",
    },
    "streamed": {"type": "boolean", "default": False, "description": "The bytes come from this server"},
    "download": {"type": "boolean", "default": False, "description": "The same as `disposition=attachment`"},
    "disposition": {"type": "string", "enum": ["inline", "attachment"], "default": "inline"},
    "last_event_id": {"type": "integer", "minimum": 0, "description": "The number of the last event seen"},
    "list_deliveries.state": {"type": "string", "enum": [state.value for state in DeliveryState]},
    "list_deliveries.job_id": {"type": "string", "description": "What tells of this job"},
    "endpoint_id": {"type": "string", "description": "What this endpoint is told"},
    "event": {"type": "string", "enum": [event.value for event in WebhookEvent]},
}
"""By name; a row `operation.name` comes before it, where the same word means something else to one call."""


def query_schema(operation: Operation, name: str) -> Json | None:
    return QUERY_SCHEMAS.get(f"{operation.name}.{name}", QUERY_SCHEMAS.get(name))


_TAGS: Json = {"type": "string", "examples": ['"7"']}
HEADER_PARAMETERS: dict[str, Json] = {
    "Idempotency-Key": {
        "description": "The same key and body again is answered as the first time, for 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$", "examples": ["order-1841"]},
    },
    "If-Match": {"description": "The ETag the change was made from; 412 when it is no longer the current one.", "schema": _TAGS},
    "If-None-Match": {"description": "304 when it names the current ETag.", "schema": _TAGS},
    "If-Range": {
        "description": "The ETag or the date of what the client holds; of another version all of it is sent.",
        "schema": {"type": "string", "examples": ['"6418f2d0-1f4"']},
    },
    "Last-Event-ID": {
        "description": "The number of the last event seen; the stream goes on behind it.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$", "examples": ["1204"]},
    },
    "Range": {
        "description": "One range of bytes; several, or a malformed one, are passed over.",
        "schema": {"type": "string", "examples": ["bytes=0-1023"]},
    },
}


def in_path(operation: Operation) -> dict[str, InPath]:
    """The path parameters of a call in their order. Raises UndescribedParameter."""
    names = [found[0] for found in PARAMETER.findall(operation.path)]
    if unknown := [name for name in names if name not in PATH_PARAMETERS]:
        raise UndescribedParameter(f"{operation.name}: no row in PATH_PARAMETERS for {', '.join(unknown)}")
    return {name: PATH_PARAMETERS[name] for name in names}


def header_names(operation: Operation) -> tuple[str, ...]:
    """The request headers that mean something to this call, beside those of every HTTP call."""
    wanted = {
        "Idempotency-Key": operation.is_idempotent_by_key,
        "If-Match": ErrorCode.PRECONDITION_FAILED in operation.errors,
        "If-None-Match": operation.method == "GET" and (operation.is_tagged or operation.gives is Form.BYTES),
        "Last-Event-ID": operation.gives is Form.SSE,
        "If-Range": operation.method == "GET" and operation.gives is Form.BYTES,
        "Range": operation.method == "GET" and operation.gives is Form.BYTES,
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def described(operation: Operation) -> list[Json]:
    """All parameters of a call, as the document lists them. Raises UndescribedParameter."""
    rows = [
        {"name": name, "in": "path", "required": True, "description": row.description, "schema": row.schema}
        for name, row in in_path(operation).items()
    ]
    schemas = {name: query_schema(operation, name) for name in operation.query}
    if unknown := [name for name, schema in schemas.items() if schema is None]:
        raise UndescribedParameter(f"{operation.name}: no row in QUERY_SCHEMAS for {', '.join(unknown)}")
    rows += [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in schemas.items()]
    for name in header_names(operation):
        rows.append(
            {"name": name, "in": "header", "required": name == "If-Match" and operation.needs_match, **HEADER_PARAMETERS[name]}
        )
    tus = resumable.spoken(operation)
    for name in tus.takes:
        rows.append({"name": name, "in": "header", "required": name in tus.needs, **resumable.REQUEST_HEADERS[name]})
    return rows
