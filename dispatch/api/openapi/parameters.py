"""Every parameter that calls take in the path, the query or a header: one row each."""

from __future__ import annotations

from typing import Any

from protocol.states import JobState, JobStatus

Json = dict[str, Any]  # Any: a JSON document has no narrower type
_TIME: Json = {"type": "string", "format": "date-time"}

QUERY_SCHEMAS: dict[str, Json] = {
    "status": {"type": "string", "enum": [status.value for status in JobStatus]},
    "state": {"type": "string", "enum": [state.value for state in JobState]},
    "tenant": {"type": "string", "description": "for admins: the jobs of this tenant alone"},
    "created_after": _TIME,
    "created_before": _TIME,
    "sort": {"type": "string", "enum": ["created_at", "completed_at", "priority"], "default": "created_at"},
    "order": {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "offset": {"type": "integer", "minimum": 0, "default": 0},
    "cursor": {"type": "string", "description": "`next_cursor` of the page before; not together with `offset`"},
}
