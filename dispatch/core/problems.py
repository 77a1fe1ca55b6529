"""What pydantic found wrong, as rows a client can act on; the refused values are not repeated."""

from __future__ import annotations

from pydantic import ValidationError

from protocol.errors import ErrorCode, ReelyardError

MOST = 50


def problems_of(invalid: ValidationError) -> list[dict[str, str]]:
    rows = invalid.errors(include_url=False, include_context=False, include_input=False)
    fields = [".".join(str(part) for part in row["loc"]) or "body" for row in rows[:MOST]]
    return [{"field": f, "problem": row["msg"].removeprefix("Value error, ")} for f, row in zip(fields, rows, strict=False)]


def of_problems(problems: list[dict[str, str]], *, total: int | None = None) -> ReelyardError:
    """VALIDATION_FAILED that names the first of them and holds all; `total` where more were found than told."""
    first = problems[0]
    head = f"{first['field']}: {first['problem']}"
    more = (total or len(problems)) - 1
    message = head + (f" (and {more} more, see details.problems)" if more else "")
    return ReelyardError(ErrorCode.VALIDATION_FAILED, message, details={"problems": problems})
