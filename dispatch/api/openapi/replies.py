"""What a call answers when it goes well: status, body, headers, and where one can go from there."""

from __future__ import annotations

from dispatch.api.openapi import resumable
from dispatch.api.openapi.parameters import PARAMETER, Json
from protocol.admin import Scope
from protocol.operations import OPERATIONS, Form, Operation
from protocol.operations.rows import STREAMS

_ETAG: Json = {"type": "string", "pattern": '^"[!#-~]+"$', "examples": ['"7"']}
_DATE: Json = {"type": "string", "examples": ["Fri, 20 Nov 2026 10:00:00 GMT"]}
_COUNT: Json = {"type": "integer", "minimum": 0}
HEADERS: dict[str, tuple[str, Json]] = {
    "X-Request-Id": ("Taken from the request when it is well formed, else made here", {"type": "string", "minLength": 8}),
    "ETag": ("Strong; If-None-Match and If-Match take it", _ETAG),
    "Last-Modified": ("When it last changed", _DATE),
    "Cache-Control": ("What may be kept, and for how long", {"type": "string"}),
    "Location": ("Where the thing that was made, or asked for, lives", {"type": "string", "pattern": "^(/|https?://)"}),
    "Idempotent-Replayed": ("This is the stored answer of the first call with this key", {"type": "string", "enum": ["true"]}),
    "Retry-After": ("Seconds after which it is worth trying again", {"type": "integer", "minimum": 1}),
    "RateLimit-Limit": ("Calls in the current window", _COUNT),
    "RateLimit-Remaining": ("Calls left in the current window", _COUNT),
    "RateLimit-Reset": ("Seconds until the window ends", _COUNT),
    "WWW-Authenticate": ("How to show a key", {"type": "string"}),
    "Content-Range": ("Which bytes of how many", {"type": "string", "pattern": r"^bytes (\d+-\d+|\*)/\d+$"}),
    "Content-Length": ("Bytes of the body", _COUNT),
    "Content-Disposition": ("The file's name", {"type": "string"}),
    "Accept-Ranges": ("Ranges are served", {"type": "string", "enum": ["bytes"]}),
    **resumable.REPLY_HEADERS,
}
RATE = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
UNCOUNTED = frozenset({Scope.OPEN, Scope.ENGINE, Scope.REGISTRATION})
"""Calls of engines and of strangers are not counted against a key."""

ALWAYS = frozenset({"X-Request-Id"})
"""Headers that no answer lacks; the others come where they mean something."""


def header(name: str) -> Json:
    description, schema = HEADERS[name]
    return {"description": description, "required": name in ALWAYS, "schema": schema}


def headers_of(operation: Operation) -> tuple[str, ...]:
    """The headers of a good answer, each of which may be documented as absent."""
    is_read = operation.method == "GET" and operation.gives is Form.JSON
    wanted = {
        "X-Request-Id": True,
        **dict.fromkeys(RATE, operation.scope not in UNCOUNTED),
        "ETag": operation.is_tagged or operation.is_idempotent_by_key or _is_file(operation) or operation.takes is Form.BYTES,
        "Last-Modified": operation.is_tagged or is_read or _is_file(operation),
        "Cache-Control": operation.is_tagged or is_read or _is_file(operation) or operation.gives is Form.ZIP,
        "Location": operation.status in (201, 202, 302),
        "Content-Length": operation.gives is Form.ZIP,
        "Idempotent-Replayed": operation.is_idempotent_by_key,
        "Content-Disposition": _is_file(operation) or operation.gives is Form.ZIP,
        "Accept-Ranges": _is_file(operation),
    }
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    return (*names, *(("Tus-Resumable",) if resumable.is_resumable(operation) else ()), *resumable.spoken(operation).gives)


def _is_file(operation: Operation) -> bool:
    return operation.gives is Form.BYTES and operation.method == "GET"


def content_of(operation: Operation, schema: Json | None, example: str | None) -> Json:
    """The body under its media type; empty for calls that answer without one."""
    if operation.reply is not None and schema is not None:
        return {Form.JSON.value: {"schema": schema, "examples": {operation.reply.__name__: {"$ref": example}}}}
    match operation.gives:
        case Form.SSE:
            text = 'id: 1204\nevent: JobFinished\ndata: {"seq": 1204, "type": "JobFinished"}\n\n'
            return {Form.SSE.value: {"schema": {"type": "string"}, "example": text}}
        case Form.ZIP:
            return {Form.ZIP.value: {"schema": {}}}
        case Form.BYTES:
            return {"*/*": {"schema": {}}}
        case Form.STATIC:
            return {kind: {"schema": {}} for kind in ("text/javascript", "text/css", "image/png")}
        case Form.HTML | Form.TEXT as kind:
            return {kind.value: {"schema": {"type": "string"}}}
        case Form.JSON:
            return {Form.JSON.value: {"schema": {"type": "object"}}}
        case _:
            return {}


def links_of(operation: Operation, fields: frozenset[str]) -> Json:
    """From a call that makes something to every call whose path takes what the answer names.

    `fields` are those of the reply. The calls of an engine about a task need a grant, which no link can tell.
    """
    if operation.method != "POST" or operation.reply is None:
        return {}
    known = fields - {found[0] for found in PARAMETER.findall(operation.path)}
    return {
        target.name: {
            "operationId": target.name,
            "description": target.summary,
            "parameters": {f"path.{name}": f"$response.body#/{name}" for name in _names(target)},
        }
        for target in OPERATIONS
        if target.gives not in STREAMS and _names(target) and _names(target) <= known
    }


def _names(operation: Operation) -> set[str]:
    return {found[0] for found in PARAMETER.findall(operation.path)}
