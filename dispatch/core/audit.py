"""What a list of the audit log is asked for, parsed from the query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatch.core import times
from dispatch.core.paging import FIRST, Listing, Wanted, refuse, wanted_of

AUDIT = Listing("audit")


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None means any; `since` is a moment."""

    actor: str | None = None
    action: str | None = None
    since: float | None = None
    page: Wanted = FIRST


def parse(query: Mapping[str, str]) -> AuditFilter:
    """Raises VALIDATION_FAILED, naming the parameter."""
    return AuditFilter(
        actor=query.get("actor"),
        action=query.get("action"),
        since=_moment(query["since"]) if "since" in query else None,
        page=wanted_of(query, AUDIT),
    )


def _moment(text: str) -> float:
    try:
        return times.parse(text)
    except ValueError:
        raise refuse("since", "must be an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z") from None
