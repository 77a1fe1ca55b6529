"""tus 1.0 over HTTP: headers in, headers out. What may follow what is decided in `dispatch.core`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import Call, Handler, check_encoding, idempotency_key, received_blocks
from dispatch.core import tus, uploads
from dispatch.core.callers import IdempotencyKey
from dispatch.core.records import Upload
from dispatch.core.tus import Piece
from dispatch.services.intake import BLOCK
from dispatch.services.uploads import Body
from protocol.errors import ErrorCode, ReelyardError
from protocol.operations import API

PREFIX = f"{API}/uploads"
OVERRIDE = "X-HTTP-Method-Override"
ASKS = ("Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat")
"""The headers that tell what is to be created."""


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """tus: every answer names the version, refusals too."""
    if request.path.startswith(PREFIX) and request.method != "OPTIONS":
        response.headers["Tus-Resumable"] = tus.VERSION
        if response.status == ReelyardError(ErrorCode.TUS_VERSION).status:
            response.headers["Tus-Version"] = tus.VERSION


async def upload_options(call: Call) -> web.StreamResponse:
    headers = {
        "Tus-Version": tus.VERSION,
        "Tus-Resumable": tus.VERSION,
        "Tus-Extension": tus.EXTENSIONS,
        "Tus-Max-Size": str(call.services.uploads.spans.max_size),
        "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
    }
    return web.Response(status=204, headers=headers)


async def create_upload(call: Call) -> web.StreamResponse:
    """With a body it brings the first bytes. An Idempotency-Key that comes again gives the same upload, as it stands now."""
    headers = call.request.headers
    tus.check_version(headers)
    wanted, checksum = tus.creation(headers), tus.checksum(headers)
    has_body = _has_bytes(call.request)
    if has_body:
        _check_body_type(call.request)
    key = _key(call)
    begun = await call.services.upload_creation.create(call.who, wanted, key)
    upload = begun.upload
    if has_body and upload is not None and not begun.answer.replayed:
        piece = Piece(0, call.request.content_length, None, checksum)
        upload = await _first_bytes(call, upload, piece, is_known=key is not None)
    told = {**(_told(upload) if upload else {}), **begun.answer.headers}
    if upload is not None and call.services.direct_uploads.is_offered(upload):
        told["Upload-Direct"] = f"{PREFIX}/{upload.upload_id}/direct"
    if begun.answer.replayed:
        told["Idempotent-Replayed"] = "true"
    return web.Response(status=begun.answer.status, headers=told)


def _key(call: Call) -> IdempotencyKey | None:
    """What the call asks for stands in its headers; the bytes are checked against offsets, not against the key."""
    key = idempotency_key(call.request.headers)
    asked = (f"{name}: {call.request.headers.get(name, '')}" for name in ASKS)
    return None if key is None else call.under(key, "\n".join(asked).encode())


async def _first_bytes(call: Call, upload: Upload, piece: Piece, *, is_known: bool) -> Upload:
    """Whatever goes wrong with them ends the upload, for nobody knows its URL; but who has a key for it can ask again."""
    try:
        return await call.services.uploads.receive(call.who, upload.upload_id, piece, body_of(call.request))
    except ReelyardError:
        if not is_known:
            await call.services.uploads.end(call.who, upload.upload_id)
        raise


async def get_upload(call: Call) -> web.StreamResponse:
    """HEAD is what tus asks for; GET tells the same and more to everybody else."""
    if call.request.method == "HEAD":
        tus.check_version(call.request.headers)
    upload = await call.services.uploads.look(call.who, call.path("upload_id"))
    return answers.message(uploads.view(upload), 200, {**_told(upload), **_described(upload), "Cache-Control": "no-store"})


async def continue_upload(call: Call) -> web.StreamResponse:
    request = call.request
    tus.check_version(request.headers)
    _check_body_type(request)
    piece = tus.piece(request.headers, length=request.content_length)
    upload = await call.services.uploads.receive(call.who, call.path("upload_id"), piece, body_of(request))
    return web.Response(status=204, headers=_told(upload))


async def end_upload(call: Call) -> web.StreamResponse:
    tus.check_version(call.request.headers)
    await call.services.uploads.end(call.who, call.path("upload_id"))
    return web.Response(status=204)


async def override_upload(call: Call) -> web.StreamResponse:
    """A POST means nothing here by itself."""
    match call.request.headers.get(OVERRIDE, "").upper():
        case "PATCH":
            return await continue_upload(call)
        case "DELETE":
            return await end_upload(call)
        case "HEAD":
            tus.check_version(call.request.headers)
            upload = await call.services.uploads.look(call.who, call.path("upload_id"))
            return web.Response(status=204, headers={**_told(upload), **_described(upload), "Cache-Control": "no-store"})
        case _:
            raise ReelyardError(ErrorCode.METHOD_NOT_ALLOWED, f"POST is taken here with {OVERRIDE}: PATCH, HEAD or DELETE")


def _told(upload: Upload) -> dict[str, str]:
    told = {"Upload-Offset": str(upload.received)}
    if upload.state not in uploads.OVER:
        told["Upload-Expires"] = formatdate(upload.expires_at, usegmt=True)
    return told


def _described(upload: Upload) -> dict[str, str]:
    """What the client told when it began the upload."""
    told = {"Upload-Defer-Length": "1"} if upload.size is None else {"Upload-Length": str(upload.size)}
    if metadata := uploads.metadata_header(upload):
        told["Upload-Metadata"] = metadata
    if upload.parts:
        told["Upload-Concat"] = "final;" + " ".join(f"{PREFIX}/{part}" for part in upload.parts)
    elif uploads.is_partial(upload):
        told["Upload-Concat"] = "partial"
    return told


def _has_bytes(request: web.Request) -> bool:
    return request.can_read_body and request.content_length != 0


def _check_body_type(request: web.Request) -> None:
    check_encoding(request.headers)
    if request.headers.get("Content-Type", "").lower() != tus.BYTES_TYPE:
        raise ReelyardError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"this call takes Content-Type: {tus.BYTES_TYPE}")


@dataclass(frozen=True, slots=True)
class _Connection:
    request: web.Request

    def is_closed(self) -> bool:
        transport = self.request.transport
        return transport is None or transport.is_closing()

    def close(self) -> None:
        if isinstance(transport := self.request.transport, asyncio.WriteTransport):
            transport.abort()


def body_of(request: web.Request) -> Body:
    """What the request brings, by its connection."""
    content = request.content
    return Body(received_blocks(request, lambda: content.read(BLOCK)), _Connection(request))


HANDLERS: dict[str, Handler] = {
    "upload_options": upload_options,
    "create_upload": create_upload,
    "get_upload": get_upload,
    "continue_upload": continue_upload,
    "end_upload": end_upload,
    "override_upload": override_upload,
}
