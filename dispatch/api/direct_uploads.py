"""Uploads whose bytes go past this server."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import Call, Handler
from dispatch.core import uploads
from protocol.uploads import DirectFinish, DirectRequest

NO_STORE = {"Cache-Control": "no-store"}


async def direct_upload(call: Call) -> web.StreamResponse:
    request = await call.message(DirectRequest)
    return answers.message(await call.services.direct_uploads.place(call.who, call.path("upload_id"), request), headers=NO_STORE)


async def finish_upload(call: Call) -> web.StreamResponse:
    request = await call.message(DirectFinish)
    upload = await call.services.direct_uploads.finish(call.who, call.path("upload_id"), request)
    return answers.message(uploads.view(upload), headers=NO_STORE)


HANDLERS: dict[str, Handler] = {"direct_upload": direct_upload, "finish_upload": finish_upload}
