"""The JSON Schemas of all messages, as pydantic writes them, set right where they say more or less than the server does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from dispatch.api.openapi.parameters import Json
from protocol.jobs import ErrorEnvelope, JobSubmission
from protocol.notices import WebhookMessage
from protocol.operations import Operation

REFERENCE = "#/components/schemas/{model}"
Wanted = tuple[type[BaseModel], JsonSchemaMode]
ALWAYS: tuple[Wanted, ...] = ((ErrorEnvelope, "serialization"), (JobSubmission, "validation"), (WebhookMessage, "validation"))


def of_all(operations: Iterable[Operation]) -> tuple[Json, dict[Wanted, Json]]:
    """The definitions by name, and the reference of each message as it is sent or answered."""
    wanted = list(ALWAYS)
    for operation in operations:
        wanted += [(operation.request, "validation")] if operation.request else []
        wanted += [(operation.reply, "serialization")] if operation.reply else []
    names, written = models_json_schema(list(dict.fromkeys(wanted)), ref_template=REFERENCE)
    definitions: Json = _without_uniqueness(written["$defs"])
    _need_tags(definitions)
    return definitions, {(model, mode): schema for (model, mode), schema in names.items() if issubclass(model, BaseModel)}


def _without_uniqueness(node: Any) -> Any:  # Any: JSON of any kind goes in, the same comes out
    """Sets take a word that is told twice; the schema shall not forbid what the server takes."""
    match node:
        case dict():
            return {key: _without_uniqueness(value) for key, value in node.items() if key != "uniqueItems"}
        case list():
            return [_without_uniqueness(item) for item in node]
        case _:
            return node


def _need_tags(definitions: Json) -> None:
    """What tells the members of a union apart is needed, though each member has a default for it."""
    for union in list(_unions(definitions)):
        tag = union["propertyName"]
        for reference in union["mapping"].values():
            member = definitions[reference.rpartition("/")[2]]
            member["required"] = sorted({*member.get("required", ()), tag})


def _unions(node: object) -> Iterator[Json]:
    match node:
        case dict():
            if "mapping" in node.get("discriminator", {}):
                yield node["discriminator"]
            for value in node.values():
                yield from _unions(value)
        case list():
            for value in node:
                yield from _unions(value)
