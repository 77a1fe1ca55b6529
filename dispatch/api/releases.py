"""Releases of the engine, passed on as they were published."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers
from dispatch.api.call import Call, Handler
from dispatch.api.files import ATTACHMENT, send


async def latest_engine_release(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.releases.latest())


async def engine_release_file(call: Call) -> web.StreamResponse:
    return await send(call, await call.services.releases.open(call.path("wheel")), ATTACHMENT)


HANDLERS: dict[str, Handler] = {"latest_engine_release": latest_engine_release, "engine_release_file": engine_release_file}
