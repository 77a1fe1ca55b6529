"""The base of every message: frozen, strict about unknown fields, parsed once at the border."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Message(BaseModel):
    """A value on the wire. Unknown fields are refused; JSON numbers are never taken from booleans or strings.

    What was refused stands in no error's text: it may be a secret, and errors are logged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True, hide_input_in_errors=True)


class Page(Message):
    """What every list tells beside its rows. `total` (and `total_count`, the same) counts all of it.

    `next_cursor` is None on the last page; `next_page_url` asks for what follows with everything else as it was.
    """

    total_count: int
    total: int
    limit: int
    offset: int
    next_cursor: str | None = None
    next_page_url: str | None = None


Identifier = Annotated[str, Field(pattern=r"^[a-z]{3}_[0-9a-z]{1,40}$")]
"""An opaque sortable id with a three-letter prefix: `job_`, `tsk_`, `eng_`, `key_`."""

LARGEST = 2**63 - 1
"""The largest whole number every store holds."""

Token = Annotated[int, Field(ge=1, le=LARGEST)]
"""The fencing number of a lease, from one global rising sequence."""

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time", "examples": ["2026-12-20T10:00:00Z"]})]
"""A time as clients send it: RFC 3339 with an offset. The server parses it."""

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0, le=LARGEST)]
RelativePath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*$", max_length=300)]
"""A path below a job's own root: plain names joined by `/`, nowhere `.` or `..`, never absolute."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
