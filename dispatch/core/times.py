"""Unix seconds to RFC 3339 in UTC with `Z`, and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# `fromisoformat` takes every form of ISO 8601; RFC 3339 has one, with seconds and an offset.
_FORM = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def maybe(moment: float | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def parse(text: str) -> float:
    """Unix seconds. Raises ValueError when the text is no RFC 3339 time with an offset, within years 1 to 9999 of UTC."""
    if _FORM.fullmatch(text) is None:
        raise ValueError("a time is written like 2026-01-31T12:00:00Z")
    moment = datetime.fromisoformat(text.upper())
    try:
        return moment.astimezone(UTC).timestamp()
    except OverflowError:
        raise ValueError("the time lies outside the years 1 to 9999") from None
