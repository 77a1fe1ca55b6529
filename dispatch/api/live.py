"""Live streams: stopped by clients, shown by engines, watched by players."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import BLOCK, Call, Handler, check_encoding, gathered, received_blocks
from dispatch.api.files import send
from dispatch.api.media_types import content_type
from dispatch.api.tags import wanted_versions
from dispatch.core.live import PLAYLIST_ENDING

NOW = {"Cache-Control": "no-cache, max-age=0"}
"""A playlist is another one every few seconds."""


async def stop_job(call: Call) -> web.StreamResponse:
    versions = wanted_versions(call.request.headers)
    return answers.job(await call.services.live.stop(call.who, call.path("job_id"), versions))


async def live_link(call: Call) -> web.StreamResponse:
    link = await call.services.live.link(call.who, call.path("job_id"))
    return answers.message(link, headers={"Cache-Control": "private, no-store"})


async def live_get(call: Call) -> web.StreamResponse:
    live, method = call.services.live, call.request.method
    signature, path = call.path("signature"), call.path("path")
    if not path.endswith(PLAYLIST_ENDING):
        return await send(call, await live.segment(signature, method, path))
    body = await live.playlist(signature, method, path)
    return web.Response(body=body, headers={**NOW, "Content-Type": content_type(path)})


async def live_put(call: Call) -> web.StreamResponse:
    check_encoding(call.request.headers)
    content = call.request.content
    blocks = gathered(received_blocks(call.request, lambda: content.read(BLOCK)))
    await call.services.live.put(call.path("signature"), call.path("path"), blocks)
    return web.Response(status=call.operation.status)


HANDLERS: dict[str, Handler] = {"stop_job": stop_job, "live_link": live_link, "live_get": live_get, "live_put": live_put}
