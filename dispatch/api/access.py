"""Keys, the registration token and the audit log."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers, paging
from dispatch.api.call import Call, Handler
from dispatch.api.keyed import answered, key_of_nothing
from dispatch.core import audit
from dispatch.services.keys import KEYS
from protocol.admin import KeyRequest, RotateRequest


async def create_key(call: Call) -> web.StreamResponse:
    request, key = await call.keyed_message(KeyRequest)
    return answered(await call.services.keys.create(call.who, request, key))


async def list_keys(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.keys.list(paging.asked(call, KEYS)))


async def rotate_key(call: Call) -> web.StreamResponse:
    request, key = await call.keyed_message(RotateRequest)
    return answered(await call.services.keys.rotate(call.who, call.path("key_id"), request, key))


async def revoke_key(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.keys.revoke(call.who, call.path("key_id")))


async def rotate_registration_token(call: Call) -> web.StreamResponse:
    return answered(await call.services.registration.rotate(call.who, key_of_nothing(call)))


async def list_audit(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.audit.list(audit.parse(call.query())))


HANDLERS: dict[str, Handler] = {
    "create_key": create_key,
    "list_keys": list_keys,
    "rotate_key": rotate_key,
    "revoke_key": revoke_key,
    "rotate_registration_token": rotate_registration_token,
    "list_audit": list_audit,
}
