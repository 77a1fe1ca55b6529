"""The OpenAPI 3.1 document, made from the operations table and pydantic's JSON Schema, which is the dialect of 3.1."""

from __future__ import annotations

import json
from collections import Counter

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import JsonSchemaMode

from dispatch.api.form import FIELDS, FILE, THUMBNAIL, Kind
from dispatch.api.openapi import examples, notices, parameters, refusals, replies, schemas
from dispatch.api.openapi.parameters import PARAMETER, Json
from dispatch.api.openapi.refusals import Refused
from dispatch.api.openapi.resumable import is_resumable
from dispatch.api.openapi.schemas import REFERENCE
from dispatch.api.openapi.surroundings import INFO, SECURITY_SCHEMES, TAGS, security_of
from protocol.jobs import JobSubmission
from protocol.notices import WebhookMessage
from protocol.operations import API, OPERATIONS, Form, Operation
from protocol.operations.rows import STREAMS

_BINARY: Json = {"type": "string", "format": "binary"}
_WORD = r"[a-z0-9_]+:[A-Za-z0-9_.\-]{1,60}"
_WORDS: Json = {"type": "string", "pattern": f"^({_WORD}(,{_WORD}){{0,15}})?$", "examples": ["site:oslo,site:bergen"]}
_ENVELOPE = REFERENCE.format(model="ErrorEnvelope")


