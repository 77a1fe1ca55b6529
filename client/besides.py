"""Files that go with a submission beside its input: the user's own picture, attachments, content keys."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from client.errors import ClientCode, ClientError
from client.options import SubmitOptions
from client.shell import Shell
from client.sources import check_file
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import Attachment, JobSubmission, Thumbnail
from protocol.misfits import first_misfit
from protocol.packaging import ContentKeys

_ATTACHED = re.compile(r"([a-z0-9][a-z0-9_\-]{0,39})(?::([a-z]{2,3}))?=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Beside:
    """A file of this box that goes up as an attachment."""

    name: str
    language: str | None
    path: Path


def read_attachments(words: Sequence[str]) -> list[Beside]:
    """`NAME=FILE` or `NAME:LANGUAGE=FILE`. Raises ClientError for other words, and for a name that comes twice."""
    found: dict[str, Beside] = {}
    for word in words:
        told = _ATTACHED.fullmatch(word)
        if told is None:
            raise ClientError(ClientCode.USAGE, f"--attach {word}: it looks like --attach watermark=logo.png or subs:en=film.srt")
        if told[1] in found:
            raise ClientError(ClientCode.USAGE, f"--attach {told[1]}: give each name once")
        found[told[1]] = Beside(told[1], told[2], Path(told[3]))
    return list(found.values())


def read_keys(path: Path) -> ContentKeys:
    """Raises ReelyardError VALIDATION_FAILED without a word of what stands in the file."""
    try:
        return ContentKeys.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ReelyardError(ErrorCode.VALIDATION_FAILED, f"{path}: {first_misfit(error)}") from None


def check_files(options: SubmitOptions) -> list[Beside]:
    """The attachments. Raises INPUT_NOT_FOUND for a file that is not there, before anything is sent."""
    attached = read_attachments(options.attach)
    for path in (options.thumbnail, options.content_keys, *(one.path for one in attached)):
        if path is not None:
            check_file(path)
    return attached


@asynccontextmanager
async def sent_besides(shell: Shell, options: SubmitOptions) -> AsyncIterator[dict[str, Any]]:
    """What every submission gets, by its field: each file is sent once, and every job makes a copy of its own."""
    fields: dict[str, Any] = {}
    uploads: list[str] = []

    async def send(path: Path, word: str) -> str:
        key = None if options.idempotency_key is None else f"{options.idempotency_key}.{word}"
        uploads.append(await shell.client.send_file(path, key=key))
        return uploads[-1]

    if options.thumbnail is not None:
        fields["thumbnail"] = Thumbnail(upload_id=await send(options.thumbnail, "thumbnail"))
    if attached := read_attachments(options.attach):
        fields["attachments"] = {
            one.name: Attachment(upload_id=await send(one.path, one.name), language=one.language) for one in attached
        }
    yield fields
    for upload_id in uploads:
        with suppress(ReelyardError, ClientError):  # it expires by itself
            await shell.client.end_upload(upload_id)


def completed(submission: JobSubmission, fields: dict[str, Any]) -> JobSubmission:
    return submission.model_copy(update=fields) if fields else submission
