"""Resumable uploads as clients see them; the bytes travel by tus 1.0."""

from __future__ import annotations

from enum import StrEnum

from protocol.base import Bytes, Identifier, Message


class UploadState(StrEnum):
    OPEN = "open"  # waits for more bytes
    FINISHED = "finished"  # may be a job's input


class UploadView(Message):
    """`size_bytes` is None until the client tells it. `received_bytes` are on stable storage: go on from there.

    A partial upload is only good to be put together with others; `parts` are those this one was made of.
    """

    upload_id: Identifier
    tenant: str
    state: UploadState
    filename: str
    size_bytes: Bytes | None
    received_bytes: Bytes
    is_partial: bool
    parts: tuple[Identifier, ...]
    created_at: str
    updated_at: str
    expires_at: str
