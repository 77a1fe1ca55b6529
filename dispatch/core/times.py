"""Unix seconds to RFC 3339 in UTC with `Z`, and back."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def maybe(moment: float | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def parse(text: str) -> float:
    """Unix seconds. Raises ValueError when the text is no RFC 3339 time with an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z")
    return moment.timestamp()
