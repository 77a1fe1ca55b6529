"""Live streams."""

from __future__ import annotations

from protocol import jobs, live
from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import API, Form, Operation

SHOWN = "/files/live/{signature}/{path:(?s:.+)}"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "stop_job",
        "POST",
        f"{API}/jobs/{{job_id}}/stop",
        S.JOBS_WRITE,
        "End a live stream: what has come in becomes its recording",
        None,
        jobs.JobView,
        errors=(ErrorCode.INVALID_TRANSITION, ErrorCode.PRECONDITION_FAILED),
        is_tagged=True,
    ),
    Operation(
        "live_link",
        "GET",
        f"{API}/jobs/{{job_id}}/live",
        S.FILES_READ,
        "A link to watch a live stream while it runs",
        None,
        live.LiveLink,
        errors=(ErrorCode.LIVE_NOT_STREAMING,),
    ),
    Operation(
        "live_get",
        "GET",
        SHOWN,
        S.OPEN,
        "A playlist or a segment of a live stream by a signed link",
        None,
        None,
        gives=Form.BYTES,
    ),
    Operation(
        "live_put",
        "PUT",
        SHOWN,
        S.OPEN,
        "Show a segment of a live stream, or replace a playlist: for the attempt that streams",
        None,
        None,
        201,
        takes=Form.BYTES,
        gives=Form.NONE,
        errors=(ErrorCode.STALE_LEASE, ErrorCode.BODY_TOO_LARGE, ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL),
    ),
)
