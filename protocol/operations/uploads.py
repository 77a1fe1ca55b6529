"""Resumable uploads: tus 1.0 with creation, creation-with-upload, checksum, expiration, termination, concatenation."""

from __future__ import annotations

from protocol.admin import Scope as S
from protocol.errors import ErrorCode as C
from protocol.operations.rows import API, Form, Operation
from protocol.uploads import DirectFinish, DirectPlace, DirectRequest, UploadView

ONE = f"{API}/uploads/{{upload_id}}"
NAMED = (C.UPLOAD_NOT_FOUND, C.UPLOAD_GONE)
SPOKEN = (C.TUS_VERSION, C.UPLOAD_HEADER_INVALID)
FILLED = (
    C.UPLOAD_TOO_LARGE,
    C.CHECKSUM_MISMATCH,
    C.BODY_TOO_SLOW,
    C.BODY_INCOMPLETE,
    C.UNSUPPORTED_MEDIA_TYPE,
    C.QUOTA_EXCEEDED,
    C.STORAGE_FULL,
    C.STORAGE_UNAVAILABLE,
)
MOVED = (C.UPLOAD_OFFSET, C.UPLOAD_LOCKED, C.UPLOAD_IS_FINAL)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "upload_options",
        "OPTIONS",
        f"{API}/uploads",
        S.FILES_WRITE,
        "What this server knows of tus",
        None,
        None,
        204,
        gives=Form.NONE,
    ),
    Operation(
        "create_upload",
        "POST",
        f"{API}/uploads",
        S.FILES_WRITE,
        "Begin a resumable upload, with or without its first bytes",
        None,
        None,
        201,
        takes=Form.OFFSET,
        gives=Form.NONE,
        is_idempotent_by_key=True,
        errors=(*SPOKEN, *FILLED, *NAMED, C.UPLOAD_UNFINISHED, C.UPLOAD_LIMIT),
    ),
    Operation("get_upload", "GET", ONE, S.FILES_WRITE, "Where an upload stands", None, UploadView, errors=(*SPOKEN, *NAMED)),
    Operation(
        "continue_upload",
        "PATCH",
        ONE,
        S.FILES_WRITE,
        "Send the bytes that follow",
        None,
        None,
        204,
        takes=Form.OFFSET,
        gives=Form.NONE,
        errors=(*SPOKEN, *FILLED, *NAMED, *MOVED),
    ),
    Operation(
        "direct_upload",
        "POST",
        f"{ONE}/direct",
        S.FILES_WRITE,
        "Where to send the whole file past this server",
        DirectRequest,
        DirectPlace,
        description=(
            "For an upload whose length was told and that has no bytes yet, on a storage that hands out links (the answer to"
            " `POST /uploads` then has the header `Upload-Direct`, which names this call). Asked again it begins anew."
        ),
        errors=(*NAMED, C.UPLOAD_NOT_DIRECT, C.UPLOAD_OFFSET, C.STORAGE_FULL, C.STORAGE_UNAVAILABLE),
    ),
    Operation(
        "finish_upload",
        "POST",
        f"{ONE}/finish",
        S.FILES_WRITE,
        "All of the file was sent past this server",
        DirectFinish,
        UploadView,
        description="Once more is harmless.",
        errors=(*NAMED, C.UPLOAD_NOT_DIRECT, C.UPLOAD_UNFINISHED, C.UPLOAD_TOO_LARGE, C.STORAGE_UNAVAILABLE),
    ),
    Operation(
        "end_upload",
        "DELETE",
        ONE,
        S.FILES_WRITE,
        "End an upload and remove its bytes",
        None,
        None,
        204,
        gives=Form.NONE,
        errors=(*SPOKEN, *NAMED),
    ),
    Operation(
        "override_upload",
        "POST",
        ONE,
        S.FILES_WRITE,
        "PATCH, HEAD or DELETE for clients that cannot send them, by X-HTTP-Method-Override",
        None,
        None,
        204,
        takes=Form.OFFSET,
        gives=Form.NONE,
        errors=(*SPOKEN, *FILLED, *NAMED, *MOVED, C.METHOD_NOT_ALLOWED),
    ),
)
