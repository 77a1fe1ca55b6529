"""Engines: what they say about themselves and their work, and what operators ask of them."""

from __future__ import annotations

from aiohttp import web

from dispatch.api import answers, paging
from dispatch.api.authentication import address_of, secrets_of
from dispatch.api.call import Call, Handler
from dispatch.api.leaders import check_leads
from dispatch.services.engines import ENGINES
from protocol.admin import EnginePatch, Pong
from protocol.capabilities import RegisterRequest
from protocol.leases import Goodbye, Heartbeat, LeaseRequest, ReportsRequest, UploadFinish, UploadsRequest


async def register_engine(call: Call) -> web.StreamResponse:
    """The registration token and the credential of a known engine may both be shown, one in each header."""
    shown = secrets_of(call.request.headers)
    admission = await call.services.registration.admission(shown, address_of(call))
    await call.services.engines.check_known(admission.credential, has_registration_token=admission.is_admitted)
    check_leads(call)
    request = await call.message(RegisterRequest)
    reply = await call.services.engines.register(
        request,
        credential=admission.credential,
        has_registration_token=admission.is_admitted,
        awaits_approval=admission.awaits_approval,
    )
    return answers.message(reply, headers={"Cache-Control": "no-store"})


async def heartbeat(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.leases.heartbeat(call.engine_id, await call.message(Heartbeat)))


async def lease(call: Call) -> web.StreamResponse:
    """A poll that the end of the term cut short is told where to go on."""
    reply = await call.services.leases.lease(call.engine_id, await call.message(LeaseRequest))
    if not (reply.tasks or reply.orders or reply.settled):
        check_leads(call)
    return answers.message(reply)


async def report(call: Call) -> web.StreamResponse:
    return answers.message(await call.services.leases.report(call.engine_id, await call.message(ReportsRequest)))


async def task_uploads(call: Call) -> web.StreamResponse:
    request = await call.message(UploadsRequest)
    return answers.message(await call.services.leases.uploads(call.engine_id, call.path("task_id"), request))


async def finish_task_upload(call: Call) -> web.StreamResponse:
    request = await call.message(UploadFinish)
    return answers.message(await call.services.leases.finish_upload(call.engine_id, call.path("task_id"), request))


async def engine_offline(call: Call) -> web.StreamResponse:
    goodbye = await call.message(Goodbye)
    await call.services.engines.offline(call.engine_id, goodbye.boot_id)
    return answers.message(Pong(status="offline"))


async def list_engines(call: Call) -> web.StreamResponse:
    return paging.answer(call, await call.services.engines.list(paging.asked(call, ENGINES)))


async def get_engine(call: Call) -> web.StreamResponse:
    return answers.unless_held(call, answers.engine(await call.services.engines.get(call.path("engine_id"))))


async def patch_engine(call: Call) -> web.StreamResponse:
    change = await call.message(EnginePatch)
    return answers.engine(await call.services.engines.patch(call.who, call.path("engine_id"), change))


async def approve_engine(call: Call) -> web.StreamResponse:
    return answers.engine(await call.services.engines.approve(call.who, call.path("engine_id")))


async def drain_engine(call: Call) -> web.StreamResponse:
    return answers.engine(await call.services.engines.drain(call.who, call.path("engine_id")))


async def undrain_engine(call: Call) -> web.StreamResponse:
    return answers.engine(await call.services.engines.undrain(call.who, call.path("engine_id")))


async def delete_engine(call: Call) -> web.StreamResponse:
    await call.services.engines.delete(call.who, call.path("engine_id"))
    return answers.message(Pong(status="deleted"))


HANDLERS: dict[str, Handler] = {
    "register_engine": register_engine,
    "heartbeat": heartbeat,
    "lease": lease,
    "report": report,
    "task_uploads": task_uploads,
    "finish_task_upload": finish_task_upload,
    "engine_offline": engine_offline,
    "list_engines": list_engines,
    "get_engine": get_engine,
    "patch_engine": patch_engine,
    "approve_engine": approve_engine,
    "drain_engine": drain_engine,
    "undrain_engine": undrain_engine,
    "delete_engine": delete_engine,
}
