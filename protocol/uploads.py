"""Resumable uploads as clients see them; the bytes travel by tus 1.0."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from protocol.base import Bytes, Identifier, Message, Sha256


class UploadState(StrEnum):
    OPEN = "open"  # waits for more bytes
    FINISHED = "finished"  # may be a job's input


class DirectRequest(Message):
    """`sha256` of the whole file, where it is known: the storage then refuses other bytes of a file that goes up whole."""

    sha256: Sha256 | None = None


class DirectPlace(Message):
    """Where to PUT the file, each time with `headers`: whole at `url`, or as `parts` in their order.

    Every part but the last holds `part_bytes`; parts may come in any order, and again. When all is there,
    `POST /uploads/{id}/finish` names `write`. The links are good for `seconds`; they are keys to this one file.
    """

    upload_id: Identifier
    url: Annotated[str, Field(repr=False)] = ""
    headers: dict[str, str] = {}
    parts: Annotated[tuple[str, ...], Field(repr=False)] = ()
    part_bytes: Bytes = 0
    write: str | None = None
    seconds: int


class DirectFinish(Message):
    """All of the file is there. `write` is that of the places it was sent to."""

    write: Annotated[str, Field(min_length=1, max_length=2048)] | None = None


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
