"""The multipart body of an upload: fields first, the file last, so that the server knows them when the bytes come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from protocol.jobs import JobSubmission

BLOCK = 1 << 20
Progress = Callable[[int, int], None]
"""Called with (bytes sent, bytes in all) of the file; falls back to a lower number when an upload starts over."""


def ignore_progress(sent: int, total: int) -> None:
    """For callers who do not care."""


class FilePayload(aiohttp.payload.Payload):
    """A file read in blocks off the loop, with its length known beforehand and told as it goes."""

    def __init__(self, path: Path, *, size: int, progress: Progress) -> None:
        super().__init__(path, content_type="application/octet-stream", filename=path.name)
        self._path, self._size, self._progress = path, size, progress

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a file is streamed, never held in memory as text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send exactly the announced size: a file that grew is cut there, one that shrank breaks the call off."""
        left, total = self._size or 0, self._size or 0
        with _open(self._path) as file:
            while left:
                block = await asyncio.to_thread(file.read, min(BLOCK, left))
                if not block:
                    raise aiohttp.ClientPayloadError(f"{self._path} became shorter while it was sent")
                await writer.write(block)
                left -= len(block)
                self._progress(total - left, total)


def _open(path: Path) -> BinaryIO:
    """At once: opened in a thread it would stay open when the call is broken off in that moment, as by an early answer."""
    return path.open("rb")


def form_fields(submission: JobSubmission) -> dict[str, str]:
    """The submission as form fields. Lists are joined by commas, what has parts is JSON; what was not set is left out."""
    told = submission.model_dump(mode="json", exclude_unset=True, exclude={"input", "requires"})
    return {name: _field(value) for name, value in told.items() if value is not None}


def _field(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ",".join(sorted(str(item) for item in value))
    return str(value)


def upload_body(path: Path, submission: JobSubmission, *, size: int, progress: Progress) -> aiohttp.payload.Payload:
    """Made anew for every attempt: a body that was half sent cannot be sent again."""
    body = aiohttp.MultipartWriter("form-data")
    for name, text in form_fields(submission).items():
        body.append(text).set_content_disposition("form-data", name=name)
    file = FilePayload(path, size=size, progress=progress)
    file.set_content_disposition("form-data", name="file", filename=path.name)
    body.append_payload(file)
    return body
