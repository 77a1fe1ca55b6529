"""Keys, tenants, profiles, health and the contract itself."""

from __future__ import annotations

from functools import cache

from aiohttp import web

from dispatch.api import answers, openapi, paging
from dispatch.api.call import Call, Handler
from dispatch.core import audit
from dispatch.services.keys import KEYS
from dispatch.services.profiles import PROFILES
from dispatch.services.tenants import TENANTS
from protocol.admin import KeyRequest, Pong, TenantRequest, VersionReply


async def create_key(call: Call) -> web.StreamResponse:
    request = await call.message(KeyRequest)
    created = await call.services.keys.create(call.who, request)
    return answers.message(created, call.operation.status, {"Cache-Control": "no-store"})


async def list_keys(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.keys.list(paging.asked(call, KEYS)))


async def revoke_key(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.keys.revoke(call.path("key_id")))


async def list_audit(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.audit.list(audit.parse(call.query())))


async def create_tenant(call: Call) -> web.StreamResponse:
    request = await call.message(TenantRequest)
    return answers.message(await call.services.tenants.create(request), call.operation.status)


async def list_tenants(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.tenants.list(paging.asked(call, TENANTS)))


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
    "create_key": create_key,
    "list_keys": list_keys,
    "revoke_key": revoke_key,
    "list_audit": list_audit,
    "create_tenant": create_tenant,
    "list_tenants": list_tenants,
    "list_profiles": list_profiles,
    "version": version,
    "health": health,
    "healthz": healthz,
    "readyz": readyz,
    "openapi": the_contract,
}
