"""Figures, health and the contract itself."""

from __future__ import annotations

from functools import cache

from aiohttp import web

from dispatch.api import answers, openapi, paging
from dispatch.api.call import Call, Handler
from dispatch.core.metering import parse_usage
from dispatch.services.metrics import CONTENT_TYPE
from protocol.admin import Pong, VersionReply
from protocol.figures import ConfigReply


async def version(call: Call) -> web.StreamResponse:
    return answers.message(VersionReply(version=call.services.version))


async def health(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.health.health())


async def health_part(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.health.part(call.path("part")))


async def stats(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.stats.stats(call.who))


async def metrics(call: Call) -> web.StreamResponse:
    text = await call.services.metrics.text()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


async def list_usage(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.stats.usage(parse_usage(call.query())))


async def config(call: Call) -> web.StreamResponse:
    return answers.message(ConfigReply(settings=dict(call.services.config)), headers={"Cache-Control": "no-store"})


async def healthz(call: Call) -> web.StreamResponse:
    return answers.message(Pong(status="ok"))


async def readyz(call: Call) -> web.StreamResponse:
    """The one non-2xx answer that is no error: whoever asks wants to know which part is not ready."""
    found = await call.services.health.ready()
    return answers.message(found, 200 if found.status == "ok" else 503)


@cache
def _document(version: str) -> bytes:
    return openapi.text(openapi.document(version)).encode()


async def the_contract(call: Call) -> web.StreamResponse:
    return answers.raw_json(_document(call.services.version))


HANDLERS: dict[str, Handler] = {
    "version": version,
    "stats": stats,
    "metrics": metrics,
    "list_usage": list_usage,
    "config": config,
    "health": health,
    "health_part": health_part,
    "healthz": healthz,
    "readyz": readyz,
    "openapi": the_contract,
}
