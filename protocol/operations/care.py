"""What jobs leave behind: their outputs as files, purges, retention, dead letters, and looking before one submits."""

from __future__ import annotations

from protocol import care, jobs
from protocol.admin import Scope as S
from protocol.errors import ErrorCode as E
from protocol.operations.rows import API, PAGED, Form, Operation

READING = (E.OUTPUTS_NOT_READY, E.OUTPUTS_PURGED)
LOOKING = (
    E.PROFILE_NOT_FOUND,
    E.WEBHOOK_URL_REFUSED,
    E.PATH_NOT_ALLOWED,
    E.INPUT_KIND_UNSUPPORTED,
    E.UPLOAD_NOT_FOUND,
    E.UPLOAD_GONE,
    E.UPLOAD_UNFINISHED,
)
SHOWN_AS = ("download", "disposition")

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "validate_job",
        "POST",
        f"{API}/jobs/validate",
        S.JOBS_WRITE,
        "Look at an input before it is submitted",
        jobs.JobSubmission,
        care.ValidationReply,
        description=(
            "An engine probes the input as the job would; nothing is made of it and nothing of it stays. What is wrong with"
            " the input is told in `problems`; everything else is refused as a submission would be. Waits up to 10 s."
        ),
        errors=(*LOOKING, E.NO_ENGINE),
    ),
    Operation(
        "delete_job",
        "DELETE",
        f"{API}/jobs/{{job_id}}",
        S.JOBS_WRITE,
        "Cancel a job, or purge one that has ended",
        None,
        jobs.JobView,
        query=("purge",),
        description=(
            "Without `purge` as the call to cancel. With it the job, its history and all its files go, and the answer is the"
            " job as it was; 409 unless it has ended. Files that the server read in place are never touched."
        ),
        errors=(E.INVALID_TRANSITION, E.PRECONDITION_FAILED),
        is_tagged=True,
    ),
    Operation(
        "purge_outputs",
        "DELETE",
        f"{API}/jobs/{{job_id}}/outputs",
        S.JOBS_WRITE,
        "Purge what a completed job published",
        None,
        jobs.JobView,
        description="The rows change at once, the bytes go soon after; the original and the job itself stay.",
        errors=(E.OUTPUTS_NOT_READY, E.PRECONDITION_FAILED),
        is_tagged=True,
    ),
    Operation(
        "job_outputs",
        "GET",
        f"{API}/jobs/{{job_id}}/outputs",
        S.FILES_READ,
        "Signed, expiring links to the outputs",
        None,
        jobs.OutputsReply,
        query=("expires_in",),
        description=(
            "One signature covers all files of the job, so the relative names in its playlists work. A link takes"
            " `?download=1` to be saved under its name instead of shown."
        ),
        errors=READING,
    ),
    Operation(
        "job_archive",
        "GET",
        f"{API}/jobs/{{job_id}}/outputs.zip",
        S.FILES_READ,
        "All outputs as one ZIP, written while it is read",
        None,
        None,
        gives=Form.ZIP,
        description="Files are stored, not deflated, below `<job_id>/`. The length is told beforehand; there are no ranges.",
        errors=(*READING, E.STORAGE_UNAVAILABLE),
    ),
    Operation(
        "job_file",
        "GET",
        f"{API}/jobs/{{job_id}}/files/{{path:(?s:.+)}}",
        S.FILES_READ,
        "One output by its stable URL",
        None,
        None,
        gives=Form.BYTES,
        query=(*SHOWN_AS, "streamed"),
        description=(
            "Where the storage hands out links the answer is a redirect to one, for GET and anything but playlists; with"
            " `?streamed=1` the bytes come from here all the same."
        ),
        errors=READING,
        may_redirect=True,
    ),
    Operation(
        "list_retention",
        "GET",
        f"{API}/admin/retention",
        S.ADMIN,
        "What the retention duty takes with its next run, longest kept first",
        None,
        care.RetentionPage,
        query=PAGED,
        description="With `dry_run` nothing goes by age; files past a job's own `expires_at` go all the same.",
    ),
    Operation(
        "list_dead_letters",
        "GET",
        f"{API}/admin/dead-letter",
        S.ADMIN,
        "Jobs that failed by no fault of their client, newest first, with the evidence",
        None,
        care.DeadLetterPage,
        query=PAGED,
    ),
    Operation(
        "retry_dead_letter",
        "POST",
        f"{API}/admin/dead-letter/{{job_id}}/retry",
        S.ADMIN,
        "Try a dead letter again",
        jobs.RetryRequest,
        jobs.JobView,
        202,
        is_idempotent_by_key=True,
        errors=(E.INPUT_PURGED,),
        is_tagged=True,
    ),
    Operation(
        "discard_dead_letter",
        "DELETE",
        f"{API}/admin/dead-letter/{{job_id}}",
        S.ADMIN,
        "Discard a dead letter: the job and its files are purged",
        None,
        jobs.JobView,
        is_tagged=True,
    ),
)
