"""Bytes of files: sent whole or by one range, and staged by signed links."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import formatdate
from typing import BinaryIO

from aiohttp import web

from dispatch.api.call import BLOCK, Call, Handler, check_encoding, gathered, received_blocks
from dispatch.api.media_types import content_type, disposition
from dispatch.api.ranges import Span, is_range_current, wanted_span
from dispatch.api.tags import held
from dispatch.api.tus import body_of
from dispatch.api.wiring import LIMITS
from dispatch.core.paging import flag, refuse
from dispatch.core.staged_pieces import OFFSET, piece_of
from dispatch.services.files import Readable
from protocol.errors import ErrorCode, ReelyardError

INLINE, ATTACHMENT = "inline", "attachment"
ASKS_AGAIN = "private, max-age=0, must-revalidate"

SLICE = 1 << 18
"""Bytes the kernel sends between two looks at the reader."""


def shown_as(query: Mapping[str, str]) -> str:
    """`inline` or `attachment`, by `download` or by `disposition`. Raises VALIDATION_FAILED."""
    if flag(query, "download"):
        return ATTACHMENT
    kind = query.get("disposition", INLINE)
    if kind not in (INLINE, ATTACHMENT):
        raise refuse("disposition", f"must be {INLINE} or {ATTACHMENT}")
    return kind


async def signed_put(call: Call) -> web.StreamResponse:
    """One file in one request; with `Staged-Offset` a piece of one, or the question how much of it is there."""
    check_encoding(call.request.headers)
    if OFFSET in call.request.headers:
        return await _put_piece(call)
    content = call.request.content
    blocks = gathered(received_blocks(call.request, lambda: content.read(BLOCK)))
    written = await call.services.files.stage(call.path("signature"), call.path("path"), blocks)
    return web.Response(status=call.operation.status, headers={"ETag": f'"{written.sha256}"'})


async def _put_piece(call: Call) -> web.Response:
    staging, signature, path = call.services.staging, call.path("signature"), call.path("path")
    piece, body = piece_of(call.request.headers), body_of(call.request)
    if piece is None:
        received = await staging.received(signature, path, body.line)
    else:
        received = await staging.take(signature, path, piece, body)
    return web.Response(status=call.operation.status, headers={OFFSET: str(received)})


async def send(call: Call, file: Readable, kind: str = INLINE, cache: str = ASKS_AGAIN) -> web.StreamResponse:
    """The file, a range of it, 304, or where it is to be had past this server. Published and staged files never change, so
    size and date make a strong tag.
    """
    if file.link is not None and call.request.method == "GET":
        return web.Response(status=302, headers={"Location": file.link, "Cache-Control": "private, no-store"})
    headers = {**_headers(file, kind), "Cache-Control": cache}
    tag, modified = headers["ETag"], headers["Last-Modified"]
    if held(call.header("If-None-Match"), tag) is not None:
        return web.Response(status=304, headers={"ETag": tag, "Last-Modified": modified, "Cache-Control": cache})
    asked = call.header("Range") if is_range_current(call.header("If-Range"), tag=tag, modified=modified) else None
    span = _span(call, asked, file)
    response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
    if span is not None:
        response.headers["Content-Range"] = span.content_range
    whole = Span(0, file.size, file.size)
    response.content_length = (span or whole).length
    return await _stream(call, response, file, span or whole)


def _span(call: Call, asked: str | None, file: Readable) -> Span | None:
    # RFC 9110, 14.2: Range means something for GET alone.
    return wanted_span(asked, file.size) if call.request.method == "GET" else None


def _headers(file: Readable, kind: str) -> dict[str, str]:
    return {
        "Content-Type": content_type(file.filename),
        "Content-Disposition": disposition(file.filename, kind),
        "Accept-Ranges": "bytes",
        "ETag": f'"{int(file.modified * 1_000_000):x}-{file.size:x}"',
        "Last-Modified": formatdate(file.modified, usegmt=True),
    }


async def _stream(call: Call, response: web.StreamResponse, file: Readable, span: Span) -> web.StreamResponse:
    if call.request.method == "HEAD" or not span.length:
        await response.prepare(call.request)
        await response.write_eof()
        return response
    if file.local_path is not None:
        opened = await _open(file.local_path)
        try:
            return await _sendfile(call, response, opened, span)
        finally:
            opened.close()
    blocks = call.services.files.blocks(file, span.start, span.length)
    await response.prepare(call.request)
    async for block in blocks:
        await response.write(block)
    await response.write_eof()
    return response


async def _open(path: str) -> BinaryIO:
    try:
        return await asyncio.to_thread(open, path, "rb")
    except FileNotFoundError:
        raise ReelyardError(ErrorCode.FILE_NOT_FOUND) from None


async def _sendfile(call: Call, response: web.StreamResponse, opened: BinaryIO, span: Span) -> web.StreamResponse:
    """The kernel copies where it can; asyncio falls back to reads and writes where it cannot (TLS).

    A reader that takes no whole slice in `write_idle_s` is let go: nobody else would notice that it stands still.
    """
    await response.prepare(call.request)
    transport = call.request.transport
    if transport is None or transport.is_closing():
        return response
    loop, idle_s, end = asyncio.get_running_loop(), call.request.app[LIMITS].write_idle_s, span.start + span.length
    for start in range(span.start, end, SLICE):
        try:
            async with asyncio.timeout(idle_s):
                await loop.sendfile(transport, opened, start, min(SLICE, end - start))
        except TimeoutError:
            raise ConnectionError("the reader takes nothing") from None
    await response.write_eof()
    return response


HANDLERS: dict[str, Handler] = {"signed_put": signed_put}
