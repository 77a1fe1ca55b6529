"""Who may call: keys, the registration token, the audit log."""

from __future__ import annotations

from protocol import admin
from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import API, PAGED, Operation

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "create_key",
        "POST",
        f"{API}/admin/api-keys",
        S.ADMIN,
        "Make an API key",
        admin.KeyRequest,
        admin.KeyCreated,
        201,
        is_idempotent_by_key=True,
        description="The secret is shown in this answer, and in its replays under the same Idempotency-Key, nowhere else.",
    ),
    Operation(
        "list_keys",
        "GET",
        f"{API}/admin/api-keys",
        S.ADMIN,
        "All API keys, without their secrets",
        None,
        admin.KeyPage,
        query=PAGED,
    ),
    Operation(
        "rotate_key",
        "POST",
        f"{API}/admin/api-keys/{{key_id}}/rotate",
        S.ADMIN,
        "Give an API key a new secret",
        admin.RotateRequest,
        admin.KeyCreated,
        is_idempotent_by_key=True,
        description="The secret until now stays good for `overlap_s` seconds; one from a rotation before ends at once.",
        errors=(ErrorCode.KEY_ENDED,),
    ),
    Operation("revoke_key", "DELETE", f"{API}/admin/api-keys/{{key_id}}", S.ADMIN, "Revoke an API key", None, admin.KeyView),
    Operation(
        "rotate_registration_token",
        "POST",
        f"{API}/admin/registration-token/rotate",
        S.ADMIN,
        "Put a new registration token in the place of the one until now",
        None,
        admin.RegistrationToken,
        is_idempotent_by_key=True,
    ),
    Operation(
        "list_audit",
        "GET",
        f"{API}/admin/audit",
        S.ADMIN,
        "Who changed what, newest first",
        None,
        admin.AuditPage,
        query=("actor", "action", "since", *PAGED),
    ),
)
