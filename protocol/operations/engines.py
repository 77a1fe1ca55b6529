"""What engines say and what operators ask of them."""

from __future__ import annotations

from protocol import admin, leases
from protocol.admin import Scope as S
from protocol.capabilities import RegisterReply, RegisterRequest
from protocol.errors import ErrorCode
from protocol.operations.rows import API, BIG, PAGED, Follower, Operation

STORING = (ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "register_engine",
        "POST",
        f"{API}/engines/register",
        S.REGISTRATION,
        "An engine introduces itself",
        RegisterRequest,
        RegisterReply,
        at_follower=Follower.POINTS,
    ),
    Operation(
        "heartbeat",
        "POST",
        f"{API}/engines/{{engine_id}}/heartbeat",
        S.ENGINE,
        "An engine's sign of life; renews its leases",
        leases.Heartbeat,
        leases.HeartbeatReply,
        at_follower=Follower.POINTS,
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
        at_follower=Follower.POINTS,
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
        max_body=BIG,
        errors=(ErrorCode.STALE_LEASE, *STORING),
    ),
    Operation(
        "finish_task_upload",
        "POST",
        f"{API}/tasks/{{task_id}}/uploads/finish",
        S.ENGINE,
        "Make one file of the parts that were sent past this server",
        leases.UploadFinish,
        leases.UploadTarget,
        errors=(ErrorCode.STALE_LEASE, ErrorCode.UPLOAD_UNFINISHED, ErrorCode.FILE_EXISTS, ErrorCode.FILE_NOT_FOUND, *STORING),
    ),
    Operation(
        "engine_offline",
        "POST",
        f"{API}/engines/{{engine_id}}/offline",
        S.ENGINE,
        "An engine says goodbye",
        leases.Goodbye,
        admin.Pong,
        at_follower=Follower.POINTS,
    ),
    Operation("list_engines", "GET", f"{API}/engines", S.ENGINES_READ, "The registry", None, admin.EnginePage, query=PAGED),
    Operation(
        "get_engine", "GET", f"{API}/engines/{{engine_id}}", S.ENGINES_READ, "One engine", None, admin.EngineView, is_tagged=True
    ),
    Operation(
        "patch_engine",
        "PATCH",
        f"{API}/engines/{{engine_id}}",
        S.ENGINES_ADMIN,
        "Change tags and weight, pause",
        admin.EnginePatch,
        admin.EngineView,
        errors=(ErrorCode.ENGINE_NOT_APPROVED,),
        is_tagged=True,
    ),
    Operation(
        "approve_engine",
        "POST",
        f"{API}/engines/{{engine_id}}/approve",
        S.ENGINES_ADMIN,
        "Let an engine that awaits approval take work",
        None,
        admin.EngineView,
        is_tagged=True,
    ),
    Operation(
        "drain_engine",
        "POST",
        f"{API}/engines/{{engine_id}}/drain",
        S.ENGINES_ADMIN,
        "Take no new work, finish what runs",
        None,
        admin.EngineView,
        errors=(ErrorCode.ENGINE_NOT_APPROVED,),
        is_tagged=True,
    ),
    Operation(
        "undrain_engine",
        "POST",
        f"{API}/engines/{{engine_id}}/undrain",
        S.ENGINES_ADMIN,
        "Take work again",
        None,
        admin.EngineView,
        is_tagged=True,
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
)
