"""What is asked of usage and counts, and how they are answered as `/admin/usage` and `/stats`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dispatch.core.paging import FIRST, Listing, Wanted, refuse, wanted_of
from protocol.states import JobState

USAGE = Listing("usage", (str, str, str))
"""A place is day, tenant, key id."""

_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """None means any. Days are `2026-01-31`, both ends included."""

    tenant: str | None = None
    key_id: str | None = None
    first_day: str | None = None
    last_day: str | None = None
    page: Wanted = FIRST


@dataclass(frozen=True, slots=True)
class JobCount:
    tenant: str
    state: JobState
    count: int


@dataclass(frozen=True, slots=True)
class HeldCount:
    """How many tasks of a tenant one engine holds in encoding slots."""

    tenant: str
    engine_id: str
    count: int


def parse_usage(query: Mapping[str, str]) -> UsageFilter:
    """Raises VALIDATION_FAILED, naming the parameter."""
    return UsageFilter(
        tenant=query.get("tenant"),
        key_id=query.get("key_id"),
        first_day=_day(query, "from"),
        last_day=_day(query, "to"),
        page=wanted_of(query, USAGE),
    )


def _day(query: Mapping[str, str], name: str) -> str | None:
    told = query.get(name)
    if told is not None and not (told.isascii() and _DAY.fullmatch(told)):
        raise refuse(name, "must be a day, such as 2026-01-31")
    return told
