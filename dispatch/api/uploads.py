"""An upload: one multipart body streamed to the storage as it comes, then submitted as a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, MultipartReader, web

from dispatch.api import direct_uploads, form
from dispatch.api.call import BLOCK, BROKEN_OFF, Call, Handler, check_type, gathered, idempotency_key, received_blocks
from dispatch.api.keyed import answered
from dispatch.api.wiring import LIMITS
from dispatch.core import thumbnails
from dispatch.core.paging import refuse
from dispatch.services.submissions import Sent, UploadPlace
from protocol.errors import ErrorCode, ReelyardError
from protocol.jobs import JobSubmission
from protocol.operations import Form
from protocol.storage import Written

PLAIN = frozenset({"", "binary", "8bit", "7bit"})
MOST_PARTS = 32
ROOM_FOR_FIELDS = 1 << 21


@dataclass(slots=True)
class Received:
    """What has come of the form so far; `paths` are files that may lie in the storage because of it."""

    place: UploadPlace
    fields: dict[str, str] = field(default_factory=dict)
    written: Written | None = None
    thumbnail: tuple[str, Written] | None = None
    paths: list[str] = field(default_factory=list)

    @property
    def holder(self) -> str:
        return self.place.job_id


async def upload_job(call: Call) -> web.StreamResponse:
    """Fields may come before or after the file. Whatever goes wrong, the bytes that came are removed."""
    request = call.request
    check_type(request.headers, Form.MULTIPART)
    key = idempotency_key(request.headers)
    _refuse_too_large(call, (request.content_length or 0) - ROOM_FOR_FIELDS)
    received = Received(call.services.submissions.begin_upload(call.who, "upload"))
    reserved = call.services.reservations
    try:
        await reserved.take(received.holder, call.who.tenant, request.content_length or 0)
        sent, submission = await _received(call, received)
        content = form.canonical(received.fields, filename=received.place.filename, digests=_digests(sent))
        under = call.under(key, content) if key else None
        return answered(await call.services.submissions.submit_upload(call.who, received.place, sent, submission, under))
    finally:
        reserved.release(received.holder)


def _digests(sent: Sent) -> list[str]:
    return [sent.file.sha256] if sent.thumbnail is None else [sent.file.sha256, sent.thumbnail[1].sha256]


async def _received(call: Call, received: Received) -> tuple[Sent, JobSubmission]:
    try:
        await _receive(call, received)
        if received.written is None:
            raise refuse(form.FILE, "is missing: send the media as one part of this name")
        return Sent(received.written, received.thumbnail), form.submission_of(received.fields)
    except BaseException:
        await call.services.submissions.abandon_upload(received.paths)
        raise


async def _receive(call: Call, received: Received) -> None:
    reader = await _reader(call)
    for _ in range(MOST_PARTS):
        part = await _next_part(call, reader)
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or not part.name:
            raise refuse("body", "every part of the form needs a name, and none may hold parts of its own")
        _refuse_encoded(part)
        if part.name == form.FILE:
            await _take_file(call, part, received)
        elif part.name == form.THUMBNAIL:
            await _take_thumbnail(call, part, received)
        else:
            await _take_field(call, part, part.name, received)
    raise refuse("body", f"the form has more than {MOST_PARTS} parts")


async def _reader(call: Call) -> MultipartReader:
    try:
        return await call.request.multipart()
    except ValueError:
        raise refuse("body", "the multipart boundary is missing or malformed") from None


async def _next_part(call: Call, reader: MultipartReader) -> MultipartReader | BodyPartReader | None:
    try:
        async with asyncio.timeout(call.request.app[LIMITS].body_idle_s):
            return await reader.next()
    except TimeoutError:
        raise ReelyardError(ErrorCode.BODY_TOO_SLOW) from None
    except (ValueError, *BROKEN_OFF) as error:
        raise ReelyardError(ErrorCode.BODY_INCOMPLETE, "the form is malformed or broke off; send it again") from error


def _refuse_encoded(part: BodyPartReader) -> None:
    encoding = part.headers.get("Content-Transfer-Encoding", "").lower()
    if encoding not in PLAIN or "Content-Encoding" in part.headers:
        raise ReelyardError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "parts of the form are sent as they are, without an encoding")


async def _take_field(call: Call, part: BodyPartReader, name: str, received: Received) -> None:
    if name not in form.FIELDS:
        raise refuse(name[:100], "is no field of this form; it takes file, thumbnail, " + ", ".join(form.FIELDS))
    if name in received.fields:
        raise refuse(name[:100], "is given more than once")
    text = bytearray()
    async for block in _blocks(call, part):
        text += block
        if len(text) > form.LONGEST_FIELD:
            raise refuse(name, f"is longer than {form.LONGEST_FIELD} bytes")
    try:
        received.fields[name] = text.decode()
    except UnicodeDecodeError:
        raise refuse(name, "is not UTF-8") from None


async def _take_file(call: Call, part: BodyPartReader, received: Received) -> None:
    if received.written is not None:
        raise refuse(form.FILE, "is given more than once; one job takes one file")
    form.submission_of(received.fields)  # what is wrong by now is told before the bytes come
    received.place = received.place.named(part.filename or "upload")
    received.paths.append(received.place.path)
    blocks = gathered(_limited(call, _booked(call, part, received)))
    received.written = await call.services.storage.write(received.place.path, blocks)


async def _take_thumbnail(call: Call, part: BodyPartReader, received: Received) -> None:
    """Its own first bytes tell what it is called; the rest is looked at once it is stored."""
    if received.thumbnail is not None:
        raise refuse(form.THUMBNAIL, "is given more than once")
    blocks = gathered(_of_picture(_booked(call, part, received)))
    first = await anext(blocks, b"")
    if (type_ := thumbnails.type_of(first)) is None:
        raise thumbnails.refused("is no JPEG, PNG or WebP picture")
    path = received.place.thumbnail(type_)
    received.paths.append(path)
    received.thumbnail = path, await call.services.storage.write(path, _chained(first, blocks))


async def _chained(first: bytes, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for block in blocks:
        yield block


async def _of_picture(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    async for block in blocks:
        size += len(block)
        if size > thumbnails.MOST_BYTES:
            raise thumbnails.refused(f"is larger than {thumbnails.MOST_BYTES} bytes")
        yield block


async def _limited(call: Call, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    async for block in blocks:
        size += len(block)
        _refuse_too_large(call, size)
        yield block


def _booked(call: Call, part: BodyPartReader, received: Received) -> AsyncIterator[bytes]:
    return call.services.reservations.along(received.holder, call.who.tenant, _blocks(call, part))


def _refuse_too_large(call: Call, size: int) -> None:
    limit = call.request.app[LIMITS].max_upload_bytes
    if size > limit:
        raise ReelyardError(ErrorCode.INPUT_TOO_LARGE, details={"max_bytes": limit})


async def _blocks(call: Call, part: BodyPartReader) -> AsyncIterator[bytes]:
    try:
        async for block in received_blocks(call.request, lambda: part.read_chunk(BLOCK)):
            yield block
    except ValueError as error:  # aiohttp: the body ended within a part
        raise ReelyardError(ErrorCode.BODY_INCOMPLETE) from error


HANDLERS: dict[str, Handler] = {"upload_job": upload_job, **direct_uploads.HANDLERS}
