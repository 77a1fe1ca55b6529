"""From whatever went wrong to a code, a sentence and details a client may see. What the client sent is not repeated."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from dispatch.core.problems import of_problems
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import ErrorBody, ErrorEnvelope
from protocol.misfits import misfits

MOST_PROBLEMS = 50
LONGEST_FIELD = 120

# pydantic's own words for these repeat what was sent, or say little to who knows pydantic not.
_OWN_WORDS: dict[str, str] = {
    "union_tag_invalid": "is none of {expected_tags}",
    "json_type": "is not JSON",
    "extra_forbidden": "is no field of this call",
    "string_pattern_mismatch": "must look like {pattern}",
}


def _field(way: str) -> str:
    return way[:LONGEST_FIELD] or "body"


def _sentence(kind: str, message: str, context: dict[str, Any]) -> str:  # Any: pydantic's own type of a context
    if kind in _OWN_WORDS:
        return _OWN_WORDS[kind].format_map(context)
    return message.removeprefix("Value error, ")


def of_validation(error: ValidationError) -> ReelyardError:
    """MALFORMED_JSON, or VALIDATION_FAILED with `details.problems`, one for each field."""
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return ReelyardError(ErrorCode.MALFORMED_JSON, details={"reason": found[0]["msg"][:200]})
    told = misfits(found)
    problems = [
        {"field": _field(one.field), "problem": _sentence(one.row["type"], one.row["msg"], one.row.get("ctx") or {})}
        for one in told[:MOST_PROBLEMS]
    ]
    return of_problems(problems, total=len(told))


def envelope(error: ReelyardError, request_id: str) -> bytes:
    body = ErrorBody(code=error.code, message=error.message, details=error.details, request_id=request_id)
    return ErrorEnvelope(error=body).model_dump_json().encode()
