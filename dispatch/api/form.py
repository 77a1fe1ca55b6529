"""The form fields of an upload, and how they become a submission. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto

import orjson
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from dispatch.api import problems
from dispatch.core.paging import refuse
from protocol.jobs import JobSubmission

LONGEST_FIELD = 1 << 18
FILE, THUMBNAIL = "file", "thumbnail"


class Kind(Enum):
    TEXT = auto()
    NUMBER = auto()
    JSON = auto()
    FLAG = auto()  # true or false
    WORDS = auto()  # a JSON array, or words with commas between them


FIELDS: dict[str, Kind] = {
    "profile": Kind.TEXT,
    "priority": Kind.NUMBER,
    "ttl_s": Kind.NUMBER,
    "max_attempts": Kind.NUMBER,
    "expires_at": Kind.TEXT,
    "finish_by": Kind.TEXT,
    "integrity": Kind.TEXT,
    "allow_damaged": Kind.FLAG,
    "outputs": Kind.JSON,
    "attachments": Kind.JSON,
    "content_keys": Kind.JSON,
    "webhook_url": Kind.TEXT,
    "metadata": Kind.JSON,
    "required_capabilities": Kind.WORDS,
    "tags": Kind.WORDS,
}
_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)


def submission_of(fields: Mapping[str, str]) -> JobSubmission:
    """The submission these fields make, without its input. Raises VALIDATION_FAILED."""
    told = {name: _value(name, text) for name, text in fields.items()}
    try:
        return JobSubmission.model_validate_json(to_json(told))  # whole numbers of any size, as `from_json` reads them
    except ValidationError as error:
        raise problems.of_validation(error) from None


def canonical(fields: Mapping[str, str], *, filename: str, digests: Sequence[str]) -> bytes:
    """What an Idempotency-Key of an upload stands for: the fields and the files, whatever their order and boundary."""
    return hashlib.sha256(orjson.dumps([dict(fields), filename, *digests], option=orjson.OPT_SORT_KEYS)).digest()


def _value(name: str, text: str) -> object:
    match FIELDS[name]:
        case Kind.TEXT:
            return text
        case Kind.NUMBER:
            return int(text) if _NUMBER.fullmatch(text) else text
        case Kind.FLAG:
            return {"true": True, "false": False}.get(text, text)
        case Kind.JSON:
            return _json(name, text)
        case Kind.WORDS:
            return (
                _json(name, text) if text.lstrip().startswith("[") else [word.strip() for word in text.split(",") if word.strip()]
            )


def _json(name: str, text: str) -> object:
    try:
        value: object = from_json(text, allow_inf_nan=False)  # as deep as a body may be, and no deeper
    except ValueError:
        raise refuse(name, "is not JSON") from None
    return value
