"""What pydantic found wrong, as rows a client can act on; the refused values are not repeated."""

from __future__ import annotations

from pydantic import ValidationError

MOST = 50


def problems_of(invalid: ValidationError) -> list[dict[str, str]]:
    rows = invalid.errors(include_url=False, include_context=False, include_input=False)
    return [{"field": ".".join(str(part) for part in row["loc"]) or "body", "problem": row["msg"]} for row in rows[:MOST]]
