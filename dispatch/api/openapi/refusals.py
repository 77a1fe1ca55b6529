"""Which error codes a call can give: rules over its scope, its parameters and its body, then what its row adds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from dispatch.api.openapi.parameters import Json, in_path
from dispatch.api.openapi.replies import RATE
from protocol.admin import Scope
from protocol.errors import ERRORS, ErrorCode
from protocol.operations import Follower, Form, Operation

_C = ErrorCode
NO_KEY_LOOKED_AT = frozenset({Scope.OPEN, Scope.REGISTRATION})
HAS_NO_FAULTS = frozenset({"healthz", "openapi", "docs", "docs_asset"})
"""These read nothing that could fail."""


def _takes_body(operation: Operation) -> bool:
    return operation.request is not None or operation.takes is not Form.JSON


def _changes(operation: Operation) -> bool:
    return operation.method != "GET"


Rule = tuple[Callable[[Operation], bool], tuple[ErrorCode, ...]]
RULES: tuple[Rule, ...] = (
    (lambda o: o.scope is not Scope.OPEN, (_C.UNAUTHORIZED,)),
    (lambda o: o.scope not in (Scope.OPEN, Scope.ENGINE), (_C.RATE_LIMITED,)),
    (lambda o: o.scope not in NO_KEY_LOOKED_AT, (_C.FORBIDDEN,)),
    (lambda o: o.name not in HAS_NO_FAULTS, (_C.INTERNAL_ERROR, _C.DATABASE_UNAVAILABLE, _C.SHUTTING_DOWN)),
    (lambda o: o.at_follower is not Follower.ANSWERS, (_C.NOT_LEADER,)),
    (_takes_body, (_C.BODY_TOO_LARGE, _C.BODY_TOO_SLOW, _C.BODY_INCOMPLETE, _C.UNSUPPORTED_MEDIA_TYPE)),
    (lambda o: o.request is not None, (_C.MALFORMED_JSON,)),
    (lambda o: o.request is not None or o.takes is Form.MULTIPART or bool(o.query), (_C.VALIDATION_FAILED,)),
    (lambda o: o.gives is Form.SSE, (_C.VALIDATION_FAILED,)),
    (lambda o: o.gives is Form.WEBSOCKET, (_C.UPGRADE_REQUIRED,)),
    (lambda o: o.needs_match, (_C.PRECONDITION_REQUIRED, _C.PRECONDITION_FAILED)),
    (
        lambda o: o.is_idempotent_by_key,
        (_C.IDEMPOTENCY_KEY_REQUIRED, _C.IDEMPOTENCY_KEY_INVALID, _C.IDEMPOTENCY_MISMATCH, _C.IDEMPOTENCY_IN_PROGRESS),
    ),
    (lambda o: o.gives is Form.BYTES and o.method == "GET", (_C.RANGE_NOT_SATISFIABLE, _C.STORAGE_UNAVAILABLE)),
)


def codes(operation: Operation) -> dict[int, tuple[ErrorCode, ...]]:
    """Every code this call can give, under its HTTP status, in the order of the table of errors."""
    found = {code for holds, given in RULES if holds(operation) for code in given}
    found |= {code for row in in_path(operation).values() for code in row.missing}
    found |= set(operation.errors)
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in ErrorCode:
        if code in found:
            by_status[ERRORS[code].status].append(code)
    return {status: tuple(by_status[status]) for status in sorted(by_status)}


HEADERS_OF_STATUS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    416: ("Content-Range",),
    421: ("Retry-After",),
    423: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
"""What stands on a refusal beside what stands on every one."""


Refused = tuple[tuple[ErrorCode, ...], bool]
"""The codes of one status, and whether the call speaks tus: what makes two answers the same."""


def name_of(refused: Refused) -> str:
    """The name of the shared answer that can carry any of these codes."""
    given, is_resumable = refused
    return ".".join((*given, *(("tus",) if is_resumable else ())))


def answer(refused: Refused, envelope: str, headers: Callable[[str], Json]) -> Json:
    """The error envelope narrowed to these codes, with an example of each."""
    given, is_resumable = refused
    narrowed = {"properties": {"error": {"properties": {"code": {"enum": [code.value for code in given]}}}}}
    tus = ("Tus-Resumable", "Tus-Version") if is_resumable else ()
    names = ("X-Request-Id", *RATE, *tus, *HEADERS_OF_STATUS.get(ERRORS[given[0]].status, ()))
    return {
        "description": " ".join(f"`{code}`: {ERRORS[code].meaning}" for code in given),
        "headers": {name: headers(name) for name in names},
        "content": {
            Form.JSON.value: {
                "schema": {"allOf": [{"$ref": envelope}, narrowed]},
                "examples": {code.value: {"value": _example(code)} for code in given},
            }
        },
    }


def _example(code: ErrorCode) -> Json:
    error: Json = {"code": code.value, "message": ERRORS[code].meaning, "details": {}, "request_id": "req_01k9w3m8q2z7c4xg5t1000"}
    return {"error": error}
