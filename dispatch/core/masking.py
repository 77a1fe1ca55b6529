"""Settings as an admin may see them: what could be a secret is masked."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import JsonValue

MASKED = "********"
SECRET_NAMES = re.compile(r"(^|_)(secret|password|token|credential|key)s?$")
"""Names that end in such a word hold one; `key_file` and the like only tell where it lies."""

_USERINFO = re.compile(r"(?<=://)\S+@")
"""Up to the last `@`: a password may hold slashes, and what reads it takes it so."""

_IN_QUERY = re.compile(r"(?i)(?<=[?&])([a-z0-9_-]*(?:password|secret|token|key|signature)=)[^&#\s]+")
"""libpq takes `?password=`; other URLs hold signatures there."""


def masked(settings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The same tree; passwords within URLs are masked too."""
    return {name: MASKED if _is_secret(name, value) else _masked(value) for name, value in settings.items()}


def _is_secret(name: str, value: JsonValue) -> bool:
    return isinstance(value, str) and value != "" and SECRET_NAMES.search(name) is not None


def _masked(value: JsonValue) -> JsonValue:
    match value:
        case dict():
            return masked(value)
        case list():
            return [_masked(item) for item in value]
        case str():
            return _IN_QUERY.sub(rf"\g<1>{MASKED}", _USERINFO.sub(f"{MASKED}@", value))
        case _:
            return value
