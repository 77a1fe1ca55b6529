"""Links that play, and what lies below them and is no file: keys and licences."""

from __future__ import annotations

import re
from collections.abc import Callable

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import Call, Handler, body_bytes, check_encoding, parsed
from dispatch.api.files import send, shown_as
from dispatch.core.playback import Playable, asked_licence
from protocol.errors import ErrorCode, ReelyardError
from protocol.playback import CLEARKEY, PLAY_PROTECTED, ClearKeyRequest

NO_STORE = {"Cache-Control": "no-store"}
BYTES = "application/octet-stream"
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?")


async def playback(call: Call) -> web.StreamResponse:
    reply = await call.services.playback.reply(call.who, call.path("job_id"), _origin(call.request))
    return answers.message(reply, headers={"Cache-Control": "private, no-store"})


def _origin(request: web.Request) -> str:
    """As the caller reached this server; the answer is for nobody else."""
    return f"{request.scheme}://{request.host}" if _HOST.fullmatch(request.host) else ""


async def playback_hls(call: Call) -> web.StreamResponse:
    return await _led(call, lambda made: made.hls)


async def playback_dash(call: Call) -> web.StreamResponse:
    return await _led(call, lambda made: made.dash)


async def signed_get(call: Call) -> web.StreamResponse:
    """Either kind of signed link. Players and CDNs append query parameters of their own: those are passed over."""
    signature, path, kind = call.path("signature"), call.path("path"), shown_as(call.request.query)
    link = call.services.playback.kind_of(signature, path)
    if link is None:
        return await send(call, await call.services.files.open_signed(signature, call.request.method, path), kind)
    opened = await call.services.playback.open(link, signature, path)
    if opened.file is None:
        return web.Response(body=opened.key, content_type=BYTES, headers=NO_STORE)
    return await send(call, opened.file, kind, opened.cache)


async def signed_post(call: Call) -> web.StreamResponse:
    """A licence. Nothing is read before the link is good."""
    check_encoding(call.request.headers)
    signature, path = call.path("signature"), call.path("path")
    if call.services.playback.kind_of(signature, path) != PLAY_PROTECTED:
        raise ReelyardError(ErrorCode.LINK_INVALID)
    asked = asked_licence(path)
    if asked is None:
        raise ReelyardError(ErrorCode.FILE_NOT_FOUND)
    body = await body_bytes(call.request, call.operation.max_body)
    if asked.name == CLEARKEY:
        wanted = parsed(ClearKeyRequest, body)
        return answers.message(await call.services.playback.clearkey(asked, wanted.kids), headers=NO_STORE)
    licence = await call.services.playback.licence(asked, body, call.request.headers)
    return web.Response(body=licence.body, content_type=licence.type, headers=NO_STORE)


async def _led(call: Call, choose: Callable[[Playable], str | None]) -> web.StreamResponse:
    """A redirect, so that the names in the playlist are read from where it lies."""
    way = await call.services.playback.way(call.who, call.path("job_id"), choose)
    return web.Response(status=302, headers={"Location": way, "Cache-Control": "private, no-store"})


HANDLERS: dict[str, Handler] = {
    "playback": playback,
    "playback_hls": playback_hls,
    "playback_dash": playback_dash,
    "signed_get": signed_get,
    "signed_post": signed_post,
}