def text(document: Json) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def document(version: str) -> Json:
    """The whole contract. Raises UndescribedParameter and NoExample when a row of the table is not described."""
    writer = _Writer()
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        entry = paths.setdefault(PARAMETER.sub(r"{\1}", operation.path), {})
        entry[operation.method.lower()] = writer.operation(operation)
        if operation.method == "GET" and operation.gives not in STREAMS:
            entry["head"] = writer.head(entry["get"])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Reelyard", "version": version, **INFO},
        "servers": [{"url": "/", "description": "The server that serves this document"}],
        "tags": [{"name": name, "description": said} for name, said in TAGS.items()],
        "paths": paths,
        "webhooks": notices.webhooks(writer.message(WebhookMessage, "validation")),
        "components": {
            "schemas": writer.definitions,
            "responses": writer.shared_refusals,
            "headers": {name: replies.header(name) for name in replies.HEADERS},
            "examples": writer.examples,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


class _Writer:
    """Holds what several operations refer to: schemas, their examples, and the answers to what went wrong."""

    def __init__(self) -> None:
        self.definitions, self._schemas = schemas.of_all(OPERATIONS)
        self.examples: Json = {}
        uses = Counter(refused for operation in OPERATIONS for refused in _refused(operation).values())
        self._shared = {refused for refused, count in uses.items() if count > 1 and len(refused[0]) < 4}
        self.shared_refusals = {refusals.name_of(refused): _refusal(refused) for refused in sorted(self._shared)}

    def operation(self, operation: Operation) -> Json:
        written: Json = {
            "operationId": operation.name,
            "summary": operation.summary,
            "description": operation.description or f"{operation.summary}.",
            "tags": [tag_of(operation)],
            "parameters": parameters.described(operation),
            "responses": self._responses(operation),
            "security": security_of(operation),
            "x-scope": operation.scope.value,
        }
        if body := self._body(operation):
            written["requestBody"] = body
        return written

    def head(self, get: Json) -> Json:
        """As GET, without the bodies. HEAD is the word of tus, so there its version is needed."""
        bare = {}
        for status, answer in get["responses"].items():
            told = self.shared_refusals[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            bare[status] = {"description": "As for GET", "headers": told["headers"]}
        rows = [{**row, "required": row["required"] or row["name"] == "Tus-Resumable"} for row in get["parameters"]]
        return {**get, "operationId": f"head_{get['operationId']}", "parameters": rows, "responses": bare}

    def _responses(self, operation: Operation) -> Json:
        found = {str(operation.status): self._success(operation), **_besides(operation)}
        for status, refused in _refused(operation).items():
            found.setdefault(str(status), self._answer(refused))
        return dict(sorted(found.items()))

    def _answer(self, refused: Refused) -> Json:
        if refused in self._shared:
            return {"$ref": f"#/components/responses/{refusals.name_of(refused)}"}
        return _refusal(refused)

    def _success(self, operation: Operation) -> Json:
        answer: Json = {
            "description": operation.summary,
            "headers": {name: _header(name) for name in replies.headers_of(operation)},
        }
        schema = example = None
        if operation.reply is not None:
            schema, example = self.message(operation.reply, "serialization")
            answer["links"] = replies.links_of(operation, frozenset(operation.reply.model_fields))
        answer["content"] = replies.content_of(operation, schema, example)
        return {name: value for name, value in answer.items() if value}

    def _body(self, operation: Operation) -> Json | None:
        match operation.takes:
            case Form.MULTIPART:
                return {"required": True, "content": {Form.MULTIPART.value: {"schema": _form_schema()}}}
            case Form.BYTES | Form.OFFSET as kind:
                return {"required": operation.method != "POST", "content": {kind.value: {"schema": {}}}}
        if operation.request is None:
            return None
        schema, example = self.message(operation.request, "validation")
        content = {"schema": schema, "examples": {operation.request.__name__: {"$ref": example}}}
        return {"required": _is_needed(operation.request), "content": {Form.JSON.value: content}}

    def message(self, model: type[BaseModel], mode: JsonSchemaMode) -> tuple[Json, str]:
        """The reference to its schema and to its example."""
        schema = self._schemas[model, mode]
        name = schema["$ref"].rpartition("/")[2]
        if name not in self.examples:
            value = examples.example_of(schema, self.definitions, is_reply=mode == "serialization")
            self.examples[name] = {"summary": model.__name__, "value": value}
        return schema, f"#/components/examples/{name}"


def _is_needed(request: type[BaseModel]) -> bool:
    """An absent body is an empty object; whether that says enough is for the message itself."""
    try:
        request.model_validate({})
    except ValidationError:
        return True
    return False


def tag_of(operation: Operation) -> str:
    """The first word of the path; calls of operators alone go by what they are about."""
    rest = operation.path.removeprefix(API).strip("/").split("/")
    return rest[1] if rest[0] == "admin" else rest[0]


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _refused(operation: Operation) -> dict[int, Refused]:
    return {status: (given, is_resumable(operation)) for status, given in refusals.codes(operation).items()}


def _refusal(refused: Refused) -> Json:
    return refusals.answer(refused, _ENVELOPE, _header)


def _besides(operation: Operation) -> Json:
    """Answers that are neither the usual one nor an error."""
    found: Json = {}
    always = (*replies.headers_of(operation), "X-Request-Id")
    kept = {name: _header(name) for name in always if name not in ("Content-Disposition", "Content-Length", "Accept-Ranges")}
    names = parameters.header_names(operation)
    if "If-None-Match" in names:
        found["304"] = {"description": "The client holds this version", "headers": kept}
    if "Range" in names:
        ranged = ("Content-Range", "Accept-Ranges", "Content-Disposition")
        headers = {**kept, **{name: _header(name) for name in ranged}}
        found["206"] = {"description": "The range asked for", "headers": headers, "content": {"*/*": {"schema": {}}}}
    if operation.may_redirect:
        headers = {name: _header(name) for name in ("X-Request-Id", "Location", *(name for name in kept if name in replies.RATE))}
        found["302"] = {"description": "Where the storage itself gives the bytes", "headers": headers}
    if operation.gives is Form.SSE and "{" in operation.path:
        said = "The job has ended and the reader has seen its last event"
        found["204"] = {"description": said, "headers": kept}
    return found


def _form_schema() -> Json:
    """A form has no null: a field is there or is left out. A list is one field: words with commas between, or JSON."""
    rows = JobSubmission.model_json_schema(ref_template=REFERENCE)["properties"]
    fields = {name: _WORDS if kind is Kind.WORDS else _of_form(rows[name]) for name, kind in FIELDS.items()}
    return {
        "type": "object",
        "properties": {FILE: _BINARY, THUMBNAIL: _BINARY, **fields},
        "required": [FILE],
        "additionalProperties": False,
    }


def _of_form(row: Json) -> Json:
    options = [option for option in row.get("anyOf", ()) if option.get("type") != "null"]
    plain: Json = options[0] if options else row
    return {name: value for name, value in plain.items() if name != "default"}
