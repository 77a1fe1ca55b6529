"""Jobs: submit, look, change, follow, and what they made."""

from __future__ import annotations

from protocol import jobs
from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import API, BIG, PAGED, Follower, Form, Operation

LIST_QUERY = (
    *("status", "state", "tenant", "created_after", "created_before", "q", "metadata.*", "sort", "order"),
    *PAGED,
)

MAKING = (
    ErrorCode.PROFILE_NOT_FOUND,
    ErrorCode.QUOTA_EXCEEDED,
    ErrorCode.WEBHOOK_URL_REFUSED,
    ErrorCode.STORAGE_UNAVAILABLE,
    ErrorCode.STORAGE_FULL,
)
"""What can stand in the way of any new job."""

READING = (
    ErrorCode.INPUT_NOT_FOUND,
    ErrorCode.INPUT_FORMAT,
    ErrorCode.INPUT_TOO_LARGE,
    ErrorCode.INPUT_KIND_UNSUPPORTED,
    ErrorCode.PATH_NOT_ALLOWED,
)
NAMING = (ErrorCode.INPUT_URL_REFUSED, ErrorCode.UPLOAD_NOT_FOUND, ErrorCode.UPLOAD_GONE, ErrorCode.UPLOAD_UNFINISHED)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "submit_job",
        "POST",
        f"{API}/jobs",
        S.JOBS_WRITE,
        "Submit a job",
        jobs.JobSubmission,
        jobs.JobView,
        202,
        is_idempotent_by_key=True,
        errors=(*MAKING, *READING, *NAMING),
    ),
    Operation(
        "submit_batch",
        "POST",
        f"{API}/jobs/batch",
        S.JOBS_WRITE,
        "Submit up to 1,000 jobs, each answered for itself",
        jobs.BatchSubmission,
        jobs.BatchReply,
        202,
        is_idempotent_by_key=True,
        max_body=BIG,
        errors=(ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL),
    ),
    Operation(
        "upload_job",
        "POST",
        f"{API}/jobs/upload",
        S.JOBS_WRITE,
        "Upload a file and submit it as a job",
        None,
        jobs.JobView,
        202,
        takes=Form.MULTIPART,
        is_idempotent_by_key=True,
        errors=(*MAKING, ErrorCode.INPUT_FORMAT, ErrorCode.INPUT_TOO_LARGE, ErrorCode.UPLOAD_TOO_LARGE),
    ),
    Operation(
        "submit_filesystem",
        "POST",
        f"{API}/jobs/filesystem",
        S.JOBS_WRITE,
        "Submit a file the server can read",
        jobs.FilesystemSubmission,
        jobs.JobView,
        202,
        is_idempotent_by_key=True,
        errors=(*MAKING, *READING),
    ),
    *(
        Operation(
            name,
            "POST",
            f"{API}/jobs/{name.removeprefix('submit_')}",
            S.JOBS_WRITE,
            summary,
            jobs.S3Submission,
            jobs.JobView,
            202,
            is_idempotent_by_key=True,
            errors=(*MAKING, *READING),
        )
        for name, summary in (
            ("submit_s3", "Submit an object of a bucket the server can read"),
            ("submit_minio", "Submit an object of a bucket the server can read; the same as `/jobs/s3`"),
        )
    ),
    Operation("list_jobs", "GET", f"{API}/jobs", S.JOBS_READ, "List jobs, newest first", None, jobs.JobPage, query=LIST_QUERY),
    Operation("get_job", "GET", f"{API}/jobs/{{job_id}}", S.JOBS_READ, "One job", None, jobs.JobView, is_tagged=True),
    Operation(
        "patch_job",
        "PATCH",
        f"{API}/jobs/{{job_id}}",
        S.JOBS_WRITE,
        "Change a job that still waits",
        jobs.JobPatch,
        jobs.JobView,
        errors=(
            ErrorCode.INVALID_TRANSITION,
            ErrorCode.PRECONDITION_FAILED,
            ErrorCode.PRECONDITION_REQUIRED,
            ErrorCode.WEBHOOK_URL_REFUSED,
        ),
        is_tagged=True,
        needs_match=True,
    ),
    Operation(
        "cancel_job",
        "POST",
        f"{API}/jobs/{{job_id}}/cancel",
        S.JOBS_WRITE,
        "Cancel a job",
        None,
        jobs.JobView,
        errors=(ErrorCode.INVALID_TRANSITION, ErrorCode.PRECONDITION_FAILED),
        is_tagged=True,
    ),
    Operation(
        "retry_job",
        "POST",
        f"{API}/jobs/{{job_id}}/retry",
        S.JOBS_WRITE,
        "Try a failed job again",
        jobs.RetryRequest,
        jobs.JobView,
        202,
        is_idempotent_by_key=True,
        errors=(ErrorCode.INVALID_TRANSITION, ErrorCode.PRECONDITION_FAILED, ErrorCode.INPUT_PURGED),
        is_tagged=True,
    ),
    Operation(
        "job_events",
        "GET",
        f"{API}/jobs/{{job_id}}/events",
        S.JOBS_READ,
        "The job's events as a stream",
        None,
        None,
        gives=Form.SSE,
    ),
    Operation(
        "all_events", "GET", f"{API}/events", S.JOBS_READ, "Every event one may see, as a stream", None, None, gives=Form.SSE
    ),
    Operation(
        "events_socket",
        "GET",
        f"{API}/events/ws",
        S.JOBS_READ,
        "The same events over a WebSocket; those of one job with `job_id`",
        None,
        None,
        101,
        gives=Form.WEBSOCKET,
        query=("job_id", "last_event_id"),
        errors=(ErrorCode.JOB_NOT_FOUND,),
    ),
    Operation(
        "why_job",
        "GET",
        f"{API}/jobs/{{job_id}}/why",
        S.JOBS_READ,
        "Why the job waits, engine by engine",
        None,
        jobs.WhyReply,
        at_follower=Follower.PASSES_ON,
    ),
    Operation(
        "job_log", "GET", f"{API}/jobs/{{job_id}}/log", S.JOBS_READ, "The tail of each attempt's tool log", None, jobs.JobLog
    ),
)
