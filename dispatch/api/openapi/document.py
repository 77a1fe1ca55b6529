"""The OpenAPI 3.1 document, made from the operations table and pydantic's JSON Schema, which is the dialect of 3.1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from dispatch.api.form import FIELDS, FILE
from dispatch.api.openapi.parameters import QUERY_SCHEMAS, Json
from protocol.admin import Scope
from protocol.errors import ERRORS, ErrorCode
from protocol.jobs import ErrorEnvelope, JobSubmission
from protocol.operations import API, OPERATIONS, Form, Operation

_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_REFERENCE = "#/components/schemas/{model}"
_HEADERS: dict[str, Json] = {
    "Idempotency-Key": {
        "description": "The same key and body again is answered as the first time.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "If-None-Match": {"description": "304 when it names the current ETag.", "schema": {"type": "string"}},
    "Last-Event-ID": {"description": "The number of the last event seen.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
    "Range": {"description": "One range of bytes.", "schema": {"type": "string", "examples": ["bytes=0-1023"]}},
}
_TAGGED = frozenset({"get_job", "get_engine"})


def document(version: str) -> Json:
    schemas, names = _schemas()
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        entry = paths.setdefault(_PARAMETER.sub(r"{\1}", operation.path), {})
        entry[operation.method.lower()] = _operation(operation, names)
        if operation.method == "GET" and operation.gives is not Form.SSE:
            entry["head"] = _head(operation, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reelyard",
            "version": version,
            "description": "Every non-2xx answer is an error envelope; `code` is stable. Every answer has X-Request-Id.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
            "responses": {"Error": _error("What went wrong, with a stable code.")},
        },
    }


def text(document: Json) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


Names = dict[tuple[type[BaseModel], JsonSchemaMode], Json]


def _schemas() -> tuple[Json, Names]:
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ErrorEnvelope, "serialization"), (JobSubmission, "validation")]
    for operation in OPERATIONS:
        wanted += [(operation.request, "validation")] if operation.request else []
        wanted += [(operation.reply, "serialization")] if operation.reply else []
    names, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REFERENCE)
    return definitions["$defs"], {
        (model, mode): schema for (model, mode), schema in names.items() if issubclass(model, BaseModel)
    }


def _operation(operation: Operation, names: Names) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [_tag(operation)],
        "parameters": [*_parameters(operation)],
        "responses": {str(operation.status): _success(operation, names), **_errors(operation)},
        "security": [] if operation.scope is Scope.OPEN else [{"ApiKey": []}, {"Bearer": []}],
        "x-scope": operation.scope.value,
    }
    if body := _body(operation, names):
        described["requestBody"] = body
    return described


def _head(operation: Operation, names: Names) -> Json:
    """As GET, without the body."""
    described = _operation(operation, names)
    bare = {
        status: {"description": answer.get("description", "As for GET.")} for status, answer in described["responses"].items()
    }
    return {**described, "operationId": f"head_{operation.name}", "responses": bare}


def _tag(operation: Operation) -> str:
    rest = operation.path.removeprefix(API).strip("/").split("/")
    return rest[1] if rest[0] == "admin" else rest[0]


def _parameters(operation: Operation) -> Iterator[Json]:
    for name in _PARAMETER.findall(operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for name in operation.query:
        yield {"name": name, "in": "query", "required": False, "schema": QUERY_SCHEMAS[name]}
    for name in _header_names(operation):
        yield {"name": name, "in": "header", "required": False, **_HEADERS[name]}


def _header_names(operation: Operation) -> Iterator[str]:
    if operation.is_idempotent_by_key:
        yield "Idempotency-Key"
    if operation.name in _TAGGED:
        yield "If-None-Match"
    if operation.gives is Form.SSE:
        yield "Last-Event-ID"
    if operation.gives is Form.BYTES:
        yield from ("Range", "If-None-Match")


def _body(operation: Operation, names: Names) -> Json | None:
    match operation.takes:
        case Form.MULTIPART:
            return {"required": True, "content": {Form.MULTIPART.value: {"schema": _form_schema()}}}
        case Form.BYTES:
            return {"required": True, "content": {Form.BYTES.value: {"schema": {}}}}
    if operation.request is None:
        return None
    is_needed = any(field.is_required() for field in operation.request.model_fields.values())
    return {"required": is_needed, "content": {Form.JSON.value: {"schema": names[operation.request, "validation"]}}}


def _form_schema() -> Json:
    fields = JobSubmission.model_json_schema(ref_template=_REFERENCE)["properties"]
    return {
        "type": "object",
        "properties": {FILE: {"type": "string", "format": "binary"}, **{name: fields[name] for name in FIELDS}},
        "required": [FILE],
        "additionalProperties": False,
    }


def _success(operation: Operation, names: Names) -> Json:
    answer: Json = {"description": operation.summary}
    if operation.reply is not None:
        answer["content"] = {Form.JSON.value: {"schema": names[operation.reply, "serialization"]}}
    elif operation.gives is Form.SSE:
        answer["content"] = {Form.SSE.value: {"schema": {"type": "string"}}}
    elif operation.gives is Form.BYTES:
        answer["content"] = {"*/*": {"schema": {}}}
    elif operation.gives is Form.JSON:
        answer["content"] = {Form.JSON.value: {"schema": {"type": "object"}}}
    return answer


def _errors(operation: Operation) -> Json:
    """The envelope for whatever else may come, and what is no error by its own right."""
    found: Json = {str(status): _error(what) for status, what in sorted(_refusals(operation))}
    if operation.gives is Form.BYTES:
        found["206"] = {"description": "The range asked for", "content": {"*/*": {"schema": {}}}}
    if operation.gives is Form.BYTES or operation.name in _TAGGED:
        found["304"] = {"description": "The client holds this version"}
    if operation.gives is Form.SSE and "{" in operation.path:
        found["204"] = {"description": "The job has ended and the reader has seen its last event"}
    if operation.name == "readyz":
        found["503"] = {"description": "Not ready: see the parts"}
    return {**found, "default": {"$ref": "#/components/responses/Error"}}


def _refusals(operation: Operation) -> Iterator[tuple[int, str]]:
    if operation.scope is not Scope.OPEN:
        yield 401, ERRORS[ErrorCode.UNAUTHORIZED].meaning
    if operation.scope not in (Scope.OPEN, Scope.REGISTRATION) or operation.gives is Form.BYTES:
        yield 403, ERRORS[ErrorCode.FORBIDDEN].meaning
    if "{" in operation.path:
        yield 404, "What the path names does not exist, or is not yours."
    if operation.request is not None or operation.takes is not Form.JSON:
        yield 413, ERRORS[ErrorCode.BODY_TOO_LARGE].meaning
        yield 415, ERRORS[ErrorCode.UNSUPPORTED_MEDIA_TYPE].meaning
    if operation.request is not None or operation.takes is Form.MULTIPART or operation.query:
        yield 422, ERRORS[ErrorCode.VALIDATION_FAILED].meaning
    if operation.gives is Form.BYTES and operation.takes is Form.JSON:
        yield 416, ERRORS[ErrorCode.RANGE_NOT_SATISFIABLE].meaning


def _error(what: str) -> Json:
    return {"description": what, "content": {Form.JSON.value: {"schema": {"$ref": _REFERENCE.format(model="ErrorEnvelope")}}}}
