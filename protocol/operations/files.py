"""Bytes by signed links."""

from __future__ import annotations

from protocol.admin import Scope as S
from protocol.errors import ErrorCode
from protocol.operations.rows import Form, Operation

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "signed_get",
        "GET",
        "/files/s/{signature}/{path:(?s:.+)}",
        S.OPEN,
        "A file by a signed link; ranges",
        None,
        None,
        gives=Form.BYTES,
        query=("download", "disposition"),
        description="A file by a signed link; ranges. Below a link of playback `key/<key id>` is a key of an encrypted job.",
        errors=(ErrorCode.OUTPUTS_NOT_READY, ErrorCode.OUTPUTS_PURGED, ErrorCode.SECRET_UNREADABLE),
        may_redirect=True,
    ),
    Operation(
        "signed_put",
        "PUT",
        "/files/s/{signature}/{path:(?s:.+)}",
        S.OPEN,
        "Stage a file by a signed link, whole or in pieces; create-only",
        None,
        None,
        201,
        takes=Form.BYTES,
        gives=Form.NONE,
        errors=(
            *(ErrorCode.FILE_EXISTS, ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_FULL, ErrorCode.UPLOAD_OFFSET),
            *(ErrorCode.UPLOAD_LOCKED, ErrorCode.UPLOAD_HEADER_INVALID, ErrorCode.UPLOAD_TOO_LARGE, ErrorCode.CHECKSUM_MISMATCH),
        ),
    ),
)
