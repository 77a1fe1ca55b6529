"""Profiles, health and the contract itself."""

from __future__ import annotations

from functools import cache

from aiohttp import web

from dispatch.api import answers, openapi, paging
from dispatch.api.call import Call, Handler
from dispatch.services.profiles import PROFILES
from protocol.admin import Pong, VersionReply


async def list_profiles(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.profiles.list(paging.asked(call, PROFILES)))


async def version(call: Call) -> web.StreamResponse:
    return answers.message(VersionReply(version=call.services.version))


async def health(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.health.health())


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
    "list_profiles": list_profiles,
    "version": version,
    "health": health,
    "healthz": healthz,
    "readyz": readyz,
    "openapi": the_contract,
}
