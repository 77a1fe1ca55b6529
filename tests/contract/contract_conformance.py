"""Holds answers against the OpenAPI document: the route, the status, the headers, the media type and the body's schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from dispatch.api.openapi import document

Json = dict[str, Any]  # Any: a JSON document has no narrower type
ROOT = "urn:contract"
ROUTING = {404: "ROUTE_NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
"""What is answered where no operation is: no row of the document can tell it."""

ALLOWS = 204
"""To OPTIONS, on every route."""


class Unlike(AssertionError):
    """An answer that the document does not describe."""


class Contract:
    """The document, made ready to be asked which operation a path is and whether a body fits a schema."""

    def __init__(self, told: Json) -> None:
        self.told = told
        resource = Resource.from_contents(told, default_specification=DRAFT202012)
        self._registry: Registry[Any] = Registry().with_resource(ROOT, resource)
        self._validators: dict[str, Draft202012Validator] = {}
        self._paths = [(_pattern(path), path) for path in sorted(told["paths"], key=_generality)]

    def operation(self, method: str, path: str) -> Json | None:
        template = next((template for pattern, template in self._paths if pattern.fullmatch(path)), None)
        found: Json | None = self.told["paths"][template].get(method.lower()) if template else None
        return found

    def resolved(self, node: Json) -> Json:
        if "$ref" not in node:
            return node
        for part in node["$ref"].removeprefix("#/").split("/"):
            node = node[part] if part in node else self.told[part]
        return node

    def problems(self, schema: Json, value: object) -> Iterator[str]:
        for error in self._validator(schema).iter_errors(value):
            yield f"{'/'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:300]}"

    def _validator(self, schema: Json) -> Draft202012Validator:
        """The schema's references point into the document, wherever the schema itself stands."""
        key = repr(schema)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(_anchored(schema), registry=self._registry)
        return self._validators[key]


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes, told: object) -> None:
    """Raise Unlike when the answer is not what the document says. `told` is the parsed body where it is JSON."""
    contract = current()
    operation = contract.operation(method, path.partition("?")[0])
    if operation is None or _is_of_routing(status, told):
        found = [] if _has_no_words(method, status) else list(_unrouted(status, told))
    else:
        found = list(_differences(contract, operation, status, headers, body, told))
    if found:
        raise Unlike(f"{method} {path} -> {status}: " + "; ".join(found))


@cache
def current() -> Contract:
    return Contract(document("0.0.0"))


def _unrouted(status: int, told: object) -> Iterator[str]:
    if not _is_of_routing(status, told):
        yield f"no operation of the document, and {status} is not the answer of the router"


def _has_no_words(method: str, status: int) -> bool:
    """The router's answers without a body to tell them by."""
    return (method == "OPTIONS" and status == ALLOWS) or (method == "HEAD" and status in ROUTING)


def _is_of_routing(status: int, told: object) -> bool:
    error = told.get("error") if isinstance(told, dict) else None
    return isinstance(error, dict) and error.get("code") == ROUTING.get(status, "")


def _differences(
    contract: Contract, operation: Json, status: int, headers: Mapping[str, str], body: bytes, told: object
) -> Iterator[str]:
    described = operation["responses"].get(str(status))
    if described is None:
        code = told["error"]["code"] if isinstance(told, dict) and "error" in told else "no error"
        yield f"{operation['operationId']} has no status {status} in the document ({code})"
        return
    answer = contract.resolved(described)
    yield from _of_headers(contract, answer, headers)
    yield from _of_body(contract, answer, headers, body, told)


def _of_headers(contract: Contract, answer: Json, headers: Mapping[str, str]) -> Iterator[str]:
    rows = {name.lower(): contract.resolved(row) for name, row in answer.get("headers", {}).items()}
    names = {name.lower() for name in headers}
    for name in sorted(name for name, row in rows.items() if row["required"] and name not in names):
        yield f"the header {name} is missing"
    for name in sorted(names & contract_headers(contract) - rows.keys() - EVERYWHERE):
        yield f"the header {name} is not in the document"
    for name in sorted(names & rows.keys()):
        value: object = headers[name]
        if rows[name]["schema"]["type"] == "integer":
            value = int(headers[name])
        for problem in contract.problems(rows[name]["schema"], value):
            yield f"the header {name}: {problem}"


EVERYWHERE = frozenset({"content-length", "cache-control"})
"""Headers that every HTTP answer may have."""


def contract_headers(contract: Contract) -> set[str]:
    """Headers that mean something of ours; where one comes it is documented."""
    return {name.lower() for name in contract.told["components"]["headers"]}


def _of_body(contract: Contract, answer: Json, headers: Mapping[str, str], body: bytes, told: object) -> Iterator[str]:
    content = answer.get("content", {})
    if not body:
        return
    if not content:
        yield f"a body of {len(body)} bytes where none is described"
        return
    kind = headers.get("Content-Type", "").partition(";")[0]
    described = content.get(kind, content.get("*/*"))
    if described is None:
        yield f"the type {kind} is none of {', '.join(content)}"
    elif kind == "application/json" and kind in content:
        yield from contract.problems(described["schema"], told)


def _generality(path: str) -> tuple[int, str]:
    """A path with fewer parameters is meant first: /jobs/batch is no job."""
    return path.count("{"), path


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", path)
    return re.compile("".join(_part(part) for part in parts))


def _part(part: str) -> str:
    match part:
        case "{path}":
            return ".+"
        case _ if part.startswith("{"):
            return "[^/]+"
        case _:
            return re.escape(part)


def _anchored(node: Any) -> Any:  # Any: JSON of any kind goes in, the same comes out
    match node:
        case dict():
            return {key: f"{ROOT}{value}" if key == "$ref" else _anchored(value) for key, value in node.items()}
        case list():
            return [_anchored(item) for item in node]
        case _:
            return node
