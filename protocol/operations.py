"""The API as data: one row per operation. Routes, the OpenAPI document, the client and the tests follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel

from protocol import admin, jobs, leases
from protocol.admin import Scope
from protocol.capabilities import RegisterReply, RegisterRequest

API = "/api/v1"


class Form(StrEnum):
    """What kind of body goes in or comes out, beside JSON."""

    JSON = "application/json"
    MULTIPART = "multipart/form-data"
    SSE = "text/event-stream"
    BYTES = "application/octet-stream"
    NONE = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` is an aiohttp pattern. `query` names the query parameters. `status` is that of success."""

    name: str
    method: str
    path: str
    scope: Scope
    summary: str
    request: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    status: int = 200
    takes: Form = Form.JSON
    gives: Form = Form.JSON
    query: tuple[str, ...] = ()
    is_idempotent_by_key: bool = False
    max_body: int = 1 << 20


S = Scope
LIST_QUERY = ("status", "state", "tenant", "created_after", "created_before", "sort", "order", "limit", "offset", "cursor")
BIG = 16 << 20

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
    ),
    Operation("list_jobs", "GET", f"{API}/jobs", S.JOBS_READ, "List jobs, newest first", None, jobs.JobPage, query=LIST_QUERY),
    Operation("get_job", "GET", f"{API}/jobs/{{job_id}}", S.JOBS_READ, "One job", None, jobs.JobView),
    Operation("delete_job", "DELETE", f"{API}/jobs/{{job_id}}", S.JOBS_WRITE, "Cancel a job", None, jobs.JobView),
    Operation("cancel_job", "POST", f"{API}/jobs/{{job_id}}/cancel", S.JOBS_WRITE, "Cancel a job", None, jobs.JobView),
    Operation(
        "retry_job",
        "POST",
        f"{API}/jobs/{{job_id}}/retry",
        S.JOBS_WRITE,
        "Try a failed job again",
        jobs.RetryRequest,
        jobs.JobView,
        202,
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
        "why_job", "GET", f"{API}/jobs/{{job_id}}/why", S.JOBS_READ, "Why the job waits, engine by engine", None, jobs.WhyReply
    ),
    Operation(
        "job_log", "GET", f"{API}/jobs/{{job_id}}/log", S.JOBS_READ, "The tail of each attempt's tool log", None, jobs.JobLog
    ),
    Operation(
        "job_outputs",
        "GET",
        f"{API}/jobs/{{job_id}}/outputs",
        S.FILES_READ,
        "Signed, expiring links to the outputs",
        None,
        jobs.OutputsReply,
    ),
    Operation(
        "job_file",
        "GET",
        f"{API}/jobs/{{job_id}}/files/{{path:.+}}",
        S.FILES_READ,
        "One output by its stable URL",
        None,
        None,
        gives=Form.BYTES,
    ),
    Operation(
        "register_engine",
        "POST",
        f"{API}/engines/register",
        S.REGISTRATION,
        "An engine introduces itself",
        RegisterRequest,
        RegisterReply,
    ),
    Operation(
        "heartbeat",
        "POST",
        f"{API}/engines/{{engine_id}}/heartbeat",
        S.ENGINE,
        "An engine's sign of life; renews its leases",
        leases.Heartbeat,
        leases.HeartbeatReply,
    ),
    Operation(
        "lease",
        "POST",
        f"{API}/engines/{{engine_id}}/lease",
        S.ENGINE,
        "Long poll for tasks and orders; reports ride along",
        leases.LeaseRequest,
        leases.LeaseReply,
        max_body=BIG,
    ),
    Operation(
        "report",
        "POST",
        f"{API}/engines/{{engine_id}}/reports",
        S.ENGINE,
        "Many reports in one call",
        leases.ReportsRequest,
        leases.ReportsReply,
        max_body=BIG,
    ),
    Operation(
        "task_uploads",
        "POST",
        f"{API}/tasks/{{task_id}}/uploads",
        S.ENGINE,
        "Where to stage each file",
        leases.UploadsRequest,
        leases.UploadsReply,
    ),
    Operation(
        "engine_offline",
        "POST",
        f"{API}/engines/{{engine_id}}/offline",
        S.ENGINE,
        "An engine says goodbye",
        leases.Goodbye,
        admin.Pong,
    ),
    Operation(
        "list_engines", "GET", f"{API}/engines", S.ENGINES_READ, "The registry", None, admin.EnginePage, query=("limit", "offset")
    ),
    Operation("get_engine", "GET", f"{API}/engines/{{engine_id}}", S.ENGINES_READ, "One engine", None, admin.EngineView),
    Operation(
        "patch_engine",
        "PATCH",
        f"{API}/engines/{{engine_id}}",
        S.ENGINES_ADMIN,
        "Change tags, pause",
        admin.EnginePatch,
        admin.EngineView,
    ),
    Operation(
        "drain_engine",
        "POST",
        f"{API}/engines/{{engine_id}}/drain",
        S.ENGINES_ADMIN,
        "Take no new work, finish what runs",
        None,
        admin.EngineView,
    ),
    Operation(
        "undrain_engine",
        "POST",
        f"{API}/engines/{{engine_id}}/undrain",
        S.ENGINES_ADMIN,
        "Take work again",
        None,
        admin.EngineView,
    ),
    Operation(
        "delete_engine",
        "DELETE",
        f"{API}/engines/{{engine_id}}",
        S.ENGINES_ADMIN,
        "Remove an engine and revoke its credential",
        None,
        admin.Pong,
    ),
    Operation("create_key", "POST", f"{API}/admin/api-keys", S.ADMIN, "Make an API key", admin.KeyRequest, admin.KeyCreated, 201),
    Operation(
        "list_keys",
        "GET",
        f"{API}/admin/api-keys",
        S.ADMIN,
        "All API keys, without their secrets",
        None,
        admin.KeyPage,
        query=("limit", "offset"),
    ),
    Operation("revoke_key", "DELETE", f"{API}/admin/api-keys/{{key_id}}", S.ADMIN, "Revoke an API key", None, admin.KeyView),
    Operation(
        "create_tenant", "POST", f"{API}/admin/tenants", S.ADMIN, "Make a tenant", admin.TenantRequest, admin.TenantView, 201
    ),
    Operation(
        "list_tenants", "GET", f"{API}/admin/tenants", S.ADMIN, "All tenants", None, admin.TenantPage, query=("limit", "offset")
    ),
    Operation("list_profiles", "GET", f"{API}/profiles", S.JOBS_READ, "The profiles jobs may name", None, admin.ProfilePage),
    Operation("version", "GET", f"{API}/version", S.JOBS_READ, "The server's version", None, admin.VersionReply),
    Operation("health", "GET", f"{API}/health", S.OPEN, "Every part's health", None, admin.Health),
    Operation("healthz", "GET", "/healthz", S.OPEN, "The process lives", None, admin.Pong),
    Operation("readyz", "GET", "/readyz", S.OPEN, "The server takes work; 503 when it does not", None, admin.Health),
    Operation("openapi", "GET", "/openapi.json", S.OPEN, "This contract as OpenAPI 3.1", None, None),
    Operation(
        "signed_get",
        "GET",
        "/files/s/{signature}/{path:.+}",
        S.OPEN,
        "A file by a signed link; ranges",
        None,
        None,
        gives=Form.BYTES,
    ),
    Operation(
        "signed_put",
        "PUT",
        "/files/s/{signature}/{path:.+}",
        S.OPEN,
        "Stage a file by a signed link; create-only",
        None,
        None,
        201,
        takes=Form.BYTES,
        gives=Form.NONE,
    ),
)

BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
"""Every GET answers HEAD as well, but for streams."""
