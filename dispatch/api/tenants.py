"""Tenants, and what they use."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers, paging
from dispatch.api.call import Call, Handler
from dispatch.api.keyed import answered
from dispatch.api.tags import tag_of, wanted_versions
from dispatch.services.tenants import TENANTS
from protocol.admin import TenantPatch, TenantRequest, TenantView


async def create_tenant(call: Call) -> web.StreamResponse:
    request, key = await call.keyed_message(TenantRequest)
    return answered(await call.services.tenants.create(call.who, request, key))


async def list_tenants(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.tenants.list(paging.asked(call, TENANTS)))


async def get_tenant(call: Call) -> web.StreamResponse:
    return answers.unless_held(call, _tenant(await call.services.tenants.get(call.path("tenant"))))


async def patch_tenant(call: Call) -> web.StreamResponse:
    versions = wanted_versions(call.request.headers, is_needed=True)
    patch = await call.message(TenantPatch)
    return _tenant(await call.services.tenants.patch(call.who, call.path("tenant"), patch, versions))


def _tenant(view: TenantView) -> web.Response:
    return answers.message(view, 200, {"ETag": tag_of(view.version), "Cache-Control": "private, no-cache"})


HANDLERS: dict[str, Handler] = {
    "create_tenant": create_tenant,
    "list_tenants": list_tenants,
    "get_tenant": get_tenant,
    "patch_tenant": patch_tenant,
}
